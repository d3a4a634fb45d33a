"""Arrays by number of an instrument: making room in them, and running over groups of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def highest_so_far(groups: Ints, values: Ints) -> Ints:
    """Return the highest value up to each place among those of its group; groups rise."""
    order = np.lexsort((values, groups))
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    # Ranks of a later group are above all before, so none of those carries over.
    found: Ints = values[order[np.maximum.accumulate(rank)]]
    return found


def grown(values: Ints, size: int, filler: int) -> Ints:
    """Return `values` with room for `size`, the new ones being `filler`; the same where it fits."""
    if size <= values.size:
        return values
    return np.append(values, np.full(max(size, 2 * values.size) - values.size, filler, np.int64))
