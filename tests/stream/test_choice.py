"""Rows that are chosen for all wishes at once are those that each names."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.gateway.stream.choice import ByInstrument, Chosen


def parts(chosen: Chosen) -> list[list[int]]:
    edges = chosen.edges.tolist()
    return [chosen.rows[low:high].tolist() for low, high in pairwise(edges)]


@settings(max_examples=200, deadline=None)
@given(
    wishes=st.lists(st.sets(st.integers(1, 12), max_size=6), min_size=1, max_size=8),
    instruments=st.lists(st.integers(1, 20), max_size=40),
)
def test_each_wish_has_the_rows_of_its_instruments_in_their_order(
    wishes: list[set[int]], instruments: list[int]
) -> None:
    chosen = ByInstrument(wishes).choose(np.array(instruments, np.int32))
    assert parts(chosen) == [
        [row for row, number in enumerate(instruments) if number in wanted] for wanted in wishes
    ]


def test_more_wishes_than_sixteen_bits_count() -> None:
    wishes = [{number % 7 + 1} for number in range(70_000)]
    chosen = ByInstrument(wishes).choose(np.array([3, 1, 3, 9], np.int32))
    rows = {1: [1], 3: [0, 2]}
    assert parts(chosen) == [rows.get(number % 7 + 1, []) for number in range(70_000)]


@given(st.lists(st.lists(st.integers(0, 9)), min_size=1))
def test_rows_that_were_chosen_one_after_the_other(rows: list[list[int]]) -> None:
    assert parts(Chosen.of([np.array(some, np.intp) for some in rows])) == rows
