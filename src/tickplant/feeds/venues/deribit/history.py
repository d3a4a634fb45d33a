"""Past trades of Deribit, over its public REST API.

`public/get_last_trades_by_instrument_and_time` gives up to 1,000 trades of a span of milliseconds,
both ends included, and says whether there are more. Its pages overlap by a millisecond, and trades
that are seen twice are known by their ids.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pyarrow as pa

from tickplant.feeds.venues.contract import NUMBER, Http, VenueFault
from tickplant.feeds.venues.deribit import parse, wire
from tickplant.feeds.venues.public import Question, ask
from tickplant.model.times import NS_PER_DAY, NS_PER_MS

PATH = "/api/v2/public/get_last_trades_by_instrument_and_time"
PAGE = 1_000


class DeribitHistory:
    """A `VenueHistory` of Deribit."""

    def __init__(self, native: Callable[[str], str]) -> None:
        self._native = native

    def trades_since(self, now: int) -> int | None:
        """Return the time a day before `now`: for older spans the venue gives back nothing."""
        return now - NS_PER_DAY

    async def trades(
        self, http: Http, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the trades of `[start, end)`, oldest first. Raises `VenueFault`."""
        first, last = start // NS_PER_MS, -(-end // NS_PER_MS)
        seen: set[str] = set()
        more = first < last
        while more:
            page, rows = await self._page(http, symbol, first, last)
            times = rows.column("ts_event").to_numpy() if rows is not None else None
            if rows is not None and times is not None:
                news = [trade.trade_id not in seen for trade in page.trades]
                wanted = (times >= start) & (times < end) & news
                if wanted.any():
                    yield rows.filter(pa.array(wanted))
                if not any(news) and page.has_more:
                    raise VenueFault(f"{symbol}: more than {PAGE} trades in a millisecond")
                first = page.trades[-1].timestamp
                seen = {trade.trade_id for trade in page.trades}
            more = page.has_more and rows is not None

    async def _page(
        self, http: Http, symbol: str, first: int, last: int
    ) -> tuple[wire.Page, pa.RecordBatch | None]:
        params = {
            "instrument_name": self._native(symbol),
            "start_timestamp": str(first),
            "end_timestamp": str(last),
            "count": str(PAGE),
            "sorting": "asc",
        }
        return await ask(http, Question(PATH, params), _read, f"{symbol}: past trades")


def _read(body: bytes) -> tuple[wire.Page, pa.RecordBatch | None]:
    page = wire.decode_past_trades(body).result
    rows = parse.trade_rows(page.trades)
    if rows is None:
        return page, None
    numbers = pa.array([trade.trade_seq for trade in page.trades], pa.int64())
    return page, rows.append_column(NUMBER, numbers)
