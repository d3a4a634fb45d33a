"""Symbols of a feed: bare ones are of its venue, `VENUE:SYMBOL` are of another one.

A broker's feed carries instruments of several exchanges.
"""

from __future__ import annotations

from tickplant.model.instruments import is_symbol, is_venue


def is_name(text: str) -> bool:
    """Say whether `text` may name an instrument of a feed; case does not matter."""
    venue, colon, symbol = text.rpartition(":")
    return is_symbol(symbol) and (not colon or is_venue(venue))


def split_name(name: str, venue: str) -> tuple[str, str]:
    """Return symbol and venue of what a feed of `venue` calls `name`."""
    other, _, symbol = name.rpartition(":")
    return symbol, other or venue


def joined_name(symbol: str, of: str, venue: str) -> str:
    """Return what a feed of `venue` calls the instrument `symbol` of the venue `of`."""
    return symbol if of == venue else f"{of}:{symbol}"
