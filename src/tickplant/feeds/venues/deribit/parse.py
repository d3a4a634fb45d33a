"""Messages of Deribit to columns, many at once; no state.

frames ─► messages ─┬─► trades.*: trades
                    ├─► ticker.*: quotes, and statistics that changed (`Tickers`)
                    └─► book.*: one update of a book each
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.columns import finite, make_rows, make_updates
from tickplant.feeds.venues.contract import Frame, Listing
from tickplant.feeds.venues.deribit import wire
from tickplant.model.events import ASK, BID, QUOTES, STATS, TRADES
from tickplant.model.times import INT64_MAX, NS_PER_MS

SIDE = {"buy": 1, "sell": 2}
MS_MAX = INT64_MAX // NS_PER_MS
NEVER_MS = 32_503_680_000_000
"""The year 3000: perpetuals are listed to expire then, or a little later."""

STATISTICS = (
    "open_interest",
    "mark_price",
    "mark_iv",
    "bid_iv",
    "ask_iv",
    "index_price",
    "underlying_price",
    "settlement_price",
    "current_funding",
    "funding_8h",
)
"""What tickers tell besides quotes, by the venue's names; implied volatilities are in percent."""

GREEKS = ("delta", "gamma", "theta", "vega", "rho")


class Parsed(NamedTuple):
    """What frames came to: messages that are answers, tickers, trades and the columns of both."""

    messages: list[wire.Message]
    tickers: list[wire.Data]
    trades: list[wire.Trade]
    rows: dict[str, pa.RecordBatch]
    books: Updates | None


def read(frames: Sequence[Frame]) -> Parsed:
    """Return what frames say. Raises one of `columns.UNREADABLE` where one cannot be read."""
    messages = [wire.decode(frame.data) for frame in frames]
    books: list[wire.Data] = []
    tickers: list[wire.Data] = []
    trades: list[wire.Trade] = []
    others = []
    for message in messages:
        params = message.params
        if message.method != "subscription" or params is None:
            others.append(message)
        elif isinstance(params.data, wire.Data):
            (books if params.channel.startswith("book.") else tickers).append(params.data)
        elif params.data is not None:
            trades += params.data
    rows = {TRADES: trade_rows(trades), QUOTES: _quotes(tickers)}
    rows = {table: batch for table, batch in rows.items() if batch is not None}
    return Parsed(others, tickers, trades, rows, _books(books))


def _ns(milliseconds: Sequence[int]) -> NDArray[np.int64]:
    times = np.array(milliseconds, np.int64)
    if len(times) and (times.min() < 0 or times.max() > MS_MAX):
        raise ValueError(f"timestamp: allowed are milliseconds from 0 to {MS_MAX}")
    return times * NS_PER_MS


def trade_rows(trades: Sequence[wire.Trade]) -> pa.RecordBatch | None:
    """Return trades as rows, in their order; None for none."""
    if not trades:
        return None
    return make_rows(
        TRADES,
        len(trades),
        {
            "symbol": [trade.instrument_name.upper() for trade in trades],
            "ts_event": _ns([trade.timestamp for trade in trades]),
            "price": finite([trade.price for trade in trades], "price"),
            "size": finite([trade.amount for trade in trades], "amount"),
            "side": [SIDE[trade.direction] for trade in trades],
            "id": [trade.trade_id for trade in trades],
            "conditions": [_conditions(trade) for trade in trades],
        },
    )


def _conditions(trade: wire.Trade) -> str | None:
    """Return what sets a trade apart: agreed on outside the book, or forced."""
    named = [("block", trade.block_trade_id), ("liquidation", trade.liquidation)]
    return ",".join(name for name, told in named if told and told != "none") or None


def _quotes(tickers: Sequence[wire.Data]) -> pa.RecordBatch | None:
    """Return the quotes of tickers; a price of 0 says that a side is empty."""
    found = [one for one in tickers if one.best_bid_price or one.best_ask_price]
    if not found:
        return None
    return make_rows(
        QUOTES,
        len(found),
        {
            "symbol": [one.instrument_name.upper() for one in found],
            "ts_event": _ns([one.timestamp for one in found]),
            "bid_price": [one.best_bid_price or None for one in found],
            "bid_size": [one.best_bid_amount if one.best_bid_price else None for one in found],
            "ask_price": [one.best_ask_price or None for one in found],
            "ask_size": [one.best_ask_amount if one.best_ask_price else None for one in found],
        },
    )


def statistics(ticker: wire.Data) -> dict[str, float]:
    """Return what a ticker tells besides the quote, by name."""
    told = {name: getattr(ticker, name) for name in STATISTICS}
    if ticker.greeks is not None:
        told |= {name: getattr(ticker.greeks, name) for name in GREEKS}
    return {name: value for name, value in told.items() if value is not None}


def stat_rows(told: Sequence[tuple[str, int, str, float]]) -> pa.RecordBatch | None:
    """Return statistics, each a symbol, milliseconds, a name and a value, as rows."""
    if not told:
        return None
    symbols, times, names, values = zip(*told, strict=True)
    columns = {"symbol": symbols, "ts_event": _ns(times), "name": names, "value": values}
    return make_rows(STATS, len(told), columns)


def _books(books: Sequence[wire.Data]) -> Updates | None:
    if any(book.change_id is None for book in books):
        raise ValueError("change_id: missing in a book")
    levels = list(chain.from_iterable([(*book.bids, *book.asks) for book in books]))
    counts = [count for book in books for count in (len(book.bids), len(book.asks))]
    return make_updates(
        [book.instrument_name for book in books],
        _ns([book.timestamp for book in books]),
        [book.type == "snapshot" for book in books],
        [len(book.bids) + len(book.asks) for book in books],
        np.repeat(np.array([BID, ASK] * len(books), np.int8), counts),
        [level.price for level in levels],
        [0.0 if level.action == "delete" else level.amount for level in levels],
        last=[NONE if book.change_id is None else book.change_id for book in books],
        previous=[NONE if book.prev_change_id is None else book.prev_change_id for book in books],
    )


def read_book(body: bytes) -> Updates:
    """Return a book that REST gave as a snapshot. Raises one of `columns.UNREADABLE`."""
    book = wire.decode_book(body).result
    levels = [*book.bids, *book.asks]
    found = make_updates(
        [book.instrument_name],
        _ns([book.timestamp]),
        [True],
        [len(levels)],
        np.repeat(np.array([BID, ASK], np.int8), [len(book.bids), len(book.asks)]),
        [price for price, _ in levels],
        [amount for _, amount in levels],
        last=[book.change_id],
    )
    assert found is not None, "a book is one update"
    return found


def read_listings(body: bytes) -> list[Listing]:
    """Return the instruments of REST's answer. Raises one of `columns.UNREADABLE`."""
    return [_listing(one) for one in wire.decode_instruments(body).result]


def _listing(one: wire.Instrument) -> Listing:
    dated = one.expiration_timestamp is not None and one.expiration_timestamp < NEVER_MS
    kind = one.kind
    if kind == "future" and not dated:
        kind = "perpetual"
    return Listing(
        symbol=one.instrument_name.upper(),
        native=one.instrument_name,
        kind=kind or None,
        base=one.base_currency or None,
        quote=one.quote_currency or None,
        tick_size=one.tick_size,
        lot_size=one.min_trade_amount,
        underlying=one.base_currency or None if kind != "spot" else None,
        expiry=_text(one.expiration_timestamp) if dated else None,
        strike=one.strike,
        right=one.option_type if one.option_type in ("call", "put") else None,
        status="active" if one.is_active else "inactive",
    )


def _text(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def table_of(frame: bytes) -> str:
    """Return the table under whose name a bad frame goes to the quarantine."""
    if b'"book.' in frame:
        return "book"
    return "quotes" if b'"ticker.' in frame else "trades"
