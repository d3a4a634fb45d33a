"""Stamped rows as log records and back.

A record's payload is one Arrow IPC message of the table's schema, followed by the column `key`
(16 bytes, two little-endian uint64) where any row has an idempotency key; the record's kind says
which table it is and whether there are keys.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tickplant.log.contract import LogRecord
from tickplant.model.events import QUARANTINE, QUOTES, SCHEMAS, TRADES
from tickplant.store.contract import Keys

CATALOG_KIND = 16
_KINDS = {TRADES: 1, QUOTES: 2, QUARANTINE: 3}
_TABLES = {kind: table for table, kind in _KINDS.items()}
_WITH_KEYS = 0x100
_KEY = pa.field("key", pa.binary(16), nullable=False)
_SCHEMAS_WITH_KEYS = {table: schema.append(_KEY) for table, schema in SCHEMAS.items()}


def encode_rows(table: str, rows: pa.RecordBatch, keys: Keys | None) -> LogRecord:
    """Return the log record of stamped rows; `rows` is in sequence order without a hole."""
    kind = _KINDS[table]
    if keys is not None:
        kind |= _WITH_KEYS
        packed = np.ascontiguousarray(keys, dtype="<u8")
        column = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(rows), [None, pa.py_buffer(packed)]
        )
        rows = pa.RecordBatch.from_arrays([*rows.columns, column], schema=_SCHEMAS_WITH_KEYS[table])
    return LogRecord(kind, rows.column("seq")[0].as_py(), len(rows), memoryview(rows.serialize()))


def catalog_record(seq_next: int, payload: bytes) -> LogRecord:
    """Return the log record of catalog entries."""
    return LogRecord(CATALOG_KIND, seq_next, 0, payload)


def decode_rows(record: LogRecord) -> tuple[str, pa.RecordBatch, Keys | None]:
    """Return (table, rows, keys) of a record that is not the catalog's.

    The rows refer to the payload's memory. Raises `ValueError` for a kind that nobody knows.
    """
    table = _TABLES.get(record.kind & ~_WITH_KEYS)
    if table is None:
        raise ValueError(f"a log record of kind {record.kind} is not known to this version")
    payload = pa.py_buffer(record.payload)
    if not record.kind & _WITH_KEYS:
        return table, pa.ipc.read_record_batch(payload, SCHEMAS[table]), None
    rows = pa.ipc.read_record_batch(payload, _SCHEMAS_WITH_KEYS[table])
    column = rows.column("key")
    keys = np.frombuffer(column.buffers()[1], dtype="<u8").reshape(-1, 2)[: len(rows)]
    return table, pa.RecordBatch.from_arrays(rows.columns[:-1], schema=SCHEMAS[table]), keys
