"""Keys of rows that have none of their own: who sent them, in which message, at which place.

A producer that names itself promises that its number n names one message for ever. So the key makes
a resend exact, also where the venue gives no ids: a row that was stored already is a duplicate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_KEY = np.dtype([("producer", "V16"), ("seq", ">i8"), ("place", ">i4")])


def producer_digest(producer: str) -> bytes:
    """Return the 16 bytes that stand for a producer in keys."""
    return hashlib.blake2b(producer.encode(), digest_size=16, person=b"tickplant push").digest()


def with_keys(
    rows: pa.RecordBatch, producer: bytes, seq: int, indexes: Sequence[int] | None
) -> pa.RecordBatch:
    """Return rows of `INCOMING` with a key in each that has none.

    `indexes` gives the place in the message of each row, None where they are 0, 1, 2, …
    """
    place = rows.schema.get_field_index("key")
    given = rows.column(place)
    if not rows.num_rows or not given.null_count:
        return rows
    made = np.empty(rows.num_rows, _KEY)
    made["producer"] = np.void(producer)
    made["seq"] = seq
    made["place"] = np.arange(rows.num_rows) if indexes is None else indexes
    ends = np.arange(rows.num_rows + 1, dtype=np.int32) * np.int32(_KEY.itemsize)
    keys = pa.Array.from_buffers(
        pa.binary(), rows.num_rows, [None, pa.py_buffer(ends), pa.py_buffer(made)]
    )
    if given.null_count < len(given):
        keys = pc.coalesce(given, keys)
    return rows.set_column(place, rows.schema.field(place), keys)
