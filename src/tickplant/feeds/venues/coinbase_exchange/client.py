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
from tickplant.feeds.venues.columns import UNREADABLE
from tickplant.feeds.venues.contract import (
    BookSource,
    Channel,
    Http,
    Limits,
    Listing,
    Rate,
    Stream,
    VenueFault,
    VitalSigns,
)
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError

URL = "wss://ws-feed.exchange.coinbase.com"
HTTP_URL = "https://api.exchange.coinbase.com"


def make(options: VenueOptions) -> CoinbaseExchange:
    """Return the venue. Raises `ConfigError` where it is given an account, which it cannot use."""
    if options.accounts:
        raise ConfigError("coinbase-exchange: account: signed channels are not read; leave it out")
    return CoinbaseExchange(options.url or URL, options.http_url or HTTP_URL)


class CoinbaseExchange:
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

    def __init__(self, url: str, http_url: str) -> None:
        self._url = url
        self.http_url: str | None = http_url
        self.history: ExchangeHistory | None = ExchangeHistory(self.native)
        self._natives: dict[str, str] = {}

    async def listings(self, http: Http) -> Sequence[Listing]:
        """Return the products. Raises `VenueFault`."""
        return read_listings(await http.get("/products"))

    def learn(self, listings: Sequence[Listing]) -> None:
        """Take how products are spelled."""
        self._natives.update((listing.symbol, listing.native) for listing in listings)

    def native(self, symbol: str) -> str:
        """Return the product of a symbol: the same where it is not listed."""
        return self._natives.get(symbol, symbol)

    def session(self, streams: Sequence[Stream]) -> ExchangeSession:
        """Return the session of a new connection."""
        return ExchangeSession(self._url, self.native, streams)

    async def book_snapshot(self, http: Http, symbol: str) -> Updates:
        """Return a book as REST has it. Raises `VenueFault`."""
        body = await http.get(f"/products/{self.native(symbol)}/book", {"level": "2"})
        try:
            return parse.read_book(symbol, body)
        except UNREADABLE as fault:
            raise VenueFault(f"{symbol}: the book cannot be read: {fault}") from None


def read_listings(body: bytes) -> list[Listing]:
    """Return the products of REST's answer. Raises `VenueFault`."""
    try:
        products = wire.decode_products(body)
    except UNREADABLE as fault:
        raise VenueFault(f"the products cannot be read: {fault}") from None
    return [
        Listing(
            symbol=product.id.upper(),
            native=product.id,
            kind="spot",
            base=product.base_currency or None,
            quote=product.quote_currency or None,
            tick_size=product.quote_increment,
            lot_size=product.base_increment,
            status="inactive" if _closed(product) else "active",
        )
        for product in products
    ]


def _closed(product: wire.Product) -> bool:
    return product.trading_disabled or product.status not in ("", "online")
