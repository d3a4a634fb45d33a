"""Candle states from stored events: the one way in which history, and late or amended bars, are made.

    scan a chunk of time ──► prices of the basis ──► candles.build ──► merge ──► amendments' revisions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.candles.states import States, build, merge
from tickplant.model.events import QUOTES, TRADES
from tickplant.model.times import NS_PER_DAY
from tickplant.store.contract import NOW, AsOf, Store

BASES = ("trade", "mid", "bid", "ask")

_COLUMNS = {
    "trade": ("ts_event", "seq", "price", "size"),
    "mid": ("ts_event", "seq", "bid_price", "ask_price"),
    "bid": ("ts_event", "seq", "bid_price"),
    "ask": ("ts_event", "seq", "ask_price"),
}
_CHUNK_ROWS_MIN = 250_000
_CHUNK_ROWS_MAX = 4_000_000

Floats = NDArray[np.float64]


def table_of(basis: str) -> str:
    """Return the table that bars of this basis are built from."""
    return TRADES if basis == "trade" else QUOTES


def floats(column: pa.Array | pa.ChunkedArray) -> Floats:
    """Return a float column with NaN where it is null."""
    array: Floats = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else (
        column.to_numpy()
    )
    return array


def prices(rows: pa.RecordBatch | pa.Table, basis: str) -> tuple[Floats, Floats | None]:
    """Return (price, size) of each row; NaN where the row has no price of this basis."""
    if basis == "trade":
        return floats(rows.column("price")), floats(rows.column("size"))
    if basis == "mid":
        bid, ask = floats(rows.column("bid_price")), floats(rows.column("ask_price"))
        return (bid + ask) / 2, None
    return floats(rows.column(f"{basis}_price")), None


def states_between(
    store: Store, instrument: int, grid: Grid, basis: str, start: int, end: int, as_of: AsOf = NOW
) -> States:
    """Return the states of the events in `[start, end)`, which begins and ends on bar boundaries."""
    parts = list(_chunks(store, instrument, grid, basis, start, end, as_of))
    states = merge(parts) if len(parts) != 1 else parts[0]
    if basis == "trade":
        _raise_revisions(states, *store.amendment_seqs(instrument, start, end, as_of), grid)
    return states


def states_of_bars(
    store: Store, instrument: int, grid: Grid, basis: str, starts: Sequence[int]
) -> States:
    """Return the states of the named bars of one instrument, built anew from their events."""
    wanted = np.unique(np.asarray(starts, dtype=np.int64))
    ends = grid.ends(wanted)
    parts = []
    for first, last in _runs(wanted, ends):
        states = states_between(
            store, instrument, grid, basis, int(wanted[first]), int(ends[last])
        )
        parts.append(states.take(np.flatnonzero(np.isin(states.start, wanted))))
    return merge(parts)


def _runs(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of the runs of bars that one scan serves well.

    Bars at most four widths apart share a scan, so that a shuffled day costs one pass and two bars
    a year apart cost two short ones.
    """
    gaps = starts[1:] - ends[:-1] > 4 * (ends[:-1] - starts[:-1])
    cuts = np.flatnonzero(gaps)
    yield from zip([0, *(cuts + 1).tolist()], [*cuts.tolist(), len(starts) - 1], strict=True)


def _chunks(
    store: Store, instrument: int, grid: Grid, basis: str, start: int, end: int, as_of: AsOf
) -> Iterator[States]:
    """Yield states of successive chunks of time whose length follows the number of rows in them."""
    width = NS_PER_DAY
    at = start
    while at < end:
        until = min(at + width, end)
        rows = store.scan(
            table_of(basis), instrument, start=at, end=until, columns=_COLUMNS[basis], as_of=as_of
        )
        if rows.num_rows:
            price, size = prices(rows, basis)
            yield build(
                grid, instrument, rows.column("ts_event").to_numpy(),
                rows.column("seq").to_numpy(), price, size,
            )
        if rows.num_rows < _CHUNK_ROWS_MIN:
            width *= 2
        elif rows.num_rows > _CHUNK_ROWS_MAX:
            width = max(width // 2, 1)
        at = until


def _raise_revisions(
    states: States, ts: NDArray[np.int64], seqs: NDArray[np.int64], grid: Grid
) -> None:
    """Let a bar's revision be the number of the last event that touched it, amendments included."""
    if not len(seqs) or not len(states.start):
        return
    starts = grid.starts(ts)
    places = np.searchsorted(states.start, starts)
    inside = places < len(states.start)
    inside[inside] &= states.start[places[inside]] == starts[inside]
    np.maximum.at(states.seq_max, places[inside], seqs[inside])
