"""Past trades of Coinbase Advanced Trade, over its public REST API.

`GET /api/v3/brokerage/market/products/{id}/ticker` gives at most 1,000 trades of a span in whole
seconds, the newest first. So a span is read backwards: each page ends with the second in which the
page before began, and trades that are seen twice are known by their ids.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pyarrow as pa

from tickplant.feeds.venues.coinbase import parse, wire
from tickplant.feeds.venues.columns import read_times
from tickplant.feeds.venues.contract import Http, VenueFault
from tickplant.feeds.venues.public import Question, ask
from tickplant.model.times import NS_PER_S

PATH = "/api/v3/brokerage/market/products"
PAGE = 1_000
TRADES_MAX = 2_000_000
"""Trades of one request that are held at once, as the oldest come last."""


class CoinbaseHistory:
    """A `VenueHistory` of Coinbase Advanced Trade."""

    def __init__(self, native: Callable[[str], str]) -> None:
        self._native = native

    def trades_since(self, now: int) -> int | None:
        """Return None: the venue names no limit."""
        return None

    async def trades(
        self, http: Http, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the trades of `[start, end)`, oldest first. Raises `VenueFault`."""
        trades = await self._read(http, symbol, start // NS_PER_S, -(-end // NS_PER_S))
        if not trades:
            return
        rows = parse.trade_rows(trades)
        times = rows.column("ts_event").to_numpy()
        wanted = rows.filter(pa.array((times >= start) & (times < end)))
        if wanted.num_rows:
            yield wanted

    async def _read(self, http: Http, symbol: str, first: int, until: int) -> list[wire.Trade]:
        """Return the trades between these seconds, both included, oldest first."""
        found: dict[str, wire.Trade] = {}
        more = first < until
        while more:
            page = await self._page(http, symbol, first, until)
            news = [trade for trade in page if trade.trade_id not in found]
            found.update((trade.trade_id, trade) for trade in news)
            more = len(page) >= PAGE
            if more:
                oldest = int(read_times([page[-1].time])[0]) // NS_PER_S + 1
                if not news or oldest >= until:
                    raise VenueFault(f"{symbol}: more than {PAGE} trades in a second")
                until = oldest
            if len(found) > TRADES_MAX:
                raise VenueFault(f"{symbol}: more than {TRADES_MAX} trades in one span")
        return list(found.values())[::-1]

    async def _page(self, http: Http, symbol: str, first: int, until: int) -> list[wire.Trade]:
        params = {"limit": str(PAGE), "start": str(first), "end": str(until)}
        question = Question(f"{PATH}/{self._native(symbol)}/ticker", params)
        return await ask(http, question, _read, f"{symbol}: past trades")


def _read(body: bytes) -> list[wire.Trade]:
    trades = parse.oldest_first(wire.decode_past_trades(body).trades)[::-1]
    read_times([trade.time for trade in trades])  # raises where one of them cannot be read
    return trades
