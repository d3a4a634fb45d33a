"""What the library says to columns; see `contract.Session`.

Books are whole with every message (`rule` replace). Trades whose time is not told have that of
their arrival.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pyarrow as pa

from tickplant.books.updates import Updates
from tickplant.feeds.venues.ccxt_pro import names, words
from tickplant.feeds.venues.columns import make_rows, make_updates, sift
from tickplant.feeds.venues.contract import (
    Confirmed,
    Dial,
    Frame,
    Outgoing,
    Received,
    Refused,
    Said,
    Skipped,
    Stream,
)
from tickplant.model.events import ASK, BID, BOOK, QUOTES, TRADES
from tickplant.model.times import NS_PER_MS

_decode = msgspec.json.Decoder(words.Said).decode
_SIDES = {"buy": 1, "sell": 2}
_YEARS_MS_MAX = 2**63 // NS_PER_MS - 1

Control = words.Watching | words.Unwatched | words.Refusal | words.Overrun


@dataclass(slots=True)
class _Read:
    trades: pa.RecordBatch | None = None
    quotes: pa.RecordBatch | None = None
    books: Updates | None = None
    controls: list[Control] = field(default_factory=list)
    lasts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The first and last time of the trades of each symbol."""


class CcxtSession:
    """The words of one instance of the library. `url` only names it, `native` spells symbols."""

    def __init__(self, url: str, native: Callable[[str], str] = names.native) -> None:
        self._url = url
        self._native = native
        self._last: dict[str, int] = {}

    def dial(self) -> Dial:
        """Return the exchange's name as an address: the library knows the real ones."""
        return Dial(self._url)

    def opening(self) -> Sequence[Outgoing]:
        """Nothing is sent first."""
        return ()

    def subscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return a request for each stream."""
        return [self._ask("watch", stream) for stream in streams]

    def unsubscribe(self, streams: Sequence[Stream]) -> Sequence[Outgoing]:
        """Return what ends each stream."""
        return [self._ask("unwatch", stream) for stream in streams]

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to."""
        found, _, bad = sift(frames, _read, _table_of)
        rows = {TRADES: found.trades, QUOTES: found.quotes}
        said = [self._hear(control, found) for control in found.controls]
        self._last.update((symbol, last) for symbol, (_, last) in found.lasts.items())
        told = {table: batch for table, batch in rows.items() if batch is not None}
        return Received(told, found.books, said, bad)

    def _ask(self, op: str, stream: Stream) -> Outgoing:
        asked = {"op": op, "channel": stream.channel, "symbol": self._native(stream.symbol)}
        return Outgoing(msgspec.json.encode(asked).decode())

    def _hear(self, control: Control, found: _Read) -> Said:
        symbol = names.canonical(control.symbol)
        if isinstance(control, words.Overrun):
            stream = Stream(symbol, "trades")
            first, _ = found.lasts.get(symbol, (0, 0))
            start = self._last.get(symbol, first - 1)
            return Skipped((stream,), start, first, "the library keeps no more trades than came")
        streams = (Stream(symbol, control.channel),)
        if isinstance(control, words.Refusal):
            return Refused(streams, control.reason, control.passing)
        return Confirmed(streams, ends=isinstance(control, words.Unwatched))


def _table_of(data: bytes) -> str:
    if b'"book"' in data:
        return BOOK
    return QUOTES if b'"quote"' in data else TRADES


def _read(frames: Sequence[Frame]) -> _Read:
    trades: list[tuple[str, words.Trade, int]] = []
    quotes: list[tuple[words.Quote, int]] = []
    books: list[tuple[words.Book, int]] = []
    found = _Read()
    for frame in frames:
        said = _decode(frame.data)
        if isinstance(said, words.Trades):
            trades += [(names.canonical(said.symbol), one, frame.ts_recv) for one in said.data]
        elif isinstance(said, words.Quote):
            quotes.append((said, frame.ts_recv))
        elif isinstance(said, words.Book):
            books.append((said, frame.ts_recv))
        else:
            found.controls.append(said)
    if trades:
        found.trades = trade_rows(trades)
        for (symbol, _, _), ts in zip(
            trades, found.trades.column("ts_event").to_pylist(), strict=True
        ):
            first, last = found.lasts.get(symbol, (ts, ts))
            found.lasts[symbol] = first, max(last, ts)
    if quotes:
        found.quotes = _quote_rows(quotes)
    if books:
        found.books = _updates(books)
    return found


def _ns(ms: int | None, otherwise: int) -> int:
    """Return a time of the library in ns. Raises `ValueError` for one that is none."""
    if ms is None:
        return otherwise
    if not 0 < ms < _YEARS_MS_MAX:
        raise ValueError(f"timestamp: {ms} is not allowed; allowed are ms since the epoch")
    return ms * NS_PER_MS


def trade_rows(trades: Sequence[tuple[str, words.Trade, int]]) -> pa.RecordBatch:
    """Return rows of trades: our symbol, the trade, and when it came."""
    columns = {
        "symbol": [symbol for symbol, _, _ in trades],
        "ts_event": [_ns(one.timestamp, at) for _, one, at in trades],
        "price": [one.price for _, one, _ in trades],
        "size": [one.amount for _, one, _ in trades],
        "side": [_SIDES.get(one.side or "", 0) for _, one, _ in trades],
        "id": [one.id for _, one, _ in trades],
    }
    return make_rows(TRADES, len(trades), columns)


def _quote_rows(quotes: list[tuple[words.Quote, int]]) -> pa.RecordBatch:
    columns = {
        "symbol": [names.canonical(one.symbol) for one, _ in quotes],
        "ts_event": [_ns(one.timestamp, at) for one, at in quotes],
        "bid_price": [one.bid or None for one, _ in quotes],
        "bid_size": [one.bid_size for one, _ in quotes],
        "ask_price": [one.ask or None for one, _ in quotes],
        "ask_size": [one.ask_size for one, _ in quotes],
    }
    return make_rows(QUOTES, len(quotes), columns)


def _updates(books: list[tuple[words.Book, int]]) -> Updates | None:
    counts = [(len(book.bids), len(book.asks)) for book, _ in books]
    levels = [level for book, _ in books for side in (book.bids, book.asks) for level in side]
    sides = np.tile(np.array([BID, ASK], np.int8), len(books))
    return make_updates(
        [names.canonical(book.symbol) for book, _ in books],
        np.array([_ns(book.timestamp, at) for book, at in books], np.int64),
        [True] * len(books),
        [bids + asks for bids, asks in counts],
        sides.repeat(np.array(counts).reshape(-1)),
        [price for price, _ in levels],
        [size for _, size in levels],
    )
