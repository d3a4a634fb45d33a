"""What is measured of a book. No book means no number: None, never 0.

mid         (best bid + best ask) / 2
spread      best ask - best bid
spread_bps  spread / mid * 10,000
imbalance   bid / (bid + ask) of the sizes of the best five levels a side, from 0 to 1
signal      BUY_PRESSURE above an imbalance of 0.6, SELL_PRESSURE below 0.4, else NEUTRAL
depth_bps   the sizes of the levels at most so many basis points of the mid away from it, by side
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from tickplant.books.book import Level

Signal = Literal["BUY_PRESSURE", "SELL_PRESSURE", "NEUTRAL"]

IMBALANCE_LEVELS = 5
BUY_ABOVE, SELL_BELOW = 0.6, 0.4
BPS = 1e4


class Depth(NamedTuple):
    """The sizes near the mid by side, in the units of sizes."""

    bid: float
    ask: float


class Measures(NamedTuple):
    """What is measured of a book; prices in the instrument's own unit.

    Of a book without a level on both sides everything is None; `depth` is, too, where it was not
    asked for.
    """

    mid: float | None = None
    spread: float | None = None
    spread_bps: float | None = None
    imbalance: float | None = None
    signal: Signal | None = None
    depth: Depth | None = None


def measure(bids: Sequence[Level], asks: Sequence[Level], bps: float | None = None) -> Measures:
    """Measure levels, the best first; with `bps` also the depth within so many basis points."""
    if not bids or not asks:
        return Measures()
    mid = (bids[0].price + asks[0].price) / 2
    spread = asks[0].price - bids[0].price
    imbalance = _imbalance(bids, asks)
    return Measures(
        mid,
        spread,
        spread / mid * BPS if mid else None,
        imbalance,
        None if imbalance is None else signal_of(imbalance),
        None if bps is None else _depth(bids, asks, mid, bps),
    )


def signal_of(imbalance: float) -> Signal:
    """Return what an imbalance says of the market."""
    if imbalance > BUY_ABOVE:
        return "BUY_PRESSURE"
    return "SELL_PRESSURE" if imbalance < SELL_BELOW else "NEUTRAL"


def _imbalance(bids: Sequence[Level], asks: Sequence[Level]) -> float | None:
    bid = sum(level.size for level in bids[:IMBALANCE_LEVELS])
    ask = sum(level.size for level in asks[:IMBALANCE_LEVELS])
    return bid / (bid + ask) if bid + ask else None


def _depth(bids: Sequence[Level], asks: Sequence[Level], mid: float, bps: float) -> Depth:
    reach = abs(mid) * bps / BPS
    return Depth(
        sum((level.size for level in bids if level.price >= mid - reach), 0.0),
        sum((level.size for level in asks if level.price <= mid + reach), 0.0),
    )
