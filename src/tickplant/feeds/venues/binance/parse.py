"""Messages of Binance to columns, many of one kind at a time.

    frames ─► kind_of each ─► all of a kind: read_trades, read_quotes, read_books, read_stats

Nothing here remembers anything, so that a run of frames that holds a bad one can be read again
without it (`venues.columns.sift`). `names` gives the canonical symbol of a native one and raises
`UnknownSymbol` for one that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
from msgspec import Raw
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.binance import wire
from tickplant.feeds.venues.columns import make_rows
from tickplant.feeds.venues.contract import Frame
from tickplant.feeds.venues.ladders import read_ladders
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

_KINDS = {b"a": TRADES, b"b": QUOTES, b"d": BOOK, b"m": STATS}
"""The kind by the first letter of the stream's name behind its symbol."""

_MS_MAX = (1 << 63) // NS_PER_MS
_BUY, _SELL = 1, 2

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
    ids: NDArray[np.int64]
    ts: NDArray[np.int64]
    rows: pa.RecordBatch


def kinds_of(frames: Sequence[Frame]) -> list[str]:
    """Return the table that each frame is for, `OTHER` where it is for none."""
    # {"stream":"btcusdt@aggTrade","data":…: one letter tells nearly all of them.
    letters = [
        (data := frame.data)[(at := data.find(b"@", 10, 80) + 1) : at + 1] for frame in frames
    ]
    return [_KINDS.get(letter, OTHER) for letter in letters]


def read_trades(frames: Sequence[Frame], names: Mapping[str, str]) -> TradesRead | None:
    """Return trades in their order, None for no frames."""
    if not frames:
        return None
    trades = [wire.decode_trade(frame.data).data for frame in frames]
    return trade_columns([names[trade.s] for trade in trades], trades)


def trade_columns(
    symbols: list[str], trades: Sequence[wire.AggTrade] | Sequence[wire.PastTrade]
) -> TradesRead:
    """Return trades of the stream or of REST, which tell the same."""
    ts = _ns([trade.T for trade in trades])
    ids = np.array([trade.a for trade in trades], np.int64)
    sold = np.array([trade.m for trade in trades], np.bool_)
    columns = {
        "symbol": symbols,
        "ts_event": ts,
        "price": [trade.p for trade in trades],
        "size": [trade.q for trade in trades],
        "side": np.where(sold, _SELL, _BUY).astype(np.int8),
        "id": pa.array(ids).cast(pa.string()),
    }
    return TradesRead(symbols, ids, ts, make_rows(TRADES, len(trades), columns))


def read_quotes(frames: Sequence[Frame], names: Mapping[str, str]) -> pa.RecordBatch | None:
    """Return best quotes; of a time of receipt where the venue tells none, as on spot.

    A side without orders is sent as price 0 and becomes null.
    """
    if not frames:
        return None
    quotes = [wire.decode_quote(frame.data).data for frame in frames]
    sent = _ns([quote.T for quote in quotes])
    received = np.array([frame.ts_recv for frame in frames], np.int64)
    numbers = np.array([(one.b, one.B, one.a, one.A) for one in quotes], np.float64)
    columns = {
        "symbol": [names[quote.s] for quote in quotes],
        "ts_event": np.where(sent > 0, sent, received),
    }
    for at, side in ((0, "bid"), (2, "ask")):
        gone = numbers[:, at] == 0
        for column, name in ((at, f"{side}_price"), (at + 1, f"{side}_size")):
            columns[name] = pa.array(numbers[:, column], mask=gone if gone.any() else None)
    return make_rows(QUOTES, len(quotes), columns)


def read_books(frames: Sequence[Frame], names: Mapping[str, str]) -> Updates | None:
    """Return changes of books; within a message bids come before asks."""
    if not frames:
        return None
    messages = [wire.decode_depth(frame.data).data for frame in frames]
    numbers = np.array([(m.T or m.E, m.U, m.u, m.pu) for m in messages], np.int64)
    return _updates(
        [names[message.s] for message in messages],
        [text for message in messages for text in (message.b, message.a)],
        numbers,
        snapshot=False,
    )


def read_snapshot(body: bytes, symbol: str, now: int) -> Updates:
    """Return the book of an answer over REST; of the time `now` where it tells none (spot)."""
    depth = wire.decode_snapshot(body)
    last = depth.lastUpdateId
    numbers = np.array([(depth.T, last, last, NONE)], np.int64)
    found = _updates([symbol], [depth.bids, depth.asks], numbers, snapshot=True)
    if not depth.T:
        found.ts_event[0] = now
    return found


def _updates(
    symbols: list[str], ladders: list[Raw], numbers: NDArray[np.int64], *, snapshot: bool
) -> Updates:
    levels, counts = read_ladders(ladders)
    places = {symbol: place for place, symbol in enumerate(dict.fromkeys(symbols))}
    count = len(symbols)
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(counts.reshape(-1, 2).sum(axis=1), out=offsets[1:])
    return Updates(
        symbols=tuple(places),
        code=np.array([places[symbol] for symbol in symbols], np.int32),
        ts_event=_ns(numbers[:, 0]),
        first=numbers[:, 1],
        last=numbers[:, 2],
        previous=numbers[:, 3],
        snapshot=np.full(count, snapshot),
        checksum=np.full(count, NONE, np.int64),
        offsets=offsets,
        side=np.repeat(np.tile(np.array([BID, ASK], np.int8), count), counts),
        price=levels[:, 0],
        size=levels[:, 1],
    )


def read_stats(frames: Sequence[Frame], names: Mapping[str, str]) -> pa.RecordBatch | None:
    """Return what markPrice tells: a row for each of its figures that there is."""
    if not frames:
        return None
    marks = [wire.decode_mark(frame.data).data for frame in frames]
    told = [
        (names[mark.s], mark.E, name, float(text))
        for mark in marks
        for field, name in MARKS.items()
        if (text := getattr(mark, field))
    ]
    symbols, times, called, values = zip(*told, strict=True) if told else ((), (), (), ())
    columns = {"symbol": symbols, "ts_event": _ns(times), "name": called, "value": values}
    return make_rows(STATS, len(told), columns)


def _ns(ms: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return times in ns; raises `ValueError` for one that no clock shows."""
    times = np.asarray(ms, np.int64)
    if times.size and not 0 <= times.min() <= times.max() < _MS_MAX:
        raise ValueError("a time is not in milliseconds since 1970")
    return times * NS_PER_MS
