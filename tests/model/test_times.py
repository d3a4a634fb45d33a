from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickplant.model.errors import InvalidParameter
from tickplant.model.times import (
    INT64_MAX,
    INT64_MIN,
    format_time,
    format_times,
    parse_time,
    utc_day,
)

# pandas' own range is a few hours narrower than ours at both ends.
NS = st.integers(pd.Timestamp.min.value + 10**15, pd.Timestamp.max.value - 10**15)
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)


def offset_text(minutes: int) -> str:
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


@given(NS)
def test_a_time_comes_back_from_its_text(ns: int) -> None:
    assert parse_time(format_time(ns)) == ns


@given(NS)
def test_the_text_is_the_time_that_pandas_reads(ns: int) -> None:
    text = format_time(ns)
    assert pd.Timestamp(text).value == ns
    assert text.endswith("Z")


@given(NS)
def test_the_text_has_as_many_digits_as_are_needed(ns: int) -> None:
    _, dot, fraction = format_time(ns)[:-1].partition(".")
    assert bool(dot) == bool(ns % 10**9)
    assert not fraction.endswith("0")


@given(st.lists(NS, max_size=20))
def test_many_times_are_written_like_one(values: list[int]) -> None:
    expected = [format_time(ns) for ns in values]
    assert format_times(values) == expected
    assert format_times(np.array(values, np.int64)) == expected
    whole = [ns - ns % 10**9 for ns in values]
    assert format_times(whole) == [format_time(ns) for ns in whole]


@given(NS, st.integers(0, 10**6), st.integers(0, 3 * 86_400))
def test_hundreds_of_whole_seconds_are_written_like_one(ns: int, step: int, width: int) -> None:
    first = min(ns // 10**9, INT64_MAX // 10**9 - 151 * (step + width))
    random = np.random.default_rng(step)
    seconds = first + np.arange(150) * step + random.integers(0, width + 1, 150)
    values = (seconds * 10**9).tolist()
    assert format_times(values) == [format_time(value) for value in values]


@given(NS, OFFSETS, st.sampled_from(["T", "t", " "]))
def test_any_offset_reads_as_the_same_instant(ns: int, minutes: int, between: str) -> None:
    local = pd.Timestamp(ns, tz="UTC").tz_convert(timezone(timedelta(minutes=minutes)))
    text = local.tz_localize(None).isoformat(sep="T").replace("T", between)
    assert parse_time(text + offset_text(minutes)) == ns
    assert parse_time(text + offset_text(minutes).replace(":", "")) == ns


@given(
    st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)),
    OFFSETS,
)
def test_an_aware_datetime_is_read_to_the_microsecond(naive: datetime, minutes: int) -> None:
    value = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    since = value - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time(value) == since // timedelta(microseconds=1) * 1_000


@given(st.integers(INT64_MIN + 1, INT64_MAX - 1))
def test_an_integer_is_nanoseconds_as_number_and_as_text(ns: int) -> None:
    assert parse_time(ns) == parse_time(np.int64(ns)) == parse_time(f" {ns} ") == ns


@given(NS)
def test_the_day_is_that_of_the_calendar(ns: int) -> None:
    assert utc_day(ns) == str(pd.Timestamp(ns, tz="UTC").date())


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2014-05-07T00:00Z", "2014-05-07T00:00:00Z"),
        ("2014-05-07T05:30:00 05:30", "2014-05-07T00:00:00Z"),  # a "+" that became a blank
        ("2014-05-07T00:00:00,25Z", "2014-05-07T00:00:00.250Z"),
        ("2014-05-07T00:00:00z", "2014-05-07T00:00:00Z"),
        ("2016-02-29T23:59:59.999999999-00:00", "2016-02-29T23:59:59.999999999Z"),
    ],
)
def test_spellings_that_are_allowed(text: str, same: str) -> None:
    assert parse_time(text) == pd.Timestamp(same).value


@pytest.mark.parametrize(
    "value",
    [
        "2014-05-07", "2014-05-07T00:00:00", "2014-05-07 00:00", datetime(2014, 5, 7),
        "", "now", "1.5", 1.5, float("nan"), None, True, b"0", [], np.True_,
        "2014-13-01T00:00:00Z", "2014-02-30T00:00:00Z", "2015-02-29T00:00:00Z",
        "2014-05-07T24:00:00Z", "2014-05-07T00:60:00Z", "2014-05-07T00:00:60Z",
        "2014-05-07T00:00:00.1234567890Z", "2014-05-07T00:00:00+24:00",
        "2014-05-07T00:00:00+05:60", "2014-05-07T00:00:00Z ago", "1e9", "0x10", "20140507T000000Z",
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1677-01-01T00:00:00Z",
        INT64_MIN, INT64_MAX, 10**30, str(10**19), "9" * 5_000,
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_time(value, "start")
    assert str(caught.value).startswith("start: ")
    assert caught.value.complaints[0].loc == ("query", "start")


def test_a_missing_zone_is_said_to_be_what_is_wrong() -> None:
    with pytest.raises(InvalidParameter, match="this time has no zone"):
        parse_time("2014-05-07T00:00:00", "start")
