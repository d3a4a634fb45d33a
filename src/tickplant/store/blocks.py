"""Events in memory: runs of rows in sequence order; large ones have an index in event order.

Rows are never moved to sort them; a sealed run gets a permutation instead, so that both orders are
served from one copy. All objects here are immutable to a reader: a tail is replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.model.events import QUARANTINE, SCHEMAS
from tickplant.store.columns import Ints, ints

SEAL_ROWS = 65_536
EXACT_SIZE_ROWS = 4_096
ROW_BYTES = 128  # what a row of a small batch is taken to need in memory
FAN = 16  # as many chunks of one size class become one of the next, so a scan meets few chunks

_WORDY = SCHEMAS[QUARANTINE]  # its rows hold texts of any length


@dataclass(frozen=True, slots=True)
class EventOrder:
    """A run's rows by (instrument, ts_event, seq).

    `order` is the permutation, `ts` the times in that order; the rows of `instruments[i]` are
    `starts[i] .. starts[i + 1]` of both.
    """

    order: Ints
    ts: Ints
    instruments: NDArray[np.int32]
    starts: Ints

    def rows_of(self, instrument: int) -> tuple[int, int]:
        """Return the range of an instrument in `order`."""
        at = int(np.searchsorted(self.instruments, instrument))
        if at == len(self.instruments) or self.instruments[at] != instrument:
            return 0, 0
        return int(self.starts[at]), int(self.starts[at + 1])


@dataclass(slots=True, eq=False)
class Run:
    """Rows of one table in sequence order. Immutable; its event order is made when asked for.

    `upto` is the last number of the append that brought its last row: rows of other tables may
    have numbers between the two.
    """

    rows: pa.RecordBatch
    bytes: int
    born: int  # when its oldest row came, ns
    instrument: NDArray[np.int32]
    ts: Ints
    seq: Ints
    ts_min: int
    ts_max: int
    upto: int
    _order: EventOrder | None = field(default=None)

    @classmethod
    def of(cls, rows: pa.RecordBatch, born: int, upto: int = 0) -> Run:
        """Wrap a batch that is not empty."""
        ts = ints(rows, "ts_event")
        if len(ts) == 1:
            low = high = int(ts[0])
        else:
            low, high = int(ts.min()), int(ts.max())
        size = _size(rows)
        seq = ints(rows, "seq")
        upto = max(upto, int(seq[-1]))
        return cls(rows, size, born, ints(rows, "instrument"), ts, seq, low, high, upto)

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def indexed(self) -> bool:
        """Whether the event order is there already."""
        return self._order is not None

    def event_order(self) -> EventOrder:
        """Return the event order, made on first use; two threads may both make it, harmlessly."""
        if self._order is None:
            # The sort is stable and rows come in sequence order, so seq need not be a key.
            order = np.lexsort((self.ts, self.instrument))
            instrument = self.instrument[order]
            firsts = np.flatnonzero(np.diff(instrument)) + 1
            starts = np.concatenate([[0], firsts, [len(order)]])
            self._order = EventOrder(order, self.ts[order], instrument[starts[:-1]], starts)
        return self._order

    def find(self, instrument: int | None, start: int, end: int) -> Ints:
        """Return row numbers with `start <= ts < end`, by (ts_event, seq)."""
        if instrument is None:
            found = np.flatnonzero((self.ts >= start) & (self.ts < end))
        elif self._order is not None:
            index = self._order
            first, last = index.rows_of(instrument)
            ts = index.ts[first:last]
            low, high = np.searchsorted(ts, (start, end))
            return index.order[first + low : first + high]
        else:
            match = self.instrument == instrument
            if start > self.ts_min or end <= self.ts_max:
                match &= (self.ts >= start) & (self.ts < end)
            found = np.flatnonzero(match)
        ts = self.ts[found]
        if len(found) > 1 and (ts[1:] < ts[:-1]).any():
            found = found[np.argsort(ts, kind="stable")]
        return found

    def between(self, after_seq: int, upto_seq: int) -> tuple[int, int]:
        """Return the range of rows with `after_seq < seq <= upto_seq`."""
        low, high = np.searchsorted(self.seq, (after_seq, upto_seq), "right")
        return int(low), int(high)

    def take(self, found: NDArray[Any], columns: Sequence[str]) -> pa.Table:
        """Return these columns of these rows."""
        picked = self.rows.select(list(columns)).take(pa.array(found))
        return pa.Table.from_batches([picked])


def _size(rows: pa.RecordBatch) -> int:
    # Arrow takes 30 us to add up the columns of a batch, too long for a batch of a few ticks.
    if len(rows) < EXACT_SIZE_ROWS and rows.schema != _WORDY:
        return len(rows) * ROW_BYTES
    return int(rows.nbytes)


def merge_runs(runs: Sequence[Run]) -> Run:
    """Return one run of neighbouring runs."""
    return Run.of(pa.concat_batches([run.rows for run in runs]), runs[0].born, runs[-1].upto)


def _size_class(rows: int) -> int:
    return (rows.bit_length() + 3) // 4


def extend(active: tuple[Run, ...], run: Run) -> tuple[Run, ...]:
    """Return `active` with `run` at its end and small neighbours merged: at most some 60 runs."""
    active = (*active, run)
    while len(active) >= FAN:
        tail = active[-FAN:]
        size = _size_class(len(tail[-1]))
        if any(_size_class(len(other)) > size for other in tail):
            return active
        active = (*active[:-FAN], merge_runs(tail))
    return active


@dataclass(frozen=True, slots=True)
class Tail:
    """A table's rows in memory, in sequence order: sealed runs, then active ones."""

    sealed: tuple[Run, ...] = ()
    active: tuple[Run, ...] = ()
    active_rows: int = 0

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, the oldest first."""
        return self.sealed + self.active

    def add(self, run: Run) -> Tail:
        """Return the tail with a run appended."""
        if len(run) >= SEAL_ROWS // 4:
            return Tail((*self.seal().sealed, run))
        tail = Tail(self.sealed, extend(self.active, run), self.active_rows + len(run))
        return tail.seal() if tail.active_rows >= SEAL_ROWS else tail

    def seal(self) -> Tail:
        """Return the tail with nothing active."""
        if not self.active:
            return self
        last = merge_runs(self.active) if len(self.active) > 1 else self.active[0]
        return Tail((*self.sealed, last))

    def split(self, seq: int) -> Tail:
        """Return the tail, sealed, with no run that holds rows on both sides of `seq`."""
        parts: list[Run] = []
        for run in self.seal().sealed:
            _, early = run.between(-1, seq)
            if 0 < early < len(run):
                parts += [
                    Run.of(run.rows.slice(0, early), run.born),
                    Run.of(run.rows.slice(early), run.born, run.upto),
                ]
            else:
                parts.append(run)
        return Tail(tuple(parts))

    def after(self, seq: int) -> Tail:
        """Return the tail without the rows up to `seq`."""
        if not self.runs or self.runs[0].seq[0] > seq:
            return self
        return Tail(tuple(run for run in self.split(seq).sealed if run.seq[0] > seq))

    def without(self, archived: Sequence[Run]) -> Tail:
        """Return the tail without runs that are now in the archive."""
        gone = {id(run) for run in archived}
        kept = tuple(run for run in self.sealed if id(run) not in gone)
        return Tail(kept, self.active, self.active_rows)
