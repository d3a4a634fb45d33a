"""When Python's garbage collector looks at what there is."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Keep the garbage collector from looking again and again at what is being loaded.

    May be nested, and ended sooner by `settle`. For the whole process: of one thread at a time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def settle() -> None:
    """Take what was loaded so far out of the collector's sight, and let it look at what comes.

    It stays to the end, and looking through all of it stops every thread for some 70 ms, each time;
    so does looking once more before, which finds a thousand things.
    """
    gc.freeze()
    gc.enable()
