"""The shown part of a book: its best levels, and what changed of them since they were last told."""

from __future__ import annotations

from collections.abc import Sequence

from tickplant.books.book import Book, Level, Side
from tickplant.model.events import ASK, BID

Changes = list[tuple[int, Level]]
"""(side, level): a level that is set, or with a size of 0 one that is not shown any more."""

_Told = dict[float, tuple[float, int | None]]
"""Size and orders by price."""


class Shown:
    """The best `depth` levels a side as they were last told; 0 is all. One thread only."""

    __slots__ = ("_asks", "_bids", "_depth")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._bids: _Told = {}
        self._asks: _Told = {}

    def set(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Note what was told as a whole."""
        self._bids = {level.price: level[1:] for level in bids}
        self._asks = {level.price: level[1:] for level in asks}

    def change(self, book: Book) -> Changes:
        """Return what brings the levels last told to those of the book, and note it as told.

        First what is removed, then what is set: so no state on the way is crossed.
        """
        bids, asks = self._top(book.bids), self._top(book.asks)
        changes: Changes = []
        # Most changes of a book lie behind its best levels, and two dictionaries compare quickly.
        differ = [
            (side, before, now)
            for side, before, now in ((BID, self._bids, bids), (ASK, self._asks, asks))
            if before != now
        ]
        for side, before, now in differ:
            changes += [(side, Level(price, 0.0)) for price in before if price not in now]
        for side, before, now in differ:
            changes += [
                (side, Level(price, *level))
                for price, level in now.items()
                if before.get(price) != level
            ]
        self._bids, self._asks = bids, asks
        return changes

    def _top(self, side: Side) -> _Told:
        return side.best_by_price(self._depth)
