"""Indicators as the API shows them: beside the bar, or the event, that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.rows import PLACE_COLUMNS, TIMESTAMP, candle_structs, public_candles
from tickplant.model.instruments import Instrument
from tickplant.model.times import format_times

Columns = Mapping[str, NDArray[np.float64]]

_OF_BAR = ("symbol", "venue", "interval", "basis", "start", "end", "state", "revision")


def indicator_rows(bars: pa.Table, columns: Columns) -> list[dict[str, Any]]:
    """Return one dictionary a bar, for `msgspec.json.encode`, which writes NaN as null."""
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    rows = []
    for bar, numbers in zip(candle_structs(bars), values, strict=True):
        row: dict[str, Any] = {"start": bar.start, "end": bar.end, "state": bar.state}
        row["revision"] = bar.revision
        if bar.index is not msgspec.UNSET:
            row |= {"day": bar.day, "index": bar.index}
        row.update(zip(columns, numbers, strict=True))
        rows.append(row)
    return rows


def event_indicator_rows(events: pa.Table, columns: Columns) -> list[dict[str, Any]]:
    """Return one dictionary an event, for `msgspec.json.encode`."""
    names = ("ts_event", "seq", *columns)
    times = format_times(events["ts_event"].to_numpy())
    seqs = events["seq"].to_numpy().tolist()
    values = (column.tolist() for column in columns.values())
    return [dict(zip(names, row, strict=True)) for row in zip(times, seqs, *values, strict=True)]


def public_indicators(
    bars: pa.Table, columns: Columns, instrument: Instrument, interval: str, basis: str
) -> pa.Table:
    """Return bars and their indicators as columns for tools."""
    whole = public_candles(bars, instrument, interval, basis)
    place = [name for name in PLACE_COLUMNS if name in whole.column_names]
    shown = whole.select([*_OF_BAR, *place])
    return _with(shown, columns)


def public_event_indicators(
    events: pa.Table, columns: Columns, instrument: Instrument, basis: str
) -> pa.Table:
    """Return events and their indicators as columns for tools."""
    texts = {"symbol": instrument.symbol, "venue": instrument.venue, "basis": basis}
    shown = pa.table(
        {
            **{n: pa.repeat(pa.scalar(t, pa.string()), len(events)) for n, t in texts.items()},
            "ts_event": events["ts_event"].cast(TIMESTAMP),
            "seq": events["seq"],
        }
    )
    return _with(shown, columns)


def _with(table: pa.Table, columns: Columns) -> pa.Table:
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values, pa.float64(), from_pandas=True))
    return table
