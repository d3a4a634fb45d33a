from __future__ import annotations

import pytest

from tickplant.candles.interval import COUNT_MAX, Interval, parse_interval
from tickplant.model.errors import InvalidParameter


@pytest.mark.parametrize(("text", "count", "unit"), [
    ("1s", 1, "s"), ("90s", 90, "s"), ("1m", 1, "m"), ("7h", 7, "h"), ("3d", 3, "d"),
    ("2w", 2, "w"), ("3mo", 3, "mo"),
])  # fmt: skip
def test_any_whole_number_of_a_unit(text, count, unit):
    interval = parse_interval(text)
    assert (interval.count, interval.unit, str(interval)) == (count, unit, text)


@pytest.mark.parametrize("text", [
    "", "m", "1", "0m", "-1m", "1M", "1H", "1D", "1.5m", "01m", " 1m", "1m ", "1 m", "1min", "1y",
    "1m\n", "١m", "9999999999s", "121mo", None, 5,
])  # fmt: skip
def test_anything_else_is_refused_by_the_name_of_the_parameter(text):
    with pytest.raises(InvalidParameter, match=r"(?s)bar: .* is not allowed; allowed is a whole"):
        parse_interval(text, "bar")


def test_ten_years_is_the_longest():
    for unit, count in COUNT_MAX.items():
        assert parse_interval(f"{count}{unit}") == Interval(count, unit)
        with pytest.raises(InvalidParameter):
            parse_interval(f"{count + 1}{unit}")
