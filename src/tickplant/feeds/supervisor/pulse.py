"""How far one connection is known to have delivered, in the venue's time.

What a connection covers is told in event times, but pongs and silences are told in ours. The two
are joined by the least lag that was seen: an event that happened at `ts` by the venue's clock and
came at `at` by ours has `at - ts = latency + offset of the clocks`. The least such lag of late is
an upper bound of the offset, so `ours - lag` is never later than the venue's clock was then. That
errs on the safe side at both ends of a hole: delivery is proven up to no more than was delivered,
and a hole ends no earlier than the subscription was in force.
"""

from __future__ import annotations

from tickplant.model.times import INT64_MIN, NS_PER_S

LAG_KEPT_NS = 60 * NS_PER_S
"""Lags that are older than twice this do not count any more: clocks are set, routes change."""

LAG_NEGATIVE_MAX_NS = 10 * NS_PER_S
"""A venue whose clock seems to run ahead by more than this has sent a wrong time."""


class Offset:
    """The least lag between the venue's clock and ours of late; shared by a venue's connections."""

    def __init__(self) -> None:
        self._now: int | None = None
        self._before: int | None = None
        self._turned = INT64_MIN

    def note(self, ts: int, at: int) -> None:
        """Take that what happened at `ts`, the venue's time, came `at`, our time."""
        if at >= self._turned + LAG_KEPT_NS:
            self._before, self._now, self._turned = self._now, None, at
        lag = at - ts
        if lag < -LAG_NEGATIVE_MAX_NS:
            return  # a row with a wrong time, not a clock
        if self._now is None or lag < self._now:
            self._now = lag

    @property
    def lag(self) -> int:
        """The least lag of late, ns; 0, so that both clocks agree, before anything is known."""
        known = [lag for lag in (self._now, self._before) if lag is not None]
        return min(known, default=0)

    def venue_time(self, at: int) -> int:
        """Return a time of ours as one of the venue's, no later than it was there."""
        return at - self.lag

    def start_time(self, at: int) -> int:
        """Return a time of ours as one of the venue's, no earlier than it was there.

        What comes first on a connection may be old, a snapshot of what happened long ago, and says
        little about the lag: so that only counts where the venue's clock is ahead of ours.
        """
        return max(at, self.venue_time(at))


class Pulse:
    """What is known of one connection's life. `heard_at` is our time of the last sign, ns.

    `proven` is the venue's time up to which everything was delivered, None before the first proof.
    """

    def __init__(self, offset: Offset, now: int) -> None:
        self.heard_at = now
        self.proven: int | None = None
        self._offset = offset

    def heard(self, at: int) -> None:
        """Note a sign of life that proves no time."""
        self.heard_at = max(self.heard_at, at)

    def begin(self, at: int) -> None:
        """Note that everything is delivered from `at` on, our time."""
        self.heard(at)
        self._prove(self._offset.start_time(at))

    def event(self, ts: int, at: int) -> None:
        """Note that it delivered what happened at `ts`, the venue's time, `at` our time."""
        self._offset.note(ts, at)
        self.heard(at)
        # A venue whose clock runs ahead, or a row with a wrong time, must not prove the future.
        self._prove(min(ts, self._offset.venue_time(at)))

    def answered(self, asked_at: int, at: int) -> None:
        """Note that an answer came to what we asked then: all that was sent before is here."""
        self.heard(at)
        self._prove(self._offset.venue_time(asked_at))

    def _prove(self, ts: int) -> None:
        self.proven = ts if self.proven is None else max(self.proven, ts)
