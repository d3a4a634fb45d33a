"""A running plant that is read in chunks, so that any number of its rows fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tickplant.client import Client
from tickplant.model.errors import InvalidParameter

CHUNK_ROWS = 100_000


class Remote(Client):
    """A client that can read tables in chunks too."""

    def row_chunks(self, table: str, symbol: str, **query: Any) -> Iterator[pa.Table]:
        """Yield the rows of a table in order, as they were when this began: bounded memory.

        Each chunk begins at the time of the last row of the one before, whose rows at that time
        are left out.
        """
        if table == "book":
            raise InvalidParameter("TABLE", table, "a table that --url has; give --data for book")
        read = getattr(self, table)
        query = {"as_of": self.status()["seq_last"], **query}
        seq_done, rows_asked = 0, CHUNK_ROWS
        while True:
            rows = read(symbol, limit=rows_asked, **query).arrow()
            ended = rows.num_rows < rows_asked
            fresh = rows.filter(_after(rows, query.get("start"), seq_done))
            if fresh.num_rows:
                yield fresh
                rows_asked = CHUNK_ROWS
                query["start"] = fresh["ts_event"][-1].value
                seq_done = fresh["seq"][-1].as_py()
            else:
                rows_asked *= 2  # a whole chunk had one and the same time
            if ended:
                return


def _after(rows: pa.Table, start: Any, seq: int) -> pa.ChunkedArray:
    """Say which rows come after (start, seq) in the order of events."""
    if not seq:
        return pa.chunked_array([pa.repeat(pa.scalar(True), rows.num_rows)])
    times = rows["ts_event"].cast(pa.int64())
    return pc.or_(pc.greater(times, start), pc.greater(rows["seq"], seq))
