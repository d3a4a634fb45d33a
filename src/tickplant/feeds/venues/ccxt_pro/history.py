"""Past trades by `fetch_trades`, as far as an exchange can be shown to give all of them.

Some exchanges answer with what happened since a time, others with their latest trades whatever is
asked. So more is asked for than is wanted, and only an answer that begins before what is wanted
shows that nothing is missing at its beginning. Without numbers of trades nothing can be joined to
what the stream has brought.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pyarrow as pa

from tickplant.feeds.venues.ccxt_pro import words
from tickplant.feeds.venues.ccxt_pro.library import Library
from tickplant.feeds.venues.ccxt_pro.session import trade_rows
from tickplant.feeds.venues.ccxt_pro.watchers import trade
from tickplant.feeds.venues.contract import Http, OutOfReach, VenueFault
from tickplant.model.times import NS_PER_MS

LOOK_BACK_MS = 600_000
"""How much earlier than wanted a first request begins."""

PAGES_MAX = 1_000


class CcxtHistory:
    """See `contract.VenueHistory`. `native` translates symbols."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def trades_since(self, now: int) -> int | None:
        """Return None: exchanges do not say how far back they go; a request finds it out."""
        return None

    async def trades(
        self, http: Http, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the trades of `[start, end)`; the library makes its own requests."""
        async with self._library.opened() as exchange:
            try:
                await self._library.load(exchange)
                native = self._library.native(symbol)
                async for page in _pages(exchange, native, start, end):
                    wanted = [(symbol, one, 0) for one in page if start <= _ns(one) < end]
                    if wanted:
                        yield trade_rows(wanted)
            except self._library.errors.ExchangeError as fault:  # it answers, and refuses
                raise OutOfReach(f"{exchange.id}: {type(fault).__name__}") from fault
            except self._library.errors.BaseError as fault:
                raise VenueFault(f"{exchange.id}: {type(fault).__name__}") from fault


async def _pages(
    exchange: Any, native: str, start: int, end: int
) -> AsyncIterator[list[words.Trade]]:
    """Yield new trades page by page. Raises `OutOfReach` where some may be missing."""
    since, seen = start // NS_PER_MS - LOOK_BACK_MS, set[str | None]()
    for number in range(PAGES_MAX):
        found = [trade(one) for one in await exchange.fetch_trades(native, since)]
        if any(one.id is None or one.timestamp is None for one in found):
            raise OutOfReach(f"{exchange.id} gives past trades without numbers or times")
        found.sort(key=_ns)
        new = [one for one in found if one.id not in seen]
        if number == 0 and (not new or _ns(new[0]) > start):
            raise OutOfReach(f"{exchange.id} gives no trades from before what is missing")
        if number and found and not seen.intersection(one.id for one in found):
            raise OutOfReach(f"{exchange.id} leaves out trades between two answers")
        yield new
        if not new or _ns(new[-1]) >= end:
            return
        seen.update(one.id for one in new)
        since = new[-1].timestamp or 0
    raise OutOfReach(f"{exchange.id} needs more than {PAGES_MAX} answers")


def _ns(one: words.Trade) -> int:
    return (one.timestamp or 0) * NS_PER_MS
