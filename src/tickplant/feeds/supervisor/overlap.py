"""What two connections deliver while one takes over from the other: nothing twice, nothing lost.

Both deliver the same streams for a moment. A row that has come over one is left out when it comes
over the other, whichever was faster; a row that comes twice over the same one is two rows. A book
is handed over with the first rows that the newer connection has of it, which replace it. When the
old connection has ended, the newer one may still be behind it; so the overlap outlasts it a little.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROWS_MAX = 200_000
"""Rows that are remembered; beyond that the trades' ids alone tell what comes twice."""


class Overlap:
    """Two connections of one line, `old` and `new` by their numbers."""

    def __init__(self, old: int, new: int) -> None:
        self.old, self.new = old, new
        self.handed: set[str] = set()
        self.until: int | None = None
        """Up to which event time the old connection delivered, None while it lives."""
        self._seen: dict[tuple[object, ...], int] = {}

    def filtered(self, connection: int, table: str, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows that the other connection has not delivered."""
        columns = [rows.column(name).to_pylist() for name in rows.schema.names if name != "key"]
        keep = np.ones(rows.num_rows, np.bool_)
        for place, values in enumerate(zip(*columns, strict=True)):
            first = self._seen.setdefault((table, *values), connection)
            keep[place] = first == connection
        if len(self._seen) > ROWS_MAX:
            self._seen.clear()
        return rows if keep.all() else rows.filter(pa.array(keep))

    def books(self, connection: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of books that are this connection's to tell."""
        if not rows.num_rows:
            return rows
        if connection == self.new:
            self.handed.update(pc.unique(rows.column("symbol")).to_pylist())
            return rows
        return without(rows, self.handed)


def without(rows: pa.RecordBatch, symbols: Iterable[str]) -> pa.RecordBatch:
    """Return the rows of other symbols."""
    left_out = pa.array(sorted(symbols), pa.string())
    if not rows.num_rows or not len(left_out):
        return rows
    return rows.filter(pc.invert(pc.is_in(rows.column("symbol"), value_set=left_out)))
