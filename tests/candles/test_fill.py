from __future__ import annotations

import math

import numpy as np
import pytest
from candle_cases import as_dict, built, comparable, grid_of
from candle_oracle import NS, Row

from tickplant.candles.fill import fill_gaps
from tickplant.candles.states import empty

MINUTE = 60 * NS
GRID = grid_of("1m", "UTC", "00:00")
NONE = (None, None, None, None, 0.0, None, 0, 0)


def bars():
    rows = [Row(1, 2 * MINUTE, 1, 10.0, 2.0), Row(1, 2 * MINUTE + 1, 2, 12.0, 1.0),
            Row(1, 5 * MINUTE, 3, 11.0, math.nan)]  # fmt: skip
    return built(GRID, rows).finish()


def filled(how, start=0, end=7, limit=100, **more):
    out = fill_gaps(bars(), GRID, start * MINUTE, end * MINUTE, how, limit=limit, **more)
    assert (np.diff(out.start) > 0).all()
    return {start // MINUTE: bar for (_, start), bar in comparable(as_dict(out)).items()}


OURS = {
    2: (10.0, 12.0, 10.0, 12.0, 3.0, 32 / 3, 2, 2),
    5: (11.0, 11.0, 11.0, 11.0, 0.0, None, 1, 3),
}


def carried(price):
    return (price, price, price, price, 0.0, None, 0, 0)


def test_none_adds_nothing():
    assert filled("none") == OURS


def test_previous_carries_the_close():
    assert filled("previous") == {
        0: NONE, 1: NONE, 2: OURS[2], 3: carried(12.0), 4: carried(12.0), 5: OURS[5],
        6: carried(11.0),
    }  # fmt: skip
    ahead = filled("previous", previous_close=9.5)
    assert (ahead[0], ahead[1], ahead[3]) == (carried(9.5), carried(9.5), carried(12.0))


def test_null_has_no_prices():
    assert filled("null") == {minute: OURS.get(minute, NONE) for minute in range(7)}


@pytest.mark.parametrize("how", ["none", "previous", "null"])
def test_the_output_is_bounded(how):
    assert list(filled(how, limit=1)) == [2 if how == "none" else 0]
    assert len(filled(how, end=10**9, limit=50)) == (2 if how == "none" else 50)


def test_nothing_at_all_is_filled_too():
    none = empty().finish()
    out = fill_gaps(none, GRID, 0, 3 * MINUTE, "null", limit=10)
    assert comparable(as_dict(out)) == {(0, minute * MINUTE): NONE for minute in range(3)}
    assert fill_gaps(none, GRID, 5, 5, "null", limit=10).start.size == 0
