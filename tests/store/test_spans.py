"""First and last times in memory, against a look through all rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.model.events import SCHEMAS, TRADES
from tickplant.store.blocks import Run
from tickplant.store.spans import Spans

ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(-50, 50)), min_size=1, max_size=8)


def run_of(rows: Sequence[tuple[int, int]], first: int) -> Run:
    columns = {
        "instrument": [number for number, _ in rows],
        "ts_event": [ts for _, ts in rows],
        "seq": list(range(first, first + len(rows))),
    }
    zeros = [0] * len(rows)
    arrays = [
        pa.nulls(len(rows), one.type)
        if one.nullable
        else pa.array(columns.get(one.name, zeros), one.type)
        for one in SCHEMAS[TRADES]
    ]
    return Run.of(pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[TRADES]), 0, first)


def looked_through(runs: Sequence[Run], number: int) -> tuple[int, int] | None:
    ts = np.concatenate(
        [np.empty(0, np.int64), *(run.ts[run.instrument == number] for run in runs)]
    )
    return (int(ts.min()), int(ts.max())) if ts.size else None


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(ROWS, st.booleans(), st.integers(0, 6)), max_size=10), st.data())
def test_spans_are_those_of_all_rows(
    steps: list[tuple[list[tuple[int, int]], bool, int]], data: st.DataObject
) -> None:
    spans, held, seq = Spans(), list[Run](), 1
    for rows, archived, number in steps:
        run = run_of(rows, seq)
        seq += len(rows)
        held.append(run)
        spans.note(run)
        if data.draw(st.booleans()):
            assert spans.of(number) == looked_through(held, number)
        if archived:
            held = held[data.draw(st.integers(0, len(held))) :]
            spans.become(lambda held=held: held)
            assert spans.of(number) == looked_through(held, number)


def test_rows_that_come_while_all_are_looked_through_are_not_lost() -> None:
    spans = Spans()
    old, left, new = (run_of([(1, ts)], ts) for ts in (10, 20, 30))
    for run in (old, left):
        spans.note(run)

    def runs() -> list[Run]:
        spans.note(new)
        assert spans.of(1) == (10, 30)  # what was known before, and what came
        return [left]

    spans.become(runs)
    assert spans.of(1) == (20, 30)
