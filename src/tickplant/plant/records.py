"""Stamped rows as log records and back.

A payload is, in this order: the length of the header (uint32, little-endian), the header
(MessagePack), zero bytes up to a multiple of 64, and one Arrow IPC message. What a record need not
say by rows is left out of the message, because bytes are what the disk is slow at: `seq`, which
runs without a hole from the record's first number; columns that are null throughout; and whole
number columns with one value, which the header gives. Idempotency keys, where any row has one, are
the message's last column, `key`: 16 bytes a row, two little-endian uint64.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from tickplant.log.contract import LogRecord
from tickplant.model.events import BOOK, COVERAGE, QUARANTINE, QUOTES, SCHEMAS, STATS, TRADES
from tickplant.store.contract import Keys

CATALOG_KIND = 16
_KINDS = {TRADES: 1, QUOTES: 2, QUARANTINE: 3, COVERAGE: 4, BOOK: 5, STATS: 6}
_TABLES = {kind: table for table, kind in _KINDS.items()}
_KEY = pa.field("key", pa.binary(16), nullable=False)
_MAY_BE_CONSTANT = frozenset({"ts_recv", "feed", "flags", "side", "action", "ref_seq"})
_LENGTH = struct.Struct("<I")
_ALIGNMENT = 64


class Header(msgspec.Struct, array_like=True):
    """The columns of the message, the values of constant ones, and whether there are keys."""

    columns: list[str]
    constants: dict[str, int]
    keys: bool


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Header)


def encode_rows(table: str, rows: pa.RecordBatch, keys: Keys | None) -> LogRecord:
    """Return the log record of stamped rows; `rows` is in sequence order without a hole."""
    header = Header([], {}, keys is not None)
    columns: list[pa.Array] = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        if name == "seq" or column.null_count == len(column):
            continue
        constant = _constant(column) if name in _MAY_BE_CONSTANT else None
        if constant is not None:
            header.constants[name] = constant
        else:
            header.columns.append(name)
            columns.append(column)
    if keys is not None:
        columns.append(_pack(keys))
    message = pa.RecordBatch.from_arrays(columns, schema=message_schema(table, header))
    payload = _join(_ENCODER.encode(header), message.serialize())
    return LogRecord(_KINDS[table], rows.column("seq")[0].as_py(), len(rows), payload)


def catalog_record(seq_next: int, payload: bytes) -> LogRecord:
    """Return the log record of catalog entries."""
    return LogRecord(CATALOG_KIND, seq_next, 0, payload)


def decode_rows(record: LogRecord) -> tuple[str, pa.RecordBatch, Keys | None]:
    """Return (table, rows, keys) of a record that is not the catalog's.

    The rows refer to the payload's memory. Raises `ValueError` for a kind that nobody knows.
    """
    table, header, message = split(record)
    rows = pa.ipc.read_record_batch(pa.py_buffer(message), message_schema(table, header))
    return table, _restored(table, record, header, rows), unpack_keys(header, rows)


def check_kinds(kinds: Iterable[int]) -> None:
    """Raise `ValueError` where a log has records of a kind that nobody knows."""
    unknown = sorted(set(kinds) - _TABLES.keys() - {CATALOG_KIND})
    if unknown:
        raise ValueError(f"a log record of kind {unknown[0]} is not known to this version")


def split(record: LogRecord) -> tuple[str, Header, memoryview]:
    """Return the table, the header and the Arrow message of a record that is not the catalog's.

    Raises `ValueError` for a kind that nobody knows.
    """
    table = _TABLES.get(record.kind)
    if table is None:
        raise ValueError(f"a log record of kind {record.kind} is not known to this version")
    payload = memoryview(record.payload)
    end = _LENGTH.size + _LENGTH.unpack_from(payload)[0]
    return table, _DECODER.decode(payload[_LENGTH.size : end]), payload[_aligned(end) :]


def message_schema(table: str, header: Header) -> pa.Schema:
    """Return the schema of a record's Arrow message."""
    fields = [SCHEMAS[table].field(name) for name in header.columns]
    return pa.schema([*fields, _KEY] if header.keys else fields)


def _constant(column: pa.Array) -> int | None:
    values = column.to_numpy()
    first = values[0]
    return int(first) if (values == first).all() else None


def _join(header: bytes, message: pa.Buffer) -> memoryview:
    start = _aligned(_LENGTH.size + len(header))
    payload = bytearray(start + message.size)
    _LENGTH.pack_into(payload, 0, len(header))
    payload[_LENGTH.size : _LENGTH.size + len(header)] = header
    payload[start:] = message
    return memoryview(payload)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _restored(
    table: str, record: LogRecord, header: Header, message: pa.RecordBatch
) -> pa.RecordBatch:
    count = record.count
    made: dict[str, Any] = dict(zip(header.columns, message.columns, strict=False))
    made["seq"] = pa.array(np.arange(record.seq_first, record.seq_next, dtype=np.int64))
    schema = SCHEMAS[table]
    for name, value in header.constants.items():
        kind = schema.field(name).type.to_pandas_dtype()
        made[name] = pa.array(np.full(count, value, dtype=kind))
    columns = [made[f.name] if f.name in made else pa.nulls(count, f.type) for f in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _pack(keys: Keys) -> pa.Array:
    packed = np.ascontiguousarray(keys, dtype="<u8")
    buffers = [None, pa.py_buffer(packed)]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(keys), buffers)


def unpack_keys(header: Header, message: pa.RecordBatch) -> Keys | None:
    """Return the keys of a message, shape (n, 2), a view; None where it has none."""
    if not header.keys:
        return None
    buffer = message.column(len(header.columns)).buffers()[1]
    keys: Keys = np.frombuffer(buffer, dtype="<u8").reshape(-1, 2)[: message.num_rows]
    return keys
