"""Live bars by activity: what each batch changes in those that somebody watches.

    batch ──► events that follow their instrument's last bar ──► added to it ──┐
                │ others: late ones, and an instrument's first                 ├──► changed bars
                └──► their days built anew from the store ─────────────────────┤
    watermark passes the end of a day ──► its last bar again, closed ──────────┘

Of each instrument the last bar is held, and nothing else. Owned by the plant's thread. The store
already has the rows when `apply` is called.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tickplant.candles.activity import (
    ActivityBars,
    Events,
    Tails,
    activity_of,
    extend,
    in_order,
    is_reached,
    newest_of_each,
    no_bars,
)
from tickplant.candles.basis import rows_of, table_of
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.runs import Ints
from tickplant.model.times import INT64_MAX
from tickplant.plant.activity import ActivityDays
from tickplant.plant.activity_table import update_rows
from tickplant.plant.coverage import Touched
from tickplant.plant.watermarks import NO_EVENT, Moved, Watermarks
from tickplant.store.contract import Store

Update = tuple[Grid, str, pa.RecordBatch]


class _Batch(NamedTuple):
    """What arrived: the first and the last number of it, and how far it moved the watermarks.

    `moved` is None where that could not be found out.
    """

    seq_first: int
    seq_last: int
    moved: Moved | None


class LiveActivity:
    """The watched bars by activity; counts users as `LiveCandles` does for bars of time."""

    def __init__(self, store: Store, watermarks: Watermarks, rules: InstrumentRules) -> None:
        self._store = store
        self._rules = rules
        self._watermarks = watermarks
        self._watches: dict[tuple[Grid, str], _Watch] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def watch(self, grid: Grid, basis: str) -> bool:
        """Begin to publish these bars; False for bars of time, which are not for here."""
        if activity_of(grid) is None:
            return False
        watch = self._watches.setdefault(
            (grid, basis), _Watch(ActivityDays(self._store, grid, basis, self._rules))
        )
        watch.users += 1
        return True

    def unwatch(self, grid: Grid, basis: str) -> None:
        """Undo one `watch`."""
        watch = self._watches.get((grid, basis))
        if watch is None:
            return
        watch.users -= 1
        if watch.users <= 0:
            del self._watches[grid, basis]

    def forget(self) -> None:
        """Drop every bar that is held; they are built anew from the store."""
        for watch in self._watches.values():
            watch.tails = Tails()

    def apply(self, table: str, rows: pa.RecordBatch, moved: Moved | None) -> list[Update]:
        """Take a stored batch of original rows; return the changed bars of each watch."""
        seq = rows.column("seq")
        batch = _Batch(seq[0].as_py(), seq[-1].as_py(), moved)
        updates: list[Update] = []
        for (grid, basis), watch in self._watches.items():
            bars = watch.apply(rows if table_of(basis) == table else None, batch)
            self._collect(updates, grid, basis, bars)
        return updates

    def amend(self, instrument: int, times: list[int], seq: int, moved: Moved) -> list[Update]:
        """Build the days of these event times anew, after the event `seq` amended a trade there."""
        updates: list[Update] = []
        for (grid, basis), watch in self._watches.items():
            bars = watch.amend(instrument, times, _Batch(seq, seq, moved))
            self._collect(updates, grid, basis, bars)
        return updates

    def cover(self, moves: list[Moved], touched: list[Touched], seq: int) -> list[Update]:
        """Return the bars that closed or are covered otherwise since the event `seq`."""
        updates: list[Update] = []
        for (grid, basis), watch in self._watches.items():
            bars = watch.cover(moves, touched, seq)
            if len(bars):
                self._watermarks.know(np.unique(bars.states.instrument))
            self._collect(updates, grid, basis, bars)
        return updates

    def regrown(self, numbers: Ints, lows: Ints, highs: Ints, marks: Ints) -> list[Update]:
        """Return the bars of which more is covered since, by events behind their watermarks."""
        late = np.flatnonzero(lows < marks)
        spans = (part[late].tolist() for part in (numbers, lows, highs))
        touched = [
            Touched(np.array([one], np.int64), *span) for one, *span in zip(*spans, strict=True)
        ]
        return self.cover([], touched, INT64_MAX) if touched else []

    def _collect(self, updates: list[Update], grid: Grid, basis: str, bars: ActivityBars) -> None:
        if len(bars):
            updates.append((grid, basis, update_rows(bars, grid, basis, self._watermarks)))


class _Watch:
    """One kind of bars. `tails` has the last bar of each instrument whose last bar is known."""

    def __init__(self, days: ActivityDays) -> None:
        self._days = days
        self._grid = days.grid
        self._basis = days.basis
        self.tails = Tails()
        self.users = 0

    def apply(self, rows: pa.RecordBatch | None, batch: _Batch) -> ActivityBars:
        closing, unknown = self._closing(batch.moved)
        parts = [closing]
        if rows is not None:
            mine = rows_of(self._basis, rows, self._days.rules)
            parts += self._changed(in_order(self._grid, mine), batch)
        return newest_of_each([*self._read(unknown, batch.seq_last), *parts])

    def amend(self, instrument: int, times: list[int], batch: _Batch) -> ActivityBars:
        closing, unknown = self._closing(batch.moved)
        parts = [*self._read(unknown, batch.seq_last), closing]
        if self._basis == "trade":
            self.tails.forget(instrument)
            days = self._grid.bars_at(np.asarray(times, np.int64)).tolist()
            parts.append(self._days.changed(instrument, days, batch.seq_first - 1, batch.seq_last))
        return newest_of_each(parts)

    def cover(self, moves: list[Moved], touched: list[Touched], seq: int) -> ActivityBars:
        parts = [self._days.overlapping(*one, seq) for one in touched]
        for moved in moves:
            closing, unknown = self._closing(moved)
            parts += [closing, *self._read(unknown, seq)]
        return newest_of_each(parts)

    def _changed(self, events: Events, batch: _Batch) -> list[ActivityBars]:
        if not events.instrument.size:
            return []
        first = np.flatnonzero(np.diff(events.instrument, prepend=-1))
        numbers = events.instrument[first]
        known, last = self.tails.last(numbers)
        following = known & (events.columns.ts[first] >= last)
        if following.all():
            return [self._extended(events)]
        kept = np.repeat(following, np.diff(first, append=events.instrument.size))
        anew = self._anew(events.take(~kept), batch)
        return [*anew, self._extended(events.take(kept))]

    def _extended(self, events: Events) -> ActivityBars:
        bars = extend(self._grid, self.tails.known_of(events.instrument), events)
        self.tails.put(bars)
        return bars

    def _anew(self, events: Events, batch: _Batch) -> list[ActivityBars]:
        """Build the days of late events anew, and those of instruments not known yet."""
        days = self._grid.starts(events.columns.ts)
        parts: list[ActivityBars] = []
        for day in np.unique(days).tolist():
            numbers = np.unique(events.instrument[days == day])
            bars = self._days.of_many(numbers, day, batch.seq_last)
            parts.append(bars.take(bars.states.seq_max >= batch.seq_first))
            self._know(bars, day, batch.moved)
        return parts

    def _know(self, bars: ActivityBars, day: int, moved: Moved | None) -> None:
        """Hold the last bars of a day, of those instruments that have no event in a later one."""
        if moved is not None and len(bars):
            numbers = bars.states.instrument
            after = moved.after[np.searchsorted(moved.numbers, numbers)]
            self.tails.put(bars.take(after < self._grid.next(day)))

    def _closing(self, moved: Moved | None) -> tuple[ActivityBars, list[tuple[Ints, int]]]:
        """Return bars that were forming until the watermark has now passed the end of their day.

        Then the instruments whose last bar is not known, by day. Only the last bar of the day that
        the watermark was in can have been forming.
        """
        if moved is None:
            return no_bars(), []
        grid = self._grid
        on = (moved.after > moved.before) & (moved.before != NO_EVENT)
        numbers, before, after = moved.numbers[on], moved.before[on], moved.after[on]
        days = grid.starts(before)
        over = grid.ends(days) <= after
        numbers, days = numbers[over], days[over]
        known, _ = self.tails.last(numbers)
        bars = self.tails.get(numbers[known])
        closing = grid.starts(bars.states.start) == days[known]
        closing &= ~is_reached(grid, bars.states)
        numbers, days = numbers[~known], days[~known]
        return bars.take(closing), [(numbers[days == day], day) for day in np.unique(days).tolist()]

    def _read(self, unknown: list[tuple[Ints, int]], seq: int) -> list[ActivityBars]:
        return [self._days.below(numbers, day, seq) for numbers, day in unknown]
