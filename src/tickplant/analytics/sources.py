"""The series that an indicator is computed of: a column of the bars, or a mean of some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BAR_COLUMNS = ("open", "high", "low", "close", "volume", "vwap")
"""The columns of a bar that sources are made of."""

_MEANS = {
    "hl2": ("high", "low"),
    "hlc3": ("high", "low", "close"),
    "ohlc4": ("open", "high", "low", "close"),
}
SOURCES = ("open", "high", "low", "close", *_MEANS, "volume")
"""What the parameter `source` may say; a mean adds its columns in this order, then divides."""


def source_column(bars: Mapping[str, Floats], source: str) -> Floats:
    """Return the values of a source, shape (n,), NaN where a bar has none.

    `bars` are columns of shape (n,) by name. A bar that has no close has no value of any source,
    because it only stands for a time without events.
    """
    columns = _MEANS.get(source, (source,))
    total = np.array(bars[columns[0]], dtype=np.float64)
    for name in columns[1:]:
        total += bars[name]
    if len(columns) > 1:
        total /= len(columns)
    total[np.isnan(bars["close"])] = np.nan
    return total


def columns_for(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of a bar that `source_column` reads for these sources."""
    needed = {"close"}
    for source in sources:
        needed.update(_MEANS.get(source, (source,)))
    return tuple(name for name in BAR_COLUMNS if name in needed)
