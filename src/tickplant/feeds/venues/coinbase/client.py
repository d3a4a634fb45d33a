"""Coinbase Advanced Trade as a venue: its public data, which needs no key.

Facts of docs.cdp.coinbase.com (Advanced Trade: WebSocket rate limits, channels, REST rate limits):
8 connections and 8 messages without a key a second for an address, 10 public REST requests a
second; a heartbeat every second. The channel `ticker` speaks at every trade, not at every change of
the best prices.
"""

from __future__ import annotations

from collections.abc import Sequence

from tickplant.books.updates import Updates
from tickplant.feeds.venues.coinbase import parse, wire
from tickplant.feeds.venues.coinbase.history import PATH, CoinbaseHistory
from tickplant.feeds.venues.coinbase.session import CoinbaseSession
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

URL = "wss://advanced-trade-ws.coinbase.com"
HTTP_URL = "https://api.coinbase.com"


def make(options: VenueOptions) -> Coinbase:
    """Return the venue. Raises `ConfigError` where it is given an account, which it cannot use."""
    refuse_accounts("coinbase", options)
    return Coinbase(options, URL, HTTP_URL)


class Coinbase(PublicVenue):
    """A `Venue`: Coinbase Advanced Trade. Canonical symbols are the products' names."""

    name = "COINBASE"
    channels: tuple[Channel, ...] = ("trades", "quotes", "book")
    limits = Limits(connects=Rate(8, 1.0), messages=Rate(8, 1.0), weight=Rate(10, 1.0))
    vital_signs = VitalSigns(heartbeat_s=1.0)
    book_rule = "coinbase"
    book_source: BookSource = "resubscribe"

    def __init__(self, options: VenueOptions, url: str, http_url: str) -> None:
        super().__init__(options, url, http_url)
        self.history: CoinbaseHistory | None = CoinbaseHistory(self.native)

    def session(self, streams: Sequence[Stream]) -> CoinbaseSession:
        """Return the session of a new connection."""
        return CoinbaseSession(self._url, self.native, streams)

    def listed_by(self) -> Question:
        """See `PublicVenue`."""
        return Question(PATH)

    def read_listings(self, body: bytes) -> list[Listing]:
        """See `PublicVenue`."""
        return [_listing(product) for product in wire.decode_products(body).products]

    def book_by(self, symbol: str) -> Question:
        """See `PublicVenue`; what is answered is some seconds old."""
        params = {"product_id": self.native(symbol), "limit": "1000"}
        return Question("/api/v3/brokerage/market/product_book", params)

    def read_book(self, symbol: str, body: bytes) -> Updates:
        """See `PublicVenue`."""
        return parse.read_book(body)


def _listing(product: wire.Product) -> Listing:
    future = product.future_product_details
    expiry = str(future.get("contract_expiry") or "") if future else ""
    perpetual = future is not None and future.get("contract_expiry_type") == "PERPETUAL"
    base = product.base_currency_id or None
    if future and not base:
        base = str(future.get("contract_root_unit") or "") or None
    closed = product.is_disabled or product.trading_disabled or product.status not in ("", "online")
    return Listing(
        symbol=product.product_id.upper(),
        native=product.product_id,
        kind="spot" if future is None else "perpetual" if perpetual else "future",
        base=base,
        quote=product.quote_currency_id or None,
        tick_size=_number(product.price_increment or product.quote_increment),
        lot_size=_number(product.base_increment),
        underlying=base if future else None,
        expiry=None if perpetual else expiry or None,
        status="inactive" if closed else "active",
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
