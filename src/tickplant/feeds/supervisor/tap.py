"""What a capture sees of a feed: every frame and answer, as it went over the wire, no secrets.

Secrets stand in the query of an address, in headers and in the frames that open a session. So a
tap gets the address without its query, no headers, and of an opening frame only that one was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from tickplant.feeds.venues.contract import Frame


class Tap(Protocol):
    """Takes what goes over the wire of one feed, in order. Cheap, never raises, never waits.

    `connection` is another number for each connection of the feed. Times are ns UTC.
    """

    def opened(self, connection: int, at: int, url: str) -> None:
        """A connection was opened; the address is free of secrets."""
        ...

    def sent(self, connection: int, at: int, data: str | bytes | None) -> None:
        """A frame was sent; None stands for one that may hold a secret."""
        ...

    def received(self, connection: int, frames: Sequence[Frame]) -> None:
        """Frames came."""
        ...

    def answered(
        self, at: int, path: str, params: Mapping[str, str], status: int, body: bytes
    ) -> None:
        """A request over HTTP was answered."""
        ...

    def closed(self, connection: int, at: int, reason: str) -> None:
        """A connection has ended."""
        ...


def shown_url(url: str) -> str:
    """Return an address without what may be secret: name, password and query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
