"""What is true at a fake venue: instruments, trades, quotes, books and statistics, exactly.

Prices and sizes are decimals and times whole nanoseconds, so that every dialect can write them in
its venue's own way and a test can compare what arrived digit by digit. Every change of the truth
is an `Event`; what became of its delivery is none of the truth's business.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

CHANNELS = {"trade": "trades", "quote": "quotes", "book": "book", "stat": "stats"}
"""The channel of each kind of event."""

Level = tuple[str, Decimal, Decimal]
"""`bid` or `ask`, price, size; a size of 0 removes the level."""


@dataclass(frozen=True)
class Instrument:
    """Canonical symbol and the venue's spelling of it; `extra` is what a dialect wants besides."""

    symbol: str
    native: str
    base: str
    quote: str
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal("0.001")
    kind: str = "spot"
    extra: Mapping[str, Any] = field(default_factory=dict)


class Trade(NamedTuple):
    """`side` is the taker's, `buy` or `sell`; ids count from 1 for each instrument."""

    id: int
    ts: int
    price: Decimal
    size: Decimal
    side: str


class Quote(NamedTuple):
    update: int
    ts: int
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal


class Change(NamedTuple):
    """One update of a book, with the numbers of its first and last level change."""

    ts: int
    first: int
    last: int
    previous: int
    levels: tuple[Level, ...]


class Stat(NamedTuple):
    ts: int
    name: str
    value: Decimal


class Event(NamedTuple):
    """A change of the truth; `value` is a Trade, Quote, Change or Stat by `kind`."""

    kind: str
    symbol: str
    value: Any

    @property
    def stream(self) -> tuple[str, str]:
        """The (symbol, channel) it goes out on."""
        return self.symbol, CHANNELS[self.kind]


@dataclass
class Book:
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)
    update: int = 0
    ts: int = 0

    def side(self, side: str) -> dict[Decimal, Decimal]:
        return self.bids if side == "bid" else self.asks

    def best(self, side: str, depth: int | None = None) -> list[tuple[Decimal, Decimal]]:
        """The levels of a side from the best on."""
        if depth == 1 and self.side(side):
            price = (max if side == "bid" else min)(self.side(side))
            return [(price, self.side(side)[price])]
        return sorted(self.side(side).items(), reverse=side == "bid")[:depth]


class Truth:
    """Instruments and all that happened to them. Times come from `clock`, see `at`."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.instruments = {one.symbol: one for one in instruments}
        self.trades: dict[str, list[Trade]] = {symbol: [] for symbol in self.instruments}
        self.quotes: dict[str, list[Quote]] = {symbol: [] for symbol in self.instruments}
        self.books = {symbol: Book() for symbol in self.instruments}
        self.stats: dict[str, list[Stat]] = {symbol: [] for symbol in self.instruments}
        self._fixed: int | None = None
        self._step = 0

    def now(self) -> int:
        """The venue's time, ns UTC: the wall clock's, or the one that was set, then moved on."""
        if self._fixed is None:
            return time.time_ns()
        self._fixed += self._step
        return self._fixed

    def set_clock(self, ts: int | None, step: int) -> None:
        """Let every event be `step` ns after the one before, from `ts` on; None: wall clock."""
        self._fixed, self._step = ts, step

    def native(self, name: str) -> Instrument | None:
        """The instrument by the venue's spelling, whatever its case."""
        wanted = name.upper()
        found = (one for one in self.instruments.values() if one.native.upper() == wanted)
        return next(found, None)

    def apply(self, spoken: Mapping[str, Any]) -> Event:
        """Make true what a test says, such as `{"kind": "trade", "symbol": …, "price": …}`.

        Left out: `ts` is now, a trade's `id` the next one, a quote that of the book's best levels.
        """
        kind, symbol = spoken["kind"], spoken["symbol"]
        ts = int(spoken["ts"]) if "ts" in spoken else self.now()
        made = getattr(self, f"_{kind}")(symbol, ts, spoken)
        return Event(kind, symbol, made)

    def _trade(self, symbol: str, ts: int, spoken: Mapping[str, Any]) -> Trade:
        past = self.trades[symbol]
        number = int(spoken.get("id", past[-1].id + 1 if past else 1))
        side = spoken.get("side", "buy")
        trade = Trade(number, ts, dec(spoken["price"]), dec(spoken.get("size", 1)), side)
        past.append(trade)
        return trade

    def _quote(self, symbol: str, ts: int, spoken: Mapping[str, Any]) -> Quote:
        book = self.books[symbol]
        values = []
        for side in ("bid", "ask"):
            best = book.best(side, 1)
            price, size = best[0] if best else (Decimal(0), Decimal(0))
            values += [dec(spoken.get(side, price)), dec(spoken.get(f"{side}_size", size))]
        quote = Quote(book.update, ts, *values)
        self.quotes[symbol].append(quote)
        return quote

    def _book(self, symbol: str, ts: int, spoken: Mapping[str, Any]) -> Change:
        levels = tuple((s, dec(p), dec(q)) for s, p, q in spoken["levels"])
        return self.change(symbol, ts, levels)

    def change(self, symbol: str, ts: int, levels: Sequence[Level]) -> Change:
        book = self.books[symbol]
        previous = book.update
        for side, price, size in levels:
            of_side = book.side(side)
            if size:
                of_side[price] = size
            else:
                of_side.pop(price, None)
        book.update, book.ts = previous + max(len(levels), 1), ts
        return Change(ts, previous + 1, book.update, previous, tuple(levels))

    def _stat(self, symbol: str, ts: int, spoken: Mapping[str, Any]) -> Stat:
        stat = Stat(ts, spoken["name"], dec(spoken["value"]))
        self.stats[symbol].append(stat)
        return stat

    def shown(self) -> dict[str, Any]:
        """Everything as JSON, decimals as text; a book's levels from the best on."""
        return {
            "trades": {s: [_plain(t) for t in rows] for s, rows in self.trades.items()},
            "quotes": {s: [_plain(q) for q in rows] for s, rows in self.quotes.items()},
            "stats": {s: [_plain(x) for x in rows] for s, rows in self.stats.items()},
            "books": {
                symbol: {
                    "update": book.update,
                    "ts": book.ts,
                    "bids": [_plain(level) for level in book.best("bid")],
                    "asks": [_plain(level) for level in book.best("ask")],
                }
                for symbol, book in self.books.items()
            },
        }


def dec(value: Any) -> Decimal:
    """A decimal of what JSON gave, by its shortest text."""
    return value if isinstance(value, Decimal) else Decimal(str(value))


def text(value: Decimal) -> str:
    """A decimal without an exponent, as venues write it."""
    return format(value, "f")


def _plain(values: tuple[Any, ...]) -> list[Any]:
    return [text(value) if isinstance(value, Decimal) else value for value in values]
