"""Encoded rows and events come back as they were put in, however they were cut and put together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.plant.encoded import NO_EVENTS, EncodedRows, Events

TEXTS = st.lists(st.binary(max_size=12), max_size=20)


def rows_of(numbers: list[int]) -> np.ndarray:
    return np.array(numbers, dtype=np.intp)


def encoded_of(rows: int, order: list[int], mark: bytes) -> EncodedRows:
    """Return rows of which those of `order` were added, one or two at a time."""
    found = EncodedRows.none(rows)
    for low in range(0, len(order), 2):
        some = [row for row in order[low : low + 2] if row in found.missing(rows_of([row]))]
        found.add(rows_of(some), pa.array([event_of(row, mark) for row in some], pa.binary()))
    return found


def event_of(row: int, mark: bytes) -> bytes:
    return mark + str(row).encode() * (row % 4)


def known(encoded: EncodedRows, count: int) -> dict[int, bytes]:
    rows = np.setdiff1d(np.arange(count), encoded.missing(np.arange(count)))
    events = encoded.take(rows.astype(np.intp)).to_pylist()
    return dict(zip(rows.tolist(), events, strict=True))


ORDERS = st.lists(st.integers(0, 11), unique=True, max_size=12)


@settings(max_examples=150, deadline=None)
@given(ORDERS, st.lists(st.integers(0, 11), max_size=30))
def test_rows_are_taken_as_they_were_added(order: list[int], asked: list[int]) -> None:
    encoded = encoded_of(12, order, b"a")
    assert known(encoded, 12) == {row: event_of(row, b"a") for row in order}
    mine = [row for row in asked if row in order]
    assert encoded.take(rows_of(mine)).to_pylist() == [event_of(row, b"a") for row in mine]


@settings(max_examples=150, deadline=None)
@given(ORDERS, ORDERS, st.integers(0, 24), st.integers(0, 24), st.booleans())
def test_parts_of_entries_that_were_together(
    first: list[int], second: list[int], one: int, other: int, again: bool
) -> None:
    """Whatever was cut of whatever was together has what it had, and can be together again."""
    low, high = sorted((one, other))
    pieces = [(encoded_of(12, first, b"a"), 12), (None, 0), (encoded_of(12, second, b"b"), 12)]
    whole = EncodedRows.together(pieces)
    wanted = {row: event_of(row, b"a") for row in first}
    wanted |= {12 + row: event_of(row, b"b") for row in second}
    assert known(whole, 24) == wanted
    part = whole.part(low, high)
    mine = {row - low: event for row, event in wanted.items() if low <= row < high}
    assert known(part, high - low) == mine
    if again:
        twice = EncodedRows.together([(part, high - low), (None, 3), (part, high - low)])
        behind = {row + high - low + 3: event for row, event in mine.items()}
        assert known(twice, 2 * (high - low) + 3) == mine | behind


@pytest.mark.parametrize("separator", [b"", b","])
@given(texts=TEXTS, other=TEXTS, cuts=st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_events_in_one_piece(
    separator: bytes, texts: list[bytes], other: list[bytes], cuts: tuple[int, int]
) -> None:
    behind = [text + separator for text in texts]
    low, high = sorted(min(cut, len(texts)) for cut in cuts)
    listed = Events.of(texts, separator)
    columned = Events.of_array(pa.array([b"?", *behind, b"?"], pa.binary()).slice(1, len(texts)))
    for events in (listed, columned):
        assert (len(events), list(events)) == (len(texts), behind)
        assert bytes(events.text) == b"".join(behind)
        assert list(events.part(low, high)) == behind[low:high]
        both = Events.together([events, NO_EVENTS, Events.of(other, b"")])
        assert list(both) == behind + other
        if len(events) > 1:
            first, second = events.halves()
            assert len(first)
            assert len(second)
            assert [*first, *second] == behind
