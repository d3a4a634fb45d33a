"""Levels of books from text, against plain JSON."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.feeds.venues.ladders import read_ladders

NUMBERS = st.one_of(
    st.decimals(0, 10**12, places=8, allow_nan=False).map(lambda number: format(number, "f")),
    st.integers(0, 10**15).map(str),
    st.sampled_from(["0", "0.00000000", "1e-7", "12.50", "123456789.12345678"]),
)
LADDERS = st.lists(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=5), max_size=60)
MANY = 300
"""So many ladders are cut, fewer are read one by one."""
STYLES = st.sampled_from([(",", ":"), (", ", ": ")])


def raws(ladders: Any, separators: tuple[str, str] = (",", ":")) -> list[msgspec.Raw]:
    return [msgspec.Raw(json.dumps(one, separators=separators).encode()) for one in ladders]


@settings(max_examples=40, deadline=None)
@given(LADDERS, STYLES)
def test_ladders_are_those_of_plain_json(ladders, separators) -> None:
    texts = raws(ladders, separators)
    counted = [len(one) for one in ladders]
    numbers = [[float(p), float(q)] for one in ladders for p, q in one]
    for times in (1, MANY // max(len(ladders), 1) + 1):
        levels, counts = read_ladders(texts * times)
        assert counts.tolist() == counted * times
        assert levels.tolist() == numbers * times


@pytest.mark.parametrize(
    "ladder",
    [
        [["1", "2"], ["3"]],
        [["1", "2", "3", "4"]],
        [["1", "2", "3"], ["4"]],
        [["1", ""]],
        [["", ""]],
        ["12", "34"],
        [[["1", "2"]]],
        [["1,2"]],
        [["1", "2|3"], ["4"]],
        [["1.2.3", "1"]],
        [["nan", "1"]],
        [["1", "inf"]],
        [["1", "-2"]],
        [["one", "2"]],
        [None],
        None,
        "",
        {"1": "2"},
        [{"p": "1", "q": "2"}],
        [["1", None]],
        [["1", []]],
        5,
    ],
)
def test_what_is_no_ladder_is_refused(ladder) -> None:
    good = [["1", "2"]]
    for some in ([ladder], [good, ladder, good], [good] * MANY + [ladder, good, []]):
        with pytest.raises((msgspec.MsgspecError, ValueError)):
            read_ladders(raws(some))


def test_no_ladders_are_no_levels() -> None:
    levels, counts = read_ladders([])
    assert (levels.shape, counts.shape) == ((0, 2), (0,))
