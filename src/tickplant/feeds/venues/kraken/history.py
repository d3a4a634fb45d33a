"""Kraken's REST API: the pairs that it lists, and past trades with the numbers of the stream.

`Trades` answers at most 1,000 trades of a pair that lie behind `since`, oldest first, and tells
where to go on. Trades of one order share their time, so a page may end between two of them: the
next page begins 1 ns before that time, and what was there already is left out by its number.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec
import pyarrow as pa

from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.contract import Http, VenueFault
from tickplant.feeds.venues.kraken import names, wire
from tickplant.feeds.venues.kraken.pairs import KrakenListing
from tickplant.model.events import TRADES
from tickplant.model.times import NS_PER_S

PAGE = 1_000
T = TypeVar("T", wire.AssetPairs, wire.PastTrades)


class KrakenHistory:
    """Past trades; see `contract.VenueHistory`. All of them can be had, back to the first."""

    def __init__(self, rest_name: Callable[[str], str]) -> None:
        self._rest_name = rest_name

    def trades_since(self, now: int) -> int | None:
        """Return None: there is no limit."""
        return None

    async def trades(
        self, http: Http, symbol: str, start: int, end: int
    ) -> AsyncIterator[pa.RecordBatch]:
        """Yield the trades of `[start, end)`, oldest first; see `contract.VenueHistory`."""
        since, seen = start - 1, -1
        while True:
            page = await self._page(http, symbol, since)
            new = [trade for trade in page if trade[6] > seen]
            within = [trade for trade in new if start <= _ns(trade[2]) < end]
            if within:
                yield _rows(symbol, within)
            if len(page) < PAGE or _ns(page[-1][2]) >= end:
                return
            # A page full of one time that brought nothing new is left behind.
            since = _ns(page[-1][2]) - 1 if new else since + NS_PER_S
            seen = max(seen, page[-1][6])

    async def _page(self, http: Http, symbol: str, since: int) -> list[wire.PastTrade]:
        params = {"pair": self._rest_name(symbol), "since": str(since), "count": str(PAGE)}
        answer = _read(await http.get("/0/public/Trades", params), wire.PastTrades)
        for found in answer.result.values():
            if not isinstance(found, str):
                return found
        return []


def _ns(seconds: Decimal) -> int:
    return int(seconds * NS_PER_S)


def _rows(symbol: str, trades: list[wire.PastTrade]) -> pa.RecordBatch:
    columns = {
        "symbol": [symbol] * len(trades),
        "ts_event": [_ns(trade[2]) for trade in trades],
        "price": pa.array([trade[0] for trade in trades]).cast(pa.float64()),
        "size": pa.array([trade[1] for trade in trades]).cast(pa.float64()),
        "side": [1 if trade[3] == "b" else 2 for trade in trades],
        "id": [str(trade[6]) for trade in trades],
    }
    return make_rows(TRADES, len(trades), columns)


def read_listings(body: bytes) -> Sequence[KrakenListing]:
    """Return the pairs of an answer of `AssetPairs`. Raises `VenueFault`.

    Pairs without a name for WebSockets (dark pools) cannot be subscribed to and are left out.
    """
    pairs = _read(body, wire.AssetPairs).result.values()
    return [_listing(pair, pair.wsname) for pair in pairs if pair.wsname]


def _listing(pair: wire.AssetPair, wsname: str) -> KrakenListing:
    symbol = names.canonical(wsname)
    base, _, quote = symbol.partition("-")
    return KrakenListing(
        symbol=symbol,
        native=names.native(symbol),
        kind="spot",
        base=base,
        quote=quote,
        tick_size=float(pair.tick_size or Decimal(1).scaleb(-pair.pair_decimals)),
        lot_size=float(Decimal(1).scaleb(-pair.lot_decimals)),
        status="active" if pair.status == "online" else pair.status,
        rest_name=pair.altname,
        price_decimals=pair.pair_decimals,
        size_decimals=pair.lot_decimals,
    )


def _read(body: bytes, kind: type[T]) -> T:
    """Return an answer of REST. Raises `VenueFault`: for an error, it comes with status 200."""
    try:
        answer = msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise VenueFault(f"kraken answered what cannot be read: {fault}") from fault
    if answer.error:
        raise VenueFault(f"kraken answered an error: {', '.join(answer.error)}")
    return answer
