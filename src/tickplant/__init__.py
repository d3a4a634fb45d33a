"""Tickplant, a market data plant: ticks in, durable, exact candles out.

    tickplant.open(path)         a data folder, read without a server
    tickplant.Client(url)        a running plant: its routes and its stream
    tickplant.AsyncClient(url)   the same for asyncio

Names are imported when they are first used, so that `import tickplant` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tickplant.version import VERSION

if TYPE_CHECKING:
    from tickplant.client import AsyncClient as AsyncClient
    from tickplant.client import Client as Client
    from tickplant.formats.result import Rows as Rows
    from tickplant.library import Folder as Folder
    from tickplant.library import open_data as open  # noqa: F401 - one of `__all__`
    from tickplant.model.errors import TickplantError as TickplantError

__version__ = VERSION

_ERRORS = (
    "AmbiguousSymbol",
    "ConfigError",
    "Conflict",
    "CorruptData",
    "FatalError",
    "FolderInUse",
    "InvalidBody",
    "InvalidParameter",
    "LogUnavailable",
    "NotFound",
    "Overloaded",
    "PassingError",
    "Stopping",
    "TickplantError",
    "UnknownFeed",
    "UnknownSymbol",
    "UnsupportedMedia",
    "UserError",
)
_HOMES: dict[str, tuple[str, str]] = {
    "open": ("tickplant.library", "open_data"),
    "Folder": ("tickplant.library", "Folder"),
    "Rows": ("tickplant.formats.result", "Rows"),
    "Client": ("tickplant.client", "Client"),
    "AsyncClient": ("tickplant.client", "AsyncClient"),
    **{name: ("tickplant.model.errors", name) for name in _ERRORS},
}

__all__ = [*sorted(_HOMES), "__version__"]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    try:
        module, attribute = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    found = globals()[name] = getattr(import_module(module), attribute)
    return found


def __dir__() -> list[str]:
    return list(__all__)
