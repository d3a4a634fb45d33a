"""Rows of the table `book` back to a book: the one place that says what they mean.

CLEAR empties a book and makes it whole, SET rows change it, LOST ends that until the next CLEAR. A
book belongs to the feed whose CLEAR came last; rows of another feed are passed over until it brings
a CLEAR of its own. A LOST directly after a CLEAR ends a book for good: it is not kept any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.book import Book
from tickplant.model.events import BookAction

_SET, _CLEAR, _LOST = (int(action) for action in BookAction)


@dataclass(slots=True)
class Replayed:
    """A book as rows have made it. `whole`: nothing was lost since the last CLEAR; `bare`: no level
    was set since."""

    feed: int = 0
    whole: bool = False
    bare: bool = False
    seq: int = 0
    ts_event: int = 0
    ts_recv: int = 0
    update: int | None = None
    book: Book = field(default_factory=Book)

    @property
    def ended(self) -> bool:
        """Whether the book is not kept any more."""
        return self.bare and not self.whole


class Columns(NamedTuple):
    """The columns of stamped rows as lists, which are what loops are quick with."""

    ts_event: list[int]
    seq: list[int]
    ts_recv: list[int]
    feed: list[int]
    action: list[int]
    side: list[int]
    price: list[float]
    size: list[float]
    orders: list[int | None] | None
    update: list[int | None]


NAMES = ("instrument", *Columns._fields)
"""The columns of `book` that a replay reads."""


def columns_of(rows: pa.RecordBatch | pa.Table) -> Columns:
    """Return the columns of stamped rows of `book`."""
    orders = rows.column("orders")
    made: dict[str, Any] = {
        name: _values(rows.column(name)) for name in Columns._fields if name != "orders"
    }
    return Columns(orders=None if orders.null_count == len(orders) else orders.to_pylist(), **made)


def _values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    if pa.types.is_floating(column.type) or not column.null_count:
        if isinstance(column, pa.ChunkedArray):
            return list(column.to_numpy().tolist())
        return list(column.to_numpy(zero_copy_only=False).tolist())
    return list(column.to_pylist())


def runs_of(instrument: NDArray[np.int32]) -> list[tuple[int, int, int]]:
    """Return (instrument, start, end) of the runs of neighbouring rows of one instrument."""
    cuts = np.flatnonzero(instrument[1:] != instrument[:-1]) + 1
    starts = np.concatenate(([0], cuts)) if len(instrument) else cuts
    ends = np.concatenate((cuts, [len(instrument)]))
    numbers = instrument[starts].tolist()
    return list(zip(numbers, starts.tolist(), ends.tolist(), strict=False))


def marks_of(action: NDArray[np.int8]) -> NDArray[np.intp]:
    """Return the places of the rows that set no level."""
    return np.flatnonzero(action != _SET)


def step_starts(rows: pa.RecordBatch | pa.Table) -> NDArray[np.intp]:
    """Return the places where steps begin, ascending; the rows are in sequence order.

    Rows of one step follow each other in number, and have one instrument, time and update; a CLEAR
    and a LOST each begin one, and a CLEAR's has the flag `snapshot` throughout.
    """
    seq, action = rows.column("seq").to_numpy(), rows.column("action").to_numpy()
    new = (action != _SET) | (np.diff(seq, prepend=seq[:1] - 2) != 1)
    for name in ("instrument", "ts_event", "flags", "update"):
        values = rows.column(name).fill_null(-1).to_numpy()
        new[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(new)


def replay(held: Replayed, columns: Columns, start: int, end: int, marks: Sequence[int]) -> bool:
    """Apply the rows `[start, end)`, all of one instrument, to its book; say whether any counted.

    `marks` are the places among them that set no level, ascending.
    """
    counted = False
    for mark in marks:
        counted |= _set(held, columns, start, mark)
        counted |= _mark(held, columns, mark)
        start = mark + 1
    return _set(held, columns, start, end) or counted


def _set(held: Replayed, columns: Columns, start: int, end: int) -> bool:
    if start >= end or not held.whole or columns.feed[start] != held.feed:
        return False
    orders = columns.orders
    held.book.apply(
        columns.side[start:end],
        columns.price[start:end],
        columns.size[start:end],
        None if orders is None else orders[start:end],
    )
    held.bare = False
    _stamp(held, columns, end - 1)
    return True


def _mark(held: Replayed, columns: Columns, place: int) -> bool:
    feed = columns.feed[place]
    if columns.action[place] == _CLEAR:
        held.feed, held.whole, held.bare = feed, True, True
        held.book.clear()
    elif feed != held.feed or not held.whole:
        return False
    else:
        held.whole = False
    _stamp(held, columns, place)
    return True


def _stamp(held: Replayed, columns: Columns, place: int) -> None:
    held.seq, held.ts_event = columns.seq[place], columns.ts_event[place]
    held.ts_recv, held.update = columns.ts_recv[place], columns.update[place]
