"""What makes a fake venue speak like a real one: the interface of dialects.

A dialect is a module `venues/dialect_<name>.py` with `make(truth, house, options) -> Dialect`,
chosen by `fake_venue("<name>", …)` of venue_kit. The server owns sockets, faults and waiting; the
truth owns what is so; a dialect owns the words:

    a client connects     admit(link)              raise `Refused` to answer with an HTTP status
    it is connected       opened(link)             frames to greet it with; its address may ask too
    a client's frame      heard(link, frame)       frames to answer with: confirmations, snapshots
    the truth changed     told(link, events, …)    frames of events on a stream that the link has
    op heartbeat          heartbeat(link)          frames of a heartbeat
    op expire             expiring(link)           frames of the notice before the cut, if any
    op rate_limit         limited(link)            frames before a link that sends too much is cut
    op refuse             refused(link, why)       frames, where a venue refuses by frame
    HTTP                  http(request)            the answer; `too_many` is that of op rate_limit

`told` is called for links that subscribed (`link.streams` holds (symbol, channel); `heard` adds and
removes) with events of ONE stream, mostly one event. It is called while the truth is as it was
right after them, also when a fault will then drop, hold or double its frames: sequence numbers and
checksums go on counting as if they had been sent. With `corrupt` it writes a wrong checksum.
`link.state` is the dialect's own memory of a connection. Before it confirms a subscription it asks
`house.refusal(symbol, channel)` for a reason to refuse, None to take it. A dialect never waits, and
reads no clock but `truth.now()`. Symbols are canonical everywhere but inside frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from venues.venue_truth import Event, Truth

Wire = str | bytes
"""Text frames are str, binary ones bytes."""


class Refused(Exception):
    """Raise in `admit` to refuse a connection by an HTTP status."""

    def __init__(self, status: int, body: str = "") -> None:
        super().__init__(status)
        self.status, self.body = status, body


@dataclass(eq=False)
class Link:
    """One connection. `query` has the parameters of the address, decoded."""

    number: int
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    streams: set[tuple[str, str]] = field(default_factory=set)
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """Of HTTP. `body` is text or bytes as they are; anything else is written as JSON."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class House(Protocol):
    """What a dialect may ask of the server."""

    def refusal(self, symbol: str, channel: str) -> str | None:
        """Return why this subscription is refused, None where it is not; counts as one refusal."""
        ...


class Dialect:
    """A venue without words; dialects inherit what they do not say otherwise."""

    history: tuple[str, ...] = ()
    """Parts of the paths by which HTTP gives back past trades (ops history_off, history_slow)."""

    def __init__(self, truth: Truth, house: House, options: Mapping[str, Any]) -> None:
        self.truth, self.house, self.options = truth, house, options

    def admit(self, link: Link) -> None:
        return None

    def opened(self, link: Link) -> list[Wire]:
        return []

    def heard(self, link: Link, frame: Wire) -> list[Wire]:
        return []

    def told(self, link: Link, events: Sequence[Event], *, corrupt: bool = False) -> list[Wire]:
        raise NotImplementedError

    def heartbeat(self, link: Link) -> list[Wire]:
        return []

    def expiring(self, link: Link) -> list[Wire]:
        return []

    def limited(self, link: Link) -> list[Wire]:
        return []

    def http(self, request: Request) -> Answer:
        return Answer({"error": "no such path"}, 404)

    def too_many(self, request: Request, retry_after_s: int) -> Answer:
        return Answer({"error": "too many requests"}, 429, {"Retry-After": str(retry_after_s)})
