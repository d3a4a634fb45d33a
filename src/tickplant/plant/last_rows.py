"""The last trade and the last quote of each instrument, in memory.

    stored batch ──► noted ──► folded: of the level below and of what was noted, the last row each
    read ──► the last among levels and noted rows, where it is surely the last of all

Levels are immutable tables, one row an instrument; each is less than half of the one below it, so
that many instruments cost little at each fold. Of noted rows an index says which are the last ones;
whoever reads brings it up. What the store had before is not read: a row at or behind `horizon`, the
latest event time of that, need not be the last one, and the caller then asks the store. After an
amendment the same holds up to the latest event of its instrument.

The plant's thread changes it, any thread reads.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.model.events import SCHEMAS
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.arrays import distinct, grown
from tickplant.plant.recent import cost_of

Ints = NDArray[np.int64]

_CHANGES = itertools.count()

FOLD_ROWS = 65_536
"""Rows, as `cost_of` counts them, from which on a fold is worth its fixed cost; a reader looks
through fewer by itself."""


class LastRows:
    """Of one table. Nothing is known before `begin`."""

    def __init__(self, table: str) -> None:
        self._none = SCHEMAS[table].empty_table()
        self._lock = Lock()
        self._levels: tuple[pa.Table, ...] = ()
        self._noted: tuple[pa.RecordBatch, ...] = ()
        self._index: _Index | None = None
        self._cost = 0
        self._begun = False
        self._changes = next(_CHANGES)
        self._count = 0
        self._seen = np.empty(0, np.int64)
        self._horizon = INT64_MIN
        self._amended: dict[int, int] = {}

    def begin(self, horizon: int | None) -> None:
        """Know the rows that come from now on; `horizon` is the latest event time before them."""
        with self._lock:
            self._levels = self._noted = ()
            self._index = None
            self._cost = 0
            self._amended = {}
            self._begun = True
            self._changes = next(_CHANGES)
            self._horizon = INT64_MIN if horizon is None else horizon

    def note(self, rows: pa.RecordBatch) -> None:
        """Take a stored batch of original rows; readers see it on return."""
        if self._begun:
            numbers = rows.column("instrument").to_numpy()
            with self._lock:
                self._noted = (*self._noted, rows)
                self._cost += cost_of(rows)
                self._count += 1
                self._seen = grown(self._seen, int(numbers.max()) + 1, -1)
                self._seen[numbers] = self._count

    def amend(self, instrument: int, times: Sequence[int]) -> None:
        """Take it that rows of an instrument at these event times were corrected or cancelled."""
        if not self._begun:
            return
        row, _ = self.one(instrument)
        known = [] if row is None else row.column("ts_event").to_pylist()
        last = max([self._horizon, *times, *known])
        with self._lock:
            self._amended = {**self._amended, instrument: last}
            self._changes = next(_CHANGES)

    def mark(self, number: int) -> Hashable | None:
        """Return what is another value after a row of an instrument came or was amended.

        It may be another one without that, too. None before `begin`. Costs the same however many
        rows wait: with which batch an instrument came last is noted with the batch.
        """
        if not self._begun:
            return None
        with self._lock:
            seen = self._seen.item(number) if number < len(self._seen) else -1
            return self._changes, seen

    @property
    def is_due(self) -> bool:
        """Whether so many rows were noted that they should be folded."""
        return self._cost >= FOLD_ROWS

    def fold(self) -> None:
        """Bring the levels up to what was noted, if that is enough to be worth it."""
        if not self.is_due:
            return
        noted = self._noted  # more may be noted meanwhile
        levels = [*self._levels, newest_of_each(pa.Table.from_batches(noted))]
        while len(levels) > 1 and 2 * levels[-1].num_rows >= levels[-2].num_rows:
            upper = levels.pop()
            levels[-1] = newest_of_each(pa.concat_tables([levels[-1], upper]))
        with self._lock:
            self._levels, self._noted = tuple(levels), self._noted[len(noted) :]
            self._index = None
            self._cost = sum(map(cost_of, self._noted))

    def read(self, numbers: Ints) -> tuple[pa.Table, Ints]:
        """Return (rows, unsure): the last rows of these instruments, rising, and who is not known.

        `unsure` are the instruments whose last row only the store can tell; those in neither have
        none.
        """
        if not self._begun:
            return self._none, numbers
        if len(numbers) == 1:
            return self._read_one(numbers)
        found = self._of(numbers)
        floors = self._floors(numbers)
        have = found["instrument"].to_numpy()
        sure = found["ts_event"].to_numpy() >= floors[np.searchsorted(numbers, have)]
        known = np.isin(numbers, have[sure]) | ((floors == INT64_MIN) & ~np.isin(numbers, have))
        return found.filter(pa.array(sure)), numbers[~known]

    def _read_one(self, numbers: Ints) -> tuple[pa.Table, Ints]:
        row, floor = self.one(int(numbers[0]))
        if row is None:
            return self._none, numbers[:0] if floor == INT64_MIN else numbers
        if row.column("ts_event")[0].as_py() < floor:
            return self._none, numbers
        return pa.Table.from_batches([row]), numbers[:0]

    def one(self, number: int) -> tuple[pa.RecordBatch | None, int]:
        """Return the last row of one instrument, None for none, and from when on it surely is it.

        `INT64_MIN` is always; an instrument without a row then has none. Before `begin` never.
        """
        if not self._begun:
            return None, INT64_MAX
        with self._lock:
            levels, index = self._levels, self._index_noted()
            found = index.row_of(number)
            amended, horizon = self._amended.get(number), self._horizon
        for level in reversed(levels):
            [rows] = level.to_batches()  # folded ones are in one piece
            place = int(np.searchsorted(rows.column("instrument").to_numpy(), number))
            if place < len(rows) and rows.column("instrument")[place].as_py() == number:
                ts = rows.column("ts_event")[place].as_py()
                if found is None or ts > found[1]:
                    found = rows.slice(place, 1), ts
        row = None if found is None else found[0]
        return row, horizon if amended is None else amended + 1

    def _floors(self, numbers: Ints) -> Ints:
        """Return from which event time on a row is surely the last; `INT64_MIN` for any."""
        floors = np.full(numbers.shape, self._horizon, np.int64)
        for number, last in self._amended.items() if self._amended else ():
            place = int(np.searchsorted(numbers, number))
            if place < len(numbers) and numbers[place] == number:
                floors[place] = last + 1
        return floors

    def _of(self, numbers: Ints) -> pa.Table:
        with self._lock:
            levels = self._levels
            noted = self._index_noted().rows_of(numbers)
        wanted = np.zeros(int(numbers.max(initial=0)) + 1, np.bool_)
        wanted[numbers] = True
        batches = [batch for level in levels for batch in level.to_batches()]
        parts = [_rows_of(rows, numbers, wanted) for rows in batches]
        parts += [rows.take(pa.array(places)) for rows, places in noted]
        return newest_of_each(
            pa.Table.from_batches([rows for rows in parts if rows], schema=self._none.schema)
        )

    def _index_noted(self) -> _Index:
        """Return the index of what was noted, brought up to it; under the lock."""
        index = self._index
        if index is None:
            index = self._index = _Index()
        if index.batches is not self._noted:
            index.add(self._noted)
        return index


class _Index:
    """Where among noted batches the last row of each instrument is; made when somebody asks."""

    def __init__(self) -> None:
        self.batches: tuple[pa.RecordBatch, ...] = ()
        self._ts = np.empty(0, np.int64)
        self._batch = np.empty(0, np.int64)
        self._row = np.empty(0, np.int64)

    def add(self, noted: tuple[pa.RecordBatch, ...]) -> None:
        """Take the batches behind those that were taken before."""
        for place in range(len(self.batches), len(noted)):
            self._add(place, noted[place])
        self.batches = noted

    def _add(self, place: int, rows: pa.RecordBatch) -> None:
        numbers, ts = rows.column("instrument").to_numpy(), rows.column("ts_event").to_numpy()
        self._ts = grown(self._ts, int(numbers.max()) + 1, INT64_MIN)
        self._batch, self._row = (grown(c, len(self._ts), -1) for c in (self._batch, self._row))
        at = np.arange(len(ts))
        if (ts[1:] < ts[:-1]).any():
            at = np.argsort(ts, kind="stable")
        at = at[ts[at] >= self._ts[numbers[at]]]
        # Of equal numbers the last one is what stays: the latest, and of equal times the last.
        numbers = numbers[at]
        self._ts[numbers], self._batch[numbers], self._row[numbers] = ts[at], place, at

    def row_of(self, number: int) -> tuple[pa.RecordBatch, int] | None:
        """Return the last row of an instrument and its time, None where it has none."""
        if number >= len(self._ts) or self._batch[number] < 0:
            return None
        rows = self.batches[self._batch.item(number)]
        return rows.slice(self._row.item(number), 1), self._ts.item(number)

    def rows_of(self, numbers: Ints) -> list[tuple[pa.RecordBatch, Ints]]:
        """Return batches with the places of the last rows of instruments in them."""
        numbers = numbers[numbers < len(self._ts)]
        batch, row = self._batch[numbers], self._row[numbers]
        return [
            (rows, row[batch == place])
            for place, rows in enumerate(self.batches)
            if (batch == place).any()
        ]


def _rows_of(rows: pa.RecordBatch, numbers: Ints, wanted: NDArray[np.bool_]) -> pa.RecordBatch:
    """Return the rows of these instruments; `wanted` says of each number whether it is one."""
    held = rows.column("instrument").to_numpy()
    mine = wanted[np.minimum(held, len(wanted) - 1)] & (held < len(wanted))
    return rows if mine.all() else rows.take(pa.array(np.flatnonzero(mine)))


def newest_of_each(rows: pa.Table) -> pa.Table:
    """Return the last row, by (ts_event, seq), of each instrument, rising by instrument.

    Rows with equal times must come in the order of their numbers.
    """
    numbers = rows["instrument"].to_numpy()
    if not len(numbers):
        return rows
    known = distinct(numbers)
    group = np.zeros(int(known[-1]) + 1, np.int64)
    group[known] = np.arange(len(known))
    group = group[numbers]
    ts = rows["ts_event"].to_numpy()
    latest = np.full(len(known), INT64_MIN, np.int64)
    np.maximum.at(latest, group, ts)
    best = np.flatnonzero(ts == latest[group])
    last = np.empty(len(known), np.int64)
    last[group[best]] = best  # of several rows the last one stays
    return rows.take(pa.array(last)).combine_chunks()
