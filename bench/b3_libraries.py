"""nautilus_trader beside ours in B3, where it is installed: Binance, with its own decoders.

What its data client does for a frame, in the same order: read the envelope, look for the stream's
kind, decode, and make the library's objects, exact decimals. It makes no columns, so only that is
timed; its numbers are taken out of the objects afterwards, to be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from bench.b3_peers import Totals

Objects = tuple[list[Any], list[Any], list[Any]]
"""Trades, quotes, and changes of books."""


def make_nautilus() -> Callable[[Sequence[bytes]], Objects]:
    """Return the loop. Raises `ImportError` where the library is not installed."""
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


def total(objects: Objects, totals: Totals) -> None:
    """Add what the library's objects say."""
    trades, quotes, books = objects
    deltas = [delta.order for book in books for delta in book.deltas]
    for table, rows in (
        ("trades", [(one.price, one.size) for one in trades]),
        ("quotes", [(q.bid_price, q.bid_size, q.ask_price, q.ask_size) for q in quotes]),
        ("levels", [(one.price, one.size) for one in deltas]),
    ):
        if rows:
            totals.add(table, len(rows), np.array([float(n) for row in rows for n in row]))
