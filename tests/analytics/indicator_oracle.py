"""Textbook indicators in decimals of 60 digits, over the whole history; no code of the product."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, getcontext
from fractions import Fraction
from itertools import pairwise

getcontext().prec = 60

Series = list[Decimal | None]


def decimals(values: Sequence[float]) -> list[Decimal]:
    return [Decimal(value) for value in values]


def sma(values: Sequence[float], period: int) -> Series:
    x = decimals(values)
    return [
        sum(x[i - period + 1 : i + 1]) / period if i >= period - 1 else None for i in range(len(x))
    ]


def wma(values: Sequence[float], period: int) -> Series:
    x, found = decimals(values), []
    for i in range(len(x)):
        if i < period - 1:
            found.append(None)
            continue
        weighed = sum((k + 1) * x[i - period + 1 + k] for k in range(period))
        found.append(weighed / (period * (period + 1) // 2))
    return found


def ema_of(x: Sequence[Decimal | None], period: int) -> Series:
    """Seeded with the mean of the first `period` values that there are."""
    found: Series = []
    seed: list[Decimal] = []
    last: Decimal | None = None
    for value in x:
        if value is None:
            found.append(None)
        elif last is None:
            seed.append(value)
            last = sum(seed) / period if len(seed) == period else None
            found.append(last)
        else:
            last += (value - last) * 2 / (period + 1)
            found.append(last)
    return found


def ema(values: Sequence[float], period: int) -> Series:
    return ema_of(decimals(values), period)


def macd(values: Sequence[float], fast: int, slow: int, signal: int) -> list[Series]:
    x = decimals(values)
    # The fast average begins so late that both have their first value at the same bar.
    late: Series = [None] * (slow - fast) + x[slow - fast :]
    pairs = zip(ema_of(late, fast), ema_of(x, slow), strict=True)
    line = [None if a is None or b is None else a - b for a, b in pairs]
    smooth = ema_of(line, signal)
    rest = [None if b is None else a - b for a, b in zip(line, smooth, strict=True)]
    return [[a if b is not None else None for a, b in zip(line, smooth, strict=True)], smooth, rest]


def wilder(x: Sequence[Decimal], period: int) -> Series:
    found: Series = []
    last: Decimal | None = None
    for i, value in enumerate(x):
        if i < period - 1:
            found.append(None)
            continue
        mean = sum(x[:period]) / period
        last = mean if last is None else (last * (period - 1) + value) / period
        found.append(last)
    return found


def rsi(values: Sequence[float], period: int) -> Series:
    x = decimals(values)
    moves = [b - a for a, b in pairwise(x)]
    gains = wilder([max(move, Decimal(0)) for move in moves], period)
    losses = wilder([max(-move, Decimal(0)) for move in moves], period)
    found: Series = [None]
    for gain, loss in zip(gains, losses, strict=True):
        if gain is None or loss is None or gain + loss == 0:
            found.append(None)
        else:
            found.append(100 - 100 / (1 + gain / loss) if loss else Decimal(100))
    return found[: len(x)]


def bbands(values: Sequence[float], period: int, deviations: float) -> list[Series]:
    x, middle = decimals(values), sma(values, period)
    lower: Series = []
    upper: Series = []
    for i, mean in enumerate(middle):
        if mean is None:
            lower.append(None)
            upper.append(None)
            continue
        variance = sum((one - mean) ** 2 for one in x[i - period + 1 : i + 1]) / period
        width = variance.sqrt() * Decimal(deviations)
        lower.append(mean - width)
        upper.append(mean + width)
    return [lower, middle, upper]


def atr(high: Sequence[float], low: Sequence[float], close: Sequence[float], period: int) -> Series:
    h, b, c = decimals(high), decimals(low), decimals(close)
    ranges = [
        max(h[i], c[i - 1]) - min(b[i], c[i - 1]) for i in range(1, len(h))
    ]  # what of the bar and the close before it lies farthest apart
    return [None, *wilder(ranges, period)][: len(h)]


def vwap(
    volume: Sequence[float], prices: Sequence[float | None], spans: Sequence[tuple[int, int]]
) -> list[float | None]:
    """Return the average over `[first, last]` of each span of bars, rounded once."""
    found = []
    for first, last in spans:
        sizes = [Fraction(volume[i]) for i in range(first, last + 1)]
        traded = [(size, prices[i]) for i, size in zip(range(first, last + 1), sizes, strict=True)]
        notional = sum((size * Fraction(price) for size, price in traded if price is not None))
        found.append(float(notional / sum(sizes)) if sum(sizes) else None)
    return found
