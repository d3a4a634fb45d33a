"""Arrow IPC streams to columns.

A stream whose columns have the types of `INCOMING` is taken as it is, without a copy; other
compatible types are cast, optional columns may be missing, and unknown ones are ignored.
"""

from __future__ import annotations

import pyarrow as pa

from tickplant.formats.columns import read_array
from tickplant.formats.parsed import Parsed, assemble, pick_columns
from tickplant.formats.values import FIELDS
from tickplant.model.errors import InvalidBody
from tickplant.model.events import INCOMING
from tickplant.model.rejects import row_text


def parse_arrow(table: str, body: bytes) -> Parsed:
    """Parse an Arrow IPC stream of any number of batches.

    Raises `InvalidBody` where the body is no such stream, is damaged, lacks a needed column, or has
    a column of a type that cannot hold its values, such as a timestamp without a zone.
    """
    rows = _read_stream(body)
    if rows.schema.equals(INCOMING[table]) and _has_sides(rows):
        return Parsed(rows)
    columns, kinds = rows.schema.names, FIELDS[table]
    picked = pick_columns(table, columns, "schema")
    return assemble(
        table,
        {
            name: read_array(kind, name, rows.column(picked[name]))
            for name, kind in kinds.items()
            if name in picked
        },
        lambda p: row_text(_row(rows, p, picked)),
    )


def _has_sides(rows: pa.RecordBatch) -> bool:
    return "side" not in rows.schema.names or rows.column("side").null_count == 0


def _read_stream(body: bytes) -> pa.RecordBatch:
    if not body:
        raise InvalidBody("body: it is empty; an Arrow IPC stream was expected")
    try:
        with pa.ipc.open_stream(body) as reader:
            batches = list(reader)
            schema = reader.schema
            _ = schema.names  # raises where a name is no UTF-8
        for batch in batches:
            batch.validate(full=True)  # offsets and indices of a stranger are not to be trusted
        return _join(batches, schema)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as fault:
        raise InvalidBody(f"body: it is no Arrow IPC stream that can be read ({fault})") from None


def _join(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    joined = pa.Table.from_batches(batches, schema).combine_chunks().to_batches()
    return joined[0] if joined else pa.RecordBatch.from_pylist([], schema=schema)


def _row(rows: pa.RecordBatch, position: int, picked: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for field, name in picked.items():
        value = rows.column(name)[position]
        found[field] = value.value if isinstance(value, pa.TimestampScalar) else value.as_py()
    return found
