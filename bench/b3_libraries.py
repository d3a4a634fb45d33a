"""nautilus_trader and cryptofeed beside ours in B3, where they are installed: on Binance.

What the data client of nautilus_trader does for a frame, in the same order: read the envelope,
look for the stream's kind, decode, and make its objects, exact decimals. The handler of messages of
cryptofeed is called as it is; it applies changes to its books as well, which begin empty and follow
without a check of numbers here, as the recording is repeated. Neither makes columns, so only the
objects are timed; their numbers are taken out afterwards, to be compared.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

import msgspec
import numpy as np

from bench.b3_peers import Totals

Objects = tuple[list[Any], list[Any], list[Any]]
"""Trades, quotes, and changes of books."""

Loop = Callable[[Sequence[bytes]], Objects]
Total = Callable[[Objects, Totals], None]


def libraries(names: Sequence[str], *, futures: bool) -> dict[str, tuple[Loop, Total]]:
    """Return the libraries that are installed, ready for streams of these native symbols."""
    found: dict[str, tuple[Loop, Total]] = {}
    if find_spec("nautilus_trader") is not None:
        found["nautilus_trader, to its objects"] = make_nautilus(), total_nautilus
    if find_spec("cryptofeed") is not None:
        found["cryptofeed, to its objects"] = make_cryptofeed(names, futures), total_cryptofeed
    return found


def make_nautilus() -> Loop:
    from nautilus_trader.adapters.binance.common.schemas.market import (
        BinanceAggregatedTradeMsg,
        BinanceDataMsgWrapper,
        BinanceOrderBookMsg,
        BinanceQuoteMsg,
    )
    from nautilus_trader.model.identifiers import InstrumentId

    wrapper, depth, quote, trade = (
        msgspec.json.Decoder(kind).decode
        for kind in (
            BinanceDataMsgWrapper,
            BinanceOrderBookMsg,
            BinanceQuoteMsg,
            BinanceAggregatedTradeMsg,
        )
    )
    names: dict[str, Any] = {}

    def name(symbol: str) -> Any:
        found = names.get(symbol)
        if found is None:
            found = names[symbol] = InstrumentId.from_str(f"{symbol}.BINANCE")
        return found

    def run(frames: Sequence[bytes]) -> Objects:
        trades, quotes, books = [], [], []
        for frame in frames:
            stream = wrapper(frame).stream
            if "@depth" in stream:
                data = depth(frame).data
                books.append(data.parse_to_order_book_deltas(name(data.s), 1))
            elif "@bookTicker" in stream:
                data = quote(frame).data
                quotes.append(data.parse_to_quote_tick(name(data.s), 1))
            elif "@aggTrade" in stream:
                data = trade(frame).data
                trades.append(data.parse_to_trade_tick(name(data.s), 1))
        return trades, quotes, books

    return run


def total_nautilus(objects: Objects, totals: Totals) -> None:
    trades, quotes, books = objects
    deltas = [delta.order for book in books for delta in book.deltas]
    for table, rows in (
        ("trades", [(one.price, one.size) for one in trades]),
        ("quotes", [(q.bid_price, q.bid_size, q.ask_price, q.ask_size) for q in quotes]),
        ("levels", [(one.price, one.size) for one in deltas]),
    ):
        _add(table, rows, totals)


def _add(table: str, rows: list[tuple[Any, ...]], totals: Totals) -> None:
    if rows:
        totals.add(table, len(rows), np.array([float(n) for row in rows for n in row]))


def make_cryptofeed(names: Sequence[str], futures: bool) -> Loop:
    from cryptofeed.defines import L2_BOOK, TICKER, TRADES
    from cryptofeed.exchanges import Binance, BinanceFutures
    from cryptofeed.symbols import Symbols
    from cryptofeed.types import OrderBook

    kind = BinanceFutures if futures else Binance
    facts = {"instrument_type": dict.fromkeys(names, "spot"), "tick_size": {}}
    Symbols.set(kind.id, {name: name for name in names}, facts)
    heard: Objects = [], [], []

    async def on_trade(trade: Any, _: float) -> None:
        heard[0].append(trade)

    async def on_quote(quote: Any, _: float) -> None:
        heard[1].append(quote)

    async def on_book(book: Any, _: float) -> None:
        heard[2].append(book.delta)

    feed = kind(
        symbols=list(names),
        channels=[L2_BOOK, TRADES, TICKER],
        callbacks={L2_BOOK: on_book, TRADES: on_trade, TICKER: on_quote},
    )
    feed._reset()
    for name in names:
        feed._l2_book[name] = OrderBook(feed.id, name, max_depth=feed.max_depth)
        feed.last_update_id[name] = 0
    feed._check_update_id = lambda pair, message: False

    runner = asyncio.Runner()

    async def read(frames: Sequence[bytes]) -> None:
        for frame in frames:
            if b"@kline" not in frame[:60]:  # not subscribed to
                await feed.message_handler(frame.decode(), None, 1.0)

    def run(frames: Sequence[bytes]) -> Objects:
        for kept in heard:
            kept.clear()
        runner.run(read(frames))
        return heard

    return run


def total_cryptofeed(objects: Objects, totals: Totals) -> None:
    """Its quotes have no sizes, so of these only the count can be compared."""
    trades, quotes, deltas = objects
    _add("trades", [(one.price, one.amount) for one in trades], totals)
    if quotes:
        totals.rows["quotes"] = totals.rows.get("quotes", 0) + len(quotes)
    levels = [level for delta in deltas for side in delta.values() for level in side]
    _add("levels", levels, totals)
