"""What every parser hands back: the rows that could be read, and those that could not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from tickplant.formats.columns import Column, Fault
from tickplant.formats.values import FIELDS, TIME_ALIASES
from tickplant.model.errors import InvalidBody, shorten
from tickplant.model.events import INCOMING, QUOTES, STATS, TRADES
from tickplant.model.rejects import Reject

_COLUMNS = {table: [(f.name, f.type) for f in schema] for table, schema in INCOMING.items()}
NEEDED = {
    TRADES: (("price",),),
    QUOTES: (("bid_price", "ask_price"),),
    STATS: (("name",), ("value",)),
}
"""Columns, besides the symbol, without which rows of a table say nothing: one of each group."""

BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Parsed:
    """The rows of a body.

    `rows` has the schema `INCOMING[table]` and holds the rows that could be read, in the order of
    the body. `unreadable` holds the others, in the same order. `indexes` gives the place in the
    body of each row of `rows`; None when they are 0, 1, 2, …
    """

    rows: pa.RecordBatch
    unreadable: tuple[Reject, ...] = ()
    indexes: list[int] | None = None


def incoming_batch(table: str, **columns: Any) -> pa.RecordBatch:
    """Return a batch in `INCOMING[table]` from some of its columns; the others are null.

    A column is an Arrow array or anything that `pa.array` takes; all have the same length. A name
    that the table does not have raises `KeyError`.
    """
    schema = INCOMING[table]
    for name in columns:
        schema.field(name)
    arrays = {
        name: column if isinstance(column, pa.Array) and column.type == schema.field(name).type
        else pa.array(column, schema.field(name).type)
        for name, column in columns.items()
    }  # fmt: skip
    return _fill(table, arrays)


def _fill(table: str, arrays: Mapping[str, pa.Array]) -> pa.RecordBatch:
    length = len(next(iter(arrays.values()))) if arrays else 0
    filled = [
        arrays[name] if name in arrays else _missing(name, kind, length)
        for name, kind in _COLUMNS[table]
    ]
    return pa.RecordBatch.from_arrays(filled, schema=INCOMING[table])


def _missing(name: str, kind: pa.DataType, length: int) -> pa.Array:
    """Return a column without a value; arrays are immutable, so short ones are shared."""
    if length <= _SHARED_ROWS_MAX:
        return _shared_missing(name, kind, length)
    return _make_missing(name, kind, length)


def _make_missing(name: str, kind: pa.DataType, length: int) -> pa.Array:
    if name == "side":  # unknown is code 0, not null
        return pa.array(np.zeros(length, np.int8))
    return pa.nulls(length, kind)


_SHARED_ROWS_MAX = 2_048
_shared_missing = lru_cache(256)(_make_missing)


def assemble(
    table: str,
    columns: Mapping[str, Column],
    row_text: Callable[[int], str],
    *,
    indexes: Sequence[int] | None = None,
    unreadable: Iterable[Reject] = (),
) -> Parsed:
    """Join coerced columns; rows with a fault become rejects.

    `row_text` returns the row at a position of the columns as JSON text. `indexes` gives the place
    in the body of each position, and `unreadable` the rows of the body that have none.
    """
    rows = _fill(table, {name: array for name, (array, _) in columns.items()})
    faults = _first_faults(columns)
    if not faults:
        rejects = tuple(unreadable)
        return Parsed(rows, rejects, list(indexes) if indexes is not None and rejects else None)
    places = range(rows.num_rows) if indexes is None else indexes
    symbols = rows.column("symbol")
    found = [
        Reject(places[p], f.reason, f.detail, row_text(p), symbols[p].as_py())
        for p, f in faults.items()
    ]
    kept = np.ones(rows.num_rows, bool)
    kept[list(faults)] = False
    rejects = tuple(sorted([*unreadable, *found], key=lambda reject: reject.index))
    left = [places[p] for p in np.flatnonzero(kept).tolist()]
    return Parsed(rows.filter(pa.array(kept)), rejects, left)


def _first_faults(columns: Mapping[str, Column]) -> dict[int, Fault]:
    first: dict[int, Fault] = {}
    for _, faults in columns.values():
        for fault in faults:
            first.setdefault(fault.position, fault)
    return first


def pick_columns(table: str, present: Sequence[str], what: str) -> dict[str, str]:
    """Return by field the name of the column that holds it, for a header or a schema.

    `present` are the names of the columns and `what` says where they stand, for messages. Raises
    `InvalidBody` where a needed column is missing or one that we read stands there twice.
    """
    picked = {name: name for name in FIELDS[table] if name in present}
    for alias in TIME_ALIASES:
        if "ts_event" not in picked and alias in present:
            picked["ts_event"] = alias
    _check_needed(table, picked, present, what)
    for name in picked.values():
        if list(present).count(name) > 1:
            raise InvalidBody(f"{what}: the column {name} stands there twice")
    return picked


def _check_needed(table: str, picked: Mapping[str, str], present: Sequence[str], what: str) -> None:
    missing = [
        " or ".join(names)
        for names in (("symbol",), *NEEDED[table])
        if not any(name in picked for name in names)
    ]
    if missing:
        seen = shorten(", ".join(map(str, present)) or "none", 200)
        raise InvalidBody(f"{what}: no column {' and none '.join(missing)}; its columns are {seen}")


def check_text(body: bytes) -> bytes:
    """Return the body without a byte order mark; refuse it when empty or no UTF-8."""
    if body.startswith(BOM):
        body = body[len(BOM) :]
    if not body.strip(b" \t\r\n"):
        raise InvalidBody("body: it is empty; rows were expected")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as fault:
            raise InvalidBody(f"body: it is no valid UTF-8 at byte {fault.start}") from None
    return body
