"""Events a second, smoothed, from counts and times that the caller passes in."""

from __future__ import annotations

import math


class Rate:
    """An exponentially weighted rate that forgets with a time constant of `window_s` seconds.

    Right from the first second on: the weight that has not been seen yet is divided out. One
    thread adds; any thread reads.
    """

    def __init__(self, window_s: float = 10.0) -> None:
        self._window_ns = window_s * 1e9
        self._began: int | None = None
        # Mass and time are replaced together, so that a reader never sees a mixed pair.
        self._state: tuple[float, int] = (0.0, 0)

    def add(self, count: int, now: int) -> None:
        """Count `count` events at time `now`, ns; a clock set back is taken as standing still."""
        if self._began is None:
            self._began, self._state = now, (0.0, now)
        mass, last = self._state
        self._state = (mass * self._decay(now - last) + count, max(now, last))

    def per_s(self, now: int) -> float:
        """Return events a second as of `now`; 0.0 before the second event could be timed."""
        if self._began is None or now <= self._began:
            return 0.0
        mass, last = self._state
        seen_ns = self._window_ns * (1.0 - self._decay(now - self._began))
        return mass * self._decay(now - last) / seen_ns * 1e9

    def _decay(self, elapsed_ns: int) -> float:
        return math.exp(-max(elapsed_ns, 0) / self._window_ns)
