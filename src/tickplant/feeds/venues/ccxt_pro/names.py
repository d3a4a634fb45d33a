"""Our symbols of the library's: `BTC-USD` of `BTC/USD`, `BTC-USDT.USDT` of `BTC/USDT:USDT`.

What is behind the colon tells a contract from the spot pair (what it settles in, when it expires);
a colon and a slash cannot stand in our symbols.
"""

from __future__ import annotations


def canonical(native: str) -> str:
    """Return our symbol."""
    return native.upper().replace("/", "-", 1).replace(":", ".", 1)


def native(symbol: str) -> str:
    """Return the library's spelling, by rule."""
    return symbol.upper().replace("-", "/", 1).replace(".", ":", 1)
