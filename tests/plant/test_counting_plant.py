"""Bars of trades that do not all count: live, from history, after compaction, in plain Python."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tickplant
from plant_kit import NOW, Clock, amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.plant.plant import Plant

SECOND = 10**9
MINUTE = 60 * SECOND
BASE = NOW // MINUTE * MINUTE - 3_600 * SECOND
NAMES = (("A", "XNYS"), ("A", "BINANCE"))
# What the consolidated tape lets a trade with this condition update: open, high and low, last,
# volume. Another venue takes every trade for everything.
TAPE = {None: "ohlv", "@": "ohlv", "@F": "ohlv", "I": "v", "@ T": "ohlv", "@ W": "v", "Z": "hv",
        "4,F": "hv", "9": "hl", "M": "", "@6 Q": ""}  # fmt: skip
FIELDS = ("start", "open", "high", "low", "close", "volume", "vwap", "count", "revision")
AFTER_A_RESTART = FIELDS[:-1]  # the gap that a restart is touches bars, too

conditions = st.sampled_from(list(TAPE))
ticks = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.integers(0, 1_800).map(lambda tenth: BASE + tenth * SECOND // 10),
        st.integers(1, 999).map(lambda cents: cents / 100),
        st.one_of(st.none(), st.integers(1, 10**6).map(lambda units: units / 1_000)),
        conditions,
    ),
    min_size=1,
    max_size=10,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ticks"), ticks),
        st.tuples(st.just("recondition"), st.tuples(st.integers(0, 50), conditions)),
        st.tuples(st.just("cancel"), st.tuples(st.integers(0, 50), st.none())),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("archive"), st.none()),
    ),
    min_size=1,
    max_size=8,
)

Trade = dict[str, Any]
Bar = dict[str, Any]


def bar_of(start: int, trades: list[Trade], touched: int) -> Bar:
    def price(letter: str) -> list[float]:
        return [t["price"] for t in trades if letter in t["updates"]]

    sized = [t for t in trades if "v" in t["updates"] and t["size"] is not None]
    volume = math.fsum(t["size"] for t in sized)
    notional = math.fsum(t["price"] * t["size"] for t in sized)
    return {
        "start": start,
        "open": price("o")[0] if price("o") else None,
        "high": max(price("h"), default=None),
        "low": min(price("h"), default=None),
        "close": price("l")[-1] if price("l") else None,
        "volume": volume,
        "vwap": notional / volume if volume else None,
        "count": len(trades),
        "revision": max([touched, *(t["seq"] for t in trades)]),
    }


class Oracle:
    """Trades as they stand; `amended` has the last correction or cancel in each bar."""

    def __init__(self) -> None:
        self.trades: dict[int, Trade] = {}
        self.amended: dict[tuple[tuple[str, str], int], int] = {}

    def bars(self, name: tuple[str, str]) -> list[Bar]:
        grouped: dict[int, list[Trade]] = {}
        for trade in sorted(self.trades.values(), key=lambda t: (t["ts"], t["seq"])):
            updates = TAPE[trade["conditions"]] if name[1] == "XNYS" else "ohlv"
            if trade["name"] == name and updates:
                start = trade["ts"] // MINUTE * MINUTE
                grouped.setdefault(start, []).append(trade | {"updates": updates})
        return [
            bar_of(start, grouped[start], self.amended.get((name, start), 0))
            for start in sorted(grouped)
        ]


def play(plant: Plant, oracle: Oracle, step: str, what: Any) -> None:
    if step == "archive":
        plant.store.checkpoint(plant.catalog.encode())
        plant.store.compact()
    elif step == "ticks":
        names, times, prices, sizes, texts = (list(column) for column in zip(*what, strict=True))
        receipt = submit(
            plant,
            symbol=[symbol for symbol, _ in names],
            venue=[venue for _, venue in names],
            ts_event=times,
            price=prices,
            size=sizes,
            conditions=texts,
        )
        for place, (name, ts, price, size, text) in enumerate(what):
            seq = receipt.seq_first + place
            oracle.trades[seq] = {"name": name, "ts": ts, "price": price, "size": size,
                                  "conditions": text, "seq": seq}  # fmt: skip
    elif oracle.trades:
        root = sorted(oracle.trades)[what[0] % len(oracle.trades)]
        old = oracle.trades.pop(root)
        symbol, venue = old["name"]
        changes = None if step == "cancel" else {"conditions": what[1]}
        seq = amend(plant, f"{venue}:{symbol}", root, changes)
        oracle.amended[old["name"], old["ts"] // MINUTE * MINUTE] = seq
        if changes is not None:
            oracle.trades[root] = old | changes | {"seq": seq}


class Listener:
    """Keeps the last that was told of each bar."""

    def __init__(self) -> None:
        self.bars: dict[tuple[tuple[str, str], int], Bar] = {}

    def listen(self, plant: Plant, grid: Grid) -> None:
        plant.watch_candles(grid, "trade")
        self.plant = plant
        self.cursor = plant.hub.attach(plant.hub.seq)

    def hear(self) -> None:
        assert self.cursor is not None
        self.plant.drain()
        while entries := self.cursor.take(10_000):
            for entry in (one for one in entries if one.channel == "candles"):
                for row in entry.rows.to_pylist():
                    found = self.plant.registry.number(row["instrument"])
                    self.bars[(found.symbol, found.venue), row["start"]] = row


def compare(
    plant: Plant, grid: Grid, oracle: Oracle, listener: Listener, fields: tuple[str, ...]
) -> None:
    listener.hear()
    for symbol, venue in NAMES:
        wanted = [{n: bar[n] for n in fields} for bar in oracle.bars((symbol, venue))]
        known = plant.registry.find(symbol, venue)
        if known is None:
            assert not wanted
            continue
        table = plant.history.candles(known, grid, basis="trade").table
        assert [{n: bar[n] for n in fields} for bar in table.to_pylist()] == wanted
        heard = [bar for (name, _), bar in sorted(listener.bars.items()) if name == (symbol, venue)]
        stand = {bar["start"]: bar for bar in wanted}
        for bar in heard:
            found = {n: bar[n] for n in fields}
            assert stand.get(bar["start"]) == (found if bar["count"] else None)


@pytest.mark.timeout(300)
@settings(max_examples=10, deadline=None)
@given(steps=steps, interval=st.just("1m"))
def test_live_history_and_oracle_agree_on_which_trades_count(steps: list, interval: str) -> None:
    grid, oracle, listener = Grid(parse_interval(interval)), Oracle(), Listener()
    with tempfile.TemporaryDirectory() as folder:
        pending = [*steps, ("archive", None), ("restart", None), ("archive", None)]
        fields = FIELDS
        while pending:
            with open_plant(Path(folder), Clock(), log__sync="none") as plant:
                listener.listen(plant, grid)
                while pending:
                    step, what = pending.pop(0)
                    if step == "restart":
                        fields = AFTER_A_RESTART
                        break
                    play(plant, oracle, step, what)
                    compare(plant, grid, oracle, listener, fields)


TRADES = {
    "symbol": ["A"] * 4, "venue": ["XNYS"] * 4,
    "ts_event": [BASE, BASE + 1, BASE + MINUTE, BASE + MINUTE + 1],
    "price": [10.0, 99.0, 11.0, 12.0], "size": [1.0, 2.0, 3.0, 4.0],
    "conditions": ["@", "I", "W", "M"],
}  # fmt: skip
CONFIG = """
[conditions.venues]
XNYS = "mine"
[conditions.sets.mine]
like = "cta"
codes = { I = ["open", "high_low", "last", "volume"], W = ["open", "last", "volume"] }
"""


def test_a_folder_is_read_by_the_rules_of_the_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tickplant.toml"
    file.write_text(CONFIG, "utf-8")
    with open_plant(tmp_path / "data") as plant:
        submit(plant, **TRADES)
    closes = {}
    for config in (None, file, str(file)):
        with tickplant.open(tmp_path / "data", config=config) as folder:
            bars = list(folder.candles("A"))
            rows = folder.sql("SELECT close, volume FROM candles_1m ORDER BY start").arrow()
            assert rows.to_pylist() == [{n: bar[n] for n in ("close", "volume")} for bar in bars]
            closes[str(config)] = [(bar["close"], bar["volume"]) for bar in bars]
    assert closes == {"None": [(10.0, 3.0), (None, 3.0)], str(file): [(99.0, 3.0), (11.0, 3.0)]}


def test_filled_bars_carry_the_last_close_that_there_was(tmp_path: Path) -> None:
    times = [BASE, BASE + MINUTE, BASE + 2 * MINUTE, BASE + 4 * MINUTE]
    with open_plant(tmp_path) as plant:
        submit(plant, **TRADES | {"ts_event": times, "conditions": ["@", "W", "C", "@"]})
        one, grid = plant.registry.resolve("A"), Grid(parse_interval("1m"))
        query = {"basis": "trade", "fill": "previous"}
        whole = plant.history.candles(one, grid, start=BASE, **query).table
        assert whole["close"].to_pylist() == [10.0, None, None, 10.0, 12.0]
        later = plant.history.candles(one, grid, start=times[2] + MINUTE, **query).table
        assert later["close"].to_pylist() == [10.0, 12.0]
