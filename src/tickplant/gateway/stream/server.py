"""The WebSocket side of the HTTP server, with one habit more: it drops who does not read.

Closing a connection politely waits until the peer has read what was sent before. A client that
does not read never has, so its connection is aborted. Give `StreamProtocol` to uvicorn as `ws`.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tickplant.gateway.stream.routes import STALLED


class StreamProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol that aborts stalled connections."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Forget the finished connection; abort it where it was found stalled."""
        super().on_task_complete(task)
        if self.scope.get(STALLED):
            self.transport.abort()
