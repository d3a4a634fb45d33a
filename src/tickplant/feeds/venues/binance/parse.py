"""Messages of Binance to columns, many of one kind at a time.

    frames ─► sort_frames ─► all of a kind: read_trades, read_quotes, read_books, read_stats

Nothing here remembers anything, so that a run of frames that holds a bad one can be read again
without it (`venues.columns.sift`). `names` gives the canonical symbol of a native one and raises
`UnknownSymbol` for one that nobody asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from msgspec import Raw, UnsetType
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

_LETTERS = {name[0].encode(): table for table, name in STREAMS.items()}
_TABLES = {name.partition("@")[0]: table for table, name in STREAMS.items()}

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
        at = data.find(b"@", 10, 80) + 1
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
    ids = [trade.a for trade in trades]
    sold = np.array([trade.m for trade in trades], np.bool_)
    columns = {
        "symbol": symbols,
        "ts_event": ts,
        "price": [trade.p for trade in trades],
        "size": [trade.q for trade in trades],
        "side": np.where(sold, _SELL, _BUY).astype(np.int8),
        "id": list(map(str, ids)),
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
    if not sent.all():
        sent = np.where(sent > 0, sent, [frame.ts_recv for frame in frames])
    columns = {
        "symbol": [names[quote.s] for quote in quotes],
        "ts_event": sent,
        **_side("bid", [quote.b for quote in quotes], [quote.B for quote in quotes]),
        **_side("ask", [quote.a for quote in quotes], [quote.A for quote in quotes]),
    }
    return make_rows(QUOTES, len(quotes), columns)


def _side(side: str, price: list[float], size: list[float]) -> dict[str, Any]:
    prices, sizes = np.array(price), np.array(size)
    if prices.all():
        return {f"{side}_price": prices, f"{side}_size": sizes}
    gone = prices == 0
    return {
        f"{side}_price": pa.array(prices, mask=gone),
        f"{side}_size": pa.array(sizes, mask=gone),
    }


def read_books(frames: Sequence[Frame], names: Mapping[str, str]) -> Updates | None:
    """Return changes of books; within a message bids come before asks."""
    if not frames:
        return None
    messages = [wire.decode_depth(frame.data).data for frame in frames]
    places: dict[str, int] = {}
    code = [places.setdefault(message.s, len(places)) for message in messages]
    return _updates(
        [names[native] for native in places],
        code,
        [text for message in messages for text in (message.b, message.a)],
        _ns([message.T or message.E for message in messages]),
        first=[message.U for message in messages],
        last=[message.u for message in messages],
        previous=[message.pu for message in messages],
    )


def read_snapshot(body: bytes, symbol: str, now: int) -> Updates:
    """Return the book of an answer over REST; of the time `now` where it tells none (spot)."""
    depth = wire.decode_snapshot(body)
    last = [depth.lastUpdateId]
    ts = _ns([depth.T]) if depth.T else np.array([now], np.int64)
    ladders = [depth.bids, depth.asks]
    return _updates(
        [symbol], [0], ladders, ts, first=last, last=last, previous=[NONE], snapshot=True
    )


def _updates(
    symbols: list[str],
    code: list[int],
    ladders: list[Raw],
    ts: NDArray[np.int64],
    *,
    first: list[int],
    last: list[int],
    previous: list[int],
    snapshot: bool = False,
) -> Updates:
    levels, counts = read_ladders(ladders)
    offsets = np.zeros(len(code) + 1, np.int64)
    np.cumsum(counts[::2] + counts[1::2], out=offsets[1:])
    return Updates(
        symbols=tuple(symbols),
        code=np.array(code, np.int32),
        ts_event=ts,
        first=np.array(first, np.int64),
        last=np.array(last, np.int64),
        previous=np.array(previous, np.int64),
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
