"""What a venue is to the supervisor: facts, sessions without I/O, and a history.

    Venue ─── limits, vital signs, listings, history over HTTP
      └─ session(streams) ─► Session of one connection, a state machine that touches no socket:
            dial() ─► where to connect       opening() ─► frames to send first (authentication)
            subscribe(streams) / unsubscribe(streams) ─► frames to send
            receive(frames) ─► Received: rows, book updates, what was said, what could not be read

The supervisor owns sockets, time, limits and pauses; a session owns the protocol's words. So a
session is tested, fuzzed and replayed from a capture by handing it frames, and a new venue is a
parser with a table of facts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import pyarrow as pa

from tickplant.books.updates import Updates

Channel = Literal["trades", "quotes", "book", "stats"]
CHANNELS: tuple[Channel, ...] = ("trades", "quotes", "book", "stats")


class Stream(NamedTuple):
    """One channel of one instrument: what is subscribed to, confirmed, lost. Symbol canonical."""

    symbol: str
    channel: Channel


class Frame(NamedTuple):
    """What came over a connection. `ts_recv` is ns UTC; text is UTF-8."""

    ts_recv: int
    data: bytes


class Outgoing(NamedTuple):
    """What is to be sent over a connection: text, or bytes for a binary frame."""

    data: str | bytes


@dataclass(frozen=True, slots=True)
class Dial:
    """Where a session connects. A secret stands in `url` or `headers` only, and is never logged.

    `shown` is the address without secrets, for logs and captures; None is `url` without its query.
    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in any `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What a venue allows. None is no limit that it names.

    `streams_max` a connection, `symbols_max` the instruments of a connection; `connections_max` at
    once; `connects` attempts to connect; `messages` sent over one connection; `batch_max` streams
    in one request to subscribe; `weight` of HTTP requests; `age_s_max` after which it cuts a
    connection.
    """

    streams_max: int | None = None
    symbols_max: int | None = None
    connections_max: int | None = None
    connects: Rate | None = None
    messages: Rate | None = None
    batch_max: int | None = None
    weight: Rate | None = None
    age_s_max: float | None = None


@dataclass(frozen=True, slots=True)
class VitalSigns:
    """How a live connection shows that it lives.

    `heartbeat_s`: the venue sends a heartbeat at least this often, None where it has none.
    `ping_s`: how often we ping by WebSocket, where that is answered; None never.
    `confirm_s_max`: how long a confirmation of a subscription may take.
    """

    heartbeat_s: float | None = None
    ping_s: float | None = 20.0
    confirm_s_max: float = 10.0


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument as the venue lists it: canonical symbol, the venue's spelling, and facts."""

    symbol: str
    native: str
    kind: str | None = None
    base: str | None = None
    quote: str | None = None
    tick_size: float | None = None
    lot_size: float | None = None
    underlying: str | None = None
    expiry: str | None = None
    strike: float | None = None
    right: str | None = None
    status: str = "active"


# -- what a session has to say ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The venue has taken these subscriptions; with `ends` it has ended them.

    Where a protocol confirms nothing, the session says so with the first frame that shows it.
    """

    streams: tuple[Stream, ...]
    ends: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue refuses these subscriptions (none: the whole session); `passing` may be retried."""

    streams: tuple[Stream, ...]
    reason: str
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The connection lives. `ts` is the venue's time of it, ns UTC, None where it tells none."""

    ts: int | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something was not delivered on these streams, by the venue's own numbers.

    The hole lies between the event times `start` and `end`, ns UTC, exclusive at both sides;
    `first` and `last` are the venue's numbers of what is missing, where it has them.
    """

    streams: tuple[Stream, ...]
    start: int
    end: int
    detail: str
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame that the protocol wants sent at once, such as the answer to a ping."""

    frame: Outgoing


@dataclass(frozen=True, slots=True)
class Leaving:
    """The venue says that it will close this connection, or asks us to connect anew."""

    reason: str


Said = Confirmed | Refused | Heartbeat | Skipped | Reply | Leaving


class BadFrame(NamedTuple):
    """A frame, or a part of one, that could not be read: it goes to the quarantine as it came."""

    table: str
    reason: str
    detail: str
    frame: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """What some frames came to, in the order of their arrival within each part.

    `rows` by table (trades, quotes, stats) have the schema `model.events.INCOMING[table]`, symbols
    canonical, `venue` null. Messages about books are in `books`.
    """

    rows: Mapping[str, pa.RecordBatch] = field(default_factory=dict)
    books: Updates | None = None
    said: Sequence[Said] = ()
    bad: Sequence[BadFrame] = ()


class Session(Protocol):
    """The protocol of one connection, without its socket. Never raises for what it is sent."""

    def dial(self) -> Dial:
        """Return where to connect."""
        ...

    def opening(self) -> Sequence[Outgoing]:
        """Return what to send first, once connected."""
        ...

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return what asks for these streams; they are in force when `Confirmed` says so."""
        ...

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return what ends them."""
        ...

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to. Columns are made over all of them at once."""
        ...


Mark = tuple[int, int]
"""An event by its number and its time, ns UTC."""


class Numbers(Protocol):
    """The numbers of streams, as far as one connection knows them."""

    def lasts(self) -> Mapping[Stream, Mark]:
        """Return the last event of each stream."""
        ...

    def take_over(self, lasts: Mapping[Stream, Mark]) -> Sequence[Skipped]:
        """Take what the connection had last that this one replaces; return what neither delivered.

        A stream that has begun is judged by the first event that this connection delivered, any
        other by the one that will be its first.
        """
        ...


@runtime_checkable
class Numbered(Protocol):
    """A session of streams whose numbers go on from one connection to the next.

    Only so is it known what was left out while one connection took over from another. Where a
    venue numbers the messages of a connection, each has to tell its holes alone.
    """

    @property
    def numbers(self) -> Numbers:
        """The numbers as they are now."""
        ...


@runtime_checkable
class NotesEnd(Protocol):
    """A session that wants to know how its connection ended, such as to give an account back."""

    def ended(self, status: int | None) -> None:
        """Note the end; `status` is the HTTP status that refused the connection, if one did."""
        ...


class Http(Protocol):
    """Requests to a venue: limited by weight, with timeouts, retries and a breaker."""

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1
    ) -> bytes:
        """Return the body of a good answer (2xx). Raises `VenueFault` for any other."""
        ...


class VenueFault(Exception):
    """A request to a venue that failed for good, or for longer than the breaker waits."""


NUMBER = "number"
"""The column of past trades with the numbers of the stream."""


class OutOfReach(VenueFault):
    """Something of the past that a venue does not give: to ask again hardly helps."""


class VenueHistory(Protocol):
    """What a venue's HTTP API gives back of the past."""

    def trades(
        self, http: Http, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the trades of `[start, end)`, ns UTC, as `INCOMING["trades"]`, oldest first.

        With the ids that the stream gives them. Raises `VenueFault`, and `OutOfReach` where it
        cannot give all of them; says by `trades_since` how far it reaches back. Where ids are
        not the numbers that the stream follows, a column `NUMBER` besides has those.
        """
        ...

    def trades_since(self, now: int) -> int | None:
        """Return the earliest event time that `trades` can give, ns UTC; None is any."""
        ...


BookSource = Literal["http", "resubscribe", "stream"]
"""Where the snapshot of a book comes from: a request, a new subscription, or every message."""


class Venue(Protocol):
    """One venue: facts, and sessions for its connections.

    One whose channels come by different addresses has besides `routes: Mapping[Channel, str]`: a
    connection carries streams of one route only. One behind a library that owns its sockets has a
    `connector` (`venues.transport.Connector`).
    """

    @property
    def name(self) -> str:
        """The venue of its instruments, upper case, such as `BINANCE`."""
        ...

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels that it has."""
        ...

    @property
    def limits(self) -> Limits:
        """What it allows."""
        ...

    @property
    def vital_signs(self) -> VitalSigns:
        """How its connections show that they live."""
        ...

    @property
    def book_rule(self) -> str:
        """The name of its sequence rule in `books.rules`."""
        ...

    @property
    def book_source(self) -> BookSource:
        """Where snapshots of its books come from."""
        ...

    @property
    def history(self) -> VenueHistory | None:
        """What it gives back of the past; None where it has nothing."""
        ...

    @property
    def http_url(self) -> str | None:
        """The base of its HTTP API."""
        ...

    async def listings(self, http: Http) -> Sequence[Listing]:
        """Return the instruments that it lists. Raises `VenueFault`."""
        ...

    def learn(self, listings: Sequence[Listing]) -> None:
        """Take listings, from which names are translated and precisions known from now on."""
        ...

    def native(self, symbol: str) -> str:
        """Return the venue's spelling of a canonical symbol, by rule where it is not listed."""
        ...

    def session(self, streams: Sequence[Stream]) -> Session:
        """Return the session of a new connection that is to carry these streams."""
        ...

    async def book_snapshot(self, http: Http, symbol: str) -> Updates:
        """Return one snapshot by request, for `book_source` `http`. Raises `VenueFault`."""
        ...
