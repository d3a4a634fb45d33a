"""The candle state: a partial aggregate of trades that can be merged.

A state holds what is needed to merge it with another one of the same candle: open and close with
their (ts, seq), high, low, the exact sums of sizes and of price * size, the count and the highest
seq; for quotes also the extremes and the exact sum of the spreads, and that of the middles. Merging
is associative and commutative, and sums are integers (see `exact.py`), so that parts combine to the
same state, bit for bit, in any order and grouping. That holds as long as no two rows of an
instrument have the same (ts, seq), which a plant's numbering sees to.

Building: rows are taken in chunks that fit the processor's cache. A chunk that is in order already
(one instrument, rising `ts`) is cut at the candles' edges; any other is sorted by (instrument,
candle). Then every column is one reduction over the runs (see `runs.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickplant.candles import exact
from tickplant.candles.cells import Cells
from tickplant.candles.grid import Grid
from tickplant.candles.runs import (
    CLOSE,
    CLOSE_SEQ,
    CLOSE_TS,
    COLUMNS,
    COUNT,
    HIGH,
    INSTRUMENT,
    LOW,
    NOTIONAL,
    OPEN,
    OPEN_SEQ,
    OPEN_TS,
    QUOTE_COLUMNS,
    SEQ_MAX,
    SPREAD_MAX,
    SPREAD_MIN,
    SPREADS,
    START,
    VOLUME,
    Bits,
    Floats,
    Ints,
    fill_prices,
    fill_some_prices,
    fill_spreads,
    find_order,
    find_runs,
    merge_runs,
    sum_sizes,
)
from tickplant.model.conditions import EVERYTHING, Update
from tickplant.model.times import NS_PER_S

__all__ = [
    "CLOSE", "COLUMNS", "COUNT", "HIGH", "INSTRUMENT", "LOW", "OPEN", "SEQ_MAX", "START",
    "Columns", "FinishedBars", "Spreads", "States", "build", "empty", "merge", "reduce_runs",
    "roll_up",
]  # fmt: skip

Numbers = NDArray[np.int32]

CHUNK_ROWS = 1 << 16
"""Rows that are built at once: their columns fit the cache."""
CHUNK_ROWS_SPARSE = 1 << 22
"""The same where most candles have few rows, and merging the chunks would cost more."""

_COUNTS_VOLUME = int(Update.VOLUME)


@dataclass(frozen=True, slots=True)
class FinishedBars:
    """Candles as they are published, all of shape (n,), by (instrument, start).

    `volume` is 0 and `vwap` NaN where no trade had a size. A price is NaN where no trade may set
    it. `revision` is the highest seq. `spreads` is there for candles of quotes only.
    """

    instrument: Numbers
    start: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    vwap: Floats
    count: Ints
    revision: Ints
    spreads: Spreads | None = None

    def cut(self, places: slice) -> FinishedBars:
        """Return some of the candles next to each other."""
        columns = {one.name: getattr(self, one.name)[places] for one in fields(self)[:-1]}
        spreads = None if self.spreads is None else Spreads(*(one[places] for one in self.spreads))
        return FinishedBars(**columns, spreads=spreads)


class Spreads(NamedTuple):
    """Spreads of the quotes of candles, all of shape (n,); NaN where no quote had two sides.

    The mean is the exact sum over the number of quotes with two sides; `bps` is it over the mean
    middle, in 1/10,000.
    """

    min: Floats
    max: Floats
    mean: Floats
    bps: Floats


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Mergeable states by (instrument, start), each pair once; immutable by convention.

    `block` is int64 of shape (24, n), for candles of quotes (27, n). The columns below are views of
    it, shape (n,); `volume` and `notional` are digits of exact sums, shape (6, n), which for
    candles of quotes are those of spreads and of middles.
    """

    block: Ints

    def __len__(self) -> int:
        return int(self.block.shape[1])

    def _ints(self, column: int) -> Ints:
        row: Ints = self.block[column]
        return row

    def _floats(self, column: int) -> Floats:
        return self._ints(column).view(np.float64)

    @property
    def instrument(self) -> Numbers:
        """Instrument numbers, a copy."""
        return self._ints(INSTRUMENT).astype(np.int32)

    @property
    def start(self) -> Ints:
        """Starts of the candles, ns UTC."""
        return self._ints(START)

    @property
    def open(self) -> Floats:
        """Price at the lowest (ts, seq)."""
        return self._floats(OPEN)

    @property
    def open_ts(self) -> Ints:
        """Time of the open, ns UTC."""
        return self._ints(OPEN_TS)

    @property
    def open_seq(self) -> Ints:
        """Number of the open's event."""
        return self._ints(OPEN_SEQ)

    @property
    def high(self) -> Floats:
        """Highest price."""
        return self._floats(HIGH)

    @property
    def low(self) -> Floats:
        """Lowest price."""
        return self._floats(LOW)

    @property
    def close(self) -> Floats:
        """Price at the highest (ts, seq)."""
        return self._floats(CLOSE)

    @property
    def close_ts(self) -> Ints:
        """Time of the close, ns UTC."""
        return self._ints(CLOSE_TS)

    @property
    def close_seq(self) -> Ints:
        """Number of the close's event."""
        return self._ints(CLOSE_SEQ)

    @property
    def count(self) -> Ints:
        """Number of rows."""
        return self._ints(COUNT)

    @property
    def seq_max(self) -> Ints:
        """Highest seq that touched the candle: its revision."""
        return self._ints(SEQ_MAX)

    @property
    def volume(self) -> Ints:
        """Exact sum of the sizes, as digits."""
        digits: Ints = self.block[VOLUME:NOTIONAL]
        return digits

    @property
    def notional(self) -> Ints:
        """Exact sum of price * size, each product rounded to float64, as digits."""
        digits: Ints = self.block[NOTIONAL:COLUMNS]
        return digits

    def take(self, index: Ints | NDArray[np.bool_] | slice) -> States:
        """Return the states at `index`, which must keep them in order."""
        return States(self.block[:, index])

    def with_revision(self, seq_max: Ints) -> States:
        """Return the states with revisions of at least `seq_max`, shape (n,)."""
        block = self.block.copy()
        np.maximum(block[SEQ_MAX], seq_max, out=block[SEQ_MAX])
        return States(block)

    def finish(self) -> FinishedBars:
        """Return the candles as they are published; each sum is rounded once, correctly."""
        volume, notional = exact.publish(self.volume), exact.publish(self.notional)
        spreads = None
        if len(self.block) > COLUMNS:
            spreads = self._spreads(volume, notional)
            volume = np.zeros(len(self))
        vwap = np.full(len(self), np.nan)
        np.divide(notional, volume, out=vwap, where=volume > 0)
        return FinishedBars(
            self.instrument, self.start, self.open, _present(self.high), _present(self.low),
            self.close, volume, vwap, self.count, self.seq_max, spreads,
        )  # fmt: skip

    def _spreads(self, total: Floats, middles: Floats) -> Spreads:
        mean, bps = np.full(len(self), np.nan), np.full(len(self), np.nan)
        count = self._ints(SPREADS)
        np.divide(total, count, out=mean, where=count > 0)
        np.divide(total, middles, out=bps, where=(count > 0) & (middles > 0))
        lowest, highest = self._floats(SPREAD_MIN), self._floats(SPREAD_MAX)
        return Spreads(_present(lowest), _present(highest), mean, bps * 10_000)


def _present(column: Floats) -> Floats:
    """Return a column of extremes with NaN where there are none."""
    missing = np.isinf(column)
    return np.where(missing, np.nan, column) if missing.any() else column


def empty() -> States:
    """Return no states."""
    return States(np.empty((COLUMNS, 0), np.int64))


class Columns(NamedTuple):
    """Columns of rows, all of shape (n,); the optional ones are as in `build`."""

    ts: Ints
    seq: Ints
    price: Floats
    size: Floats | None = None
    updates: Bits | None = None
    spread: Floats | None = None
    middle: Floats | None = None

    def take(self, index: Ints | NDArray[np.bool_] | slice) -> Columns:
        """Return the rows at `index`."""
        columns: list[Any] = [None if column is None else column[index] for column in self]
        return Columns(*columns)


def build(
    grid: Grid | Cells,
    instrument: int | NDArray[np.integer],
    ts: Ints,
    seq: Ints,
    price: Floats,
    size: Floats | None,
    *,
    updates: Bits | None = None,
    spread: Floats | None = None,
    middle: Floats | None = None,
) -> States:
    """Return the states of the candles that the rows fall into.

    Rows may come in any order; arrays have shape (n,), `instrument` may be one number for all.
    Rows outside the grid's sessions make no candles.
    Rows without a price (NaN) are skipped; without a size (NaN, or `size` None) they count, but
    add nothing to volume and notional. `updates` are bits of `Update`, None where every row updates
    everything; rows that update nothing are skipped. `spread` and `middle` make candles of quotes;
    both are NaN where a quote has one side only.
    """
    parts: list[States] = []
    columns = Columns(ts, seq, price, size, updates, spread, middle)
    first, rows = 0, CHUNK_ROWS
    while first < ts.size:
        cut = slice(first, first + rows)
        numbers = instrument[cut] if isinstance(instrument, np.ndarray) else instrument
        part = _build_chunk(grid, numbers, columns.take(cut))
        if rows == CHUNK_ROWS and ts.size > first + rows and 8 * len(part) > rows:
            rows = CHUNK_ROWS_SPARSE  # this chunk is built again, within a larger one
            continue
        parts.append(part)
        first += rows
    return merge(parts)


def merge(parts: Sequence[States]) -> States:
    """Return the states of all parts together, each (instrument, start) once."""
    parts = [part for part in parts if len(part)]
    if len(parts) <= 1:
        return parts[0] if parts else empty()
    return _regroup(np.concatenate([part.block for part in parts], axis=1))


def roll_up(states: States, grid: Grid) -> States:
    """Return the states on a coarser grid, whose every edge is an edge of the present one.

    What lies outside that grid's sessions is left out.
    """
    inside = grid.inside(states.start)
    if inside is not None:
        states = states.take(inside)
    if not len(states):
        return states
    block = states.block.copy()
    block[START] = grid.starts(block[START])
    return _regroup(block)


def _build_chunk(
    grid: Grid | Cells, instrument: int | NDArray[np.integer], rows: Columns
) -> States:
    skipped = np.isnan(rows.price)
    inside = grid.inside(rows.ts)
    if inside is not None:
        skipped |= ~inside
    if rows.updates is not None:
        skipped |= rows.updates == 0
    if skipped.any():
        rows = rows.take(~skipped)
        instrument = instrument[~skipped] if isinstance(instrument, np.ndarray) else instrument
    ts = rows.ts
    if ts.size == 0:
        return empty()
    one = not isinstance(instrument, np.ndarray)
    if one and (ts[1:] >= ts[:-1]).all():
        groups, starts = _cut(grid, ts)
        numbers: int | Ints = int(instrument)
    else:
        starts = grid.starts(ts)
        wide = np.zeros(1, np.int64) if one else np.asarray(instrument, dtype=np.int64)
        order = find_order(wide, starts, grid.unit_ns)
        if order is not None:
            rows, starts = rows.take(order), starts[order]
            wide = wide if one else wide[order]
        groups = find_runs(wide, starts)
        starts = starts[groups]
        numbers = int(instrument) if one else wide[groups]
    return reduce_runs(numbers, starts, groups, rows)


def reduce_runs(numbers: int | Ints, starts: Ints, groups: Ints, rows: Columns) -> States:
    """Return the states of runs of rows that begin at `groups`, by (instrument, start).

    Every row has a price and updates something.
    """
    ts, seq, price, size, updates, spread, middle = rows
    height = COLUMNS if spread is None else QUOTE_COLUMNS
    block = np.empty((height, groups.size), np.int64)
    block[INSTRUMENT], block[START] = numbers, starts
    if updates is None or (updates == EVERYTHING).all():
        fill_prices(block, groups, ts, seq, price)
    else:
        fill_some_prices(block, groups, ts, seq, price, updates)
        if size is not None:
            size = np.where(updates & _COUNTS_VOLUME != 0, size, 0.0)
    if spread is None or middle is None:
        sum_sizes(block, groups, price, size)
    else:
        fill_spreads(block, groups, spread, middle)
    return States(block)


def _cut(grid: Grid | Cells, ts: Ints) -> tuple[Ints, Ints]:
    """Return where candles begin in rising `ts`, and their starts."""
    first, last = int(ts[0]), int(ts[-1])
    if (last - first) // grid.length_ns < ts.size // 8:
        starts = grid.range(first, last + 1)
        places = np.searchsorted(ts, starts, "left")
        places[0] = 0
        used = np.append(places[1:] > places[:-1], True)
        return places[used], starts[used]
    starts = grid.starts(ts)
    groups = find_runs(starts[:1], starts)
    return groups, starts[groups]


def _regroup(block: Ints) -> States:
    """Merge the states of a block whose columns are in any order."""
    order = find_order(block[INSTRUMENT], block[START], NS_PER_S)
    if order is not None:
        block = block.take(order, axis=1)
    groups = find_runs(block[INSTRUMENT], block[START])
    if groups.size == block.shape[1]:
        return States(block)
    return States(merge_runs(block, groups))
