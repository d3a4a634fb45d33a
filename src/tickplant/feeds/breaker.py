"""A circuit breaker: after so many failures in a row nothing is asked for a while.

closed ──(failures_max in a row)──► open ──(rest_s)──► half open ─► one attempt:
   ▲                                  ▲                              good: closed
   └──────────────────────────────────┴──────────────────────────── bad: open again

It belongs to who is asked, a venue or a provider, and not to who asks: all feeds and jobs of it
share one.
"""

from __future__ import annotations

from typing import Literal

from tickplant.feeds.contract import Clock

State = Literal["closed", "open", "half_open"]
STATES: tuple[State, ...] = ("closed", "open", "half_open")

FAILURES_MAX = 10
REST_S = 60.0


class Breaker:
    """Counts failures in a row. One event loop uses it; `clock` gives ns."""

    def __init__(
        self, clock: Clock, *, failures_max: int = FAILURES_MAX, rest_s: float = REST_S
    ) -> None:
        self._clock = clock
        self._failures_max = failures_max
        self._rest_ns = round(rest_s * 1e9)
        self._until: int | None = None
        self._trying = False
        self.failures = 0
        self.opened = 0

    @property
    def state(self) -> State:
        """`closed`: ask; `open`: do not; `half_open`: one may ask."""
        if self._until is None:
            return "closed"
        return "half_open" if self._clock() >= self._until else "open"

    def wait_s(self) -> float:
        """Return how long not to ask, s; 0 lets the caller ask and, half open, nobody else."""
        if self._until is None:
            return 0.0
        if self.state == "open":
            return (self._until - self._clock()) / 1e9
        if self._trying:
            return self._rest_ns / 1e9
        self._trying = True
        return 0.0

    def succeeded(self) -> None:
        """Note an attempt that was answered."""
        self.failures, self._until, self._trying = 0, None, False

    def failed(self, retry_after_s: float | None = None) -> None:
        """Note one that was not; `retry_after_s`, where the other side names it, opens at once."""
        self.failures += 1
        tried, self._trying = self._trying, False
        rest_ns = 0 if retry_after_s is None else round(retry_after_s * 1e9)
        if tried or self.failures >= self._failures_max:
            rest_ns = max(rest_ns, self._rest_ns)
        if rest_ns:
            self.opened += self.state != "open"
            self._until = max(self._until or 0, self._clock() + rest_ns)

    def abandoned(self) -> None:
        """Note an attempt that was given up, or put off by the other side: it says nothing."""
        self._trying = False
