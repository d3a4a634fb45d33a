"""Deribit as a venue: options, futures, perpetuals and spot; public data, which needs no key.

Facts of docs.deribit.com: 32 connections at once for an address; 500 channels in one request to
subscribe, of which about 3 a second are good; 20 other requests a second; channels of every change
(`raw`) for accounts only. Implied volatilities are in percent. An account is an API key and its
secret: it logs the connection in and asks for `raw`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tickplant.books.updates import Updates
from tickplant.feeds.venues.contract import (
    CHANNELS,
    BookSource,
    Channel,
    Limits,
    Listing,
    Rate,
    Stream,
    VitalSigns,
)
from tickplant.feeds.venues.deribit import parse
from tickplant.feeds.venues.deribit.history import DeribitHistory
from tickplant.feeds.venues.deribit.session import HEARTBEAT_S, DeribitSession
from tickplant.feeds.venues.options import VenueOptions
from tickplant.feeds.venues.public import PublicVenue, Question
from tickplant.model.errors import ConfigError

URL = "wss://www.deribit.com/ws/api/v2"
HTTP_URL = "https://www.deribit.com"
_POINT = re.compile(r"(?<=[0-9])D(?=[0-9])")


def make(options: VenueOptions) -> Deribit:
    """Return the venue. Raises `ConfigError` where an account lacks its key or its secret."""
    account = options.account
    if options.accounts and not (account.key and account.secret):
        raise ConfigError("deribit: account: a key and a secret are needed, or no account")
    return Deribit(options, URL, HTTP_URL)


class Deribit(PublicVenue):
    """A `Venue`: Deribit. Canonical symbols are its names in upper case, `BTC-24SEP21-8000-P`."""

    name = "DERIBIT"
    channels: tuple[Channel, ...] = CHANNELS
    limits = Limits(connections_max=32, messages=Rate(3, 1.0), batch_max=500, weight=Rate(20, 1.0))
    vital_signs = VitalSigns(heartbeat_s=float(HEARTBEAT_S))
    book_rule = "deribit"
    book_source: BookSource = "resubscribe"

    def __init__(self, options: VenueOptions, url: str, http_url: str) -> None:
        super().__init__(options, url, http_url)
        self._account = options.account
        self.history: DeribitHistory | None = DeribitHistory(self.native)

    def rule(self, symbol: str) -> str:
        """Return the venue's name: the same but for the `d` that stands for a strike's point."""
        return _POINT.sub("d", symbol)

    def session(self, streams: Sequence[Stream]) -> DeribitSession:
        """Return the session of a new connection."""
        return DeribitSession(self._url, self.native, self._account, streams)

    def listed_by(self) -> Question:
        """Return what asks for the instruments that are not expired."""
        params = {"currency": "any", "expired": "false"}
        return Question("/api/v2/public/get_instruments", params)

    def read_listings(self, body: bytes) -> list[Listing]:
        """See `PublicVenue`."""
        return parse.read_listings(body)

    def book_by(self, symbol: str) -> Question:
        """See `PublicVenue`."""
        params = {"instrument_name": self.native(symbol), "depth": "10000"}
        return Question("/api/v2/public/get_order_book", params)

    def read_book(self, symbol: str, body: bytes) -> Updates:
        """See `PublicVenue`."""
        return parse.read_book(body)
