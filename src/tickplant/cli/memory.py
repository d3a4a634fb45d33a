"""How long a process that takes in rows keeps memory that was freed."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

NAME = "MIMALLOC_PURGE_DELAY"
KEEP_MS = 1_000


def keep_freed_memory(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let Arrow give memory back to the system a second after it was freed, not 10 ms after.

    Under a flood the same memory is wanted again before that, and what comes from the system has
    to be cleared first, which is a good part of what taking in rows costs. To be called before
    Arrow is imported; whoever has set the variable is left alone.
    """
    environ.setdefault(NAME, str(KEEP_MS))
