"""Bars by activity heard with breaks, by number, are those of history: all, at every break."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_resumed_candles import make as make_other

from plant_kit import NOW, Clock, amend, open_plant, read_out, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.formats.rows import candle_structs
from tickplant.gateway.stream import replay_bars
from tickplant.gateway.stream.defaults import DefaultBases
from tickplant.gateway.stream.protocol import JSON
from tickplant.gateway.stream.replay import Source
from tickplant.gateway.stream.replay_bars import BarReader, CandleQuery, ChangedBarReader
from tickplant.plant.plant import Plant

HOUR = 3_600 * 10**9
BASE = NOW - 100 * HOUR
SYMBOLS = ("A", "B")
VALUES = ("start", "end", "open", "high", "low", "close", "volume", "count", "revision", "state",
          "coverage")  # fmt: skip

times = st.integers(0, 60).map(lambda hour: BASE + hour * HOUR)
moves = st.one_of(
    st.tuples(st.just("trade"), st.sampled_from(SYMBOLS), times, st.integers(1, 9),
              st.sampled_from([None, 0.1, 0.3, 1.0])),
    st.tuples(st.just("quote"), st.sampled_from(SYMBOLS), times),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("move"), st.integers(0, 30), times, st.sampled_from([None, 0.1, 2.0])),
    st.tuples(st.just("feed"), st.sampled_from(SYMBOLS), times, st.integers(1, 9)),
    st.tuples(st.just("say"), st.sampled_from(["begun", "lost"])),
    st.tuples(st.just("alive"), times),
    st.tuples(st.just("hole"), times, times),
    st.tuples(st.just("archive")),
    st.tuples(st.just("resume")),
)  # fmt: skip

Bars = dict[tuple[str, str, int], tuple[Any, ...]]


def make(plant: Plant, move: tuple[Any, ...], trades: list[tuple[str, int]]) -> None:
    match move:
        case "trade", symbol, ts, price, size:
            receipt = submit(
                plant, symbol=[symbol], ts_event=[ts], price=[float(price)], size=[size]
            )
            trades.append((symbol, receipt.seq_first))
        case "quote", symbol, ts:
            submit(plant, "quotes", symbol=[symbol], ts_event=[ts], bid_price=[1.0])
        case "move", place, ts, size if trades:
            symbol, seq = trades[place % len(trades)]
            amend(plant, symbol, seq, {"ts_event": ts, "size": size})
        case "move", *_:
            return
        case _:
            make_other(plant, move, trades)


def keyed(bars: list[dict[str, Any]]) -> Bars:
    return {
        (bar["symbol"], bar["day"], bar["index"]): tuple(bar[name] for name in VALUES)
        for bar in bars
    }


def stored(plant: Plant, query: CandleQuery) -> Bars:
    found: Bars = {}
    for one in plant.registry:
        table = plant.history.candles(one, query.grid, basis=query.basis).table
        rows = json.loads(JSON.encode(candle_structs(table)))
        found |= keyed([{**row, "symbol": one.symbol} for row in rows])
    return found


@pytest.mark.timeout(300)
@settings(max_examples=14, deadline=None)
@given(st.lists(moves, min_size=1, max_size=25), st.sampled_from(["2t", "0.3v", "5$"]))
def test_bars_heard_with_breaks_are_those_of_history(
    made: list[tuple[Any, ...]], interval: str
) -> None:
    query = CandleQuery(Grid(parse_interval(interval), "America/New_York", "17:00"), "trade")
    kept: Bars = {}
    trades: list[tuple[str, int]] = []
    after = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        open_plant(Path(folder), Clock(), log__sync="none") as plant,
    ):
        for move in [*made, ("resume",)]:
            make(plant, move, trades)
            if move != ("resume",):
                continue
            reader = ChangedBarReader(
                Source(plant.history, JSON), query, list(plant.registry), after, plant.seq_last,
                DefaultBases(plant.history),
            )  # fmt: skip
            heard = read_out(reader)
            kept |= keyed([bar for bar in heard if bar["count"]])
            for gone in keyed([bar for bar in heard if not bar["count"]]):
                kept.pop(gone, None)  # it may have come and gone in between
            after = plant.seq_last
            assert kept == stored(plant, query)


@pytest.mark.parametrize("basis", ["trade", "mid"])
def test_bars_that_begin_together_are_told_once_each_over_many_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, basis: str
) -> None:
    monkeypatch.setattr(replay_bars, "BARS_PAGE", 3)
    query = CandleQuery(Grid(parse_interval("1t")), basis)
    with open_plant(tmp_path) as plant:
        ts = [BASE] * 8 + [BASE + 30 * HOUR] * 5
        prices = [float(price) for price in range(1, 14)]
        submit(plant, symbol=["A"] * 13, ts_event=ts, price=prices)
        submit(plant, "quotes", symbol=["A"] * 13, ts_event=ts, bid_price=prices, ask_price=prices)
        reader = BarReader(
            Source(plant.history, JSON), query, list(plant.registry), plant.seq_last, start=BASE
        )
        bars = read_out(reader)
        assert [bar["close"] for bar in bars] == prices
        assert [bar["index"] for bar in bars] == [*range(8), *range(5)]
