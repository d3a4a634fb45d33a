"""Any exchange of ccxt for the supervisor.

What an exchange allows the library knows and keeps to. What the library does not tell, cannot be
told here either: when a subscription was taken, numbers of messages, heartbeats. So a dead
connection shows by the library's own pings and by the rate that was learned.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from tickplant.books.updates import Updates
from tickplant.feeds.contract import Clock, Sleep
from tickplant.feeds.venues.ccxt_pro import names
from tickplant.feeds.venues.ccxt_pro.connector import CcxtConnector
from tickplant.feeds.venues.ccxt_pro.history import CcxtHistory
from tickplant.feeds.venues.ccxt_pro.library import Library
from tickplant.feeds.venues.ccxt_pro.session import CcxtSession
from tickplant.feeds.venues.ccxt_pro.watchers import METHODS, method_of
from tickplant.feeds.venues.contract import (
    BookSource,
    Channel,
    Http,
    Limits,
    Listing,
    Rate,
    Session,
    Stream,
    VenueFault,
    VitalSigns,
)
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError

_KINDS = {"spot": "spot", "swap": "perpetual", "future": "future", "option": "option"}
_TICK_SIZE = 4
"""`precisionMode` of exchanges whose precisions are steps; of the others they are decimals."""


def make(
    options: VenueOptions, *, clock: Clock = time.time_ns, sleep: Sleep = asyncio.sleep
) -> CcxtVenue:
    """Return the exchange as configured: `exchange`, and `depth` of its books.

    Raises `NotInstalled` without ccxt, and `ConfigError`.
    """
    depth = options.whole("depth")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 1):
        raise ConfigError(f"depth: {depth!r} is not allowed; allowed are whole numbers from 1 on")
    library = Library(options.extra.get("exchange"), options)
    return CcxtVenue(library, depth, clock, sleep)


class CcxtVenue:
    """One exchange of the library; `connector` opens its connections."""

    limits = Limits(connects=Rate(20, 60.0))
    vital_signs = VitalSigns(heartbeat_s=None, ping_s=None, confirm_s_max=60.0)
    book_rule = "replace"
    book_source: BookSource = "stream"

    def __init__(self, library: Library, depth: int | None, clock: Clock, sleep: Sleep) -> None:
        self.name = library.name.upper()
        self.http_url = library.http_url
        self.channels: tuple[Channel, ...] = tuple(
            cast(Channel, channel) for channel in METHODS if method_of(library.has, channel)
        )
        if not self.channels:
            raise ConfigError(f"exchange: {library.name} has no method of ccxt to watch it by")
        self.history = CcxtHistory(library) if library.has.get("fetchTrades") is True else None
        self.connector = CcxtConnector(library, depth=depth, clock=clock, sleep=sleep)
        self._library = library

    async def listings(self, http: Http) -> Sequence[Listing]:
        """Return the markets that are active; the library makes its own requests."""
        async with self._library.opened() as exchange:
            try:
                markets = await self._library.load(exchange)
            except self._library.errors.BaseError as fault:
                raise VenueFault(f"{self._library.name}: {type(fault).__name__}") from fault
            steps = exchange.precisionMode == _TICK_SIZE
            return [_listing(market, steps) for market in markets.values() if _listed(market)]

    def learn(self, listings: Sequence[Listing]) -> None:
        """Take the library's spellings."""
        self._library.spellings.update((one.symbol, one.native) for one in listings)

    def native(self, symbol: str) -> str:
        """Return the library's spelling."""
        return self._library.native(symbol)

    def session(self, streams: Sequence[Stream]) -> Session:
        """Return the session of a new connection."""
        return CcxtSession(f"ccxt://{self._library.name}", self._library.native)

    async def book_snapshot(self, http: Http, symbol: str) -> Updates:
        """Books are whole in every message: `book_source` is `stream`."""
        raise NotImplementedError("books are whole in every message")


def _listed(market: Mapping[str, Any]) -> bool:
    return market.get("active") is not False and market.get("type") in _KINDS


def _listing(market: Mapping[str, Any], steps: bool) -> Listing:
    precision = market.get("precision") or {}
    return Listing(
        symbol=names.canonical(market["symbol"]),
        native=market["symbol"],
        kind=_KINDS[market["type"]],
        base=market.get("base"),
        quote=market.get("quote"),
        tick_size=_step(precision.get("price"), steps),
        lot_size=_step(precision.get("amount"), steps),
        expiry=market.get("expiryDatetime"),
        strike=market.get("strike"),
        right=market.get("optionType"),
    )


def _step(precision: Any, steps: bool) -> float | None:
    if not isinstance(precision, int | float) or not math.isfinite(precision):
        return None
    return float(precision) if steps else float(f"1e-{round(precision)}")
