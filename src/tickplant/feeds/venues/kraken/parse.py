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
from tickplant.feeds.venues.ladders import Form, cut_plain
from tickplant.model.events import ASK, BID, BOOK, QUOTES, TRADES

Decimals = Callable[[str], tuple[int, int] | None]
"""The decimals of the prices and sizes of a canonical symbol, None where they are not known."""

Other = wire.Instrument | wire.HeartbeatMessage | wire.Status | wire.Acknowledgement

_message = msgspec.json.Decoder(wire.Message).decode
_answer = msgspec.json.Decoder(wire.Acknowledgement).decode
_ladder = msgspec.json.Decoder(list[wire.Level]).decode
_LADDER = Form(b'{"price":,"qty":}', 2)
_SIDES = np.array([BID, ASK], np.int8)

FEW = 32
"""So few ladders are read sooner one by one."""


@dataclass(frozen=True, slots=True)
class TradesRead:
    """Trades as rows; and the symbol, number and time of each, which show what is missing."""

    symbols: list[str]
    ids: list[int]
    ts: NDArray[np.int64]
    rows: pa.RecordBatch


@dataclass(slots=True)
class _Tickers:
    of: list[wire.TickerData] = field(default_factory=list)
    came: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Books:
    of: list[wire.BookData] = field(default_factory=list)
    snapshot: list[bool] = field(default_factory=list)
    came: list[int] = field(default_factory=list)


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
    books, tickers, trades, found = _Books(), _Tickers(), list[wire.TradeData](), Read()
    for frame in frames:
        message = decode(frame.data)
        if isinstance(message, wire.Book):
            books.of += message.data
            books.snapshot += [message.type == "snapshot"] * len(message.data)
            books.came += [frame.ts_recv] * len(message.data)
        elif isinstance(message, wire.Trade):
            trades += message.data
        elif isinstance(message, wire.Ticker):
            tickers.of += message.data
            tickers.came += [frame.ts_recv] * len(message.data)
        else:
            found.others.append(message)
    if trades:
        found.trades = _trades(trades)
    if tickers.of:
        found.quotes = _quotes(tickers)
    if books.of:
        found.books = _updates(books, decimals, depth)
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


def _quotes(tickers: _Tickers) -> pa.RecordBatch:
    columns = {
        "symbol": canonical_of([one.symbol for one in tickers.of]),
        "ts_event": _times([one.timestamp for one in tickers.of], tickers.came),
        "bid_price": [one.bid or None for one in tickers.of],
        "bid_size": [one.bid_qty or None for one in tickers.of],
        "ask_price": [one.ask or None for one in tickers.of],
        "ask_size": [one.ask_qty or None for one in tickers.of],
    }
    return make_rows(QUOTES, len(tickers.of), columns)


def _times(texts: list[str | None], otherwise: Iterable[int]) -> NDArray[np.int64]:
    """Return times; `otherwise`, when it came, stands where a message tells none."""
    if None not in texts:
        return read_times(cast(list[str], texts))
    pairs = zip(texts, otherwise, strict=True)
    return np.array([at if t is None else read_times([t])[0] for t, at in pairs], np.int64)


def _updates(books: _Books, decimals: Decimals, depth: int) -> Updates:
    ladders = [ladder for book in books.of for ladder in (book.bids, book.asks)]
    levels, counts = _levels(ladders)
    found = make_updates(
        canonical_of([book.symbol for book in books.of]),
        _times([book.timestamp for book in books.of], books.came),
        books.snapshot,
        counts.reshape(-1, 2).sum(axis=1).tolist(),
        np.tile(_SIDES, len(books.of)).repeat(counts),
        levels[:, 0],
        levels[:, 1],
    )
    assert found is not None
    checksum = np.array([book.checksum for book in books.of], np.int64)
    return checked(found, checksum, decimals, depth)


def _levels(ladders: list[msgspec.Raw]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return price and size of the levels of ladders, and how many each has."""
    if len(ladders) > FEW:
        try:
            found = cut_plain(ladders, _LADDER)
            return found.numbers, found.counts
        except (ValueError, pa.ArrowInvalid):
            pass  # it is written another way, or wrongly, which is told below
    read = [_ladder(ladder) for ladder in ladders]
    levels = [number for ladder in read for one in ladder for number in (one.price, one.qty)]
    counts = np.array([len(ladder) for ladder in read], np.int64)
    return np.array(levels, np.float64).reshape(-1, 2), counts


def checked(books: Updates, checksum: NDArray[np.int64], decimals: Decimals, depth: int) -> Updates:
    """Return messages about books with what their checksums are checked by.

    Raises `ValueError` for a price that no level can have.
    """
    if not (books.price > 0).all():
        raise ValueError(f"price: {books.price.min()} is not allowed; allowed is what is above 0")
    known = [decimals(symbol) or (NONE, NONE) for symbol in books.symbols]
    return replace(books, checksum=checksum, decimals=np.array(known, np.int8), depth=depth)
