"""The batches of events that came last, for what has not taken them yet.

Bars need not be brought up to every batch at once: whoever reads them takes what is still missing
from here. So thousands of instruments are brought up with few array operations, and yet a reader
sees every event that was stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tickplant.candles.basis import VALUES
from tickplant.plant.tail import Tail, TailRows

BATCH_ROWS = 512
"""A batch costs whoever looks through it, in time and in memory, at least as much as so many rows:
a plant whose ticks come one by one has many batches and few rows."""


READ_LATELY = 64
"""So many batches after somebody read one instrument's rows, batches are made ready for the next
such reader as they come; then only when one comes."""


def cost_of(rows: pa.RecordBatch) -> int:
    """Return what a batch costs to keep and to look through, in rows."""
    return BATCH_ROWS + int(rows.num_rows)


class Noted(NamedTuple):
    """A stored batch of original rows of one table; `position` rises by one with each.

    `place` is how many rows of the table came before it, `before` their latest event time, None
    for none.
    """

    position: int
    place: int
    table: str
    rows: pa.RecordBatch
    seq_last: int
    before: int | None


class Recent:
    """The newest batches. Whoever calls holds the lock of the bars that are made of them.

    Besides those that something waits for, about `rows_max` rows are kept, each batch counted as
    `cost_of` says; the memory is shared with the store. `seq` is the last number before the first
    of them, `latest` the latest event time of each table by then. Of the newest `tail_rows` of
    each table those of one instrument are found without looking at the others.
    """

    def __init__(
        self, rows_max: int, seq: int, latest: Mapping[str, int | None], tail_rows: int
    ) -> None:
        self._rows_max = rows_max
        self._tails = {table: Tail(VALUES[table], tail_rows) for table in latest}
        self._places = dict.fromkeys(latest, 0)
        self._readers: dict[str, int] = {}
        self._batches: deque[Noted] = deque()
        self._cost = 0
        self._latest = dict(latest)
        self.position = 0
        self.seq_lost = seq
        """The last number of what is here no more."""

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, table: str, rows: pa.RecordBatch, *, waiting: int) -> None:
        """Add a batch; what comes after the position `waiting` is not let go."""
        self.position += 1
        seq_last = int(rows.column("seq")[-1].as_py())
        before = self._latest[table]
        place = self._places[table]
        self._places[table] = place + len(rows)
        self._batches.append(Noted(self.position, place, table, rows, seq_last, before))
        if self._readers.get(table, 0) > 0:
            self._readers[table] -= 1
            self._tails[table].take(place, rows)
        latest = int(rows.column("ts_event").to_numpy().max())
        self._latest[table] = latest if before is None else max(before, latest)
        self._cost += cost_of(rows)
        while self._cost > self._rows_max and self._batches[0].position <= waiting:
            gone = self._batches.popleft()
            self._cost -= cost_of(gone.rows)
            self.seq_lost = gone.seq_last

    def amend(self, table: str, latest: int) -> None:
        """Take it that amendments, which are not among the batches, touched such a time."""
        before = self._latest[table]
        self._latest[table] = latest if before is None else max(before, latest)

    def begin(self, table: str) -> tuple[int, int | None]:
        """Return the position before the first batch, and the latest event time before it."""
        for batch in self._batches:
            if batch.table == table:
                return batch.position - 1, batch.before
        return self.end(table)

    def end(self, table: str) -> tuple[int, int | None]:
        """Return the position of the last batch, and the latest event time up to it."""
        return self.position, self._latest[table]

    def after(self, position: int, table: str) -> list[pa.RecordBatch]:
        """Return the batches of a table that came after a position."""
        return [noted.rows for noted in self._after(position, table)][::-1]

    def _after(self, position: int, table: str) -> Iterator[Noted]:
        """Yield them, the newest first."""
        for batch in reversed(self._batches):
            if batch.position <= position:
                break
            if batch.table == table:
                yield batch

    def rows_after(self, position: int, table: str, instrument: int) -> TailRows | None:
        """Return the rows of an instrument that came after a position, None for none.

        Raises `LookupError` where they are more than a tail is kept of.
        """
        tail = self._tails[table]
        self._readers[table] = READ_LATELY
        later = list(self._after(position, table))
        if not later:
            return None
        for batch in reversed(later):
            if batch.place >= tail.end:
                tail.take(batch.place, batch.rows)
        since = later[-1].place
        if since < tail.since:
            raise LookupError(f"rows from {since} on are asked for, {tail.since} is the first")
        return tail.rows_of(instrument, since)

    def cost_after(self, position: int) -> int:
        """Return what it costs to look through all that came after a position, in rows."""
        cost = 0
        for batch in reversed(self._batches):
            if batch.position <= position:
                break
            cost += cost_of(batch.rows)
        return cost

    def after_seq(self, seq: int, table: str) -> list[pa.RecordBatch]:
        """Return the rows of a table with higher numbers, in batches; those in `seq_lost` not."""
        found = []
        for batch in reversed(self._batches):
            if batch.seq_last <= seq:
                break
            if batch.table == table:
                first = np.searchsorted(batch.rows.column("seq").to_numpy(), seq, "right")
                found.append(batch.rows.slice(int(first)))
        return found[::-1]


def rows_of_one(
    batches: list[pa.RecordBatch], instrument: int, columns: tuple[str, ...]
) -> pa.Table | None:
    """Return the rows of one instrument, in the order in which they came; None if it has none."""
    found = []
    for rows in batches:
        places = np.flatnonzero(rows.column("instrument").to_numpy() == instrument)
        if len(places):
            found.append(rows.select(columns).take(pa.array(places)))
    return pa.Table.from_batches(found) if found else None
