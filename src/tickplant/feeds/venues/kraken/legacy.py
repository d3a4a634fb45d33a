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
from itertools import compress
from operator import not_
from typing import Annotated, Any, cast

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta, Raw, Struct
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
from tickplant.feeds.venues.kraken.legacy_shapes import make_books, shapes_of
from tickplant.feeds.venues.kraken.names import canonical, canonical_of
from tickplant.feeds.venues.kraken.parse import checked
from tickplant.feeds.venues.ladders import Form, Levels, cut_plain
from tickplant.feeds.venues.merged import Split, merge_updates
from tickplant.formats.compiled.reader import FrameReader, Rows
from tickplant.model.events import ASK, BID, BOOK, QUOTES, TRADES

Texts = Annotated[list[str], Meta(min_length=3)]
"""A level (price, size, time, maybe `r`) or a trade (price, size, time, side, order, misc)."""


class Data(Struct, gc=False):
    """What a ticker says: price, whole lots and size of the best offer and bid."""

    a: list[str | int] = []
    b: list[str | int] = []


_NOTHING = Raw(b"[]")


Checksum = Annotated[int, Meta(ge=0, lt=1 << 32)]


class Part(Struct, gc=False):
    """A part of an update of a book: levels that changed, and the checksum."""

    a: Raw = _NOTHING
    b: Raw = _NOTHING
    c: Checksum = NONE


class Whole(Struct, gc=False):
    """All levels of a book."""

    asks: Raw = msgspec.field(name="as")
    bids: Raw = msgspec.field(name="bs")


class BookMessage(Struct, array_like=True, gc=False):
    """A book: one part or two, then channel and pair."""

    id: int
    part: Part
    second: Part | str
    third: str
    fourth: str | None = None


class Event(Struct, rename="camel"):
    """What is no market data; `error_message` says why a subscription was refused."""

    event: str
    pair: str = ""
    status: str = ""
    channel_name: str = ""
    error_message: str = ""


Message = Annotated[list[int | str | Data | list[Texts | str]], Meta(min_length=4, max_length=4)]
_decode = msgspec.json.Decoder(Message | Event).decode
_book = msgspec.json.Decoder(BookMessage, strict=False).decode
_whole = msgspec.json.Decoder(tuple[int, Whole, str, str]).decode
_ladder = msgspec.json.Decoder(list[Texts]).decode
_LADDER = Form(b'["","",""]', 3)
_SIDES = np.array([ASK, BID], np.int8)
_LIST, _BOOK = b"[", b'"book-'

_CHANNELS: dict[str, Channel] = {
    "trade": "trades",
    "ticker": "quotes",
    "spread": "quotes",
    "book": "book",
}
_NS = pa.decimal128(19, 9)
"""Seconds with nine decimals: their digits are nanoseconds."""

_MICROS = len("1618678142.557535")


@dataclass(slots=True)
class _Quotes:
    symbols: list[str] = field(default_factory=list)
    times: list[str | int] = field(default_factory=list)
    prices: list[tuple[str, str, str, str]] = field(default_factory=list)


@dataclass(slots=True)
class _Read:
    trades: list[tuple[str, list[str]]] = field(default_factory=list)
    quotes: _Quotes = field(default_factory=_Quotes)
    events: list[Event] = field(default_factory=list)


class LegacyParser:
    """Reads the frames of one connection with books of one `depth`."""

    def __init__(self, depth: int = 1000) -> None:
        self._depth = depth
        self._name = f"book-{depth}"
        self._decimals: dict[str, tuple[int, int]] = {}
        self._reader = FrameReader(shapes_of(self._name))

    def receive(self, frames: Sequence[Frame]) -> Received:
        """Return what frames came to; see `contract.Session.receive`."""
        split = Split(self._reader, frames)
        found, good, bad = sift(split.rest, self._columns, _table_of)
        rows, books, events = found
        about_books = [frame for frame in good if _is_book(frame)]
        books = split.joined(
            BOOK, lambda walked: self._walked(walked, frames), books, about_books, merge_updates
        )
        return Received(rows, books, [said for event in events for said in _hear(event)], bad)

    def _columns(
        self, frames: Sequence[Frame]
    ) -> tuple[dict[str, pa.RecordBatch], Updates | None, list[Event]]:
        found = _Read()
        is_book = [_is_book(frame) for frame in frames]
        books = list(compress(frames, is_book))
        if len(books) != len(frames):
            for frame in compress(frames, map(not_, is_book)):
                _sort(frame, found)
        rows = {}
        if found.trades:
            rows[TRADES] = _trade_rows(found.trades)
        if found.quotes.symbols:
            rows[QUOTES] = _quote_rows(found.quotes)
        return rows, self._books(books), found.events

    def _books(self, frames: list[Frame]) -> Updates | None:
        if not frames:
            return None
        parts, pairs = _parts([_book(frame.data) for frame in frames], self._name)
        symbols = canonical_of(pairs)
        checksums = np.array([part.c for part in parts], np.int64)
        snapshot = checksums == NONE
        for place in np.flatnonzero(snapshot).tolist():
            parts[place], snapshot[place] = _all_of(frames[place].data, parts[place])
        levels = _levels([ladder for part in parts for ladder in (part.a, part.b)])
        totals = levels.counts.reshape(-1, 2).sum(axis=1)
        self._note_decimals(symbols, levels, totals)
        known = dict(zip(pairs, symbols, strict=True)).items()
        # Frames of a pair whose decimals are not known yet are left to be read here.
        self._reader.names.add({pair: one for pair, one in known if one in self._decimals})
        found = make_updates(
            symbols,
            _book_times(frames, totals, levels),
            snapshot,
            totals,
            np.tile(_SIDES, len(symbols)).repeat(levels.counts),
            levels.numbers[:, 0],
            levels.numbers[:, 1],
        )
        assert found is not None
        return checked(found, checksums, self._decimals.get, self._depth)

    def _walked(self, rows: Rows, frames: Sequence[Frame]) -> Updates:
        return checked(
            make_books(rows, frames), rows.whole("checksum"), self._decimals.get, self._depth
        )

    def _note_decimals(self, symbols: list[str], levels: Levels, totals: NDArray[np.int64]) -> None:
        """Learn the decimals of a pair from its first level: every number has all of them."""
        if self._decimals.keys() >= set(symbols):
            return
        firsts = 3 * (np.cumsum(totals) - totals)
        for symbol, first, total in zip(symbols, firsts.tolist(), totals.tolist(), strict=True):
            if total and symbol not in self._decimals:
                told = (levels.written(at).partition(".")[2] for at in (first, first + 1))
                price, size = map(len, told)
                self._decimals[symbol] = min(price, 30), min(size, 30)


def _is_book(frame: Frame) -> bool:
    return _BOOK in frame.data and frame.data[:1] == _LIST


def _sort(frame: Frame, found: _Read) -> None:
    """Put a message to its likes. Raises `ValueError` for one that is none of them."""
    message = _decode(frame.data)
    if isinstance(message, Event):
        found.events.append(message)
        return
    _, data, name, pair = message
    if not isinstance(name, str) or not isinstance(pair, str):
        raise ValueError("a message must end with its channel and its pair")
    if name == "trade" and isinstance(data, list):
        found.trades += [(pair, _trade(trade)) for trade in data]
    elif name == "ticker" and isinstance(data, Data):
        _sort_quote(found.quotes, pair, frame.ts_recv, _best(data))
    elif name == "spread" and isinstance(data, list) and len(data) == 5:
        _sort_quote(found.quotes, pair, cast(str, data[2]), (data[0], data[3], data[1], data[4]))
    else:
        raise ValueError(f"channel {name!r} is none of trade, ticker, spread, book")


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


def _parts(messages: list[BookMessage], name: str) -> tuple[list[Part], list[str]]:
    """Return the part and the pair of each message about a book of the channel `name`."""
    parts = [one.part for one in messages]
    channels = [one.second for one in messages]
    pairs = [one.third for one in messages]
    for place in [place for place, one in enumerate(messages) if one.fourth is not None]:
        one = messages[place]
        parts[place], channels[place], pairs[place] = _merged(one), one.third, cast(str, one.fourth)
    if channels.count(name) != len(channels):
        raise ValueError(f"not all channels are {name}")
    return parts, pairs


def _merged(message: BookMessage) -> Part:
    """Return the two parts of a message as one."""
    one, other = message.part, message.second
    if isinstance(other, str):
        raise ValueError("a book of five parts must have two sides")
    return Part(a=_one_of(one.a, other.a), b=_one_of(one.b, other.b), c=max(one.c, other.c))


def _all_of(data: bytes, part: Part) -> tuple[Part, bool]:
    """Return the part of a message without a checksum, and whether it is the whole book."""
    if part.a is not _NOTHING or part.b is not _NOTHING:
        return part, False
    whole = _whole(data)[1]
    return Part(a=whole.asks, b=whole.bids), True


def _one_of(one: Raw, other: Raw) -> Raw:
    if one is not _NOTHING and other is not _NOTHING:
        raise ValueError("a side of a book comes twice")
    return other if one is _NOTHING else one


def _levels(ladders: list[Raw]) -> Levels:
    """Return price, size and time of all levels, as they are written, and how many each has."""
    try:
        return cut_plain(ladders, _LADDER)
    except ValueError:  # a level that was published again, or one that is wrong
        found = [[level[:3] for level in _ladder(ladder)] for ladder in ladders]
        return cut_plain([msgspec.json.encode(one) for one in found], _LADDER)


def _numbers(texts: Sequence[str]) -> NDArray[np.float64]:
    return np.asarray(pa.array(texts, pa.string()).cast(pa.float64()).to_numpy())


def _times(texts: Sequence[str] | pa.Array) -> NDArray[np.int64]:
    """Return seconds since the epoch with decimals as ns."""
    digits = pa.array(texts, pa.string()).cast(_NS)
    halves = np.frombuffer(digits.buffers()[1], np.int64, 2 * len(digits))
    return halves[::2].copy()


def _book_times(
    frames: list[Frame], totals: NDArray[np.int64], levels: Levels
) -> NDArray[np.int64]:
    """Return when each message was: the time of its youngest level, else when it came."""
    times = np.array([frame.ts_recv for frame in frames], np.int64)
    some = totals > 0
    if some.any():
        firsts = (np.cumsum(totals) - totals)[some]
        times[some] = np.maximum.reduceat(_level_times(levels), firsts)
    return times


def _level_times(levels: Levels) -> NDArray[np.int64]:
    """Return the times of levels: as floats where they are exact, which microseconds are."""
    seconds = levels.numbers[:, 2]
    lengths = levels.stops[2::3] - levels.begins[2::3]
    if (lengths == _MICROS).all() and 1e9 <= seconds.min() <= seconds.max() < 1e10:
        return np.rint(seconds * 1e6).astype(np.int64) * 1_000
    return _times([levels.written(at) for at in range(2, len(levels.begins), 3)])


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
