"""One place for a connection, kept filled: connects, connects again, replaces in time.

    pause ─► link ─► (fault) ─► owner.ended ─► pause, longer each time in a row ─► link …
               └─► age or leaving ─► a second link, subscribed and confirmed
                      ─► all is here that the first was sent before ─► the first is closed

A replacement that fails costs nothing while the old link lives: it is tried again after a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from tickplant.feeds.supervisor.backoff import Backoff, Jitter
from tickplant.feeds.supervisor.link import Link, LinkEnded, LinkOwner, Wiring
from tickplant.feeds.supervisor.rhythm import Rhythm
from tickplant.feeds.venues.contract import Stream

_LOG = logging.getLogger(__name__)

AGE_PART = 0.95
"""A connection is replaced after this part of the age that the venue allows, or a little earlier by
chance, so that connections that were opened together are not replaced together."""

STEADY_S = 30.0
"""A link that stood for so long begins the pauses anew."""

SETTLE_S_MAX = 60.0
"""How long a replacement may take until it is subscribed."""

DRAIN_S_MAX = 5.0
"""How long a connection that is replaced may take to show that everything of before is here."""

DRAIN_STEP_S = 0.5


class LineOwner(LinkOwner, Protocol):
    """Who is told of the life of a line's links."""

    async def opening(self, link: Link) -> None:
        """Note that a link is made."""
        ...

    async def replaced(self, old: Link, new: Link, fault: LinkEnded) -> None:
        """Note that `new` carries what `old` did, which is over because of `fault`."""
        ...

    async def ended(self, link: Link, fault: LinkEnded) -> None:
        """Note that a link is over."""
        ...


class Line:
    """Carries a set of streams for ever. One event loop."""

    def __init__(
        self,
        number: int,
        wiring: Wiring,
        owner: LineOwner,
        *,
        backoff: Callable[[], Backoff],
        jitter: Jitter,
    ) -> None:
        self.number = number
        self.streams: set[Stream] = set()
        self._tasks: dict[Link, asyncio.Task[None]] = {}
        self._wiring = wiring
        self._owner = owner
        self._new_backoff = backoff
        self._pauses = backoff()
        self._jitter = jitter
        self._rhythm = Rhythm()

    def want(self, streams: Sequence[Stream]) -> None:
        """Carry more streams from now on."""
        new = [stream for stream in streams if stream not in self.streams]
        self.streams.update(new)
        for link in self.links:
            link.want(new)

    def drop(self, streams: Sequence[Stream]) -> None:
        """Carry these streams no more."""
        self.streams.difference_update(streams)
        for link in self.links:
            link.drop(streams)

    async def run(self) -> None:
        """Keep a link up until cancelled."""
        slots = self._wiring.limits.connections
        while True:
            await slots.take()
            try:
                fault = await self._carry()
            finally:
                slots.give()
            pause_s = self._pauses.next_s(fault.retry_after_s)
            _LOG.warning(
                "%s: connection %d ended (%s) and is made again in %.1f s",
                self._wiring.venue.name, self.number, fault.reason, pause_s,
            )  # fmt: skip
            await self._wiring.sleep(pause_s)

    # -- one link after the other ------------------------------------------------------------------

    @property
    def links(self) -> list[Link]:
        """The links that there are: one, or while one is replaced two."""
        return list(self._tasks)

    async def _carry(self) -> LinkEnded:
        """Run a link, and those that replace it in time; return why the last one ended."""
        self._rhythm.interrupted()
        link = await self._start()
        try:
            while await self._until_due(link):
                link = await self._replace(link)
            return await self._over(link)
        finally:
            for other in self.links:
                await self._stop(other)

    async def _start(self) -> Link:
        link = Link(self._wiring, self.number, sorted(self.streams), self._owner, self._rhythm)
        await self._owner.opening(link)
        self._tasks[link] = asyncio.create_task(link.run(), name=f"link {link.number}")
        return link

    async def _stop(self, link: Link) -> LinkEnded | None:
        """End a link; return why it ended by itself, raise what was not its fault."""
        running = self._tasks.pop(link)
        if not running.done():
            running.cancel()
        await asyncio.wait({running})
        fault = None if running.cancelled() else running.exception()
        if fault is not None and not isinstance(fault, LinkEnded):
            raise fault
        return fault

    async def _over(self, link: Link) -> LinkEnded:
        """Return why a link ended that has ended."""
        fault = await self._stop(link)
        assert fault is not None, "a link ended without a reason"
        opened_at = link.opened_at
        if opened_at is not None and self._wiring.clock() - opened_at > STEADY_S * 1e9:
            self._pauses.succeeded()
        await self._owner.ended(link, fault)
        return fault

    async def _until_due(self, link: Link) -> bool:
        """Wait until a link should be replaced; False where it ended before."""
        age_s = self._wiring.venue.limits.age_s_max
        part = AGE_PART - 0.1 * self._jitter()
        while not self._tasks[link].done():
            left_s = None
            if age_s is not None:
                opened_at = link.opened_at or self._wiring.clock()
                left_s = age_s * part - (self._wiring.clock() - opened_at) / 1e9
            if link.leaving is not None or (left_s is not None and left_s <= 0):
                return True
            await self._wait(link, left_s)
        return False

    async def _wait(self, link: Link, seconds: float | None, *others: Link) -> None:
        """Wait until a link ends, something changes on it, another one ends, or so long."""
        link.changed.clear()
        waits: set[asyncio.Future[object]] = {asyncio.ensure_future(link.changed.wait())}
        if seconds is not None:
            waits.add(asyncio.ensure_future(self._wiring.sleep(seconds)))
        tasks = {self._tasks[one] for one in (link, *others)}
        try:
            await asyncio.wait(tasks | waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _replace(self, old: Link) -> Link:
        """Return the link that carries on: a new one where one came to be, else the old one."""
        slots, pauses = self._wiring.limits.connections, self._new_backoff()
        while not self._tasks[old].done():
            if not slots.try_take():
                # There is no room for a second connection: the first has to go before.
                await old.finish()
                fault = await self._stop(old)
                why = fault or LinkEnded("disconnect", f"replaced in time: {_why(old)}")
                await self._owner.ended(old, why)
                return await self._start()
            try:
                new = await self._start()
                if await self._settled(new, old) and await self._drained(old, new):
                    await self._hand_over(old, new)
                    return new
                failed = await self._stop(new)
                await self._owner.ended(
                    new, failed or LinkEnded("disconnect", "it was not subscribed in time")
                )
            finally:
                slots.give()
            await self._pause(old, pauses.next_s())
        return old

    async def _pause(self, link: Link, seconds: float) -> None:
        """Wait so long, or until a link ends."""
        pause = asyncio.ensure_future(self._wiring.sleep(seconds))
        try:
            await asyncio.wait({self._tasks[link], pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()

    async def _settled(self, new: Link, old: Link) -> bool:
        """Wait until a replacement is subscribed to all that it can be; False where it fails.

        Where the old link ends before, the new one goes on in its place as it is.
        """
        limit = self._wiring.clock() + round(SETTLE_S_MAX * 1e9)
        while not self._tasks[new].done():
            if (new.ready and new.confirmed) or self._tasks[old].done():
                return True
            if self._wiring.clock() >= limit:
                return bool(new.confirmed)
            await self._wait(new, 1.0, old)
        return False

    async def _drained(self, old: Link, new: Link) -> bool:
        """Wait until the old link has proven to deliver up to where the new one began.

        So what the venue sent before, and only over the old one, is not lost under way. Where that
        does not show in time, the time between is said to be a hole. False where the new link ends.
        """
        began, limit = new.began, self._wiring.clock() + round(DRAIN_S_MAX * 1e9)
        while not (self._tasks[old].done() or self._tasks[new].done()):
            proven = old.pulse.proven
            if began is None or (proven is not None and proven >= began):
                return True
            if self._wiring.clock() >= limit:
                return True
            await old.prove()
            await self._pause(old, DRAIN_STEP_S)
        return not self._tasks[new].done()

    async def _hand_over(self, old: Link, new: Link) -> None:
        await old.finish()
        fault = await self._stop(old)
        await self._owner.replaced(old, new, fault or LinkEnded("disconnect", "replaced in time"))


def _why(link: Link) -> str:
    return link.leaving or "its age"
