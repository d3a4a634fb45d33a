"""Records decoded together are the records decoded one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.log.contract import LogRecord
from tickplant.model.events import QUARANTINE, QUOTES, SCHEMAS, TRADES
from tickplant.plant.bulk import Bulk
from tickplant.plant.records import decode_rows, encode_rows

texts = st.one_of(st.none(), st.text(max_size=3))
small = st.integers(0, 3)


@st.composite
def rows_of_one_table(draw: st.DrawFn) -> tuple[str, list[dict], bool]:
    table = draw(st.sampled_from([TRADES, QUOTES, QUARANTINE]))
    values = {}
    for field in SCHEMAS[table]:
        one = texts if pa.types.is_string(field.type) else small
        values[field.name] = one if field.nullable else one.filter(lambda v: v is not None)
    rows = draw(st.lists(st.fixed_dictionaries(values), min_size=1, max_size=5))
    return table, rows, draw(st.booleans())


@settings(max_examples=60, deadline=None)
@given(st.lists(rows_of_one_table(), min_size=1, max_size=12))
def test_together_is_one_by_one(batches: list[tuple[str, list[dict], bool]]) -> None:
    bulk, seq = Bulk(), 7
    expected: dict[str, list[dict]] = {}
    keys_expected: dict[str, list[tuple[int, int]]] = {}
    for table, rows, keyed in batches:
        numbered = [row | {"seq": seq + place} for place, row in enumerate(rows)]
        batch = pa.RecordBatch.from_pylist(numbered, schema=SCHEMAS[table])
        keys = np.arange(2 * seq, 2 * seq + 2 * len(rows), dtype=np.uint64).reshape(-1, 2)
        record = encode_rows(table, batch, keys if keyed else None)
        assert decode_rows(record)[1].to_pylist() == numbered
        bulk.add(record)
        expected.setdefault(table, []).extend(numbered)
        had = keys.tolist() if keyed else [[0, 0]] * len(rows)
        keys_expected.setdefault(table, []).extend(map(tuple, had))
        seq += len(rows)
    decoded = {table: (rows, keys) for table, rows, keys in bulk.decode()}
    assert decoded.keys() == expected.keys()
    for table, (rows, keys) in decoded.items():
        rows.validate(full=True)
        assert rows.schema == SCHEMAS[table]
        assert rows.to_pylist() == expected[table]
        found = [(0, 0)] * len(rows) if keys is None else [tuple(k) for k in keys.tolist()]
        assert found == keys_expected[table]


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="kind 99"):
        Bulk().add(LogRecord(99, 1, 1, b"\0" * 64))
