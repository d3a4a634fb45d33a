"""Both week-ends of 2014 and of 2024 on which New York, London and Sydney changed their clocks.

All times below were worked out by hand from the published changes and are written in UTC:

    New York  UTC-5, in summer UTC-4; second Sunday of March and first of November, at 02:00
    London    UTC+0, in summer UTC+1; last Sunday of March and of October, at 01:00 UTC
    Sydney    UTC+10, in summer UTC+11; first Sunday of October at 02:00, first of April at 03:00

`days` are the starts of Saturday's, Sunday's and Monday's trading day and the end of the last;
`weeks` those of the week that ends with this Sunday and of the next one, and its end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from candle_oracle import NS, ns

from realdata import real
from tickplant.candles.basis import rows_of
from tickplant.candles.conditions import EVERY_TRADE
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.candles.states import FinishedBars, build

HOUR = 3_600 * NS
NEW_YORK, LONDON, SYDNEY = "America/New_York", "Europe/London", "Australia/Sydney"


@dataclass(frozen=True)
class Weekend:
    zone: str
    day_start: str
    hours: int  # of Sunday's trading day
    year: int
    days: str
    weeks: str

    def times(self, text: str) -> list[int]:
        return [ns(f"{self.year}-{one}:00Z") for one in text.split()]

    def grid(self, interval: str) -> Grid:
        return Grid(parse_interval(interval), self.zone, self.day_start)


WEEKENDS = [
    Weekend(NEW_YORK, "00:00", 23, 2014, "03-08T05 03-09T05 03-10T04 03-11T04",
            "03-03T05 03-10T04 03-17T04"),
    Weekend(NEW_YORK, "17:00", 23, 2014, "03-07T22 03-08T22 03-09T21 03-10T21",
            "03-02T22 03-09T21 03-16T21"),
    Weekend(NEW_YORK, "00:00", 25, 2014, "11-01T04 11-02T04 11-03T05 11-04T05",
            "10-27T04 11-03T05 11-10T05"),
    Weekend(NEW_YORK, "17:00", 25, 2014, "10-31T21 11-01T21 11-02T22 11-03T22",
            "10-26T21 11-02T22 11-09T22"),
    Weekend(NEW_YORK, "00:00", 23, 2024, "03-09T05 03-10T05 03-11T04 03-12T04",
            "03-04T05 03-11T04 03-18T04"),
    Weekend(NEW_YORK, "17:00", 23, 2024, "03-08T22 03-09T22 03-10T21 03-11T21",
            "03-03T22 03-10T21 03-17T21"),
    Weekend(NEW_YORK, "00:00", 25, 2024, "11-02T04 11-03T04 11-04T05 11-05T05",
            "10-28T04 11-04T05 11-11T05"),
    Weekend(NEW_YORK, "17:00", 25, 2024, "11-01T21 11-02T21 11-03T22 11-04T22",
            "10-27T21 11-03T22 11-10T22"),
    Weekend(LONDON, "00:00", 23, 2014, "03-29T00 03-30T00 03-30T23 03-31T23",
            "03-24T00 03-30T23 04-06T23"),
    Weekend(LONDON, "17:00", 23, 2014, "03-28T17 03-29T17 03-30T16 03-31T16",
            "03-23T17 03-30T16 04-06T16"),
    Weekend(LONDON, "00:00", 25, 2014, "10-24T23 10-25T23 10-27T00 10-28T00",
            "10-19T23 10-27T00 11-03T00"),
    Weekend(LONDON, "17:00", 25, 2014, "10-24T16 10-25T16 10-26T17 10-27T17",
            "10-19T16 10-26T17 11-02T17"),
    Weekend(LONDON, "00:00", 23, 2024, "03-30T00 03-31T00 03-31T23 04-01T23",
            "03-25T00 03-31T23 04-07T23"),
    Weekend(LONDON, "17:00", 23, 2024, "03-29T17 03-30T17 03-31T16 04-01T16",
            "03-24T17 03-31T16 04-07T16"),
    Weekend(LONDON, "00:00", 25, 2024, "10-25T23 10-26T23 10-28T00 10-29T00",
            "10-20T23 10-28T00 11-04T00"),
    Weekend(LONDON, "17:00", 25, 2024, "10-25T16 10-26T16 10-27T17 10-28T17",
            "10-20T16 10-27T17 11-03T17"),
    Weekend(SYDNEY, "00:00", 25, 2014, "04-04T13 04-05T13 04-06T14 04-07T14",
            "03-30T13 04-06T14 04-13T14"),
    Weekend(SYDNEY, "17:00", 25, 2014, "04-04T06 04-05T06 04-06T07 04-07T07",
            "03-30T06 04-06T07 04-13T07"),
    Weekend(SYDNEY, "00:00", 23, 2014, "10-03T14 10-04T14 10-05T13 10-06T13",
            "09-28T14 10-05T13 10-12T13"),
    Weekend(SYDNEY, "17:00", 23, 2014, "10-03T07 10-04T07 10-05T06 10-06T06",
            "09-28T07 10-05T06 10-12T06"),
    Weekend(SYDNEY, "00:00", 25, 2024, "04-05T13 04-06T13 04-07T14 04-08T14",
            "03-31T13 04-07T14 04-14T14"),
    Weekend(SYDNEY, "17:00", 25, 2024, "04-05T06 04-06T06 04-07T07 04-08T07",
            "03-31T06 04-07T07 04-14T07"),
    Weekend(SYDNEY, "00:00", 23, 2024, "10-04T14 10-05T14 10-06T13 10-07T13",
            "09-29T14 10-06T13 10-13T13"),
    Weekend(SYDNEY, "17:00", 23, 2024, "10-04T07 10-05T07 10-06T06 10-07T06",
            "09-29T07 10-06T06 10-13T06"),
]  # fmt: skip
weekends = pytest.mark.parametrize(
    "weekend", WEEKENDS, ids=lambda w: f"{w.zone}-{w.year}-{w.hours}h-{w.day_start}"
)


def bars_of(grid: Grid, first: int, last: int) -> FinishedBars:
    """Bars of one trade each half hour, numbered, from `first` until `last`."""
    ts = np.arange(first, last, HOUR // 2)
    numbers = np.arange(1, ts.size + 1)
    return build(grid, 1, ts, numbers, numbers.astype(np.float64), np.ones(ts.size)).finish()


@weekends
def test_days(weekend):
    *starts, end = weekend.times(weekend.days)
    grid = weekend.grid("1d")
    bars = bars_of(grid, starts[0], end)
    assert bars.start.tolist() == starts
    assert grid.ends(bars.start).tolist() == [*starts[1:], end]
    # 24, 23 or 25, and 24 hours, of two trades each: the first and the last are known, too.
    edges = np.cumsum([0, 48, 2 * weekend.hours, 48])
    assert bars.volume.tolist() == bars.count.tolist() == np.diff(edges).tolist()
    assert bars.open.tolist() == bars.low.tolist() == (edges[:-1] + 1).tolist()
    assert bars.close.tolist() == bars.high.tolist() == edges[1:].tolist()


@weekends
def test_weeks(weekend):
    *starts, end = weekend.times(weekend.weeks)
    grid = weekend.grid("1w")
    bars = bars_of(grid, starts[0], end)
    assert bars.start.tolist() == starts
    assert grid.ends(bars.start).tolist() == [*starts[1:], end]
    # The change is in the week that ends: even the next one from 17:00 begins hours after it.
    hours = [7 * 24 + weekend.hours - 24, 7 * 24]
    assert bars.count.tolist() == [2 * one for one in hours]


@weekends
@pytest.mark.parametrize(("interval", "step"), [("1h", 1), ("4h", 4)])
def test_hours(weekend, interval, step):
    _, sunday, monday, _ = weekend.times(weekend.days)
    grid = weekend.grid(interval)
    bars = bars_of(grid, sunday, monday)
    # 23 and 25 hours are five or six bars of four hours and one of three hours or of one.
    whole, rest = {(23, 4): (5, [3]), (25, 4): (6, [1])}.get((weekend.hours, step), (0, []))
    hours = [1] * weekend.hours if step == 1 else [4] * whole + rest
    assert bars.start.tolist() == [sunday + step * HOUR * place for place in range(len(hours))]
    assert (grid.ends(bars.start) - bars.start).tolist() == [one * HOUR for one in hours]
    assert bars.count.tolist() == [2 * one for one in hours]
    assert grid.floor(monday) == monday  # and the next day begins anew


EURUSD = ["0504", "0505", "0506", "0507"]


def eurusd(basis: str, interval: str, *origin: str) -> list[tuple]:
    """Bars of the quotes from the Sunday open of 2014-05-04 on: start to count."""
    tables = [pyarrow.csv.read_csv(real(f"quotes/oanda-eurusd-2014{d}.csv.gz")) for d in EURUSD]
    table = pa.concat_tables(tables)
    rows = table.num_rows
    table = table.append_column("seq", pa.array(np.arange(1, rows + 1)))
    table = table.append_column("instrument", pa.array(np.ones(rows, np.int32)))
    bars = (
        rows_of(basis, table, EVERY_TRADE)
        .build(Grid(parse_interval(interval), *origin), 1)
        .finish()
    )
    columns = (bars.start, bars.open, bars.high, bars.low, bars.close, bars.count)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def at(*rows: tuple) -> list[tuple]:
    return [(ns(f"2014-{start}:00Z"), *values) for start, *values in rows]


# What follows was derived from the raw files alone: every line read with `csv`, its time turned
# into New York's with `datetime` and `zoneinfo`, seven hours added, and the lines of one date (of
# one ISO week; of one date and `hour // 4`) put together: first, max, min and last bid, and their
# number. New York is at UTC-4 in May, so that 17:00 is 21:00 UTC.
def test_the_fx_week_from_sunday_17_new_york_in_days():
    days = eurusd("bid", "1d", NEW_YORK, "17:00")
    assert days == at(
        ("05-04T21", 1.38817, 1.38856, 1.38640, 1.38741, 25_327),
        ("05-05T21", 1.38750, 1.39510, 1.38716, 1.39267, 43_598),
        ("05-06T21", 1.39276, 1.39383, 1.39095, 1.39097, 42_413),
        ("05-07T21", 1.39104, 1.39116, 1.39084, 1.39101, 1_234),
    )
    asks = eurusd("ask", "1d", NEW_YORK, "17:00")
    assert asks[0] == at(("05-04T21", 1.38884, 1.38921, 1.38652, 1.38760, 25_327))[0]
    # From midnight the same quotes make other days, and Sunday has one of its own.
    assert eurusd("bid", "1d", NEW_YORK, "00:00") == at(
        ("05-04T04", 1.38817, 1.38817, 1.38640, 1.38743, 3_841),
        ("05-05T04", 1.38742, 1.38856, 1.38688, 1.38793, 24_196),
        ("05-06T04", 1.38795, 1.39510, 1.38751, 1.39243, 46_295),
        ("05-07T04", 1.39245, 1.39383, 1.39084, 1.39101, 38_240),
    )


def test_the_fx_week_from_sunday_17_new_york_in_one_week():
    week = at(("05-04T21", 1.38817, 1.39510, 1.38640, 1.39101, 112_572))
    assert eurusd("bid", "1w", NEW_YORK, "17:00") == week
    # Of a week from midnight on Monday the Sunday evening is no part.
    weeks = eurusd("bid", "1w", NEW_YORK, "00:00")
    assert [bar[0] for bar in weeks] == [ns("2014-04-28T04:00Z"), ns("2014-05-05T04:00Z")]
    assert [bar[-1] for bar in weeks] == [3_841, 112_572 - 3_841]


def test_the_fx_week_from_sunday_17_new_york_in_hours():
    assert eurusd("bid", "4h", NEW_YORK, "17:00")[:6] == at(
        ("05-04T21", 1.38817, 1.38817, 1.38642, 1.38648, 1_727),
        ("05-05T01", 1.38647, 1.38771, 1.38640, 1.38753, 2_478),
        ("05-05T05", 1.38753, 1.38812, 1.38688, 1.38767, 4_697),
        ("05-05T09", 1.38771, 1.38833, 1.38697, 1.38825, 4_829),
        ("05-05T13", 1.38827, 1.38856, 1.38719, 1.38758, 9_048),
        ("05-05T17", 1.38760, 1.38791, 1.38732, 1.38741, 2_548),
    )
    assert eurusd("bid", "1h", NEW_YORK, "17:00")[:3] == at(
        ("05-04T21", 1.38817, 1.38817, 1.38674, 1.38710, 508),
        ("05-04T22", 1.38711, 1.38763, 1.38702, 1.38742, 428),
        ("05-04T23", 1.38743, 1.38747, 1.38705, 1.38710, 228),
    )
