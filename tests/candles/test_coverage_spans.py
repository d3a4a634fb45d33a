"""Spans against a naive oracle: a set of whole numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.candles.coverage import (
    NOTHING,
    STATES,
    Spans,
    fractions,
    span,
    spans,
    state_codes,
)

ends = st.integers(-20, 20)
pieces = st.lists(st.tuples(ends, ends), max_size=8)
Pieces = list[tuple[int, int]]


def made(given_pieces: Pieces) -> Spans:
    columns = np.array(given_pieces, np.int64).reshape(-1, 2)
    return spans(columns[:, 0], columns[:, 1])


def numbers(given_pieces: Pieces) -> set[int]:
    return {number for low, high in given_pieces for number in range(low, high)}


def shown(found: Spans) -> set[int]:
    """Return the numbers of spans, after a look at their form."""
    assert (found.starts < found.ends).all()
    assert (found.starts[1:] > found.ends[:-1]).all()
    return numbers(list(zip(found.starts.tolist(), found.ends.tolist(), strict=True)))


@given(pieces, pieces)
def test_union_intersection_and_difference(one: Pieces, other: Pieces) -> None:
    a, b = made(one), made(other)
    assert shown(a) == numbers(one)
    assert shown(a.union(b)) == numbers(one) | numbers(other)
    assert shown(a.intersect(b)) == numbers(one) & numbers(other)
    assert shown(a.subtract(b)) == numbers(one) - numbers(other)


@given(pieces, pieces)
def test_how_much_of_many_bars_is_covered(known: Pieces, bars: Pieces) -> None:
    columns = np.array(bars, np.int64).reshape(-1, 2)
    found = made(known).covered(columns[:, 0], columns[:, 1]).tolist()
    assert found == [len(numbers(known) & set(range(*bar))) for bar in bars]
    every = np.arange(-22, 22)
    assert made(known).contains(every).tolist() == [n in numbers(known) for n in every.tolist()]


@given(pieces, pieces, st.one_of(st.none(), pieces))
def test_which_part_of_a_bar_is_covered(known: Pieces, bars: Pieces, within: Pieces | None) -> None:
    columns = np.array(bars, np.int64).reshape(-1, 2)
    inside = None if within is None else made(within)
    found = fractions(made(known), columns[:, 0], columns[:, 1], inside).tolist()
    for part, (low, high) in zip(found, bars, strict=True):
        counts = set(range(low, high)) & (set(range(low, high)) if within is None
                                          else numbers(within))  # fmt: skip
        covered = len(counts & numbers(known))
        assert part == (covered / len(counts) if counts else 1.0)


def test_spans_of_real_times_are_exact() -> None:
    hour = 3_600 * 10**9
    start = 1_700_000_000_000_000_001
    assert span(start, start + hour).covered(
        np.array([start + 1]), np.array([start + hour + 7])
    ).tolist() == [hour - 1]
    assert len(NOTHING.union(span(3, 3))) == 0


@pytest.mark.parametrize(
    ("forming", "count", "part", "state"),
    [
        (True, 1, 1.0, "forming"), (True, 0, 0.0, "forming"), (False, 3, 1.0, "complete"),
        (False, 3, 0.999, "partial"), (False, 3, 0.0, "partial"), (False, 0, 1.0, "quiet"),
        (False, 0, 0.5, "partial"), (False, 0, 0.0, "gap"),
    ],
)  # fmt: skip
def test_states(forming: bool, count: int, part: float, state: str) -> None:
    codes = state_codes(np.array([forming]), np.array([count]), np.array([part]))
    assert [STATES[code] for code in codes.tolist()] == [state]
