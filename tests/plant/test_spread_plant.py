"""Bars of quotes with their spreads: heard live, from history and after compaction."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import NOW, Clock, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval

SECOND = 10**9
MINUTE = 60 * SECOND
BASE = NOW // MINUTE * MINUTE - 3_600 * SECOND
GRID = Grid(parse_interval("1m"))
NAMES = ("start", "count", "spread_min", "spread_max", "spread_mean", "spread_bps")

price = st.one_of(st.none(), st.integers(100, 900).map(lambda cents: cents / 100))
quotes = st.tuples(st.integers(0, 400).map(lambda s: BASE + s * SECOND), price, price)
batches = st.lists(st.lists(quotes, min_size=1, max_size=6), min_size=1, max_size=8)


def bars_of(rows: list, basis: str) -> list[tuple]:
    grouped: dict[int, list] = {}
    for ts, bid, ask in rows:
        if {"bid": bid is not None, "ask": ask is not None, "mid": None not in (bid, ask)}[basis]:
            grouped.setdefault(ts // MINUTE * MINUTE, []).append((bid, ask))
    out = []
    for start in sorted(grouped):
        two = [(bid, ask) for bid, ask in grouped[start] if None not in (bid, ask)]
        each = [ask - bid for bid, ask in two]
        total, middles = math.fsum(each), math.fsum((bid + ask) / 2 for bid, ask in two)
        shown = (None,) * 4
        if two:
            shown = (min(each), max(each), total / len(two), total / middles * 10_000)
        out.append((start, len(grouped[start]), *shown))
    return out


@pytest.mark.timeout(300)
@settings(max_examples=15, deadline=None)
@given(given_batches=batches, basis=st.sampled_from(["bid", "ask", "mid"]))
def test_live_history_and_oracle_agree_on_spreads(given_batches: list, basis: str) -> None:
    rows: list = []
    with tempfile.TemporaryDirectory() as folder, open_plant(Path(folder), Clock()) as plant:
        plant.watch_candles(GRID, basis)
        cursor = plant.hub.attach(plant.hub.seq)
        heard: dict[int, tuple] = {}
        for batch in given_batches:
            kept = [row for row in batch if row[1:] != (None, None)]
            if not kept:
                continue
            times, bids, asks = (list(column) for column in zip(*kept, strict=True))
            submit(plant, "quotes", symbol=["A"] * len(kept), ts_event=times, bid_price=bids,
                   ask_price=asks)  # fmt: skip
            rows += kept
            plant.drain()
            while entries := cursor.take(1_000):
                for entry in (one for one in entries if one.channel == "candles"):
                    for bar in entry.rows.to_pylist():
                        heard[bar["start"]] = tuple(bar[name] for name in NAMES)
            assert [heard[start] for start in sorted(heard)] == bars_of(rows, basis)
            assert stored(plant, basis) == bars_of(rows, basis)
        plant.store.checkpoint(plant.catalog.encode())
        plant.store.compact()
        if rows:
            assert stored(plant, basis) == bars_of(rows, basis)


def stored(plant, basis: str) -> list[tuple]:
    table = plant.history.candles(plant.registry.resolve("A"), GRID, basis=basis).table
    return [tuple(bar[name] for name in NAMES) for bar in table.to_pylist()]
