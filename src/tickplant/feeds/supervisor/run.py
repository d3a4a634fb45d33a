"""One run of a venue's feed: its lines, and what happens on them, put where it belongs.

    line ─► link ─► received ─┬─► said:  cover (notes), board (judgement), holes
                              └─► rows, books, bad frames: delivery ─► sink
    ended, replaced ─► cover, board, delivery ─► repair

A run ends when it is cancelled or when the plant fails it; the runner begins the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickplant.books.updates import Updates
from tickplant.feeds.book_desk import BookDesk
from tickplant.feeds.contract import Sink
from tickplant.feeds.supervisor.allot import allot
from tickplant.feeds.supervisor.backoff import Backoff, Jitter
from tickplant.feeds.supervisor.board import Board, Judgement, LineEntry
from tickplant.feeds.supervisor.cover import Cover
from tickplant.feeds.supervisor.deliver import Delivery
from tickplant.feeds.supervisor.line import Line
from tickplant.feeds.supervisor.link import Link, LinkEnded, Wiring
from tickplant.feeds.supervisor.names import split_name
from tickplant.feeds.supervisor.resume import Resumed
from tickplant.feeds.venues.contract import (
    Confirmed,
    Http,
    Received,
    Refused,
    Skipped,
    Stream,
    VenueFault,
)
from tickplant.model.times import format_time
from tickplant.observe.tracing import Tracer
from tickplant.plant.feed_notes import Hole, Judged

_LOG = logging.getLogger(__name__)

TICK_S = 0.1
"""How often what is due by the clock is looked for: books that are told at a rate."""

TELL_EVERY_TICKS = 50
"""After so many ticks it is looked whether streams have fallen quiet."""

SNAPSHOTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of, besides its sink."""

    feed: str
    wiring: Wiring
    board: Board
    http: Http | None
    new_desk: Callable[[], BookDesk]
    jitter: Jitter
    on_hole: Callable[[], None] = field(default=lambda: None)
    tracer: Tracer | None = None


class Run:
    """One run; a `LineOwner`. One event loop."""

    def __init__(self, parts: Parts, sink: Sink) -> None:
        self._parts = parts
        self._wiring = parts.wiring
        self._venue = parts.wiring.venue
        self._board = parts.board
        self.sink = self._sink = sink
        self.cover = Cover(parts.feed, self._venue.name, sink)
        self._delivery = Delivery(
            parts.feed, self._venue.name, sink, parts.board,
            clock=parts.wiring.clock, new_desk=parts.new_desk, wanted=self._want_books,
            tracer=parts.tracer,
        )  # fmt: skip
        self.lines: dict[int, Line] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._line_tasks: dict[int, asyncio.Task[None]] = {}
        self._snapshots = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self._retries: dict[Stream, Backoff] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._told: dict[str, int] = {}
        self._resumed = Resumed()

    # -- life --------------------------------------------------------------------------------------

    async def until_failed(self, *others: Coroutine[Any, Any, None]) -> None:
        """Run until cancelled; raises what fails a line, or one of the others."""
        try:
            self._spawn(self._tick(), "tick")
            for number, other in enumerate(others):
                self._spawn(other, f"part {number}")
            await self._failed
        finally:
            tasks = [*self._tasks, *self._line_tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._failed.done() and not self._failed.cancelled():
                self._failed.exception()

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=f"{self._parts.feed}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if fault is not None and not self._failed.done():
            self._failed.set_exception(fault)

    # -- what is carried ---------------------------------------------------------------------------

    def add(self, streams: Sequence[Stream]) -> None:
        """Carry more streams; those of a connection that there is no room for are refused."""
        self.cover.want(streams)
        carried = {number: line.streams for number, line in self.lines.items()}
        routes = getattr(self._venue, "routes", None)
        given, left = allot(streams, carried, self._venue.limits, routes)
        for number, mine in given.items():
            for stream in mine:
                self._board.streams[stream].line = number
            self._line(number).want(mine)
        limits = self._venue.limits
        each = limits.streams_max if limits.symbols_max is None else limits.symbols_max
        room = f"the venue allows {limits.connections_max} connections of {each}"
        self._board.set(left, "refused", room)

    def _line(self, number: int) -> Line:
        if number not in self.lines:
            jitter = self._parts.jitter
            self.lines[number] = line = Line(
                number, self._wiring, self, backoff=partial(Backoff, jitter=jitter), jitter=jitter
            )
            self._board.lines.setdefault(number, LineEntry())
            # Streams that are given to a line right after it is made are there when it starts.
            task = asyncio.create_task(line.run(), name=f"{self._parts.feed}: line {number}")
            self._line_tasks[number] = task
            task.add_done_callback(self._ended)
        return self.lines[number]

    async def remove(self, streams: Sequence[Stream]) -> None:
        """Carry these streams no more; a line that carries nothing is closed."""
        books = [stream.symbol for stream in streams if stream.channel == "book"]
        for line in list(self.lines.values()):
            mine = [stream for stream in streams if stream in line.streams]
            if mine:
                line.drop(mine)
                for link in line.links:
                    await self._delivery.drop_books(link, books)
        self._resumed.dropped(streams)
        await self.cover.dropped(streams, self._venue_now())
        for number, line in list(self.lines.items()):
            if not line.streams:
                await self._close(number)

    async def _close(self, number: int) -> None:
        line = self.lines.pop(number)
        self._board.lines.pop(number, None)
        links, task = line.links, self._line_tasks.pop(number)
        task.cancel()
        await asyncio.wait({task})
        for link in links:
            await self._delivery.close(link)
            await self.cover.ended(link, "disconnect", "it carries nothing", self._venue_now())

    # -- what lines say ----------------------------------------------------------------------------

    async def opening(self, link: Link) -> None:
        """See `LineOwner.opening`."""
        line = self.lines[link.line]
        self._delivery.open(link, line.links[-1] if line.links else None)
        if not line.links:
            await self._judge(link.line, "waiting", None)

    async def replaced(self, old: Link, new: Link, fault: LinkEnded) -> None:
        """See `LineOwner.replaced`."""
        await self._delivery.close(old)
        await self.cover.ended(old, fault.cause, fault.reason, self._venue_now())
        if _is_seamless(old, new):
            for skipped in new.take_over(old.lasts()):
                await self._skipped(new, skipped)
        else:
            self._resumed.ended(old)
            for stream, since in self.cover.carried(new).items():
                self._resumed.confirmed(new, [stream], since)
        self._parts.on_hole()

    async def ended(self, link: Link, fault: LinkEnded) -> None:
        """See `LineOwner.ended`."""
        await self._delivery.close(link)
        await self.cover.ended(link, fault.cause, fault.reason, self._venue_now())
        line = self.lines.get(link.line)
        if line is None or line.links:
            return  # another link of the line goes on
        self._resumed.ended(link)
        state: Judgement = "stalled" if fault.cause == "stall" else "down"
        self._board.lines[link.line].failed += 1
        self._board.set(line.streams, state, fault.reason)
        await self._judge(link.line, state, fault.reason)

    async def received(self, link: Link, received: Received, at: int) -> None:
        """See `LinkOwner.received`."""
        for said in received.said:
            match said:
                case Confirmed(streams, ends) if not ends:
                    await self._confirmed(link, streams, at)
                case Refused(streams, reason, passing) if streams:
                    await self._refused(link, streams, reason, passing=passing)
        await self._delivery.take(link, received, at)
        for said in received.said:
            if isinstance(said, Skipped):
                await self._skipped(link, said)

    async def progressed(self, link: Link) -> None:
        """See `LinkOwner.progressed`."""
        await self.cover.progressed()

    async def unconfirmed(self, link: Link, streams: Sequence[Stream]) -> None:
        """See `LinkOwner.unconfirmed`."""
        limit_s = self._venue.vital_signs.confirm_s_max
        await self._refused(link, streams, f"not confirmed within {limit_s:g} s", passing=True)

    # -- what is done about it ---------------------------------------------------------------------

    def _venue_now(self) -> int:
        return self._wiring.offset.venue_time(self._wiring.clock())

    async def _confirmed(self, link: Link, streams: Iterable[Stream], at: int) -> None:
        streams = [stream for stream in streams if stream in link.streams]
        for stream in streams:
            self._retries.pop(stream, None)
        self._board.set(streams, "live", None, at)
        since = self._wiring.offset.start_time(at)
        self._resumed.confirmed(link, streams, since)
        await self.cover.confirmed(link, streams, since)
        books = [stream.symbol for stream in streams if stream.channel == "book"]
        if books:
            await self._delivery.begin_books(link, books)
        entry = self._board.lines[link.line]
        if entry.state != "live" or entry.connection != link.number:
            entry.connection, entry.opened = link.number, entry.opened + 1
            await self._judge(link.line, "live", None)
        self._parts.on_hole()

    async def _refused(
        self, link: Link, streams: Sequence[Stream], reason: str, *, passing: bool
    ) -> None:
        streams = [stream for stream in streams if stream in link.streams]
        self._board.set(streams, "refused", reason)
        await self.cover.refused(link, streams, reason, self._venue_now())
        await self._judge(link.line, self._board.lines[link.line].state, None, streams)
        _LOG.warning("%s refuses %d streams: %s", self._venue.name, len(streams), reason)
        if passing:
            for stream in streams:
                self._retries.setdefault(stream, Backoff(5.0, 300.0, jitter=self._parts.jitter))
            pause_s = max(self._retries[stream].next_s() for stream in streams)
            self._spawn(self._again(link, streams, pause_s), "again")

    async def _again(self, link: Link, streams: Sequence[Stream], pause_s: float) -> None:
        await self._wiring.sleep(pause_s)
        link.again([stream for stream in streams if stream in link.streams])

    async def _skipped(self, link: Link, skipped: Skipped) -> None:
        streams = [stream for stream in skipped.streams if stream in link.streams]
        basis = {stream.symbol for stream in streams if stream in self.cover.basis(stream.symbol)}
        books = [stream for stream in streams if stream.channel == "book"]
        if books:
            await self._delivery.lose_books(link, [s.symbol for s in books], skipped.detail)
            if self._venue.book_source == "resubscribe":
                link.renew(books)
            else:
                await self._delivery.begin_books(link, [stream.symbol for stream in books])
        if basis:
            names = tuple(split_name(symbol, self._venue.name) for symbol in sorted(basis))
            start, end = skipped.start + 1, max(skipped.end, skipped.start + 2)
            note = Hole(self._parts.feed, start, end, "sequence", names, skipped.detail)
            await self._sink.say(note)
            self._parts.on_hole()

    async def silent(self, link: Link, streams: Sequence[Stream], since: int, reason: str) -> None:
        """Subscribe again to streams that are dead on a link that lives: see `vigil.Dead`."""
        _LOG.warning("%s: %d streams of %s are dead: %s", self._venue.name, len(streams),
                     streams[0].symbol, reason)  # fmt: skip
        self._board.set(streams, "stalled", reason)
        self._resumed.renewed(link, streams)
        await self.cover.silent(link, streams, since, reason)
        books = [stream.symbol for stream in streams if stream.channel == "book"]
        if books:
            await self._delivery.lose_books(link, books, reason)
        link.renew(streams)
        state = self._board.lines[link.line].state
        await self._tell({"line": link.line, "state": state, "reason": reason, "refused": []})

    async def brought(
        self, symbol: str, start: int, end: int, numbers: NDArray[np.int64], ts: NDArray[np.int64]
    ) -> None:
        """Note what the repair of a gap found of a symbol: see `repair.Brought`."""
        stream = Stream(symbol, "trades")
        for link, skipped in self._resumed.repaired(stream, start, end, numbers, ts):
            await self._skipped(link, skipped)

    # -- snapshots of books ------------------------------------------------------------------------

    def _want_books(self, link: Link, symbols: Sequence[str]) -> None:
        if self._venue.book_source == "resubscribe":
            link.renew([stream for stream in link.streams
                        if stream.channel == "book" and stream.symbol in symbols])  # fmt: skip
            return
        for symbol in symbols:
            self._spawn(self._bring_book(link, symbol), f"book of {symbol}")

    async def _bring_book(self, link: Link, symbol: str) -> None:
        """Bring a snapshot of a book, however often that fails, while its link lives."""
        pauses = Backoff(1.0, 60.0, jitter=self._parts.jitter)
        while link.is_open and self._parts.http is not None:
            async with self._snapshots:
                updates = await self._snapshot(symbol)
            if updates is not None:
                if link.is_open:
                    await self._delivery.take_books(link, updates)
                return
            await self._wiring.sleep(pauses.next_s())

    async def _snapshot(self, symbol: str) -> Updates | None:
        assert self._parts.http is not None
        try:
            return await self._venue.book_snapshot(self._parts.http, symbol)
        except VenueFault as fault:
            _LOG.warning("%s: no snapshot of the book of %s: %s", self._venue.name, symbol, fault)
            return None

    # -- the judgement -----------------------------------------------------------------------------

    async def _judge(
        self, line: int, state: Judgement, reason: str | None, streams: Sequence[Stream] = ()
    ) -> None:
        """Note what is thought of a line, and tell who watches."""
        entry, now = self._board.lines.get(line), self._wiring.clock()
        if entry is None:
            return
        if entry.state != state:
            entry.since = now
        entry.state, entry.reason = state, reason
        refused = [[*stream] for stream in streams]
        await self._tell({"line": line, "state": state, "reason": reason, "refused": refused})

    async def _tell(self, facts: dict[str, Any]) -> None:
        now = self._wiring.clock()
        self._told = self._board.counts(now)
        told = {"ts": format_time(now), **facts, "streams": self._told}
        await self._sink.say(Judged(self._parts.feed, told))

    async def _tick(self) -> None:
        ticks = 0
        while True:
            await self._wiring.sleep(TICK_S)
            await self._delivery.due_books()
            ticks += 1
            if (
                ticks % TELL_EVERY_TICKS == 0
                and self._board.counts(self._wiring.clock()) != self._told
            ):
                await self._tell({"line": None, "state": None, "reason": None, "refused": []})


def _is_seamless(old: Link, new: Link) -> bool:
    """Say whether an old link is known to have delivered until the new one began."""
    proven, began = old.pulse.proven, new.began
    return proven is not None and began is not None and proven >= began
