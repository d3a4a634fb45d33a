"""The library itself: imported when it is needed, and exchanges made, opened and closed.

The markets of an exchange take it several requests to learn, so they are kept and given to every
instance that is opened later.
"""

from __future__ import annotations

import asyncio
import difflib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import Any

from tickplant.feeds.venues.ccxt_pro import names
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError, NotInstalled, shorten

TRADES_KEPT = 10_000
"""Trades of a symbol that the library keeps for us to fetch."""

CLOSE_S_MAX = 5.0

_ORIGIN = re.compile(r"^(?P<kind>ws|http)s?://[^/]*")


class Library:
    """One exchange of the library. Raises `NotInstalled`, and `ConfigError` for an unknown name."""

    def __init__(self, name: object, options: VenueOptions) -> None:
        try:
            pro: Any = import_module("ccxt.pro")
        except ImportError:
            raise NotInstalled("venue ccxt", "ccxt", "ccxt") from None
        known: list[str] = pro.exchanges
        if not isinstance(name, str) or name.lower() not in known:
            near = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.0)
            raise ConfigError(
                f"exchange: {shorten(name)} is none of the {len(known)} exchanges of ccxt that can "
                f"be watched; the nearest are {', '.join(near)}"
            )
        self.name = name.lower()
        self.errors = pro
        self.spellings: dict[str, str] = {}
        self._make = getattr(pro, self.name)
        self._options = options
        self._markets: tuple[Any, Any] | None = None
        self.has: Mapping[str, Any] = self._make().has

    def make(self) -> Any:
        """Return an instance, closed as yet, with the addresses and keys that are configured."""
        account = self._options.account
        keys = {"apiKey": account.key, "secret": account.secret, "password": account.password}
        exchange = self._make({name: key for name, key in keys.items() if key is not None})
        exchange.options["tradesLimit"] = TRADES_KEPT
        origins = {"ws": self._options.url, "http": self._options.http_url}
        exchange.urls["api"] = _moved(exchange.urls["api"], origins)
        if self._options.url is not None and not self._options.url.startswith("wss"):
            exchange.timeout_on_exit = 0  # it waits for the farewells of TLS
        return exchange

    @property
    def http_url(self) -> str | None:
        """The base of the exchange's HTTP API, which the library asks by itself."""
        exchange = self.make()
        for url in _addresses(exchange.urls["api"]):
            found = _ORIGIN.match(exchange.implode_hostname(url))
            if found is not None and found["kind"] == "http":
                return found[0]
        return None

    def native(self, symbol: str) -> str:
        """Return the library's spelling of our symbol, by rule where it is not listed."""
        return self.spellings.get(symbol) or names.native(symbol)

    async def load(self, exchange: Any) -> Mapping[str, Any]:
        """Let an instance know its markets. Raises what the library raises."""
        if self._markets is None:
            await exchange.load_markets()
            self._markets = exchange.markets, exchange.currencies
        elif exchange.markets is None:
            exchange.set_markets(*self._markets)
        return dict(exchange.markets)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Any]:
        """Give an instance for requests, and close it."""
        exchange = self.make()
        try:
            yield exchange
        finally:
            await close(exchange)


async def close(exchange: Any) -> None:
    """Close an instance within a bounded time; never raises."""
    with suppress(Exception):
        await asyncio.wait_for(exchange.close(), CLOSE_S_MAX)


def _addresses(urls: Any) -> Iterator[str]:
    if isinstance(urls, dict):
        for inner in urls.values():
            yield from _addresses(inner)
    elif isinstance(urls, str):
        yield urls


def _moved(urls: Any, origins: Mapping[str, str | None]) -> Any:
    """Return addresses with other origins; what is behind them stays."""
    if isinstance(urls, dict):
        return {name: _moved(url, origins) for name, url in urls.items()}
    found = _ORIGIN.match(urls) if isinstance(urls, str) else None
    origin = origins[found["kind"]] if found else None
    return urls if found is None or origin is None else origin.rstrip("/") + urls[found.end() :]
