"""Bars as a table: what history answers and what the stream is told have the same columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tickplant.candles.basis import has_volume
from tickplant.candles.coverage import STATES, Ints, state_codes
from tickplant.candles.grid import Grid
from tickplant.candles.states import FinishedBars
from tickplant.formats.rows import SPREAD_COLUMNS
from tickplant.plant.coverage import Coverage

CANDLE_SCHEMA = pa.schema(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.float64()),
        pa.field("vwap", pa.float64()),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("revision", pa.int64()),
        pa.field("state", pa.string(), nullable=False),
        pa.field("coverage", pa.float64(), nullable=False),
    ]
)
"""Candles as columns, by `start`. `volume` and `vwap` are null for bars of quotes, `vwap` also
where nothing was traded with a size; prices are null for bars made by `fill`, and so is `revision`
where no gap touched them. `state` is one of `candles.coverage.STATES`, `coverage` the part of the
bar, so far, that is covered: 0 to 1."""

QUOTE_SCHEMA = pa.schema(
    [*CANDLE_SCHEMA, *(pa.field(name, pa.float64()) for name in SPREAD_COLUMNS)]
)
"""Candles of quotes as columns; spreads are null where no quote had two sides."""

UPDATE_SCHEMA = pa.schema([pa.field("instrument", pa.int32(), nullable=False), *CANDLE_SCHEMA])
"""Candles of several instruments that changed; a `count` of 0, with no prices, says that the bar's
last event was cancelled."""


def finish(
    bars: FinishedBars,
    grid: Grid,
    basis: str,
    coverage: Coverage,
    *,
    ends: Ints | None = None,
    until: Ints | None = None,
) -> pa.Table:
    """Return finished bars as a table of `CANDLE_SCHEMA`, bars of quotes of `QUOTE_SCHEMA`.

    A bar is forming while the watermark of its instrument has not reached its end. `ends` are
    those of bars that are not the grid's, `until` how far the watermark has to come where that is
    not the end.
    """
    sized = has_volume(basis)
    ends = grid.ends(bars.start) if ends is None else ends
    measured = coverage.measure(grid, bars.instrument, bars.start, ends)
    forming = (ends if until is None else until) > measured.watermark
    codes = state_codes(forming, bars.count, measured.fraction)
    revision = np.maximum(bars.revision, measured.revision)
    nothing = pa.nulls(len(bars.start), pa.float64())
    columns = [
        pa.array(bars.start),
        pa.array(ends),
        *(
            pa.array(column, from_pandas=True)
            for column in (bars.open, bars.high, bars.low, bars.close)
        ),
        pa.array(bars.volume, from_pandas=True) if sized else nothing,
        pa.array(bars.vwap, from_pandas=True) if sized else nothing,
        pa.array(bars.count),
        pa.array(revision, mask=revision == 0),
        pa.array(STATES, pa.string()).take(pa.array(codes)),
        pa.array(measured.fraction),
    ]
    if sized:
        return pa.Table.from_arrays(columns, schema=CANDLE_SCHEMA)
    spreads = [nothing] * len(SPREAD_COLUMNS)
    if bars.spreads is not None:
        spreads = [pa.array(column, from_pandas=True) for column in bars.spreads]
    return pa.Table.from_arrays([*columns, *spreads], schema=QUOTE_SCHEMA)
