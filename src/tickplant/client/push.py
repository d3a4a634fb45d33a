"""Sending rows over a socket from plain code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tickplant.client.follow import Backoff, check_ended
from tickplant.client.outbox import SUBPROTOCOL, Outbox, say
from tickplant.client.problems import Unreachable, no_answer
from tickplant.client.rows import Receipt
from tickplant.model.errors import UserError

LOST = (TimeoutError, OSError, InvalidHandshake)
SOCKET = "ingest socket"
CLOSED = "the ingest is closed"


class Ingest:
    """Sends rows, waits for acknowledgements, and sends again what was not acknowledged.

    A context manager: entering connects (and raises `Unreachable` where nobody answers), leaving
    waits until everything is durable. A lost connection is made anew; `timeout_s` without any
    progress raises `Unreachable`, and what was not acknowledged stays for the next call. One thread
    at a time uses it.
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
        self._opened = ExitStack()  # holds the connection, if there is one
        self._closed = threading.Event()

    @property
    def pending(self) -> int:
        """How many messages are not acknowledged."""
        return self._outbox.pending

    def __enter__(self) -> Self:
        try:
            self._connect()
        except (ConnectionClosed, *LOST) as fault:
            self.close()
            if isinstance(fault, ConnectionClosed):
                check_ended(fault, SOCKET)
            raise no_answer(self._url, fault) from fault
        self._work(lambda: self._outbox.ready)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and not self._closed.is_set():
                self._finish()
        finally:
            self.close()

    def _finish(self) -> None:
        self._settle()
        if self._outbox.feed is not None:
            self._end()
        self._outbox.check()

    def _end(self) -> None:
        """Say that the feed is over, and wait until that was heard; else it counts as lost."""
        self._say("end")
        socket = self._socket
        if socket is not None:
            with suppress(ConnectionClosed, *LOST):
                while not self._outbox.ended:
                    self._outbox.take(socket.recv(self._idle_s))

    def close(self) -> None:
        """Hang up without waiting: a feed that was not ended is lost. Idempotent."""
        self._closed.set()
        self._hang_up()

    def send(self, table: str, rows: Any) -> int:
        """Send rows of a table and return the number of their last message.

        Takes what `post_trades` takes. Waits while as many messages are under way as the plant
        allows. Raises the error of an earlier message that was refused; these rows are sent.
        """
        number = self._outbox.add(table, rows)
        self._work(lambda: not self._outbox.full)
        self._outbox.check()
        return number

    def flush(self) -> Receipt:
        """Wait until everything is durable; return what became of all rows since the last call.

        Raises the error of a message that was refused.
        """
        self._settle()
        return self._outbox.results()

    def alive(self, ts: Any = None) -> None:
        """Say that every event of the feed up to `ts` (None is now) has been sent."""
        self._settle()
        self._say("alive", ts=ts)

    def _settle(self) -> None:
        """Wait until nothing is under way."""
        if self._outbox.pending:
            self._work(lambda: not self._outbox.pending)

    def _say(self, op: str, **fields: Any) -> None:
        if self._socket is not None:
            try:
                self._socket.send(say(op, **fields))
            except ConnectionClosed:
                self._hang_up()

    def _work(self, enough: Callable[[], bool]) -> None:
        """Send what may be sent and take answers until there is nothing to wait for."""
        since, answered = time.monotonic(), self._outbox.answered
        while True:
            try:
                if self._turn(enough):
                    return
            except ConnectionClosed as fault:
                check_ended(fault, SOCKET)
                self._lose()
            except LOST:
                self._lose()
            if self._outbox.answered != answered:
                since, answered = time.monotonic(), self._outbox.answered
                self._backoff.reset()
            elif time.monotonic() - since > self._timeout_s:
                raise unanswered(self._url, self._timeout_s)

    def _turn(self, enough: Callable[[], bool]) -> bool:
        """Send and take what there is; where that is not enough, wait for one answer more."""
        if self._closed.is_set():
            raise UserError(CLOSED)
        socket = self._socket or self._connect()
        arrived = True
        while arrived:
            for frame in self._outbox.unsent():
                socket.send(frame)
            arrived = self._take_arrived(socket)
        if enough():
            return True
        wait_s = self._outbox.retry_after_s
        if wait_s is not None:
            self._outbox.retry_after_s = None
            self._closed.wait(wait_s)
        else:
            self._outbox.take(socket.recv(self._idle_s))
        return False

    def _take_arrived(self, socket: ClientConnection) -> bool:
        """Take the answers that are there; say whether there were any."""
        found = False
        while True:
            try:
                self._outbox.take(socket.recv(0))
            except TimeoutError:
                return found
            found = True

    def _connect(self) -> ClientConnection:
        opening = connect(
            self._url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            additional_headers=dict(self._headers),
            open_timeout=self._idle_s,
        )
        self._socket = self._opened.enter_context(opening)
        again = self._outbox.connections > 0
        self._socket.send(self._outbox.connected())
        if again and self._on_reconnect is not None:
            self._on_reconnect(self._outbox.pending)
        return self._socket

    def _lose(self) -> None:
        self._hang_up()
        self._closed.wait(self._backoff.next_s())

    def _hang_up(self) -> None:
        self._socket = None
        self._opened.close()


def unanswered(url: str, timeout_s: float) -> Unreachable:
    """Return the error of a plant that has acknowledged nothing for so long."""
    return Unreachable(f"{url}: nothing was acknowledged for {timeout_s:g} s")
