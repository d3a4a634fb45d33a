"""The event-time watermark of each instrument: the last event time, of trades and quotes alike.

What is not known yet is looked up in the store when an event first asks for it. Where a batch asks
for a large part of all instruments at once, as the first one after a start does, the newest rows of
all of them are read together, which answers for nearly every one in a scan a table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.model.events import MARKET_TABLES
from tickplant.model.times import INT64_MIN
from tickplant.store.contract import AsOf, Store

Ints = NDArray[np.int64]

NO_EVENT = INT64_MIN + 1
_UNKNOWN = INT64_MIN

MANY = 16
"""From so many instruments on, and one in as many of all, one scan of all beats one for each."""

NEWEST_ROWS = 200_000
"""Rows of a table that are read together, the newest ones."""


def are_many(numbers: Ints) -> bool:
    """Say whether these instruments, rising, are so large a part of all that all may be read."""
    return len(numbers) >= MANY and MANY * len(numbers) >= int(numbers[-1])


class Moved(NamedTuple):
    """Instruments of a batch, rising, with their watermarks before and after it, shape (n,).

    `before` is `NO_EVENT` where the batch has the first events of an instrument.
    """

    numbers: Ints
    before: Ints
    after: Ints


class Watermarks:
    """Kept up with every batch by one thread, which owns it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last = np.empty(0, dtype=np.int64)

    def of(self, numbers: NDArray[np.integer]) -> Ints:
        """Return the watermarks of instruments that a batch had events of, shape (n,)."""
        found: Ints = self._last[numbers]
        return found

    def forget(self) -> None:
        """Drop everything; it is looked up anew."""
        self._last = np.empty(0, dtype=np.int64)

    def advance(self, instrument: NDArray[np.int32], ts: Ints, seq_first: int) -> Moved:
        """Move on to where a stored batch, which begins with `seq_first`, brings them."""
        numbers = np.unique(instrument).astype(np.int64)
        self._grow(int(numbers[-1]) + 1)
        unknown = numbers[self._last[numbers] == _UNKNOWN]
        if len(unknown):
            self._look_up(unknown, AsOf(seq_max=seq_first - 1))
        before = self._last[numbers]
        np.maximum.at(self._last, instrument, ts)
        return Moved(numbers, before, self._last[numbers])

    def _grow(self, size: int) -> None:
        have = len(self._last)
        if size > have:
            more = np.full(2 * size - have, _UNKNOWN, dtype=np.int64)
            self._last = np.append(self._last, more)

    def _look_up(self, numbers: Ints, known: AsOf) -> None:
        last = np.full(len(numbers), NO_EVENT)
        for table in MARKET_TABLES:
            np.maximum(last, self._last_of(table, numbers, known), out=last)
        self._last[numbers] = last

    def _last_of(self, table: str, numbers: Ints, known: AsOf) -> Ints:
        """Return the last event times in a table, `NO_EVENT` for none, shape (n,)."""
        last = np.full(len(numbers), NO_EVENT)
        missing = np.arange(len(numbers))
        if are_many(numbers):
            rows = self._newest(table, None, known, NEWEST_ROWS)
            # Newest first, so that the first row of each instrument is its last event.
            found, places = np.unique(rows["instrument"].to_numpy(), return_index=True)
            _, at, there = np.intersect1d(numbers, found, return_indices=True)
            last[at] = rows["ts_event"].to_numpy()[places[there]]
            missing = np.setdiff1d(missing, at) if rows.num_rows == NEWEST_ROWS else missing[:0]
        for place in missing.tolist():
            rows = self._newest(table, int(numbers[place]), known, 1)
            if rows.num_rows:
                last[place] = rows["ts_event"][0].as_py()
        return last

    def _newest(self, table: str, instrument: int | None, known: AsOf, limit: int) -> pa.Table:
        return self._store.scan(
            table,
            instrument,
            columns=["instrument", "ts_event"],
            as_of=known,
            descending=True,
            limit=limit,
            amended=False,
        )
