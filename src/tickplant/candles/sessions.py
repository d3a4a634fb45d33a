"""Bars of exchange sessions: where they begin and end, and what lies between them.

Time is cut into pieces: the bars, and the spans between one bar's end and the next one's start.
Both have a start and an end, so whatever asks a grid for starts and ends gets on without knowing of
sessions; the pieces between bars hold no bar, and `inside` says which events are in none.

    session        09:30 ─────────────── 16:00            09:30 ── 13:00 (closes early)
    390m and 1d    [        one bar           )  between  [  bar   )  between
    4h             [  bar  )[ bar, cut        )  between  [  bar   )  between

- Intervals of s, m and h count from each open, and from the end of each break; the last bar before
  a close or a break is cut there.
- `d`, `w` and `mo` are runs of sessions, by the session's date, as for any other grid: `1d` is one
  session, `1w` those of Monday to Sunday, `Nd` those of N dates. They last from the first open to
  the last close, and events in breaks, nights and week-ends between those count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.calendars import EXTENDED, Schedule, extended_of, schedule_of
from tickplant.candles.coverage import Spans, spans
from tickplant.candles.days import DATE_MAX, DATE_MIN
from tickplant.candles.interval import Interval
from tickplant.model.errors import InvalidParameter
from tickplant.model.times import NS_PER_DAY

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

_FIRST, _LAST = (DATE_MIN + 1) * NS_PER_DAY, (DATE_MAX - 1) * NS_PER_DAY


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """All of time cut at `edges`, rising, shape (k + 1,); `is_bar` says which pieces are bars."""

    edges: Ints
    is_bar: Flags

    def around(self, ts: Ints) -> tuple[Ints, Flags]:
        """Return the edges of the pieces that the times are in, and those between; n > 0."""
        first = int(np.searchsorted(self.edges, ts.min(), "right")) - 1
        last = int(np.searchsorted(self.edges, ts.max(), "right"))
        first, last = max(first, 0), min(last, self.is_bar.size)
        return self.edges[first : last + 1], self.is_bar[first:last]

    def starts(self, ts: Ints, step: int = 0) -> Ints:
        """Return the start of each time's piece, or of its bar of `step` in a piece that is one."""
        edges, is_bar = self.around(ts)
        if is_bar.size == 1:
            first = edges[0]
            return (
                first + (ts - first) // step * step
                if step and is_bar[0]
                else (np.full(ts.shape, first))
            )
        place = np.searchsorted(edges[1:-1], ts, "right")
        base: Ints = edges[place]
        return np.where(is_bar[place], base + (ts - base) // step * step, base) if step else base

    def ends(self, starts: Ints, step: int = 0) -> Ints:
        """Return the end of each piece, or bar of `step`, that starts at `starts`."""
        edges, is_bar = self.around(starts)
        place = np.searchsorted(edges[1:-1], starts, "right")
        whole: Ints = edges[place + 1]
        return np.where(is_bar[place], np.minimum(starts + step, whole), whole) if step else whole

    def bars(self, start: int, end: int) -> tuple[Ints, Ints]:
        """Return the starts and ends of the bars that reach into `[start, end)`."""
        first = max(int(np.searchsorted(self.edges, start, "right")) - 1, 0)
        last = int(np.searchsorted(self.edges, end, "left"))
        kept = np.flatnonzero(self.is_bar[first:last]) + first
        return self.edges[kept], self.edges[kept + 1]


class SessionBars:
    """The bars of one interval on the sessions of one calendar. Any thread may use it."""

    def __init__(self, schedule: Schedule, interval: Interval) -> None:
        self._schedule = schedule
        self._step = interval.step_ns
        self._open = _open_pieces(schedule)
        self._pieces = self._open if self._step else _period_pieces(schedule, interval)

    def starts(self, ts: Ints) -> Ints:
        """Return the start of the bar of each time, or of the piece between bars, shape (n,)."""
        return self._pieces.starts(ts, self._step)

    def ends(self, starts: Ints) -> Ints:
        """Return the end of each bar, or piece between bars, that starts at `starts`."""
        return self._pieces.ends(starts, self._step)

    def inside(self, ts: Ints) -> Flags | None:
        """Say which times the market is open at; None where it is at all of them."""
        edges, is_bar = self._open.around(ts)
        if is_bar.all():
            return None
        found: Flags = is_bar[np.searchsorted(edges[1:-1], ts, "right")]
        return found

    def open_spans(self, low: int, high: int) -> Spans:
        """Return when the market is open in `[low, high)`, and some time around it."""
        return spans(*self._open.bars(low, high))

    def range(self, first: int, end: int, limit: int | None) -> Ints:
        """Return the starts of the bars with `first <= start < end`, rising; at most `limit`."""
        begins, ends = self._pieces.bars(first, end)
        if self._step:
            begins = split(begins, ends, self._step, first, limit)
        low, high = np.searchsorted(begins, (first, end), "left")
        return begins[low:high][:limit].copy()

    def cuts(self, ts: Ints) -> Ints:
        """Return the last edge, of a bar or of opening hours, up to each time."""
        return np.maximum(self.starts(ts), self._open.starts(ts))

    def cut_range(self, first: int, end: int) -> Ints:
        """Return every edge with `first <= edge < end`, of bars and of opening hours, rising."""
        edges = np.concatenate([self._open.edges, self._pieces.edges])
        edges = edges[(edges >= first) & (edges < end)]
        return np.unique(np.concatenate([edges, self.range(first, end, None)]))

    def check_known(self, low: int, high: int) -> None:
        """Raise `InvalidParameter` where sessions of `[low, high]`, in ns, are not known."""
        schedule = self._schedule
        first, last = schedule.first_date, schedule.last_date
        # A trading day may begin on the evening before; a day more is nobody's loss.
        if low >= (first - 1) * NS_PER_DAY and high < (last + 1) * NS_PER_DAY:
            return
        days = np.array([first, last, low // NS_PER_DAY, high // NS_PER_DAY]).astype(_DAYS)
        known_from, known_to, asked_from, asked_to = days.tolist()
        allowed = (
            f"a calendar that knows the time asked for; its sessions are known from {known_from} "
            f"to {known_to}, and the events asked for reach from {asked_from} to {asked_to}: ask "
            "with start and end, or update exchange_calendars"
        )
        raise InvalidParameter("calendar", schedule.name, allowed)


_DAYS = "datetime64[D]"


@lru_cache(maxsize=128)
def session_bars(calendar: str, session: str, interval: Interval) -> SessionBars:
    """Return the shared bars of a calendar by its own name; the 128 last used are kept."""
    schedule = extended_of(calendar) if session == EXTENDED else schedule_of(calendar)
    return SessionBars(schedule, interval)


def split(begins: Ints, ends: Ints, step: int, first: int, limit: int | None) -> Ints:
    """Return the starts of bars of `step` within spans, rising, the last of each cut short.

    With `limit` at least that many from `first`, which lies in the first span, where there are.
    """
    counts = -(-(ends - begins) // step)
    if limit is not None and begins.size:
        skipped = max(first - int(begins[0]), 0) // step
        spans = int(np.searchsorted(np.cumsum(counts), limit + skipped, "left")) + 1
        begins, counts = begins[:spans], counts[:spans]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts: Ints = np.repeat(begins, counts) + within * step
    return starts


def _open_pieces(schedule: Schedule) -> Pieces:
    breaks = schedule.break_ends > schedule.break_starts
    begins = np.concatenate([schedule.opens, schedule.break_ends[breaks]])
    ends = np.concatenate([schedule.closes, schedule.break_starts[breaks]])
    return _cut(np.sort(begins), np.sort(ends))


def _period_pieces(schedule: Schedule, interval: Interval) -> Pieces:
    period = interval.period_of(schedule.dates)
    first = np.flatnonzero(np.append(True, period[1:] != period[:-1]))
    last = np.append(first[1:], period.size) - 1
    return _cut(schedule.opens[first], schedule.closes[last])


def _cut(begins: Ints, ends: Ints) -> Pieces:
    """Return all of time, cut at the bars from `begins` to `ends`; some may touch."""
    edges = np.column_stack([begins, ends]).ravel()
    is_bar = np.tile([True, False], begins.size)
    kept = np.append(edges[1:] != edges[:-1], True)
    return Pieces(np.concatenate([[_FIRST], edges[kept], [_LAST]]), np.append(False, is_bar[kept]))
