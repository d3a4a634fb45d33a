"""Pages that were written before, in part, against writing all of every page anew."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.formats.texts import ROWS_MIN, RowTexts

KEYS = st.lists(st.integers(0, 40), min_size=ROWS_MIN, max_size=30, unique=True).map(sorted)
PAGES = st.lists(st.tuples(st.booleans(), KEYS, st.sets(st.integers(0, 40))), max_size=8)


class Source:
    """Rows by number; each has been changed so many times."""

    def __init__(self) -> None:
        self.changes = [0] * 41
        self.written = 0

    def row(self, number: int) -> dict[str, object]:
        return {"number": number, "text": f"a,b}},{{\n{self.changes[number]}", "none": None}

    def page(self, numbers: list[int]) -> tuple[np.ndarray, object]:
        def rows(places: slice | np.ndarray) -> list[dict[str, object]]:
            chosen = np.array(numbers)[places].tolist()
            self.written += len(chosen)
            return [self.row(number) for number in chosen]

        keys = np.array([numbers, [self.changes[number] for number in numbers]])
        return keys, rows


def asked(texts: RowTexts, source: Source, numbers: list[int], name: str = "page") -> bytes:
    keys, rows = source.page(numbers)
    return texts.array(name, keys, rows)


@given(PAGES, st.sampled_from([200, 4_000, 1 << 20]))
@settings(max_examples=30)
def test_a_page_is_what_writing_all_of_it_would_give(pages, bytes_max):
    texts, source = RowTexts(bytes_max), Source()
    for down, rising, changed in pages:
        for number in changed:
            source.changes[number] += 1
        numbers = rising[::-1] if down else rising
        expected = msgspec.json.encode([source.row(number) for number in numbers])
        assert asked(texts, source, numbers, f"down {down}") == expected
        assert texts.bytes_used <= bytes_max


def test_only_what_changed_is_written_again():
    texts, source = RowTexts(), Source()
    asked(texts, source, list(range(20)))
    assert source.written == 20
    asked(texts, source, list(range(20)))
    assert source.written == 20
    source.changes[7] += 1
    asked(texts, source, list(range(1, 22)))
    assert source.written == 20 + 1 + 2


def test_a_short_page_does_not_take_the_place_of_a_long_one():
    texts, source = RowTexts(), Source()
    asked(texts, source, list(range(40)))
    asked(texts, source, list(range(31, 40)))
    asked(texts, source, list(range(40)))
    assert source.written == 40


def test_the_page_that_was_asked_for_last_stays():
    source = Source()
    one = RowTexts()
    asked(one, source, list(range(20)))
    texts = RowTexts(bytes_max=2 * one.bytes_used + 10)
    for name in ("a", "b", "a", "c", "a"):
        asked(texts, source, list(range(20)), name)
    written = source.written
    asked(texts, source, list(range(20)), "a")
    assert source.written == written
    asked(texts, source, list(range(20)), "b")
    assert source.written == written + 20
