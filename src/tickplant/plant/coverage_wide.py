"""Coverage by a whole feed: one that is connected, subscribed and alive, and says so.

Its sessions cover every instrument that it is subscribed to, quiet ones too: whatever the feed
delivers proves that it would have delivered the others' events as well.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.coverage import NOTHING, Flags, Ints, Spans, span
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.arrays import grown, looked_up


class WideCoverage:
    """Sessions and subscriptions of one feed. One thread changes it, under its owner's lock.

    `reach` is the highest time that the feed has delivered, `INT64_MIN` before the first one;
    `before` is what it was at the last `CoverageBook.mark`. `began` is where the open session
    begins, None between sessions.
    """

    def __init__(self) -> None:
        self.began: int | None = None
        self.reach = self.before = INT64_MIN
        self._from_seq = 0
        self._first_seq = INT64_MAX
        self._past: list[tuple[int, int]] = []
        self._past_sessions = NOTHING
        self._since = np.empty(0, np.int64)
        self._until = np.empty(0, np.int64)
        self._older: dict[int, Spans] = {}
        self._served: Ints | None = None

    def note(self, ts_max: int) -> None:
        """Note that the feed has delivered up to here."""
        self.reach = max(self.reach, ts_max)

    def take_begin(self, start: int, seq: int) -> None:
        """Begin a session, of events from number `seq` on."""
        self._close()
        self._from_seq = seq
        self._first_seq = min(self._first_seq, seq)
        self.began = start
        self.note(start)

    def take_reach(self, start: int, end: int) -> None:
        """Note what is covered, as a row `reach` says it."""
        if self.began is None:
            self.began = start
        self.note(end)

    def take_end(self, seq: int) -> None:
        """End the session, of events up to number `seq`."""
        self._close()
        self._past.append((self._from_seq, seq))
        self.began = None

    def in_session(self, seqs: Ints) -> tuple[Flags, Flags]:
        """Say which events belong to the open session, and which came before the first one."""
        now = seqs >= self._from_seq if self.began is not None else np.zeros(seqs.shape, np.bool_)
        before = np.zeros(seqs.shape, np.bool_)
        for first, last in self._past:
            before |= (seqs >= first) & (seqs <= last)
        return now & ~before, seqs < self._first_seq

    def _close(self) -> None:
        if self.began is not None:
            self._past_sessions = self._past_sessions.union(span(self.began, self.reach))

    def subscribe(self, number: int, start: int) -> None:
        """Note that an instrument is delivered from `start` on."""
        self._since = grown(self._since, number + 1, INT64_MAX)
        self._until = grown(self._until, number + 1, INT64_MAX)
        if self._until[number] != INT64_MAX:
            past = span(int(self._since[number]), int(self._until[number]))
            self._older[number] = self._older.get(number, NOTHING).union(past)
            self._since[number] = self._until[number] = INT64_MAX
        self._since[number] = min(start, int(self._since[number]))
        self._served = None

    def unsubscribe(self, number: int, end: int) -> None:
        """Note that an instrument is not delivered any more from `end` on."""
        if number < self._until.size:
            self._until[number] = end

    def serves(self, numbers: NDArray[np.integer]) -> Flags:
        """Say of each instrument whether the feed is subscribed to it now."""
        found = np.zeros(numbers.shape, np.bool_)
        known = numbers < self._since.size
        mine = numbers[known]
        found[known] = (self._since[mine] != INT64_MAX) & (self._until[mine] == INT64_MAX)
        return found

    @property
    def served(self) -> Ints:
        """The instruments that the feed ever was subscribed to, rising."""
        if self._served is None:
            self._served = np.flatnonzero(self._since != INT64_MAX)
        return self._served

    def subscribed_since(self, was: WideCoverage) -> Ints:
        """Return the instruments, rising, whose subscriptions are not what they were before."""
        numbers = np.arange(self._since.size)
        same = looked_up(was._since, numbers, INT64_MAX) == self._since
        same &= looked_up(was._until, numbers, INT64_MAX) == self._until
        return np.flatnonzero(~same)

    def spans_of(self, instrument: int) -> Spans:
        """Return what the sessions cover of an instrument, gaps not yet taken out."""
        if instrument >= self._since.size or self._since[instrument] == INT64_MAX:
            return NOTHING
        known = self._past_sessions
        if self.began is not None:
            known = known.union(span(self.began, self.reach))
        return known.intersect(self.spans_subscribed(instrument))

    def spans_subscribed(self, instrument: int) -> Spans:
        """Return when the feed was subscribed to an instrument, which it ever served."""
        subscribed = span(int(self._since[instrument]), int(self._until[instrument]))
        return subscribed.union(self._older.get(instrument, NOTHING))

    def knows(self, instrument: int) -> bool:
        """Say whether anything was ever covered of an instrument."""
        known = instrument < self._since.size and self._since.item(instrument) != INT64_MAX
        return known and self.reach != INT64_MIN

    def reached(self, numbers: Ints) -> Ints:
        """Return how far each instrument is covered, very early where it is not at all."""
        reach = np.minimum(looked_up(self._until, numbers, INT64_MAX), self.reach)
        reach[looked_up(self._since, numbers, INT64_MAX) == INT64_MAX] = INT64_MIN
        return reach

    def bounds(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Return from when and until when each instrument, which is served, is delivered."""
        return self._since[numbers], self._until[numbers]

    def was_interrupted(self, numbers: Ints) -> Flags:
        """Say of which instruments a subscription ended and began again."""
        if not self._older:
            return np.zeros(numbers.shape, np.bool_)
        return np.isin(numbers, list(self._older))

    def since(self, numbers: Ints) -> Ints:
        """Return where the open session's span of each begins, very late where there is none."""
        if self.began is None:
            return np.full(numbers.shape, INT64_MAX, np.int64)
        return np.maximum(looked_up(self._since, numbers, INT64_MAX), self.began)

    def closed(self, numbers: Ints) -> Ints:
        """Return where the sessions before have ended, very late where that is not so simple."""
        ends = self._past_sessions.ends
        found = np.full(numbers.shape, ends[-1] if ends.size else INT64_MIN, np.int64)
        found[self.was_interrupted(numbers)] = INT64_MAX
        return found

    @property
    def past_sessions(self) -> Spans:
        """What the sessions before the open one cover; the same object while they do not change."""
        return self._past_sessions

    def sessions(self) -> Spans:
        """Return what the sessions cover of a whole feed."""
        if self.began is None:
            return self._past_sessions
        return self._past_sessions.union(span(self.began, self.reach))
