"""The newest rows of a table by instrument: found in as many steps as an instrument has rows.

    head[instrument] ──► its newest row ──► the one before it ──► … ──► a row before the floor

A reader of one instrument's bars wants the few rows that are not folded into them yet, of tens of
thousands. Looking through all of them takes as long as all the rest of such a read. Here the rows
lie in rings of columns, each with the place of the row before it of the same instrument. Batches
are taken when somebody asks, so that nobody who does not ask pays for it.

Places are counts of rows that only rise; in a ring a row lies at its place modulo the ring's size.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.plant.arrays import grown

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_NONE = -1
_NARROW = 1 << 16  # numbers below this are sorted by their digits, in a third of the time


class TailRows(NamedTuple):
    """Rows of one instrument in the order in which they came, copies of shape (n,).

    `first` and `second` are the two values of the table; null is NaN.
    """

    ts: Ints
    seq: Ints
    first: Floats
    second: Floats


class Tail:
    """The newest rows of one table, about `rows_max` of them. Whoever calls holds a lock.

    `values` are the names of two columns of floats. The rows from `since` up to `end` are here.
    """

    def __init__(self, values: tuple[str, str], rows_max: int) -> None:
        self._values = values
        self._size = 1 << max(rows_max - 1, 1).bit_length()
        self._before = self._ts = self._seq = np.empty(0, np.int64)
        self._first = self._second = np.empty(0, np.float64)
        self._head: Ints = np.empty(0, np.int64)
        self.since = 0
        self.end = 0

    def take(self, place: int, rows: pa.RecordBatch) -> None:
        """Take a batch whose first row has this place; those before it are let go where some are
        missing in between."""
        count = len(rows)
        if not len(self._before):
            self._begin()
        if place != self.end:
            self.since = place
        numbers = rows.column("instrument").to_numpy()
        self.end = place + count
        if count > self._size:
            self.since = self.end
            return
        self.since = max(self.since, self.end - self._size)
        self._head = grown(self._head, int(numbers.max()) + 1, _NONE)
        columns = (
            (self._before, self._links(place, numbers)),
            (self._ts, rows.column("ts_event").to_numpy()),
            (self._seq, rows.column("seq").to_numpy()),
            (self._first, _floats(rows, self._values[0])),
            (self._second, _floats(rows, self._values[1])),
        )
        at = place & (self._size - 1)
        fits = min(self._size - at, count)
        for ring, column in columns:
            ring[at : at + fits] = column[:fits]
            ring[: count - fits] = column[fits:]

    def _begin(self) -> None:
        self._before, self._ts, self._seq = (np.empty(self._size, np.int64) for _ in range(3))
        self._first, self._second = (np.empty(self._size, np.float64) for _ in range(2))

    def _links(self, place: int, numbers: NDArray[np.int32]) -> Ints:
        """Return the place of the row before each of the same instrument, and note the newest."""
        places = np.arange(place, place + len(numbers))
        narrow = len(self._head) <= _NARROW
        order = np.argsort(numbers.astype(np.uint16) if narrow else numbers, kind="stable")
        grouped = numbers[order]
        before = self._head[grouped]
        same = np.flatnonzero(grouped[1:] == grouped[:-1])
        before[same + 1] = places[order[same]]
        self._head[numbers] = places  # of several rows the last one stays
        links = np.empty_like(before)
        links[order] = before
        return links

    def rows_of(self, instrument: int, since: int) -> TailRows | None:
        """Return the rows of an instrument from a place on, None for none.

        `since` must not be less than `self.since`.
        """
        mask, link = self._size - 1, self._before.item
        place = self._head.item(instrument) if instrument < len(self._head) else _NONE
        found: list[int] = []
        while place >= since:
            at = place & mask
            found.append(at)
            place = link(at)
        if not found:
            return None
        places = np.array(found[::-1])
        return TailRows(
            self._ts[places], self._seq[places], self._first[places], self._second[places]
        )


def _floats(rows: pa.RecordBatch, name: str) -> Floats:
    return np.asarray(rows.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)
