"""What a process that serves settles before it loads the libraries that it needs."""

from __future__ import annotations

import os
import sys
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
    later, as the calendars of exchanges do, has it. Loading it costs 0.2 s of CPU time and memory.
    To be called before there are other threads.
    """
    sys.meta_path.insert(0, _NoPandas)
    try:
        import pyarrow as pa  # noqa: PLC0415 - heavy

        pa.scalar(0)
    finally:
        sys.meta_path.remove(_NoPandas)
