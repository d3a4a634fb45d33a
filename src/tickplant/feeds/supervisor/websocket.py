"""Connections over WebSockets.

    socket ─► websockets' parser ─► reader task ─► bounded queue ─► receive(): all that has come

While a batch is handled the next one gathers, so batches grow with the load and a lone frame is
not delayed. A full queue stops the reader, then the parser's own queue fills, then TCP holds the
venue back.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import Opcode

from tickplant.feeds.contract import Clock
from tickplant.feeds.supervisor.tap import shown_url
from tickplant.feeds.venues.contract import Dial, Frame, Outgoing
from tickplant.feeds.venues.transport import ConnectionLost

FRAMES_MAX = 4_096
"""Frames that may wait to be handled, and that are handled at once."""

BYTES_MAX = 16 << 20
"""Bytes of frames that may wait."""

FRAME_BYTES_MAX = 64 << 20
"""Largest frame: a whole book of a large market has many MiB."""

CONNECT_S_MAX = 15.0
CLOSE_S_MAX = 2.0

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class _Client(ClientConnection):
    """A connection that counts messages, to know which of them came before an answer to a ping."""

    messages = 0
    messages_before_pong = 0
    asked_at: int | None = None
    pong_asked_at: int | None = None

    def process_event(self, event: Any) -> None:
        """Count, then do what is done with a frame."""
        opcode = getattr(event, "opcode", None)
        if opcode in _DATA and event.fin:
            self.messages += 1
        elif opcode is Opcode.PONG and self.asked_at is not None:
            self.messages_before_pong = self.messages
            self.pong_asked_at, self.asked_at = self.asked_at, None
            self.on_pong()
        super().process_event(event)

    def on_pong(self) -> None:
        """Replaced by whoever waits for answers."""


class WebSocketConnection:
    """A `Connection` over a WebSocket."""

    def __init__(self, client: _Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._frames: deque[Frame] = deque()
        self._bytes = 0
        self._read = 0
        self._returned = 0
        self._answered: int | None = None
        self._end: ConnectionLost | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        client.on_pong = self._news.set  # type: ignore[method-assign]
        self._reader = asyncio.create_task(self._read_all(), name="websocket reader")

    @property
    def answered(self) -> int | None:
        """See `Connection.answered`."""
        return self._answered

    async def receive(self) -> list[Frame]:
        """See `Connection.receive`."""
        while not self._frames:
            if self._take_answer():
                return []
            if self._end is not None:
                raise self._end
            self._news.clear()
            await self._news.wait()
        frames = list(self._frames)
        self._frames.clear()
        self._bytes = 0
        self._returned += len(frames)
        self._take_answer()
        self._room.set()
        return frames

    def _take_answer(self) -> bool:
        asked_at = self._client.pong_asked_at
        if asked_at is None or self._returned < self._client.messages_before_pong:
            return False
        self._client.pong_asked_at = None
        self._answered = asked_at
        return True

    async def send(self, frame: Outgoing) -> None:
        """See `Connection.send`."""
        try:
            await self._client.send(frame.data)
        except ConnectionClosed as fault:
            raise _lost(fault) from None

    async def ping(self) -> None:
        """See `Connection.ping`."""
        try:
            if self._client.asked_at is None:
                self._client.asked_at = self._clock()
            await self._client.ping()
        except ConnectionClosed as fault:
            raise _lost(fault) from None

    async def close(self) -> None:
        """See `Connection.close`."""
        self._reader.cancel()
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_S_MAX + 1.0):
                await self._client.close()
        await asyncio.wait({self._reader})

    async def _read_all(self) -> None:
        try:
            while True:
                data = await self._client.recv(decode=False)
                self._frames.append(Frame(self._clock(), data))
                self._bytes += len(data)
                self._news.set()
                while len(self._frames) >= FRAMES_MAX or self._bytes >= BYTES_MAX:
                    self._room.clear()
                    await self._room.wait()
        except ConnectionClosed as fault:
            self._end = _lost(fault)
        except Exception as fault:
            self._end = ConnectionLost(f"reading failed: {type(fault).__name__}")
        finally:
            self._news.set()


class WebSocketConnector:
    """A `Connector` over WebSockets. Proxies of the environment are used, not for loopback."""

    def __init__(self, *, clock: Clock = time.time_ns, timeout_s: float = CONNECT_S_MAX) -> None:
        self._clock = clock
        self._timeout_s = timeout_s

    async def connect(self, dial: Dial) -> WebSocketConnection:
        """See `Connector.connect`."""
        shown = dial.shown or shown_url(dial.url)
        try:
            client = await connect(
                dial.url,
                additional_headers=dict(dial.headers),
                create_connection=_Client,
                open_timeout=self._timeout_s,
                close_timeout=CLOSE_S_MAX,
                ping_interval=None,
                max_size=FRAME_BYTES_MAX,
                max_queue=256,
                proxy=None if is_loopback(dial.url) else True,
            )
        except InvalidStatus as fault:
            response = fault.response
            raise ConnectionLost(
                f"{shown} refused the connection with HTTP status {response.status_code}",
                status=response.status_code,
                retry_after_s=retry_after_s(response.headers.get("Retry-After")),
            ) from None
        except (InvalidHandshake, InvalidURI, OSError, TimeoutError, EOFError) as fault:
            # The message of a fault may quote the address, which may hold a secret.
            what = fault.strerror if isinstance(fault, OSError) else None
            raise ConnectionLost(
                f"no connection to {shown}: {what or type(fault).__name__}"
            ) from None
        assert isinstance(client, _Client)
        return WebSocketConnection(client, self._clock)


def is_loopback(url: str) -> bool:
    """Say whether an address is this machine's own, which no proxy leads to."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def retry_after_s(value: str | None) -> float | None:
    """Return the seconds of a header `Retry-After`; None where it holds none."""
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e7 else None


def _lost(fault: ConnectionClosed) -> ConnectionLost:
    closed = fault.rcvd
    if closed is None:
        return ConnectionLost("the connection broke")
    reason = f": {closed.reason[:200]}" if closed.reason else ""
    return ConnectionLost(f"the venue closed with code {closed.code}{reason}", code=closed.code)
