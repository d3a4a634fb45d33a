"""Which bars have to be told again when what is covered of them has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plant_kit import NOW, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.plant.bars import pairs_touched

MINUTE = 60 * 10**9
BASE = NOW // MINUTE * MINUTE - 100 * MINUTE
GRID = Grid(parse_interval("1m"))


@pytest.mark.parametrize("count", [2, 40], ids=["read one by one", "read at once"])
def test_bars_with_rows_that_overlap_a_span_are_found_once(tmp_path: Path, count: int) -> None:
    names = [f"S{number:02}" for number in range(count)]
    minutes = (0, 1, 5, 9)
    with open_plant(tmp_path) as plant:
        submit(
            plant,
            symbol=names * len(minutes),
            ts_event=[BASE + m * MINUTE + 7 for m in minutes for _ in names],
            price=[1.0] * count * len(minutes),
        )
        numbers = np.array([plant.registry.resolve(name).number for name in names], np.int64)
        # Two spans of each: within the bar of minute 1, and up to just before that of minute 9.
        lows = np.concatenate([numbers * 0 + BASE + MINUTE + 30, numbers * 0 + BASE + 2 * MINUTE])
        highs = np.concatenate([lows[:count] + 1, numbers * 0 + BASE + 9 * MINUTE])
        found = pairs_touched(plant.store, GRID, "trade", np.tile(numbers, 2), lows, highs)
        wanted = [(n, BASE + m * MINUTE) for n in numbers.tolist() for m in (1, 5)]
        assert sorted(found) == sorted(wanted)
        assert pairs_touched(plant.store, GRID, "trade", numbers, lows[:count], lows[:count]) == []
