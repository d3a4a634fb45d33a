"""One value of each indicator from one window of the series, the newest value last.

A function takes windows of float64 without NaN, all of one length, and returns one number for each
column of the indicator. What TA-Lib computes is seeded at the beginning of the window; the window
is so long that the seed no longer shows, see `settle`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tickplant.analytics.library import talib

Floats = NDArray[np.float64]
Values = tuple[float, ...]
Formula = Callable[..., Values]

SEED_WEIGHT_MAX = 1e-12
"""The most that what lies before a window may weigh in a value that is averaged exponentially."""


def settle(alpha: float) -> int:
    """Return after how many steps a seed weighs less than `SEED_WEIGHT_MAX`.

    `alpha` is the weight of the newest value: the seed's is `(1 - alpha) ** steps`.
    """
    return math.ceil(math.log(SEED_WEIGHT_MAX) / math.log1p(-alpha)) if alpha < 1 else 0


def ema_weight(period: int) -> float:
    """Return the weight of the newest value in an exponential average: 2 / (period + 1)."""
    return 2 / (period + 1)


def wilder_weight(period: int) -> float:
    """Return the weight of the newest value in Wilder's average: 1 / period."""
    return 1 / period


def sma(values: Floats, *, period: int) -> Values:
    """Return the mean of the last `period` values: their sum, oldest first, divided (TA_SMA)."""
    return (float(talib().SMA(values[-period:], period)[-1]),)


def wma(values: Floats, *, period: int) -> Values:
    """Return the mean with weights 1, 2, … `period`, the newest weighing most (TA_WMA)."""
    return (float(talib().WMA(values[-period:], period)[-1]),)


def ema(values: Floats, *, period: int) -> Values:
    """Return the exponential average: e += (x - e) * 2 / (period + 1) (TA_EMA).

    It is seeded with the mean of the window's first `period` values.
    """
    return (float(talib().EMA(values, period)[-1]),)


def rsi(values: Floats, *, period: int) -> Values:
    """Return Wilder's relative strength index, 100 * gain / (gain + loss) (TA_RSI).

    `gain` and `loss` are averages of the rises and falls, seeded with the mean of the first
    `period` of them, then a = (a * (period - 1) + x) / period. NaN where no value of the window
    differs from another, for which TA-Lib gives 0. Source: J. W. Wilder, New Concepts in Technical
    Trading Systems, 1978.
    """
    found = float(talib().RSI(values, period)[-1])
    return (math.nan if found == 0.0 and np.ptp(values) == 0.0 else found,)


def macd(values: Floats, *, fast: int, slow: int, signal: int) -> Values:
    """Return MACD, its signal line and their difference, the histogram (TA_MACD).

    MACD is EMA(fast) - EMA(slow); both are seeded at the window's value number `slow`, the fast one
    with the mean of the `fast` values up to there. The signal is EMA(signal) of it. Source: G.
    Appel, The Moving Average Convergence-Divergence Trading Method, 1979.
    """
    line, smooth, rest = talib().MACD(values, fast, slow, signal)
    return float(line[-1]), float(smooth[-1]), float(rest[-1])


def bbands(values: Floats, *, period: int, deviations: float) -> Values:
    """Return Bollinger's bands: lower, middle, upper (TA_BBANDS).

    The middle is the mean of the last `period` values, the others are `deviations` standard
    deviations of the population (divided by `period`, not by one less) away from it. Source: J.
    Bollinger, Bollinger on Bollinger Bands, 2001.
    """
    upper, middle, lower = talib().BBANDS(values[-period:], period, deviations, deviations)
    return float(lower[-1]), float(middle[-1]), float(upper[-1])


def atr(high: Floats, low: Floats, close: Floats, *, period: int) -> Values:
    """Return Wilder's average true range (TA_ATR).

    The true range is the largest of high - low, |high - close before| and |low - close before|;
    the first bar of the window has none. Averaged as in `rsi`. Source: as there.
    """
    return (float(talib().ATR(high, low, close, period)[-1]),)
