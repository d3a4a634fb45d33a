"""How often an instrument is heard of at which hour of the week, and how odd a silence is.

Time is cut into beats; a beat is loud where at least one event came. Events come in bursts, so
their number says little about how likely a silence is; the share of loud beats says it better. With
the share `p` of the hour, a silence of `n` beats has the odds `(1 - p)**n`. Each hour of the week
keeps sums of its own, which fade by half with each week, so that habits may change; an hour that is
not known well enough is taken as the quietest that is, so that nothing is called dead on a guess.

Pure: no clock. Kept in memory only and learned anew after a restart; until then a silence is as
likely as any other, and only the general limits of the connection hold.
"""

from __future__ import annotations

import numpy as np

from tickplant.model.times import NS_PER_S

BEAT_NS = NS_PER_S
HOURS = 168
BEATS_MIN = 600
"""Beats of an hour that must have been seen before it counts as known."""

FADE = 0.5
_HOUR_NS = 3_600 * NS_PER_S
_WEEK_NS = HOURS * _HOUR_NS


class Rhythm:
    """The habits of one set of streams. Times are ns UTC, rising."""

    def __init__(self) -> None:
        self._loud = np.zeros(HOURS, np.float64)
        self._beats = np.zeros(HOURS, np.float64)
        self._weeks = np.full(HOURS, -1, np.int64)
        self._beat: int | None = None

    def heard(self, ts: int) -> None:
        """Note an event; the beats since the last one were silent."""
        beat = ts // BEAT_NS
        if self._beat is None or beat > self._beat + _WEEK_NS // BEAT_NS:
            self._beat = beat  # nothing is known of the time before, or it is too long ago
            return
        if beat <= self._beat:
            return
        self._pass_silent(self._beat + 1, beat)
        hour = self._hour_of(beat)
        self._beats[hour] += 1
        self._loud[hour] += 1
        self._beat = beat

    def interrupted(self) -> None:
        """Note that what follows says nothing of the time since the last event: it was cut."""
        self._beat = None

    def _pass_silent(self, first: int, end: int) -> None:
        per_hour = _HOUR_NS // BEAT_NS
        while first < end:
            upto = min(end, (first // per_hour + 1) * per_hour)
            self._beats[self._hour_of(first)] += upto - first
            first = upto

    def _hour_of(self, beat: int) -> int:
        """Return the hour of the week of a beat, whose sums have faded up to this week."""
        hours = beat * BEAT_NS // _HOUR_NS
        hour, week = hours % HOURS, hours // HOURS
        if self._weeks[hour] != week:
            if self._weeks[hour] >= 0:
                faded = FADE ** (week - self._weeks[hour])
                self._loud[hour] *= faded
                self._beats[hour] *= faded
            self._weeks[hour] = week
        return int(hour)

    def log_odds(self, since: int, until: int) -> float:
        """Return the natural logarithm of the odds of silence from `since` to `until`; 0 is sure.

        Never above 0; 0 where nothing is known well enough.
        """
        known = self._beats >= BEATS_MIN
        if not known.any() or until <= since:
            return 0.0
        share = np.full(HOURS, np.nan)
        # One loud beat less than there were, so that a rare thing seen once is no habit.
        share[known] = np.maximum(self._loud[known] - 1, 0) / self._beats[known]
        share[~known] = np.nanmin(share)
        quiet = np.log1p(-np.minimum(share, 0.999))
        odds, first = 0.0, since
        while first < until and first < since + _WEEK_NS:
            upto = min(until, (first // _HOUR_NS + 1) * _HOUR_NS)
            odds += float(quiet[first // _HOUR_NS % HOURS]) * ((upto - first) / BEAT_NS)
            first = upto
        return odds
