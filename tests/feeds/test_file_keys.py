"""Ordinals of identical rows, whatever the chunks, the order and where hashes rest."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.feeds.filekeys import Occurrences

ROWS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), max_size=200)


def numbered(rows: list[tuple[int, int]], sizes: list[int], memory_rows: int) -> list[int]:
    seen = Occurrences(memory_rows)
    found: list[int] = []
    start = turn = 0
    while start < len(rows):
        part = rows[start : start + sizes[turn % len(sizes)]]
        ts = np.array([t for t, _ in part], np.int64)
        # The hash of a row depends on its time, as that of content does.
        hashes = np.array([t * 1_000_003 + v for t, v in part], np.uint64)
        found += seen.number(ts, hashes).tolist()
        start, turn = start + len(part), turn + 1
    return found


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(st.integers(1, 40), min_size=1, max_size=5), st.sampled_from([0, 30, 10**6]),
       st.booleans())  # fmt: skip
def test_ordinals_are_those_of_counting_row_by_row(
    rows: list[tuple[int, int]], sizes: list[int], memory_rows: int, in_order: bool
) -> None:
    rows = sorted(rows) if in_order else rows
    counts: dict[tuple[int, int], int] = defaultdict(int)
    wanted = []
    for row in rows:
        wanted.append(counts[row])
        counts[row] += 1
    assert numbered(rows, sizes, memory_rows) == wanted


@pytest.mark.parametrize("in_order", [True, False])
def test_runs_stay_few_where_times_overlap_and_prune_where_not(in_order: bool) -> None:
    seen = Occurrences()
    rng = np.random.default_rng(1)
    for chunk in range(64):
        low, high = (chunk * 1_000, chunk * 1_000 + 1_000) if in_order else (0, 64_000)
        ts = rng.integers(low, high, 500)
        seen.number(ts, rng.integers(0, 2**63, 500).astype(np.uint64))
    assert len(seen._runs) == 64 if in_order else len(seen._runs) < 8
