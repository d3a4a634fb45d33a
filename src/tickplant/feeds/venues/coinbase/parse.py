"""Messages of Coinbase Advanced Trade to columns, many at once; no state.

frames ─► messages ─┬─► trades: by event, the oldest first
                    ├─► tickers: quotes
                    └─► l2_data: one update of a book an event
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.coinbase import wire
from tickplant.feeds.venues.columns import finite, make_quotes, make_rows, make_updates, read_times
from tickplant.feeds.venues.contract import Frame
from tickplant.model.events import ASK, BID, QUOTES, TRADES

SIDE = {"SELL": 1, "BUY": 2}
"""Code of the aggressor's side by the maker's, which is what Coinbase tells."""


class Parsed(NamedTuple):
    """What frames came to: every message, and the columns made of them."""

    messages: list[wire.AnyMessage]
    rows: dict[str, pa.RecordBatch]
    books: Updates | None


def read(frames: Sequence[Frame]) -> Parsed:
    """Return what frames say. Raises one of `columns.UNREADABLE` where one cannot be read."""
    messages: list[wire.AnyMessage]
    decode = wire.decode_known
    try:
        messages = [decode(frame.data) for frame in frames]
    except msgspec.ValidationError:
        messages = [wire.decode(frame.data) for frame in frames]
    rows = {TRADES: _trades(messages), QUOTES: _quotes(messages)}
    read_times([m.timestamp for m in messages if type(m) is not wire.BookMessage and m.timestamp])
    return Parsed(
        messages, {table: batch for table, batch in rows.items() if batch is not None},
        read_books(messages),
    )  # fmt: skip


def _trades(messages: Sequence[wire.AnyMessage]) -> pa.RecordBatch | None:
    trades: list[wire.Trade] = []
    for message in messages:
        if type(message) is wire.TradesMessage:
            for event in message.events:
                trades += oldest_first(event.trades)
    return trade_rows(trades) if trades else None


def oldest_first(trades: list[wire.Trade]) -> list[wire.Trade]:
    """Return trades in the order they were made; Coinbase lists the newest first."""
    if len(trades) > 1 and _order(trades[0]) > _order(trades[-1]):
        return trades[::-1]
    return trades


def _order(trade: wire.Trade) -> tuple[str, int, str]:
    return trade.time, len(trade.trade_id), trade.trade_id


def trade_rows(trades: Sequence[wire.Trade]) -> pa.RecordBatch:
    """Return trades as rows, in their order. Raises where a time cannot be read."""
    return make_rows(
        TRADES,
        len(trades),
        {
            "symbol": [trade.product_id.upper() for trade in trades],
            "ts_event": read_times([trade.time for trade in trades]),
            "price": finite([trade.price for trade in trades], "price"),
            "size": finite([trade.size for trade in trades], "size"),
            "side": [SIDE.get(trade.side, 0) for trade in trades],
            "id": [trade.trade_id for trade in trades],
        },
    )


def _quotes(messages: Sequence[wire.AnyMessage]) -> pa.RecordBatch | None:
    told = [message for message in messages if type(message) is wire.TickerMessage]
    tickers = [one for message in told for event in message.events for one in event.tickers]
    if not tickers:
        return None
    times = read_times([message.timestamp for message in told])
    if len(tickers) != len(told):
        times = times.repeat([sum(len(e.tickers) for e in message.events) for message in told])
    return make_quotes(
        [ticker.product_id.upper() for ticker in tickers],
        times,
        [ticker.best_bid for ticker in tickers],
        [ticker.best_bid_quantity for ticker in tickers],
        [ticker.best_ask for ticker in tickers],
        [ticker.best_ask_quantity for ticker in tickers],
    )


def read_books(messages: Sequence[wire.AnyMessage]) -> Updates | None:
    """Return the updates of books in these messages.

    Their time is the message's: that of single levels runs back and forth. Their number is the
    message's, too; where it holds several events, only the first one's, as numbers only rise.
    """
    books = [message for message in messages if type(message) is wire.BookMessage]
    events = [event for message in books for event in message.events]
    if not events:
        return None
    levels = list(chain.from_iterable([event.updates for event in events]))
    times = read_times([book.timestamp for book in books])
    numbers = [book.sequence_num for book in books]
    if len(events) != len(books):
        times = times.repeat([len(book.events) for book in books])
        numbers = _numbers(books)
    return make_updates(
        [event.product_id for event in events],
        times,
        [event.type == "snapshot" for event in events],
        [len(event.updates) for event in events],
        ASK - np.array([level.side == "bid" for level in levels], np.int8),
        [level.price_level for level in levels],
        [level.new_quantity for level in levels],
        last=numbers,
    )


def _numbers(books: Sequence[wire.BookMessage]) -> list[int]:
    return [
        NONE if place else book.sequence_num for book in books for place in range(len(book.events))
    ]


def table_of(frame: bytes) -> str:
    """Return the table under whose name a bad frame goes to the quarantine."""
    if b'"l2_data"' in frame:
        return "book"
    return "quotes" if b'"ticker"' in frame else "trades"


def read_book(body: bytes) -> Updates:
    """Return a book that REST gave as a snapshot. Raises one of `columns.UNREADABLE`."""
    book = wire.decode_product_book(body).pricebook
    levels = [*book.bids, *book.asks]
    found = make_updates(
        [book.product_id],
        read_times([book.time]),
        [True],
        [len(levels)],
        np.repeat(np.array([BID, ASK], np.int8), [len(book.bids), len(book.asks)]),
        [level.price for level in levels],
        [level.size for level in levels],
    )
    assert found is not None, "a book is one update"
    return found
