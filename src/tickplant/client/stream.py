"""Following a subscription from plain code, without an event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Self

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
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


class Stream:
    """Events of a subscription, in order, each once, across reconnects.

    Iterate over it for events, or over `batches()` for lists of what arrived together. A connection
    that is silent for `idle_s` is made anew (the plant sends heartbeats). `on_reconnect` is called
    with the number it resumes from. The first connection is not retried: it raises `Unreachable`.
    One thread iterates; `close` may be called from another.
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
        self._opened = ExitStack()  # holds the connection, if there is one
        self._closed = threading.Event()
        self._events: Iterator[Event] | None = None

    @property
    def seq(self) -> int | None:
        """The number up to which everything has been handed out."""
        return self._follower.seq

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; iteration ends too. Idempotent."""
        self._closed.set()
        self._hang_up()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if self._events is None:
            self._events = (event for batch in self.batches() for event in batch)
        return next(self._events)

    def batches(self) -> Iterator[list[Event]]:
        """Iterate over lists of events, none of them empty."""
        while not self._closed.is_set():
            try:
                socket = self._socket or self._connect()
                events = self._follower.take(socket.recv(self._idle_s))
            except ConnectionClosed as fault:
                if self._closed.is_set():
                    return
                check_ended(fault)
                self._lose()
            except (ConnectionEnded, TimeoutError, OSError, InvalidHandshake):
                self._lose()
            else:
                self._backoff.reset()
                if events:
                    yield events

    def _connect(self) -> ClientConnection:
        first = self._follower.seq is None
        try:
            opening = connect(
                self._url,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                additional_headers=dict(self._headers),
                max_size=FRAME_BYTES_MAX,
                open_timeout=self._idle_s,
            )
            self._socket = self._opened.enter_context(opening)
            self._socket.send(self._follower.hello())
        except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as fault:
            if first and isinstance(fault, ConnectionClosed):
                check_ended(fault)
            if first:
                raise no_answer(self._url, fault) from fault
            raise
        if not first and self._on_reconnect is not None:
            self._on_reconnect(self._follower.seq)
        return self._socket

    def _lose(self) -> None:
        self._hang_up()
        self._closed.wait(self._backoff.next_s())

    def _hang_up(self) -> None:
        self._socket = None
        self._opened.close()
