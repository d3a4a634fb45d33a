"""Cells: several grids at once, so that rows are built to states once and rolled up to each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.model.times import NS_PER_S

Ints = NDArray[np.int64]


class Cells:
    """The cells into which the edges of several grids cut time: none crosses an edge.

    States that are built once on the cells can be rolled up to each of the grids. A cell starts
    with the latest of the candles that a time is in: two times with the same latest start cannot
    have an edge between them, for a candle would start there, and later.
    """

    unit_ns = NS_PER_S

    def __init__(self, grids: Sequence[Grid]) -> None:
        self._grids = tuple(grids)
        self.length_ns = min(grid.length_ns for grid in self._grids)

    def starts(self, ts: Ints) -> Ints:
        """Return the start of the cell of each time, shape (n,)."""
        starts = self._grids[0].cuts(ts)
        for grid in self._grids[1:]:
            np.maximum(starts, grid.cuts(ts), out=starts)
        return starts

    def range(self, start: int, end: int) -> Ints:
        """Return all starts b with `start of start's cell <= b < end`, rising."""
        first = int(self.starts(np.array([start], np.int64))[0])
        later = [grid.cut_range(first, end) for grid in self._grids]
        edges = np.unique(np.concatenate(later))
        return edges[np.searchsorted(edges, first) :]

    def inside(self, ts: Ints) -> None:
        """Say that all times count: which of the grids they count for shows when rolled up."""
