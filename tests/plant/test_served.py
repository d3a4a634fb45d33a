"""Served bars, read from memory, are the bars that the store gives; and memory has a bound."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import NOW, Clock, amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.config import CandleSettings, load
from tickplant.model.errors import ConfigError
from tickplant.plant import served as served_module
from tickplant.plant.plant import Plant
from tickplant.plant.serving import read_served
from tickplant.store.contract import AsOf

SECOND = 10**9
BASE = NOW - 100_000 * SECOND
KINDS = [(text, basis) for text in ("1s", "1m", "1h", "1d") for basis in ("trade", "mid")]
SERVED = {"candles__served": "1s,1m,1h,1d", "candles__bases": "trade,mid"}
ALWAYS = {"candles__kept_s": 0}


def grid_of(text: str) -> Grid:
    return Grid(parse_interval(text))


def in_memory(plant: Plant, symbol: str, text: str, basis: str, **query: Any) -> pa.Table:
    instrument = plant.registry.resolve(symbol)
    return plant.history.candles(instrument, grid_of(text), basis=basis, **query).table


def in_store(plant: Plant, symbol: str, text: str, basis: str, **query: Any) -> pa.Table:
    """A read as of the last number goes past the served bars."""
    return in_memory(plant, symbol, text, basis, as_of=AsOf(seq_max=plant.seq_last), **query)


def check(plant: Plant, shuffle: random.Random) -> None:
    plant.drain()
    for symbol in ("A", "B"):
        if not any(one.symbol == symbol for one in plant.registry):
            continue
        for text, basis in KINDS:
            edge = BASE + shuffle.randrange(0, 200) * SECOND
            queries = (
                {},
                {"limit": shuffle.randrange(1, 9)},
                {"start": edge, "limit": 3},
                {"start": edge, "end": edge + 70 * SECOND},
                {"end": edge, "limit": 4},
                {"limit": 5, "fill": "previous"},
            )
            for query in shuffle.sample(queries, 2):
                found = in_memory(plant, symbol, text, basis, **query)
                assert found.equals(in_store(plant, symbol, text, basis, **query)), (text, query)


def act(plant: Plant, shuffle: random.Random, known: list[tuple[str, int]]) -> None:
    """Send a batch of trades or quotes, some of them late, or correct or cancel a trade."""
    kind = shuffle.choice(["trades", "trades", "quotes", "correct", "cancel", "archive"])
    rows = shuffle.randrange(1, 12)
    symbols = [shuffle.choice("AB") for _ in range(rows)]
    now = shuffle.randrange(0, 200)
    ts = [BASE + max(now - shuffle.choice([0, 0, 0, 1, 90]), 0) * SECOND for _ in range(rows)]
    prices = [shuffle.randrange(1, 999) / 100 for _ in range(rows)]
    if kind == "trades":
        keys = [f"t{shuffle.randrange(400)}" for _ in range(rows)]  # some are there already
        receipt = submit(plant, symbol=symbols, ts_event=ts, price=prices, id=keys,
                         size=[shuffle.choice([None, 1.5, 0.1]) for _ in range(rows)])  # fmt: skip
        if receipt.accepted == rows:
            known += [(symbol, receipt.seq_first + n) for n, symbol in enumerate(symbols)]
    elif kind == "quotes":
        asks = [price + 0.01 for price in prices]
        submit(plant, "quotes", symbol=symbols, ts_event=ts, bid_price=prices, ask_price=asks)
    elif kind == "archive":
        plant.store.checkpoint(plant.catalog.encode())
    elif known:
        symbol, seq = known.pop(shuffle.randrange(len(known)))
        changes = {"price": 5.0, "ts_event": BASE + shuffle.randrange(0, 200) * SECOND}
        amend(plant, symbol, seq, changes if kind == "correct" else None)


@pytest.mark.timeout(300)
@settings(max_examples=5, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 8, 10**6]),
    st.sampled_from([64, 8]),
    st.sampled_from([0, 600, 1e-6]),  # kept always, once asked for, and let go again at once
)
def test_served_bars_are_those_of_the_store(
    seed: int, fold: int, memory_mb: int, kept_s: float
) -> None:
    shuffle, known = random.Random(seed), []
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(served_module, "FOLD_ROWS", fold)
        patch.setattr(served_module, "FOLD_ROWS_MAX", fold)
        for _ in range(3):  # runs of one plant
            with open_plant(
                Path(folder),
                Clock(),
                log__sync="none",
                candles__memory_mb=memory_mb,
                candles__kept_s=kept_s,
                **SERVED,
            ) as plant:
                if shuffle.random() < 0.4:
                    plant.watch_candles(grid_of("1m"), "trade")
                for _ in range(shuffle.randrange(1, 8)):
                    act(plant, shuffle, known)
                    if shuffle.random() < 0.3:
                        check(plant, shuffle)
                check(plant, shuffle)


def test_who_reads_in_the_middle_of_a_fold_sees_every_event_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "FOLD_ROWS", 10**9)
    monkeypatch.setattr(served_module, "FOLD_ROWS_MAX", 10**9)
    monkeypatch.setattr(served_module, "APPLY_STATES", 1)
    symbols, looks = list("ABCDEF"), []
    settings = {"candles__served": "1s,1m", "candles__bases": "trade"}
    with open_plant(tmp_path, Clock(), **settings, **ALWAYS) as plant:

        def look(seconds: float) -> None:
            looks.append(seconds)
            for text in ("1s", "1m"):
                newest = plant.served.newest(grid_of(text), "trade")
                assert newest is not None
                for place, symbol in enumerate(symbols):
                    stored = in_store(plant, symbol, text, "trade")
                    assert in_memory(plant, symbol, text, "trade").equals(stored), (symbol, text)
                    for column in ("start", "count"):
                        assert getattr(newest, column)[place] == stored[column][-1].as_py()

        for turn in range(4):
            ts = [BASE + (turn + n % 3) * SECOND for n in range(12)]
            submit(plant, symbol=symbols * 2, ts_event=ts, price=[1.0 + turn] * 12)
        plant.drain()
        plant.served._readers.append(None)  # who folds stands back for whoever waits
        clock = SimpleNamespace(sleep=look, monotonic=time.monotonic)
        monkeypatch.setattr(served_module, "time", clock)
        plant.served.fold()
        plant.served._readers.pop()
    assert len(looks) == 2 * len(symbols)


def count_scans(plant: Plant, patch: pytest.MonkeyPatch) -> list[str]:
    """Note every scan of the store from now on."""
    scans: list[str] = []
    scan = plant.store.scan

    def noted(table: str, *args: Any, **query: Any) -> pa.Table:
        scans.append(table)
        return scan(table, *args, **query)

    patch.setattr(plant.store, "scan", noted)
    return scans


def fill(plant: Plant, seconds: range, symbol: str = "A") -> None:
    submit(
        plant,
        symbol=[symbol] * len(seconds),
        ts_event=[BASE + at * SECOND for at in seconds],
        price=[1.0 + at % 7 for at in seconds],
    )


def test_reading_served_bars_reads_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, **ALWAYS) as plant:
        fill(plant, range(600))
        scans = count_scans(plant, monkeypatch)
        bars = in_memory(plant, "A", "1s", "trade", limit=500)
        assert (bars.num_rows, scans) == (500, [])
        assert bars["start"][-1].as_py() == BASE + 599 * SECOND
        in_memory(plant, "A", "7s", "trade", limit=500)
        assert scans == ["trades"]


def test_after_a_restart_the_first_reader_brings_the_bars_back_to_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, **ALWAYS) as plant:
        fill(plant, range(600))
    with open_plant(tmp_path, **ALWAYS) as plant:
        fill(plant, range(600, 620))
        first = in_memory(plant, "A", "1s", "trade", limit=500)
        plant.drain()
        fill(plant, range(615, 625))
        scans = count_scans(plant, monkeypatch)
        again = in_memory(plant, "A", "1s", "trade", limit=500)
        assert scans == []
        assert again["count"].to_pylist()[-10:] == [2] * 5 + [1] * 5
        assert first["start"].to_pylist()[5:] == again["start"].to_pylist()[:-5]
        assert again.equals(in_store(plant, "A", "1s", "trade", limit=500))


def test_the_bar_in_progress_at_a_restart_is_kept_although_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, **ALWAYS) as plant:
        fill(plant, range(10))
    with open_plant(tmp_path, **ALWAYS) as plant:
        fill(plant, range(10, 12))
        in_memory(plant, "A", "1d", "trade")
        fill(plant, range(12, 14))  # between the read and the moment when it is kept
        plant.drain()
        fill(plant, range(14, 16))
        scans = count_scans(plant, monkeypatch)
        bars = in_memory(plant, "A", "1d", "trade")
        assert (bars["count"].to_pylist(), scans) == ([16], [])


def test_a_corrected_bar_is_read_once_and_then_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, **ALWAYS) as plant:
        fill(plant, range(100))
        amend(plant, "A", 50, {"price": 99.0})
        amend(plant, "A", 60, None)
        bars = in_memory(plant, "A", "1s", "trade", limit=90)
        assert bars.equals(in_store(plant, "A", "1s", "trade", limit=90))
        assert bars.num_rows == 90
        assert 99.0 in bars["high"].to_pylist()
        plant.drain()
        scans = count_scans(plant, monkeypatch)
        assert in_memory(plant, "A", "1s", "trade", limit=90).equals(bars)
        assert scans == []


def test_bars_that_fell_out_of_memory_come_from_the_store(tmp_path: Path) -> None:
    with open_plant(tmp_path, candles__bars=500, **ALWAYS) as plant:
        for first in range(0, 2_000, 100):
            fill(plant, range(first, first + 100))
        bars = in_memory(plant, "A", "1s", "trade", limit=1_500)
        assert bars.num_rows == 1_500
        assert bars.equals(in_store(plant, "A", "1s", "trade", limit=1_500))


def test_memory_stays_within_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_module, "FOLD_ROWS", 1)
    with open_plant(tmp_path, candles__memory_mb=8, log__sync="none", **ALWAYS) as plant:
        names = [f"S{n}" for n in range(400)]
        for at in range(200):
            submit(plant, symbol=names, ts_event=[BASE + at * SECOND] * 400, price=[1.0 + at] * 400)
        plant.drain()
        status = plant.served.status()
        assert 4 << 20 < status.bytes <= status.bytes_max <= 7 << 20
        assert plant.status()["served"]["bytes"] == status.bytes
        for name in ("S0", "S399"):
            found = in_memory(plant, name, "1s", "trade", limit=200)
            assert found.equals(in_store(plant, name, "1s", "trade", limit=200))


def test_more_instruments_than_memory_has_room_for_are_read_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "FOLD_ROWS", 1)
    with open_plant(tmp_path, candles__memory_mb=8, **ALWAYS) as plant:
        names = [f"S{n}" for n in range(2_000)]
        submit(plant, symbol=names, ts_event=[BASE] * 2_000, price=[1.0] * 2_000)
        plant.drain()
        status = plant.served.status()
        assert 0 < status.instruments_max < 2_000
        assert status.bytes <= status.bytes_max
        scans = count_scans(plant, monkeypatch)
        assert in_memory(plant, "S1", "1s", "trade").num_rows == 1
        assert scans == []
        assert in_memory(plant, "S1999", "1s", "trade").num_rows == 1
        assert scans == ["trades"]


def test_what_was_acknowledged_is_in_the_next_answer(tmp_path: Path) -> None:
    """Readers on other threads, while batches come: never less than was acknowledged before."""
    faults: list[str] = []
    acknowledged, stop = [0], threading.Event()
    with open_plant(tmp_path, log__sync="none", **ALWAYS) as plant:
        fill(plant, range(1))

        def read() -> None:
            while not stop.is_set():
                least = acknowledged[0]
                bars = in_memory(plant, "A", "1m", "trade")
                count = sum(bars["count"].to_pylist())
                if count < least or bars["volume"].to_pylist() != [0.0] * bars.num_rows:
                    faults.append(f"{count} of {least} events are in the bars")

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for turn in range(150):
            fill(plant, range(turn, turn + 40))
            acknowledged[0] = 1 + 40 * (turn + 1)
        stop.set()
        for reader in readers:
            reader.join()
    assert faults == []


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"candles.served": "1m,1x"}, "candles.served"),
        ({"candles.bases": "trade,last"}, "candles.bases"),
        ({"candles.timezone": "Mars/Phobos"}, "candles.timezone"),
        ({"candles.day_start": "25:00"}, "candles.day_start"),
        ({"candles.session": "regular"}, "candles.session"),
    ],
)
def test_a_bad_setting_is_refused_by_its_name(flags: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        read_served(load(flags=flags).candles)


def test_days_are_served_as_the_settings_say() -> None:
    given = CandleSettings(served="1d, 1d,1h", bases="mid", timezone="America/New_York",
                           day_start="17:00")  # fmt: skip
    kinds = [(str(grid.interval), grid.timezone, grid.day_start, basis)
             for grid, basis in read_served(given).kinds]  # fmt: skip
    assert kinds == [(text, "America/New_York", "17:00", "mid") for text in ("1d", "1h")]
    assert read_served(load(flags={"candles.served": "none"}).candles).kinds == ()


def test_ticks_that_come_one_by_one_do_not_pile_up_for_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "RECENT_ROWS", 1)
    with open_plant(tmp_path, log__sync="none", **SERVED, **ALWAYS) as plant:
        held = []
        for at in range(300):
            fill(plant, range(at, at + 1))
            plant.drain()
            held.append(plant.served.status().batches)
        assert 8 < max(held) < 150
        found = in_memory(plant, "A", "1m", "trade")
        assert found.equals(in_store(plant, "A", "1m", "trade"))


def test_a_watched_kind_does_not_hold_the_batches_of_the_other_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "RECENT_ROWS", 1)
    monkeypatch.setattr(served_module, "FOLD_ROWS", 1)
    with open_plant(tmp_path, log__sync="none", **SERVED, **ALWAYS) as plant:
        plant.watch_candles(grid_of("1m"), "trade")
        for at in range(100):
            submit(plant, "quotes", symbol=["A"], ts_event=[BASE + at * SECOND], bid_price=[1.0])
        plant.drain()
        assert plant.served.status().batches < 10


def test_nothing_is_kept_before_somebody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "FOLD_ROWS", 1)
    with open_plant(tmp_path) as plant:
        fill(plant, range(100))
        plant.drain()
        assert plant.served.status().kinds == 0
        first = in_memory(plant, "A", "1s", "trade", limit=50)
        plant.drain()
        assert plant.served.status().kinds == 1
        scans = count_scans(plant, monkeypatch)
        fill(plant, range(99, 110))
        again = in_memory(plant, "A", "1s", "trade", limit=50)
        assert scans == []
        assert first["start"].to_pylist()[10:] == again["start"].to_pylist()[:-10]
        assert again["count"].to_pylist() == [1] * 39 + [2] + [1] * 10


def test_what_nobody_asked_for_lately_is_kept_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_module, "FOLD_ROWS", 1)
    with open_plant(tmp_path, candles__kept_s=60) as plant:
        seconds = [0.0]
        monkeypatch.setattr(plant.served, "_now", lambda: seconds[0])
        for at, text, kinds in ((0, "1s", 1), (40, "1m", 2), (70, "", 1), (90, "1m", 1)):
            seconds[0] = at
            fill(plant, range(at, at + 5))
            if text:
                in_memory(plant, "A", text, "trade")
            plant.drain()
            fill(plant, range(at + 5, at + 10))
            plant.drain()
            assert plant.served.status().kinds == kinds, at
        seconds[0] = 1_000.0
        plant.watch_candles(grid_of("1s"), "trade")
        seconds[0] = 2_000.0
        fill(plant, range(200, 210))
        plant.drain()
        assert plant.served.status().kinds == 1  # somebody watches it
        again = in_memory(plant, "A", "1s", "trade")
        assert again.equals(in_store(plant, "A", "1s", "trade"))
        assert again.num_rows == 50
