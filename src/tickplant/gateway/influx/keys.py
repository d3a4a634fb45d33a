"""Keys of lines, because collectors send again what they are not sure of.

In InfluxDB a line sent twice is one point. Here two equal lines of one body are two events, as two
equal trades in one millisecond are, and the same body sent again adds nothing: the key is a digest
of the line, and the how-manieth of its like in the body it is. Lines without a time have none.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.keys import text_lanes
from tickplant.formats.parse_influx import InfluxTable

_KEY = np.dtype([("line", "<u8", 2), ("copy", "<u4")])


def keyed_rows(table: InfluxTable, precision: str) -> pa.RecordBatch:
    """Return rows with the keys of their lines; a `key` of the line's own stays."""
    rows = table.parsed.rows
    place, times = rows.schema.get_field_index("key"), rows.column("ts_event")
    if not rows.num_rows or times.null_count == rows.num_rows:
        return rows
    lanes = text_lanes(f"influx {precision}", table.lines)
    made = np.empty(rows.num_rows, _KEY)
    made["line"] = lanes.T
    made["copy"] = _copies(lanes[0])
    ends = np.arange(rows.num_rows + 1, dtype=np.int32) * np.int32(_KEY.itemsize)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(made)]
    keys = pa.Array.from_buffers(pa.binary(), rows.num_rows, buffers)
    if times.null_count:
        keys = pc.if_else(times.is_valid(), keys, pa.scalar(None, pa.binary()))
    keys = pc.coalesce(rows.column(place), keys)
    return rows.set_column(place, rows.schema.field(place), keys)


def _copies(lane: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return how many equal values stand before each."""
    order = np.argsort(lane, kind="stable")
    ranked = lane[order]
    first = np.append(True, ranked[1:] != ranked[:-1])
    copies = np.zeros(len(lane), np.int64)
    if not first.all():
        at = np.arange(len(lane))
        copies[order] = at - np.maximum.accumulate(np.where(first, at, 0))
    return copies
