"""Messages of Coinbase Exchange to columns, many at once; no state.

frames ─► messages ─┬─► match, last_match: trades
                    ├─► ticker: quotes
                    └─► snapshot, l2update: one update of a book each
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.updates import Updates
from tickplant.feeds.venues.coinbase_exchange import wire
from tickplant.feeds.venues.columns import (
    finite,
    make_quotes,
    make_rows,
    make_updates,
    read_times,
)
from tickplant.feeds.venues.contract import Frame
from tickplant.model.events import ASK, BID, QUOTES, TRADES

SIDE = {"sell": 1, "buy": 2}
"""Code of the aggressor's side by the maker's, which is what Coinbase tells."""

_PRODUCT = re.compile(rb'"product_id"\s*:\s*"([^"\\]{1,64})"')


class Parsed(NamedTuple):
    """What frames came to: the columns, and every message but updates of books.

    `about_books` are the frames that are about books, one for each message in `books`.
    """

    messages: Sequence[wire.AnyMessage]
    rows: dict[str, pa.RecordBatch]
    books: Updates | None
    about_books: Sequence[Frame]


def read(frames: Sequence[Frame]) -> Parsed:
    """Return what frames say. Raises one of `columns.UNREADABLE` where one cannot be read."""
    messages: list[wire.AnyMessage]
    decode = wire.decode_known
    try:
        messages = [decode(frame.data) for frame in frames]
    except msgspec.ValidationError:
        messages = [wire.decode(frame.data) for frame in frames]
    updates = [one for one in messages if type(one) is wire.Update]
    if len(updates) == len(messages):  # so it is with most frames
        return Parsed((), {}, _updates(updates), frames)
    others = [one for one in messages if type(one) is not wire.Update]
    read_times([one.time for one in others if type(one) is wire.Heartbeat])
    rows = {TRADES: _trades(others), QUOTES: _quotes(others)}
    rows = {table: batch for table, batch in rows.items() if batch is not None}
    found = [
        (one, frame)
        for one, frame in zip(messages, frames, strict=True)
        if type(one) is wire.Update or type(one) is wire.Snapshot
    ]
    about_books = [frame for _, frame in found]
    if len(found) == len(updates):
        return Parsed(others, rows, _updates(updates), about_books)
    books = _mixed([one for one, _ in found], [frame.ts_recv for frame in about_books])
    return Parsed(others, rows, books, about_books)


def _trades(messages: Sequence[wire.AnyMessage]) -> pa.RecordBatch | None:
    found = [one for one in messages if isinstance(one, wire.Match)]
    return trade_rows([one.product_id for one in found], found) if found else None


def trade_rows(
    products: Sequence[str], trades: Sequence[wire.Match | wire.PastTrade]
) -> pa.RecordBatch:
    """Return trades as rows, in their order. Raises where a time cannot be read."""
    return make_rows(
        TRADES,
        len(trades),
        {
            "symbol": [product.upper() for product in products],
            "ts_event": read_times([trade.time for trade in trades]),
            "price": finite([trade.price for trade in trades], "price"),
            "size": finite([trade.size for trade in trades], "size"),
            "side": [SIDE[trade.side] for trade in trades],
            "id": [str(trade.trade_id) for trade in trades],
        },
    )


def _quotes(messages: Sequence[wire.AnyMessage]) -> pa.RecordBatch | None:
    found = [one for one in messages if type(one) is wire.Ticker]
    if not found:
        return None
    return make_quotes(
        [one.product_id.upper() for one in found],
        read_times([one.time for one in found]),
        [one.best_bid for one in found],
        [one.best_bid_size for one in found],
        [one.best_ask for one in found],
        [one.best_ask_size for one in found],
    )


def _updates(updates: Sequence[wire.Update]) -> Updates | None:
    changes = list(chain.from_iterable([one.changes for one in updates]))
    return make_updates(
        [one.product_id for one in updates],
        read_times([one.time for one in updates]),
        [False] * len(updates),
        [len(one.changes) for one in updates],
        ASK - np.array([change.side == "buy" for change in changes], np.int8),
        [change.price for change in changes],
        [change.size for change in changes],
    )


def _mixed(
    messages: Sequence[wire.Update | wire.Snapshot], received: Sequence[int]
) -> Updates | None:
    """Return updates and snapshots; one without a time has that of its receipt."""
    sides: list[int] = []
    levels: list[wire.Change | wire.Level] = []
    counts = []
    for one in messages:
        before = len(levels)
        if type(one) is wire.Snapshot:
            sides += [BID] * len(one.bids) + [ASK] * len(one.asks)
            levels += [*one.bids, *one.asks]
        elif type(one) is wire.Update:
            sides += [BID if change.side == "buy" else ASK for change in one.changes]
            levels += one.changes
        counts.append(len(levels) - before)
    return make_updates(
        [one.product_id for one in messages],
        _times(messages, received),
        [type(one) is wire.Snapshot for one in messages],
        counts,
        np.array(sides, np.int8),
        [level.price for level in levels],
        [level.size for level in levels],
    )


def _times(
    messages: Sequence[wire.Update | wire.Snapshot], received: Sequence[int]
) -> NDArray[np.int64]:
    told = iter(read_times([one.time for one in messages if type(one) is wire.Update]).tolist())
    return np.array(
        [
            _snapshot_time(one.time, ts) if type(one) is wire.Snapshot else next(told)
            for one, ts in zip(messages, received, strict=True)
        ],
        np.int64,
    )


def _snapshot_time(text: str | None, received: int) -> int:
    """Return the time of a snapshot; that of its receipt where it tells none, or a mere zero."""
    if not text or text.startswith("0001-"):
        return received
    return int(read_times([text])[0])


def read_book(symbol: str, body: bytes) -> Updates:
    """Return a book that REST gave as a snapshot. Raises one of `columns.UNREADABLE`."""
    book = wire.decode_book(body)
    found = _mixed([wire.Snapshot(symbol, book.bids, book.asks, book.time)], [0])
    assert found is not None, "a book is one update"
    return found


def table_of(frame: bytes) -> str:
    """Return the table under whose name a bad frame goes to the quarantine."""
    if b'"l2update"' in frame or b'"snapshot"' in frame:
        return "book"
    return "quotes" if b'"ticker"' in frame else "trades"


def product_of(frame: bytes) -> str | None:
    """Return the product that a bad frame names, None where it names none."""
    found = _PRODUCT.search(frame)
    return found[1].decode(errors="replace") if found else None
