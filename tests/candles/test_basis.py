from __future__ import annotations

import pyarrow as pa
import pytest
from candle_cases import grid_of
from candle_oracle import NS

from tickplant.candles.basis import BASES, columns_of, has_volume, rows_of, table_of
from tickplant.candles.conditions import EVERY_TRADE
from tickplant.model.events import SCHEMAS

QUOTES = pa.table(
    {
        "instrument": pa.array([7, 7, 7], pa.int32()),
        "ts_event": pa.array([1 * NS, 2 * NS, 3 * NS]),
        "seq": pa.array([1, 2, 3]),
        "bid_price": pa.array([10.0, None, 11.0]),
        "ask_price": pa.array([10.5, 12.0, 12.0]),
    }
)


@pytest.mark.parametrize(("basis", "count", "first", "last"), [
    ("bid", 2, 10.0, 11.0), ("ask", 3, 10.5, 12.0), ("mid", 2, 10.25, 11.5),
])  # fmt: skip
def test_candles_of_quotes_skip_the_side_that_is_missing(basis, count, first, last):
    for table in (QUOTES, pa.concat_tables([QUOTES[:1], QUOTES[1:]]), QUOTES.to_batches()[0]):
        rows = rows_of(basis, table, EVERY_TRADE)
        for instrument in (None, 7):
            bars = rows.build(grid_of("1m", "UTC", "00:00"), instrument).finish()
            assert (bars.instrument[0], bars.count[0]) == (7, count)
            assert (bars.open[0], bars.close[0], bars.volume[0]) == (first, last, 0.0)


def test_candles_of_trades_have_a_volume():
    table = pa.table({"instrument": pa.array([7], pa.int32()), "ts_event": [NS], "seq": [1],
                      "price": [2.0], "size": pa.array([None], pa.float64())})  # fmt: skip
    assert (
        rows_of("trade", table, EVERY_TRADE).build(grid_of("1m", "UTC", "00:00")).finish().volume[0]
        == 0.0
    )
    assert [has_volume(basis) for basis in BASES] == [True, False, False, False]


def test_the_columns_that_are_read_are_in_the_table():
    for basis in BASES:
        assert set(columns_of(basis)) <= set(SCHEMAS[table_of(basis)].names)
