"""Indicators over the stream: the last value heard of each bar is the one that history has."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resumed_candles import make, moves
from test_slow import drain, run_now

from plant_kit import NOW, Clock, open_plant, submit
from tickplant.analytics.ask import parse_indicators
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.formats.indicators import indicator_rows
from tickplant.gateway.stream import indicators, windows
from tickplant.gateway.stream.open import open_subscription
from tickplant.gateway.stream.protocol import JSON, Subscribe
from tickplant.gateway.stream.subscription import Subscription
from tickplant.plant.indicators import read_indicators
from tickplant.plant.plant import Plant

Heard = dict[tuple[str, str], dict[str, Any]]
NAMES = (
    "sma:3",
    "ema:2",
    "rsi:2",
    "macd:2:3:2",
    "bbands:2",
    "atr:2",
    "vwap",
    "vwap:3",
    "wma:2:hl2",
)


def subscribe(plant: Plant, name: str, **fields: Any) -> Subscription:
    fields = {"interval": "7s", "symbols": ["*"]} | fields
    message = Subscribe(op="subscribe", channel="indicators", name=name, **fields)
    return asyncio.run(open_subscription(1, message, plant, JSON, run_now)).subscription


def wait_for_bars(plant: Plant) -> None:
    """Return when the plant's thread has published what it was working on."""
    grid = Grid(parse_interval("1h"))
    plant.watch_candles(grid, "trade")
    plant.unwatch_candles(grid, "trade")


def hear(one: Subscription, kept: Heard) -> list[dict[str, Any]]:
    """Take what is new into what is known of each bar; a bar that is gone is known no more."""
    events = [event for message in drain(one) for event in message.get("events", [])]
    for event in events:
        assert event.pop("venue") == "ORIGIN"
        key = event["symbol"], event["start"] if "day" not in event else bar_of_day(event)
        kept[key] = event
        if event.get("close", event.get("hl2", event.get("volume"))) is None:
            del kept[key]
    return events


def bar_of_day(row: dict[str, Any]) -> str:
    return f"{row['day']} {row['index']}"


def stored(plant: Plant, name: str, interval: str, basis: str) -> Heard:
    found: Heard = {}
    for one in plant.registry:
        grid = Grid(parse_interval(interval))
        read = read_indicators(plant.history, one, grid, parse_indicators(name), basis=basis)
        rows = json.loads(JSON.encode(indicator_rows(read.candles.table, read.columns)))
        for row in rows:
            key = row["start"] if "day" not in row else bar_of_day(row)
            found[one.symbol, key] = {
                "symbol": one.symbol, "interval": interval, "basis": basis,
                "timezone": "UTC", "day_start": "00:00", **row,
            }  # fmt: skip
    return found


@contextmanager
def spare(bars: int) -> Iterator[None]:
    before, windows.SPARE = windows.SPARE, bars
    try:
        yield
    finally:
        windows.SPARE = before


@pytest.mark.timeout(300)
@settings(max_examples=15, deadline=None)
@given(
    st.lists(moves, min_size=1, max_size=40),
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
    st.sampled_from(["1s", "7s", "1m", "2t"]),
    st.sampled_from(["trade", "mid"]),
    st.sampled_from([1, 3, 16]),
)
def test_the_last_value_heard_is_that_of_history(
    made: list[tuple[Any, ...]], names: list[str], interval: str, basis: str, held: int
) -> None:
    sized = any("vwap" in name for name in names)
    name, basis = ",".join(names), "trade" if sized else basis
    live: Heard = {}
    trades: list[tuple[str, int]] = []
    with (
        spare(held),
        tempfile.TemporaryDirectory() as folder,
        open_plant(Path(folder), Clock(), log__sync="none") as plant,
    ):
        one = subscribe(plant, name, interval=interval, basis=basis)
        for move in made:
            if move == ("resume",):
                one = subscribe(plant, name, interval=interval, basis=basis, from_=one.seq)
            else:
                make(plant, move, trades)
            wait_for_bars(plant)
            hear(one, live)
        assert live == stored(plant, name, interval, basis)


def test_windows_that_grow_stay_within_their_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indicators, "BARS_MAX", 100)
    live: Heard = {}
    with open_plant(tmp_path, Clock(), log__sync="none") as plant:
        one = subscribe(plant, "vwap", interval="1s", basis="trade")
        for second in range(90):
            submit(plant, symbol=["A", "B"], ts_event=[NOW + second * 10**9] * 2,
                   price=[1.0, 2.0 + second], size=[1.0, 1.0])  # fmt: skip
            wait_for_bars(plant)
            hear(one, live)
            assert isinstance(one, indicators.IndicatorSubscription)
            assert one.bars_held <= 100
        assert live == stored(plant, "vwap", "1s", "trade")
