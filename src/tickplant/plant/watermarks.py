"""The event-time watermark of each instrument: the last event time, of trades and quotes alike.

What is not known yet is looked up in the store when an event first asks for it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickplant.model.events import MARKET_TABLES
from tickplant.model.times import INT64_MIN
from tickplant.plant.newest import last_rows
from tickplant.store.contract import AsOf, Store

Ints = NDArray[np.int64]

NO_EVENT = INT64_MIN + 1
_UNKNOWN = INT64_MIN


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
        self._last[numbers] = NO_EVENT
        for table in MARKET_TABLES:
            rows = last_rows(
                self._store,
                table,
                numbers,
                known,
                columns=("instrument", "ts_event"),
                amended=False,
            )
            np.maximum.at(self._last, rows["instrument"].to_numpy(), rows["ts_event"].to_numpy())
