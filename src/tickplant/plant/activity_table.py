"""Bars by activity as a table: the columns of bars of time, and two that say which bar it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from tickplant.candles.activity import ActivityBars, is_reached
from tickplant.candles.grid import Grid
from tickplant.model.times import INT64_MIN
from tickplant.plant.bar_table import UPDATE_SCHEMA, finish
from tickplant.plant.coverage import Coverage

_PLACE = (
    pa.field("day", pa.int64(), nullable=False),
    pa.field("index", pa.int64(), nullable=False),
)


def finish_activity(bars: ActivityBars, grid: Grid, basis: str, coverage: Coverage) -> pa.Table:
    """Return bars by activity with the columns of bars of time, then `day` and `index`.

    `start` and `end` are the times of the first and the last event; several bars may share them.
    `day` is the start of the trading day, `index` the number of the bar within it, from 0. A bar is
    forming while it is below the threshold and its day is not over.
    """
    places = bars.states.start
    days = grid.starts(places)
    until = np.where(is_reached(grid, bars.states), INT64_MIN, grid.ends(days))
    finished = replace(bars.states.finish(), start=bars.first)
    table = finish(finished, grid, basis, coverage, ends=bars.last, until=until)
    columns = [*table.columns, pa.array(days), pa.array(places - days)]
    return pa.Table.from_arrays(columns, schema=pa.schema([*table.schema, *_PLACE]))


def update_rows(bars: ActivityBars, grid: Grid, basis: str, coverage: Coverage) -> pa.RecordBatch:
    """Return bars of several instruments as the stream is told of them."""
    table = finish_activity(bars, grid, basis, coverage)
    numbers = pa.array(bars.states.instrument)
    columns = [numbers, *(column.combine_chunks() for column in table.columns)]
    schema = pa.schema([UPDATE_SCHEMA.field("instrument"), *table.schema])
    return pa.RecordBatch.from_arrays(columns, schema=schema)
