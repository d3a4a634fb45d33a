"""How often each stream is heard of at which hour of the week, and which silence is not its own.

The same beats, hours and odds as in `rhythm`, for thousands of streams at once: a column for each
fact, a row of it for each hour of the week, two bytes a number. A stream costs a kilobyte, and
nothing at all when an event comes: once a beat it is told who was heard since the last one.

What a connection's odds need not consider, a stream's must: that it was busy for a while and is
calm now. So a silence is odd only where it is, besides its odds, ten times as long as any that was
seen to end at this hour; whoever slows down by and by shows longer silences on the way. An hour
that is not known well counts as the quietest that is, with the longest silence of all. What a
silence came to in an hour counts for that hour, though it went on, so that closed markets are known
as such after a week.

Pure: no clock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickplant.feeds.supervisor.rhythm import BEATS_MIN, HOURS
from tickplant.model.times import NS_PER_S

ODDS_MAX = -20.0
"""Natural logarithm of the odds of a silence below which it is odd."""

SILENT_MIN = 60
LONGER = 10
"""How many beats, and how many times the longest silence of the hour, a silence must last."""

STRIKES_MAX = 8
PATIENCE = 4
"""How much longer a silence must last each time that it was looked into."""

REFRESH_BEATS = 30
"""After so many beats it is reckoned anew what is usual now."""

_HOUR_NS = 3_600 * NS_PER_S
_CAP = np.iinfo(np.uint16).max

Bools = NDArray[np.bool_]
Places = NDArray[np.int64]


class Habits:
    """The habits of streams, each known by its place. Times are ns UTC, rising; silences beats."""

    def __init__(self) -> None:
        self.size = 0
        self.silent = np.zeros(0, np.int64)
        """Beats since a stream was heard of, as far as it would have been heard."""
        self.odds = np.zeros(0)
        self._strikes = np.zeros(0, np.int64)
        self._loud = np.zeros((HOURS, 0), np.uint16)
        self._beats = np.zeros((HOURS, 0), np.uint16)
        self._longest = np.zeros((HOURS, 0), np.uint16)
        self._weeks = [-1] * HOURS
        self._hour: int | None = None
        self._in_hour = self._until_refresh = 0
        self._quietest = np.zeros(0)  # of the hours that are known: the least share, and
        self._longest_ever = np.zeros(0, np.int64)
        self._quiet = np.zeros(0)  # what a silent beat adds to the odds now
        self._longest_now = np.zeros(0, np.int64)

    # -- who there is ------------------------------------------------------------------------------

    def grow(self, size: int) -> None:
        """Have room for so many streams."""
        more = max(size, 2 * self.size) - self.size
        if size <= self.size:
            return
        for name in ("silent", "odds", "_strikes", "_quietest", "_longest_ever", "_quiet",
                     "_longest_now"):  # fmt: skip
            column = getattr(self, name)
            setattr(self, name, np.concatenate([column, np.zeros(more, column.dtype)]))
        for name in ("_loud", "_beats", "_longest"):
            rows = getattr(self, name)
            grown = np.zeros((HOURS, self.size + more), rows.dtype)
            for hour in self._seen():  # hours of which nothing is known take no memory
                grown[hour, : self.size] = rows[hour]
            setattr(self, name, grown)
        self.size += more

    def forget(self, place: int) -> None:
        """Know nothing of a stream any more."""
        for column in (self.silent, self.odds, self._strikes, self._quietest, self._longest_ever,
                       self._quiet, self._longest_now):  # fmt: skip
            column[place] = 0
        for rows in (self._loud, self._beats, self._longest):
            rows[self._seen(), place] = 0

    def _seen(self) -> list[int]:
        return [hour for hour in range(HOURS) if self._weeks[hour] >= 0]

    # -- what happens ------------------------------------------------------------------------------

    def beat(self, now: int, heard: Bools, silent: Bools, cut: Bools) -> None:
        """Take one beat: who was heard, who would have been and was not, who could not be.

        Those that are in none of them are not counted: nothing is known of their beat.
        """
        self._turn(now)
        assert self._hour is not None
        hour = self._hour
        self._in_hour += 1
        ended = np.minimum(self.silent[heard], min(self._in_hour, _CAP))
        self._longest[hour, heard] = np.maximum(self._longest[hour, heard], ended)
        self._loud[hour] += heard
        self._beats[hour] += heard | silent
        self.silent += silent
        self.odds += np.where(silent, self._quiet, 0.0)
        over = heard | cut
        self.silent[over], self.odds[over] = 0, 0.0
        self._strikes[heard] = 0
        self._until_refresh -= 1
        if self._until_refresh <= 0:
            self._refresh()

    def _turn(self, now: int) -> None:
        """Begin another hour where there is one: what was learned a week ago fades by half."""
        hours = now // _HOUR_NS
        hour, week = hours % HOURS, hours // HOURS
        if hour == self._hour:
            return
        if self._hour is not None:
            reached = np.minimum(self.silent, _CAP).astype(np.uint16)
            np.maximum(self._longest[self._hour], reached, out=self._longest[self._hour])
        weeks = 0 if self._weeks[hour] < 0 else min(max(week - self._weeks[hour], 0), 15)
        for rows in (self._loud, self._beats, self._longest):
            rows[hour] >>= weeks
        self._weeks[hour], self._hour, self._in_hour = week, hour, 0
        self._look_back()
        self._refresh()

    def _look_back(self) -> None:
        """Reckon the least share and the longest silence of each stream's hours that are known."""
        least = np.full(self.size, np.inf)
        longest = np.zeros(self.size, np.int64)
        for hour in self._seen():
            known = self._beats[hour] >= BEATS_MIN
            np.minimum(least, np.where(known, self._share(hour), np.inf), out=least)
            np.maximum(longest, np.where(known, self._longest[hour], 0), out=longest)
        self._quietest = np.where(np.isinf(least), 0.0, least)
        self._longest_ever = longest

    def _refresh(self) -> None:
        assert self._hour is not None
        self._until_refresh = REFRESH_BEATS
        known = self.known()
        share = np.where(known, self._share(self._hour), self._quietest)
        self._quiet = np.log1p(-np.minimum(share, 0.999))
        self._longest_now = np.where(known, self._longest[self._hour], self._longest_ever)

    def _share(self, hour: int) -> NDArray[np.float64]:
        # One loud beat less than there were, so that a rare thing seen once is no habit.
        loud = np.maximum(self._loud[hour].astype(np.float64) - 1, 0)
        share: NDArray[np.float64] = loud / np.maximum(self._beats[hour], 1)
        return share

    # -- what is thought of it ---------------------------------------------------------------------

    def known(self) -> Bools:
        """Return of which streams this hour is known well."""
        known: Bools = self._beats[self._hour or 0] >= BEATS_MIN
        return known

    def odd(self) -> Bools:
        """Return which streams are silent as they never were, longer each time it is found out."""
        least = np.maximum(self._longest_now * LONGER, SILENT_MIN)
        patience = PATIENCE ** np.minimum(self._strikes, STRIKES_MAX)
        odd: Bools = (self.odds < ODDS_MAX) & (self.silent > least * patience)
        return odd

    def lively(self) -> Bools:
        """Return which streams are usually heard of at this hour."""
        lively: Bools = self._quiet * SILENT_MIN < ODDS_MAX
        return lively

    def hushed(self) -> Bools:
        """Return which streams are silent as they hardly are: those of a market that has closed,
        though each is odd at a moment of its own."""
        hushed: Bools = self.odds < ODDS_MAX / 2
        return hushed

    def looked_into(self, place: int) -> bool:
        """Return whether a stream was looked into since it was last heard of."""
        return bool(self._strikes[place])

    def longest(self, place: int) -> int:
        """Return the longest silence of a stream that was seen at this hour."""
        return int(self._longest_now[place])

    def excuse(self, place: int) -> None:
        """Note that a silence is the stream's own."""
        self._strikes[place] += 1

    def renew(self, place: int) -> None:
        """Note that a stream begins anew: its silence was none of its own."""
        self._strikes[place] += 1
        self.silent[place], self.odds[place] = 0, 0.0
