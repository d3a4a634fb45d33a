"""`/ws`, `/ws/ticks` and `/ws/ohlc/…`: other systems' sockets, over sessions of the stream.

client ⇄ TranslatedSocket (a dialect) ⇄ Session of /v1/stream ⇄ hub

So they have what the stream has: bounds, heartbeats of the protocol, an end for who does not read.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from tickplant.gateway.doors import MARK
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.seeds.dialects import SYMBOLS_MAX, Dialect, Feed, Ticker
from tickplant.gateway.seeds.ohlc import DAY_START_FX
from tickplant.gateway.stream.routes import streams_of

POLICY = 1008
STATS_PATH = "/ws/stats"


class TranslatedSocket:
    """A WebSocket to the session that serves it, which speaks a dialect to its client."""

    def __init__(self, socket: WebSocket, dialect: Dialect, sent: Callable[[int], None]) -> None:
        self.scope = socket.scope
        self.scope["subprotocols"] = []  # a dialect has but one form
        self._socket = socket
        self._dialect = dialect
        self._sent = sent
        self._heard: deque[dict[str, Any]] = deque()

    async def accept(self, subprotocol: str | None = None) -> None:
        """Accept, and let the dialect begin."""
        await self._socket.accept()
        heard, greeting = self._dialect.begin()
        self._heard.extend(heard)
        await self._say(greeting)

    async def receive(self) -> dict[str, Any]:
        """Return the next message for the stream, in its own words."""
        while not self._heard:
            message = await self._socket.receive()
            if message["type"] != "websocket.receive":
                return dict(message)
            data = message.get("text") or message.get("bytes") or ""
            self._heard.extend(self._dialect.hear(data))
        text = msgspec.json.encode(self._heard.popleft()).decode()
        return {"type": "websocket.receive", "text": text}

    async def send(self, message: dict[str, Any]) -> None:
        """Send what the stream says, in the client's words."""
        await self._say(self._dialect.say(msgspec.json.decode(message["text"])))

    async def _say(self, messages: list[dict[str, Any]]) -> None:
        for said in messages:
            text = msgspec.json.encode(said).decode()
            await self._socket.send({"type": "websocket.send", "text": text})
        self._sent(len(messages))

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Close the connection."""
        await self._socket.close(code, reason)


class SeedSockets:
    """The sockets, and how much went over them."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()
        self._opened: Counter[str] = Counter()
        self._messages: Counter[str] = Counter()

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        bars = {
            "minute": {"interval": "1m"},
            "hour": {"interval": "1h"},
            "day": {"interval": "1d", "day_start": DAY_START_FX},
        }
        made: list[BaseRoute] = [
            Route(STATS_PATH, self._stats, methods=["GET"], name=STATS_PATH),
            self._route("/ws", lambda symbols: Ticker()),
            self._route("/ws/ticks", lambda symbols: Feed("trades", symbols)),
        ]
        for name, query in bars.items():
            made.append(self._route(f"/ws/ohlc/{name}", _bars(query)))
        return made

    def _route(self, path: str, make: Callable[[list[str]], Dialect]) -> WebSocketRoute:
        async def endpoint(socket: WebSocket) -> None:
            named = ",".join(socket.query_params.getlist("symbol"))
            symbols = [part.strip() for part in named.split(",") if part.strip()]
            if len(symbols) > SYMBOLS_MAX:
                await socket.accept()
                await socket.close(POLICY, f"allowed are {SYMBOLS_MAX} symbols")
                return
            self._opened[path] += 1
            self._open[path] += 1
            translated = TranslatedSocket(socket, make(symbols), lambda n: self._count(path, n))
            try:
                await streams_of(socket.app).serve(translated)  # type: ignore[arg-type]
            finally:
                self._open[path] -= 1

        return WebSocketRoute(path, endpoint, name=path)

    def _count(self, path: str, messages: int) -> None:
        self._messages[path] += messages

    async def _stats(self, request: Request) -> Response:
        request.scope[MARK].route = STATS_PATH
        return answer_json(self.shown())

    def shown(self) -> dict[str, Any]:
        """Return connections and messages, in all and by path."""
        paths = sorted(self._opened)
        return {
            "connections": sum(self._open.values()),
            "messages_sent": sum(self._messages.values()),
            "channels": {
                path: {
                    "connections": self._open[path],
                    "connections_total": self._opened[path],
                    "messages_sent": self._messages[path],
                }
                for path in paths
            },
        }


def _bars(query: dict[str, str]) -> Callable[[list[str]], Dialect]:
    return lambda symbols: Feed("candles", symbols, **query)
