"""Grids: where candles begin and end.

A grid is an interval and an origin (a time zone and a start of day, see `days.py`). The rules:

- `s`, `m`, `h` up to 24 hours count elapsed time from the start of the trading day and begin
  anew with the next one; the last candle of a day is cut short where the interval does not
  divide the day.
- Longer ones (`36h`) count elapsed time without a break from the start of the trading day
  1970-01-01.
- `d` are trading days; `Nd` are runs of N dates counted from 1970-01-01.
- `w` begin with Monday's trading day; `Nw` are counted from Monday 1970-01-05.
- `mo` begin with the trading day of the 1st; `Nmo` are counted from January 1970, so that `3mo`
  are quarters and `12mo` years.

A date that does not exist in the zone is counted, but a candle begins with the first day that
does. Times are int64 nanoseconds UTC from 1688 to 2252. Methods that take one time clip it to
that; the arrays must be within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.days import (
    DATE_MAX,
    DATE_MIN,
    UTC_NAMES,
    Days,
    DayTable,
    check_day_start,
    check_zone,
    days_of,
)
from tickplant.candles.interval import Interval
from tickplant.model.times import NS_PER_DAY, NS_PER_S

Ints = NDArray[np.int64]

# Ten years within the known days, so that the longest candle of any time is known whole.
TIME_MIN = (DATE_MIN + 3_700) * NS_PER_DAY
TIME_MAX = (DATE_MAX - 3_700) * NS_PER_DAY
_MONDAY = 4  # 1970-01-05


@dataclass(frozen=True, slots=True)
class Grid:
    """Where candles begin and end. Hashable; equal grids have the same interval and origin.

    `day_start` is `HH:MM` on the clock of `timezone`. Raises `InvalidParameter`. Any thread may
    use it.
    """

    interval: Interval
    timezone: str = "UTC"
    day_start: str = "00:00"
    _days: Days = field(init=False, repr=False, compare=False)
    _uniform: tuple[int, int] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_zone(self.timezone)
        days = days_of(self.timezone, check_day_start(self.day_start))
        object.__setattr__(self, "_days", days)
        object.__setattr__(self, "_uniform", _uniform(self.interval, self.timezone, days))

    @property
    def uniform(self) -> tuple[int, int] | None:
        """(step, offset) in ns where every candle has the same length, else None."""
        return self._uniform

    @property
    def unit_ns(self) -> int:
        """The distance of any two starts, in ns, is a multiple of this."""
        return self._uniform[0] if self._uniform else NS_PER_S

    @property
    def length_ns(self) -> int:
        """Length of most candles, in ns; of months and the like an upper bound."""
        return self.interval.length_ns_max

    @property
    def length_ns_max(self) -> int:
        """An upper bound of a candle's length in ns, with room for changes of the clock."""
        return self.interval.length_ns_max + NS_PER_DAY

    def starts(self, ts: Ints) -> Ints:
        """Return the start of the candle of each time; any shape (n,), any order."""
        if self._uniform:
            step, offset = self._uniform
            if offset == 0:
                return ts // step * step
            return (ts - offset) // step * step + offset
        if ts.size == 0:
            return np.empty(0, np.int64)
        edges = self._edges(int(ts.min()), int(ts.max()))[:-1]
        step = self.interval.step_ns
        if edges.size == 1:
            first = edges[0]
            return first + (ts - first) // step * step if step else np.full(ts.shape, first)
        base = edges[np.maximum(np.searchsorted(edges, ts, "right") - 1, 0)]
        return base + (ts - base) // step * step if step else base

    def ends(self, starts: Ints) -> Ints:
        """Return the end, exclusive, of each candle that starts at `starts`, shape (n,)."""
        if self._uniform:
            return starts + self._uniform[0]
        if starts.size == 0:
            return np.empty(0, np.int64)
        edges = self._edges(int(starts.min()), int(starts.max()))
        after = np.minimum(np.searchsorted(edges, starts, "right"), edges.size - 1)
        step = self.interval.step_ns
        return np.minimum(starts + step, edges[after]) if step else edges[after]

    def floor(self, ts: int) -> int:
        """Return the start of the candle of one time."""
        return int(self.starts(np.array([_clip(ts)], dtype=np.int64))[0])

    def next(self, start: int) -> int:
        """Return the start of the candle after the one that starts at `start`."""
        return int(self.ends(np.array([_clip(start)], dtype=np.int64))[0])

    def range(self, start: int, end: int, limit: int | None = None) -> Ints:
        """Return all starts b with `floor(start) <= b < end`, rising; with `limit` the first ones.

        Empty where `end <= start`. No more than `limit` (and a day's) candles are ever computed.
        """
        start, end = _clip(start), _clip(end)
        if end <= start:
            return np.empty(0, np.int64)
        first = self.floor(start)
        if self._uniform:
            step = self._uniform[0]
            count = -(-(end - first) // step)
            count = count if limit is None else min(count, limit)
            return first + np.arange(count, dtype=np.int64) * step
        edges = self._edges(start, end)
        step = self.interval.step_ns
        starts = _split_days(edges, step, first, limit) if step else edges[:-1]
        low, high = np.searchsorted(starts, (first, end), "left")
        return starts[low:high][:limit].copy()

    def _edges(self, low: int, high: int) -> Ints:
        """Return the edges around [low, high]: the first <= low, the last > high, rising."""
        interval = self.interval
        margin = 0 if interval.step_ns else int(interval.length_ns_max // NS_PER_DAY) + 1
        table = self._days.covering(_clip(low), _clip(high), margin)
        edges = table.starts if interval.step_ns else _period_edges(table, interval)
        first = int(np.searchsorted(edges, low, "right")) - 1
        last = int(np.searchsorted(edges, high, "right"))
        around: Ints = edges[max(first, 0) : last + 1]
        return around


class Cells:
    """The cells into which the edges of several grids cut time: none crosses an edge.

    States that are built once on the cells can be rolled up to each of the grids. A cell starts
    with the latest of the candles that a time is in: two times with the same latest start cannot
    have an edge between them, for a candle would start there, and later.
    """

    unit_ns = NS_PER_S

    def __init__(self, grids: Sequence[Grid]) -> None:
        self._grids = tuple(grids)
        self.length_ns = min(grid.length_ns for grid in self._grids)

    def starts(self, ts: Ints) -> Ints:
        """Return the start of the cell of each time, shape (n,)."""
        starts = self._grids[0].starts(ts)
        for grid in self._grids[1:]:
            np.maximum(starts, grid.starts(ts), out=starts)
        return starts

    def range(self, start: int, end: int) -> Ints:
        """Return all starts b with `start of start's cell <= b < end`, rising."""
        first = max(grid.floor(start) for grid in self._grids)
        return np.unique(np.concatenate([grid.range(first, end) for grid in self._grids]))


def _clip(ts: int) -> int:
    return min(max(ts, TIME_MIN), TIME_MAX)


def _uniform(interval: Interval, timezone: str, days: Days) -> tuple[int, int] | None:
    step = interval.step_ns
    if step > NS_PER_DAY:
        return step, days.start_of(0)
    if timezone not in UTC_NAMES or interval.unit == "mo":
        return None
    if step:
        return (step, days.start_of(0) % step) if NS_PER_DAY % step == 0 else None
    origin = _MONDAY if interval.unit == "w" else 0
    return interval.length_ns_max, days.start_of(origin)


@lru_cache(maxsize=128)
def _period_edges(table: DayTable, interval: Interval) -> Ints:
    """Return the starts of the days with which a candle of days, weeks or months begins."""
    dates = table.dates
    if interval.unit == "d":
        period = dates // interval.count
    elif interval.unit == "w":
        period = (dates - _MONDAY) // (7 * interval.count)
    else:
        months = dates.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        period = months // interval.count
    edges: Ints = table.starts[1:][period[1:] != period[:-1]]
    return edges


def _split_days(edges: Ints, step: int, first: int, limit: int | None) -> Ints:
    """Return the starts of candles of `step` within the days between `edges`, first to last."""
    counts = -(-np.diff(edges) // step)
    if limit is not None:
        skipped = int(first - edges[0]) // step
        days = int(np.searchsorted(np.cumsum(counts), limit + skipped, "left")) + 1
        edges, counts = edges[: days + 1], counts[:days]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts: Ints = np.repeat(edges[:-1], counts) + within * step
    return starts
