"""Messages of Binance to columns, many of one kind at a time.

    frames ─► sort_frames ─► all of a kind: read_trades, read_quotes, read_books, read_stats

Nothing here remembers anything, so that a run of frames that holds a bad one can be read again
without it (`venues.columns.sift`). `names` gives the canonical symbol of a native one and raises
`UnknownSymbol` for one that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import UnsetType
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.binance import wire
from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.contract import Frame
from tickplant.feeds.venues.ladders import read_ladders
from tickplant.feeds.venues.merged import merge_rows
from tickplant.model.events import ASK, BID, BOOK, QUOTES, STATS, TRADES
from tickplant.model.times import NS_PER_MS

OTHER: Final = "other"
STREAMS = {
    TRADES: "aggTrade",
    QUOTES: "bookTicker",
    BOOK: "depth@100ms",
    STATS: "markPrice@1s",
}
"""The venue's stream of each channel."""

_LETTERS = {name[0].encode(): table for table, name in STREAMS.items()}
_TABLES = {name.partition("@")[0]: table for table, name in STREAMS.items()}

Floats = list[float] | NDArray[np.float64]

_MS_MAX = (1 << 63) // NS_PER_MS
_BUY, _SELL = 1, 2
_SIDES = np.array([BID, ASK], np.int8)

MARKS = {"p": "mark_price", "i": "index_price", "P": "settle_price", "r": "funding_rate"}
"""The names in `stats` of what markPrice tells."""


class UnknownSymbol(ValueError):
    """A message is about an instrument that nobody asked for."""


class Names(dict[str, str]):
    """Canonical symbols by the venue's spelling."""

    def __missing__(self, native: str) -> str:
        raise UnknownSymbol(f"s: {native[:40]!r} was not asked for")


@dataclass(frozen=True, slots=True)
class TradesRead:
    """Trades as rows, and what shows which are missing: symbol, number and time of each."""

    symbols: list[str]
    ids: list[int]
    ts: NDArray[np.int64]
    rows: pa.RecordBatch


def sort_frames(frames: Sequence[Frame]) -> dict[str, list[Frame]]:
    """Return the frames by the table that they are for, in order; under `OTHER` what is for none.

    Tells by one letter of `{"stream":"btcusdt@aggTrade","data":…`; events of streams that nobody
    asks for are left out, and frames that are written in another way stand under `OTHER`.
    """
    found: dict[str, list[Frame]] = {table: [] for table in (OTHER, *STREAMS)}
    put = {letter: found[table].append for letter, table in _LETTERS.items()}.get
    for frame in frames:
        data = frame.data
        at = data.find(b"@") + 1
        known = put(data[at : at + 1])
        if known is not None:
            known(frame)
        elif at == 0 or not data.startswith(b'{"stream":"'):
            found[OTHER].append(frame)
    return found


def table_of(data: bytes) -> str | None:
    """Return the table that any frame is for, `OTHER` for answers, None for what is of no use.

    Raises what `UNREADABLE` names.
    """
    frame = wire.decode_any(data)
    if isinstance(frame.data, UnsetType) or frame.stream.startswith("!"):
        return OTHER
    stream = frame.stream.partition("@")[2].partition("@")[0]
    return _TABLES.get(stream)


def _events(decode: Callable[[bytes], Any], frames: Sequence[Frame]) -> list[Any]:
    return [decode(frame.data).data for frame in frames]


def read_trades(frames: Sequence[Frame], names: Mapping[str, str]) -> TradesRead | None:
    """Return trades in their order, None for no frames."""
    if not frames:
        return None
    trades: list[wire.AggTrade] = _events(wire.decode_trade, frames)
    return trade_columns([names[trade.s] for trade in trades], trades)


def trade_columns(
    symbols: list[str], trades: Sequence[wire.AggTrade] | Sequence[wire.PastTrade]
) -> TradesRead:
    """Return trades of the stream or of REST, which tell the same."""
    return make_trades(
        symbols,
        [trade.a for trade in trades],
        ns([trade.T for trade in trades]),
        [trade.p for trade in trades],
        [trade.q for trade in trades],
        np.array([trade.m for trade in trades], np.bool_),
    )


def make_trades(
    symbols: list[str],
    ids: list[int],
    ts: NDArray[np.int64],
    price: Floats,
    size: Floats,
    sold: NDArray[np.bool_],
) -> TradesRead:
    """Return trades of these columns; `sold`: the taker sold."""
    columns = {
        "symbol": symbols,
        "ts_event": ts,
        "price": price,
        "size": size,
        "side": np.where(sold, _SELL, _BUY).astype(np.int8),
        "id": list(map(str, ids)),
    }
    return TradesRead(symbols, ids, ts, make_rows(TRADES, len(ids), columns))


def merge_trades(one: TradesRead, other: TradesRead, order: NDArray[np.int64]) -> TradesRead:
    """Return the trades of both in this order."""
    places = order.tolist()
    symbols, ids = one.symbols + other.symbols, one.ids + other.ids
    return TradesRead(
        [symbols[place] for place in places],
        [ids[place] for place in places],
        np.concatenate([one.ts, other.ts])[order],
        merge_rows(one.rows, other.rows, order),
    )


def read_quotes(frames: Sequence[Frame], names: Mapping[str, str]) -> pa.RecordBatch | None:
    """Return best quotes; of a time of receipt where the venue tells none, as on spot.

    A side without orders is sent as price 0 and becomes null.
    """
    if not frames:
        return None
    quotes: list[wire.BookTicker] = _events(wire.decode_quote, frames)
    sent = ns([quote.T for quote in quotes])
    if not sent.all():
        sent = np.where(sent > 0, sent, [frame.ts_recv for frame in frames])
    return make_quotes(
        [names[quote.s] for quote in quotes],
        sent,
        np.array([quote.b for quote in quotes]),
        np.array([quote.B for quote in quotes]),
        np.array([quote.a for quote in quotes]),
        np.array([quote.A for quote in quotes]),
    )


def make_quotes(
    symbols: list[str],
    ts: NDArray[np.int64],
    bid_price: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask_price: NDArray[np.float64],
    ask_size: NDArray[np.float64],
) -> pa.RecordBatch:
    """Return quotes of these columns."""
    columns: dict[str, Any] = {"symbol": symbols, "ts_event": ts}
    for side, price, size in (("bid", bid_price, bid_size), ("ask", ask_price, ask_size)):
        gone = None if price.all() else price == 0
        columns[f"{side}_price"] = price if gone is None else pa.array(price, mask=gone)
        columns[f"{side}_size"] = size if gone is None else pa.array(size, mask=gone)
    return make_rows(QUOTES, len(symbols), columns)


def read_books(frames: Sequence[Frame], names: Mapping[str, str]) -> Updates | None:
    """Return changes of books; within a message bids come before asks."""
    if not frames:
        return None
    messages: list[wire.DepthUpdate] = _events(wire.decode_depth, frames)
    natives = [message.s for message in messages]
    places = {native: place for place, native in enumerate(dict.fromkeys(natives))}
    levels, counts = read_ladders([text for one in messages for text in (one.b, one.a)])
    return make_books(
        [names[native] for native in places],
        np.fromiter(map(places.__getitem__, natives), np.int32, len(natives)),
        levels,
        counts,
        ns([message.T or message.E for message in messages]),
        first=np.array([message.U for message in messages], np.int64),
        last=np.array([message.u for message in messages], np.int64),
        previous=np.array([message.pu for message in messages], np.int64),
    )


def read_snapshot(body: bytes, symbol: str, now: int) -> Updates:
    """Return the book of an answer over REST; of the time `now` where it tells none (spot)."""
    depth = wire.decode_snapshot(body)
    last = np.array([depth.lastUpdateId], np.int64)
    ts = ns([depth.T]) if depth.T else np.array([now], np.int64)
    levels, counts = read_ladders([depth.bids, depth.asks])
    code, previous = np.zeros(1, np.int32), np.full(1, NONE, np.int64)
    return make_books(
        [symbol], code, levels, counts, ts,
        first=last, last=last, previous=previous, snapshot=True,
    )  # fmt: skip


def make_books(
    symbols: list[str],
    code: NDArray[np.int32],
    levels: NDArray[np.float64],
    counts: NDArray[np.int64],
    ts: NDArray[np.int64],
    *,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    previous: NDArray[np.int64],
    snapshot: bool = False,
) -> Updates:
    """Return messages of these columns; `counts` are levels of bids and asks in turn."""
    offsets = np.zeros(len(code) + 1, np.int64)
    np.cumsum(counts[::2] + counts[1::2], out=offsets[1:])
    return Updates(
        symbols=tuple(symbols),
        code=code,
        ts_event=ts,
        first=first,
        last=last,
        previous=previous,
        snapshot=np.full(len(code), snapshot),
        checksum=np.full(len(code), NONE, np.int64),
        offsets=offsets,
        side=np.tile(_SIDES, len(code)).repeat(counts),
        price=levels[:, 0],
        size=levels[:, 1],
    )


def read_stats(frames: Sequence[Frame], names: Mapping[str, str]) -> pa.RecordBatch | None:
    """Return what markPrice tells: a row for each of its figures that there is."""
    if not frames:
        return None
    marks: list[wire.MarkPrice] = _events(wire.decode_mark, frames)
    told = [
        (names[mark.s], mark.E, name, float(text))
        for mark in marks
        for field, name in MARKS.items()
        if (text := getattr(mark, field))
    ]
    symbols, times, called, values = zip(*told, strict=True) if told else ((), (), (), ())
    columns = {"symbol": symbols, "ts_event": ns(times), "name": called, "value": values}
    return make_rows(STATS, len(told), columns)


def ns(ms: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return times in ns; raises `ValueError` for one that no clock shows."""
    times = np.asarray(ms, np.int64)
    if times.size and not 0 <= times.min() <= times.max() < _MS_MAX:
        raise ValueError("a time is not in milliseconds since 1970")
    return times * NS_PER_MS
