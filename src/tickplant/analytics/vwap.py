"""The volume-weighted average price over several bars, by exact sums.

A bar's volume and vwap are float64, that is whole numbers times a power of two. Their products and
sums are kept as Python integers, so nothing is rounded until the quotient is, once. That makes a
sum that slides over the bars the same as one that is added up anew.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SHIFT = 1074
"""Every float64 is a whole number of units of 2^-1074."""


def rolling_vwap(volume: Floats, vwap: Floats, period: int) -> Floats:
    """Return sum(volume * vwap) / sum(volume) over each bar and the `period - 1` before it.

    All shapes (n,). NaN for the first `period - 1` bars, and where nothing was traded with a size.
    """
    sizes, notionals = _exact(volume, vwap)
    found = np.full(len(volume), np.nan)
    size = notional = 0
    for place in range(len(volume)):
        size += sizes[place]
        notional += notionals[place]
        if place >= period:
            size -= sizes[place - period]
            notional -= notionals[place - period]
        if place >= period - 1 and size:
            found[place] = _quotient(notional, size)
    return found


def anchored_vwap(volume: Floats, vwap: Floats, anchors: Ints) -> Floats:
    """Return sum(volume * vwap) / sum(volume) over the bars of an anchor, up to each one.

    All shapes (n,); bars of one anchor (a trading day) stand together, in order. NaN until
    something was traded with a size.
    """
    sizes, notionals = _exact(volume, vwap)
    found = np.full(len(volume), np.nan)
    size = notional = 0
    for place, anchor in enumerate(anchors.tolist()):
        if place and anchor != anchors[place - 1]:
            size = notional = 0
        size += sizes[place]
        notional += notionals[place]
        if size:
            found[place] = _quotient(notional, size)
    return found


def _exact(volume: Floats, vwap: Floats) -> tuple[list[int], list[int]]:
    """Return volumes in units of 2^-1074, and volume times vwap in units of 2^-2148."""
    sizes = [_units(value) for value in volume.tolist()]
    prices = [_units(value) for value in np.nan_to_num(vwap).tolist()]
    return sizes, [size * price for size, price in zip(sizes, prices, strict=True)]


def _units(value: float) -> int:
    numerator, denominator = value.as_integer_ratio()
    return numerator << (_SHIFT + 1 - denominator.bit_length())


def _quotient(notional: int, size: int) -> float:
    # A quotient of integers is rounded correctly, whatever their size.
    return notional / (size << _SHIFT)
