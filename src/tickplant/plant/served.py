"""Served candles: those that the plant keeps in memory, so that reading them reads no event.

    stored batch ──► noted: whoever reads sees it from now on
                       └──► now and then folded into the bars: many rows at once, built on the
                            finest cells and rolled up to each grid
    read ──► the bars of one instrument, and what was noted since, merged ──► a snapshot

A kind of bars is kept from the first time that somebody asks for it until nobody has for
`kept_s` seconds; with 0 all kinds are kept always. It begins with the batches that are remembered;
what was in the store before them is not read for it. Bars that a reader had to build from the
store are offered and kept (`Offer`), so that each instrument is read once.

The plant's thread changes it, any thread reads. State is changed and read under one short lock;
rows may be noted by another thread than the one that folds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import RLock
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.candles.basis import (
    Rows,
    columns_of,
    height_of,
    rows_of,
    rows_of_values,
    table_of,
)
from tickplant.candles.cells import Cells
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.live import LiveBars, row_bytes
from tickplant.candles.pages import Lock, Pool
from tickplant.candles.runs import INSTRUMENT, merge_pairs
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

APPLY_STATES = 2_048
"""States that are merged into bars before readers are let by."""

YIELD_S = 20e-6
"""How long whoever folds stands back where a reader waits: long enough to be overtaken."""

TAIL_ROWS = 2 * FOLD_ROWS_MAX
"""Rows of which those of one instrument are found at once: more than ever wait to be folded."""

RECENT_ROWS = 262_144
"""Rows that are remembered, for kinds that begin, and for offers: a read of the store must be over
within so many."""


class Seen(NamedTuple):
    """What memory has of one instrument's bars, up to the event `seq`, ascending.

    From `since` on they are all. A state with count 0 stands for a bar that has to be read.
    """

    states: States
    since: int
    seq: int


class ServedStatus(NamedTuple):
    """What an operator wants to know of what is kept, and in how much memory.

    Kinds of bars that are kept up now; bytes of pages for older bars, and their bound; instruments
    for whose newest bars there is room; recent batches that are held for readers.
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
    """Bars of a kind; `position` is that of the last batch in them.

    While rows are folded in, those of instruments below `below` are in up to the batch `ahead`.
    """

    bars: LiveBars
    position: int
    watched: bool = False
    below: int = 0
    ahead: int = 0

    def position_of(self, instrument: int) -> int:
        """Return the position of the last batch that is in the bars of an instrument."""
        return self.ahead if instrument < self.below else self.position


class ServedCandles:
    """The bars of the served kinds. Nothing is kept before `begin`.

    `awaken` is called, on any thread, when a kind is to be kept from now on, which the next `fold`
    does. `now` gives seconds that only rise, to judge how long nobody has asked for a kind.
    """

    def __init__(
        self,
        store: Store,
        served: Served,
        rules: InstrumentRules,
        awaken: Callable[[], object] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lock = RLock()
        self._store = store
        self._served = served
        self._rules = rules
        self._kinds = frozenset(served.kinds)
        self._tables = {table_of(basis) for _, basis in served.kinds}
        self._numbers_max = _numbers_max(served)
        self._pools = _pools(served, self.lock)
        self._awaken = awaken
        self._now = now
        self._begun = False
        self._asked: dict[Kind, float] = {}
        self._awaited: set[Kind] = set()
        self._kept: dict[Kind, _Kept] = {}
        self._readers: deque[None] = deque()  # who wants the lock; its ends are atomic
        self._recent = Recent(RECENT_ROWS, 0, dict.fromkeys(MARKET_TABLES), TAIL_ROWS)
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
            self._seq = self._seq if seq is None else seq
            latest = {table: span[1] if span else None for table, span in spans.items()}
            self._recent = Recent(RECENT_ROWS, self._seq, latest, TAIL_ROWS)
            self._amended.clear()
            again = [kind for kind in self._served.kinds if self._is_asked(kind)]
            for kept in self._kept.values():
                kept.bars.close()
            self._kept.clear()
            self._begun = True
            for kind in again:
                self._keep(kind)

    def _is_asked(self, kind: Kind) -> bool:
        """Say whether a kind is to be kept: always, or as somebody asked for it lately."""
        kept_s, asked = self._served.kept_s, self._asked.get(kind)
        return not kept_s or (asked is not None and self._now() - asked <= kept_s)

    def _keep(self, kind: Kind) -> None:
        """Keep a kind, from the first batch on that is remembered."""
        grid, basis = kind
        with self.lock:
            position, horizon = self._remembered(basis)
            bars = LiveBars(
                grid,
                horizon=horizon,
                height=height_of(basis),
                keep=SLOTS,
                pool=self._pools[height_of(basis)],
                bars_max=self._served.bars_max,
            )
            self._kept[kind] = _Kept(bars, position)

    def _kept_or_new(self, kind: Kind) -> _Kept:
        """Return what is kept of a kind, or bars without events where it is yet to begin."""
        kept = self._kept.get(kind)
        if kept is None:
            position, horizon = self._remembered(kind[1])
            bars = LiveBars(kind[0], horizon=horizon, height=height_of(kind[1]))
            kept = _Kept(bars, position)
        return kept

    def _remembered(self, basis: str) -> tuple[int, int | None]:
        """Return from which position on batches can be folded, and the horizon of their bars.

        Amendments are not among the batches, so that from one on nothing of before counts.
        """
        table = table_of(basis)
        amended = table == TRADES and max(self._amended.values(), default=0)
        if amended and amended > self._recent.seq_lost:
            return self._recent.end(table)
        return self._recent.begin(table)

    def _begin_awaited(self) -> None:
        with self.lock:
            for kind in self._awaited - self._kept.keys():
                self._keep(kind)
            self._awaited.clear()

    def _end_unasked(self) -> None:
        """Let go of the kinds that nobody asked for lately, and watches."""
        with self.lock:
            for kind, kept in list(self._kept.items()):
                if not kept.watched and not self._is_asked(kind):
                    kept.bars.close()
                    del self._kept[kind]

    def note(self, table: str, rows: pa.RecordBatch) -> None:
        """Take a stored batch of original rows; readers see it on return."""
        if table in self.last_rows:
            self.last_rows[table].note(rows)
        with self.lock:
            self._seq = rows.column("seq")[-1].as_py()
            if table in self._tables:
                waiting = min(
                    (kept.position for kept in self._kept.values()), default=self._recent.position
                )
                self._recent.add(table, rows, waiting=waiting)

    def amend(self, instrument: int, times: Sequence[int], seq: int) -> None:
        """Take it that the event `seq` amended a trade of an instrument at these times.

        Their bars are unknown until a reader has built them, or `bars_of` is given them.
        """
        self.last_rows[TRADES].amend(instrument, times)
        with self.lock:
            self._seq = seq
            self._recent.amend(TRADES, max(times))
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
            if self._awaited:
                return True
            behind = [kept.position for kept in self._kept.values() if not kept.watched]
            waiting = self._recent.cost_after(min(behind)) if behind else 0
        if any(last.is_due for last in self.last_rows.values()):
            return True
        return waiting >= (FOLD_ROWS if idle else FOLD_ROWS_MAX)

    def fold(self) -> None:
        """Bring the bars up to the last batch, except those that a watcher brings up itself."""
        for last in self.last_rows.values():
            last.fold()
        self._end_unasked()
        self._begin_awaited()
        with self.lock:  # more may be noted meanwhile
            upto, waiting = self._recent.position, self._waiting()
        for basis, kept, batches in waiting:
            grids = [one.bars.grid for one in kept]
            for states, one in zip(self._built(basis, batches, grids), kept, strict=True):
                self._take_in(one, states, upto)

    def _take_in(self, kept: _Kept, states: States, upto: int) -> None:
        """Merge states into bars, some instruments at a time, and let readers by in between.

        A reader on the event loop waits no longer than one part takes.
        """
        numbers = states.block[INSTRUMENT]
        first = 0
        while first < len(states):
            end = min(first + APPLY_STATES, len(states))
            end = int(np.searchsorted(numbers, numbers[end - 1], "right"))
            with self.lock:
                kept.bars.apply_states(states.take(slice(first, end)))
                kept.below, kept.ahead = int(numbers[end - 1]) + 1, upto
            first = end
            if self._readers:
                time.sleep(YIELD_S)  # a lock alone goes back to whoever has just had it
        with self.lock:
            kept.position, kept.below = upto, 0

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
            return [_nothing(basis)] * len(grids)
        names = columns_of(basis, conditions=True)
        table = pa.Table.from_batches([rows.select(names) for rows in batches])
        kept = table["instrument"].to_numpy() <= self._numbers_max
        if not kept.all():
            table = table.filter(pa.array(kept))
        return build_all(table, basis, grids, self._rules)

    def bars_of(self, kind: Kind) -> LiveBars | None:
        """Return the bars of a kind for a watcher to bring up itself, until `give_back`."""
        if not self._ask(kind):
            return None
        self.fold()
        kept = self._kept[kind]
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
            self._ask(kind)

    def take(self, offer: Offer) -> bool:
        """Keep bars that a reader built, brought up to the last batch; say whether they fit."""
        self._begin_awaited()
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

    def _ask(self, kind: Kind) -> bool:
        """Note that somebody wants a kind, to be kept soon; say whether it is one of the served."""
        if kind in self._kept:  # as nearly always, and then there is nothing to wait for
            self._asked[kind] = self._now()
            return True
        with self.lock:
            if kind not in self._kinds or not self._begun:
                return False
            self._asked[kind] = self._now()
            new = kind not in self._kept and kind not in self._awaited
            if new:
                self._awaited.add(kind)
        if new:
            self._awaken()
        return True

    def read(
        self, grid: Grid, basis: str, instrument: int, newest: int | None = None
    ) -> Seen | None:
        """Return what memory has of an instrument's bars; None for a kind that is not served.

        With `newest` no more of them than so many need be there.
        A kind that is not kept yet is made of what is remembered, and kept from soon on.
        """
        if instrument > self._numbers_max or not self._ask((grid, basis)):
            return None
        self._readers.append(None)
        try:
            with self.lock:
                kept = self._kept_or_new((grid, basis))
                states, since = kept.bars.read(instrument, newest)
                rows = self._rows_after(kept.position_of(instrument), basis, instrument)
                seq = self._seq
        finally:
            self._readers.pop()
        if rows is not None:
            later = rows.build(grid, instrument)
            unknown = states.start[states.count == 0]
            later = later.take((later.start >= since) & ~np.isin(later.start, unknown))
            states = _join(states, later)
        return Seen(states, since, seq)

    def _rows_after(self, position: int, basis: str, instrument: int) -> Rows | None:
        """Return the rows of an instrument that came after a position; under the lock."""
        table = table_of(basis)
        if not (table == TRADES and self._rules.concern(instrument)):
            with suppress(LookupError):
                found = self._recent.rows_after(position, table, instrument)
                if found is None:
                    return None
                numbers = np.full(len(found.ts), instrument, np.int32)
                return rows_of_values(basis, numbers, *found)
        return self._rows_of(self._recent.after(position, table), basis, instrument)

    def _rows_of(self, batches: list[pa.RecordBatch], basis: str, instrument: int) -> Rows | None:
        conditions = table_of(basis) == TRADES and self._rules.concern(instrument)
        rows = rows_of_one(batches, instrument, columns_of(basis, conditions=conditions))
        return None if rows is None else rows_of(basis, rows, self._rules)

    def newest(self, grid: Grid, basis: str) -> States | None:
        """Return the newest bar of each instrument where memory surely has it, by instrument.

        None for a kind that is not served.
        """
        if not self._ask((grid, basis)):
            return None
        with self.lock:
            kept = self._kept_or_new((grid, basis))
            states, since = kept.bars.newest()
            first = kept.bars.complete_at_first
            batches = self._unfolded(kept, table_of(basis))
        [later] = self._built(basis, batches, [grid])
        unsure = states.instrument[(states.count == 0) | (states.start < since)]
        floors = np.full(len(later), first, np.int64)
        held = np.isin(later.instrument, states.instrument)
        floors[held] = since[np.searchsorted(states.instrument, later.instrument[held])]
        later = later.take((later.start >= floors) & ~np.isin(later.instrument, unsure))
        states = merge([states.take((states.count > 0) & (states.start >= since)), later])
        last = np.append(states.instrument[1:] != states.instrument[:-1], True)[: len(states)]
        return states.take(np.flatnonzero(last))

    def _unfolded(self, kept: _Kept, table: str) -> list[pa.RecordBatch]:
        """Return what is not in the bars yet, of all instruments; under the lock."""
        batches = self._recent.after(kept.position, table)
        if not kept.below:
            return batches
        later = self._recent.after(kept.ahead, table)
        between = batches[: len(batches) - len(later)]
        left = (rows.filter(pc.field("instrument") >= kept.below) for rows in between)
        return [rows for rows in left if len(rows)] + later

    def _states_of(self, batches: list[pa.RecordBatch], kind: Kind, instrument: int) -> States:
        grid, basis = kind
        rows = self._rows_of(batches, basis, instrument)
        return _nothing(basis) if rows is None else rows.build(grid, instrument)

    def status(self) -> ServedStatus:
        """Return the present state, at no cost worth mentioning."""
        pools = self._pools.values()
        return ServedStatus(
            len(self._kept),
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


def _nothing(basis: str) -> States:
    return States(np.empty((height_of(basis), 0), np.int64))


def _join(states: States, later: States) -> States:
    """Merge states of one instrument, in place, where nearly always few bars at the end change."""
    if not len(later):
        return states
    block, starts = states.block, states.start
    places = np.searchsorted(starts, later.start)
    new = places == len(starts)
    same = starts[places - new] == later.start if len(starts) else ~new
    if not (new | same).all():
        return merge([states, later])
    if same.any():
        at = places[same]
        block[:, at] = merge_pairs(block[:, at], later.block[:, same])
    return States(np.concatenate([block, later.block[:, new]], axis=1)) if new.any() else states


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
