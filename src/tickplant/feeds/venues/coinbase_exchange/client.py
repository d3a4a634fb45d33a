"""Coinbase Exchange as a venue: its public data, which needs no key.

Facts of docs.cdp.coinbase.com (Exchange: WebSocket rate limits, channels, REST rate limits): 8
requests for connections a second for an address, 100 messages a second that a client sends, 10
public REST requests a second. The channel `level2` asks for a signature, `level2_batch` gives the
same every 50 ms without one. The trades and books are those of Advanced Trade.
"""

from __future__ import annotations

from collections.abc import Sequence

from tickplant.books.updates import Updates
from tickplant.feeds.venues.coinbase_exchange import parse, wire
from tickplant.feeds.venues.coinbase_exchange.history import ExchangeHistory
from tickplant.feeds.venues.coinbase_exchange.session import ExchangeSession
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

URL = "wss://ws-feed.exchange.coinbase.com"
HTTP_URL = "https://api.exchange.coinbase.com"


def make(options: VenueOptions) -> CoinbaseExchange:
    """Return the venue. Raises `ConfigError` where it is given an account, which it cannot use."""
    refuse_accounts("coinbase-exchange", options, "signed channels are not read")
    return CoinbaseExchange(options, URL, HTTP_URL)


class CoinbaseExchange(PublicVenue):
    """A `Venue`: Coinbase Exchange. Canonical symbols are the products' names.

    Of its own name, as an instrument belongs to the feed protocol that it comes by: a plant may
    take both.
    """

    name = "COINBASE-EXCHANGE"
    channels: tuple[Channel, ...] = ("trades", "quotes", "book")
    limits = Limits(connects=Rate(8, 1.0), messages=Rate(100, 1.0), weight=Rate(10, 1.0))
    vital_signs = VitalSigns(heartbeat_s=1.0)
    book_rule = "coinbase-exchange"
    book_source: BookSource = "resubscribe"

    def __init__(self, options: VenueOptions, url: str, http_url: str) -> None:
        super().__init__(options, url, http_url)
        self.history: ExchangeHistory | None = ExchangeHistory(self.native)

    def session(self, streams: Sequence[Stream]) -> ExchangeSession:
        """Return the session of a new connection."""
        return ExchangeSession(self._url, self.native, streams)

    def listed_by(self) -> Question:
        """See `PublicVenue`."""
        return Question("/products")

    def read_listings(self, body: bytes) -> list[Listing]:
        """See `PublicVenue`."""
        return [_listing(product) for product in wire.decode_products(body)]

    def book_by(self, symbol: str) -> Question:
        """See `PublicVenue`."""
        return Question(f"/products/{self.native(symbol)}/book", {"level": "2"})

    def read_book(self, symbol: str, body: bytes) -> Updates:
        """See `PublicVenue`."""
        return parse.read_book(symbol, body)


def _listing(product: wire.Product) -> Listing:
    return Listing(
        symbol=product.id.upper(),
        native=product.id,
        kind="spot",
        base=product.base_currency or None,
        quote=product.quote_currency or None,
        tick_size=product.quote_increment,
        lot_size=product.base_increment,
        status="inactive" if _closed(product) else "active",
    )


def _closed(product: wire.Product) -> bool:
    return product.trading_disabled or product.status not in ("", "online")
