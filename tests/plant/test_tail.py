"""The newest rows of one instrument, found by their chain, against a look through all rows."""

from __future__ import annotations

from itertools import accumulate
from math import isnan

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.model.events import SCHEMAS, TRADES
from tickplant.plant.recent import Recent
from tickplant.plant.tail import Tail

SCHEMA = SCHEMAS[TRADES]
VALUES = ("price", "size")


def batch(numbers: list[int], first_seq: int, sizes: bool = True) -> pa.RecordBatch:
    """Return trades of these instruments; every value tells its row."""
    seq = np.arange(first_seq, first_seq + len(numbers))
    columns = {
        "instrument": np.array(numbers),
        "ts_event": seq * 10,
        "seq": seq,
        "ts_recv": seq,
        "feed": np.ones(len(numbers), np.int64),
        "flags": np.zeros(len(numbers), np.int64),
        "ref_seq": np.zeros(len(numbers), np.int64),
        "side": np.zeros(len(numbers), np.int64),
        "price": seq / 4,
    }
    if sizes:
        columns["size"] = np.where(seq % 3 == 0, np.nan, seq / 8)
    arrays = [
        pa.array(columns[one.name], one.type, from_pandas=True)
        if one.name in columns
        else pa.nulls(len(numbers), one.type)
        for one in SCHEMA
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def batches(sizes: list[list[int]]) -> list[pa.RecordBatch]:
    firsts = accumulate((len(one) for one in sizes), initial=1)
    return [
        batch(one, first, sizes=first % 2 == 0) for one, first in zip(sizes, firsts, strict=False)
    ]


def looked_through(rows: list[pa.RecordBatch], number: int) -> list[tuple[object, ...]]:
    names = ["ts_event", "seq", *VALUES]
    every = [row for one in rows for row in one.select(["instrument", *names]).to_pylist()]
    return [tuple(row[name] for name in names) for row in every if row["instrument"] == number]


def shown(found: object) -> list[tuple[object, ...]]:
    if found is None:
        return []
    columns = [column.tolist() for column in found]  # type: ignore[attr-defined]
    return [tuple(None if isnan(v) else v for v in row) for row in zip(*columns, strict=True)]


NUMBERS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(NUMBERS, st.sampled_from([4, 16, 64, 1_024]), st.data())
def test_rows_of_an_instrument_are_those_that_a_look_through_all_finds(
    numbers: list[list[int]], room: int, data: st.DataObject
) -> None:
    recent = Recent(10**9, 0, {TRADES: None}, room)
    rows = batches(numbers)
    for place, one in enumerate(rows):
        recent.add(TRADES, one, waiting=0)
        if data.draw(st.booleans()):  # others read, or nobody does
            continue
        position = data.draw(st.integers(0, place + 1))
        number = data.draw(st.integers(0, 6))
        try:
            found = recent.rows_after(position, TRADES, number)
        except LookupError:
            assert sum(len(left) for left in rows[position : place + 1]) > 0
            # The ring is short, or the rows before were passed over by another reader.
            continue
        assert shown(found) == looked_through(rows[position : place + 1], number)


def test_a_reader_who_is_always_near_is_never_sent_away() -> None:
    recent = Recent(10**9, 0, {TRADES: None}, 64)
    rows = batches([[n % 5, (n * 3) % 5, n % 2] for n in range(80)])
    for place, one in enumerate(rows):
        recent.add(TRADES, one, waiting=0)
        since = max(place - 19, 0)
        for number in range(5):
            found = recent.rows_after(since, TRADES, number)
            assert shown(found) == looked_through(rows[since : place + 1], number)


def test_rows_beyond_the_ring_are_refused_and_not_invented() -> None:
    recent = Recent(10**9, 0, {TRADES: None}, 8)
    for one in batches([[1, 2, 3]] * 6):
        recent.add(TRADES, one, waiting=0)
    with pytest.raises(LookupError):
        recent.rows_after(0, TRADES, 1)
    assert [row[1] for row in shown(recent.rows_after(4, TRADES, 1))] == [13, 16]


def test_a_batch_that_is_larger_than_the_ring_is_passed_over() -> None:
    tail = Tail(VALUES, 8)
    tail.take(0, batch([1] * 20, 1))
    assert tail.since == tail.end == 20
    tail.take(20, batch([1, 2], 21))
    assert [row[1] for row in shown(tail.rows_of(1, 20))] == [21]


def test_numbers_of_more_than_sixteen_bits_are_told_apart() -> None:
    tail = Tail(VALUES, 64)
    tail.take(0, batch([1, 65_537, 1, 131_073, 65_537], 1))
    assert [row[1] for row in shown(tail.rows_of(1, 0))] == [1, 3]
    assert [row[1] for row in shown(tail.rows_of(65_537, 0))] == [2, 5]
    assert [row[1] for row in shown(tail.rows_of(131_073, 0))] == [4]
    assert tail.rows_of(7, 0) is None
