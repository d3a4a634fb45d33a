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

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

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

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Forget the finished connection; abort it where it was found stalled."""
        super().on_task_complete(task)
        if self.scope.get(STALLED):
            self.transport.abort()


def protocol_of(frame_bytes_max: Mapping[str, int]) -> type[StreamProtocol]:
    """Return a protocol whose frames are at most so large, by path; others as uvicorn is told."""
    return type("PathProtocol", (StreamProtocol,), {"frame_bytes_max": dict(frame_bytes_max)})
