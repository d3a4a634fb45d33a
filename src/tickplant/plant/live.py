"""Live candles: what each accepted batch changes in the bars that somebody watches.

    batch ──► LiveBars of each watched (grid, basis) ──► changed bars ─┐
                      │ bars it does not hold                          ├──► one update an entry
                      └──► built anew from the store ──────────────────┤
    watermark passes the end of a bar ──► that bar again, closed ──────┘

Owned by the plant's thread. The store already has the rows when `apply` is called, so a bar that
is built anew includes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.basis import height_of, table_of
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.live import LiveBars
from tickplant.candles.states import States, empty, merge
from tickplant.model.events import MARKET_TABLES
from tickplant.plant.bar_table import UPDATE_SCHEMA, finish
from tickplant.plant.bars import emptied_states, pairs_touched, states_of_bars, states_of_pairs
from tickplant.plant.coverage import CoverageBook, Touched
from tickplant.plant.live_activity import LiveActivity
from tickplant.plant.served import ServedCandles, build_all
from tickplant.plant.watermarks import NO_EVENT, Moved, Watermarks
from tickplant.store.contract import NOW, Store

Ints = NDArray[np.int64]

_OWED_MAX = 15
"""Batches whose updates are still made when those of a later one can be; a fault may last."""


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind of candles that somebody watches."""

    grid: Grid
    basis: str


Updates = list[tuple[Watched, pa.RecordBatch]]
"""The changed candles of each kind, in `UPDATE_SCHEMA`."""


@dataclass(slots=True)
class _Watch:
    bars: LiveBars
    users: int = 0


@dataclass(slots=True)
class _Batch:
    """A batch whose updates are to be made; `moved` is None where that could not be found out."""

    table: str
    rows: pa.RecordBatch
    moved: Moved | None = None


class LiveCandles:
    """The watched candles and the event-time watermark of each instrument."""

    def __init__(
        self,
        store: Store,
        book: CoverageBook,
        rules: InstrumentRules,
        served: ServedCandles,
    ) -> None:
        self._store = store
        self._rules = rules
        self._served = served
        self._owed: list[_Batch] = []
        self._watches: dict[Watched, _Watch] = {}
        self._book = book
        self._watermarks = Watermarks(store, self._book)
        self._activity = LiveActivity(store, self._watermarks, rules)

    def watch(self, what: Watched) -> None:
        """Begin to publish these candles; each call wants its `unwatch`."""
        if self._activity.watch(what.grid, what.basis):
            return
        watch = self._watches.get(what)
        if watch is None:
            watch = self._watches[what] = _Watch(self._bars(what))
        watch.users += 1

    def unwatch(self, what: Watched) -> None:
        """Undo one `watch`; nobody's candles are no longer built."""
        self._activity.unwatch(what.grid, what.basis)
        watch = self._watches.get(what)
        if watch is not None:
            watch.users -= 1
            if watch.users <= 0:
                del self._watches[what]
                self._served.give_back((what.grid, what.basis))
        if not self._watches and not len(self._activity):
            # Nobody keeps the watermarks up from now on.
            self._watermarks.forget()
            self._owed.clear()

    def forget(self) -> None:
        """Drop every bar and watermark that is held; they are built anew from the store.

        The updates of a batch that could not be made are owed until they are.
        """
        self._served.begin()
        for what, watch in self._watches.items():
            watch.bars = self._bars(what)
        self._activity.forget()
        self._watermarks.forget()

    def _bars(self, what: Watched) -> LiveBars:
        """Return the bars of a served kind, or new ones."""
        bars = self._served.bars_of((what.grid, what.basis))
        if bars is not None:
            return bars
        span = self._store.span(table_of(what.basis))
        horizon = span[1] if span else None
        return LiveBars(what.grid, horizon=horizon, height=height_of(what.basis))

    @property
    def watched(self) -> tuple[Watched, ...]:
        """What is watched now."""
        return tuple(self._watches)

    def apply(self, table: str, rows: pa.RecordBatch) -> Updates:
        """Take a stored batch of original rows; return the changed candles of each watch."""
        if table not in MARKET_TABLES or not (self._watches or len(self._activity)):
            return []
        batch = _Batch(table, rows)
        self._owed = [*self._owed[-_OWED_MAX:], batch]
        batch.moved = self._watermarks.advance(
            rows.column("feed")[0].as_py(),
            rows.column("instrument").to_numpy(),
            rows.column("ts_event").to_numpy(),
            rows.column("seq")[0].as_py(),
        )
        for one in self._owed[:-1]:  # what they made known was forgotten with everything else
            numbers = one.rows.column("instrument").to_numpy().astype(np.int64)
            also = () if one.moved is None else one.moved.numbers
            self._watermarks.know(np.union1d(numbers, also).astype(np.int64))
        updates: Updates = []
        built = self._built(self._owed)
        for what, watch in self._watches.items():
            # First the rows: what closing builds from the store has them in it already.
            changed = self._changed(what, watch, built.get(what, empty()))
            closing = merge([self._closing(what, watch, one.moved) for one in self._owed])
            self._collect(updates, what, closing, changed)
        for one in self._owed:
            for grid, basis, bars in self._activity.apply(one.table, one.rows, one.moved):
                updates.append((Watched(grid, basis), bars))
        self._owed.clear()
        return updates

    def _built(self, batches: list[_Batch]) -> dict[Watched, States]:
        """Return the states of the batches' rows by what they concern, built once a basis."""
        built: dict[Watched, States] = {}
        for basis in {what.basis for what in self._watches}:
            mine = [one.rows for one in batches if one.table == table_of(basis)]
            if mine:
                whats = [what for what in self._watches if what.basis == basis]
                rows = mine[0] if len(mine) == 1 else pa.Table.from_batches(mine)
                states = build_all(rows, basis, [what.grid for what in whats], self._rules)
                built.update(zip(whats, states, strict=True))
        return built

    def amend(self, feed: int, instrument: int, times: list[int], seq: int) -> Updates:
        """Build the bars at these event times anew, after the event `seq` amended a trade there.

        A bar whose last trade was cancelled goes out once more, with a count of 0.
        """
        updates: Updates = []
        if not self._watches and not len(self._activity):
            return updates
        numbers = np.full(len(times), instrument, np.int32)
        moved = self._watermarks.advance(feed, numbers, np.asarray(times, np.int64), seq)
        for what, watch in self._watches.items():
            changed = empty()
            if what.basis == "trade":
                changed = self._rebuilt(what, watch, instrument, times, seq)
            closing = self._closing(what, watch, moved)
            self._collect(updates, what, closing, changed)
        for grid, basis, bars in self._activity.amend(instrument, times, seq, moved):
            updates.append((Watched(grid, basis), bars))
        return updates

    def cover(self, rows: pa.RecordBatch) -> Updates:
        """Take stored rows of `coverage`; return the candles that closed or are covered otherwise.

        Those without an event are not among them.
        """
        updates: Updates = []
        if not self._watches and not len(self._activity):
            return updates
        nothing = np.empty(0, np.int64)
        seq = rows.column("seq")[0].as_py()
        self._watermarks.renew([number for _, number, _ in self._book.ended_by(rows)])
        moves = [
            self._watermarks.advance(feed, nothing.astype(np.int32), nothing, seq)
            for feed in self._book.moved_by(rows)
        ]
        for feed, numbers in self._book.named_by(rows):
            none = np.full(numbers.shape, NO_EVENT, np.int64)
            moves.append(self._watermarks.advance(feed, numbers.astype(np.int32), none, seq))
        touched = self._book.touched_by(rows)
        for what, watch in self._watches.items():
            closing = merge([self._closing(what, watch, moved) for moved in moves])
            changed = self._touched(what, *_spans_of(touched))
            self._collect(updates, what, closing, changed)
        last = rows.column("seq")[-1].as_py()
        for grid, basis, bars in self._activity.cover(moves, touched, last):
            updates.append((Watched(grid, basis), bars))
        return updates

    def regrown(self) -> Updates:
        """Return the candles of which more is covered since the last batch, though no event of it
        lies in them and the watermark had passed them."""
        updates: Updates = []
        for regrown in self._watermarks.take_regrown():
            for what in self._watches:
                closed = what.grid.ends(what.grid.starts(regrown.lows)) <= regrown.marks
                spans = (column[closed] for column in regrown[:3])
                self._collect(updates, what, empty(), self._touched(what, *spans))
            for grid, basis, bars in self._activity.regrown(*regrown):
                updates.append((Watched(grid, basis), bars))
        return updates

    def _touched(self, what: Watched, numbers: Ints, lows: Ints, highs: Ints) -> States:
        """Return the bars with events in spans of which what is covered has changed, each once."""
        pairs = pairs_touched(self._store, what.grid, what.basis, numbers, lows, highs)
        states = states_of_pairs(self._store, what.grid, what.basis, pairs, self._rules)
        if len(states):
            self._watermarks.know(np.unique(states.instrument))
        return states

    def _rebuilt(
        self, what: Watched, watch: _Watch, instrument: int, times: list[int], seq: int
    ) -> States:
        starts = what.grid.bars_at(np.asarray(times, np.int64)).tolist()
        for start in starts:
            watch.bars.forget(instrument, start)
        states = states_of_bars(
            self._store, instrument, what.grid, what.basis, starts, NOW, self._rules
        )
        watch.bars.put(states)
        gone = sorted(set(starts) - set(states.start.tolist()))
        return merge([states, emptied_states(instrument, gone, [seq] * len(gone))])

    def _changed(self, what: Watched, watch: _Watch, new: States) -> States:
        with watch.bars.lock:
            changed, unknown = watch.bars.apply_states(new)
            self._served.brought_up((what.grid, what.basis))
        return merge([changed, self._build(what, watch, unknown)])

    def _build(self, what: Watched, watch: _Watch, unknown: list[tuple[int, int]]) -> States:
        """Build bars anew from the store, and let the watch hold them."""
        states = states_of_pairs(self._store, what.grid, what.basis, unknown, self._rules)
        watch.bars.put(states)
        return states

    def _closing(self, what: Watched, watch: _Watch, moved: Moved | None) -> States:
        """Return the bars that were forming until the watermark has now passed their end.

        Only the bar that the watermark was in can have been forming.
        """
        if moved is None:
            return empty()
        on = (moved.after > moved.before) & (moved.before != NO_EVENT)
        numbers, before, after = moved.numbers[on], moved.before[on], moved.after[on]
        if not len(numbers):
            return empty()
        starts = what.grid.starts(before)
        over = what.grid.ends(starts) <= after
        inside = what.grid.inside(starts)
        if inside is not None:  # between the bars of sessions there is nothing to close
            over &= inside
        held, unknown = watch.bars.get(numbers[over], starts[over])
        return merge([held, self._build(what, watch, unknown)])

    def _collect(
        self,
        updates: Updates,
        what: Watched,
        closing: States,
        changed: States,
    ) -> None:
        states = _newer_of_each(closing, changed)
        if not len(states):
            return
        bars = states.finish()
        table = finish(bars, what.grid, what.basis, self._watermarks)
        numbers = pa.array(bars.instrument)
        whole = table.add_column(0, UPDATE_SCHEMA.field("instrument"), numbers)
        updates.append((what, whole.combine_chunks().to_batches()[0]))


def _spans_of(touched: list[Touched]) -> tuple[Ints, Ints, Ints]:
    """Return (instrument, low, high) of what was touched, all of shape (n,)."""
    counts = [len(touch.numbers) for touch in touched]
    nothing = [np.empty(0, np.int64)]
    return (
        np.concatenate([*nothing, *(touch.numbers for touch in touched)]),
        np.repeat(np.array([touch.start for touch in touched], np.int64), counts),
        np.repeat(np.array([touch.end for touch in touched], np.int64), counts),
    )


def _newer_of_each(closing: States, changed: States) -> States:
    """Return one state a bar; one that changed is newer than the same bar as it was closed."""
    if not len(closing) or not len(changed):
        return changed if len(changed) else closing
    known = set(zip(changed.instrument.tolist(), changed.start.tolist(), strict=True))
    keys = zip(closing.instrument.tolist(), closing.start.tolist(), strict=True)
    kept = np.fromiter((key not in known for key in keys), np.bool_, len(closing))
    return merge([closing.take(kept), changed])
