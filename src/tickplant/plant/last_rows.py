"""The last trade and the last quote of each instrument, in memory.

    stored batch ──► noted ──► folded: of the level below and of what was noted, the last row each
    read ──► the last among levels and noted rows, where it is surely the last of all

Levels are immutable tables, one row an instrument; each is less than half of the one below it, so
that many instruments cost little at each fold. What the store had before is not read: a row at or
behind `horizon`, the latest event time of that, need not be the last one, and the caller then asks
the store. After an amendment the same holds up to the latest event of its instrument.

The plant's thread changes it, any thread reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.model.events import SCHEMAS
from tickplant.model.times import INT64_MIN
from tickplant.plant.arrays import distinct
from tickplant.plant.recent import cost_of

Ints = NDArray[np.int64]

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
        self._cost = 0
        self._begun = False
        self._horizon = INT64_MIN
        self._amended: dict[int, int] = {}

    def begin(self, horizon: int | None) -> None:
        """Know the rows that come from now on; `horizon` is the latest event time before them."""
        with self._lock:
            self._levels = self._noted = ()
            self._cost = 0
            self._amended = {}
            self._begun = True
            self._horizon = INT64_MIN if horizon is None else horizon

    def note(self, rows: pa.RecordBatch) -> None:
        """Take a stored batch of original rows; readers see it on return."""
        if self._begun:
            with self._lock:
                self._noted = (*self._noted, rows)
                self._cost += cost_of(rows)

    def amend(self, instrument: int, times: Sequence[int]) -> None:
        """Take it that rows of an instrument at these event times were corrected or cancelled."""
        if not self._begun:
            return
        known = self._of(np.array([instrument]))
        last = max([self._horizon, *times, *known["ts_event"].to_pylist()])
        with self._lock:
            self._amended = {**self._amended, instrument: last}

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
            self._cost = sum(map(cost_of, self._noted))

    def read(self, numbers: Ints) -> tuple[pa.Table, Ints]:
        """Return (rows, unsure): the last rows of these instruments, rising, and who is not known.

        `unsure` are the instruments whose last row only the store can tell; those in neither have
        none.
        """
        if not self._begun:
            return self._none, numbers
        found = self._of(numbers)
        floors = self._floors(numbers)
        have = found["instrument"].to_numpy()
        sure = found["ts_event"].to_numpy() >= floors[np.searchsorted(numbers, have)]
        known = np.isin(numbers, have[sure]) | ((floors == INT64_MIN) & ~np.isin(numbers, have))
        return found.filter(pa.array(sure)), numbers[~known]

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
            levels, noted = self._levels, self._noted
        batches = [batch for level in levels for batch in level.to_batches()]
        wanted = np.zeros(int(numbers.max(initial=0)) + 1, np.bool_)
        wanted[numbers] = True
        parts = [_rows_of(rows, numbers, wanted) for rows in (*batches, *noted)]
        return newest_of_each(
            pa.Table.from_batches([rows for rows in parts if rows], schema=self._none.schema)
        )


def _rows_of(rows: pa.RecordBatch, numbers: Ints, wanted: NDArray[np.bool_]) -> pa.RecordBatch:
    """Return the rows of these instruments; `wanted` says of each number whether it is one."""
    held = rows.column("instrument").to_numpy()
    if len(numbers) == 1:
        mine = held == numbers[0]
    else:
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
