"""Past trades of Binance over its REST API, by the numbers that the stream gives them.

`aggTrades` finds the first trade of a span by time, in windows of less than an hour, and goes on
from its number, at most 1,000 trades a request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial

import pyarrow as pa

from tickplant.feeds.venues.binance import parse, wire
from tickplant.feeds.venues.contract import Http
from tickplant.feeds.venues.public import Question, ask
from tickplant.model.times import NS_PER_MS

PAGE = 1_000
WINDOW_MS = 3_600_000 - 1


class BinanceHistory:
    """A `VenueHistory` of Binance. `weight` is that of a request; `reach_ns` None for no limit."""

    def __init__(
        self, native: Callable[[str], str], path: str, *, weight: int, reach_ns: int | None
    ) -> None:
        self._native = native
        self._path = path
        self._weight = weight
        self._reach_ns = reach_ns

    def trades_since(self, now: int) -> int | None:
        """Return how far back it reaches."""
        return None if self._reach_ns is None else now - self._reach_ns

    async def trades(
        self, http: Http, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the trades of `[start, end)`, oldest first. Raises `VenueFault`."""
        page = await self._first_page(http, symbol, start, end)
        while page:
            read = parse.trade_columns([symbol] * len(page), page)
            fits = (read.ts >= start) & (read.ts < end)
            if fits.any():
                yield read.rows.filter(pa.array(fits))
            if read.ts[-1] >= end:
                return
            page = await self._page(http, symbol, {"fromId": str(page[-1].a + 1)})

    async def _first_page(
        self, http: Http, symbol: str, start: int, end: int
    ) -> list[wire.PastTrade]:
        first, last = start // NS_PER_MS, (end - 1) // NS_PER_MS
        while first <= last:
            until = min(first + WINDOW_MS - 1, last)
            page = await self._page(http, symbol, {"startTime": str(first), "endTime": str(until)})
            if page:
                return page
            first = until + 1
        return []

    async def _page(self, http: Http, symbol: str, where: dict[str, str]) -> list[wire.PastTrade]:
        params = {"symbol": self._native(symbol), "limit": str(PAGE), **where}
        question = Question(self._path, params, self._weight)
        return await ask(http, question, partial(_read, symbol), f"{symbol}: past trades")


def _read(symbol: str, body: bytes) -> list[wire.PastTrade]:
    page = wire.decode_past_trades(body)
    parse.trade_columns([symbol] * len(page), page)  # raises where one of them cannot be read
    return page
