"""One connection: opens, subscribes, hands over what comes, watches whether it lives, ends.

    open ─► send opening ─► subscribe in batches ─► receive ─► owner.received ─► …
              ping every ping_s; a silence that is too long ends it: stall
              a confirmation that does not come: the streams are unconfirmed, and tried again

A link ends for good; the line makes the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from tickplant.feeds.contract import Clock, Sleep
from tickplant.feeds.supervisor.limits import VenueLimits, Window
from tickplant.feeds.supervisor.pulse import Offset, Pulse
from tickplant.feeds.supervisor.rhythm import Rhythm
from tickplant.feeds.supervisor.tap import Tap, shown_url
from tickplant.feeds.venues.contract import (
    Confirmed,
    Frame,
    Heartbeat,
    Leaving,
    Mark,
    NotesEnd,
    Numbered,
    Outgoing,
    Received,
    Refused,
    Reply,
    Session,
    Skipped,
    Stream,
    Venue,
)
from tickplant.feeds.venues.transport import Connection, ConnectionLost, Connector

_LOG = logging.getLogger(__name__)

HEARTBEATS_MISSED = 2.5
"""A connection is dead after this many times the pause between heartbeats."""

PONG_S_MAX = 10.0
"""How long the answer to a ping may take."""

SILENCE_S_MAX = 600.0
"""Where nothing else tells, a connection that was silent for so long is replaced."""

ODDS_MAX = -20.0
"""Natural logarithm of the odds of a silence below which a connection is taken as dead: one in
half a thousand million."""

FINISH_S_MAX = 10.0
"""How long a connection that has ended may still hand over what it had received."""

CONFIRMS_MISSED_MAX = 3
"""Confirmations in a row that do not come before the whole connection is replaced."""


class LinkEnded(Exception):
    """A connection is over. `cause` is that of the gap, `retry_after_s` what the venue asks for."""

    def __init__(self, cause: str, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.cause = cause
        self.reason = reason
        self.retry_after_s = retry_after_s


class LinkOwner(Protocol):
    """Who is told of what happens on a link; all of it on the link's own tasks, in order."""

    async def received(self, link: Link, received: Received, at: int) -> None:
        """Take what came `at` a time of ours; the link receives no more until it returns."""
        ...

    async def unconfirmed(self, link: Link, streams: Sequence[Stream]) -> None:
        """Note that the venue has not answered for these streams."""
        ...

    async def progressed(self, link: Link) -> None:
        """Note that more is proven of a link than before."""
        ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """What all links of a feed share."""

    venue: Venue
    connector: Connector
    limits: VenueLimits
    clock: Clock
    sleep: Sleep
    tap: Tap | None = None
    offset: Offset = field(default_factory=Offset)
    numbers: count[int] = field(default_factory=lambda: count(1))


class Link:
    """One connection of a line. `confirmed` are the streams that are in force on it."""

    def __init__(
        self, wiring: Wiring, line: int, streams: Sequence[Stream], owner: LinkOwner, rhythm: Rhythm
    ) -> None:
        self.line = line
        self.number = next(wiring.numbers)
        self.streams = set(streams)
        self.confirmed: set[Stream] = set()
        self.opened_at: int | None = None
        self.leaving: str | None = None
        self.settling = False  # its books are not right yet
        self.changed = asyncio.Event()  # something was confirmed or refused, or it is leaving
        self.began: int | None = None
        """The venue's time from which on all is delivered that was confirmed until now."""
        self.pulse = Pulse(wiring.offset, wiring.clock())
        self.receipts: frozenset[int] = frozenset()
        """When the frames came that are looked at now."""
        self.rhythm = rhythm
        self._wiring = wiring
        self._owner = owner
        self._messages = Window(wiring.venue.limits.messages, sleep=wiring.sleep)
        self._connection: Connection | None = None
        self._session: Session | None = None
        self._idle = asyncio.Event()  # no batch is being handed over
        self._idle.set()
        self._finished = False
        self._todo: list[Stream] = list(streams)
        self._undo: list[Stream] = []
        self._asking = False  # of what was to do, not everything was sent yet
        self._pending: dict[Stream, int] = {}
        self._missed = 0
        self._work = asyncio.Event()
        self._pinged_at = 0
        self._answered: int | None = None

    # -- what the line asks ------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect and stay until it ends: raises `LinkEnded`, or what the owner raised."""
        session = self._session = self._wiring.venue.session(tuple(sorted(self.streams)))
        status = None
        try:
            connection = await self._open(session)
            await self._together(
                self._receive(connection, session),
                self._subscribe(connection, session),
                self._watch(connection),
            )
        except ConnectionLost as fault:
            status = fault.status
            raise LinkEnded("disconnect", str(fault), fault.retry_after_s) from None
        finally:
            await self._close()
            if isinstance(session, NotesEnd):
                session.ended(status)

    def want(self, streams: Sequence[Stream]) -> None:
        """Subscribe to more."""
        self.streams.update(streams)
        self._todo += streams
        self._work.set()

    def drop(self, streams: Sequence[Stream]) -> None:
        """Unsubscribe from some."""
        self.streams.difference_update(streams)
        self.confirmed.difference_update(streams)
        for stream in streams:
            self._pending.pop(stream, None)
        self._todo = [stream for stream in self._todo if stream not in streams]
        self._undo += streams
        self._work.set()

    def renew(self, streams: Sequence[Stream]) -> None:
        """Unsubscribe from streams and subscribe again, as to get a book's snapshot."""
        self._undo += streams
        self._todo += [stream for stream in streams if stream not in self._todo]
        self._work.set()

    def again(self, streams: Sequence[Stream]) -> None:
        """Ask again for streams that were refused for a time."""
        self._todo += [stream for stream in streams if stream not in self._todo]
        self._work.set()

    async def prove(self) -> None:
        """Ping, where that is answered, so that more is proven soon.

        Whoever asks need not know how that ends: a connection that is broken shows it by itself.
        """
        if self._connection is not None and self._wiring.venue.vital_signs.ping_s is not None:
            with suppress(LinkEnded, ConnectionLost):
                await self._ping(self._connection)

    async def finish(self) -> None:
        """Take nothing more, and wait, not for ever, until what it took is handed over."""
        self._finished = True
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_S_MAX):
                await self._idle.wait()

    def lasts(self) -> Mapping[Stream, Mark]:
        """Return the last numbers of its streams, where they go on over other connections."""
        session = self._session
        if session is None or not isinstance(session, Numbered):
            return {}
        return session.numbers.lasts()

    def take_over(self, lasts: Mapping[Stream, Mark]) -> Sequence[Skipped]:
        """Judge its numbers by what was there before it; return what it has not delivered."""
        session = self._session
        if session is None or not isinstance(session, Numbered):
            return ()
        return session.numbers.take_over({s: lasts[s] for s in self.confirmed if s in lasts})

    @property
    def is_open(self) -> bool:
        """Whether it has a connection now."""
        return self._connection is not None

    @property
    def is_idle(self) -> bool:
        """Whether it has handed over all that it took."""
        return self._idle.is_set()

    @property
    def ready(self) -> bool:
        """Whether every stream was confirmed or refused, and every book is right."""
        asked = not self._todo and not self._asking and not self._pending
        settled = asked and not self.settling
        return self.opened_at is not None and settled

    # -- opening and closing -----------------------------------------------------------------------

    async def _open(self, session: Session) -> Connection:
        wiring = self._wiring
        dial = session.dial()
        await wiring.limits.connects.take()
        connection = await wiring.connector.connect(dial)
        self._connection = connection
        self._pinged_at = self.opened_at = wiring.clock()
        self.pulse.heard(self.opened_at)
        if wiring.tap is not None:
            wiring.tap.opened(self.number, self.opened_at, dial.shown or shown_url(dial.url))
        for frame in session.opening():
            await self._send(connection, frame, secret=True)
        return connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        await connection.close()
        if self._wiring.tap is not None:
            self._wiring.tap.closed(self.number, self._wiring.clock(), "closed")

    async def _together(self, *parts: Coroutine[Any, Any, None]) -> None:
        """Run parts until the first of them ends, end the others, and raise what it raised."""
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await self.finish()  # what was received before the end counts as delivered
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        faults = [task.exception() for task in tasks if task.done() and not task.cancelled()]
        # A fault of ours or of the plant goes before the end of the connection, which may follow.
        found = [fault for fault in faults if fault is not None]
        found.sort(key=lambda fault: isinstance(fault, ConnectionLost | LinkEnded))
        if found:
            raise found[0]

    async def _send(self, connection: Connection, frame: Outgoing, *, secret: bool = False) -> None:
        await self._messages.take()
        await self._send_now(connection, frame, secret=secret)

    async def _send_now(
        self, connection: Connection, frame: Outgoing, *, secret: bool = False
    ) -> None:
        await connection.send(frame)
        if self._wiring.tap is not None:
            data = None if secret else frame.data
            self._wiring.tap.sent(self.number, self._wiring.clock(), data)

    # -- receiving ---------------------------------------------------------------------------------

    async def _receive(self, connection: Connection, session: Session) -> None:
        while True:
            frames = await connection.receive()
            if self._finished:
                return
            self._idle.clear()
            try:
                await self._handle(connection, session, frames)
            finally:
                self._idle.set()
            self.pulse.heard(self._wiring.clock())  # the plant's time is not the venue's silence

    async def _handle(
        self, connection: Connection, session: Session, frames: Sequence[Frame]
    ) -> None:
        at = frames[-1].ts_recv if frames else self._wiring.clock()
        self.receipts = frozenset(frame.ts_recv for frame in frames)
        if frames:
            if self._wiring.tap is not None:
                self._wiring.tap.received(self.number, frames)
            self.pulse.heard(at)
            await self._take(connection, session.receive(frames), at)
        if connection.answered != self._answered:
            self._answered = connection.answered
            if self._answered is not None:
                self.pulse.answered(self._answered, self._wiring.clock())
        await self._owner.progressed(self)

    async def _take(self, connection: Connection, received: Received, at: int) -> None:
        for said in received.said:
            match said:
                case Confirmed(streams, ends):
                    self._note_confirmed(streams, ends, at)
                case Refused(streams):
                    self._note_refused(streams, said)
                case Reply(frame):
                    # What the venue asks for goes at once: to wait would be to stop listening. It
                    # takes none of the messages that are allowed, or many would hold up the others.
                    await self._send_now(connection, frame)
                case Leaving(reason):
                    self.leaving = reason
        if received.rows or received.books is not None:
            self.rhythm.heard(at)
        await self._owner.received(self, received, at)
        for said in received.said:  # they prove what was sent before them, now that it is there
            if isinstance(said, Heartbeat) and said.ts is not None:
                self.pulse.event(said.ts, at)
        if received.said:
            self.changed.set()

    def _note_confirmed(self, streams: Sequence[Stream], ends: bool, at: int) -> None:
        if ends:
            return  # whoever dropped them has noted that already
        for stream in streams:
            self._pending.pop(stream, None)
        self._missed = 0
        self.confirmed.update(stream for stream in streams if stream in self.streams)
        self.began = max(self.began or 0, self._wiring.offset.start_time(at))
        if self.pulse.proven is None:
            self.pulse.begin(at)

    def _note_refused(self, streams: Sequence[Stream], said: Refused) -> None:
        if not streams:
            raise LinkEnded("disconnect", f"the venue refuses the session: {said.reason}")
        for stream in streams:
            self._pending.pop(stream, None)
        self.confirmed.difference_update(streams)

    # -- subscribing -------------------------------------------------------------------------------

    async def _subscribe(self, connection: Connection, session: Session) -> None:
        while True:
            # Both are taken at once: what is renewed while these are sent is ended and begun again.
            undo, self._undo, todo, self._todo = self._undo, [], self._todo, []
            self._asking = bool(todo)
            for batch in self._batches(undo):
                for frame in session.unsubscribe(batch):
                    await self._send(connection, frame)
            for batch in self._batches([stream for stream in todo if stream in self.streams]):
                self._expect(batch)
                for frame in session.subscribe(batch):
                    await self._send(connection, frame)
                self._expect([stream for stream in batch if stream in self._pending])
            self._asking = False
            if not self._todo and not self._undo:
                self._work.clear()
                await self._work.wait()

    def _batches(self, streams: list[Stream]) -> list[tuple[Stream, ...]]:
        size = self._wiring.venue.limits.batch_max or max(len(streams), 1)
        return [tuple(streams[at : at + size]) for at in range(0, len(streams), size)]

    def _expect(self, streams: Sequence[Stream]) -> None:
        patience_ns = round(self._wiring.venue.vital_signs.confirm_s_max * 1e9)
        deadline = self._wiring.clock() + patience_ns
        self._pending.update((stream, deadline) for stream in streams)

    # -- watching ----------------------------------------------------------------------------------

    async def _watch(self, connection: Connection) -> None:
        signs = self._wiring.venue.vital_signs
        every_s = min(1.0, (signs.heartbeat_s or 4.0) / 4, (signs.ping_s or 4.0) / 4)
        while True:
            await self._wiring.sleep(every_s)
            now = self._wiring.clock()
            if signs.ping_s is not None and now - self._pinged_at >= signs.ping_s * 1e9:
                self._pinged_at = now
                await self._ping(connection)
            if self._idle.is_set():
                self._check_silence(now)
            await self._check_pending(now)

    async def _ping(self, connection: Connection) -> None:
        await self._messages.take()
        try:
            async with asyncio.timeout(PONG_S_MAX):
                await connection.ping()
        except TimeoutError:
            raise LinkEnded("stall", "nothing can be sent any more") from None

    def _check_silence(self, now: int) -> None:
        signs, silent_s = self._wiring.venue.vital_signs, (now - self.pulse.heard_at) / 1e9
        if signs.heartbeat_s is not None:
            limit_s = signs.heartbeat_s * HEARTBEATS_MISSED
        elif signs.ping_s is not None:
            limit_s = signs.ping_s + PONG_S_MAX
        else:
            limit_s = SILENCE_S_MAX
            odds = self.rhythm.log_odds(self.pulse.heard_at, now)
            if odds < ODDS_MAX:
                raise LinkEnded(
                    "stall",
                    f"nothing was heard of it for {silent_s:.0f} s, at odds of e^{odds:.0f}",
                )
        if silent_s > limit_s:
            raise LinkEnded("stall", f"nothing was heard of it for {silent_s:.1f} s")

    async def _check_pending(self, now: int) -> None:
        late = [stream for stream, deadline in self._pending.items() if deadline <= now]
        if not late:
            return
        self._missed += 1
        if self._missed >= CONFIRMS_MISSED_MAX and not self.confirmed:
            raise LinkEnded("disconnect", "the venue confirms no subscription")
        for stream in late:
            del self._pending[stream]
        await self._owner.unconfirmed(self, late)
        self.changed.set()
