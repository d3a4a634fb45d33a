"""Binance spot as a venue, and the class that its futures share.

Facts of developers.binance.com, as of 2026:

| | spot | USD-M futures |
| --- | --- | --- |
| streams | `/stream` | `/public/stream` (book, quotes), `/market/stream` (trades, mark price) |
| streams a connection | 1,024 | 1,024 |
| messages a second | 5, pings and pongs included | 10 |
| connections made | 300 in 5 minutes | the same |
| weight of requests a minute | 6,000 | 2,400 |
| age of a connection | 24 hours | 24 hours |

The server pings (spot every 20 s, futures every 3 minutes), which is answered below this. A
subscription to a symbol that does not exist is confirmed like any other: it stays silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tickplant.books.updates import Updates
from tickplant.feeds.venues.binance import parse
from tickplant.feeds.venues.binance.history import BinanceHistory
from tickplant.feeds.venues.binance.names import native, read_listings
from tickplant.feeds.venues.binance.session import BATCH, BinanceSession
from tickplant.feeds.venues.contract import (
    BookSource,
    Channel,
    Limits,
    Listing,
    Rate,
    Stream,
    VitalSigns,
)
from tickplant.feeds.venues.options import VenueOptions
from tickplant.feeds.venues.public import PublicVenue, Question, refuse_accounts

DAY_S = 86_400.0
SNAPSHOT_LEVELS = 1_000


@dataclass(frozen=True, slots=True)
class Market:
    """What tells one market of Binance from another. Weights are those of one request."""

    name: str
    url: str
    http_url: str
    base: str
    channels: tuple[Channel, ...]
    routes: Mapping[Channel, str]
    limits: Limits
    book_rule: str
    weights: Mapping[str, int]
    reach_ns: int | None


_SPOT: tuple[Channel, ...] = ("trades", "quotes", "book")

SPOT = Market(
    name="BINANCE",
    url="wss://stream.binance.com:9443",
    http_url="https://api.binance.com",
    base="/api/v3",
    channels=_SPOT,
    routes=dict.fromkeys(_SPOT, "/stream"),
    limits=Limits(
        streams_max=1_024,
        connects=Rate(300, 300.0),
        messages=Rate(4, 1.0),  # of five, one is kept for what answers a ping
        batch_max=BATCH,
        weight=Rate(6_000, 60.0),
        age_s_max=DAY_S,
    ),
    book_rule="binance-spot",
    weights={"depth": 50, "aggTrades": 4, "exchangeInfo": 20},
    reach_ns=None,
)


def make(options: VenueOptions) -> Binance:
    """Return spot. Raises `ConfigError` where it is given an account, which it cannot use."""
    return Binance(SPOT, options)


class Binance(PublicVenue):
    """A `Venue`: a market of Binance.

    Canonical symbols are BASE-QUOTE, of futures that expire BASE-QUOTE-YYMMDD. `routes` are the
    paths of channels: a connection carries streams of one route only.
    """

    vital_signs = VitalSigns(ping_s=20.0)
    book_source: BookSource = "http"

    def __init__(
        self, market: Market, options: VenueOptions, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        refuse_accounts(market.name, options)
        super().__init__(options, market.url, market.http_url)
        self._market = market
        self._clock = clock
        self.name = market.name
        self.channels = market.channels
        self.routes = market.routes
        self.limits = market.limits
        self.book_rule = market.book_rule
        self.history: BinanceHistory | None = BinanceHistory(
            self.native,
            f"{market.base}/aggTrades",
            weight=market.weights["aggTrades"],
            reach_ns=market.reach_ns,
        )

    def rule(self, symbol: str) -> str:
        """Return the venue's spelling: BTC-USDT is BTCUSDT, BTC-USDT-270326 BTCUSDT_270326."""
        return native(symbol)

    def session(self, streams: Sequence[Stream]) -> BinanceSession:
        """Return the session of a new connection, on the route of its first stream."""
        channel = streams[0].channel if streams else self.channels[0]
        return BinanceSession(self._url + self.routes[channel], self.native, streams)

    def listed_by(self) -> Question:
        """See `PublicVenue`."""
        return self._question("exchangeInfo", {})

    def read_listings(self, body: bytes) -> list[Listing]:
        """See `PublicVenue`."""
        return read_listings(body)

    def book_by(self, symbol: str) -> Question:
        """Return what asks for the best 1,000 levels a side."""
        return self._question(
            "depth", {"symbol": self.native(symbol), "limit": str(SNAPSHOT_LEVELS)}
        )

    def read_book(self, symbol: str, body: bytes) -> Updates:
        """See `PublicVenue`."""
        return parse.read_snapshot(body, symbol, self._clock())

    def _question(self, what: str, params: Mapping[str, str]) -> Question:
        return Question(f"{self._market.base}/{what}", params, self._market.weights[what])
