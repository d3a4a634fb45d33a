"""Bars by count, volume and value against a loop over rows that sums with `math.fsum`."""

from __future__ import annotations

import csv
import gzip
import math
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from candle_cases import BASE, columns, grid_of, origin_of, prices, row_lists
from candle_oracle import NS, Row
from hypothesis import given
from hypothesis import strategies as st

from realdata import real
from tickplant.candles.activity import (
    ActivityBars,
    check_activity,
    extend,
    in_order,
    is_reached,
    newest_of_each,
    no_bars,
)
from tickplant.candles.basis import Rows
from tickplant.candles.cuts import cut_sums
from tickplant.candles.exact import sum_groups
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.model.conditions import EVERYTHING, Update
from tickplant.model.errors import InvalidParameter

ORIGINS = [("UTC", "00:00"), ("America/New_York", "17:00"), ("Asia/Kolkata", "09:15")]
THRESHOLDS = ["1t", "2t", "7t", "0.1v", "0.3v", "1v", "2.5v", "1000000v", "0.5$", "12$", "100000$"]
decimals = st.sampled_from([0.0, 0.1, 0.1, 0.2, 0.3, 0.7, 1.0, 2.5, float("nan")])

Shown = dict[tuple[int, int, int], tuple[Any, ...]]


@st.composite
def decimal_rows(draw: st.DrawFn) -> list[Row]:
    """Rows whose sums often come to a round number, of which float64 is just beside."""
    drawn = draw(
        st.lists(st.tuples(st.integers(1, 2), st.integers(0, 30), prices, decimals), max_size=40)
    )
    return [
        Row(number, BASE + hour * 3_600 * NS, seq, abs(price) if abs(price) < 1e3 else 1.0, size)
        for seq, (number, hour, price, size) in enumerate(drawn, 1)
    ]


def adds(row: Row, measure: str) -> float:
    size = 0.0 if math.isnan(row.size) else row.size
    return {"t": 1.0, "v": size, "$": row.price * size}[measure]


def expected(rows: list[Row], interval: str, origin: Any) -> Shown:
    measure, threshold = interval[-1], float(interval[:-1])
    days: dict[tuple[int, int], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.ts, row.seq)):
        if not math.isnan(row.price):
            key = row.instrument, origin.day(origin.label(row.ts))
            days.setdefault(key, []).append(row)
    found: Shown = {}
    for (number, day), mine in days.items():
        held: list[Row] = []
        index = highest = 0
        for row in mine:
            held.append(row)
            highest = max(highest, row.seq)
            reached = math.fsum(adds(one, measure) for one in held) >= threshold
            found[number, day, index] = bar(held, highest, reached=reached)
            if reached:
                index, held = index + 1, []
    return dict(sorted(found.items()))


def bar(held: list[Row], highest: int, *, reached: bool) -> tuple[Any, ...]:
    values = [row.price for row in held]
    volume = math.fsum(adds(row, "v") for row in held)
    notional = math.fsum(adds(row, "$") for row in held)
    return (
        held[0].ts, held[-1].ts, values[0], max(values), min(values), values[-1], volume,
        notional / volume if volume > 0 else None, len(held), highest, reached,
    )  # fmt: skip


def shown(grid: Grid, bars: ActivityBars) -> Shown:
    finished = bars.states.finish()
    names = ("open", "high", "low", "close", "volume", "vwap", "count", "revision")
    values = zip(
        bars.first.tolist(), bars.last.tolist(), *(getattr(finished, n).tolist() for n in names),
        is_reached(grid, bars.states).tolist(), strict=True,
    )  # fmt: skip
    days = grid.starts(finished.start)
    keys = zip(
        finished.instrument.tolist(), days.tolist(), (finished.start - days).tolist(), strict=True
    )
    plain = (tuple(None if v is None or math.isnan(v) else v for v in one) for one in values)
    found = dict(zip(keys, plain, strict=True))
    assert len(found) == len(bars)
    return found


def rows_of(rows: list[Row]) -> Rows:
    return Rows(*columns(rows))


@given(
    st.one_of(row_lists(), decimal_rows()), st.sampled_from(THRESHOLDS), st.sampled_from(ORIGINS)
)
def test_bars_are_those_of_a_plain_loop(rows, interval, origin):
    grid = grid_of(interval, *origin)
    if any(row.price < 0 for row in rows):
        rows = [row for row in rows if row.price >= 0]
    found = extend(grid, no_bars(), in_order(grid, rows_of(rows)))
    assert shown(grid, found) == expected(rows, interval, origin_of(grid))


@given(decimal_rows(), st.sampled_from(THRESHOLDS), st.lists(st.integers(0, 40), max_size=6))
def test_bars_are_the_same_in_however_many_parts_the_events_come(rows, interval, cuts):
    grid = grid_of(interval, "America/New_York", "17:00")
    ordered = sorted(rows, key=lambda row: (row.ts, row.seq))
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    last, parts = no_bars(), [no_bars()]
    for low, high in pairwise(edges):
        parts.append(extend(grid, last, in_order(grid, rows_of(ordered[low:high]))))
        last = newest_of_each([last, parts[-1]])
        numbers = last.states.instrument
        last = last.take(np.append(numbers[1:] != numbers[:-1], [True] * bool(len(numbers))))
    assert shown(grid, newest_of_each(parts)) == expected(rows, interval, origin_of(grid))


@given(
    st.one_of(
        st.lists(st.one_of(decimals, st.floats(-1e3, 1e3), st.floats(0, 1e-9)), min_size=1),
        st.lists(st.one_of(st.integers(0, 9), st.just(2**52)).map(float), min_size=1),
    ),
    st.sampled_from([0.1, 0.3, 0.7999999999999999, 0.8, 1e-9, 2.5, 1.0, 7.0, 1e3]),
    st.integers(0, 5),
)
def test_cuts_are_where_the_rounded_sum_reaches_the_threshold(values, threshold, held):
    values = [0.0 if math.isnan(value) else value for value in values]
    begun = [threshold / 7] * held
    digits = sum_groups(np.array([*begun, 0.0]), np.zeros(1, np.int64))
    wanted, sums = [0], begun
    for place, value in enumerate(values, 1):
        sums = [*sums, value]
        if math.fsum(sums) >= threshold:
            wanted, sums = [*wanted, place], []
    found = cut_sums(np.array(values), np.zeros(1, np.int64), digits, threshold)
    assert found.tolist() == [place for place in wanted if place < len(values)]


def test_ten_times_a_tenth_is_one():
    grid = grid_of("1v", "UTC", "00:00")
    rows = [Row(1, BASE + seq, seq, 2.0, 0.1) for seq in range(1, 22)]
    found = extend(grid, no_bars(), in_order(grid, rows_of(rows)))
    assert found.states.count.tolist() == [10, 10, 1]
    assert found.states.finish().volume.tolist() == [1.0, 1.0, 0.1]


def test_trades_that_update_no_volume_fill_no_bar_and_others_make_none():
    grid = grid_of("2v", "UTC", "00:00")
    rows = rows_of([Row(1, BASE + seq, seq, float(seq), 1.0) for seq in range(1, 7)])
    no_volume = EVERYTHING & ~int(Update.VOLUME)
    updates = np.array([EVERYTHING, no_volume, 0, EVERYTHING, 0, EVERYTHING], np.uint8)
    found = extend(grid, no_bars(), in_order(grid, Rows(*columns_of(rows), updates=updates)))
    assert found.states.count.tolist() == [3, 1]
    assert found.states.finish().volume.tolist() == [2.0, 1.0]


def columns_of(rows: Rows) -> tuple[Any, ...]:
    return rows.instrument, rows.ts, rows.seq, rows.price, rows.size


@pytest.mark.parametrize(("interval", "basis", "fill", "fault"), [
    ("10v", "bid", "none", r"basis: bid is not allowed; allowed is trade for bars by volume"),
    ("10$", "mid", "none", r"basis: mid is not allowed; allowed is trade for bars by value"),
    ("10t", "mid", "null", r"fill: null is not allowed; allowed is none for bars by count"),
])  # fmt: skip
def test_what_such_bars_cannot_be_asked_for(interval, basis, fill, fault):
    with pytest.raises(InvalidParameter, match=fault):
        check_activity(Grid(parse_interval(interval)), basis, fill)


def test_count_bars_are_of_any_basis_and_the_others_of_trades():
    assert check_activity(Grid(parse_interval("10t")), "mid") == "mid"
    assert check_activity(Grid(parse_interval("10t")), None) is None
    assert check_activity(Grid(parse_interval("10v")), None) == "trade"
    assert check_activity(Grid(parse_interval("1d")), "mid", "null") == "mid"


@cache
def spy() -> list[tuple[int, float, float]]:
    with gzip.open(real("trades/spy-20131007.csv.gz"), "rt") as file:
        rows = [
            [row[name] for name in ("ts_event", "price", "size")] for row in csv.DictReader(file)
        ]
    trades = ((int(ts), float(price), float(size)) for ts, price, size in rows)
    return sorted(trades, key=lambda trade: trade[0])


@pytest.mark.parametrize("interval", ["10000v", "100t", "2500000$"])
def test_a_day_of_spy_is_cut_as_a_plain_loop_cuts_it(interval):
    trades = spy()
    ts, price, size = map(np.array, zip(*trades, strict=True))
    numbers, seq = np.ones(len(ts), np.int32), np.arange(1, len(ts) + 1)
    grid = grid_of(interval, "America/New_York", "00:00")
    found = extend(grid, no_bars(), in_order(grid, Rows(numbers, ts, seq, price, size)))
    measure, threshold = interval[-1], float(interval[:-1])
    volumes, counts, held, total = [], [], [], 0
    for _, paid, shares in trades:
        held.append(shares)
        cents = {"t": 100, "v": round(shares) * 100, "$": round(paid * 100) * round(shares)}
        total += cents[measure]  # whole numbers, as prices are in cents or a part of one
        if total >= 100 * threshold:
            volumes.append(sum(held))
            counts.append(len(held))
            held, total = [], 0
    volumes, counts = [*volumes, sum(held)], [*counts, len(held)]
    assert found.states.count.tolist() == counts
    assert found.states.finish().volume.tolist() == volumes
    assert sum(volumes) == size.sum()
