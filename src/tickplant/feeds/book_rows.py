"""Rows of the table `book` as a desk writes them: columns that grow by a step at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tickplant.books.book import Level
from tickplant.books.updates import NONE
from tickplant.model.events import ASK, BID, BOOK, INCOMING, BookAction, Flag

_SNAPSHOT = int(Flag.SNAPSHOT)
_SET, _CLEAR, _LOST = (int(action) for action in BookAction)


class BookRows:
    """Grows by `step`, then `levels` or `snapshot`, then `close`; `take` returns what there is."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        # What is the same in a step is kept once a step and repeated when the columns are made.
        self._symbols: list[str] = []
        self._times: list[int] = []
        self._updates: list[int | None] = []
        self._counts: list[int] = []
        self._actions: list[int] = []
        self._flags: list[int] = []
        self._sides: list[int] = []
        self._prices: list[float | None] = []
        self._sizes: list[float | None] = []
        self._orders: list[int | None] = []
        self._counted = False
        self._closed = 0

    def step(self, symbol: str, ts_event: int, number: int) -> None:
        """Begin the rows of one update of a book, of the venue's `number`."""
        self._symbols.append(symbol)
        self._times.append(ts_event)
        self._updates.append(None if number == NONE else number)

    def levels(
        self,
        sides: Sequence[int],
        prices: Sequence[float],
        sizes: Sequence[float],
        orders: Sequence[int | None] | None,
        flags: int = 0,
    ) -> None:
        """Write levels of the step."""
        count = len(sides)
        self._actions.extend([_SET] * count)
        self._flags.extend([flags] * count)
        self._sides.extend(sides)
        self._prices.extend(prices)
        self._sizes.extend(sizes)
        if orders is not None and not self._counted:
            self._counted = True
            self._orders.extend([None] * (len(self._sides) - count))
        if self._counted:
            self._orders.extend([None] * count if orders is None else orders)

    def snapshot(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Write a CLEAR and the levels of a book."""
        self._mark(_CLEAR, _SNAPSHOT)
        for side, levels in ((BID, bids), (ASK, asks)):
            if levels:
                prices, sizes, orders = zip(*levels, strict=True)
                known = any(count is not None for count in orders)
                count = len(prices)
                self.levels([side] * count, prices, sizes, orders if known else None, _SNAPSHOT)

    def lost(self, symbol: str, ts_event: int) -> None:
        """Write that a book is not right any more, as a step of its own."""
        self.step(symbol, ts_event, NONE)
        self._mark(_LOST, 0)
        self.close()

    def ended(self, symbol: str, ts_event: int) -> None:
        """Write that a book is not kept any more: a CLEAR that is lost at once."""
        self.step(symbol, ts_event, NONE)
        self._mark(_CLEAR, _SNAPSHOT)
        self.close()
        self.lost(symbol, ts_event)

    def _mark(self, action: int, flags: int) -> None:
        self._actions.append(action)
        self._flags.append(flags)
        self._sides.append(0)
        self._prices.append(None)
        self._sizes.append(None)
        if self._counted:
            self._orders.append(None)

    def close(self) -> int:
        """End the step; return its rows. One without rows is none."""
        count = len(self._actions) - self._closed
        self._closed += count
        if count:
            self._counts.append(count)
        else:
            for column in (self._symbols, self._times, self._updates):
                column.pop()
        return count

    def take(self) -> pa.RecordBatch:
        """Return the rows, in `INCOMING["book"]`, and begin anew."""
        schema = INCOMING[BOOK]
        if not self._closed:
            return _EMPTY
        repeated = np.repeat(np.arange(len(self._counts), dtype=np.int32), self._counts)
        steps = pa.array(repeated)
        columns: dict[str, Any] = {
            "symbol": pa.array(self._symbols, pa.string()).take(steps),
            "ts_event": pa.array(self._times, pa.int64()).take(steps),
            "update": pa.array(self._updates, pa.int64()).take(steps),
            "flags": self._flags,
            "action": self._actions,
            "side": self._sides,
            "price": self._prices,
            "size": self._sizes,
        }
        if self._counted:
            columns["orders"] = self._orders
        count = len(repeated)
        arrays = [
            pa.array(columns[item.name], item.type)
            if item.name in columns
            else pa.nulls(count, item.type)
            for item in schema
        ]
        self._begin()
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


_EMPTY = pa.RecordBatch.from_arrays(
    [pa.nulls(0, item.type) for item in INCOMING[BOOK]], schema=INCOMING[BOOK]
)
