"""Sending rows over a socket from an event loop; see `push` for plain code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tickplant.client.follow import Backoff, check_ended
from tickplant.client.outbox import SUBPROTOCOL, Outbox, say
from tickplant.client.problems import no_answer
from tickplant.client.push import CLOSED, LOST, SOCKET, unanswered
from tickplant.client.rows import Receipt
from tickplant.model.errors import UserError


class AsyncIngest:
    """Sends rows, waits for acknowledgements, and sends again what was not acknowledged.

    An async context manager: entering connects (and raises `Unreachable` where nobody answers),
    leaving waits until everything is durable. A lost connection is made anew; `timeout_s` without
    any progress raises `Unreachable`, and what was not acknowledged stays for the next call. One
    task at a time uses it.
    """

    def __init__(
        self,
        url: str,
        outbox: Outbox,
        *,
        headers: Mapping[str, str],
        on_reconnect: Callable[[int], object] | None,
        idle_s: float,
        timeout_s: float,
        backoff_s: tuple[float, float],
    ) -> None:
        self._url = url
        self._outbox = outbox
        self._headers = headers
        self._on_reconnect = on_reconnect
        self._idle_s = idle_s
        self._timeout_s = timeout_s
        self._backoff = Backoff(*backoff_s)
        self._socket: ClientConnection | None = None
        self._closed = asyncio.Event()

    @property
    def pending(self) -> int:
        """How many messages are not acknowledged."""
        return self._outbox.pending

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except (ConnectionClosed, *LOST) as fault:
            await self.close()
            if isinstance(fault, ConnectionClosed):
                check_ended(fault, SOCKET)
            raise no_answer(self._url, fault) from fault
        await self._work(lambda: self._outbox.ready)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and not self._closed.is_set():
                await self._finish()
        finally:
            await self.close()

    async def _finish(self) -> None:
        await self._settle()
        if self._outbox.feed is not None:
            await self._end()
        self._outbox.check()

    async def _end(self) -> None:
        """Say that the feed is over, and wait until that was heard; else it counts as lost."""
        await self._say("end")
        socket = self._socket
        if socket is not None:
            with suppress(ConnectionClosed, *LOST):
                while not self._outbox.ended:
                    async with asyncio.timeout(self._idle_s):
                        self._outbox.take(await socket.recv())

    async def close(self) -> None:
        """Hang up without waiting: a feed that was not ended is lost. Idempotent."""
        self._closed.set()
        await self._hang_up()

    async def send(self, table: str, rows: Any) -> int:
        """Send rows of a table and return the number of their last message.

        Takes what `post_trades` takes. Waits while as many messages are under way as the plant
        allows. Raises the error of an earlier message that was refused; these rows are sent.
        """
        number = self._outbox.add(table, rows)
        await self._work(lambda: not self._outbox.full)
        self._outbox.check()
        return number

    async def flush(self) -> Receipt:
        """Wait until everything is durable; return what became of all rows since the last call.

        Raises the error of a message that was refused.
        """
        await self._settle()
        return self._outbox.results()

    async def alive(self, ts: Any = None) -> None:
        """Say that every event of the feed up to `ts` (None is now) has been sent."""
        await self._settle()
        await self._say("alive", ts=ts)

    async def _settle(self) -> None:
        """Wait until nothing is under way."""
        if self._outbox.pending:
            await self._work(lambda: not self._outbox.pending)

    async def _say(self, op: str, **fields: Any) -> None:
        if self._socket is not None:
            try:
                await self._socket.send(say(op, **fields))
            except ConnectionClosed:
                await self._hang_up()

    async def _work(self, enough: Callable[[], bool]) -> None:
        """Send what may be sent and take answers until there is nothing to wait for."""
        since, answered = time.monotonic(), self._outbox.answered
        while True:
            try:
                if await self._turn(enough):
                    return
            except ConnectionClosed as fault:
                check_ended(fault, SOCKET)
                await self._lose()
            except LOST:
                await self._lose()
            if self._outbox.answered != answered:
                since, answered = time.monotonic(), self._outbox.answered
                self._backoff.reset()
            elif time.monotonic() - since > self._timeout_s:
                raise unanswered(self._url, self._timeout_s)

    async def _turn(self, enough: Callable[[], bool]) -> bool:
        """Send and take what there is; where that is not enough, wait for one answer more."""
        if self._closed.is_set():
            raise UserError(CLOSED)
        socket = self._socket or await self._connect()
        arrived = True
        while arrived:
            for frame in self._outbox.unsent():
                await socket.send(frame)
            arrived = await self._take_arrived(socket)
        if enough():
            return True
        wait_s = self._outbox.retry_after_s
        if wait_s is not None:
            self._outbox.retry_after_s = None
            await self._pause(wait_s)
        else:
            async with asyncio.timeout(self._idle_s):
                self._outbox.take(await socket.recv())
        return False

    async def _take_arrived(self, socket: ClientConnection) -> bool:
        """Take the answers that are there; say whether there were any."""
        found = False
        while True:
            try:
                async with asyncio.timeout(0):
                    self._outbox.take(await socket.recv())
            except TimeoutError:
                return found
            found = True

    async def _connect(self) -> ClientConnection:
        opening = connect(
            self._url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            additional_headers=dict(self._headers),
            open_timeout=self._idle_s,
        )
        self._socket = await opening
        again = self._outbox.connections > 0
        await self._socket.send(self._outbox.connected())
        if again and self._on_reconnect is not None:
            self._on_reconnect(self._outbox.pending)
        return self._socket

    async def _lose(self) -> None:
        await self._hang_up()
        await self._pause(self._backoff.next_s())

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return

    async def _hang_up(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()
