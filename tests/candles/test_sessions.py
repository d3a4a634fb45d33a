"""Bars of exchange sessions: against the hours that exchanges published, and against an oracle."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from candle_oracle import NS, ns
from hypothesis import given, settings
from hypothesis import strategies as st
from session_oracle import Session, bar_of, new_york_extended, sessions_of

from realdata import real
from tickplant.candles import calendars
from tickplant.candles.cells import Cells
from tickplant.candles.fill import fill_gaps
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.candles.states import build, roll_up
from tickplant.model.errors import InvalidParameter, UserError

DAY = 86_400 * NS


def grid_of(interval: str, calendar: str, session: str | None = None) -> Grid:
    return Grid.of(parse_interval(interval), calendar=calendar, session=session)


def walk(grid: Grid, first: str, last: str) -> list[str]:
    """The bars from `first` to `last`, as `MM-DDTHH:MM/HH:MM`."""
    starts = grid.range(ns(f"{first}Z"), ns(f"{last}Z"))
    pairs = zip(starts.tolist(), grid.ends(starts).tolist(), strict=True)
    return [f"{_text(start)}/{_text(end)[6:]}" for start, end in pairs]


def _text(t: int) -> str:
    return str(np.datetime64(t, "ns").astype("datetime64[m]"))[5:]


# The hours are those that the exchanges published for these days, turned into UTC by hand.
@pytest.mark.parametrize(("interval", "calendar", "first", "last", "bars"), [
    # NYSE 09:30 to 16:00 New York. 2024-11-28 was Thanksgiving, on the 29th it closed at 13:00.
    ("1d", "XNYS", "2024-11-27T00:00", "2024-12-03T00:00",
     ["11-27T14:30/21:00", "11-29T14:30/18:00", "12-02T14:30/21:00"]),
    ("1h", "XNYS", "2024-11-28T00:00", "2024-11-30T00:00",
     ["11-29T14:30/15:30", "11-29T15:30/16:30", "11-29T16:30/17:30", "11-29T17:30/18:00"]),
    ("4h", "XNYS", "2024-11-27T00:00", "2024-11-30T00:00",
     ["11-27T14:30/18:30", "11-27T18:30/21:00", "11-29T14:30/18:00"]),
    # New York changed its clock on 2024-03-10.
    ("1d", "XNYS", "2024-03-08T00:00", "2024-03-12T00:00",
     ["03-08T14:30/21:00", "03-11T13:30/20:00"]),
    # Closed on 2013-12-25; 13:00 on the 24th; the NYSE calendar by another of its names.
    ("1d", "nasdaq", "2013-12-24T00:00", "2013-12-27T00:00",
     ["12-24T14:30/18:00", "12-26T14:30/21:00"]),
    # Hong Kong 09:30-12:00 and 13:00-16:00 (UTC+8); 2024-12-24 only in the morning.
    ("90m", "XHKG", "2024-12-23T00:00", "2024-12-25T00:00",
     ["12-23T01:30/03:00", "12-23T03:00/04:00", "12-23T05:00/06:30", "12-23T06:30/08:00",
      "12-24T01:30/03:00", "12-24T03:00/04:00"]),
    ("1d", "XHKG", "2024-12-23T00:00", "2024-12-28T00:00",
     ["12-23T01:30/08:00", "12-24T01:30/04:00", "12-27T01:30/08:00"]),
    # Tokyo 09:00-11:30 and 12:30-15:00 (UTC+9), to 15:30 from 2024-11-05 on; the 4th: holiday.
    ("2h", "XTKS", "2024-11-01T00:00", "2024-11-06T00:00",
     ["11-01T00:00/02:00", "11-01T02:00/02:30", "11-01T03:30/05:30", "11-01T05:30/06:00",
      "11-05T00:00/02:00", "11-05T02:00/02:30", "11-05T03:30/05:30", "11-05T05:30/06:30"]),
    # London 08:00-16:30, on 2024-12-24 to 12:30, closed on the 25th and 26th.
    ("1d", "XLON", "2024-12-24T00:00", "2024-12-28T00:00",
     ["12-24T08:00/12:30", "12-27T08:00/16:30"]),
    # CME Globex: Monday's session begins on Sunday at 17:00 Chicago, 22:00 UTC from 2024-03-10.
    ("1d", "CMES", "2024-03-07T12:00", "2024-03-12T00:00",
     ["03-06T23:00/23:00", "03-07T23:00/23:00", "03-10T22:00/22:00", "03-11T22:00/22:00"]),
    ("7h", "CMES", "2024-03-08T00:00", "2024-03-11T00:00",
     ["03-07T23:00/06:00", "03-08T06:00/13:00", "03-08T13:00/20:00", "03-08T20:00/23:00",
      "03-10T22:00/05:00"]),
    # Weeks and months last from the first open to the last close.
    ("1w", "XNYS", "2024-11-24T00:00", "2024-12-07T00:00",
     ["11-25T14:30/18:00", "12-02T14:30/21:00"]),
    ("1w", "CMES", "2024-03-04T00:00", "2024-03-12T00:00",
     ["03-03T23:00/23:00", "03-10T22:00/22:00"]),
    ("1mo", "XNYS", "2024-11-05T00:00", "2024-12-05T00:00",
     ["11-01T13:30/18:00", "12-02T14:30/21:00"]),
])  # fmt: skip
def test_bars_of_published_hours(interval, calendar, first, last, bars):
    assert walk(grid_of(interval, calendar), first, last) == bars


# NYSE Arca and Nasdaq: 04:00 to 20:00 New York, to 17:00 where the session closes early.
@pytest.mark.parametrize(("interval", "first", "last", "bars"), [
    ("1d", "2024-11-27T02:00", "2024-12-03T00:00",
     ["11-27T09:00/01:00", "11-29T09:00/22:00", "12-02T09:00/01:00"]),
    ("6h", "2024-11-27T02:00", "2024-11-30T00:00",
     ["11-27T09:00/15:00", "11-27T15:00/21:00", "11-27T21:00/01:00",
      "11-29T09:00/15:00", "11-29T15:00/21:00", "11-29T21:00/22:00"]),
    ("1d", "2024-07-03T02:00", "2024-07-06T00:00", ["07-03T08:00/21:00", "07-05T08:00/00:00"]),
])  # fmt: skip
def test_bars_of_extended_hours(interval, first, last, bars):
    assert walk(grid_of(interval, "XNYS", "extended"), first, last) == bars


def test_all_events_count_on_days_that_begin_as_the_calendars_do():
    chicago = grid_of("1d", "CMES", "all")
    assert (chicago.timezone, chicago.day_start) == ("America/Chicago", "17:00")
    assert walk(chicago, "2024-03-08T00:00", "2024-03-11T00:00") == [
        "03-07T23:00/23:00", "03-08T23:00/23:00", "03-09T23:00/22:00", "03-10T22:00/22:00",
    ]  # fmt: skip
    new_york = grid_of("1d", "XNYS", "all")
    assert (new_york.timezone, new_york.day_start) == ("America/New_York", "00:00")
    assert new_york.inside(np.array([0])) is None
    assert new_york != Grid(parse_interval("1d"), "America/New_York")


def test_events_outside_make_no_bars():
    monday = ns("2024-12-23T00:00Z")
    ts = np.arange(monday, monday + DAY, 600 * NS)  # every ten minutes: 15 and 18 are inside
    rows = (1, ts, np.arange(1, ts.size + 1), np.ones(ts.size), np.ones(ts.size))
    for interval, count in (("1d", [33]), ("1w", [33]), ("150m", [15, 15, 3]), ("1m", [1] * 33)):
        assert build(grid_of(interval, "XHKG"), *rows).count.tolist() == count
    shuffled = np.random.default_rng(4).permutation(ts.size)
    mixed = [np.full(ts.size, 1), *(column[shuffled] for column in rows[1:])]
    assert build(grid_of("1d", "XHKG"), *mixed).count.tolist() == [33]
    assert build(grid_of("1d", "XHKG", "all"), *rows).count.sum() == ts.size


def test_missing_bars_are_filled_within_sessions_only():
    friday, monday = ns("2024-11-29T17:59Z"), ns("2024-12-02T14:32Z")
    ts = np.array([friday, monday])
    grid = grid_of("1m", "XNYS")
    bars = build(grid, 1, ts, np.array([1, 2]), np.array([5.0, 6.0]), None).finish()
    filled = fill_gaps(bars, grid, friday, monday + 60 * NS, "previous", limit=100)
    assert [_text(start) for start in filled.start.tolist()] == [
        "11-29T17:59", "12-02T14:30", "12-02T14:31", "12-02T14:32",
    ]  # fmt: skip
    assert filled.close.tolist() == [5.0, 5.0, 5.0, 6.0]


# From the raw file with `csv` and `zoneinfo` alone: the trades of 09:30 <= New York < 16:00 (of
# 04:00 to 20:00; of 09:30 to 13:30 and to 16:00), first, max, min, last, sizes summed, number.
@pytest.mark.parametrize(("interval", "session", "bars"), [
    ("1d", "regular", [(181.9, 183.31, 181.85000000000002, 182.0, 3_753_440.0, 24_106)]),
    ("1d", "extended", [(181.52, 183.31, 181.35000000000002, 181.99, 3_960_352.0, 24_293)]),
    ("4h", "regular", [
        (181.9, 183.31, 181.85000000000002, 182.60000000000002, 2_517_029.0, 15_621),
        (182.61, 182.71, 182.0, 182.0, 1_236_411.0, 8_485)]),
])  # fmt: skip
def test_a_real_day_of_ibm(interval, session, bars):
    table = np.genfromtxt(
        real("trades/ibm-20131007.csv.gz"), delimiter=",", skip_header=1, usecols=(0, 2, 3),
        dtype=[("ts", "i8"), ("price", "f8"), ("size", "f8")],
    )  # fmt: skip
    seq = np.arange(1, table.size + 1)
    rows = (1, table["ts"].copy(), seq, table["price"].copy(), table["size"].copy())
    made = build(grid_of(interval, "XNYS", session), *rows).finish()
    columns = (made.open, made.high, made.low, made.close, made.volume, made.count)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == bars


CALENDARS = ["XNYS", "XHKG", "XTKS", "CMES", "XLON", "XASX", "24/7", "us_futures"]
INTERVALS = ["1s", "7m", "1h", "4h", "36h", "1d", "3d", "1w", "2w", "1mo", "3mo"]


@st.composite
def asked(draw: st.DrawFn) -> tuple[Grid, tuple[Session, ...], list[int], str]:
    """A grid, the sessions around some month, and times there, most of them close to edges."""
    name = draw(st.sampled_from([*CALENDARS, "extended"]))
    interval = draw(st.sampled_from(INTERVALS))
    sessions = new_york_extended() if name == "extended" else sessions_of(name)
    grid = grid_of(interval, "XNYS", name) if name == "extended" else grid_of(interval, name)
    place = draw(st.integers(200, len(sessions) - 200))
    edges = [t for one in sessions[place : place + 10] for span in one.spans for t in span]
    moments = st.builds(
        lambda edge, off, rest: edge + off * 60 * NS + rest,
        st.sampled_from(edges), st.integers(-900, 900), st.sampled_from([0, 0, -1, 1, 59 * NS]),
    )  # fmt: skip
    times = draw(st.lists(st.one_of(st.sampled_from(edges), moments), min_size=1, max_size=8))
    return grid, sessions[place - 150 : place + 160], times, interval


@settings(max_examples=80, deadline=None)
@given(asked())
def test_bars_begin_and_end_where_the_schedule_says(question):
    grid, sessions, times, interval = question
    unit = interval.lstrip("0123456789")
    wanted = [bar_of(sessions, t, int(interval.removesuffix(unit)), unit) for t in times]
    ts = np.array(times, np.int64)
    inside = grid.inside(ts)
    found = [True] * ts.size if inside is None else inside.tolist()
    assert found == [bar is not None for bar in wanted]
    starts = grid.starts(ts)
    ends = grid.ends(starts)
    for t, bar, start, end in zip(times, wanted, starts.tolist(), ends.tolist(), strict=True):
        assert start <= t < end
        assert (grid.floor(t), grid.next(start)) == (start, end)
        if bar is not None:
            assert (start, end) == bar
    bars = sorted({bar[0] for bar in wanted if bar is not None})
    assert grid.bars_at(ts).tolist() == bars


@settings(max_examples=40, deadline=None)
@given(asked(), st.one_of(st.none(), st.integers(1, 20)))
def test_range_is_a_walk_over_the_sessions(question, limit):
    grid, sessions, times, interval = question
    if interval in ("1s", "7m"):
        return
    unit = interval.lstrip("0123456789")
    count = int(interval.removesuffix(unit))
    first, last = min(times), max(times) + 1
    wanted: list[int] = []
    for session in sessions:
        for opened, closed in session.spans:
            at = opened
            while at < closed:
                start, end = bar_of(sessions, at, count, unit)
                if first < end and start < last and start not in wanted:
                    wanted.append(start)
                at = min(end, closed)
    assert grid.range(first, last, limit).tolist() == wanted[:limit]


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(["XNYS", "XHKG", "CMES", None]), min_size=2, max_size=4),
    intervals=st.lists(st.sampled_from(["7m", "1h", "4h", "1d", "1w"]), min_size=4, max_size=4),
    seed=st.integers(0, 99),
)
def test_cells_serve_grids_with_and_without_sessions(names, intervals, seed):
    grids = [
        Grid.of(parse_interval(interval), calendar=name)
        for name, interval in zip(names, intervals, strict=False)
    ]
    random = np.random.default_rng(seed)
    ts = ns("2024-11-25T00:00Z") + random.integers(0, 9 * DAY // (60 * NS), 400) * 60 * NS
    ts = np.sort(ts) if seed % 2 else ts
    price = random.integers(1, 9, ts.size) * 0.5
    rows = (1, ts, np.arange(1, ts.size + 1), price, price)
    shared = build(Cells(grids), *rows)
    for grid in grids:
        assert np.array_equal(roll_up(shared, grid).block, build(grid, *rows).block)


def test_the_newest_bars_are_found_behind_nights_and_week_ends():
    grid = grid_of("1h", "XNYS")
    first, last = ns("2024-01-01T00:00Z"), ns("2024-12-02T16:00Z")
    whole = grid.range(first, last)
    for count in (1, 7, 8, 500, 10**6):
        assert grid.newest(first, last, count).tolist() == whole[-count:].tolist()
        assert grid.range(first, last, count).tolist() == whole[:count].tolist()


def test_sessions_beyond_those_that_are_known_are_not_guessed():
    bombay = grid_of("1d", "XBOM")  # the library has its holidays from 1997 to 2026
    bombay.check_known(ns("1997-01-01T00:00Z"), ns("2026-12-31T12:00Z"))
    for low, high in (("1996-06-01", "2020-01-01"), ("2020-01-01", "2027-01-02")):
        with pytest.raises(InvalidParameter, match="known from 1997-01-01 to 20"):
            bombay.check_known(ns(f"{low}T00:00Z"), ns(f"{high}T00:00Z"))
    beyond = np.array([ns("1996-06-03T06:00Z"), ns("2050-01-04T06:00Z")])
    assert bombay.inside(beyond).tolist() == [False, False]
    grid_of("1d", "XBOM", "all").check_known(ns("1950-01-01T00:00Z"), ns("2050-01-01T00:00Z"))


@pytest.mark.parametrize(("given", "name", "said"), [
    ({"calendar": "XNYZ"}, "calendar", "XNYS"),
    ({"calendar": "new york"}, "calendar", "the nearest are"),
    ({"calendar": ""}, "calendar", "an empty value"),
    ({"calendar": "XNYS", "session": "night"}, "session", "regular, extended, all"),
    ({"calendar": "XTKS", "session": "extended"}, "session", "known of XNYS"),
    ({"session": "regular"}, "session", "beside a calendar"),
    ({"calendar": "XNYS", "timezone": "UTC"}, "timezone", "America/New_York"),
    ({"calendar": "CMES", "day_start": "00:00", "session": "all"}, "day_start", "17:00"),
])  # fmt: skip
def test_what_no_calendar_can_mean_is_refused(given, name, said):
    with pytest.raises(InvalidParameter, match=rf"{name}: .*{said}"):
        Grid.of(parse_interval("1d"), **given)


def test_the_calendars_own_origin_may_be_given():
    given = Grid.of(parse_interval("1d"), "America/Chicago", "17:00", "cme", "regular")
    assert given == grid_of("1d", "CMES")
    assert hash(given) == hash(grid_of("1d", "CMES"))


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    calendars.find_calendar.cache_clear()
    with pytest.raises(UserError, match=r"pip install 'tickplant\[calendars\]'"):
        grid_of("1d", "XNYS")


def test_a_calendar_that_the_library_cannot_open_is_refused(monkeypatch):
    library = calendars._library()

    def fail(name):
        raise NotImplementedError("an offset of another pandas")

    monkeypatch.setattr(library, "get_calendar", fail)
    with pytest.raises(UserError, match="XWAR cannot be opened by the installed exchange_calend"):
        grid_of("1d", "XWAR")
