"""Spreads of the quotes in a candle, against plain Python and its fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from candle_cases import GRIDS, grid_of, origin_of
from candle_oracle import NS, bucket
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.candles.basis import height_of, rows_of
from tickplant.candles.conditions import EVERY_TRADE
from tickplant.candles.fill import fill_gaps
from tickplant.candles.live import LiveBars
from tickplant.candles.states import States, empty, merge

QUOTE_BASES = ("bid", "ask", "mid")
BASE = 1_710_050_000 * NS
MINUTE = grid_of("1m", "UTC", "00:00")
grids = st.sampled_from(GRIDS).map(lambda names: grid_of(*names))

sides = st.one_of(
    st.none(), st.floats(1e-6, 1e12), st.sampled_from([1.38817, 1.3882, 1.38817, 100.25, 0.1, 0.3])
)
Quote = tuple[int, int, int, float | None, float | None]


@st.composite
def quote_lists(draw: st.DrawFn) -> list[Quote]:
    times = st.integers(-4_000, 4_000).map(lambda s: BASE + s * NS)
    drawn = draw(st.lists(st.tuples(st.integers(1, 3), times, sides, sides), max_size=30))
    return [(n, ts, seq, bid, ask) for seq, (n, ts, bid, ask) in enumerate(drawn, 1)]


def table_of(quotes: list[Quote]) -> pa.Table:
    names = ("instrument", "ts_event", "seq", "bid_price", "ask_price")
    types = (pa.int32(), pa.int64(), pa.int64(), pa.float64(), pa.float64())
    columns = zip(*quotes, strict=True) if quotes else [()] * 5
    return pa.table(
        {n: pa.array(list(c), t) for n, c, t in zip(names, columns, types, strict=True)}
    )


def built(basis: str, grid, quotes: list[Quote]) -> States:
    return rows_of(basis, table_of(quotes), EVERY_TRADE).build(grid)


def oracle(basis: str, grid, quotes: list[Quote]) -> dict:
    grouped: dict[tuple[int, int], list[Quote]] = {}
    for quote in quotes:
        number, ts, _, bid, ask = quote
        if {"bid": bid is not None, "ask": ask is not None}.get(basis, None not in (bid, ask)):
            interval = grid.interval
            start = bucket(ts, interval.count, interval.unit, origin_of(grid))[0]
            grouped.setdefault((number, start), []).append(quote)
    return {key: (len(found), *spreads(found)) for key, found in grouped.items()}


def spreads(quotes: list[Quote]) -> tuple[float | None, ...]:
    two = [(bid, ask) for *_, bid, ask in quotes if None not in (bid, ask)]
    if not two:
        return None, None, None, None
    each = [ask - bid for bid, ask in two]
    total = float(sum(map(Fraction, each)))
    assert total == math.fsum(each)
    middles = float(sum(Fraction((bid + ask) / 2) for bid, ask in two))
    return min(each), max(each), total / len(two), total / middles * 10_000


def found(states: States) -> dict:
    bars = states.finish()
    keys = zip(bars.instrument.tolist(), bars.start.tolist(), strict=True)
    columns = [] if bars.spreads is None else [each.tolist() for each in bars.spreads]
    values = zip(bars.count.tolist(), *columns, strict=True)
    return {
        key: tuple(None if math.isnan(v) else v for v in value)
        for key, value in zip(keys, values, strict=True)
    }


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(QUOTE_BASES), grids, quote_lists())
def test_spreads_are_the_oracles(basis, grid, quotes):
    assert found(built(basis, grid, quotes)) == oracle(basis, grid, quotes)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(QUOTE_BASES), grids, quote_lists(), st.randoms(use_true_random=False))
def test_any_order_split_and_grouping_gives_the_same_bits(basis, grid, quotes, shuffle):
    parts = [[] for _ in range(4)]
    for quote in shuffle.sample(quotes, len(quotes)):
        parts[shuffle.randrange(4)].append(quote)
    a, b, c, d = (built(basis, grid, part) for part in parts)
    wanted = built(basis, grid, quotes).block.tolist()
    for merged in (merge([a, b, c, d]), merge([merge([merge([c, d]), a]), empty(), b])):
        assert merged.block.tolist() == wanted


@settings(max_examples=40, deadline=None)
@given(quote_lists(), st.integers(1, 5))
def test_live_bars_hold_the_same_states(quotes, size):
    live, held = LiveBars(MINUTE, horizon=None, keep=500, height=height_of("mid")), {}
    for first in range(0, len(quotes), size):
        changed, unknown = live.apply_states(built("mid", MINUTE, quotes[first : first + size]))
        assert not unknown
        for place in range(len(changed)):
            key = int(changed.instrument[place]), int(changed.start[place])
            held[key] = changed.block[:, place].tolist()
    whole = built("mid", MINUTE, quotes)
    keys = zip(whole.instrument.tolist(), whole.start.tolist(), strict=True)
    assert held == dict(zip(keys, whole.block.T.tolist(), strict=True))


def test_crossed_and_locked_quotes_count_and_one_sided_ones_do_not():
    quotes = [(1, NS, 1, 10.0, 9.5), (1, NS, 2, 10.0, 10.0), (1, NS, 3, 10.0, 11.0),
              (1, NS, 4, 12.0, None), (1, NS, 5, None, 1.0)]  # fmt: skip
    count = {"bid": 4, "ask": 4, "mid": 3}
    middle = (9.75 + 10.0 + 10.5) / 3
    for basis in QUOTE_BASES:
        bars = built(basis, MINUTE, quotes).finish()
        assert bars.count.tolist() == [count[basis]]
        assert bars.spreads is not None
        assert (bars.spreads.min[0], bars.spreads.max[0]) == (-0.5, 1.0)
        assert bars.spreads.mean[0] == 0.5 / 3
        assert bars.spreads.bps[0] == pytest.approx(0.5 / 3 / middle * 10_000, rel=1e-15)


def test_candles_of_trades_have_no_spreads_and_no_room_for_them():
    table = pa.table({"instrument": pa.array([7], pa.int32()), "ts_event": [NS], "seq": [1],
                      "price": [2.0], "size": [1.0]})  # fmt: skip
    states = rows_of("trade", table, EVERY_TRADE).build(MINUTE)
    assert states.finish().spreads is None
    assert [height_of("trade"), height_of("bid")] == [len(states.block), len(states.block) + 3]


def test_filled_candles_have_no_spread():
    bars = built("bid", MINUTE, [(1, 0, 1, 10.0, 11.0), (1, 180 * NS, 2, 10.0, 12.0)]).finish()
    for how in ("previous", "null"):
        filled = fill_gaps(bars, MINUTE, 0, 240 * NS, how, limit=10)
        assert filled.spreads is not None
        for column in (filled.spreads.min, filled.spreads.max, filled.spreads.mean):
            assert np.isnan(column).tolist() == [False, True, True, False]
        assert filled.spreads.max[[0, 3]].tolist() == [1.0, 2.0]


def test_bars_without_a_close_carry_the_one_before_on():
    quotes = [(1, 0, 1, 10.0, 11.0), (1, 60 * NS, 2, 12.0, None), (1, 180 * NS, 3, 13.0, None)]
    bars = built("bid", MINUTE, quotes).finish()
    bars.close[1] = np.nan
    filled = fill_gaps(bars, MINUTE, 0, 240 * NS, "previous", limit=10)
    assert filled.close[[0, 2, 3]].tolist() == [10.0, 10.0, 13.0]
    assert np.isnan(filled.close[1])
    bars.close[0] = np.nan
    filled = fill_gaps(bars, MINUTE, 0, 240 * NS, "previous", limit=10, previous_close=7.0)
    assert filled.close[2] == 7.0
