"""What a venue allows, kept: windows of time, slots for what may be open at once, a breaker.

One `VenueLimits` is shared by all feeds of a venue, because a venue counts what comes from an
address and not what we call a feed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from tickplant.feeds.breaker import Breaker
from tickplant.feeds.contract import Clock, Sleep
from tickplant.feeds.venues.contract import Limits, Rate

Seconds = Callable[[], float]
"""Seconds that only go forward, such as the event loop's time."""


def loop_time() -> float:
    """Return the running event loop's time, s."""
    return asyncio.get_running_loop().time()


class Window:
    """At most `rate.count` units in any `rate.seconds`; None is no limit.

    Whoever comes first is served first; a wait that is cancelled takes nothing. One event loop.
    """

    def __init__(
        self, rate: Rate | None, *, sleep: Sleep = asyncio.sleep, now: Seconds = loop_time
    ) -> None:
        self._rate = rate
        self._sleep = sleep
        self._now = now
        self._taken: deque[tuple[float, int]] = deque()
        self._used = 0
        self._closed_until = float("-inf")
        self._turn = asyncio.Lock()

    async def take(self, units: int = 1) -> None:
        """Wait until so many units are allowed, and take them.

        More than there are in all are taken as all there are: that request alone fills the window.
        """
        async with self._turn:
            while (wait_s := self._wait_s(units)) > 0:
                await self._sleep(wait_s)
            if self._rate is not None:
                units = min(units, self._rate.count)
                self._taken.append((self._now(), units))
                self._used += units

    def close_for(self, seconds: float) -> None:
        """Allow nothing for so long: the venue has said so."""
        self._closed_until = max(self._closed_until, self._now() + seconds)

    def _wait_s(self, units: int) -> float:
        now = self._now()
        wait_s = self._closed_until - now
        if self._rate is None:
            return wait_s
        while self._taken and self._taken[0][0] + self._rate.seconds <= now:
            self._used -= self._taken.popleft()[1]
        over = self._used + min(units, self._rate.count) - self._rate.count
        for at, taken in self._taken:
            if over <= 0:
                break
            over -= taken
            # A little more than needed: a venue's window may begin a moment after ours.
            wait_s = max(wait_s, at + self._rate.seconds - now + 1e-3)
        return wait_s


class Slots:
    """At most `count` at once; None is no limit."""

    def __init__(self, count: int | None) -> None:
        self._count = count
        self.taken = 0
        self._freed = asyncio.Event()

    def try_take(self) -> bool:
        """Take a slot where one is free."""
        if self._count is not None and self.taken >= self._count:
            return False
        self.taken += 1
        return True

    async def take(self) -> None:
        """Wait for a slot and take it."""
        while not self.try_take():
            self._freed.clear()
            await self._freed.wait()

    def give(self) -> None:
        """Give a slot back."""
        self.taken -= 1
        self._freed.set()


class VenueLimits:
    """What all feeds of one venue share."""

    def __init__(self, limits: Limits, *, clock: Clock, sleep: Sleep = asyncio.sleep) -> None:
        self.connects = Window(limits.connects, sleep=sleep)
        self.connections = Slots(limits.connections_max)
        self.weight = Window(limits.weight, sleep=sleep)
        self.breaker = Breaker(clock)


class SharedLimits:
    """The limits of each venue, by its name; made when a feed of it first asks."""

    def __init__(self, *, clock: Clock = time.time_ns, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._known: dict[str, VenueLimits] = {}

    def of(self, venue: str, limits: Limits) -> VenueLimits:
        """Return the limits that all feeds of a venue share."""
        if venue not in self._known:
            self._known[venue] = VenueLimits(limits, clock=self._clock, sleep=self._sleep)
        return self._known[venue]
