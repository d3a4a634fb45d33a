import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.feeds.pollers.paths import MISSING, look_up, parse_path
from tickplant.feeds.pollers.values import UNITS, read_number, read_time
from tickplant.model.errors import ConfigError

names = st.text("abcxyz_{}-", min_size=1, max_size=5)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
documents = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)


def walk(document: Any, path: str = "") -> list[tuple[str, Any]]:
    """Every path of a document and what lies there, by plain recursion."""
    found = [(path, document)]
    if isinstance(document, dict):
        for name, inner in document.items():
            found += walk(inner, f"{path}.{name}" if path else name)
    if isinstance(document, list):
        for place, inner in enumerate(document):
            found += walk(inner, f"{path}[{place}]")
    return found


@given(documents)
def test_every_place_of_a_document_is_found_by_its_path(document: Any) -> None:
    for path, value in walk(document):
        assert look_up(document, parse_path(path, "x")) is value


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    document = {"a": [{"b": 1}], "n": None}
    for path in ("b", "a.b", "a[1]", "a[-2]", "a[0].c", "a[0].b.c", "n.x", "[0]"):
        assert look_up(document, parse_path(path, "x")) is MISSING, path
    assert look_up(document, parse_path("n", "x")) is None
    assert look_up(document, parse_path("a[-1].b", "x")) == 1


def test_names_with_dots_and_the_symbol_asked_for_can_be_steps() -> None:
    document = {"a.b": {"bitcoin": {"usd": 7}}}
    assert look_up(document, parse_path('["a.b"].{symbol}.usd', "x"), "bitcoin") == 7


@pytest.mark.parametrize("path", ["a..b", "a[", "a[x]", "a]b", ".", "a.[0]x"])
def test_a_path_that_cannot_be_read_is_refused_by_its_key(path: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.mine\.price"):
        parse_path(path, "providers.mine.price")


@given(st.integers(100_000_000, 4_000_000_000), st.integers(0, 999_999_999))
def test_a_count_of_any_unit_is_the_time_it_means(seconds: int, fraction: int) -> None:
    ns = seconds * 10**9 + fraction
    for unit, size in UNITS.items():
        count = ns // size
        assert read_time(count, unit) == count * size
        assert read_time(str(count), unit) == count * size
        assert read_time(count, "auto") == count * size


def test_a_text_is_a_time_with_a_zone() -> None:
    whole = int(datetime(2024, 5, 7, 12, 30, tzinfo=UTC).timestamp()) * 10**9
    assert read_time("2024-05-07T12:30:00Z", "auto") == whole
    assert read_time("2024-05-07T14:30:00.5+02:00", "s") == whole + 500_000_000
    assert read_time(None, "s") is None
    for bad in ("2024-05-07T12:30:00", "soon", "", True, [], -5, 10**30, "1e400"):
        with pytest.raises(ValueError, match="is not a time"):
            read_time(bad, "auto")


def test_numbers_are_read_from_texts_too() -> None:
    assert read_number("64250.10") == 64250.10
    assert read_number(3) == 3.0
    assert read_number(None) is None
    for bad in (True, "x", "", [], {}, "nan", "inf", json.loads("1e999")):
        with pytest.raises(ValueError, match="number"):
            read_number(bad)
