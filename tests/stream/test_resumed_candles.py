"""Bars heard with breaks, by number, are those of history: all of them, at every break."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import NOW, WAIT_S, Clock, amend, open_plant, read_out, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.gateway.stream.defaults import DefaultBases
from tickplant.gateway.stream.protocol import JSON
from tickplant.gateway.stream.replay import Source
from tickplant.gateway.stream.replay_bars import CandleQuery, ChangedBarReader
from tickplant.model.times import parse_time
from tickplant.plant.feed_notes import Alive, Begun, Hole, Lost, Repair
from tickplant.plant.plant import Plant

SECOND = 10**9
BASE = NOW - 3_600 * SECOND
SYMBOLS = ("A", "B")

times = st.integers(0, 400).map(lambda second: BASE + second * SECOND)
sides = st.one_of(st.none(), st.integers(1, 9).map(float))
moves = st.one_of(
    st.tuples(st.just("trade"), st.sampled_from(SYMBOLS), times, st.integers(1, 9)),
    st.tuples(st.just("quote"), st.sampled_from(SYMBOLS), times, sides, sides),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("move"), st.integers(0, 30), times),
    st.tuples(st.just("feed"), st.sampled_from(SYMBOLS), times, st.integers(1, 9)),
    st.tuples(st.just("say"), st.sampled_from(["begun", "lost"])),
    st.tuples(st.just("alive"), times),
    st.tuples(st.just("hole"), times, times),
    st.tuples(st.just("repair"), st.integers(0, 9), st.sampled_from(["repaired", "repairing"])),
    st.tuples(st.just("archive")),
    st.tuples(st.just("resume")),
)


VALUES = ("open", "high", "low", "close", "count", "revision", "state", "coverage")


def make(plant: Plant, move: tuple[Any, ...], trades: list[tuple[str, int]]) -> None:
    match move:
        case "trade", symbol, ts, price:
            receipt = submit(plant, symbol=[symbol], ts_event=[ts], price=[float(price)])
            trades.append((symbol, receipt.seq_first))
        case "quote", symbol, ts, bid, ask if bid is not None or ask is not None:
            submit(plant, "quotes", symbol=[symbol], ts_event=[ts], bid_price=[bid],
                   ask_price=[ask])  # fmt: skip
        case "feed", symbol, ts, price:
            submit(plant, symbol=[symbol], ts_event=[ts], price=[float(price)], feed="venue")
        case "say", what:
            note = Begun("venue") if what == "begun" else Lost("venue", "disconnect")
            plant.tell(note).result(WAIT_S)
        case "alive", ts:
            plant.tell(Alive("venue", ts)).result(WAIT_S)
        case "hole", one, other:
            start, end = sorted((one, other))
            plant.tell(Hole("venue", start, end + 1, "sequence")).result(WAIT_S)
        case "repair", place, status if len(ids := plant.history.gaps()["id"].to_pylist()):
            gap = plant.coverage.book.ledger.find(ids[place % len(ids)])
            if gap is not None and plant.feed_name(gap.feed) == "venue":
                plant.tell(Repair("venue", gap.id, status)).result(WAIT_S)
        case ("archive",):
            plant.store.checkpoint(plant.catalog.encode())
        case "cancel", place if trades:
            symbol, seq = trades.pop(place % len(trades))
            amend(plant, symbol, seq, None)
        case "move", place, ts if trades:
            symbol, seq = trades[place % len(trades)]
            amend(plant, symbol, seq, {"ts_event": ts})


def hear(plant: Plant, query: CandleQuery, after: int) -> list[dict[str, Any]]:
    reader = ChangedBarReader(
        Source(plant.history, JSON), query, list(plant.registry), after, plant.seq_last,
        DefaultBases(plant.history),
    )  # fmt: skip
    return read_out(reader)


def stored(plant: Plant, query: CandleQuery) -> dict[tuple[str, int], tuple[Any, ...]]:
    found = {}
    for one in plant.registry:
        table = plant.history.candles(one, query.grid, basis=query.basis).table
        for bar in table.to_pylist():
            found[one.symbol, bar["start"]] = tuple(bar[name] for name in VALUES)
    return found


@pytest.mark.timeout(300)
@settings(max_examples=25, deadline=None)
@given(
    st.lists(moves, min_size=1, max_size=25),
    st.sampled_from(["trade", "mid", "bid"]),
    st.sampled_from(["7s", "1m", "1h"]),
)
def test_bars_heard_with_breaks_are_those_of_history(
    made: list[tuple[Any, ...]], basis: str, interval: str
) -> None:
    query = CandleQuery(Grid(parse_interval(interval)), basis)
    kept: dict[tuple[str, int], tuple[Any, ...]] = {}
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
            for bar in hear(plant, query, after):
                key = bar["symbol"], parse_time(bar["start"])
                kept[key] = tuple(bar[name] for name in VALUES)
                if not bar["count"]:
                    del kept[key]
            after = plant.seq_last
            assert kept == stored(plant, query)
