"""Following a subscription from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tickplant.client.follow import (
    FRAME_BYTES_MAX,
    SUBPROTOCOL,
    Backoff,
    ConnectionEnded,
    Event,
    Follower,
    check_ended,
)
from tickplant.client.problems import no_answer


class AsyncStream:
    """Events of a subscription, in order, each once, across reconnects.

    Iterate over it for events, or over `batches()` for lists of what arrived together. A connection
    that is silent for `idle_s` is made anew (the plant sends heartbeats). `on_reconnect` is called
    with the number it resumes from. The first connection is not retried: it raises `Unreachable`.
    """

    def __init__(
        self,
        url: str,
        follower: Follower,
        *,
        headers: Mapping[str, str],
        on_reconnect: Callable[[int | None], object] | None,
        idle_s: float,
        backoff_s: tuple[float, float],
    ) -> None:
        self._url = url
        self._follower = follower
        self._headers = headers
        self._on_reconnect = on_reconnect
        self._idle_s = idle_s
        self._backoff = Backoff(*backoff_s)
        self._socket: ClientConnection | None = None
        self._closed = asyncio.Event()
        self._events: AsyncIterator[Event] | None = None

    @property
    def seq(self) -> int | None:
        """The number up to which everything has been handed out."""
        return self._follower.seq

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the stream; iteration ends too. Idempotent."""
        self._closed.set()
        await self._hang_up()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._events is None:
            self._events = self._each()
        return await anext(self._events)

    async def _each(self) -> AsyncIterator[Event]:
        async for batch in self.batches():
            for event in batch:
                yield event

    async def batches(self) -> AsyncIterator[list[Event]]:
        """Iterate over lists of events, none of them empty."""
        while not self._closed.is_set():
            try:
                socket = self._socket or await self._connect()
                async with asyncio.timeout(self._idle_s):
                    frame = await socket.recv()
                events = self._follower.take(frame)
            except ConnectionClosed as fault:
                if self._closed.is_set():
                    return
                check_ended(fault)
                await self._lose()
            except (ConnectionEnded, TimeoutError, OSError, InvalidHandshake):
                await self._lose()
            else:
                self._backoff.reset()
                if events:
                    yield events

    async def _connect(self) -> ClientConnection:
        first = self._follower.seq is None
        try:
            self._socket = await connect(
                self._url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                additional_headers=dict(self._headers),
                max_size=FRAME_BYTES_MAX,
                open_timeout=self._idle_s,
            )
            await self._socket.send(self._follower.hello())
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as fault:
            if first and isinstance(fault, ConnectionClosed):
                check_ended(fault)
            if first:
                raise no_answer(self._url, fault) from fault
            raise
        if not first and self._on_reconnect is not None:
            self._on_reconnect(self._follower.seq)
        return self._socket

    async def _lose(self) -> None:
        await self._hang_up()
        wait_s = self._backoff.next_s()
        try:
            async with asyncio.timeout(wait_s):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _hang_up(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
