"""Candle states from stored events: the one way to make history, and late or amended bars.

scan a chunk of time ──► prices, and what each may update ──► candles.build ──► merge ──► revisions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.basis import columns_of, rows_of, table_of
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.states import (
    CLOSE,
    COLUMNS,
    HIGH,
    INSTRUMENT,
    LOW,
    OPEN,
    SEQ_MAX,
    START,
    States,
    empty,
    merge,
)
from tickplant.model.events import TRADES
from tickplant.model.times import NS_PER_DAY
from tickplant.plant.newest import are_many
from tickplant.store.contract import NOW, AsOf, Store

_CHUNK_ROWS_MIN = 250_000
_CHUNK_ROWS_MAX = 4_000_000
_TOUCHED_ROWS_MAX = 500_000


def states_between(
    store: Store,
    instrument: int,
    grid: Grid,
    basis: str,
    start: int,
    end: int,
    as_of: AsOf,
    rules: InstrumentRules,
) -> States:
    """Return the states of the events in `[start, end)`; both are boundaries of bars.

    Where amendments may come meanwhile, `as_of` must have a `seq_max` that the store has reached:
    then no bar has a revision of which its prices know nothing.
    """
    states = merge(list(_chunks(store, instrument, grid, basis, start, end, as_of, rules)))
    if basis != "trade":
        return states
    return _with_amendments(states, *store.amendment_seqs(instrument, start, end, as_of), grid)


def states_of_bars(
    store: Store,
    instrument: int,
    grid: Grid,
    basis: str,
    starts: Sequence[int],
    as_of: AsOf,
    rules: InstrumentRules,
) -> States:
    """Return the states of the named bars of one instrument, built anew from their events."""
    if not len(starts):
        return empty()
    wanted = np.unique(np.asarray(starts, dtype=np.int64))
    ends = grid.ends(wanted)
    parts = []
    for first, last in _runs(wanted, ends):
        start, end = int(wanted[first]), int(ends[last])
        states = states_between(store, instrument, grid, basis, start, end, as_of, rules)
        parts.append(states.take(np.isin(states.start, wanted)))
    return merge(parts)


def states_of_pairs(
    store: Store,
    grid: Grid,
    basis: str,
    pairs: Sequence[tuple[int, int]],
    rules: InstrumentRules,
) -> States:
    """Return the states of the named bars, each an (instrument, start), built from their events.

    Where neighbouring bars of many instruments are wanted, all instruments are read at once.
    """
    if not pairs:
        return empty()
    numbers, starts = np.array(pairs, dtype=np.int64).T
    wanted = np.unique(starts)
    parts = []
    for first, last in _runs(wanted, grid.ends(wanted)):
        mine = (starts >= wanted[first]) & (starts <= wanted[last])
        parts.append(_states_of_run(store, grid, basis, numbers[mine], starts[mine], rules))
    return merge(parts)


def pairs_between(
    store: Store, grid: Grid, basis: str, numbers: NDArray[np.int64], start: int, end: int
) -> list[tuple[int, int]]:
    """Return (instrument, start) of the bars of these instruments that overlap `[start, end)` and
    have rows, those included that make no bar."""
    span = np.full((2, len(numbers)), ((start,), (end,)), np.int64)
    return pairs_touched(store, grid, basis, numbers, *span)


def pairs_touched(
    store: Store,
    grid: Grid,
    basis: str,
    numbers: NDArray[np.int64],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
) -> list[tuple[int, int]]:
    """Return (instrument, start) of the bars that overlap the spans `[low, high)` of instruments,
    all of shape (n,), and have rows, those included that make no bar; each once.

    Several spans of an instrument count as one over all of them. Many instruments are read at once
    where that is not too much.
    """
    some = highs > lows
    if not some.any():
        return []
    lows, highs = grid.starts(lows[some]), grid.ends(grid.starts(highs[some] - 1))
    numbers, lows, highs = _hulls(numbers[some], lows, highs)
    table, columns = table_of(basis), ["instrument", "ts_event"]
    if are_many(numbers):
        low, high = int(lows.min()), int(highs.max())
        rows = store.scan(table, start=low, end=high, columns=columns, limit=_TOUCHED_ROWS_MAX)
        if rows.num_rows < _TOUCHED_ROWS_MAX:
            return _pairs_within(grid, rows, numbers, lows, highs)
    found: list[tuple[int, int]] = []
    for number, low, high in zip(numbers.tolist(), lows.tolist(), highs.tolist(), strict=True):
        rows = store.scan(table, number, start=low, end=high, columns=columns)
        found += _pairs_within(grid, rows, numbers, lows, highs)
    return found


def _hulls(
    numbers: NDArray[np.int64], lows: NDArray[np.int64], highs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    order = np.argsort(numbers, kind="stable")
    distinct, firsts = np.unique(numbers[order], return_index=True)
    return (
        distinct,
        np.minimum.reduceat(lows[order], firsts),
        np.maximum.reduceat(highs[order], firsts),
    )


def _pairs_within(
    grid: Grid,
    rows: pa.Table,
    numbers: NDArray[np.int64],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
) -> list[tuple[int, int]]:
    instrument, ts = rows["instrument"].to_numpy(), rows["ts_event"].to_numpy()
    place = np.minimum(np.searchsorted(numbers, instrument), len(numbers) - 1)
    mine = (numbers[place] == instrument) & (ts >= lows[place]) & (ts < highs[place])
    inside = grid.inside(ts)
    if inside is not None:
        mine &= inside
    pairs = np.stack([instrument[mine].astype(np.int64), grid.starts(ts[mine])], axis=1)
    return [(number, at) for number, at in np.unique(pairs, axis=0).tolist()]


def _states_of_run(
    store: Store,
    grid: Grid,
    basis: str,
    numbers: NDArray[np.int64],
    starts: NDArray[np.int64],
    rules: InstrumentRules,
) -> States:
    distinct = np.unique(numbers)
    if are_many(distinct):
        low, high = int(starts.min()), grid.next(int(starts.max()))
        columns = _columns(basis, rules, distinct)
        states = _states_of_all(store, grid, basis, low, high, columns, rules)
        if states is not None:
            named = np.isin(_pair(states.instrument, states.start), _pair(numbers, starts))
            return _amended(store, states.take(named), distinct, grid, basis, low, high)
    parts = [
        states_of_bars(store, number, grid, basis, starts[numbers == number], NOW, rules)
        for number in distinct.tolist()
    ]
    return merge(parts)


def _pair(numbers: NDArray[np.integer], starts: NDArray[np.int64]) -> NDArray[np.void]:
    pairs = np.empty(len(starts), dtype=[("number", "<i8"), ("start", "<i8")])
    pairs["number"], pairs["start"] = numbers, starts
    return pairs


def _columns(
    basis: str, rules: InstrumentRules, instrument: int | NDArray[np.int64]
) -> tuple[str, ...]:
    """Return the columns to read; conditions only where an instrument's venue has rules."""
    conditions = table_of(basis) == TRADES and rules.concern(instrument)
    return columns_of(basis, conditions=conditions)


def _states_of_all(
    store: Store,
    grid: Grid,
    basis: str,
    start: int,
    end: int,
    columns: tuple[str, ...],
    rules: InstrumentRules,
) -> States | None:
    """Return the states of every instrument in the span; None where it has too many rows."""
    rows = store.scan(table_of(basis), start=start, end=end, columns=columns, limit=_CHUNK_ROWS_MAX)
    if rows.num_rows == _CHUNK_ROWS_MAX:
        return None
    return rows_of(basis, rows, rules).build(grid)


def _amended(
    store: Store,
    states: States,
    numbers: NDArray[np.int64],
    grid: Grid,
    basis: str,
    start: int,
    end: int,
) -> States:
    """Return states of several instruments with the revisions that amendments gave them."""
    if basis != "trade":
        return states
    parts = []
    amended = np.zeros(len(states), dtype=np.bool_)
    for number in numbers.tolist():
        ts, seqs = store.amendment_seqs(number, start, end)
        if len(seqs):
            mine = states.instrument == number
            amended |= mine
            parts.append(_with_amendments(states.take(mine), ts, seqs, grid))
    return merge([states.take(~amended), *parts])


def emptied_states(instrument: int, starts: Sequence[int], seqs: Sequence[int]) -> States:
    """Return the states of bars that have no event any more, by start, with what emptied them."""
    block = np.zeros((COLUMNS, len(starts)), dtype=np.int64)
    block.view(np.float64)[[OPEN, HIGH, LOW, CLOSE]] = np.nan
    block[INSTRUMENT], block[START], block[SEQ_MAX] = instrument, starts, seqs
    return States(block)


def _runs(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of the runs of bars that one scan serves well.

    Bars at most four widths apart share a scan, so that a shuffled day costs one pass and two bars
    a year apart cost two short ones.
    """
    gaps = starts[1:] - ends[:-1] > 4 * (ends[:-1] - starts[:-1])
    cuts = np.flatnonzero(gaps)
    yield from zip([0, *(cuts + 1).tolist()], [*cuts.tolist(), len(starts) - 1], strict=True)


def _chunks(
    store: Store,
    instrument: int,
    grid: Grid,
    basis: str,
    start: int,
    end: int,
    as_of: AsOf,
    rules: InstrumentRules,
) -> Iterator[States]:
    """Yield states of successive chunks of time whose length follows the number of rows in them."""
    columns = _columns(basis, rules, instrument)
    width = NS_PER_DAY
    at = start
    while at < end:
        until = min(at + width, end)
        rows = store.scan(
            table_of(basis), instrument, start=at, end=until, columns=columns, as_of=as_of
        )
        if rows.num_rows:
            yield rows_of(basis, rows, rules).build(grid, instrument)
        if rows.num_rows < _CHUNK_ROWS_MIN:
            width *= 2
        elif rows.num_rows > _CHUNK_ROWS_MAX:
            width = max(width // 2, 1)
        at = until


def _with_amendments(
    states: States, ts: NDArray[np.int64], seqs: NDArray[np.int64], grid: Grid
) -> States:
    """Let a bar's revision be the number of the last event that touched it, amendments included."""
    if not len(seqs) or not len(states):
        return states
    counted = grid.inside(ts)
    if counted is not None:
        ts, seqs = ts[counted], seqs[counted]
    starts = grid.starts(ts)
    places = np.minimum(np.searchsorted(states.start, starts), len(states) - 1)
    inside = states.start[places] == starts
    revisions = np.zeros(len(states), dtype=np.int64)
    np.maximum.at(revisions, places[inside], seqs[inside])
    return states.with_revision(revisions)
