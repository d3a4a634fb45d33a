"""Bars by activity: a trading day's events, cut wherever their count, volume or value reaches a
threshold.

Bars begin anew with each trading day, so that a bar depends on the events of one day alone. Within
a day events are taken in event order, (`ts_event`, `seq`), and a bar closes with the event that
brings its published count, volume or notional to the threshold; no event is split. The last bar of
a day may stay below it.

A bar is the state that a bar of time has. Two bars may start at the same time, so its START is not
a time but its place: the start of the day plus the number of the bar within it, from 0. Places rise
with time, differ by day, and the grid of days brings each back to its day. When a bar begins and
ends its open and its close tell.

Every change of a day's events moves the bars that follow. So the revision of a bar is the highest
seq of all that happened from the start of its day to its last event: bars that were not moved keep
theirs, and it is an `as_of` that gives the bar as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickplant.candles import exact
from tickplant.candles.basis import Rows
from tickplant.candles.cuts import cut_counts, cut_sums
from tickplant.candles.fill import FILLS
from tickplant.candles.grid import Grid
from tickplant.candles.interval import MEASURES, Activity
from tickplant.candles.runs import INSTRUMENT, START, Floats, Ints, find_runs, merge_pairs
from tickplant.candles.states import Columns, States, empty, reduce_runs
from tickplant.model.conditions import Update
from tickplant.model.errors import InvalidParameter


def activity_of(grid: Grid) -> Activity | None:
    """Return what the bars of a grid are cut by, None for bars of time."""
    return grid.interval if isinstance(grid.interval, Activity) else None


def check_activity(grid: Grid, basis: str | None, fill: str = FILLS[0]) -> str | None:
    """Return the basis that such bars have by default; raises `InvalidParameter`.

    Volume and value are those of trades. Where bars follow each other without regard to time,
    there is nothing to fill.
    """
    activity = activity_of(grid)
    if activity is None:
        return basis
    what = f"bars by {MEASURES[activity.measure]}"
    if fill != FILLS[0]:
        raise InvalidParameter("fill", fill, f"{FILLS[0]} for {what}")
    if activity.measure == "t":
        return basis
    if basis not in (None, "trade"):
        raise InvalidParameter("basis", basis, f"trade for {what}; quotes have none")
    return "trade"


@dataclass(frozen=True, slots=True, eq=False)
class ActivityBars:
    """Bars by activity, by (instrument, place); `first` and `last` are times of their events.

    They stand beside the states, because open and close of a state are events that update them,
    and not every trade does.
    """

    states: States
    first: Ints
    last: Ints

    def __len__(self) -> int:
        return self.first.size

    def take(self, index: Ints | NDArray[np.bool_] | slice) -> ActivityBars:
        """Return the bars at `index`, which must keep them in order."""
        return ActivityBars(self.states.take(index), self.first[index], self.last[index])


def no_bars() -> ActivityBars:
    """Return no bars."""
    return ActivityBars(empty(), np.empty(0, np.int64), np.empty(0, np.int64))


def join(parts: Sequence[ActivityBars]) -> ActivityBars:
    """Return the bars of all parts, which follow each other in order and share none."""
    parts = [part for part in parts if len(part)]
    if len(parts) <= 1:
        return parts[0] if parts else no_bars()
    return ActivityBars(
        States(np.concatenate([part.states.block for part in parts], axis=1)),
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.last for part in parts]),
    )


def newest_of_each(parts: Sequence[ActivityBars]) -> ActivityBars:
    """Return each bar of the parts once, by (instrument, place): as the last part has it."""
    bars = join(parts)
    if sum(map(bool, map(len, parts))) <= 1:
        return bars
    numbers, places = bars.states.block[[INSTRUMENT, START]]
    order = np.lexsort((np.arange(len(bars)), places, numbers))
    last = (np.diff(numbers[order], append=-1) != 0) | (np.diff(places[order], append=-1) != 0)
    return bars.take(order[last])


class Tails:
    """The last bar of each of many instruments, by number. One thread owns it."""

    def __init__(self) -> None:
        self._bars = no_bars()
        self._known = np.zeros(0, np.bool_)

    def last(self, numbers: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Say of each instrument whether its last bar is known, and when that ended."""
        self._grow(numbers)
        return self._known[numbers], self._bars.last[numbers]

    def get(self, numbers: Ints) -> ActivityBars:
        """Return the last bars of instruments, rising, that are known."""
        return self._bars.take(numbers)

    def known_of(self, numbers: Ints) -> ActivityBars:
        """Return the last bars of those instruments, each named once or more, that are known."""
        numbers = np.unique(numbers)
        known, _ = self.last(numbers)
        return self.get(numbers[known])

    def put(self, bars: ActivityBars) -> None:
        """Take the last of the bars of each instrument."""
        if not len(bars):
            return
        numbers = bars.states.block[INSTRUMENT]
        latest = np.flatnonzero(np.diff(numbers, append=-1))
        numbers = numbers[latest]
        self._grow(numbers, bars.states.block.shape[0])
        self._bars.states.block[:, numbers] = bars.states.block[:, latest]
        self._bars.first[numbers] = bars.first[latest]
        self._bars.last[numbers] = bars.last[latest]
        self._known[numbers] = True

    def forget(self, instrument: int) -> None:
        """Know the last bar of an instrument no longer."""
        if instrument < self._known.size:
            self._known[instrument] = False

    def _grow(self, numbers: Ints, height: int = 0) -> None:
        have = self._known.size
        tall = self._bars.states.block.shape[0]
        need = int(numbers.max(initial=-1)) + 1
        if need <= have and height <= tall:
            return
        size = max(need, have if need <= have else 2 * have)
        block = np.zeros((max(height, tall), size), np.int64)
        block[:tall, :have] = self._bars.states.block
        times = np.zeros((2, size), np.int64)
        times[:, :have] = self._bars.first, self._bars.last
        self._bars = ActivityBars(States(block), *times)
        self._known = np.append(self._known, np.zeros(size - have, np.bool_))


def extend(grid: Grid, last: ActivityBars, events: Events) -> ActivityBars:
    """Return the bars that events change or begin, whole, by (instrument, place).

    `last` has the last bar so far of any of their instruments, whose events all come before them.
    """
    columns = events.columns
    rows = columns.ts.size
    if not rows:
        return no_bars()
    days = grid.starts(columns.ts)
    segments = find_runs(events.instrument, days)
    numbers, days = events.instrument[segments], days[segments]
    before, same_day = _find_last(grid, last.states, numbers, days)
    under_way = same_day.copy()
    under_way[same_day] = ~is_reached(grid, last.states)[before[same_day]]
    held = last.take(before[under_way])
    groups = _cut(grid, columns, segments, held.states, under_way)
    first = np.searchsorted(groups, segments)
    places = days.copy()
    places[same_day] = last.states.start[before[same_day]] + ~under_way[same_day]
    lengths = np.diff(first, append=groups.size)
    starts = np.repeat(places - first, lengths) + np.arange(groups.size)
    states = reduce_runs(np.repeat(numbers, lengths), starts, groups, columns)
    bars = ActivityBars(states, columns.ts[groups], columns.ts[np.append(groups[1:], rows) - 1])
    _prepend(bars, held, first[under_way])
    earlier = np.zeros(segments.size, np.int64)
    earlier[same_day] = last.states.seq_max[before[same_day]]
    _accumulate(states.seq_max, first, earlier)
    return bars


def is_reached(grid: Grid, states: States) -> NDArray[np.bool_]:
    """Say for each bar whether it has reached the threshold, shape (n,): no event adds to it."""
    activity = activity_of(grid)
    assert activity is not None
    if activity.measure == "t":
        reached: NDArray[np.bool_] = states.count >= activity.threshold
        return reached
    sums = states.volume if activity.measure == "v" else states.notional
    return exact.publish(sums) >= activity.threshold


def with_amendments(grid: Grid, bars: ActivityBars, ts: Ints, seqs: Ints) -> ActivityBars:
    """Return the bars of whole days of one instrument with the revisions amendments gave them.

    What was corrected or cancelled moved the bars from its event time on. The last bar of a day
    that is below the threshold may have lost its end, so everything in its day counts.
    """
    if not len(seqs) or not len(bars):
        return bars
    order = np.argsort(ts, kind="stable")
    ts, seqs = ts[order], seqs[order]
    days, of_bar = grid.starts(ts), grid.starts(bars.states.start)
    until = bars.last.copy()
    below = ~is_reached(grid, bars.states)
    until[below] = grid.ends(of_bar[below]) - 1
    revisions = np.zeros(len(bars), np.int64)
    first = find_runs(days[:1], days)
    for low, high in zip(first.tolist(), [*first[1:].tolist(), len(ts)], strict=True):
        mine = np.flatnonzero(of_bar == days[low])
        highest = np.append(0, np.maximum.accumulate(seqs[low:high]))
        revisions[mine] = highest[np.searchsorted(ts[low:high], until[mine], "right")]
    return ActivityBars(bars.states.with_revision(revisions), bars.first, bars.last)


class Events(NamedTuple):
    """Rows that make bars, by (instrument, ts, seq); `instrument` has shape (n,) as they have."""

    instrument: Ints
    columns: Columns

    def take(self, index: Ints | NDArray[np.bool_]) -> Events:
        """Return the rows at `index`, which must keep them in order."""
        return Events(self.instrument[index], self.columns.take(index))


def in_order(grid: Grid, rows: Rows) -> Events:
    """Return the rows that make bars, in order: those with a price that update anything."""
    columns = rows.columns
    keep = ~np.isnan(columns.price)
    inside = grid.inside(columns.ts)
    if inside is not None:
        keep &= inside
    if columns.updates is not None:
        keep &= columns.updates != 0
        if columns.size is not None:
            counts = columns.updates & int(Update.VOLUME) != 0
            columns = columns._replace(size=np.where(counts, columns.size, 0.0))
    places = np.flatnonzero(keep)
    numbers, columns = rows.instrument[places].astype(np.int64), columns.take(places)
    if not _is_sorted(numbers, columns.ts, columns.seq):
        order = np.lexsort((columns.seq, columns.ts, numbers))
        numbers, columns = numbers[order], columns.take(order)
    return Events(numbers, columns)


def _is_sorted(number: Ints, ts: Ints, seq: Ints) -> bool:
    same, rising = number[1:] == number[:-1], ts[1:] > ts[:-1]
    rising |= (ts[1:] == ts[:-1]) & (seq[1:] > seq[:-1])
    return bool(((number[1:] > number[:-1]) | (same & rising)).all())


def _find_last(grid: Grid, last: States, whose: Ints, day: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the place of each segment's last bar, and whether it has one of the same day."""
    if not len(last):
        return np.zeros(whose.size, np.int64), np.zeros(whose.size, np.bool_)
    numbers = last.block[INSTRUMENT]
    before = np.minimum(np.searchsorted(numbers, whose), numbers.size - 1)
    return before, (numbers[before] == whose) & (grid.starts(last.start)[before] == day)


def _cut(
    grid: Grid, columns: Columns, segments: Ints, held: States, under_way: NDArray[np.bool_]
) -> Ints:
    """Return where the bars of rows begin; `held` are the bars of the segments `under_way`."""
    activity = activity_of(grid)
    assert activity is not None
    if activity.measure == "t":
        counts = np.zeros(segments.size, np.int64)
        counts[under_way] = held.count
        return cut_counts(segments, columns.ts.size, counts, int(activity.threshold))
    assert columns.size is not None
    values: Floats = np.nan_to_num(columns.size, nan=0.0)
    if activity.measure == "$":
        values = columns.price * values
    sums = np.zeros((exact.DIGITS, segments.size), np.int64)
    sums[:, under_way] = held.volume if activity.measure == "v" else held.notional
    return cut_sums(values, segments, sums, activity.threshold)


def _prepend(bars: ActivityBars, under_way: ActivityBars, places: Ints) -> None:
    """Merge bars that were under way into those that continue them, in place."""
    if places.size:
        block = bars.states.block
        block[:, places] = merge_pairs(under_way.states.block, block[:, places])
        bars.first[places] = under_way.first


def _accumulate(revisions: Ints, first: Ints, earlier: Ints) -> None:
    """Let no revision be below that of a bar before it in its run, in place."""
    revisions[first] = np.maximum(revisions[first], earlier)
    lengths = np.diff(first, append=revisions.size)
    for run in np.flatnonzero(lengths > 1).tolist():
        mine = slice(first[run], first[run] + lengths[run])
        np.maximum.accumulate(revisions[mine], out=revisions[mine])
