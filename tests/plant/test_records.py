from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.log.contract import LogRecord
from tickplant.model.events import SCHEMAS, TABLES
from tickplant.plant.records import decode_rows, encode_rows

VALUES = {
    pa.int8(): st.integers(0, 2),
    pa.int16(): st.integers(0, 3),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): st.text(max_size=5),
}


@st.composite
def stamped(draw: st.DrawFn) -> tuple[str, pa.RecordBatch, np.ndarray | None]:
    table = draw(st.sampled_from(TABLES))
    count, first = draw(st.integers(1, 20)), draw(st.integers(1, 10**12))
    arrays = []
    for field in SCHEMAS[table]:
        if field.name == "seq":
            values = list(range(first, first + count))
        else:
            value = VALUES[field.type]
            value = st.one_of(st.none(), value) if field.nullable else value
            one = draw(st.booleans())
            values = [draw(value)] * count if one else [draw(value) for _ in range(count)]
        arrays.append(pa.array(values, field.type))
    words = st.lists(st.integers(0, 2**64 - 1), min_size=2 * count, max_size=2 * count)
    keys = draw(st.one_of(st.none(), words))
    packed = None if keys is None else np.array(keys, dtype=np.uint64).reshape(-1, 2)
    return table, pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[table]), packed


@given(stamped())
def test_what_was_encoded_is_decoded(case: tuple) -> None:
    table, rows, keys = case
    record = encode_rows(table, rows, keys)
    assert (record.seq_first, record.count) == (rows.column("seq")[0].as_py(), len(rows))
    found_table, found, found_keys = decode_rows(record._replace(payload=bytes(record.payload)))
    assert found_table == table
    assert found.equals(rows)
    assert (found_keys is None) == (keys is None)
    assert keys is None or (found_keys == keys).all()


def test_a_kind_of_a_later_version_is_named() -> None:
    with pytest.raises(ValueError, match="kind 99 is not known"):
        decode_rows(LogRecord(99, 1, 1, b""))
