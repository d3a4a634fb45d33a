"""Frames of a WebSocket, made once and written to as many connections as want them.

A server's frame is a header of 2 to 10 bytes and the payload as it is (RFC 6455, 5.2), so that the
bytes of one frame serve every connection. `Outlet` is where a session writes them: straight to the
transport where the server hands it out (`Wire`), else through the application's `send`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from starlette.websockets import WebSocketDisconnect

WIRE = "tickplant.wire"
"""Key of the ASGI scope under which the server hands out the connection's `Wire`."""

_TEXT, _BINARY = 0x81, 0x82  # the last and only fragment of a message


class Frame:
    """One message as bytes for the transport. Shared by all who are sent it; immutable."""

    __slots__ = ("_head", "text", "wire")

    def __init__(self, parts: Sequence[bytes | memoryview], *, text: bool) -> None:
        """Put the parts of a payload behind a header."""
        head = _header(sum(map(len, parts)), text=text)
        self.text = text
        self.wire = b"".join((head, *parts))
        self._head = len(head)

    @property
    def payload(self) -> bytes:
        """The message without the header."""
        return self.wire[self._head :]


def _header(size: int, *, text: bool) -> bytes:
    first = _TEXT if text else _BINARY
    if size < 126:
        return bytes((first, size))
    if size < 65_536:
        return struct.pack(">BBH", first, 126, size)
    return struct.pack(">BBQ", first, 127, size)


class Wire(Protocol):
    """A connection to write frames to; on its event loop."""

    def ready(self) -> bool:
        """Whether it is open and the client has taken what was written, but for a little."""
        ...

    def write(self, data: bytes) -> None:
        """Write whole frames; never blocks."""
        ...

    def unread(self) -> int:
        """Return how many bytes wait for the client to read."""
        ...

    async def drain(self) -> None:
        """Wait until it is ready. Raises `WebSocketDisconnect` where it has ended."""
        ...


class Outlet:
    """Where a session's frames go. `sent_at` is when the last one went, on the loop's clock.

    `waited` becomes true when the client had not taken what was written before.
    """

    __slots__ = ("_send", "pending", "sent_at", "waited", "wake", "wire")

    def __init__(
        self,
        wire: Wire | None,
        send: Callable[[dict[str, Any]], Any],
        wake: Callable[[], object],
        now: float,
    ) -> None:
        self.wire = wire
        self.wake = wake
        self.sent_at = now
        self.waited = False
        self.pending: deque[Frame] = deque()
        self._send = send

    def write_at_once(self, frames: Sequence[Frame], now: float) -> bool:
        """Write frames where the client is ready; say whether.

        It takes all or none: what it has no room for after the first is `pending`.
        """
        wire = self.wire
        if wire is None or self.pending or not wire.ready():
            self.waited = True
            return False
        wire.write(frames[0].wire)
        for place in range(1, len(frames)):
            if not wire.ready():
                self.pending.extend(frames[place:])
                self.waited = True
                break
            wire.write(frames[place].wire)
        self.sent_at = now
        return True

    async def write(self, frame: Frame) -> None:
        """Write one frame once the client has room. Raises `WebSocketDisconnect`."""
        if self.wire is not None:
            self.waited = self.waited or not self.wire.ready()
            await self.wire.drain()
            self.wire.write(frame.wire)
            return
        data: str | bytes = frame.payload.decode() if frame.text else frame.payload
        kind = "text" if frame.text else "bytes"
        try:
            await self._send({"type": "websocket.send", kind: data})
        except RuntimeError:  # what starlette and uvicorn raise once the connection is closing
            raise WebSocketDisconnect(1006) from None
