"""Which threads of the process have the processor first, where there is too little of it."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

BEHIND = 3
"""How much nicer than the others a thread is that can wait: half of their share, if they want all
of it. With a tenth (10) the archive fell behind where both cores were busy, and memory grew."""


def stand_behind() -> None:
    """Let the other threads of the process have the processor before the one that calls.

    For work that nobody waits for and that leaves Python's lock alone most of the time. Linux has
    priorities by thread (setpriority(2)); elsewhere nothing happens.
    """
    with suppress(AttributeError, OSError):
        if os.uname().sysname == "Linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BEHIND)
