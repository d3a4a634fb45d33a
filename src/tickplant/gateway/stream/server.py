"""The WebSocket side of the HTTP server, with two habits more.

It drops who does not read: closing a connection politely waits until the peer has read what was
sent before, and a client that does not read never has, so its connection is aborted. And the
largest frame is that of the path, since producers send whole batches and subscribers wishes.
Give `StreamProtocol`, or what `protocol_of` returns, to uvicorn as `ws`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from tickplant.gateway.stream.frames import WIRE
from tickplant.gateway.stream.routes import STALLED


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol that aborts stalled connections."""

    frame_bytes_max: ClassVar[Mapping[str, int]] = {}

    def handle_connect(self, event: Request) -> None:
        """Take a connection; frames of its path may be larger or smaller than those of others."""
        path = event.path.partition("?")[0]
        # Before the rest of what has come with the handshake is read.
        self.conn.max_message_size = self.frame_bytes_max.get(path, self.conn.max_message_size)
        super().handle_connect(event)
        if self.conn.state is State.CONNECTING and not self.close_sent:
            self.scope[WIRE] = self  # type: ignore[literal-required]

    def ready(self) -> bool:
        """Whether frames may be written now: it is open and not more than a little is unread."""
        return self.writable.is_set() and not self._over

    @property
    def _over(self) -> bool:
        return self.disconnected or self.close_sent or self.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write whole frames as they are, uncompressed, whatever was agreed (RFC 7692, 6)."""
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until it is ready. Raises `WebSocketDisconnect` where it is over."""
        await self.writable.wait()
        if self._over:
            raise WebSocketDisconnect(1006)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Forget the finished connection; abort it where it was found stalled."""
        super().on_task_complete(task)
        if self.scope.get(STALLED):
            self.transport.abort()


def protocol_of(frame_bytes_max: Mapping[str, int]) -> type[StreamProtocol]:
    """Return a protocol whose frames are at most so large, by path; others as uvicorn is told."""
    return type("PathProtocol", (StreamProtocol,), {"frame_bytes_max": dict(frame_bytes_max)})
