"""TA-Lib, which computes most indicators: an extra, imported when it is first needed.

What it computes is taken at its defaults: no unstable period, no compatibility with MetaStock. Both
are settings of the whole process there, so a program that uses this one as a library must not
change them.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

from tickplant.model.errors import NotInstalled


@cache
def require() -> None:
    """Raise `NotInstalled` where it is not installed; does not import it. Any thread."""
    if find_spec("talib") is None:
        raise NotInstalled("name", "TA-Lib", "indicators")


@cache
def talib() -> Any:
    """Return the module; raises `NotInstalled` where it is not installed. Any thread."""
    require()
    import talib as found  # noqa: PLC0415 - optional, and takes long to import

    return found
