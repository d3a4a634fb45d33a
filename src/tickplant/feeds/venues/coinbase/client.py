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

URL = "wss://advanced-trade-ws.coinbase.com"
HTTP_URL = "https://api.coinbase.com"


def make(options: VenueOptions) -> Coinbase:
    """Return the venue. Raises `ConfigError` where it is given an account, which it cannot use."""
    if options.accounts:
        raise ConfigError("coinbase: account: its public data needs none, and none is used")
    return Coinbase(options.url or URL, options.http_url or HTTP_URL)


class Coinbase:
    """A `Venue`: Coinbase Advanced Trade. Canonical symbols are the products' names."""

    name = "COINBASE"
    channels: tuple[Channel, ...] = ("trades", "quotes", "book")
    limits = Limits(connects=Rate(8, 1.0), messages=Rate(8, 1.0), weight=Rate(10, 1.0))
    vital_signs = VitalSigns(heartbeat_s=1.0)
    book_rule = "coinbase"
    book_source: BookSource = "resubscribe"

    def __init__(self, url: str, http_url: str) -> None:
        self._url = url
        self.http_url: str | None = http_url
        self.history: CoinbaseHistory | None = CoinbaseHistory(self.native)
        self._natives: dict[str, str] = {}

    async def listings(self, http: Http) -> Sequence[Listing]:
        """Return the products. Raises `VenueFault`."""
        body = await http.get(PATH)
        try:
            return [_listing(product) for product in wire.decode_products(body).products]
        except UNREADABLE as fault:
            raise VenueFault(f"the products cannot be read: {fault}") from None

    def learn(self, listings: Sequence[Listing]) -> None:
        """Take how products are spelled."""
        self._natives.update((listing.symbol, listing.native) for listing in listings)

    def native(self, symbol: str) -> str:
        """Return the product of a symbol: the same where it is not listed."""
        return self._natives.get(symbol, symbol)

    def session(self, streams: Sequence[Stream]) -> CoinbaseSession:
        """Return the session of a new connection."""
        return CoinbaseSession(self._url, self.native, streams)

    async def book_snapshot(self, http: Http, symbol: str) -> Updates:
        """Return a book as REST has it, some seconds old. Raises `VenueFault`."""
        params = {"product_id": self.native(symbol), "limit": "1000"}
        body = await http.get("/api/v3/brokerage/market/product_book", params)
        try:
            return parse.read_book(body)
        except UNREADABLE as fault:
            raise VenueFault(f"{symbol}: the book cannot be read: {fault}") from None


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
