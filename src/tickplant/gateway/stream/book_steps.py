"""Steps of books as encoded events: what one update of a book changed, whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.steps import step_starts
from tickplant.gateway.stream.protocol import BookEvent, Codec
from tickplant.model.events import BID, BookAction
from tickplant.model.instruments import Registry
from tickplant.model.times import format_time

Steps = NDArray[np.intp]

_ACTIONS = {
    int(BookAction.SET): "update",
    int(BookAction.CLEAR): "snapshot",
    int(BookAction.LOST): "lost",
}


def last_rows_of_steps(rows: pa.RecordBatch) -> Steps:
    """Return the place of the last row of each step, ascending: what a step is named by."""
    ends = np.append(step_starts(rows)[1:], rows.num_rows)
    lasts: Steps = ends - 1
    return lasts


def encode_steps(
    rows: pa.RecordBatch, lasts: Steps, codec: Codec, registry: Registry
) -> list[bytes]:
    """Return some of the steps of rows, each by its last row, as encoded events."""
    return [codec.encode(event) for event in _events(rows, lasts, registry)]


def _events(rows: pa.RecordBatch, lasts: Steps, registry: Registry) -> Iterator[BookEvent]:
    if not len(lasts):
        return
    starts = step_starts(rows)
    firsts = starts[np.searchsorted(starts, lasts, "right") - 1]
    get = _Columns(rows)
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        instrument = registry.number(get.instrument[first])
        begin = first if get.action[first] == BookAction.SET else first + 1
        levels = range(begin, last + 1)
        yield BookEvent(
            instrument.symbol,
            instrument.venue,
            format_time(get.ts_event[first]),
            format_time(get.ts_recv[first]),
            get.seq[last],
            _ACTIONS[get.action[first]],
            get.update[first],
            [get.level(row) for row in levels if get.side[row] == BID],
            [get.level(row) for row in levels if get.side[row] != BID],
        )


class _Columns:
    """Columns of rows as lists."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        for name in ("instrument", "ts_event", "ts_recv", "seq", "action", "side"):
            setattr(self, name, rows.column(name).to_numpy().tolist())
        self.update = rows.column("update").to_pylist()
        self._price = rows.column("price").to_numpy(zero_copy_only=False).tolist()
        self._size = rows.column("size").to_numpy(zero_copy_only=False).tolist()
        orders = rows.column("orders")
        self._orders = None if orders.null_count == len(orders) else orders.to_pylist()

    instrument: list[int]
    ts_event: list[int]
    ts_recv: list[int]
    seq: list[int]
    action: list[int]
    side: list[int]

    def level(self, row: int) -> list[Any]:
        """Return a level as it is shown."""
        level = [self._price[row], self._size[row]]
        orders = None if self._orders is None else self._orders[row]
        return level if orders is None else [*level, orders]
