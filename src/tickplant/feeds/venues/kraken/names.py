"""The names of Kraken's pairs: canonical `BTC-USD`, version 2 `BTC/USD`, version 1 and REST `XBT`.

Version 2 calls assets by their common names. Only two differ from those of version 1 and REST:
bitcoin (`XBT`) and dogecoin (`XDG`).
"""

from __future__ import annotations

_COMMON = {"XBT": "BTC", "XDG": "DOGE"}
_OLD = {common: old for old, common in _COMMON.items()}


def canonical(native: str) -> str:
    """Return our symbol of a pair as any of the APIs spells it with a slash."""
    base, slash, quote = native.upper().partition("/")
    return f"{_COMMON.get(base, base)}-{_COMMON.get(quote, quote)}" if slash else base


def native(symbol: str) -> str:
    """Return the spelling of WebSocket version 2."""
    return symbol.upper().replace("-", "/", 1)


def rest_name(symbol: str) -> str:
    """Return the name of a pair for REST, by rule: where it is listed, `altname` is the one."""
    return "".join(_OLD.get(asset, asset) for asset in symbol.upper().split("-"))


def canonical_of(natives: list[str]) -> list[str]:
    """Return our symbols of many spellings, each distinct one translated once."""
    known = {one: canonical(one) for one in set(natives)}
    return [known[one] for one in natives]
