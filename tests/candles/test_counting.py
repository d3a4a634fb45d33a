"""Candles of trades that do not all update everything, against plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
from candle_cases import GRIDS, as_dict, columns, comparable, grid_of, origin_of, row_lists
from candle_oracle import NS, Row, bucket
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.candles.basis import rows_of
from tickplant.candles.conditions import EVERY_TRADE, InstrumentRules
from tickplant.candles.live import LiveBars
from tickplant.candles.runs import merge_pairs
from tickplant.candles.states import States, build, empty, merge, roll_up
from tickplant.model.conditions import BUILT_IN, RuleSet, TradeRules

grids = st.sampled_from(GRIDS).map(lambda names: grid_of(*names))
MINUTE = grid_of("1m", "UTC", "00:00")


@dataclass(frozen=True)
class Counted:
    row: Row
    opens: bool
    extremes: bool
    closes: bool
    counts: bool

    @property
    def bits(self) -> int:
        return self.opens + 2 * self.extremes + 4 * self.closes + 8 * self.counts


@st.composite
def counted_lists(draw: st.DrawFn) -> list[Counted]:
    rows = draw(row_lists())
    mostly = st.sampled_from([(1, 1, 1, 1)] * 3 + [(0, 0, 0, 1)])
    bits = st.one_of(mostly, st.tuples(*[st.booleans()] * 4))
    return [Counted(row, *map(bool, draw(bits))) for row in rows]


def built(grid, rows: list[Counted]) -> States:
    updates = np.array([row.bits for row in rows], np.uint8)
    return build(grid, *columns([row.row for row in rows]), updates=updates)


def oracle(grid, rows: list[Counted]) -> dict:
    grouped: dict[tuple[int, int], list[Counted]] = {}
    for row in rows:
        if row.bits and not math.isnan(row.row.price):
            interval = grid.interval
            start = bucket(row.row.ts, interval.count, interval.unit, origin_of(grid))[0]
            grouped.setdefault((row.row.instrument, start), []).append(row)
    return {key: candle(found) for key, found in grouped.items()}


def candle(rows: list[Counted]) -> tuple:
    ordered = sorted(rows, key=lambda row: (row.row.ts, row.row.seq))
    opens = [row.row.price for row in ordered if row.opens]
    extremes = [row.row.price for row in ordered if row.extremes]
    closes = [row.row.price for row in ordered if row.closes]
    sized = [row.row for row in ordered if row.counts and not math.isnan(row.row.size)]
    volume = math.fsum(row.size for row in sized)
    notional = math.fsum(row.price * row.size for row in sized)
    return (
        opens[0] if opens else None,
        max(extremes, default=None),
        min(extremes, default=None),
        closes[-1] if closes else None,
        volume,
        notional / volume if volume > 0 else None,
        len(rows),
        max(row.row.seq for row in rows),
    )


@settings(max_examples=100, deadline=None)
@given(grids, counted_lists())
def test_each_trade_updates_what_it_may(grid, rows):
    assert comparable(as_dict(built(grid, rows).finish())) == oracle(grid, rows)


@settings(max_examples=60, deadline=None)
@given(grids, counted_lists(), st.randoms(use_true_random=False))
def test_any_order_split_and_grouping_gives_the_same_bits(grid, rows, shuffle):
    whole = built(grid, rows).block.tolist()
    parts = [[] for _ in range(4)]
    for row in shuffle.sample(rows, len(rows)):
        parts[shuffle.randrange(4)].append(row)
    a, b, c, d = (built(grid, part) for part in parts)
    for merged in (
        merge([a, b, c, d]),
        merge([merge([d, b]), merge([c, a])]),
        merge([merge([merge([c, d]), a]), empty(), b]),
    ):
        assert merged.block.tolist() == whole


@settings(max_examples=40, deadline=None)
@given(row_lists())
def test_rows_that_update_everything_are_built_as_without_rules(rows):
    for grid in (grid_of(*names) for names in GRIDS):
        plain = build(grid, *columns(rows)).block.tolist()
        updates = np.full(len(rows), 15, np.uint8)
        assert build(grid, *columns(rows), updates=updates).block.tolist() == plain
        if not rows:
            continue
        # One row that only counts sends the others the other way; all else stays as it was.
        odd = Row(9, rows[0].ts, len(rows) + 1, 1.0, 1.0)
        mixed = build(grid, *columns([*rows, odd]), updates=np.append(updates, 8).astype(np.uint8))
        assert mixed.take(mixed.instrument != 9).block.tolist() == plain


@settings(max_examples=50, deadline=None)
@given(counted_lists(), st.sampled_from(["1h", "1d", "1mo"]))
def test_rolled_up_candles_are_those_built_at_once(rows, coarse):
    fine = grid_of("1m", "America/New_York", "17:00")
    wide = grid_of(coarse, "America/New_York", "17:00")
    assert roll_up(built(fine, rows), wide).block.tolist() == built(wide, rows).block.tolist()


@settings(max_examples=50, deadline=None)
@given(counted_lists(), counted_lists())
def test_pairs_merge_as_states_do(ours, theirs):
    theirs = [
        Counted(Row(r.row.instrument, r.row.ts, r.row.seq + 100, r.row.price, r.row.size),
                r.opens, r.extremes, r.closes, r.counts)
        for r in theirs
    ]  # fmt: skip
    a, b = built(MINUTE, ours), built(MINUTE, theirs)
    keys = set(zip(a.instrument.tolist(), a.start.tolist(), strict=True))
    keys &= set(zip(b.instrument.tolist(), b.start.tolist(), strict=True))
    for number, start in keys:
        one, two = (s.take((s.instrument == number) & (s.start == start)) for s in (a, b))
        wanted = merge([one, two]).block.tolist()
        assert merge_pairs(one.block, two.block).tolist() == wanted
        assert merge_pairs(two.block, one.block).tolist() == wanted


@settings(max_examples=40, deadline=None)
@given(counted_lists(), st.integers(1, 5))
def test_live_bars_hold_the_same_states(rows, size):
    live, held = LiveBars(MINUTE, horizon=None, keep=100), {}
    for first in range(0, len(rows), size):
        changed, unknown = live.apply_states(built(MINUTE, rows[first : first + size]))
        assert not unknown
        for place in range(len(changed)):
            key = int(changed.instrument[place]), int(changed.start[place])
            held[key] = changed.block[:, place].tolist()
    whole = built(MINUTE, rows)
    keys = zip(whole.instrument.tolist(), whole.start.tolist(), strict=True)
    assert held == dict(zip(keys, whole.block.T.tolist(), strict=True))


def test_a_bar_may_have_a_volume_and_no_prices():
    rows = [Counted(Row(1, NS, 1, 5.0, 3.0), False, False, False, True)]
    bars = built(MINUTE, rows).finish()
    assert [bars.volume[0], bars.vwap[0], bars.count[0], bars.revision[0]] == [3.0, 5.0, 1, 1]
    assert np.isnan([bars.open[0], bars.high[0], bars.low[0], bars.close[0]]).all()


def test_a_trade_that_updates_nothing_makes_no_bar_and_touches_none():
    official = Counted(Row(1, NS, 9, 5.0, 3.0), False, False, False, False)
    regular = Counted(Row(1, NS, 1, 4.0, 2.0), True, True, True, True)
    assert len(built(MINUTE, [official])) == 0
    assert (
        built(MINUTE, [official, regular]).block.tolist() == built(MINUTE, [regular]).block.tolist()
    )


# --- which trades of a batch update what

texts = st.one_of(
    st.none(), st.sampled_from(["", "@", "@F", "I", "T", "Z", "@4 W", "M", "9", "Q", "CI"])
)
VENUES = {1: "XNYS", 2: "XNAS", 3: "BINANCE", 4: "MINE"}
RULES = TradeRules(
    {"*": "all", "XNYS": "cta", "XNAS": "utp", "MINE": "mine"},
    {**BUILT_IN, "mine": RuleSet("mine", {"I": 0})},
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), texts), max_size=20), st.booleans(), st.booleans())
def test_each_instrument_goes_by_the_rules_of_its_venue(rows, chunked, encoded):
    rules = InstrumentRules(RULES, VENUES.__getitem__)
    numbers = np.array([number for number, _ in rows], np.int32)
    conditions = pa.array([text for _, text in rows], pa.string())
    if encoded:
        conditions = conditions.dictionary_encode()
    if chunked:
        conditions = pa.chunked_array([conditions[:3], conditions[3:]])
    wanted = [RULES.of(VENUES[number]).updates(text) for number, text in rows]
    found = rules.updates(numbers, conditions)
    assert (found is None and set(wanted) <= {15}) or found.tolist() == wanted
    assert found is None or found.dtype == np.uint8
    assert rules.concern(numbers) == any(number != 3 for number, _ in rows)


def test_an_instrument_of_any_number_is_looked_up_once():
    asked = []

    def venue_of(number: int) -> str:
        asked.append(number)
        return "XNYS" if number == 5_000 else "ELSEWHERE"

    rules = InstrumentRules(RULES, venue_of)
    assert [rules.concern(number) for number in (70, 5_000, 70, 5_000, 0)] == [
        False, True, False, True, False,
    ]  # fmt: skip
    assert asked == [70, 5_000, 0]


@pytest.mark.parametrize("rules", [EVERY_TRADE, InstrumentRules(RULES, lambda _: "BINANCE")])
def test_without_rules_the_conditions_are_not_even_looked_at(rules):
    class Untouchable:
        pass

    assert rules.updates(np.array([1, 2], np.int32), Untouchable()) is None


def test_rules_apply_where_conditions_were_read():
    table = pa.table({"instrument": pa.array([1, 1], pa.int32()), "ts_event": [NS, 2 * NS],
                      "seq": [1, 2], "price": [2.0, 3.0], "size": [1.0, 1.0],
                      "conditions": ["I", None]})  # fmt: skip
    rules = InstrumentRules(RULES, VENUES.__getitem__)
    assert rows_of("trade", table, rules).updates.tolist() == [8, 15]
    assert rows_of("trade", table.drop_columns("conditions"), rules).updates is None
    assert rows_of("trade", table, EVERY_TRADE).updates is None
    bars = rows_of("trade", table, rules).build(MINUTE).finish()
    assert (bars.open[0], bars.low[0], bars.volume[0], bars.count[0]) == (3.0, 3.0, 2.0, 2)
