"""Candles of real events against bars that somebody else made of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest
from candle_cases import grid_of
from candle_oracle import ns

from realdata import real
from tickplant.candles.basis import rows_of
from tickplant.candles.conditions import EVERY_TRADE
from tickplant.candles.states import FinishedBars

DAYS = ["oanda-eurusd-20140504", "oanda-eurusd-20140505", "oanda-eurusd-20140506",
        "oanda-eurusd-20140507", "fxcm-eurusd-20140507"]  # fmt: skip
PRICES = ("open", "high", "low", "close")


def events(path: str) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(
        column_types={"conditions": pa.string(), "size": pa.float64()}
    )
    table = pyarrow.csv.read_csv(real(path), convert_options=options)
    numbers = pa.array(np.arange(1, table.num_rows + 1))
    table = table.append_column("seq", numbers)
    return table.append_column("instrument", pa.array(np.full(table.num_rows, 1, np.int32)))


def vendor(name: str) -> dict[str, list]:
    return pyarrow.csv.read_csv(real(f"vendor-bars/{name}-1m.csv.gz")).to_pydict()


def bars_of(basis: str, table: pa.Table, *grid: str) -> FinishedBars:
    return rows_of(basis, table, EVERY_TRADE).build(grid_of(*grid), 1).finish()


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("side", ["bid", "ask"])
def test_minutes_of_quotes_are_the_vendors_to_the_last_digit(day, side):
    bars = bars_of(side, events(f"quotes/{day}.csv.gz"), "1m", "UTC", "00:00")
    theirs = vendor(day)
    assert bars.start.tolist() == theirs["ts"]
    for name in PRICES:
        assert getattr(bars, name).tolist() == theirs[f"{side}_{name}"]


@pytest.mark.parametrize(("symbol", "same_min", "of"), [("spy", 825, 828), ("ibm", 449, 453)])
def test_minutes_of_trades_have_the_vendors_volume(symbol, same_min, of):
    bars = bars_of("trade", events(f"trades/{symbol}-20131007.csv.gz"), "1m", "UTC", "00:00")
    theirs = vendor(f"{symbol}-20131007")
    ours = dict(zip(bars.start.tolist(), bars.volume.tolist(), strict=True))
    same = [
        ours.get(ts) == volume for ts, volume in zip(theirs["ts"], theirs["volume"], strict=True)
    ]
    assert len(same) == of
    assert sum(same) >= same_min


def test_a_shuffled_day_gives_the_same_bits():
    table = events("trades/spy-20131007.csv.gz")
    grid = grid_of("1m", "America/New_York", "17:00")
    places = np.random.default_rng(3).permutation(table.num_rows)
    shuffled = rows_of("trade", table.take(pa.array(places)), EVERY_TRADE).build(grid, 1)
    assert np.array_equal(shuffled.block, rows_of("trade", table, EVERY_TRADE).build(grid, 1).block)


def test_the_fx_week_opens_on_sunday_at_17_new_york():
    sunday, monday = (events(f"quotes/oanda-eurusd-2014050{day}.csv.gz") for day in (4, 5))
    both = pa.concat_tables([sunday, monday])
    both = both.set_column(
        both.schema.get_field_index("seq"), "seq", pa.array(range(both.num_rows))
    )
    days = bars_of("bid", both, "1d", "America/New_York", "17:00")
    # Monday's day has all that came up to 17:00 New York (21:00 UTC) on Monday, Tuesday's the rest.
    assert days.start.tolist() == [ns("2014-05-04T21:00Z"), ns("2014-05-05T21:00Z")]
    until = pc.less(both["ts_event"], ns("2014-05-05T21:00Z"))
    assert days.count.tolist() == [pc.sum(until).as_py(), both.num_rows - pc.sum(until).as_py()]
    bids = both["bid_price"].to_pylist()
    assert (days.open[0], days.close[-1]) == (bids[0], bids[-1]) == (1.38817, bids[-1])
    weeks = bars_of("bid", both, "1w", "America/New_York", "17:00")
    assert weeks.start.tolist() == [ns("2014-05-04T21:00Z")]
    assert (weeks.count[0], weeks.low[0], weeks.high[0]) == (len(bids), min(bids), max(bids))
    # Midnight UTC would cut the same events into Sunday's three hours and Monday.
    assert bars_of("bid", both, "1d", "UTC", "00:00").count.tolist() == [
        sunday.num_rows, monday.num_rows,
    ]  # fmt: skip


def test_one_sided_quotes_make_candles_of_their_side_only():
    table = events("quotes/ibm-20131007.csv.gz")
    for side in ("bid_price", "ask_price"):
        quoted = pc.if_else(pc.greater(table[side], 0.0), table[side], None)
        table = table.set_column(table.schema.get_field_index(side), side, quoted)
    counts = {}
    for basis in ("bid", "ask"):
        prices = [price for price in table[f"{basis}_price"].to_pylist() if price is not None]
        bars = bars_of(basis, table, "1d", "America/New_York", "00:00")
        counts[basis] = bars.count.tolist()
        assert counts[basis] == [len(prices)]
        assert (bars.open[0], bars.close[0]) == (prices[0], prices[-1])
        assert (bars.high[0], bars.low[0]) == (max(prices), min(prices))
    assert counts["bid"][0] + counts["ask"][0] == table.num_rows
    assert bars_of("mid", table, "1d", "America/New_York", "00:00").start.size == 0


def test_the_middle_is_half_way_between_the_sides():
    table = events("quotes/oanda-eurusd-20140507.csv.gz")
    sides = zip(table["bid_price"].to_pylist(), table["ask_price"].to_pylist(), strict=True)
    middles = [(bid + ask) / 2 for bid, ask in sides]
    bars = bars_of("mid", table, "1d", "UTC", "00:00")
    assert (bars.count.tolist(), bars.open[0], bars.close[0], bars.high[0], bars.low[0]) == (
        [len(middles)], middles[0], middles[-1], max(middles), min(middles),
    )  # fmt: skip
