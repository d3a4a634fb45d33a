"""Bars of many instruments that are needed at once are those of each by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plant_kit import NOW, amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.plant import bars, newest
from tickplant.plant.plant import Plant
from tickplant.store.contract import NOW as NOW_KNOWN
from tickplant.store.contract import AsOf

SECOND = 10**9
MINUTE = 60 * SECOND
BASE = (NOW - 3_600 * SECOND) // MINUTE * MINUTE
SYMBOLS = [f"S{n}" for n in range(40)]
GRID = Grid(parse_interval("1m"))

READS = {
    "one scan": {},
    "the newest rows are not of all": {"NEWEST_ROWS": 30},
    "too many rows in the span": {"_CHUNK_ROWS_MAX": 30},
    "one by one": {"MANY": 10**9},
}


def heard(plant: Plant, cursor: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """Return the last update of each bar, as a subscriber keeps it."""
    plant.drain()
    last: dict[tuple[str, int], dict[str, Any]] = {}
    while entries := cursor.take(10_000):
        for entry in entries:
            if entry.channel == "candles":
                for row in entry.rows.to_pylist():
                    symbol = plant.registry.number(row.pop("instrument")).symbol
                    last[symbol, row["start"]] = row
    return last


def fill(plant: Plant, archive: bool) -> None:
    """Store a minute of trades, some of them amended, and quotes of half of the instruments."""
    times = [BASE + n * SECOND for n in range(len(SYMBOLS))]
    prices = [float(n + 1) for n in range(len(SYMBOLS))]
    submit(plant, symbol=SYMBOLS, ts_event=times, price=prices, size=prices)
    amend(plant, "S3", 4, {"price": 99.0})
    amend(plant, "S4", 5, {"ts_event": BASE - MINUTE})
    amend(plant, "S5", 6, None)
    if archive:
        plant.store.checkpoint(plant.catalog.encode())
    half = SYMBOLS[::2]
    later = [BASE + 30 * SECOND] * len(half)
    submit(plant, "quotes", symbol=half, ts_event=later, bid_price=[1.0] * len(half))
    submit(plant, symbol=SYMBOLS[:4], ts_event=[BASE + 90 * SECOND] * 4, price=[7.0] * 4)


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("read", READS)
def test_the_first_batch_after_a_watch_tells_every_bar_as_history_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str, archive: bool
) -> None:
    for name, value in READS[read].items():
        module = bars if hasattr(bars, name) else newest
        monkeypatch.setattr(module, name, value)
    with open_plant(tmp_path) as plant:
        fill(plant, archive)
        plant.watch_candles(GRID, "trade")
        cursor = plant.hub.attach(plant.hub.seq)
        late = [BASE + 59 * SECOND] * len(SYMBOLS)
        submit(plant, symbol=SYMBOLS, ts_event=late, price=[2.5] * len(SYMBOLS))
        ends = [BASE + 5 * MINUTE] * len(SYMBOLS)
        submit(plant, "quotes", symbol=SYMBOLS, ts_event=ends, ask_price=[3.0] * len(SYMBOLS))
        found = heard(plant, cursor)
        stored = {
            (symbol, bar["start"]): bar
            for symbol in SYMBOLS
            for bar in plant.history.candles(
                plant.registry.resolve(symbol), GRID, basis="trade", start=BASE
            ).table.to_pylist()
        }
        assert found == stored
        assert len(stored) == len(SYMBOLS) + 4
        assert not any(bar["state"] == "forming" for bar in found.values())


@pytest.mark.parametrize("archive", [False, True])
@pytest.mark.parametrize("read", ["one scan", "the newest rows are not of all", "one by one"])
@pytest.mark.parametrize("amended", [True, False])
def test_the_last_rows_of_many_are_those_of_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: str, archive: bool, amended: bool
) -> None:
    for name, value in READS[read].items():
        monkeypatch.setattr(newest, name, value)
    with open_plant(tmp_path) as plant:
        fill(plant, archive)
        numbers = np.arange(1, len(SYMBOLS) + 1)
        for table in ("trades", "quotes"):
            for as_of in (NOW_KNOWN, AsOf(seq_max=len(SYMBOLS) + 2)):
                rows = newest.last_rows(plant.store, table, numbers, as_of, amended=amended)
                each = [
                    plant.store.scan(table, number, as_of=as_of, amended=amended).to_pylist()
                    for number in numbers.tolist()
                ]
                assert rows.sort_by("instrument").to_pylist() == [r[-1] for r in each if r]
