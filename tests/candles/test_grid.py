from __future__ import annotations

import random

import numpy as np
import pytest
from candle_oracle import NS, Origin, bucket, ns
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.candles.grid import Grid
from tickplant.candles.interval import COUNT_MAX, parse_interval
from tickplant.model.errors import InvalidParameter

DAY = 86_400 * NS
ZONES = [
    "UTC",
    "America/New_York",
    "Europe/London",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Asia/Pyongyang",
    "America/Caracas",
    "Antarctica/Troll",
]
DAY_STARTS = ["00:00", "22:00", "17:00", "09:15", "02:30", "01:30", "12:00", "11:59", "23:59"]
INTERVALS = [
    "1s", "7s", "90s", "1m", "5m", "7m", "15m", "1h", "4h", "7h", "24h", "36h", "86400s", "1000m",
    "1d", "2d", "3d", "7d", "1w", "2w", "1mo", "3mo", "12mo", "120mo", "520w", "3650d",
]  # fmt: skip
CHANGES = [
    "2014-03-09T07:00Z", "2014-11-02T06:00Z", "2024-03-10T07:00Z", "2024-11-03T06:00Z",
    "2014-03-30T01:00Z", "2014-10-26T01:00Z", "2024-03-31T01:00Z", "2024-10-27T01:00Z",
    "2014-04-05T16:00Z", "2014-10-04T16:00Z", "2024-04-06T16:00Z", "2024-10-05T16:00Z",
    "2014-04-05T15:00Z", "2014-10-04T15:30Z", "2011-12-30T10:00Z", "1993-08-21T12:00Z",
    "2018-11-04T03:00Z", "2016-05-01T07:00Z", "2015-08-14T15:00Z", "1945-10-14T17:30Z",
]  # fmt: skip


def origin_of(zone: str, day_start: str) -> Origin:
    return Origin(zone, int(day_start[:2]), int(day_start[3:]))


def assert_same(text: str, zone: str, day_start: str, times: list[int]) -> None:
    interval = parse_interval(text)
    grid = Grid(interval, zone, day_start)
    origin = origin_of(zone, day_start)
    wanted = [bucket(t, interval.count, interval.unit, origin) for t in times]
    starts = grid.starts(np.array(times, np.int64))
    assert starts.dtype == np.int64
    assert starts.tolist() == [start for start, _ in wanted]
    assert grid.ends(starts).tolist() == [end for _, end in wanted]
    assert grid.floor(times[0]) == wanted[0][0]
    assert grid.next(wanted[0][0]) == wanted[0][1]
    assert grid.starts(starts).tolist() == starts.tolist()


moments = st.one_of(
    st.integers(ns("1970-01-01T00:00Z"), ns("2200-01-01T00:00Z")),
    st.integers(ns("1900-01-01T00:00Z"), ns("2200-01-01T00:00Z")),
    st.builds(
        lambda change, hours, rest: ns(change) + hours * 1_800 * NS + rest,
        st.sampled_from(CHANGES), st.integers(-150, 150), st.sampled_from([0, 1, -1, 123_456]),
    ),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    text=st.sampled_from(INTERVALS),
    zone=st.sampled_from(ZONES),
    day_start=st.sampled_from(DAY_STARTS),
    times=st.lists(moments, min_size=1, max_size=8),
)
def test_candles_begin_and_end_where_the_oracle_says(text, zone, day_start, times):
    assert_same(text, zone, day_start, times)


@settings(max_examples=200, deadline=None)
@given(
    unit=st.sampled_from(sorted(COUNT_MAX)),
    count=st.integers(1, 100),
    minute=st.integers(0, 1_439),
    zone=st.sampled_from(ZONES),
    times=st.lists(moments, min_size=1, max_size=4),
)
def test_any_multiple_and_any_minute_of_the_day(unit, count, minute, zone, times):
    assert_same(f"{count}{unit}", zone, f"{minute // 60:02}:{minute % 60:02}", times)


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/London", "Australia/Sydney",
                                  "Australia/Lord_Howe", "Pacific/Apia",
                                  "Asia/Kolkata"])  # fmt: skip
def test_each_half_hour_of_every_clock_change(zone):
    shuffle = random.Random(1)
    for text in ("1m", "45m", "7h", "1d", "1w", "1mo"):
        for day_start in ("00:00", "17:00", "02:30", "01:45"):
            times = [ns(change) + half * 1_800 * NS + offset
                     for change in shuffle.sample(CHANGES, 7)
                     for half in range(-60, 60, 7) for offset in (-1, 0)]  # fmt: skip
            assert_same(text, zone, day_start, times)


@settings(max_examples=150, deadline=None)
@given(
    text=st.sampled_from(["7m", "1h", "7h", "24h", "36h", "1d", "3d", "1w", "1mo"]),
    zone=st.sampled_from(ZONES),
    day_start=st.sampled_from(DAY_STARTS),
    start=moments,
    length=st.integers(-DAY, 9 * DAY),
    limit=st.one_of(st.none(), st.integers(1, 40)),
)
def test_range_is_a_walk_from_start_to_start(text, zone, day_start, start, length, limit):
    interval = parse_interval(text)
    origin = origin_of(zone, day_start)
    wanted = []
    at = start
    while at < start + length and (limit is None or len(wanted) < limit):
        first, at = bucket(at, interval.count, interval.unit, origin)
        wanted.append(first)
    grid = Grid(interval, zone, day_start)
    assert grid.range(start, start + length, limit).tolist() == wanted


# Worked out by hand from the published changes of the clocks.
@pytest.mark.parametrize(("zone", "day_start", "at", "start", "end"), [
    # New York: 23 hours on the second Sunday in March, 25 on the first in November.
    ("America/New_York", "00:00", "2014-03-09T12:00Z", "2014-03-09T05:00Z", "2014-03-10T04:00Z"),
    ("America/New_York", "00:00", "2014-11-02T12:00Z", "2014-11-02T04:00Z", "2014-11-03T05:00Z"),
    ("America/New_York", "17:00", "2024-03-10T12:00Z", "2024-03-09T22:00Z", "2024-03-10T21:00Z"),
    ("America/New_York", "17:00", "2024-11-03T12:00Z", "2024-11-02T21:00Z", "2024-11-03T22:00Z"),
    ("Europe/London", "00:00", "2014-03-30T12:00Z", "2014-03-30T00:00Z", "2014-03-30T23:00Z"),
    ("Europe/London", "00:00", "2024-10-27T12:00Z", "2024-10-26T23:00Z", "2024-10-28T00:00Z"),
    ("Australia/Sydney", "00:00", "2014-04-06T00:00Z", "2014-04-05T13:00Z", "2014-04-06T14:00Z"),
    ("Australia/Sydney", "00:00", "2024-10-06T00:00Z", "2024-10-05T14:00Z", "2024-10-06T13:00Z"),
    # Lord Howe changes by half an hour.
    ("Australia/Lord_Howe", "00:00", "2024-10-06T00:00Z", "2024-10-05T13:30Z",
     "2024-10-06T13:00Z"),
    # 02:30 did not exist on that day and is 03:30.
    ("America/New_York", "02:30", "2024-03-10T12:00Z", "2024-03-10T07:30Z", "2024-03-11T06:30Z"),
    # 01:30 came twice; the first one counts.
    ("America/New_York", "01:30", "2024-11-03T12:00Z", "2024-11-03T05:30Z", "2024-11-04T06:30Z"),
    # Apia had no 2011-12-30: midnight of the 29th to that of the 31st are 24 hours apart.
    ("Pacific/Apia", "00:00", "2011-12-30T09:00Z", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
    ("Pacific/Apia", "00:00", "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
    # Moscow stayed on summer time in 2011 and went back for good in 2014.
    ("Europe/Moscow", "00:00", "2011-03-27T12:00Z", "2011-03-26T21:00Z", "2011-03-27T20:00Z"),
    ("Europe/Moscow", "00:00", "2012-01-15T12:00Z", "2012-01-14T20:00Z", "2012-01-15T20:00Z"),
    ("Europe/Moscow", "00:00", "2014-10-26T12:00Z", "2014-10-25T20:00Z", "2014-10-26T21:00Z"),
    ("Europe/Moscow", "17:00", "2014-10-26T12:00Z", "2014-10-25T13:00Z", "2014-10-26T14:00Z"),
    # Kathmandu went from UTC+5:30 to +5:45 when 1986 began: that midnight was not shown.
    ("Asia/Kathmandu", "00:00", "1985-12-31T12:00Z", "1985-12-30T18:30Z", "1985-12-31T18:30Z"),
    ("Asia/Kathmandu", "00:00", "1986-01-01T12:00Z", "1985-12-31T18:30Z", "1986-01-01T18:15Z"),
    # Casablanca is at UTC+1, in Ramadan at UTC: 2024-03-10 to 2024-04-14.
    ("Africa/Casablanca", "00:00", "2024-03-10T12:00Z", "2024-03-09T23:00Z",
     "2024-03-11T00:00Z"),
    ("Africa/Casablanca", "00:00", "2024-04-14T12:00Z", "2024-04-14T00:00Z",
     "2024-04-14T23:00Z"),
    ("Asia/Kolkata", "00:00", "2024-05-06T12:00Z", "2024-05-05T18:30Z", "2024-05-06T18:30Z"),
    ("Asia/Kolkata", "09:15", "2024-05-06T12:00Z", "2024-05-06T03:45Z", "2024-05-07T03:45Z"),
    ("UTC", "22:00", "2014-05-07T23:00Z", "2014-05-07T22:00Z", "2014-05-08T22:00Z"),
])  # fmt: skip
def test_days_worked_out_by_hand(zone, day_start, at, start, end):
    grid = Grid(parse_interval("1d"), zone, day_start)
    assert (grid.floor(ns(at)), grid.next(ns(start))) == (ns(start), ns(end))


@pytest.mark.parametrize(("zone", "day_start", "at", "start"), [
    ("America/New_York", "17:00", "2014-05-04T21:00Z", "2014-05-04T21:00Z"),
    ("America/New_York", "17:00", "2014-05-04T20:59Z", "2014-04-27T21:00Z"),
    ("America/New_York", "17:00", "2024-03-12T00:00Z", "2024-03-10T21:00Z"),
    ("UTC", "22:00", "2014-05-04T22:00Z", "2014-05-04T22:00Z"),
    ("UTC", "00:00", "2014-05-04T22:00Z", "2014-04-28T00:00Z"),
])  # fmt: skip
def test_weeks_begin_with_the_trading_day_of_monday(zone, day_start, at, start):
    assert Grid(parse_interval("1w"), zone, day_start).floor(ns(at)) == ns(start)


def test_months_begin_with_the_trading_day_of_the_first():
    grid = Grid(parse_interval("1mo"), "America/New_York", "17:00")
    assert grid.floor(ns("2014-05-15T00:00Z")) == ns("2014-04-30T21:00Z")
    assert grid.next(ns("2014-04-30T21:00Z")) == ns("2014-05-31T21:00Z")
    quarter = Grid(parse_interval("3mo"))
    assert quarter.floor(ns("2014-05-15T00:00Z")) == ns("2014-04-01T00:00Z")


def test_intraday_candles_restart_with_the_day_and_the_last_is_cut_short():
    grid = Grid(parse_interval("7h"), "America/New_York", "17:00")
    starts = grid.range(ns("2024-03-09T22:00Z"), ns("2024-03-10T21:00Z"))
    hours = np.diff(np.append(starts, grid.ends(starts[-1:]))) / (3_600 * NS)
    assert hours.tolist() == [7, 7, 7, 2]


@pytest.mark.parametrize(("interval", "zone", "day_start", "first", "hours"), [
    ("5h", "UTC", "22:00", "2024-05-06T22:00Z", [5, 5, 5, 5, 4]),
    ("5h", "Asia/Kolkata", "09:15", "2024-05-06T03:45Z", [5, 5, 5, 5, 4]),
    ("7h", "Europe/Moscow", "00:00", "2014-10-25T20:00Z", [7, 7, 7, 4]),
    ("11h", "Pacific/Apia", "00:00", "2011-12-29T10:00Z", [11, 11, 2]),
    ("9h", "Asia/Kathmandu", "00:00", "1985-12-31T18:30Z", [9, 9, 5.75]),
])  # fmt: skip
def test_each_day_begins_with_a_whole_candle(interval, zone, day_start, first, hours):
    grid = Grid(parse_interval(interval), zone, day_start)
    day = Grid(parse_interval("1d"), zone, day_start)
    starts = grid.range(ns(first), day.next(ns(first)))
    assert starts[0] == ns(first)
    assert ((grid.ends(starts) - starts) / (3_600 * NS)).tolist() == hours


def test_equal_grids_are_equal_keys():
    assert {Grid(parse_interval("1m")): 1}[Grid(parse_interval("1m"), "UTC", "00:00")] == 1
    assert Grid(parse_interval("1m")) != Grid(parse_interval("1m"), "UTC", "22:00")


def test_times_at_the_ends_of_the_range_are_clipped():
    for text in ("1s", "7h", "1d", "1w", "120mo"):
        for zone in ("UTC", "America/New_York"):
            grid = Grid(parse_interval(text), zone)
            for t in (-(2**63) + 1, 2**63 - 1):
                assert abs(grid.floor(t)) < 2**63
                assert grid.range(t, t).size == 0
            assert grid.range(-(2**63) + 1, 2**63 - 1, limit=5).size == 5


def test_nothing_in_nothing_out():
    none = np.empty(0, np.int64)
    for zone in ("UTC", "Asia/Kolkata"):
        grid = Grid(parse_interval("1mo"), zone)
        assert grid.starts(none).size == grid.ends(none).size == 0


@pytest.mark.parametrize("zone", ["", "utc+1", "America", "Mars/Phobos", "../etc/passwd", "/etc",
                                  "localtime", "right/UTC", "New York", "\x00", None])  # fmt: skip
def test_a_zone_that_is_none_is_refused(zone):
    with pytest.raises(InvalidParameter, match=r"timezone: .*IANA"):
        Grid(parse_interval("1d"), zone)


@pytest.mark.parametrize("day_start", ["", "24:00", "9:15", "09:60", "09:15:00", "0915", "٠٩:١٥"])
def test_a_day_start_that_is_none_is_refused(day_start):
    with pytest.raises(InvalidParameter, match=r"day_start: .*HH:MM"):
        Grid(parse_interval("1d"), "UTC", day_start)


def test_the_day_after_a_skipped_date_has_its_own_date():
    # 2011-12-31 is day 15339 since 1970, the first of a run of three; the 30th was skipped.
    grid = Grid(parse_interval("3d"), "Pacific/Apia")
    assert grid.floor(ns("2011-12-30T12:00Z")) == ns("2011-12-30T10:00Z")
    assert grid.next(ns("2011-12-30T10:00Z")) == ns("2012-01-02T10:00Z")
    assert_same("3d", "Pacific/Apia", "00:00", [ns("2011-12-30T10:00Z") + s for s in (-1, 0, 1)])
