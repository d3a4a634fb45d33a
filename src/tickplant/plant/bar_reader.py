"""Reading enough bars, and not many more, from either end of a span of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tickplant.candles.grid import Grid
from tickplant.candles.states import States, empty, merge
from tickplant.plant.bars import states_between
from tickplant.store.contract import AsOf, Store

_BARS_AT_FIRST = 1_000


@dataclass(frozen=True, slots=True)
class BarReader:
    """Reads bars of one instrument, grid and basis. `span` is its first and last event's time."""

    store: Store
    instrument: int
    grid: Grid
    basis: str
    as_of: AsOf
    span: tuple[int, int] | None

    def read(self, start: int | None, end: int | None, limit: int | None) -> States:
        """Return the bars whose start lies in `[floor(start), end)`, ascending.

        The first `limit` of them, or without `start` the newest `limit`.
        """
        if self.span is None or limit == 0:
            return empty()
        grid = self.grid
        low = grid.floor(self.span[0] if start is None else max(self.span[0], start))
        last = self.span[1] if end is None else min(self.span[1], end - 1)
        if last < low:
            return empty()
        high = grid.next(grid.floor(last))
        return self._newest(low, high, limit) if start is None else self._oldest(low, high, limit)

    def _oldest(self, low: int, high: int, limit: int | None) -> States:
        parts: list[States] = []
        at, width = low, self._width(limit)
        while at < high and not _enough(parts, limit):
            until = high
            if high - at > width:
                until = min(self.grid.next(self.grid.floor(at + width)), high)
            parts.append(self._states(at, until))
            at, width = until, width * 4
        return merge(parts).take(slice(limit))

    def _newest(self, low: int, high: int, limit: int | None) -> States:
        parts: list[States] = []
        at, width = high, self._width(limit)
        while at > low and not _enough(parts, limit):
            since = low
            if at - low > width:
                since = max(self.grid.floor(at - width), low)
            parts.append(self._states(since, at))
            at, width = since, width * 4
        states = merge(parts)
        return states if limit is None else states.take(np.arange(len(states))[-limit:])

    def _width(self, limit: int | None) -> int:
        """Return how much time to read first: what the bars asked for span, and some more."""
        bars = _BARS_AT_FIRST if limit is None else limit + 1
        return bars * self.grid.interval.length_ns_max

    def _states(self, start: int, end: int) -> States:
        return states_between(
            self.store, self.instrument, self.grid, self.basis, start, end, self.as_of
        )


def _enough(parts: list[States], limit: int | None) -> bool:
    return limit is not None and sum(map(len, parts)) >= limit
