"""Arrays by number of an instrument: making room in them, and running over groups of rows."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_Value = TypeVar("_Value", bound=np.generic)


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


def looked_up(values: NDArray[_Value], numbers: Ints, filler: object) -> NDArray[_Value]:
    """Return the value of each number, `filler` where there is no room for it; a copy."""
    if not numbers.size or int(numbers.max()) < values.size:
        return values[numbers]
    found = np.full(numbers.shape, filler, values.dtype)
    known = numbers < values.size
    found[known] = values[numbers[known]]
    return found


def distinct(numbers: NDArray[np.integer]) -> Ints:
    """Return the different ones of some numbers of instruments, rising."""
    if not numbers.size:
        return np.empty(0, np.int64)
    high = int(numbers.max())
    if high > 64 * numbers.size:
        return np.unique(numbers).astype(np.int64)
    # So close together, a mark for each is many times faster than any order.
    marks = np.zeros(high + 1, np.bool_)
    marks[numbers] = True
    return np.flatnonzero(marks)
