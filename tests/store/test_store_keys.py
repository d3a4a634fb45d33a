"""Idempotency keys against a Python set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.store.keys import HotKeys, KeyRun, TableKeys, merge_keys, plan_merge, sort_keys

numbers = st.integers(0, 3) | st.sampled_from([2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
keys = st.lists(st.tuples(numbers, numbers), max_size=40)


def array(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2)


@given(parts=st.lists(keys, min_size=1, max_size=4), asked=keys)
@settings(max_examples=150, deadline=None)
def test_run_knows_its_keys_and_no_other(
    parts: list[list[tuple[int, int]]], asked: list[tuple[int, int]]
) -> None:
    stored = {key for part in parts for key in part}
    run = KeyRun(sort_keys([array(part) for part in parts]))
    asked = asked + sorted(stored)
    assert len(run) == len(stored)
    assert run.seen(array(asked)).tolist() == [key in stored for key in asked]


@given(runs=st.lists(keys, max_size=4), fresh=st.lists(keys, min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_runs_and_new_keys_are_one_run(
    runs: list[list[tuple[int, int]]], fresh: list[list[tuple[int, int]]]
) -> None:
    made = merge_keys([sort_keys([array(run)]) for run in runs], [array(part) for part in fresh])
    wanted = sorted({key for part in (*runs, *fresh) for key in part})
    assert list(zip(*made.tolist(), strict=True)) == wanted
    assert made.flags.c_contiguous


@given(parts=st.lists(keys, min_size=1, max_size=4), asked=keys, upto=st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_hot_keys_are_split_by_sequence(
    parts: list[list[tuple[int, int]]], asked: list[tuple[int, int]], upto: int
) -> None:
    hot = HotKeys()
    for seq_last, part in enumerate(parts, 1):
        hot.add(array(part), seq_last)
    asked = asked + [key for part in parts for key in part]
    early, late = hot.split(upto)
    for kept, chosen in ((early, parts[:upto]), (late, parts[upto:])):
        stored = {key for part in chosen for key in part} - {(0, 0)}
        assert kept.seen(array(asked)).tolist() == [key in stored for key in asked]
        assert {tuple(key) for key in kept.all().tolist()} == stored


def test_many_runs_and_hot_keys_answer_as_one() -> None:
    random = np.random.default_rng(5)
    stored = random.integers(0, 2**64, (9000, 2), dtype=np.uint64)
    fresh = random.integers(0, 2**64, (1000, 2), dtype=np.uint64)
    table = TableKeys([KeyRun(sort_keys([stored[:5000]])), KeyRun(sort_keys([stored[5000:8000]]))])
    table.add(stored[8000:], 9000)
    table.freeze(9000)
    asked = np.concatenate([stored, fresh])
    assert table.seen(asked).tolist() == [True] * 9000 + [False] * 1000


@pytest.mark.parametrize(
    ("sizes", "added", "first"),
    [([], 5, 0), ([100], 5, 1), ([19], 5, 0), ([100, 19], 5, 1), ([90, 19], 5, 0)],
)
def test_runs_are_merged_unless_much_larger(sizes: list[int], added: int, first: int) -> None:
    assert plan_merge(sizes, added) == first
