"""A random market by seed: books that never cross, trades at their best prices, quotes of both."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from random import Random

from venues.venue_truth import Event, Instrument, Level, Truth

DEPTH = 30
"""Levels of a side that a book is begun with."""


def open_book(truth: Truth, instrument: Instrument, random: Random) -> Event:
    """Fill an empty book around a random price."""
    middle = random.randrange(20_000, 60_000)
    levels: list[Level] = []
    for offset in range(1, DEPTH + 1):
        for side, sign in (("bid", -1), ("ask", 1)):
            levels.append(
                (side, (middle + sign * offset) * instrument.tick, _size(instrument, random))
            )
    return Event("book", instrument.symbol, truth.change(instrument.symbol, truth.now(), levels))


def steps(truth: Truth, symbols: list[str], random: Random, count: int) -> Iterator[Event]:
    """Make `count` steps true, each one or a few events, yielded as they become true."""
    for _ in range(count):
        symbol = random.choice(symbols)
        instrument, book = truth.instruments[symbol], truth.books[symbol]
        if not book.bids or not book.asks:
            yield open_book(truth, instrument, random)
        before = book.best("bid", 1), book.best("ask", 1)
        if random.random() < 0.3:
            yield _trade(truth, instrument, random)
        levels = _moves(truth, instrument, random)
        yield Event("book", symbol, truth.change(symbol, truth.now(), levels))
        if (book.best("bid", 1), book.best("ask", 1)) != before:
            yield truth.apply({"kind": "quote", "symbol": symbol})


def _trade(truth: Truth, instrument: Instrument, random: Random) -> Event:
    side = random.choice(["buy", "sell"])
    price = truth.books[instrument.symbol].best("ask" if side == "buy" else "bid", 1)[0][0]
    spoken = {"kind": "trade", "symbol": instrument.symbol, "price": price, "side": side}
    return truth.apply(spoken | {"size": _size(instrument, random)})


def _moves(truth: Truth, instrument: Instrument, random: Random) -> list[Level]:
    """Level changes that leave the book uncrossed and neither of its sides empty."""
    book = truth.books[instrument.symbol]
    levels: list[Level] = []
    side = random.choice(["bid", "ask"])
    sign = -1 if side == "bid" else 1
    ladder, other = book.best(side), book.best("ask" if side == "bid" else "bid")
    best = ladder[0][0]
    if random.random() < 0.25 and len(ladder) > 3:
        levels.append((side, random.choice(ladder[:5])[0], Decimal(0)))
    for _ in range(random.randrange(1, 4)):
        price = best + sign * random.randrange(-2, DEPTH) * instrument.tick
        if price <= 0 or price in {changed for _, changed, _ in levels}:
            continue
        levels.append((side, price, _size(instrument, random)))
        # What the new price reaches on the other side is taken, but never the last of it.
        crossed = [p for p, _ in other if (p - price) * sign >= 0]
        if len(crossed) >= len(other):
            levels.pop()
            continue
        taken = "ask" if side == "bid" else "bid"
        already = {changed for of, changed, _ in levels if of == taken}
        levels += [(taken, p, Decimal(0)) for p in crossed if p not in already]
    return levels or [(side, best, _size(instrument, random))]


def _size(instrument: Instrument, random: Random) -> Decimal:
    return random.randrange(1, 5_000) * instrument.lot
