"""Connections of the HTTP server without a network: bytes in, bytes out."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.server import ServerState

from tickplant.cli.server import config_of
from tickplant.gateway.http import HttpProtocol, protocol_of

WAIT_S = 20
DATE = (b"date", b"Tue, 14 Nov 2023 22:13:20 GMT")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")


class Wire(asyncio.Transport):
    """A transport that keeps what was written, one entry a write."""

    def __init__(self, client: str = "127.0.0.1") -> None:
        super().__init__({"peername": (client, 1), "sockname": ("127.0.0.1", 2)})
        self.writes: list[bytes] = []
        self.closed = False
        self.paused = False
        self.wrote = asyncio.Event()

    def write(self, data: Any) -> None:
        if not self.closed:
            self.writes.append(bytes(data))
            self.wrote.set()

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True
        self.wrote.set()

    def abort(self) -> None:
        self.close()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def answers(self, methods: list[str]) -> list[bytes]:
        """Return the answers that have come as a whole, to requests of these methods."""
        left, found = b"".join(self.writes), []
        for method in methods:
            end = left.find(b"\r\n\r\n") + 4
            if end < 4:
                break
            length = _LENGTH.search(left, 0, end)
            size = end + (int(length[1]) if length and method != "HEAD" else 0)
            if len(left) < size:
                break
            found.append(left[:size])
            left = left[size:]
        return found

    async def until(self, methods: list[str]) -> list[bytes]:
        """Return the answers to requests of these methods, or those before the connection ended."""
        async with asyncio.timeout(WAIT_S):
            while len(found := self.answers(methods)) < len(methods) and not self.closed:
                self.wrote.clear()
                await self.wrote.wait()
        return found


class Server:
    """Connections of an application, as it is served; without hot reads where `hot` is not."""

    def __init__(self, app: Any, settings: Any, *, hot: bool = True) -> None:
        self.app = app
        self.config = config_of(app, settings)
        if not hot:
            self.config.http = protocol_of(None)
        self.config.load()
        self.state = ServerState()
        self.state.default_headers = [DATE]
        self.answered = 0
        if hot:
            self._count(app.hot)

    def _count(self, hot: Any) -> None:
        answer = hot.answer

        def counted(*given: Any) -> Any:
            beyond = answer(*given)
            self.answered += beyond is None
            return beyond

        hot.answer = counted

    @property
    def known(self) -> dict[bytes, Any]:
        """Requests that are not parsed again."""
        protocol: Any = self.config.http_protocol_class
        return protocol.turn._known  # type: ignore[no-any-return]

    def connect(self, client: str = "127.0.0.1", loop: Any = None) -> tuple[HttpProtocol, Wire]:
        """Return a new connection, of a loop that takes the running one's place."""
        protocol: Any = self.config.http_protocol_class(self.config, self.state, {}, loop)
        wire = Wire(client)
        protocol.connection_made(wire)
        return protocol, wire
