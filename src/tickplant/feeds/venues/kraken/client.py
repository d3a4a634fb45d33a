"""Kraken for the supervisor: what it allows, what it lists, and the protocol of a connection.

    subscribe ─► one request a channel ─► an answer for each symbol ─► a snapshot, then updates

Answers carry our number of the request, by which an error is known to belong to its channel: it
names the symbol only. Nothing on the stream is numbered but trades, one by one for each pair, so
what is missing shows by them; that a book is right shows by its checksum.

Limits: Kraken names none for subscriptions and messages; it lets an address try to connect about
150 times in 10 minutes (guide "Spot WebSocket Introduction"), answers "Exceeded msg rate" to what
is too much for it at the time, and wants about one public REST request a second. The rates below
that it does not name are chosen with room to spare.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count

import msgspec

from tickplant.books.updates import Updates
from tickplant.feeds.venues.columns import sift
from tickplant.feeds.venues.contract import (
    BookSource,
    Channel,
    Confirmed,
    Dial,
    Frame,
    Heartbeat,
    Http,
    Limits,
    Listing,
    Outgoing,
    Rate,
    Received,
    Refused,
    Said,
    Session,
    Stream,
    VitalSigns,
)
from tickplant.feeds.venues.kraken import names, wire
from tickplant.feeds.venues.kraken.history import KrakenHistory, read_listings
from tickplant.feeds.venues.kraken.pairs import Pairs
from tickplant.feeds.venues.kraken.parse import read, table_of
from tickplant.feeds.venues.numbers import TradeNumbers
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError

URL = "wss://ws.kraken.com/v2"
HTTP_URL = "https://api.kraken.com"

DEPTHS = (10, 25, 100, 500, 1000)
"""The depths of books that can be subscribed to."""

DEPTH = 100
REQUESTS_MAX = 10_000
"""Requests that are remembered until every symbol of them is answered."""

_WIRE = {"trades": "trade", "quotes": "ticker", "book": "book"}
_PASSING = ("rate", "throttled", "unavailable", "busy", "timeout", "internal")


def make(options: VenueOptions) -> KrakenVenue:
    """Return the venue as configured: `depth` of its books. Raises `ConfigError`."""
    depth = options.whole("depth")
    depth = DEPTH if depth is None else depth
    if not isinstance(depth, int) or isinstance(depth, bool) or depth not in DEPTHS:
        allowed = ", ".join(map(str, DEPTHS))
        raise ConfigError(f"depth: {depth!r} is not allowed; allowed are {allowed}")
    return KrakenVenue(options.url or URL, options.http_url or HTTP_URL, depth)


class KrakenVenue:
    """Kraken, spot. Its sessions share what is known of its pairs."""

    name = "KRAKEN"
    channels: tuple[Channel, ...] = ("trades", "quotes", "book")
    limits = Limits(
        connects=Rate(150, 600.0), messages=Rate(5, 1.0), batch_max=100, weight=Rate(1, 1.0)
    )
    vital_signs = VitalSigns(heartbeat_s=1.0, ping_s=30.0)
    book_rule = "kraken"
    book_source: BookSource = "resubscribe"

    def __init__(self, url: str, http_url: str, depth: int) -> None:
        self.http_url: str | None = http_url
        self._url = url
        self._depth = depth
        self._pairs = Pairs()
        self.history = KrakenHistory(self._pairs.rest_name)

    async def listings(self, http: Http) -> Sequence[Listing]:
        """Return the pairs that can be traded, by REST; see `contract.Venue`."""
        return read_listings(await http.get("/0/public/AssetPairs"))

    def learn(self, listings: Sequence[Listing]) -> None:
        """Take names and decimals of pairs."""
        self._pairs.learn(listings)

    def native(self, symbol: str) -> str:
        """Return the spelling of WebSocket version 2."""
        return names.native(symbol)

    def session(self, streams: Sequence[Stream]) -> Session:
        """Return the session of a new connection."""
        return KrakenSession(self._url, self._depth, self._pairs)

    async def book_snapshot(self, http: Http, symbol: str) -> Updates:
        """Books come with a subscription only: `book_source` is `resubscribe`."""
        raise NotImplementedError("snapshots of books come with their subscription")


class KrakenSession:
    """The protocol of one connection; see `contract.Session`."""

    def __init__(self, url: str, depth: int, pairs: Pairs) -> None:
        self._url = url
        self._depth = depth
        self._pairs = pairs
        self._numbers = count(1)
        self._asked: dict[int, dict[str, Stream]] = {}
        self._asked_instruments = False
        self.numbers = TradeNumbers()
        self._read = partial(read, decimals=pairs.decimals, depth=depth)

    def dial(self) -> Dial:
        """Return where to connect."""
        return Dial(self._url)

    def opening(self) -> Sequence[Outgoing]:
        """Nothing is sent first: what is public needs no login."""
        return ()

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return the requests for these streams, one a channel.

        Where decimals of a book are not known yet, the list of instruments is asked for first.
        """
        books = [stream.symbol for stream in streams if stream.channel == "book"]
        asks = [] if all(map(self._pairs.decimals, books)) else self._ask_instruments()
        return asks + self._requests("subscribe", streams)

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return the requests that end these streams."""
        return self._requests("unsubscribe", streams)

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to."""
        found, _, bad = sift(frames, self._read, table_of)
        said: list[Said] = []
        for other in found.others:
            said += self._hear(other)
        if found.trades is not None:
            trades = found.trades
            said += self.numbers.follow(trades.symbols, trades.ids, trades.ts.tolist())
        return Received(found.rows, found.books, said, bad)

    # -- requests --------------------------------------------------------------------------------

    def _ask_instruments(self) -> list[Outgoing]:
        if self._asked_instruments:
            return []
        self._asked_instruments = True
        return [self._request("subscribe", {"channel": "instrument", "snapshot": True}, {})]

    def _requests(self, method: str, streams: Sequence[Stream]) -> list[Outgoing]:
        by_channel: dict[str, dict[str, Stream]] = {}
        for stream in streams:
            named = by_channel.setdefault(_WIRE[stream.channel], {})
            named[names.native(stream.symbol)] = stream
        return [
            self._request(method, {"channel": channel, "symbol": list(named)}, named)
            for channel, named in by_channel.items()
        ]

    def _request(
        self, method: str, params: dict[str, object], streams: dict[str, Stream]
    ) -> Outgoing:
        number = next(self._numbers)
        if streams:
            self._asked[number] = dict(streams)
        if len(self._asked) > REQUESTS_MAX:  # a venue that never answers
            del self._asked[min(self._asked)]
        if params["channel"] == "book":
            params["depth"] = self._depth
        if method == "subscribe" and params["channel"] == "ticker":
            params["event_trigger"] = "bbo"
        if method == "subscribe":
            params["snapshot"] = True
        text = msgspec.json.encode({"method": method, "params": params, "req_id": number})
        return Outgoing(text.decode())

    # -- what the venue says ---------------------------------------------------------------------

    def _hear(self, message: object) -> list[Said]:
        if isinstance(message, wire.HeartbeatMessage):
            return [Heartbeat()]
        if isinstance(message, wire.Acknowledgement):
            return self._hear_answer(message)
        if isinstance(message, wire.Instrument):
            self._pairs.note(message.data.pairs)
        return []

    def _hear_answer(self, answer: wire.Acknowledgement) -> list[Said]:
        streams = self._answered(answer)
        complaint = answer.complaint
        if complaint is None and answer.success is not False:
            return self._confirm(streams, answer.method == "unsubscribe")
        reason = complaint or "refused without a reason"
        if streams and _is_so_already(answer.method, reason):
            return self._confirm(streams, answer.method == "unsubscribe")
        if not streams and (answer.req_id is not None or answer.method == "pong"):
            return []  # of the list of instruments, or of what nobody waits for any more
        passing = any(word in reason.lower() for word in _PASSING)
        return [Refused(streams, reason, passing)]

    def _confirm(self, streams: tuple[Stream, ...], ends: bool) -> list[Said]:
        if not streams:
            return []
        if ends:
            for stream in streams:
                if stream.channel == "trades":
                    self.numbers.forget(stream.symbol)
        return [Confirmed(streams, ends)]

    def _answered(self, answer: wire.Acknowledgement) -> tuple[Stream, ...]:
        """Return the streams that an answer is about, and forget that they were asked for."""
        asked = self._asked.get(answer.req_id or 0)
        if asked is None:
            return ()
        symbol = answer.symbol or (answer.result.symbol if answer.result else None)
        if symbol is None:  # an error of the request as a whole
            streams = tuple(asked.values())
            asked.clear()
        else:
            stream = asked.pop(symbol, None)
            streams = () if stream is None else (stream,)
        if not asked:
            del self._asked[answer.req_id or 0]
        return streams


def _is_so_already(method: str | None, reason: str) -> bool:
    """Say whether an error says that nothing needed to be done."""
    text = reason.lower()
    return ("already subscribed" if method == "subscribe" else "not found") in text
