"""The WebSocket side of the HTTP server, with some habits more.

It drops who does not read: closing a connection politely waits until the peer has read what was
sent before, and a client that does not read never has, so its connection is aborted. Who reads
slowly is not taken for dead: its answer to a ping comes after it has read what was sent before. The
kernel holds little that was not sent yet, where it would hold megabytes of what a slow client will
see much later, if at all. The largest frame is that of the path, since producers send whole batches
and subscribers wishes. And it is a `Wire`, to which ready-made frames are written.

Give `StreamProtocol`, or what `protocol_of` returns, to uvicorn as `ws`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import ClassVar

from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from tickplant.gateway.stream.frames import WIRE
from tickplant.gateway.stream.routes import STALLED

UNSENT_BYTES_MAX = 64 * 1024
"""Most that the kernel takes of a connection beyond what is under way: twice a loopback's window
would be 4 MB for each client that has stopped reading."""


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol that aborts stalled connections."""

    frame_bytes_max: ClassVar[Mapping[str, int]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with a bound to what the kernel holds for the client."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):  # Linux, macOS
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)

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
        return self.writable.is_set() and not self._over()

    def _over(self) -> bool:
        return self.disconnected or self.close_sent or self.transport.is_closing()

    def unread(self) -> int:
        """Return how many bytes wait here for the client to read."""
        return self.transport.get_write_buffer_size()

    def keepalive_timeout(self) -> None:
        """Take a client for dead that left a ping unanswered, unless it has yet to read it."""
        if self.unread() and self.ping_timeout is not None and not self._over():
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
        else:
            super().keepalive_timeout()

    def write(self, data: bytes) -> None:
        """Write whole frames as they are, uncompressed, whatever was agreed (RFC 7692, 6)."""
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until it is ready. Raises `WebSocketDisconnect` where it is over."""
        await self.writable.wait()
        if self._over():
            raise WebSocketDisconnect(1006)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Forget the finished connection; abort it where it was found stalled."""
        super().on_task_complete(task)
        if self.scope.get(STALLED):
            self.transport.abort()


def protocol_of(frame_bytes_max: Mapping[str, int]) -> type[StreamProtocol]:
    """Return a protocol whose frames are at most so large, by path; others as uvicorn is told."""
    return type("PathProtocol", (StreamProtocol,), {"frame_bytes_max": dict(frame_bytes_max)})
