"""Coverage by own evidence: feeds that do not say what they are subscribed to.

What a push endpoint or an import covers is known from its rows alone, and of each instrument for
itself: from the first to the last event time of a session (one run of the plant). What an earlier
session closed is not widened: an event that falls between spans of earlier sessions is late, no
more. A session's own events lie behind all that is closed (`late` side) or before it (`early`
side, a backfill); each side is one span that grows both ways.

           closed by earlier sessions
    early    ┌────┐       ┌─────┐      this session
    [──]     │    │   .   │     │      [───────]
                      └ late: within what is closed, proves nothing
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tickplant.candles.coverage import Flags, Ints, Spans, spans
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.arrays import grown


class Widened(NamedTuple):
    """Instruments whose span behind what was closed began, or began earlier, with a batch.

    `ends` is where what was closed ends, `firsts` where the span begins now, shape (n,).
    """

    numbers: Ints
    ends: Ints
    firsts: Ints


class Grown(NamedTuple):
    """Instruments of which more is covered now: what lies between `lows` and `highs`, shape (n,).

    `back` says where that lies before what was covered, not behind it. A number may come again.
    """

    numbers: Ints
    lows: Ints
    highs: Ints
    back: Flags


_NONE = np.empty(0, np.int64)
NOT_WIDENED = Widened(_NONE, _NONE, _NONE)


class OwnCoverage:
    """The spans of one feed's instruments. One thread changes it, under its owner's lock."""

    def __init__(self) -> None:
        self._first = np.empty(0, np.int64)  # of the session, behind what is closed
        self._last = np.empty(0, np.int64)
        self._early_first = np.empty(0, np.int64)  # of the session, before what is closed
        self._early_last = np.empty(0, np.int64)
        self._closed_first = np.empty(0, np.int64)
        self._closed_last = np.empty(0, np.int64)
        self._dirty = np.empty(0, np.bool_)
        self._closed = (
            _NONE,
            _NONE,
            _NONE,
        )  # instrument, start, end of closed spans, by instrument
        self.open = False
        self.grown: list[Grown] = []  # since somebody last took it

    def note(self, numbers: Ints, ts: Ints) -> Widened:
        """Take rows of the session; any order, shape (n,)."""
        self.open = True
        self._grow(int(numbers.max()) + 1)
        behind = ts > self._closed_last[numbers]
        if not behind.all():
            early = ~behind & (ts < self._closed_first[numbers])
            self._widen(self._early_first, self._early_last, numbers[early], ts[early])
            self._dirty[numbers[early]] = True
            numbers, ts = numbers[behind], ts[behind]
            if not len(numbers):
                return NOT_WIDENED
        self._dirty[numbers] = True
        before = self._first[numbers]
        self._widen(self._first, self._last, numbers, ts)
        wider = (self._first[numbers] < before) & (self._closed_last[numbers] != INT64_MIN)
        if not wider.any():
            return NOT_WIDENED
        found = np.unique(numbers[wider])
        return Widened(found, self._closed_last[found], self._first[found])

    def take_reach(self, numbers: Ints, starts: Ints, ends: Ints) -> None:
        """Take rows `reach` of the session."""
        self.open = True
        self._grow(int(numbers.max()) + 1)
        behind = starts > self._closed_last[numbers]
        for first, last, mine in (
            (self._first, self._last, behind),
            (self._early_first, self._early_last, ~behind),
        ):
            np.minimum.at(first, numbers[mine], starts[mine])
            np.maximum.at(last, numbers[mine], ends[mine])
        self._dirty[numbers] = False

    def take_end(self) -> None:
        """End the session: its spans are closed."""
        parts = [self._closed]
        for first, last in ((self._first, self._last), (self._early_first, self._early_last)):
            found = np.flatnonzero(last != INT64_MIN)
            parts.append((found, first[found].copy(), last[found].copy()))
            np.minimum.at(self._closed_first, found, first[found])
            np.maximum.at(self._closed_last, found, last[found])
            first[found], last[found] = INT64_MAX, INT64_MIN
        numbers, starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((starts, numbers))
        self._closed = numbers[order], starts[order], ends[order]
        self._dirty[:] = False
        self.open = False

    def unwritten(self) -> tuple[Ints, Ints, Ints]:
        """Return (instrument, start, end) of the spans that no row `reach` says yet."""
        dirty = np.flatnonzero(self._dirty)
        parts = [(_NONE, _NONE, _NONE)]
        for first, last in ((self._first, self._last), (self._early_first, self._early_last)):
            found = dirty[last[dirty] != INT64_MIN]
            parts.append((found, first[found], last[found]))
        numbers, starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
        return numbers, starts, ends

    @property
    def dirty(self) -> int:
        """Of how many instruments no row says how far they reach."""
        return int(np.count_nonzero(self._dirty))

    def spans_of(self, instrument: int) -> Spans:
        """Return what is covered of an instrument."""
        numbers, starts, ends = self._closed
        low, high = np.searchsorted(numbers, (instrument, instrument + 1)).tolist()
        first, last = [starts[low:high]], [ends[low:high]]
        if instrument < self._first.size:
            first += [self._first[[instrument]], self._early_first[[instrument]]]
            last += [self._last[[instrument]], self._early_last[[instrument]]]
        return spans(np.concatenate(first), np.concatenate(last))

    def spans_since(self, wanted: Ints, since: int) -> tuple[Ints, Ints, Ints]:
        """Return (instrument, start, end) of the spans of instruments, rising, that end later."""
        wanted = wanted[wanted < self._first.size]
        parts = [self._closed]
        for first, last in ((self._first, self._last), (self._early_first, self._early_last)):
            parts.append((wanted, first[wanted], last[wanted]))
        numbers, starts, ends = (np.concatenate(column) for column in zip(*parts, strict=True))
        kept = ends > since
        return numbers[kept], starts[kept], ends[kept]

    def reached(self, numbers: Ints) -> Ints:
        """Return how far each instrument is covered, very early where it is not at all."""
        found = np.full(numbers.shape, INT64_MIN, np.int64)
        known = numbers < self._last.size
        mine = numbers[known]
        found[known] = np.maximum(self._last[mine], self._closed_last[mine])
        return found

    def since(self, numbers: Ints) -> Ints:
        """Return where the last span of each begins, very late where this session has none."""
        found = np.full(numbers.shape, INT64_MAX, np.int64)
        known = numbers < self._first.size
        found[known] = self._first[numbers[known]]
        return found

    def _widen(self, first: Ints, last: Ints, numbers: Ints, ts: Ints) -> None:
        before, until = first[numbers], last[numbers]
        np.minimum.at(first, numbers, ts)
        np.maximum.at(last, numbers, ts)
        back = (first[numbers] < before) & (before != INT64_MAX)
        on = (last[numbers] > until) & (until != INT64_MIN)
        # A span that begins before what was closed may lie in a bar that has long had events.
        begun = (before == INT64_MAX) & (first is self._early_first)
        for here, lows, highs, is_back in (
            (back, first[numbers], before, True),
            (on, until, last[numbers], False),
            (begun, first[numbers], last[numbers], True),
        ):
            if here.any():
                flags = np.full(np.count_nonzero(here), is_back)
                self.grown.append(Grown(numbers[here], lows[here], highs[here], flags))

    def _grow(self, size: int) -> None:
        if size <= self._first.size:
            return
        for name in ("_first", "_early_first", "_closed_first"):
            setattr(self, name, grown(getattr(self, name), size, INT64_MAX))
        for name in ("_last", "_early_last", "_closed_last"):
            setattr(self, name, grown(getattr(self, name), size, INT64_MIN))
        more = np.zeros(self._first.size - self._dirty.size, np.bool_)
        self._dirty = np.append(self._dirty, more)
