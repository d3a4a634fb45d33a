"""Pauses between attempts: exponential, capped, spread by chance; they never give up."""

from __future__ import annotations

import random
from collections.abc import Callable

Jitter = Callable[[], float]
"""A number from 0 to 1 by chance."""


class Backoff:
    """The n-th pause in a row is `first_s * 2**n`, capped, and between half of that and all of it.

    So many connections that failed together do not come back together.
    """

    def __init__(
        self, first_s: float = 0.5, max_s: float = 30.0, *, jitter: Jitter = random.random
    ) -> None:
        self.max_s = max_s
        self.failures = 0
        self._first_s = first_s
        self._jitter = jitter

    def next_s(self, at_least_s: float | None = None) -> float:
        """Return how long to pause after one more failure; never less than `at_least_s`."""
        # The exponent is capped too: it may fail for weeks, and 2.0**1024 overflows.
        longest = min(self._first_s * 2.0 ** min(self.failures, 30), self.max_s)
        self.failures += 1
        return max(longest * (0.5 + 0.5 * self._jitter()), at_least_s or 0.0)

    def succeeded(self) -> None:
        """Begin again with the shortest pause."""
        self.failures = 0
