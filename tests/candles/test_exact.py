from __future__ import annotations

import math
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.candles import exact

in_domain = st.one_of(
    st.floats(2.0**-44, 1e27),
    st.floats(-1e27, -(2.0**-44)),
    st.just(0.0),
    st.integers(-(10**15), 10**15).map(float),
)


def summed(values: list[float], groups: list[int] | None = None) -> np.ndarray:
    return exact.sum_groups(np.array(values), np.array(groups or [0], np.int64))


def as_fraction(column: list[int]) -> Fraction:
    return sum(
        (Fraction(digit) * Fraction(2) ** (32 * k - 96) for k, digit in enumerate(column)),
        Fraction(0),
    )


@given(st.lists(in_domain, min_size=1, max_size=60))
def test_a_published_sum_is_fsum(values):
    assert exact.publish(summed(values)).tolist() == [math.fsum(values)]


@given(st.lists(in_domain, min_size=60, max_size=90))
def test_many_sums_are_published_like_few(values):
    digits = summed(values, list(range(len(values))))
    assert digits.shape == (6, len(values))
    assert exact.publish(digits).tolist() == values
    pairs = summed(values, list(range(0, len(values), 2)))
    assert exact.publish(pairs).tolist() == [
        math.fsum(values[i : i + 2]) for i in range(0, len(values), 2)
    ]


@given(st.lists(in_domain, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_digits_do_not_depend_on_order_or_grouping(values, shuffle):
    whole = summed(values)
    shuffled = shuffle.sample(values, len(values))
    cuts = sorted({0, *(shuffle.randrange(len(values)) for _ in range(4))})
    parts = summed(shuffled, cuts)
    assert exact.carry(parts.sum(axis=1, keepdims=True)).tolist() == whole.tolist()


@pytest.mark.parametrize("scale", [2.0**-30, 0.01, 1.0, 1e4, 2.0**21, 1e7, 2.0**52, 2.0**63])
def test_sums_that_end_early_are_published_like_others(scale):
    """Decimal prices and sizes have a way of their own, up to where their bits run out."""
    random = np.random.default_rng(int(scale) + 1)
    products = np.round(random.random(90) * 1e3, 2) * np.round(random.random(90) * scale, 4)
    exactly = random.integers(0, 2**40, 90) * scale * 2.0**-40
    for values in (products, exactly, np.round(products, 3)):
        digits = summed(values.tolist(), list(range(0, 90, 3)))
        assert exact.publish(digits).tolist() == [
            math.fsum(values[i : i + 3].tolist()) for i in range(0, 90, 3)
        ]


def test_halves_are_rounded_to_even_and_a_trace_breaks_the_tie():
    tie = 2.0**53 + 2.0  # the next float up from 2**53
    rows = [[2.0**53, 1.0], [tie, 1.0], [2.0**53, 1.0, 2.0**-96], [2.0**53, 1.0, -(2.0**-96)]]
    for repeats in (1, 20):
        flat = [value for row in rows * repeats for value in row]
        starts = np.cumsum([0, *(len(row) for row in rows * repeats)])[:-1]
        digits = exact.sum_groups(np.array(flat), starts)
        assert exact.publish(digits).tolist() == [2.0**53, 2.0**53 + 4, tie, 2.0**53] * repeats


def test_two_to_the_31_additions_do_not_overflow():
    largest = summed([2.0**96 - 2.0**43])
    total = exact.carry(largest * 2**31)
    assert as_fraction(total[:, 0].tolist()) == Fraction(2.0**96 - 2.0**43) * 2**31
    for many in (1, 40):
        wide = np.repeat(total, many, axis=1)
        assert exact.publish(wide).tolist() == [(2.0**96 - 2.0**43) * 2.0**31] * many


@pytest.mark.parametrize(("value", "counted"), [
    (2.0**-97, 0.0), (2.0**-96, 2.0**-96), (1e300, 2.0**96 - 2.0**43),
    (-math.inf, -(2.0**96) + 2.0**43), (math.inf, 2.0**96 - 2.0**43),
])  # fmt: skip
def test_outside_of_the_domain_values_are_cut_one_by_one(value, counted):
    assert exact.publish(summed([value])).tolist() == [counted]


def test_random_magnitudes_in_bulk_equal_fsum():
    shuffle = random.Random(7)
    values = [shuffle.choice([-1, 1]) * shuffle.random() * 2.0 ** shuffle.randrange(-40, 89)
              for _ in range(5_000)]  # fmt: skip
    groups = sorted({0, *(shuffle.randrange(5_000) for _ in range(300))})
    wanted = [math.fsum(values[a:b]) for a, b in zip(groups, [*groups[1:], 5_000], strict=True)]
    assert exact.publish(summed(values, groups)).tolist() == wanted
