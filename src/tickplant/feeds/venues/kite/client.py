"""Zerodha Kite Connect as a venue: exchanges of India, for those who have an account.

Facts of kite.trade/docs/connect/v3 (WebSocket streaming, instruments, exceptions): 3,000
instruments a connection, 3 connections an API key; a heartbeat every couple of seconds where there
is nothing else to send; 10 requests a second over HTTP. Past ticks cannot be had, candles only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from tickplant.books.updates import Updates
from tickplant.feeds.venues.contract import (
    CHANNELS,
    BookSource,
    Channel,
    Http,
    Limits,
    Listing,
    Rate,
    Stream,
    VenueFault,
    VenueHistory,
    VitalSigns,
)
from tickplant.feeds.venues.kite import instruments, wire
from tickplant.feeds.venues.kite.accounts import Seats
from tickplant.feeds.venues.kite.session import KiteSession
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError, shorten
from tickplant.model.instruments import is_venue

EXCHANGE = "NSE"
INSTRUMENTS_MAX = 3_000
CONNECTIONS_MAX = 3
"""Of one account."""

TRADES_MODES = ("quote", "ltp")


def make(options: VenueOptions) -> Kite:
    """Return the venue. Raises `ConfigError` for keys that are not right."""
    extra = options.extra
    if not options.accounts:
        raise ConfigError("kite: accounts: missing; each has `key` (API key) and `token`")
    for place, account in enumerate(options.accounts, 1):
        if not account.key or not account.token:
            raise ConfigError(f"kite: account {place}: key and token must both be given")
    exchange = extra.get("exchange", EXCHANGE)
    if not isinstance(exchange, str) or not is_venue(exchange):
        raise _bad("exchange", exchange, "an exchange, such as NSE")
    mode = extra.get("trades_mode", TRADES_MODES[0])
    if mode not in TRADES_MODES:
        raise _bad("trades_mode", mode, " or ".join(TRADES_MODES))
    file = extra.get("instruments")
    if file is not None and not isinstance(file, str):
        raise _bad("instruments", file, "the path of a file as Kite gives it")
    limits = [_whole(extra, *limit) for limit in _LIMITS]
    return Kite(options, exchange.upper(), cast(wire.Mode, mode), file, *limits)


_LIMITS = (("instruments_max", INSTRUMENTS_MAX), ("connections_max", CONNECTIONS_MAX))


def _whole(extra: Any, name: str, most: int) -> int:
    value = extra.get(name, most)
    if isinstance(value, str) and value.isdecimal():  # as the command line gives it
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise _bad(name, value, f"a whole number from 1 to {most}")
    return value


def _bad(name: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(f"kite: {name}: {shorten(value)} is not allowed; allowed is {allowed}")


class Kite:
    """A `Venue`: Zerodha Kite. A symbol names its exchange, `NFO:NIFTY26NOVFUT`; one that does not
    is of `exchange`, which is the venue of the feed."""

    channels: tuple[Channel, ...] = CHANNELS
    vital_signs = VitalSigns(heartbeat_s=5.0, confirm_s_max=15.0)
    book_rule = "replace"
    book_source: BookSource = "stream"
    history: VenueHistory | None = None

    def __init__(
        self,
        options: VenueOptions,
        exchange: str,
        trades_mode: wire.Mode,
        file: str | None,
        instruments_max: int,
        connections_max: int,
    ) -> None:
        self.name = exchange
        self.http_url: str | None = options.http_url or wire.HTTP_URL
        self.limits = Limits(
            symbols_max=instruments_max,
            connections_max=connections_max * len(options.accounts),
            connects=Rate(3, 1.0),
            batch_max=2_000,
            weight=Rate(10, 1.0),
        )
        self._url = options.url or wire.URL
        self._seats = Seats.of(options.accounts, connections_max)
        self._trades_mode: wire.Mode = trades_mode
        self._file = file
        self._tokens: dict[str, int] = {}

    async def listings(self, http: Http) -> Sequence[Listing]:
        """Return the instruments of all exchanges, from the file where one is configured.

        Raises `VenueFault`.
        """
        if self._file is None:
            body = await http.get(instruments.PATH, weight=instruments.WEIGHT)
        else:
            try:
                body = await asyncio.to_thread(Path(self._file).read_bytes)
            except OSError as fault:
                raise VenueFault(f"instruments: {self._file}: {fault.strerror}") from None
        return await asyncio.to_thread(instruments.read_instruments, body)

    def learn(self, listings: Sequence[Listing]) -> None:
        """Take the tokens of instruments."""
        self._tokens.update((listing.symbol, int(listing.native)) for listing in listings)

    def native(self, symbol: str) -> str:
        """Return the token of an instrument, or the symbol where it is not listed."""
        token = self._token(symbol)
        return symbol if token is None else str(token)

    def _token(self, symbol: str) -> int | None:
        name = symbol.strip().upper()
        return self._tokens.get(name if ":" in name else f"{self.name}:{name}")

    def session(self, streams: Sequence[Stream]) -> KiteSession:
        """Return the session of a new connection, with the account that has most room."""
        return KiteSession(self._url, self._seats, self._token, self._trades_mode)

    async def book_snapshot(self, http: Http, symbol: str) -> Updates:
        """Raise `VenueFault`: every packet is a snapshot."""
        raise VenueFault(f"{symbol}: Kite sends its books whole")
