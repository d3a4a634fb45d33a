from __future__ import annotations

import math

import numpy as np
import pytest
from candle_cases import (
    BASE,
    GRIDS,
    as_dict,
    built,
    columns,
    comparable,
    grid_of,
    origin_of,
    published,
    row_lists,
)
from candle_oracle import NS, Row, candles
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.candles import states
from tickplant.candles.cells import Cells
from tickplant.candles.states import build, empty, merge, roll_up

grids = st.sampled_from(GRIDS).map(lambda names: grid_of(*names))


def expected(grid, rows):
    interval = grid.interval
    return comparable(published(candles(rows, interval.count, interval.unit, origin_of(grid))))


@settings(max_examples=300, deadline=None)
@given(grids, row_lists())
def test_built_candles_are_the_oracles(grid, rows):
    assert comparable(as_dict(built(grid, rows).finish())) == expected(grid, rows)


@settings(max_examples=300, deadline=None)
@given(grids, row_lists(), st.randoms(use_true_random=False))
def test_any_order_split_and_grouping_gives_the_same_bits(grid, rows, shuffle):
    whole = built(grid, rows)
    parts = [[] for _ in range(4)]
    for row in shuffle.sample(rows, len(rows)):
        parts[shuffle.randrange(4)].append(row)
    a, b, c, d = (built(grid, part) for part in parts)
    for merged in (
        merge([a, b, c, d]),
        merge([merge([d, b]), merge([c, a])]),
        merge([merge([merge([c, d]), a]), empty(), b]),
    ):
        assert merged.block.tolist() == whole.block.tolist()


@settings(max_examples=100, deadline=None)
@given(row_lists(), st.randoms(use_true_random=False))
def test_one_instrument_by_number_or_by_column(rows, shuffle):
    rows = [Row(7, row.ts, row.seq, row.price, row.size) for row in rows]
    ordered = sorted(rows, key=lambda row: (row.ts, row.seq))
    for grid in (grid_of(*names) for names in GRIDS):
        wanted = built(grid, rows).block.tolist()
        for arranged in (ordered, shuffle.sample(rows, len(rows))):
            _, *rest = columns(arranged)
            assert build(grid, 7, *rest).block.tolist() == wanted


def test_large_batches_are_chunked_without_a_trace(monkeypatch):
    rng = np.random.default_rng(5)
    n = 5_000
    ts = 1_710_000_000 * NS + rng.integers(0, 86_400 * NS, n)
    arrays = (rng.integers(1, 9, n), ts, rng.permutation(n), rng.random(n), rng.random(n))
    for names in GRIDS:
        whole = build(grid_of(*names), *arrays)
        monkeypatch.setattr(states, "CHUNK_ROWS", 256)
        assert build(grid_of(*names), *arrays).block.tolist() == whole.block.tolist()
        monkeypatch.undo()


@settings(max_examples=100, deadline=None)
@given(row_lists(), st.sampled_from(["1h", "1d", "1w", "1mo"]))
def test_rolled_up_candles_are_those_built_at_once(rows, coarse):
    fine = grid_of("1m", "America/New_York", "17:00")
    wide = grid_of(coarse, "America/New_York", "17:00")
    assert roll_up(built(fine, rows), wide).block.tolist() == built(wide, rows).block.tolist()


def test_one_nanosecond_and_one_number_decide_open_and_close():
    rows = [
        Row(1, 60 * NS + 1, 1, 5.0, 1.0),
        Row(1, 60 * NS, 4, 6.0, 1.0),
        Row(1, 60 * NS, 3, 7.0, 1.0),
        Row(1, 120 * NS - 1, 2, 8.0, 1.0),
        Row(1, 120 * NS - 1, 9, 9.0, 1.0),
        Row(1, 120 * NS, 5, 1.0, 1.0),
    ]
    bars = as_dict(built(grid_of("1m", "UTC", "00:00"), rows).finish())
    assert bars[1, 60 * NS] == (7.0, 9.0, 5.0, 9.0, 5.0, 7.0, 5, 9)
    assert bars[1, 120 * NS] == (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1, 5)


def test_without_sizes_volume_is_zero_and_vwap_is_nan():
    one = np.array([1], np.int64)
    for size in (None, np.array([math.nan]), np.array([0.0])):
        bars = build(grid_of("1m", "UTC", "00:00"), 1, one, one, np.array([2.5]), size).finish()
        assert bars.volume.tolist() == [0.0]
        assert math.isnan(bars.vwap[0])
        assert bars.count.tolist() == [1]


def test_rows_without_a_price_make_no_candle():
    rows = [Row(1, NS, 1, math.nan, 5.0)]
    assert len(built(grid_of("1m", "UTC", "00:00"), rows)) == 0
    assert empty().finish().start.size == 0
    assert len(merge([])) == len(merge([empty(), empty()])) == 0


def test_keys_too_wide_to_pack_are_sorted_all_the_same():
    far = 9_000_000_000
    keys = [(2**31 - 1, far), (1, 5), (1, far), (2**31 - 1, 5), (1, 5)]
    rows = [Row(key[0], key[1] * NS, seq, float(seq), 1.0) for seq, key in enumerate(keys, 1)]
    grid = grid_of("1s", "UTC", "00:00")
    assert comparable(as_dict(built(grid, rows).finish())) == expected(grid, rows)


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume", "start", "seq_max"])
def test_taken_states_are_those_at_the_places(name):
    rows = [Row(1, minute * 60 * NS, minute, float(minute), 2.0) for minute in range(1, 6)]
    whole = built(grid_of("1m", "UTC", "00:00"), rows)
    some = whole.take(np.array([1, 3]))
    assert getattr(some, name).tolist() == getattr(whole, name)[..., [1, 3]].tolist()


def test_a_revision_can_be_raised_but_not_lowered():
    rows = [Row(1, 60 * NS, 5, 1.0, 1.0), Row(1, 120 * NS, 6, 1.0, 1.0)]
    bars = built(grid_of("1m", "UTC", "00:00"), rows)
    assert bars.with_revision(np.array([9, 3])).seq_max.tolist() == [9, 6]
    assert bars.seq_max.tolist() == [5, 6]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(GRIDS), min_size=1, max_size=4), row_lists())
def test_cells_of_several_grids_serve_each_of_them(names, rows):
    several = [grid_of(*each) for each in names]
    cells = Cells(several)
    for number in (None, 7):
        numbers, *rest = columns(rows)
        shared = build(cells, numbers if number is None else number, *rest)
        for grid in several:
            alone = build(grid, numbers if number is None else number, *rest)
            assert roll_up(shared, grid).block.tolist() == alone.block.tolist()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(GRIDS), min_size=1, max_size=4))
def test_many_rows_in_order_are_cut_at_the_cells(names):
    several = [grid_of(*each) for each in names]
    ts = BASE + np.arange(2_000, dtype=np.int64) * 1_700 * NS
    seq, price = np.arange(2_000), np.linspace(1.0, 2.0, 2_000)
    for grid in several:
        shared = build(Cells(several), 7, ts, seq, price, price)
        wanted = build(grid, np.full(2_000, 7), ts, seq, price, price)
        assert roll_up(shared, grid).block.tolist() == wanted.block.tolist()
        assert build(grid, 7, ts, seq, price, price).block.tolist() == wanted.block.tolist()
