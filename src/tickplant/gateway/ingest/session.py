"""One producer's connection: three tasks in a row, and answers in the order of its messages.

    receive ─► parsed, in a thread where it is large ─► submit ─► durable ─► acknowledge
       └ waits for room: at most `window` messages are under way, then nothing is read

The producer is held back by its own socket: what the plant has no room for stays unread. A producer
that does not read its acknowledgements is cut off after `stall_s`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from tickplant.config import Settings
from tickplant.gateway.ingest.answers import Pending, acknowledge
from tickplant.gateway.ingest.feeds import FeedPlant, PushedFeed, PushedFeeds
from tickplant.gateway.ingest.keys import producer_digest, with_keys
from tickplant.gateway.ingest.protocol import (
    ARROW,
    FAILED,
    NOT_ALLOWED,
    RESTART,
    TABLES,
    TOO_LARGE,
    TRY_LATER,
    Alive,
    BadMessage,
    Closing,
    End,
    Frame,
    Hello,
    Hole,
    Message,
    Ping,
    Rows,
    check_hello,
    codec_of,
    read_message,
    time_of,
)
from tickplant.gateway.rest.bodies import THREAD_BYTES, BodyRoom
from tickplant.model.errors import Overloaded, PassingError, Stopping
from tickplant.model.times import format_time
from tickplant.observe.tracing import Tracer
from tickplant.plant.hub import Hub
from tickplant.plant.submission import PUSH_FEED, Receipt, Submission

_LOG = logging.getLogger(__name__)

ARROW_THREAD_BYTES = 1 << 20
"""Larger Arrow frames are read in a thread; below, that costs less than the way there and back."""

RETRY_S = 0.05
"""How soon the plant is asked again that had no room: nothing was taken, so nothing doubles."""

CLOSE_S_MAX = 5.0
_TRACE = "WS /v1/ingest"
"""Name of the trace of a message with rows."""

REASON_BYTES_MAX = 120


class IngestPlant(FeedPlant, Protocol):
    """What a producer's connection needs of the plant."""

    settings: Settings
    hub: Hub
    tracer: Tracer | None

    @property
    def run(self) -> int:
        """The number of this run of the plant."""
        ...

    def submit(self, submission: Submission) -> Future[Receipt]:
        """Hand rows in; see `Plant.submit`."""
        ...


@dataclass(frozen=True, slots=True)
class _Due:
    """What is to be answered next (nothing: an empty frame), and the bytes held until then."""

    answer: Pending | Frame | Closing
    size: int


_Arriving = asyncio.Future[Message] | Message | BadMessage | Closing | WebSocketDisconnect
"""A message, what is wrong with it, a thread that will say, or the end of the connection."""


class Session:
    """One connection, from `accept` to the end. `run` owns its tasks and releases everything."""

    def __init__(
        self,
        socket: WebSocket,
        plant: IngestPlant,
        feeds: PushedFeeds,
        room: BodyRoom,
        *,
        subprotocol: str | None,
        strict: bool,
        in_thread: Callable[[Callable[[], Message]], asyncio.Future[Message]],
        stall_s: float,
    ) -> None:
        self.stalled = False
        self._socket = socket
        self._plant = plant
        self._feeds = feeds
        self._body_room = room
        self._subprotocol = subprotocol
        self._codec = codec_of(subprotocol)
        self._strict = strict
        self._in_thread = in_thread
        self._stall_s = stall_s
        self._settings = plant.settings.ingest
        self._loop = asyncio.get_running_loop()
        self._window = asyncio.Semaphore(self._settings.window)
        self._arrived: asyncio.Queue[tuple[_Arriving, int]] = asyncio.Queue()
        self._due: asyncio.Queue[_Due] = asyncio.Queue()
        self._held = 0
        self._venue = plant.settings.push.venue
        self._producer: bytes | None = None
        self._feed: PushedFeed | None = None
        self._sent_rows = False
        self._restarting = False
        self._sent_at = self._loop.time()
        self._sending_since: float | None = None
        self._closing: asyncio.Future[Closing] = self._loop.create_future()

    async def run(self) -> None:
        """Serve the connection until either side ends it."""
        works = (self._receive(), self._submit_all(), self._answer_all(), self._watch())
        tasks = [self._loop.create_task(work) for work in works]
        try:
            ends: list[asyncio.Future[Any]] = [*tasks, self._closing]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._body_room.give_back(self._held)
        closing = self._reason(tasks)
        self._leave_feed(closing)
        await self._close(closing)

    def close(self, code: int, reason: str) -> None:
        """End the connection from outside; on its event loop."""
        if not self._closing.done():
            self._closing.set_result(Closing(code, reason))

    def _reason(self, tasks: list[asyncio.Task[None]]) -> Closing | None:
        """Return how to close, None where the producer is gone already."""
        if self._closing.done():
            return self._closing.result()
        for task in tasks:
            fault = None if task.cancelled() else task.exception()
            if isinstance(fault, Closing):
                return fault
            if fault is not None and not isinstance(fault, WebSocketDisconnect):
                _LOG.error("a producer's connection failed", exc_info=fault)
                return Closing(FAILED, "internal error")
        return None

    def _leave_feed(self, closing: Closing | None) -> None:
        feed, self._feed = self._feed, None
        # When the plant goes, it writes down itself how far each feed has come.
        restarting = self._restarting or (closing is not None and closing.code == RESTART)
        if feed is not None and not restarting:
            feed.lose("disconnect", "its connection ended" if closing is None else closing.reason)

    async def _close(self, closing: Closing | None) -> None:
        if closing is None or self.stalled:
            return
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                reason = closing.reason.encode()[:REASON_BYTES_MAX].decode(errors="ignore")
                await self._socket.close(closing.code, reason)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            self.stalled = True

    # -- the receiver ------------------------------------------------------------------------------

    async def _receive(self) -> None:
        try:
            while True:
                await self._window.acquire()
                data = await self._next_frame()
                await self._hold(len(data))
                self._arrived.put_nowait((self._begin_to_read(data), len(data)))
        except (WebSocketDisconnect, Closing) as gone:
            self._arrived.put_nowait((gone, 0))  # behind what was sent before it
        await self._forever()

    async def _next_frame(self) -> Frame:
        message = await self._socket.receive()
        if message["type"] != "websocket.receive":
            code = message.get("code", 1005)
            self._restarting = code == RESTART  # what the server says of itself when it stops
            raise WebSocketDisconnect(code)
        data: Frame = message.get("text") or message.get("bytes") or ""
        limit = self._settings.frame_mb_max << 20
        if len(data) > limit or (isinstance(data, str) and len(data.encode()) > limit):
            raise Closing(TOO_LARGE, f"allowed are frames of at most {limit} bytes")
        return data

    async def _hold(self, size: int) -> None:
        """Take room for a frame among the bodies in memory, waiting for it."""
        while True:
            try:
                self._body_room.take(size)
                self._held += size
                return
            except Overloaded:
                await asyncio.sleep(RETRY_S)

    def _begin_to_read(self, data: Frame) -> _Arriving:
        """Read a frame here where it is small, else in a thread, while earlier ones are stored."""
        quick = ARROW_THREAD_BYTES if self._subprotocol == ARROW else THREAD_BYTES
        if len(data) > quick:
            return self._in_thread(lambda: read_message(data, self._subprotocol))
        try:
            return read_message(data, self._subprotocol)
        except (BadMessage, Closing) as fault:
            return fault

    # -- the submitter -----------------------------------------------------------------------------

    async def _submit_all(self) -> None:
        while True:
            arrived, size = await self._arrived.get()
            try:
                if isinstance(arrived, Exception):
                    raise arrived
                message = await arrived if isinstance(arrived, asyncio.Future) else arrived
                answer = await self._take(message)
            except BadMessage as fault:
                answer = self._codec.error(fault)
            except Closing as closing:
                # What was answered before goes out first.
                self._due.put_nowait(_Due(closing, size))
                return await self._forever()
            self._due.put_nowait(_Due(answer, size))

    async def _forever(self) -> None:
        await self._loop.create_future()

    async def _take(self, message: Message) -> Pending | Frame:
        match message:
            case Rows():
                return await self._take_rows(message)
            case Hello():
                return self._greet(message)
            case Alive():
                ts = self._plant.clock() if message.ts is None else self._past(message.ts, "ts")
                self._my_feed("alive").alive(ts)
            case Hole():
                start, end = self._past(message.start, "start"), self._past(message.end, "end")
                if start >= end:
                    raise BadMessage("bad_message", "end: it must be after start")
                self._my_feed("hole").miss(start, end, message.detail)
            case End():
                self._my_feed("end").finish()
                self._feed = None
                return self._codec.message("ended", ts=self._now())
            case Ping():
                return self._codec.message("pong", id=message.id, ts=self._now())
        return ""

    def _past(self, value: int | str, name: str) -> int:
        """Return a time that has come: what lies ahead of it would count as covered for ever."""
        ts = time_of(value, name)
        if ts > self._plant.clock() + self._plant.settings.checks.future_s_max * 1e9:
            raise BadMessage("bad_message", f"{name}: {value} lies ahead of the plant's clock")
        return ts

    def _my_feed(self, op: str) -> PushedFeed:
        if self._feed is None:
            raise BadMessage("no_feed", f"{op}: this connection has registered no feed")
        return self._feed

    def _greet(self, hello: Hello) -> Frame:
        """Take who sends. It must be known before the first row, so a refusal ends it all."""
        try:
            if self._sent_rows or self._producer is not None or self._feed is not None:
                raise BadMessage("late_hello", "hello: it must be the first message, and one")
            check_hello(hello)
            if hello.start is not None:
                self._past(hello.start, "start")
            self._venue = (hello.venue or self._venue).upper()
            if hello.feed is not None:
                self._feed = self._feeds.join(hello, self._venue, self._be_replaced)
        except BadMessage as fault:
            raise Closing(NOT_ALLOWED, fault.message) from None
        if hello.producer is not None:
            self._producer = producer_digest(hello.producer)
        return self._codec.message(
            "ready", feed=hello.feed, producer=hello.producer, venue=self._venue
        )

    def _be_replaced(self) -> None:
        self._feed = None
        self.close(NOT_ALLOWED, "the producer of this feed has made a new connection")

    async def _take_rows(self, message: Rows) -> Pending:
        self._sent_rows = True
        submission, tracer = self._submission(message), self._plant.tracer
        trace = None if tracer is None else tracer.begin(_TRACE)
        if trace is None:
            return Pending(message.seq, await self._submit(submission))
        try:
            with trace.within():
                return Pending(message.seq, await self._submit(submission), trace)
        except BaseException as fault:
            trace.fail(fault)
            trace.end()
            raise

    async def _submit(self, submission: Submission) -> Future[Receipt]:
        """Hand rows in, as soon as there is room."""
        while True:
            try:
                future = self._plant.submit(submission)
                break
            except Stopping as fault:
                raise Closing(RESTART, fault.detail) from None
            except PassingError:
                await asyncio.sleep(RETRY_S)
        if self._feed is not None:
            self._feed.note_rows(submission.rows)
        return future

    def _submission(self, message: Rows) -> Submission:
        parsed = message.parsed
        rows = parsed.rows
        if self._producer is not None:
            rows = with_keys(rows, self._producer, message.seq, parsed.indexes)
        return Submission(
            table=message.table,
            rows=rows,
            feed=PUSH_FEED if self._feed is None else self._feed.name,
            venue=self._venue,
            strict=self._strict,
            unreadable=parsed.unreadable,
            indexes=parsed.indexes,
        )

    # -- the answers -------------------------------------------------------------------------------

    async def _answer_all(self) -> None:
        await self._send(self._codec.message("hello", **self._announced()))
        while True:
            due = await self._due.get()
            if isinstance(due.answer, Closing):
                raise due.answer
            answer = due.answer
            frame = (
                await acknowledge(answer, self._codec) if isinstance(answer, Pending) else answer
            )
            if isinstance(answer, Pending) and answer.trace is not None:
                answer.trace.end_acked(self._plant.clock)
            if frame:
                await self._send(frame)
            self._body_room.give_back(due.size)
            self._held -= due.size
            self._window.release()

    def _announced(self) -> dict[str, Any]:
        return {
            "run": self._plant.run,
            "seq": self._plant.hub.seq,
            "tables": TABLES,
            "window": self._settings.window,
            "frame_bytes_max": self._settings.frame_mb_max << 20,
            "heartbeat_s": self._plant.settings.stream.heartbeat_s,
            "ts": self._now(),
        }

    async def _send(self, frame: Frame) -> None:
        kind = "text" if isinstance(frame, str) else "bytes"
        self._sending_since = self._loop.time()
        try:
            await self._socket.send({"type": "websocket.send", kind: frame})
        except RuntimeError:  # what starlette and uvicorn raise once the connection is closing
            raise WebSocketDisconnect(1006) from None
        self._sending_since = None
        self._sent_at = self._loop.time()

    def _now(self) -> str:
        return format_time(self._plant.clock())

    # -- the watch ---------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Send heartbeats into silence, watch over the feed, cut off who reads no answers."""
        settings = self._plant.settings
        beat_s = settings.stream.heartbeat_s
        while True:
            await asyncio.sleep(beat_s)
            if self._feed is not None:
                self._feed.check_stall(settings.coverage.stall_s)
            now = self._loop.time()
            if self._sending_since is None:
                if now - self._sent_at >= beat_s:
                    await self._send(self._codec.message("heartbeat", ts=self._now()))
            elif now - self._sending_since >= self._stall_s:
                self.stalled = True
                self.close(TRY_LATER, "the producer does not read its acknowledgements")
                return
