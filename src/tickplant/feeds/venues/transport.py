"""What carries frames: the two small protocols behind which sockets stand.

    Connector.connect(dial) ─► Connection ── receive() ─► frames, all that have come
                                          ├─ answered ─► the ping that was answered before them
                                          ├─ send(frame), ping()
                                          └─ close()

The supervisor connects through WebSockets unless the venue brings a connector of its own, by an
attribute `connector`: so a venue behind a library that owns its sockets (ccxt) hands over what the
library says as frames, and is captured, replayed and watched like any other. Tests stand in with
connections in memory.
"""

from __future__ import annotations

from typing import Protocol

from tickplant.feeds.venues.contract import Dial, Frame, Outgoing


class ConnectionLost(Exception):
    """A connection could not be made, or has ended. The message holds no secret.

    `status` is the HTTP status that refused it, where there was one; `retry_after_s` is how long
    the venue asks us to stay away; `code` is that of a WebSocket's closing frame.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        code: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.retry_after_s = retry_after_s
        self.code = code


class Connection(Protocol):
    """One open connection. One task receives, any task of the same loop sends."""

    async def receive(self) -> list[Frame]:
        """Return the frames that have come since the last call, waiting for the first of them.

        In order, at most as many as are good to handle at once; stamped when they came. None where
        only a ping was answered. What is not fetched is bounded, and then holds the sender back.
        Raises `ConnectionLost` once everything that came before the end was fetched.
        """
        ...

    @property
    def answered(self) -> int | None:
        """When the last ping was sent that was answered, ns UTC, None where none was.

        Only an answer counts that came before, or among, the frames that `receive` has returned: so
        everything that the other side sent before it saw the ping was returned.
        """
        ...

    async def send(self, frame: Outgoing) -> None:
        """Send a frame. Raises `ConnectionLost`."""
        ...

    async def ping(self) -> None:
        """Ask the other side for a sign of life. Raises `ConnectionLost`."""
        ...

    async def close(self) -> None:
        """Close it; returns within a bounded time. Idempotent, never raises."""
        ...


class Connector(Protocol):
    """What opens connections."""

    async def connect(self, dial: Dial) -> Connection:
        """Return an open connection. Raises `ConnectionLost`; ends within a bounded time."""
        ...
