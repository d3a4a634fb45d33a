"""Served candles: those that the plant keeps in memory whether or not anybody watches them.

    stored batch ──► noted: whoever reads sees it from now on
                       └──► now and then folded into the bars: many rows at once, built on the
                            finest cells and rolled up to each grid
    read ──► the bars of one instrument, and what was noted since, merged ──► a snapshot

What was in the store before is not read when the plant begins. Bars that a reader had to build
from the store are offered and kept (`Offer`), so that each instrument is read once.

The plant's thread changes it, any thread reads. State is changed and read under one short lock;
rows may be noted by another thread than the one that folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import RLock
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.basis import columns_of, height_of, rows_of, table_of
from tickplant.candles.cells import Cells
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.live import LiveBars, row_bytes
from tickplant.candles.pages import Lock, Pool
from tickplant.candles.states import States, merge, roll_up
from tickplant.model.events import MARKET_TABLES, TRADES
from tickplant.plant.last_rows import LastRows
from tickplant.plant.recent import Recent, rows_of_one
from tickplant.plant.serving import Kind, Served
from tickplant.store.contract import Store

Ints = NDArray[np.int64]
FOLD_ROWS = 16_384
"""Rows, as `cost_of` counts them, from which on a fold is worth its fixed cost; a reader merges
fewer by itself."""

FOLD_ROWS_MAX = 65_536
"""Rows that are folded even if others wait: a reader's share stays below a millisecond."""

RECENT_ROWS = 262_144
"""Rows that are remembered for offers: a read of the store must be over within so many."""


class Seen(NamedTuple):
    """What memory has of one instrument's bars, up to the event `seq`, ascending.

    From `since` on they are all. A state with count 0 stands for a bar that has to be read.
    """

    states: States
    since: int
    seq: int


class ServedStatus(NamedTuple):
    """What an operator wants to know of what is kept, and in how much memory.

    Kinds of bars; bytes of pages for older bars, and their bound; instruments for whose newest bars
    there is room; recent batches that are held for readers.
    """

    kinds: int
    bytes: int
    bytes_max: int
    instruments_max: int
    batches: int


class Offer(NamedTuple):
    """Bars of one instrument as of `seq`, built from the store.

    They are all in `[since, until)`, and those that start at `named`, which were unknown.
    """

    kind: Kind
    instrument: int
    states: States
    since: int
    until: int
    named: Ints
    seq: int


SLOTS = 2
"""Bars of each instrument that are kept ready for merging: nearly every row is for one of them."""

_SLOTS_SHARE = 8
"""One part in this many of the memory is for them, and for finding the older ones."""


@dataclass(slots=True)
class _Kept:
    """Bars of a kind; `position` is that of the last batch in them."""

    bars: LiveBars
    position: int
    watched: bool = False


class ServedCandles:
    """The bars of all served kinds. Nothing is kept before `begin`."""

    def __init__(self, store: Store, served: Served, rules: InstrumentRules) -> None:
        self.lock = RLock()
        self._store = store
        self._served = served
        self._rules = rules
        self._tables = {table_of(basis) for _, basis in served.kinds}
        self._numbers_max = _numbers_max(served)
        self._pools = _pools(served, self.lock)
        self._kept: dict[Kind, _Kept] = {}
        self._recent = Recent(RECENT_ROWS, 0)
        self._seq = 0
        self._amended: dict[int, int] = {}
        self.last_rows = {table: LastRows(table) for table in MARKET_TABLES}

    # -- on the plant's thread -------------------------------------------------------------------

    def begin(self, seq: int | None = None) -> None:
        """Keep bars from now on; what the store has, up to `seq`, is left for readers to offer.

        Once more, it begins anew: for when something went wrong. Reads the store's spans.
        """
        spans = {table: self._store.span(table) for table in MARKET_TABLES}
        for table, span in spans.items():
            self.last_rows[table].begin(span[1] if span else None)
        with self.lock:
            seq = self._seq if seq is None else seq
            for kept in self._kept.values():
                kept.bars.close()
            self._recent = Recent(RECENT_ROWS, seq)
            self._seq = seq
            self._amended.clear()
            for grid, basis in self._served.kinds:
                span = spans[table_of(basis)]
                bars = LiveBars(
                    grid,
                    horizon=span[1] if span else None,
                    height=height_of(basis),
                    keep=SLOTS,
                    pool=self._pools[height_of(basis)],
                    bars_max=self._served.bars_max,
                )
                self._kept[grid, basis] = _Kept(bars, 0)

    def note(self, table: str, rows: pa.RecordBatch) -> None:
        """Take a stored batch of original rows; readers see it on return."""
        if table in self.last_rows:
            self.last_rows[table].note(rows)
        with self.lock:
            self._seq = rows.column("seq")[-1].as_py()
            if self._kept and table in self._tables:
                waiting = min(kept.position for kept in self._kept.values())
                self._recent.add(table, rows, waiting=waiting)

    def amend(self, instrument: int, times: Sequence[int], seq: int) -> None:
        """Take it that the event `seq` amended a trade of an instrument at these times.

        Their bars are unknown until a reader has built them, or `bars_of` is given them.
        """
        self.last_rows[TRADES].amend(instrument, times)
        with self.lock:
            self._seq = seq
            if instrument > self._numbers_max:
                return
            self._amended[instrument] = seq
            for (grid, basis), kept in self._kept.items():
                if table_of(basis) == TRADES:
                    for start in grid.bars_at(np.asarray(times, np.int64)).tolist():
                        kept.bars.forget(instrument, start)

    def is_due(self, *, idle: bool) -> bool:
        """Say whether so many rows wait that they should be folded in; `idle` if nothing else."""
        with self.lock:
            behind = [kept.position for kept in self._kept.values() if not kept.watched]
            waiting = self._recent.cost_after(min(behind)) if behind else 0
        if any(last.is_due for last in self.last_rows.values()):
            return True
        return waiting >= (FOLD_ROWS if idle else FOLD_ROWS_MAX)

    def fold(self) -> None:
        """Bring the bars up to the last batch, except those that a watcher brings up itself."""
        for last in self.last_rows.values():
            last.fold()
        with self.lock:  # more may be noted meanwhile
            upto, waiting = self._recent.position, self._waiting()
        for basis, kept, batches in waiting:
            grids = [one.bars.grid for one in kept]
            for states, one in zip(self._built(basis, batches, grids), kept, strict=True):
                with self.lock:
                    one.bars.apply_states(states)
                    one.position = upto

    def _waiting(self) -> list[tuple[str, list[_Kept], list[pa.RecordBatch]]]:
        """Return (basis, bars, batches) of what has not been folded, alike ones together."""
        groups: dict[tuple[str, int], list[_Kept]] = {}
        for (_, basis), kept in self._kept.items():
            if not kept.watched and kept.position < self._recent.position:
                groups.setdefault((basis, kept.position), []).append(kept)
        return [
            (basis, kept, self._recent.after(position, table_of(basis)))
            for (basis, position), kept in groups.items()
        ]

    def _built(self, basis: str, batches: list[pa.RecordBatch], grids: list[Grid]) -> list[States]:
        if not batches:
            return [States(np.empty((height_of(basis), 0), np.int64))] * len(grids)
        names = columns_of(basis, conditions=True)
        table = pa.Table.from_batches([rows.select(names) for rows in batches])
        kept = table["instrument"].to_numpy() <= self._numbers_max
        if not kept.all():
            table = table.filter(pa.array(kept))
        return build_all(table, basis, grids, self._rules)

    def bars_of(self, kind: Kind) -> LiveBars | None:
        """Return the bars of a kind for a watcher to bring up itself, until `give_back`."""
        kept = self._kept.get(kind)
        if kept is None:
            return None
        self.fold()
        kept.watched = True
        return kept.bars

    def brought_up(self, kind: Kind) -> None:
        """Take it that a watcher brought its bars up to the last batch; under the lock with it."""
        kept = self._kept.get(kind)
        if kept is not None:
            kept.position = self._recent.position

    def give_back(self, kind: Kind) -> None:
        """Take it that nobody watches a kind any more."""
        kept = self._kept.get(kind)
        if kept is not None:
            kept.watched = False

    def take(self, offer: Offer) -> bool:
        """Keep bars that a reader built, brought up to the last batch; say whether they fit."""
        kept = self._kept.get(offer.kind)
        fresh = offer.seq >= max(self._recent.seq_lost, self._amended.get(offer.instrument, 0))
        if kept is None or not fresh:
            return False
        self.fold()
        with self.lock:
            if kept.position < self._recent.position:  # a watcher is late with it
                return False
            floor = kept.bars.read(offer.instrument)[1]
            if floor > offer.until:
                return False
            batches = self._recent.after_seq(offer.seq, table_of(offer.kind[1]))
            later = self._states_of(batches, offer.kind, offer.instrument)
            wanted = np.isin(later.start, offer.named)
            wanted |= (later.start >= offer.since) & (later.start < offer.until)
            whole = merge([offer.states, later.take(wanted)])
            kept.bars.restore(offer.instrument, whole, offer.since, offer.named)
        return True

    # -- on any thread ---------------------------------------------------------------------------

    def serves(self, grid: Grid, basis: str) -> bool:
        """Say whether bars of this kind are kept."""
        return (grid, basis) in self._kept

    def read(self, grid: Grid, basis: str, instrument: int) -> Seen | None:
        """Return what memory has of an instrument's bars; None for a kind that is not served."""
        with self.lock:
            kept = self._kept.get((grid, basis))
            if kept is None or instrument > self._numbers_max:
                return None
            states, since = kept.bars.read(instrument)
            batches = self._recent.after(kept.position, table_of(basis))
            seq = self._seq
        later = self._states_of(batches, (grid, basis), instrument)
        if len(later):
            unknown = states.start[states.count == 0]
            later = later.take((later.start >= since) & ~np.isin(later.start, unknown))
            states = _join(states, later)
        return Seen(states, since, seq)

    def newest(self, grid: Grid, basis: str) -> States | None:
        """Return the newest bar of each instrument where memory surely has it, by instrument.

        None for a kind that is not served.
        """
        with self.lock:
            kept = self._kept.get((grid, basis))
            if kept is None:
                return None
            states, since = kept.bars.newest()
            first = kept.bars.complete_at_first
            batches = self._recent.after(kept.position, table_of(basis))
        [later] = self._built(basis, batches, [grid])
        unsure = states.instrument[(states.count == 0) | (states.start < since)]
        floors = np.full(len(later), first, np.int64)
        held = np.isin(later.instrument, states.instrument)
        floors[held] = since[np.searchsorted(states.instrument, later.instrument[held])]
        later = later.take((later.start >= floors) & ~np.isin(later.instrument, unsure))
        states = merge([states.take((states.count > 0) & (states.start >= since)), later])
        last = np.append(states.instrument[1:] != states.instrument[:-1], True)[: len(states)]
        return states.take(np.flatnonzero(last))

    def _states_of(self, batches: list[pa.RecordBatch], kind: Kind, instrument: int) -> States:
        grid, basis = kind
        conditions = table_of(basis) == TRADES and self._rules.concern(instrument)
        rows = rows_of_one(batches, instrument, columns_of(basis, conditions=conditions))
        if rows is None:
            return States(np.empty((height_of(basis), 0), np.int64))
        return rows_of(basis, rows, self._rules).build(grid, instrument)

    def status(self) -> ServedStatus:
        """Return the present state, at no cost worth mentioning."""
        pools = self._pools.values()
        return ServedStatus(
            len(self._served.kinds),
            sum(pool.bytes_used for pool in pools),
            sum(pool.bytes_max for pool in pools),
            self._numbers_max if pools else 0,
            len(self._recent),
        )


def build_all(
    table: pa.Table | pa.RecordBatch, basis: str, grids: Sequence[Grid], rules: InstrumentRules
) -> list[States]:
    """Return the states of a batch on each grid, built once on the cells that all of them share."""
    rows = rows_of(basis, table, rules)
    if len(grids) == 1:
        return [rows.build(grids[0])]
    cells = rows.build(Cells(grids))
    return [roll_up(cells, grid) for grid in grids]


def _join(states: States, later: States) -> States:
    """Merge states of one instrument, where nearly always few bars at the end have changed."""
    if not len(later):
        return states
    same = int(np.searchsorted(states.start, later.start[0]))
    tail = merge([states.take(slice(same, None)), later])
    return States(np.concatenate([states.block[:, :same], tail.block], axis=1))


def _pools(served: Served, lock: Lock) -> dict[int, Pool]:
    """Return the memory for older bars by the height of their states, shared out by kinds."""
    heights = [height_of(basis) for _, basis in served.kinds]
    room = served.bytes_max - served.bytes_max // _SLOTS_SHARE
    return {
        height: Pool(room * heights.count(height) // len(heights), height, lock)
        for height in set(heights)
    }


def _numbers_max(served: Served) -> int:
    """Return the highest number of an instrument for whose newest bars there is memory."""
    each = sum(row_bytes(height_of(basis), SLOTS, served.bars_max) for _, basis in served.kinds)
    return served.bytes_max // _SLOTS_SHARE // each if each else 0
