"""What a process settles before it loads the libraries that it needs."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import MutableMapping

NAME = "MIMALLOC_PURGE_DELAY"
KEEP_MS = 1_000

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
APART_BYTES = 32 << 20
"""From this size on, the most that glibc takes, memory is asked of the system by itself."""
KEEP_BYTES = 256 << 20
GROW_BYTES = 16 << 20
"""By so much more than is needed a heap grows at once."""


def keep_freed_memory(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let the memory of one batch serve the next instead of going back to the system.

    Under a flood the same memory is wanted again at once, and what comes from the system has to be
    cleared first, which is a good part of what taking in rows costs. Arrow gives it back a second
    after it was freed, not 10 ms after: to be called before Arrow is imported. The C library, from
    which NumPy has its arrays, keeps up to `KEEP_BYTES` at the end of each of its heaps, where it
    is glibc (mallopt(3)). Whoever has set variables for either is left alone.
    """
    environ.setdefault(NAME, str(KEEP_MS))
    if not any(name.startswith("MALLOC_") for name in environ):
        _keep_in_heaps()


def _keep_in_heaps() -> bool:
    """Set what glibc asks of the system and gives back; say whether there was one to set."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(
        mallopt(option, size)
        for option, size in (
            (_M_MMAP_THRESHOLD, APART_BYTES),
            (_M_TRIM_THRESHOLD, KEEP_BYTES),
            (_M_TOP_PAD, GROW_BYTES),
        )
    )


class _NoPandas:
    """Answers those who import pandas that there is none; asked before all other finders."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Raise for pandas, know nothing of the rest."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not looked for now", name=name)


def keep_pandas_out() -> None:
    """Let Arrow find no pandas, which it would load at the first array that it makes.

    It looks for it once in a process, and only for its own conversions: whoever else wants pandas
    later, as the calendars of exchanges do, has it. Loading it costs 0.3 s of CPU time and memory.
    To be called before there are other threads.
    """
    sys.meta_path.insert(0, _NoPandas)
    try:
        import pyarrow as pa  # noqa: PLC0415 - heavy

        pa.scalar(0)
    finally:
        sys.meta_path.remove(_NoPandas)
