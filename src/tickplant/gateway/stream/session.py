"""One connection: a receiver that takes messages, a sender that is the only one to send.

The receiver answers into a bounded outbox; the sender empties it, then lets each subscription take
its turn, and sleeps until the hub, a finished read, an answer or the heartbeat wakes it. A client
that does not read blocks its own sender only; after `stall_s` of that it is cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from tickplant.gateway.stream.book_tops import BookTopSubscription
from tickplant.gateway.stream.fanout import Fanout
from tickplant.gateway.stream.frames import Frame, Outlet, Wire
from tickplant.gateway.stream.open import Opened, open_subscription
from tickplant.gateway.stream.ports import StreamPlant
from tickplant.gateway.stream.protocol import (
    Codec,
    Id,
    Ping,
    ProtocolError,
    Subscribe,
    Unsubscribe,
    decode,
)
from tickplant.gateway.stream.replay import Chunk
from tickplant.gateway.stream.status import StatusSubscription, StatusWatch
from tickplant.gateway.stream.subscription import Subscription, TooSlowError
from tickplant.model.errors import TickplantError
from tickplant.model.times import format_time

_LOG = logging.getLogger(__name__)

OUTBOX_MAX = 64
CLOSE_S_MAX = 5.0

NORMAL, TOO_LARGE, RESTART, TRY_LATER = 1000, 1009, 1012, 1013


@dataclass(slots=True)
class ClosingError(Exception):
    """The connection is to be closed with this code and reason."""

    code: int
    reason: str


class Session:
    """One connection, from `accept` to the end. `run` owns its tasks and releases everything."""

    def __init__(
        self,
        socket: WebSocket,
        plant: StreamPlant,
        codec: Codec,
        run_in_thread: Callable[[Callable[[], Chunk]], Future[Chunk]],
        *,
        status: StatusWatch,
        fanout: Fanout,
        wire: Wire | None,
        stall_s: float,
    ) -> None:
        self.socket = socket
        self.plant = plant
        self.codec = codec
        self.stalled = False
        self._counts = plant.metrics.stream
        self._settings = plant.settings.stream
        self._run_in_thread = run_in_thread
        self._status = status
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._outbox: asyncio.Queue[Frame] = asyncio.Queue(OUTBOX_MAX)
        self._open: dict[Id, Opened] = {}
        self._ids = 0
        self._fanout = fanout
        self._outlet = Outlet(wire, socket.send, self._wake.set, self._loop.time())
        self._sending_since: float | None = None
        self._unread = 0
        self._heartbeat_due = False
        self._closing: asyncio.Future[ClosingError] = self._loop.create_future()

    async def run(self) -> None:
        """Serve the connection until either side ends it."""
        timer = self._loop.create_task(self._watch())
        tasks = [self._loop.create_task(work) for work in (self._receive(), self._send_all())]
        try:
            ends: list[asyncio.Future[Any]] = [*tasks, self._closing]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._fanout.ignore(self._outlet)
            await _cancel([timer, *tasks])
            await self._release()
        await self._close(self._reason(tasks))

    def close(self, code: int, reason: str) -> None:
        """End the connection from outside; on its event loop."""
        if not self._closing.done():
            self._closing.set_result(ClosingError(code, reason))

    def _reason(self, tasks: list[asyncio.Task[None]]) -> ClosingError | None:
        """Return how to close, None where the client is gone already."""
        if self._closing.done():
            return self._closing.result()
        faults = [task.exception() for task in tasks if not task.cancelled()]
        for fault in faults:
            if isinstance(fault, ClosingError):
                return fault
            if fault is not None and not isinstance(fault, WebSocketDisconnect):
                _LOG.error("a stream connection failed", exc_info=fault)
                return ClosingError(1011, "internal error")
        return None

    async def _close(self, closing: ClosingError | None) -> None:
        if closing is None or self.stalled:
            return
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self.socket.close(closing.code, closing.reason[:120])
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            self.stalled = True

    async def _release(self) -> None:
        opened, self._open = list(self._open.values()), {}
        for one in opened:
            self._fanout.leave(one.subscription)
            await one.release(self.plant)

    # -- the receiver ------------------------------------------------------------------------------

    async def _receive(self) -> None:
        while True:
            data = await self._next_frame()
            try:
                await self._take(data)
            except ProtocolError as fault:
                await self._answer(self.codec.error(fault))

    async def _next_frame(self) -> str | bytes:
        message = await self.socket.receive()
        if message["type"] != "websocket.receive":
            raise WebSocketDisconnect(message.get("code", 1005))
        data: str | bytes = message.get("text") or message.get("bytes") or ""
        limit = self._settings.frame_kb_max * 1024
        if len(data) > limit or (isinstance(data, str) and len(data.encode()) > limit):
            raise ClosingError(TOO_LARGE, f"allowed are frames of at most {limit} bytes")
        return data

    async def _take(self, data: str | bytes) -> None:
        message = decode(data, self.codec)
        match message:
            case Subscribe():
                await self._subscribe(message)
            case Unsubscribe():
                await self._unsubscribe(message)
            case Ping():
                await self._answer(self._beat("pong", message.id))

    async def _subscribe(self, message: Subscribe) -> None:
        id = self._next_id() if message.id is None else message.id
        if id in self._open:
            raise ProtocolError("duplicate_id", f"id: {id!r} is in use on this connection", id)
        most = self._settings.subscriptions_max
        if len(self._open) >= most:
            raise ProtocolError("too_many_subscriptions", f"allowed are {most} a connection", id)
        try:
            opened = await open_subscription(id, message, self.plant, self.codec, self._run_chunk)
        except ProtocolError as fault:
            fault.id = id
            raise
        if isinstance(opened.subscription, StatusSubscription):
            await self._status.join(opened.subscription, self._wake.set)
        if isinstance(opened.subscription, BookTopSubscription):
            opened.subscription.join(self._wake.set)
        # No await between the answer and the entry, so that no event leaves before the answer.
        self._open[id] = opened
        opened.held = True
        await self._answer(
            self.codec.message("subscribed", id=id, run=self.plant.run, **opened.answer)
        )
        opened.held = False
        self._wake.set()

    def _next_id(self) -> int:
        self._ids += 1
        while self._ids in self._open:
            self._ids += 1
        return self._ids

    async def _unsubscribe(self, message: Unsubscribe) -> None:
        opened = self._open.pop(message.id, None)
        if opened is None:
            raise ProtocolError(
                "unknown_id",
                f"id: {message.id!r} is no subscription of this connection",
                message.id,
            )
        self._fanout.leave(opened.subscription)
        await opened.release(self.plant)
        await self._answer(self.codec.message("unsubscribed", id=message.id))

    async def _answer(self, frame: Frame) -> None:
        await self._outbox.put(frame)
        self._wake.set()

    def _run_chunk(self, work: Callable[[], Chunk]) -> Future[Chunk]:
        future = self._run_in_thread(work)
        future.add_done_callback(self._wake_from_thread)
        return future

    def _wake_from_thread(self, _: Future[Chunk]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    # -- the sender --------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        while True:
            self._wake.clear()
            await self._empty_outbox()
            more = await self._turn()
            if more:
                await asyncio.sleep(0)  # the other connections' turn
                continue
            if self._heartbeat_due:
                self._heartbeat_due = False
                await self._send(self._beat("heartbeat", None))
            await self._wake.wait()

    async def _empty_outbox(self) -> None:
        pending = self._outlet.pending
        while pending:
            await self._send(pending[0])
            pending.popleft()  # only now, so that nobody writes past it
        while not self._outbox.empty():
            await self._send(self._outbox.get_nowait())

    async def _turn(self) -> bool:
        """Let each subscription that stands alone take its turn, and join others if it can."""
        more = False
        self._hear()  # before it reads on, so that a tick meanwhile wakes it again
        waited, self._outlet.waited = self._outlet.waited, False
        for opened in list(self._open.values()):
            one = opened.subscription
            if one.group is not None:
                continue
            if not opened.held:
                one.waited = waited
                for frame in await self._step(one):
                    await self._send(frame)
                if opened is self._open.get(one.id) and self._fanout.join(one, self._outlet):
                    continue
            more = more or one.more
        self._hear()
        return more

    def _hear(self) -> None:
        """Be woken at each tick of the ring only where a subscription stands alone."""
        if any(opened.subscription.group is None for opened in self._open.values()):
            self._fanout.listen(self._outlet)
        else:
            self._fanout.ignore(self._outlet)

    async def _step(self, subscription: Subscription) -> list[Frame]:
        try:
            return subscription.step(self._fanout.upto if subscription.shares else None)
        except TooSlowError as slow:
            self._counts.disconnected("slow")
            await self._send(
                self.codec.error(
                    ProtocolError(
                        "slow",
                        str(slow),
                        slow.id,
                        channel=slow.channel,
                        seq=slow.seq,
                        dropped=slow.missed,
                    )
                )
            )
            raise ClosingError(TRY_LATER, str(slow)) from None
        except TickplantError as fault:
            return await self._drop(subscription, "unavailable", str(fault))
        except Exception:
            _LOG.exception("a subscription to %s failed", subscription.channel)
            return await self._drop(subscription, "internal", "the subscription ended by a fault")

    async def _drop(self, subscription: Subscription, code: str, message: str) -> list[Frame]:
        """End one subscription by a fault of ours; the number says from where to resume."""
        opened = self._open.pop(subscription.id, None)
        if opened is not None:
            await opened.release(self.plant)
        fault = ProtocolError(code, message, subscription.id, seq=subscription.seq)
        return [self.codec.error(fault)]

    async def _send(self, frame: Frame) -> None:
        began = self._sending_since = self._loop.time()
        await self._outlet.write(frame)
        self._sending_since = None
        self._outlet.sent_at = self._loop.time()
        self._counts.took(self._outlet.sent_at - began)

    def _beat(self, op: str, id: Id | None) -> Frame:
        return self.codec.message(
            op, id=id, seq=self._seq(), run=self.plant.run, ts=format_time(self.plant.clock())
        )

    def _seq(self) -> int:
        """Return up to which number every subscription is complete."""
        reached = (opened.subscription.seq for opened in self._open.values())
        return min(reached, default=self.plant.hub.seq)

    # -- the watch ---------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Have a heartbeat sent after silence, and cut off a client that does not read."""
        beat = self._settings.heartbeat_s
        while True:
            since = self._sending_since
            now = self._loop.time()
            if since is None:
                self._unread = 0
                wait = self._outlet.sent_at + beat - now
                if wait <= 0:
                    self._heartbeat_due = True
                    self._wake.set()
                    wait = beat
            else:
                wait = self._stalls_at(since) - now
                if wait <= 0:
                    self.stalled = True
                    self._counts.disconnected("stalled")
                    self.close(TRY_LATER, "too slow: the client does not read")
                    return
            await asyncio.sleep(min(wait, beat))

    def _stalls_at(self, since: float) -> float:
        """Return when a client has stopped that is being waited for: who reads has not."""
        wire = self._outlet.wire
        unread = 0 if wire is None else wire.unread()
        if unread < self._unread:
            self._sending_since = since = self._loop.time()
        self._unread = unread
        return since + self._stall_s


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
