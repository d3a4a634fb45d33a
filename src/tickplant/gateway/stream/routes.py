"""`WS /v1/stream`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tickplant.formats.compiled.loading import EVENTS
from tickplant.gateway.stream.fanout import Fanout
from tickplant.gateway.stream.frames import WIRE, Wire
from tickplant.gateway.stream.ports import StreamPlant
from tickplant.gateway.stream.protocol import JSON, MSGPACK, PACKED
from tickplant.gateway.stream.replay import Chunk
from tickplant.gateway.stream.session import RESTART, TRY_LATER, Session
from tickplant.gateway.stream.status import LOOK_EVERY_S, StatusWatch

STREAM_PATH = "/v1/stream"
READ_THREADS = 2
STALL_S = 30.0
"""How long a client may leave a frame unread before it is cut off, s."""

STALLED = "tickplant.stalled"
"""Key of the ASGI scope that says that the connection must be dropped without a farewell."""


class Streams:
    """All connections of the stream, and the threads that read history for them."""

    def __init__(
        self,
        plant: StreamPlant,
        *,
        stall_s: float = STALL_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self.plant = plant
        self._counts = plant.metrics.stream
        self._status = StatusWatch(plant, every_s=look_every_s)
        self._stall_s = stall_s
        self._sessions: set[Session] = set()
        self._fanout: Fanout | None = None
        self._threads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="stream-read")

    def __len__(self) -> int:
        return len(self._sessions)

    async def serve(self, socket: WebSocket, wire: Wire | None = None) -> None:
        """Serve one connection until it ends; its frames go to `wire` where there is one."""
        packed = MSGPACK in socket.scope.get("subprotocols", ())
        await socket.accept(subprotocol=MSGPACK if packed else None)
        if len(self._sessions) >= self.plant.settings.stream.subscribers_max:
            self._counts.disconnected("full")
            await socket.close(TRY_LATER, "as many clients as stream.subscribers_max allows")
            return
        session = Session(
            socket,
            self.plant,
            PACKED if packed else JSON,
            self._run,
            status=self._status,
            fanout=self._fan(),
            wire=wire,
            stall_s=self._stall_s,
        )
        self._sessions.add(session)
        self._fan().attend(1)
        self._counts.opened()
        try:
            await session.run()
        finally:
            self._counts.closed()
            self._sessions.discard(session)
            self._fan().attend(-1)
            if session.stalled:
                socket.scope[STALLED] = True

    def _fan(self) -> Fanout:
        if self._fanout is None:
            compiled = self.plant.settings.plant.compiled
            self._fanout = Fanout(self.plant.hub, self._counts, self._prepare if compiled else None)
        return self._fanout

    def _prepare(self) -> None:
        self._threads.submit(EVENTS.prepare)

    def _run(self, work: Callable[[], Chunk]) -> Future[Chunk]:
        return self._threads.submit(work)

    async def close(self) -> None:
        """End every connection with 1012 and the threads with it. Idempotent."""
        sessions = list(self._sessions)
        for session in sessions:
            session.close(RESTART, "the plant restarts")
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)


def streams_of(app: Any) -> Streams:
    """Return the streams of an application whose `state.plant` is the plant."""
    found = getattr(app.state, "streams", None)
    if found is None:
        found = app.state.streams = Streams(app.state.plant)
    assert isinstance(found, Streams)
    return found


def stream_route() -> WebSocketRoute:
    """Return the route of the stream."""
    return WebSocketRoute(STREAM_PATH, _stream)


async def _stream(socket: WebSocket) -> None:
    await streams_of(socket.app).serve(socket, socket.scope.get(WIRE))
