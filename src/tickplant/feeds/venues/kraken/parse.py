"""Messages of version 2 to columns: many at a time, in the order of their arrival.

    frames ─► messages, one by one ─► what has the same channel together ─► rows, updates of books

Nothing here remembers anything, so that a batch that holds a bad frame can be read again without
it (`venues.columns.sift`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.columns import make_rows, make_updates, read_times
from tickplant.feeds.venues.contract import Frame
from tickplant.feeds.venues.kraken import wire
from tickplant.feeds.venues.kraken.names import canonical_of
from tickplant.model.events import ASK, BID, BOOK, QUOTES, TRADES

Decimals = Callable[[str], tuple[int, int] | None]
"""The decimals of the prices and sizes of a canonical symbol, None where they are not known."""

Other = wire.Instrument | wire.HeartbeatMessage | wire.Status | wire.Acknowledgement

_message = msgspec.json.Decoder(wire.Message).decode
_answer = msgspec.json.Decoder(wire.Acknowledgement).decode
_SIDES = np.array([BID, ASK], np.int8)


@dataclass(frozen=True, slots=True)
class TradesRead:
    """Trades as rows; and the symbol, number and time of each, which show what is missing."""

    symbols: list[str]
    ids: list[int]
    ts: NDArray[np.int64]
    rows: pa.RecordBatch


@dataclass(slots=True)
class Read:
    """What frames came to; `others` are messages that bring no rows, in their order."""

    trades: TradesRead | None = None
    quotes: pa.RecordBatch | None = None
    books: Updates | None = None
    others: list[Other] = field(default_factory=list)

    @property
    def rows(self) -> dict[str, pa.RecordBatch]:
        """The rows by table."""
        found = {TRADES: self.trades.rows} if self.trades else {}
        return found if self.quotes is None else {**found, QUOTES: self.quotes}


def decode(data: bytes) -> wire.Message | wire.Acknowledgement:
    """Return the message of a frame. Raises one of `venues.columns.UNREADABLE`."""
    try:
        return cast(wire.Message, _message(data))
    except msgspec.ValidationError:
        answer = _answer(data)
        if answer.method is None and answer.complaint is None:
            raise  # it is no answer either, and the first complaint says more
        return answer


def table_of(data: bytes) -> str:
    """Return the table that a bad frame was meant for, as far as it shows."""
    if b'"book"' in data:
        return BOOK
    return QUOTES if b'"ticker"' in data else TRADES


def read(frames: Sequence[Frame], *, decimals: Decimals, depth: int) -> Read:
    """Read frames. Raises one of `venues.columns.UNREADABLE` where any cannot be read."""
    books: list[tuple[wire.Book, int]] = []
    trades: list[wire.TradeData] = []
    tickers: list[tuple[wire.Ticker, int]] = []
    found = Read()
    for data, at in ((frame.data, frame.ts_recv) for frame in frames):
        message = decode(data)
        kind = type(message)
        if kind is wire.Book:
            books.append((cast(wire.Book, message), at))
        elif kind is wire.Trade:
            trades += cast(wire.Trade, message).data
        elif kind is wire.Ticker:
            tickers.append((cast(wire.Ticker, message), at))
        else:
            found.others.append(cast(Other, message))
    if trades:
        found.trades = _trades(trades)
    if tickers:
        found.quotes = _quotes([(one, at) for message, at in tickers for one in message.data])
    if books:
        found.books = _books(books, decimals, depth)
    return found


def _trades(trades: list[wire.TradeData]) -> TradesRead:
    symbols = canonical_of([trade.symbol for trade in trades])
    ts = read_times([trade.timestamp for trade in trades])
    ids = [trade.trade_id for trade in trades]
    columns = {
        "symbol": symbols,
        "ts_event": ts,
        "price": [trade.price for trade in trades],
        "size": [trade.qty for trade in trades],
        "side": [1 if trade.side == "buy" else 2 for trade in trades],
        "id": pa.array(ids, pa.int64()).cast(pa.string()),
    }
    return TradesRead(symbols, ids, ts, make_rows(TRADES, len(trades), columns))


def _quotes(tickers: list[tuple[wire.TickerData, int]]) -> pa.RecordBatch | None:
    if not tickers:
        return None
    columns = {
        "symbol": canonical_of([one.symbol for one, _ in tickers]),
        "ts_event": _times([one.timestamp for one, _ in tickers], [at for _, at in tickers]),
        "bid_price": [one.bid or None for one, _ in tickers],
        "bid_size": [one.bid_qty or None for one, _ in tickers],
        "ask_price": [one.ask or None for one, _ in tickers],
        "ask_size": [one.ask_qty or None for one, _ in tickers],
    }
    return make_rows(QUOTES, len(tickers), columns)


def _times(texts: list[str | None], otherwise: Iterable[int]) -> NDArray[np.int64]:
    """Return times; `otherwise`, when it came, stands where a message tells none."""
    if None not in texts:
        return read_times(cast(list[str], texts))
    pairs = zip(texts, otherwise, strict=True)
    return np.array([at if t is None else read_times([t])[0] for t, at in pairs], np.int64)


def _books(messages: list[tuple[wire.Book, int]], decimals: Decimals, depth: int) -> Updates | None:
    books = [(book, message.type, at) for message, at in messages for book in message.data]
    levels: list[wire.Level] = []
    counts: list[int] = []
    for book, _, _ in books:
        levels += book.bids
        levels += book.asks
        counts += (len(book.bids), len(book.asks))
    found = make_updates(
        canonical_of([book.symbol for book, _, _ in books]),
        _times([book.timestamp for book, _, _ in books], (at for _, _, at in books)),
        [kind == "snapshot" for _, kind, _ in books],
        np.array(counts).reshape(-1, 2).sum(axis=1).tolist(),
        np.tile(_SIDES, len(books)).repeat(counts),
        [level.price for level in levels],
        [level.qty for level in levels],
    )
    if found is None:
        return None
    checksum = np.array([book.checksum for book, _, _ in books], np.int64)
    return checked(found, checksum, decimals, depth)


def checked(books: Updates, checksum: NDArray[np.int64], decimals: Decimals, depth: int) -> Updates:
    """Return messages about books with what their checksums are checked by.

    Raises `ValueError` for a price that no level can have.
    """
    if not (books.price > 0).all():
        raise ValueError(f"price: {books.price.min()} is not allowed; allowed is what is above 0")
    known = [decimals(symbol) or (NONE, NONE) for symbol in books.symbols]
    return replace(books, checksum=checksum, decimals=np.array(known, np.int8), depth=depth)
