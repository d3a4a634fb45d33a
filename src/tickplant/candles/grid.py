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
does. A grid with an exchange calendar and a session of it has other bars (see `sessions.py`); what
lies between them has a start and an end as well, and `inside` tells the two apart.

Times are int64 nanoseconds UTC from 1688 to 2252. Methods that take one time clip it to that; the
arrays must be within it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.calendars import ALL, REGULAR, SESSIONS, find_calendar, schedule_of
from tickplant.candles.coverage import Spans
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
from tickplant.candles.sessions import SessionBars, session_bars, split
from tickplant.model.errors import InvalidParameter
from tickplant.model.times import NS_PER_DAY, NS_PER_S

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

# Ten years within the known days, so that the longest candle of any time is known whole.
TIME_MIN = (DATE_MIN + 3_700) * NS_PER_DAY
TIME_MAX = (DATE_MAX - 3_700) * NS_PER_DAY


@dataclass(frozen=True, slots=True)
class Grid:
    """Where candles begin and end. Hashable; equal grids have the same interval and origin.

    `day_start` is `HH:MM` on the clock of `timezone`. With a `calendar`, by its own name, both are
    the calendar's, and `session` says which events count: `regular` and `extended` hours have their
    own bars, `all` are ordinary days that begin as the calendar's do. `Grid.of` takes what a user
    gives. Raises `InvalidParameter`. Any thread may use it.
    """

    interval: Interval
    timezone: str = "UTC"
    day_start: str = "00:00"
    calendar: str | None = None
    session: str = REGULAR
    _days: Days = field(init=False, repr=False, compare=False)
    _uniform: tuple[int, int] | None = field(init=False, repr=False, compare=False)
    _sessions: SessionBars | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_zone(self.timezone)
        days = days_of(self.timezone, check_day_start(self.day_start))
        sessions = None
        if self.calendar is not None:
            _check_origin(self.calendar, self.timezone, self.day_start)
            if self.session != ALL:
                sessions = session_bars(self.calendar, self.session, self.interval)
        uniform = None if sessions else _uniform(self.interval, self.timezone, days)
        object.__setattr__(self, "_days", days)
        object.__setattr__(self, "_uniform", uniform)
        object.__setattr__(self, "_sessions", sessions)

    @classmethod
    def of(
        cls,
        interval: Interval,
        timezone: str | None = None,
        day_start: str | None = None,
        calendar: str | None = None,
        session: str | None = None,
    ) -> Grid:
        """Return the grid that a user asks for; None is what was not given.

        A calendar may be named in any case and by any alias, and brings its zone and start of day;
        others beside it are refused, and so is a session without a calendar. The first use of a
        calendar takes about a second. Raises `InvalidParameter`, and `UserError` where the
        calendars are not installed.
        """
        if calendar is None:
            if session is not None:
                raise InvalidParameter("session", session, "a session only beside a calendar")
            timezone = "UTC" if timezone is None else timezone
            return _plain_grid(interval, timezone, "00:00" if day_start is None else day_start)
        session = REGULAR if session is None else session
        if session not in SESSIONS:
            raise InvalidParameter("session", session, ", ".join(SESSIONS))
        name = find_calendar(calendar)
        origin = schedule_of(name)
        return cls(
            interval,
            origin.timezone if timezone is None else timezone,
            origin.day_start if day_start is None else day_start,
            name,
            session,
        )

    @property
    def origin(self) -> dict[str, str]:
        """What a user is told of the origin: zone, start of day, calendar and session if any."""
        origin = {"timezone": self.timezone, "day_start": self.day_start}
        if self.calendar is None:
            return origin
        return {**origin, "calendar": self.calendar, "session": self.session}

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
        if self._sessions:
            return self._sessions.starts(ts)
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
        if self._sessions:
            return self._sessions.ends(starts)
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
        if self._sessions:
            return self._sessions.range(first, end, limit)
        edges = self._edges(start, end)
        step = self.interval.step_ns
        starts = split(edges[:-1], edges[1:], step, first, limit) if step else edges[:-1]
        low, high = np.searchsorted(starts, (first, end), "left")
        return starts[low:high][:limit].copy()

    def newest(self, start: int, end: int, count: int) -> Ints:
        """Return the last `count` of `range(start, end)`, rising, without computing all of them."""
        width = count * self.length_ns_max
        while True:
            low = max(self.floor(end - width), start)
            starts = self.range(low, end)
            if starts.size >= count or low == start:
                return starts[-count:]
            width *= 4  # nights and week-ends lie between the bars of sessions

    def inside(self, ts: Ints) -> Flags | None:
        """Say which times, shape (n,), are in a bar's opening hours; None where all are.

        Events outside make no bars; without a session of a calendar there are none outside.
        """
        if self._sessions is None or not ts.size:
            return None
        return self._sessions.inside(ts)

    def open_spans(self, low: int, high: int) -> Spans | None:
        """Return when events count in `[low, high)`, and some time around it; None: always."""
        return self._sessions.open_spans(low, high) if self._sessions else None

    def bars_at(self, ts: Ints) -> Ints:
        """Return the starts of the bars that these times fall into, rising, each once."""
        inside = self.inside(ts)
        return np.unique(self.starts(ts if inside is None else ts[inside]))

    def check_known(self, low: int, high: int) -> None:
        """Raise `InvalidParameter` where the calendar does not know all sessions of `[low, high]`.

        Events out there make no bars, which must not look like a market without trades.
        """
        if self._sessions:
            self._sessions.check_known(low, high)

    def cuts(self, ts: Ints) -> Ints:
        """Return the last time up to each of `ts` at which a bar or opening hours begin or end."""
        return self._sessions.cuts(ts) if self._sessions and ts.size else self.starts(ts)

    def cut_range(self, start: int, end: int) -> Ints:
        """Return all cuts with `start <= cut < end`, rising; `start` is one of them."""
        return self._sessions.cut_range(start, end) if self._sessions else self.range(start, end)

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


@lru_cache(maxsize=128)
def _plain_grid(interval: Interval, timezone: str, day_start: str) -> Grid:
    return Grid(interval, timezone, day_start)


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
    return interval.length_ns_max, days.start_of(interval.epoch_date)


def _check_origin(calendar: str, timezone: str, day_start: str) -> None:
    origin = schedule_of(calendar)
    given = (("timezone", timezone, origin.timezone), ("day_start", day_start, origin.day_start))
    for name, value, allowed in given:
        if value != allowed:
            raise InvalidParameter(name, value, f"{allowed} with the calendar {calendar}, or none")


@lru_cache(maxsize=128)
def _period_edges(table: DayTable, interval: Interval) -> Ints:
    """Return the starts of the days with which a candle of days, weeks or months begins."""
    dates = table.dates
    period = interval.period_of(dates)
    edges: Ints = table.starts[1:][period[1:] != period[:-1]]
    return edges
