"""The last of many instruments, read from memory, is the last that the store has."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import NOW, Clock, amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.model.times import INT64_MIN
from tickplant.plant import last_rows as module
from tickplant.plant.plant import Plant
from tickplant.store.contract import AsOf

SECOND = 10**9
BASE = NOW - 10_000 * SECOND
NAMES = [f"S{n}" for n in range(9)]
MINUTE = Grid(parse_interval("1m"))


def latest(plant: Plant) -> list[dict[str, Any]]:
    """Each instrument's last from memory, rows as dictionaries."""
    return last_of(plant, list(plant.registry))


def one_by_one(plant: Plant) -> list[dict[str, Any]]:
    """The same, each asked for by itself."""
    return [last_of(plant, [one])[0] for one in plant.registry]


def last_of(plant: Plant, instruments: list[Any]) -> list[dict[str, Any]]:
    found = plant.history.latest(instruments)
    shown = []
    for turn, one in enumerate(instruments):
        row: dict[str, Any] = {"symbol": one.symbol, "last": int(found.last[turn])}
        for name, parts in found.tables.items():
            place = found.places[name][turn]
            for part in parts:
                if 0 <= place < part.num_rows:
                    [row[name]] = part.slice(place, 1).to_pylist()
                place -= part.num_rows
        shown.append(row)
    return shown


def stored(plant: Plant) -> list[dict[str, Any]]:
    """The same, instrument by instrument, past everything that is in memory."""
    store, as_of = plant.store, AsOf(seq_max=plant.seq_last)
    shown = []
    for one in plant.registry:
        spans = [store.span(table, one.number) for table in ("trades", "quotes")]
        last = max((span[1] for span in spans if span), default=INT64_MIN)
        row: dict[str, Any] = {"symbol": one.symbol, "last": last}
        for name, table in (("trade", "trades"), ("quote", "quotes")):
            rows = store.scan(table, one.number, as_of=as_of)
            if rows.num_rows:
                row[name] = rows.to_pylist()[-1]
        bars = plant.history.candles(one, MINUTE, as_of=as_of).table
        if bars.num_rows:
            row["candle"] = {"instrument": one.number, **bars.to_pylist()[-1]}
        shown.append(row)
    return shown


def act(plant: Plant, shuffle: random.Random, known: list[tuple[str, int]]) -> None:
    kind = shuffle.choice(["trades", "trades", "quotes", "correct", "cancel", "archive"])
    names = shuffle.sample(NAMES, shuffle.randrange(1, 6))
    ts = [BASE + shuffle.randrange(0, 300) * SECOND for _ in names]
    prices = [shuffle.randrange(1, 99) / 4 for _ in names]
    if kind == "trades":
        receipt = submit(plant, symbol=names, ts_event=ts, price=prices, size=[1.5] * len(names))
        known += [(name, receipt.seq_first + n) for n, name in enumerate(names)]
    elif kind == "quotes":
        asks = [price + 0.25 for price in prices]
        submit(plant, "quotes", symbol=names, ts_event=ts, bid_price=prices, ask_price=asks)
    elif kind == "archive":
        plant.store.checkpoint(plant.catalog.encode())
    elif known:
        name, seq = known.pop(shuffle.randrange(len(known)))
        changes = {"price": 7.0, "ts_event": BASE + shuffle.randrange(0, 300) * SECOND}
        amend(plant, name, seq, changes if kind == "correct" else None)


@pytest.mark.timeout(120)
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 8, 10**6]), st.sampled_from(["trade", "mid"]))
def test_the_last_in_memory_is_the_last_in_the_store(seed: int, fold: int, bases: str) -> None:
    shuffle, known = random.Random(seed), []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(module, "FOLD_ROWS", fold)
        patch.setattr("tickplant.plant.served.FOLD_ROWS", fold)
        for _ in range(2):
            with open_plant(Path(folder), Clock(), log__sync="none", candles__bases=bases) as plant:
                for _ in range(shuffle.randrange(1, 9)):
                    act(plant, shuffle, known)
                    plant.drain()
                    wanted = stored(plant)
                    assert latest(plant) == wanted
                    assert one_by_one(plant) == wanted


def test_the_last_of_many_reads_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_plant(tmp_path) as plant:
        names = [f"N{n}" for n in range(200)]
        for at in range(3):
            times = [BASE + (at * 40 + n % 40) * SECOND for n in range(200)]
            submit(plant, symbol=names, ts_event=times, price=[1.0 + at] * 200)
            submit(plant, "quotes", symbol=names, ts_event=times, bid_price=[1.0] * 200)
        scans: list[str] = []
        scan = plant.store.scan

        def noted(table: str, *args: Any, **query: Any) -> pa.Table:
            scans.append(table)
            return scan(table, *args, **query)

        wanted = stored(plant)
        monkeypatch.setattr(plant.store, "scan", noted)
        assert latest(plant) == wanted
        assert one_by_one(plant) == wanted
        assert scans == []


def test_an_empty_plant_has_no_last(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        assert latest(plant) == []
