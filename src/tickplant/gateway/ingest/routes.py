"""`WS /v1/ingest`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from tickplant.gateway.ingest.feeds import PushedFeeds
from tickplant.gateway.ingest.protocol import (
    NOT_ALLOWED,
    RESTART,
    SUBPROTOCOLS,
    TRY_LATER,
    Message,
)
from tickplant.gateway.ingest.session import IngestPlant, Session
from tickplant.gateway.rest.bodies import BodyRoom
from tickplant.gateway.rest.params import read_query
from tickplant.gateway.rest.write import STRICT
from tickplant.gateway.stream.routes import STALL_S, STALLED
from tickplant.model.errors import UserError

INGEST_PATH = "/v1/ingest"
PARSE_THREADS = 2


class Ingest:
    """All producers' connections, their feeds, and the threads that parse for them."""

    def __init__(self, plant: IngestPlant, room: BodyRoom, *, stall_s: float = STALL_S) -> None:
        self.feeds = PushedFeeds(plant)
        self._plant = plant
        self._room = room
        self._stall_s = stall_s
        self._sessions: set[Session] = set()
        self._threads = ThreadPoolExecutor(PARSE_THREADS, thread_name_prefix="ingest-parser")

    def __len__(self) -> int:
        return len(self._sessions)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it ends."""
        asked = socket.scope.get("subprotocols", ())
        subprotocol = next((name for name in asked if name in SUBPROTOCOLS), None)
        await socket.accept(subprotocol=subprotocol)
        settings = self._plant.settings
        try:
            query = read_query((STRICT,), socket.scope["query_string"].decode("latin-1"))
        except UserError as fault:
            await socket.close(NOT_ALLOWED, fault.detail[:120])
            return
        if len(self._sessions) >= settings.ingest.producers_max:
            await socket.close(TRY_LATER, "as many producers as ingest.producers_max allows")
            return
        strict = settings.checks.strict if query["strict"] is None else query["strict"]
        session = Session(
            socket,
            self._plant,
            self.feeds,
            self._room,
            subprotocol=subprotocol,
            strict=strict,
            in_thread=self._parse,
            stall_s=self._stall_s,
        )
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
            if session.stalled:
                socket.scope[STALLED] = True

    def _parse(self, work: Callable[[], Message]) -> asyncio.Future[Message]:
        parsing = asyncio.get_running_loop().run_in_executor(self._threads, work)
        parsing.add_done_callback(_see)
        return parsing

    async def close(self) -> None:
        """End every connection with 1012 and the threads with it. Idempotent."""
        for session in list(self._sessions):
            session.close(RESTART, "the plant restarts")
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)


def ingest_route(ingest: Ingest) -> WebSocketRoute:
    """Return the route that serves producers."""

    async def endpoint(socket: WebSocket) -> None:
        await ingest.serve(socket)

    return WebSocketRoute(INGEST_PATH, endpoint, name="ingest")


def _see(done: asyncio.Future[Message]) -> None:
    """Look at what a message raised whose connection has ended meanwhile."""
    if not done.cancelled():
        done.exception()
