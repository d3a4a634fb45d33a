"""Past trades of Coinbase Exchange, over its public REST API: all of them, by their numbers.

`GET /products/{id}/trades` gives up to 1,000 trades, the newest first, and with `after=n` those
before number n. The trades of a product are numbered without holes, so a time is found by halving
the numbers: some twenty requests, however far back it lies. Then pages are read forwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pyarrow as pa

from tickplant.feeds.venues.coinbase_exchange import parse, wire
from tickplant.feeds.venues.columns import read_times
from tickplant.feeds.venues.contract import Http
from tickplant.feeds.venues.public import Question, ask

PAGE = 1_000


class ExchangeHistory:
    """A `VenueHistory` of Coinbase Exchange."""

    def __init__(self, native: Callable[[str], str]) -> None:
        self._native = native

    def trades_since(self, now: int) -> int | None:
        """Return None: it reaches back to the first trade."""
        return None

    async def trades(
        self, http: Http, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the trades of `[start, end)`, oldest first. Raises `VenueFault`."""
        newest = await self._page(http, symbol, None)
        if not newest:
            return
        last = newest[-1].trade_id
        number = await self._first_since(http, symbol, start, newest)
        while number <= last:
            page = await self._page(http, symbol, number + PAGE)
            these = [trade for trade in page if trade.trade_id >= number]
            rows = parse.trade_rows([symbol] * len(these), these)
            times = rows.column("ts_event").to_numpy()
            wanted = rows.filter(pa.array((times >= start) & (times < end)))
            if wanted.num_rows:
                yield wanted
            if len(times) and times[-1] >= end:
                return
            number += PAGE

    async def _first_since(
        self, http: Http, symbol: str, start: int, newest: list[wire.PastTrade]
    ) -> int:
        """Return a number at or shortly before that of the first trade since `start`."""
        low, high = 0, newest[0].trade_id  # trade `low` is earlier, trade `high` maybe not
        if _time(newest[0]) < start:
            return high
        while high - low > PAGE:
            middle = (low + high) // 2
            page = await self._page(http, symbol, middle + 1)
            if page and _time(page[-1]) >= start:
                if _time(page[0]) < start:
                    return page[0].trade_id
                high = page[0].trade_id
            else:
                low = middle
        return low + 1

    async def _page(self, http: Http, symbol: str, before: int | None) -> list[wire.PastTrade]:
        """Return the up to 1,000 trades before a number, oldest first."""
        params = {"limit": str(PAGE)}
        if before is not None:
            params["after"] = str(before)
        question = Question(f"/products/{self._native(symbol)}/trades", params)
        return await ask(http, question, _read, f"{symbol}: past trades")


def _read(body: bytes) -> list[wire.PastTrade]:
    trades = wire.decode_past_trades(body)[::-1]
    read_times([trade.time for trade in trades])  # raises where one of them cannot be read
    return trades


def _time(trade: wire.PastTrade) -> int:
    return int(read_times([trade.time])[0])
