"""The other sides of B3: loops over frames in plain Python, which end in the same columns.

`untyped(loads, words)` decodes each frame to dictionaries and appends its numbers to lists;
`typed_binance` and its likes do the same over typed structures, with only the fields that are
needed, and prices read as floats by the decoder.
`Columns.close` makes arrays of a batch, as ours does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import numpy as np

Loads = Callable[[bytes], Any]
Made = dict[str, list[np.ndarray]]


@dataclass
class Totals:
    """What came out, to be compared between the sides."""

    rows: dict[str, int] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, count: int, numbers: np.ndarray) -> None:
        self.rows[name] = self.rows.get(name, 0) + count
        self.sums[name] = self.sums.get(name, 0.0) + float(numbers.sum())

    def add_all(self, made: Made) -> None:
        for name, numbers in made.items():
            self.add(name, len(numbers[0]), np.concatenate(numbers))

    def check(self, other: Totals) -> None:
        if self.rows != other.rows:
            raise AssertionError(f"rows {self.rows} are not {other.rows}")
        for name, total in other.sums.items():
            if not np.isclose(self.sums[name], total, rtol=1e-9):
                raise AssertionError(f"{name}: {self.sums[name]} is not {total}")


class Columns:
    """Lists of a batch: trades, quotes, and levels of books with their messages."""

    def __init__(self) -> None:
        self.trades: list[tuple[Any, ...]] = []
        self.quotes: list[tuple[Any, ...]] = []
        self.books: list[tuple[Any, ...]] = []
        self.levels: list[tuple[float, float]] = []

    def close(self) -> Made:
        """Make arrays: symbols, times, numbers; return the numbers by what they are of."""
        made: Made = {}
        for name, rows in (("trades", self.trades), ("quotes", self.quotes)):
            if rows:
                symbols, times, *numbers = zip(*rows, strict=True)
                np.array(symbols)
                np.array(times, np.int64)
                made[name] = [np.array(column, np.float64) for column in numbers]
        if self.books:
            symbols, times, counts = zip(*self.books, strict=True)
            np.array(symbols)
            np.array(times, np.int64)
            np.cumsum(counts)
            made["levels"] = [np.array(self.levels, np.float64)]
        return made


Words = Callable[[Any, Columns], None]


def untyped(loads: Loads, words: Words) -> Callable[[Sequence[bytes]], Made]:
    def run(frames: Sequence[bytes]) -> Made:
        columns = Columns()
        for frame in frames:
            words(loads(frame), columns)
        return columns.close()

    return run


def binance(message: Any, columns: Columns) -> None:
    data = message.get("data")
    stream = message["stream"]
    if "@depth" in stream:
        changed = [(float(p), float(q)) for p, q in data["b"]]
        changed += [(float(p), float(q)) for p, q in data["a"]]
        columns.levels += changed
        ms = data.get("T") or data["E"]
        columns.books.append((data["s"], ms * 1_000_000, len(changed)))
    elif "@bookTicker" in stream:
        numbers = [float(data[key]) for key in ("b", "B", "a", "A")]
        columns.quotes.append((data["s"], data.get("T", 0) * 1_000_000, *numbers))
    elif "@aggTrade" in stream:
        numbers = float(data["p"]), float(data["q"])
        columns.trades.append((data["s"], data["T"] * 1_000_000, *numbers))


def coinbase(message: Any, columns: Columns) -> None:
    kind, product = message["type"], message.get("product_id")
    if kind == "l2update":
        changed = [(float(p), float(q)) for _, p, q in message["changes"]]
        columns.levels += changed
        columns.books.append((product, _ns(message["time"]), len(changed)))
    elif kind == "snapshot":
        changed = [(float(p), float(q)) for side in ("bids", "asks") for p, q in message[side]]
        columns.levels += changed
        columns.books.append((product, 0, len(changed)))
    elif kind in ("match", "last_match"):
        numbers = float(message["price"]), float(message["size"])
        columns.trades.append((product, _ns(message["time"]), *numbers))
    elif kind == "ticker":
        numbers = [float(message[key]) for key in ("best_bid", "best_ask")]
        columns.quotes.append((product, _ns(message["time"]), *numbers))


def kraken(message: Any, columns: Columns) -> None:
    """Version 1, as it was recorded: books only, each level with a time of its own."""
    if isinstance(message, dict):
        return
    changed, last = [], 0.0
    for part in message[1:-2]:
        for key in ("as", "a", "bs", "b"):
            for level in part.get(key, ()):
                changed.append((float(level[0]), float(level[1])))
                last = max(last, float(level[2]))
    columns.levels += changed
    columns.books.append((message[-1], int(last * 1e9), len(changed)))


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6) * 1_000


class Depth(msgspec.Struct, gc=False):
    s: str
    E: int
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]
    T: int = 0


class Quote(msgspec.Struct, gc=False):
    s: str
    b: float
    B: float
    a: float
    A: float
    T: int = 0


class Trade(msgspec.Struct, gc=False):
    s: str
    p: float
    q: float
    T: int


class DepthFrame(msgspec.Struct, gc=False):
    data: Depth


class QuoteFrame(msgspec.Struct, gc=False):
    data: Quote


class TradeFrame(msgspec.Struct, gc=False):
    data: Trade


_depth = msgspec.json.Decoder(DepthFrame, strict=False).decode
_quote = msgspec.json.Decoder(QuoteFrame, strict=False).decode
_trade = msgspec.json.Decoder(TradeFrame, strict=False).decode


def typed_binance(frames: Sequence[bytes]) -> Made:
    columns = Columns()
    for frame in frames:
        if b"@depth" in frame[:60]:
            depth = _depth(frame).data
            columns.levels += depth.b
            columns.levels += depth.a
            ms = depth.T or depth.E
            columns.books.append((depth.s, ms * 1_000_000, len(depth.b) + len(depth.a)))
        elif b"@bookTicker" in frame[:60]:
            quote = _quote(frame).data
            ns = quote.T * 1_000_000
            columns.quotes.append((quote.s, ns, quote.b, quote.B, quote.a, quote.A))
        elif b"@aggTrade" in frame[:60]:
            trade = _trade(frame).data
            columns.trades.append((trade.s, trade.T * 1_000_000, trade.p, trade.q))
    return columns.close()


class Update(msgspec.Struct, tag_field="type", tag="l2update", gc=False):
    product_id: str
    time: str
    changes: list[tuple[str, float, float]]


class Snapshot(msgspec.Struct, tag_field="type", tag="snapshot", gc=False):
    product_id: str
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class Match(msgspec.Struct, tag_field="type", tag="match", gc=False):
    product_id: str
    time: str
    price: float
    size: float


class LastMatch(Match, tag="last_match", gc=False):
    pass


class Ticker(msgspec.Struct, tag_field="type", tag="ticker", gc=False):
    product_id: str
    time: str
    best_bid: float
    best_ask: float


class Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions", gc=False):
    pass


_coinbase = msgspec.json.Decoder(
    Update | Snapshot | Match | LastMatch | Ticker | Subscriptions, strict=False
).decode


def typed_coinbase(frames: Sequence[bytes]) -> Made:
    columns = Columns()
    for frame in frames:
        message = _coinbase(frame)
        kind = type(message)
        if kind is Update:
            columns.levels += [(price, size) for _, price, size in message.changes]
            columns.books.append((message.product_id, _ns(message.time), len(message.changes)))
        elif kind is Snapshot:
            columns.levels += message.bids
            columns.levels += message.asks
            count = len(message.bids) + len(message.asks)
            columns.books.append((message.product_id, 0, count))
        elif kind is Match or kind is LastMatch:
            numbers = message.price, message.size
            columns.trades.append((message.product_id, _ns(message.time), *numbers))
        elif kind is Ticker:
            numbers = message.best_bid, message.best_ask
            columns.quotes.append((message.product_id, _ns(message.time), *numbers))
    return columns.close()


class KrakenLevel(msgspec.Struct, array_like=True, gc=False):
    price: float
    size: float
    time: float


class KrakenPart(msgspec.Struct, gc=False):
    whole_asks: list[KrakenLevel] = msgspec.field(name="as", default=[])
    asks: list[KrakenLevel] = msgspec.field(name="a", default=[])
    whole_bids: list[KrakenLevel] = msgspec.field(name="bs", default=[])
    bids: list[KrakenLevel] = msgspec.field(name="b", default=[])


class KrakenBook(msgspec.Struct, array_like=True, gc=False):
    id: int
    part: KrakenPart
    second: KrakenPart | str
    third: str
    fourth: str | None = None


_kraken = msgspec.json.Decoder(KrakenBook, strict=False).decode


def typed_kraken(frames: Sequence[bytes]) -> Made:
    columns = Columns()
    for frame in frames:
        if frame[:1] != b"[":
            continue
        message = _kraken(frame)
        pair, changed = message.third, _kraken_levels(message.part)
        if message.fourth is not None:
            pair = message.fourth
            changed += _kraken_levels(message.second)
        columns.levels += [(level.price, level.size) for level in changed]
        last = max([level.time for level in changed], default=0.0)
        columns.books.append((pair, int(last * 1e9), len(changed)))
    return columns.close()


def _kraken_levels(part: KrakenPart) -> list[KrakenLevel]:
    return [*part.whole_asks, *part.asks, *part.whole_bids, *part.bids]
