"""One order book: two sides of price levels, the best one always at hand.

A side keeps its sizes by price and its prices in order, the best one last: what happens in a book
happens near its best prices, and at the end of a list insertion and removal move least.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tickplant.model.events import ASK, BID


class Level(NamedTuple):
    """A price level; `orders` is how many orders make it up, None where nobody says."""

    price: float
    size: float
    orders: int | None = None


class Side:
    """The levels of one side. Not for several threads at once."""

    __slots__ = ("_keys", "_orders", "_sign", "_sizes")

    def __init__(self, side: int) -> None:
        self._sign = 1.0 if side == BID else -1.0
        self._keys: list[float] = []  # prices, negative ones of an ask: ascending, the best last
        self._sizes: dict[float, float] = {}
        self._orders: dict[float, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, price: float) -> bool:
        return price in self._sizes

    def set(self, price: float, size: float, orders: int | None = None) -> None:
        """Put the level at a price to a size; 0 removes it, and removing what is not there is fine.

        Price and size must be finite, the size not negative.
        """
        if size:
            if price not in self._sizes:
                insort(self._keys, price * self._sign)
            self._sizes[price] = size
            if orders is not None:
                self._orders[price] = orders
        elif self._sizes.pop(price, None) is not None:
            key = price * self._sign
            del self._keys[bisect_left(self._keys, key)]
            self._orders.pop(price, None)

    def fill(self, levels: Iterable[Level]) -> None:
        """Put these levels, in any order, in place of all there are."""
        kept = {level.price: level for level in levels}
        self._sizes = {price: level.size for price, level in kept.items() if level.size}
        self._orders = {
            price: kept[price].orders or 0
            for price in self._sizes
            if kept[price].orders is not None
        }
        self._keys = sorted(price * self._sign for price in self._sizes)

    def clear(self) -> None:
        """Remove every level."""
        self._keys.clear()
        self._sizes.clear()
        self._orders.clear()

    @property
    def best(self) -> float | None:
        """The best price, None of an empty side."""
        return self._keys[-1] * self._sign if self._keys else None

    def size(self, price: float) -> float:
        """Return the size at a price, 0 where there is no level."""
        return self._sizes.get(price, 0.0)

    def top(self, count: int = 0) -> list[Level]:
        """Return the best levels, the best first; 0 is all."""
        keys = self._keys[-count:] if count else self._keys
        sizes, orders, sign = self._sizes, self._orders, self._sign
        prices = [key * sign for key in reversed(keys)]
        if not orders:
            return [Level(price, sizes[price]) for price in prices]
        return [Level(price, sizes[price], orders.get(price)) for price in prices]

    def best_by_price(self, count: int = 0) -> dict[float, tuple[float, int | None]]:
        """Return size and orders of the best levels by price; 0 is all."""
        keys = self._keys[-count:] if count else self._keys
        sizes, orders = self._sizes, self._orders
        if self._sign < 0:
            keys = [-key for key in keys]
        if not orders:
            return {price: (sizes[price], None) for price in keys}
        return {price: (sizes[price], orders.get(price)) for price in keys}

    def cut(self, depth: int) -> list[float]:
        """Remove what lies behind the best `depth` levels; return the prices removed."""
        beyond = len(self._keys) - depth
        if beyond <= 0:
            return []
        prices = [key * self._sign for key in self._keys[:beyond]]
        del self._keys[:beyond]
        for price in prices:
            del self._sizes[price]
            self._orders.pop(price, None)
        return prices


class Book:
    """Bids and asks of one instrument. Not for several threads at once."""

    __slots__ = ("asks", "bids")

    def __init__(self) -> None:
        self.bids = Side(BID)
        self.asks = Side(ASK)

    def side(self, side: int) -> Side:
        """Return the side of this code."""
        return self.bids if side == BID else self.asks

    def apply(
        self,
        sides: Sequence[int],
        prices: Sequence[float],
        sizes: Sequence[float],
        orders: Sequence[int | None] | None = None,
    ) -> None:
        """Set levels in their order; a price may come several times, and the last one counts."""
        bid, ask = self.bids.set, self.asks.set
        if orders is None:
            for side, price, size in zip(sides, prices, sizes, strict=True):
                (bid if side == BID else ask)(price, size)
            return
        for side, price, size, count in zip(sides, prices, sizes, orders, strict=True):
            (bid if side == BID else ask)(price, size, count)

    def replace(
        self,
        sides: Sequence[int],
        prices: Sequence[float],
        sizes: Sequence[float],
        orders: Sequence[int | None] | None = None,
    ) -> None:
        """Put these levels in place of all there are."""
        counts: Iterable[int | None] = orders if orders is not None else [None] * len(prices)
        levels: dict[int, list[Level]] = {BID: [], ASK: []}
        for side, price, size, count in zip(sides, prices, sizes, counts, strict=True):
            levels[side].append(Level(price, size, count))
        self.bids.fill(levels[BID])
        self.asks.fill(levels[ASK])

    def clear(self) -> None:
        """Remove every level."""
        self.bids.clear()
        self.asks.clear()

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask."""
        bid, ask = self.bids.best, self.asks.best
        return bid is not None and ask is not None and bid >= ask

    def __len__(self) -> int:
        return len(self.bids) + len(self.asks)
