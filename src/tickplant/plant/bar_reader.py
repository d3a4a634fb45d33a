"""Reading enough bars, and not many more, from either end of a span of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.states import States, empty, merge
from tickplant.model.at_once import about_to_wait
from tickplant.plant.bars import states_between, states_of_bars
from tickplant.store.contract import AsOf, Store


@dataclass(frozen=True, slots=True)
class BarReader:
    """Reads bars of one instrument, grid and basis. `span` is its first and last event's time."""

    store: Store
    instrument: int
    grid: Grid
    basis: str
    as_of: AsOf
    span: tuple[int, int] | None
    rules: InstrumentRules

    def read(self, start: int | None, end: int | None, limit: int | None) -> States:
        """Return the bars whose start lies in `[floor(start), end)`, ascending.

        The first `limit` of them, or without `start` the newest `limit`.
        """
        bounds = self.bounds(start, end, limit)
        if bounds is None:
            return empty()
        if limit is None:
            return self._states(*bounds)
        return self._newest(*bounds, limit) if start is None else self._oldest(*bounds, limit)

    def bounds(
        self, start: int | None, end: int | None, limit: int | None
    ) -> tuple[int, int] | None:
        """Return the starts, `[low, high)`, that `read` looks at; None where it looks at none.

        Raises `InvalidParameter` for times that the grid's calendar does not know.
        """
        if self.span is None or limit == 0:
            return None
        grid = self.grid
        first = self.span[0] if start is None else max(self.span[0], start)
        low = grid.floor(first)
        last = self.span[1] if end is None else min(self.span[1], end - 1)
        if last < low:
            return None
        newest = start is None and limit is not None
        grid.check_known(last if newest else first, last)
        return low, grid.next(grid.floor(last))

    def rebuilt(self, starts: Sequence[int]) -> States:
        """Return the bars that start at these times, built from the store; empty ones left out."""
        about_to_wait()
        return states_of_bars(
            self.store, self.instrument, self.grid, self.basis, starts, self.as_of, self.rules
        )

    def _oldest(self, low: int, high: int, limit: int) -> States:
        parts: list[States] = []
        at, width = low, self._width(limit)
        while at < high and not _enough(parts, limit):
            until = high
            if high - at > width:
                until = min(self.grid.next(self.grid.floor(at + width)), high)
            parts.append(self._states(at, until))
            at, width = until, width * 4
        return merge(parts).take(slice(limit))

    def _newest(self, low: int, high: int, limit: int) -> States:
        parts: list[States] = []
        at, width = high, self._width(limit)
        while at > low and not _enough(parts, limit):
            since = low
            if at - low > width:
                since = max(self.grid.floor(at - width), low)
            parts.append(self._states(since, at))
            at, width = since, width * 4
        return merge(parts).take(slice(-limit, None))

    def _width(self, limit: int) -> int:
        """Return how much time to read first: what the bars asked for span, and some more."""
        return (limit + 1) * self.grid.interval.length_ns_max

    def _states(self, start: int, end: int) -> States:
        about_to_wait()
        return states_between(
            self.store, self.instrument, self.grid, self.basis, start, end, self.as_of, self.rules
        )


def _enough(parts: list[States], limit: int) -> bool:
    return sum(map(len, parts)) >= limit
