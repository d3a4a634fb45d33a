"""The messages of Kraken's WebSocket API, version 1, which recordings of before 2022 hold.

    [993, [["354.11","0.89","1618678142.557535","s","l",""]], "trade", "XMR/USD"]
    [996, {"a":["354.74",6,"6.85"],"b":["354.11",28,"28.68"],…}, "ticker", "XMR/USD"]
    [994, ["354.11","354.74","1618678142.557535","28.68","6.85"], "spread", "XMR/USD"]
    [992, {"as":[["354.80","1.40","1618678133.020508"],…],"bs":[…]}, "book-1000", "XMR/USD"]
    [992, {"a":[…]}, {"b":[…],"c":"2583817756"}, "book-1000", "XMR/USD"]

Numbers are text with all the decimals of the pair, trades have no numbers, and the checksum of a
book comes with updates only. A recording is read like what version 2 sends: a list of frames at a
time, bad ones taken out.

Source: docs.kraken.com, Spot WebSocket v1 (trade, ticker, spread, book).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta, Struct
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.columns import make_rows, make_updates, sift
from tickplant.feeds.venues.contract import (
    Channel,
    Confirmed,
    Frame,
    Heartbeat,
    Received,
    Refused,
    Said,
    Stream,
)
from tickplant.feeds.venues.kraken.names import canonical, canonical_of
from tickplant.feeds.venues.kraken.parse import checked
from tickplant.feeds.venues.kraken.wire import Crc
from tickplant.model.events import ASK, BID, BOOK, QUOTES, TRADES

Texts = Annotated[list[str], Meta(min_length=3)]
"""A level (price, size, time, maybe `r`) or a trade (price, size, time, side, order, misc)."""


class Data(Struct, gc=False):
    """What a ticker or a part of a book says: `a` and `b` are of both."""

    a: list[Texts | str | int] = []
    b: list[Texts | str | int] = []
    all_asks: list[Texts] | None = msgspec.field(default=None, name="as")
    all_bids: list[Texts] | None = msgspec.field(default=None, name="bs")
    c: str | list[str] | None = None


class Event(Struct, rename="camel"):
    """What is no market data; `error_message` says why a subscription was refused."""

    event: str
    pair: str = ""
    status: str = ""
    channel_name: str = ""
    error_message: str = ""


Message = Annotated[list[int | str | Data | list[Texts | str]], Meta(min_length=4, max_length=5)]
_decode = msgspec.json.Decoder(Message | Event).decode

_CHANNELS: dict[str, Channel] = {
    "trade": "trades",
    "ticker": "quotes",
    "spread": "quotes",
    "book": "book",
}
_NS = pa.decimal128(19, 9)
"""Seconds with nine decimals: their digits are nanoseconds."""


@dataclass(slots=True)
class _Quotes:
    symbols: list[str] = field(default_factory=list)
    times: list[str | int] = field(default_factory=list)
    prices: list[tuple[str, str, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Books:
    symbols: list[str] = field(default_factory=list)
    ts_recv: list[int] = field(default_factory=list)
    snapshot: list[bool] = field(default_factory=list)
    checksum: list[int] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    levels: list[list[str]] = field(default_factory=list)


@dataclass(slots=True)
class _Read:
    trades: list[tuple[str, list[str]]] = field(default_factory=list)
    quotes: _Quotes = field(default_factory=_Quotes)
    books: _Books = field(default_factory=_Books)
    events: list[Event] = field(default_factory=list)


class LegacyParser:
    """Reads the frames of one connection with books of one `depth`."""

    def __init__(self, depth: int = 1000) -> None:
        self._depth = depth
        self._decimals: dict[str, tuple[int, int]] = {}

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to; see `contract.Session.receive`."""
        found, _, bad = sift(frames, self._columns, _table_of)
        rows, books, events = found
        return Received(rows, books, [said for event in events for said in _hear(event)], bad)

    def _columns(
        self, frames: Sequence[Frame]
    ) -> tuple[dict[str, pa.RecordBatch], Updates | None, list[Event]]:
        found = _Read()
        for frame in frames:
            _sort(frame, self._depth, found)
        rows = {}
        if found.trades:
            rows[TRADES] = _trade_rows(found.trades)
        if found.quotes.symbols:
            rows[QUOTES] = _quote_rows(found.quotes)
        return rows, self._books(found.books), found.events

    def _books(self, books: _Books) -> Updates | None:
        if not books.symbols:
            return None
        self._note_decimals(books)
        counts = np.array(books.counts, np.int64)
        totals = counts.sum(axis=1)
        symbols = canonical_of(books.symbols)
        price, size = (_numbers([level[at] for level in books.levels]) for at in (0, 1))
        found = make_updates(
            symbols,
            _book_times(books, totals),
            books.snapshot,
            totals.tolist(),
            np.tile(np.array([ASK, BID], np.int8), len(symbols)).repeat(counts.reshape(-1)),
            price,
            size,
        )
        assert found is not None
        return checked(found, np.array(books.checksum), self._decimals.get, self._depth)

    def _note_decimals(self, books: _Books) -> None:
        """Learn the decimals of a pair from its first level: every number has all of them."""
        start = 0
        for name, (asks, bids) in zip(books.symbols, books.counts, strict=True):
            if asks + bids and (symbol := canonical(name)) not in self._decimals:
                price, size = (len(text.partition(".")[2]) for text in books.levels[start][:2])
                self._decimals[symbol] = min(price, 30), min(size, 30)
            start += asks + bids


def _sort(frame: Frame, depth: int, found: _Read) -> None:
    """Put a message to its likes. Raises `ValueError` for one that is none of them."""
    message = _decode(frame.data)
    if isinstance(message, Event):
        found.events.append(message)
        return
    name, pair, data = message[-2], message[-1], message[1]
    if not isinstance(name, str) or not isinstance(pair, str):
        raise ValueError("a message must end with its channel and its pair")
    if name == f"book-{depth}":
        _sort_book(found.books, pair, message[1:-2], frame.ts_recv)
    elif name == "trade" and isinstance(data, list):
        found.trades += [(pair, _trade(trade)) for trade in data]
    elif name == "ticker" and isinstance(data, Data):
        _sort_quote(found.quotes, pair, frame.ts_recv, _best(data))
    elif name == "spread" and isinstance(data, list) and len(data) == 5:
        _sort_quote(found.quotes, pair, cast(str, data[2]), (data[0], data[3], data[1], data[4]))
    else:
        raise ValueError(f"channel {name!r} is none of trade, ticker, spread, book-{depth}")


def _trade(trade: object) -> list[str]:
    if not isinstance(trade, list) or len(trade) < 4 or trade[3] not in ("b", "s"):
        raise ValueError(f"trade: {trade!r} is no list of price, size, time and side (b or s)")
    return trade


def _best(data: Data) -> tuple[object, ...]:
    if min(len(data.a), len(data.b)) < 3:
        raise ValueError("a side of a ticker must be price, whole lots and size")
    return data.b[0], data.b[2], data.a[0], data.a[2]


def _sort_quote(quotes: _Quotes, pair: str, ts: str | int, prices: tuple[Any, ...]) -> None:
    quotes.symbols.append(pair)
    quotes.times.append(ts)
    quotes.prices.append(cast(tuple[str, str, str, str], prices))


def _sort_book(books: _Books, pair: str, parts: Sequence[object], ts_recv: int) -> None:
    asks: list[list[str]] = []
    bids: list[list[str]] = []
    checksum = NONE
    snapshot = False
    for part in parts:
        if not isinstance(part, Data):
            raise ValueError("a book must be an object")
        snapshot = snapshot or part.all_asks is not None or part.all_bids is not None
        asks += part.all_asks or cast(list[list[str]], part.a)
        bids += part.all_bids or cast(list[list[str]], part.b)
        if part.c is not None:
            checksum = msgspec.convert(part.c, Crc, strict=False)
    for level in (*asks, *bids):
        if not isinstance(level, list):
            raise ValueError(f"level: {level!r} is no list of price, size and time")
    books.symbols.append(pair)
    books.ts_recv.append(ts_recv)
    books.snapshot.append(snapshot)
    books.checksum.append(checksum)
    books.counts.append((len(asks), len(bids)))
    books.levels += asks
    books.levels += bids


def _numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.asarray(pa.array(texts, pa.string()).cast(pa.float64()).to_numpy())


def _times(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return seconds since the epoch with decimals as ns."""
    digits = pa.array(texts, pa.string()).cast(_NS)
    halves = np.frombuffer(digits.buffers()[1], np.int64, 2 * len(digits))
    return halves[::2].copy()


def _book_times(books: _Books, totals: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return when each message was: the time of its youngest level, else when it came."""
    times = np.array(books.ts_recv, np.int64)
    some = totals > 0
    if some.any():
        starts = (np.cumsum(totals) - totals)[some]
        levels = _times([level[2] for level in books.levels])
        times[some] = np.maximum.reduceat(levels, starts)
    return times


def _trade_rows(trades: list[tuple[str, list[str]]]) -> pa.RecordBatch:
    columns = {
        "symbol": canonical_of([pair for pair, _ in trades]),
        "ts_event": _times([trade[2] for _, trade in trades]),
        "price": _numbers([trade[0] for _, trade in trades]),
        "size": _numbers([trade[1] for _, trade in trades]),
        "side": [1 if trade[3] == "b" else 2 for _, trade in trades],
    }
    return make_rows(TRADES, len(trades), columns)


def _quote_rows(quotes: _Quotes) -> pa.RecordBatch:
    fields = ("bid_price", "bid_size", "ask_price", "ask_size")
    columns: dict[str, Any] = {
        name: _numbers([row[at] for row in quotes.prices]) for at, name in enumerate(fields)
    }
    columns["symbol"] = canonical_of(quotes.symbols)
    columns["ts_event"] = [ts if isinstance(ts, int) else _times([ts])[0] for ts in quotes.times]
    return make_rows(QUOTES, len(quotes.symbols), columns)


def _hear(event: Event) -> list[Said]:
    """Return what an event says: a confirmation, a refusal, a heartbeat."""
    if event.event == "heartbeat":
        return [Heartbeat()]
    channel = _CHANNELS.get(event.channel_name.partition("-")[0])
    streams = (Stream(canonical(event.pair), channel),) if channel and event.pair else ()
    if event.event == "error" or event.status == "error":
        return [Refused(streams, event.error_message)]
    if event.event == "subscriptionStatus" and streams:
        return [Confirmed(streams, event.status == "unsubscribed")]
    return []


def _table_of(data: bytes) -> str:
    if b'"book' in data:
        return BOOK
    return TRADES if b'"trade"' in data else QUOTES
