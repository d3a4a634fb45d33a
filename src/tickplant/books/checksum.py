"""The checksum that Kraken sends with its books.

CRC32 (as in zlib) of a text: of the ten best asks, the best first, then of the ten best bids, the
best first, the price and the size as decimals of the instrument's precision, without the point and
without zeros in front. Source: Kraken's guides "Book checksum" of WebSocket versions 1 and 2.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from tickplant.books.book import Book, Side

LEVELS = 10


class Precision(NamedTuple):
    """How many decimals the prices and sizes of an instrument have."""

    price: int
    size: int


def kraken_checksum(book: Book, precision: Precision) -> int:
    """Return the checksum of a book, an unsigned number of 32 bits."""
    text = _digits(book.asks, precision) + _digits(book.bids, precision)
    return crc32(text.encode())


def _digits(side: Side, precision: Precision) -> str:
    price, size = precision
    return "".join(
        f"{level.price:.{price}f}".replace(".", "").lstrip("0")
        + f"{level.size:.{size}f}".replace(".", "").lstrip("0")
        for level in side.top(LEVELS)
    )
