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

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tickplant.candles.coverage import NOTHING, Flags, Ints, Spans, spans
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.arrays import distinct, grown, looked_up
from tickplant.plant.ledger_chains import Chains


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
        self._chains = Chains()  # of closed spans
        self._starts, self._ends = _NONE, _NONE  # of those
        self._used = 0
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
        found = distinct(numbers[wider])
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
        for first, last in ((self._first, self._last), (self._early_first, self._early_last)):
            found = np.flatnonzero(last != INT64_MIN)
            if found.size:
                self._close(found, first[found], last[found])
                first[found], last[found] = INT64_MAX, INT64_MIN
        self._dirty[:] = False
        self.open = False

    def _close(self, numbers: Ints, starts: Ints, ends: Ints) -> None:
        """Keep spans for good, one of each instrument."""
        size = self._used + numbers.size
        self._starts, self._ends = (grown(c, size, 0) for c in (self._starts, self._ends))
        self._starts[self._used : size], self._ends[self._used : size] = starts, ends
        self._chains.add(self._used, np.zeros_like(numbers), numbers, ends)
        self._used = size
        self._closed_first[numbers] = np.minimum(self._closed_first[numbers], starts)
        self._closed_last[numbers] = np.maximum(self._closed_last[numbers], ends)

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
        places = self._chains.of(0, instrument)
        held = instrument < self._first.size
        if not places.size and not (held and self._early_last.item(instrument) != INT64_MIN):
            return self._session_of(instrument) if held else NOTHING
        first, last = [self._starts[places]], [self._ends[places]]
        if instrument < self._first.size:
            first += [self._first[[instrument]], self._early_first[[instrument]]]
            last += [self._last[[instrument]], self._early_last[[instrument]]]
        return spans(np.concatenate(first), np.concatenate(last))

    def _session_of(self, instrument: int) -> Spans:
        first, last = self._first[[instrument]], self._last[[instrument]]
        return Spans(first, last) if last[0] > first[0] else NOTHING

    def session_of(self, instrument: int) -> tuple[int, ...] | None:
        """Return where the session's spans of an instrument begin and end; None: unknown here."""
        if instrument >= self._first.size:
            return None
        return (
            self._first.item(instrument),
            self._last.item(instrument),
            self._early_first.item(instrument),
            self._early_last.item(instrument),
        )

    def knows(self, instrument: int) -> bool:
        """Say whether anything was ever covered of an instrument."""
        if instrument >= self._last.size:
            return False
        last, closed = self._last.item(instrument), self._closed_last.item(instrument)
        return max(last, closed) != INT64_MIN

    def pieces(self, numbers: Ints, since: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield (place in `numbers`, start, end) of spans of known instruments that end later than
        their `since`; a place once in each part, and none overlaps another of its place."""
        for first, last in ((self._first, self._last), (self._early_first, self._early_last)):
            ends = last[numbers]
            here = np.flatnonzero(ends > since)
            if here.size:
                yield here, first[numbers[here]], ends[here]
        for which, places in self._chains.walk(0, numbers, since):
            yield which, self._starts[places], self._ends[places]

    def closed(self, numbers: Ints) -> Ints:
        """Return where the spans of earlier sessions end, very early where there are none."""
        return looked_up(self._closed_last, numbers, INT64_MIN)

    def reached(self, numbers: Ints) -> Ints:
        """Return how far each instrument is covered, very early where it is not at all."""
        return np.maximum(looked_up(self._last, numbers, INT64_MIN), self.closed(numbers))

    def since(self, numbers: Ints) -> Ints:
        """Return where the last span of each begins, very late where this session has none."""
        return looked_up(self._first, numbers, INT64_MAX)

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
