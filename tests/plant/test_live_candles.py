"""The bar that the stream sent last, the bar from history, and the oracle's bar are one bar."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import NOW, Clock, amend, gap_touches, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.plant import live
from tickplant.plant.plant import Plant

SECOND = 10**9
BASE = NOW - 3_600 * SECOND
SYMBOLS = ("A", "B")

ticks = st.lists(
    st.tuples(
        st.sampled_from(SYMBOLS),
        st.integers(0, 1_200).map(lambda tenth: BASE + tenth * SECOND // 10),
        st.integers(1, 999).map(lambda cents: cents / 100),
        st.one_of(st.none(), st.integers(1, 10**6).map(lambda units: units / 1_000)),
    ),
    min_size=1,
    max_size=12,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ticks"), ticks),
        st.tuples(st.just("correct"), st.tuples(st.integers(0, 50), st.integers(1, 999),
                                                st.integers(0, 1_200))),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("archive"), st.none()),
    ),
    min_size=1,
    max_size=8,
)  # fmt: skip

Bar = dict[str, Any]
WIDTHS = {"1s": SECOND, "5s": 5 * SECOND, "1m": 60 * SECOND, "1h": 3_600 * SECOND}


class Oracle:
    """Trades as they stand, in plain Python."""

    def __init__(self) -> None:
        self.trades: dict[int, dict[str, Any]] = {}
        self.touched: dict[tuple[str, int], int] = {}
        self.width = 0

    def touch(self, symbol: str, ts: int, seq: int) -> None:
        key = symbol, ts // self.width * self.width
        self.touched[key] = max(self.touched.get(key, 0), seq)

    def bars(self, symbol: str) -> list[Bar]:
        grouped: dict[int, list[dict[str, Any]]] = {}
        for trade in self.trades.values():
            if trade["symbol"] == symbol:
                grouped.setdefault(trade["ts"] // self.width * self.width, []).append(trade)
        return [self.bar(symbol, start, grouped[start]) for start in sorted(grouped)]

    def bar(self, symbol: str, start: int, trades: list[dict[str, Any]]) -> Bar:
        ordered = sorted(trades, key=lambda t: (t["ts"], t["seq"]))
        prices = [t["price"] for t in ordered]
        sized = [t for t in ordered if t["size"] is not None]
        volume = math.fsum(t["size"] for t in sized)
        notional = math.fsum(t["price"] * t["size"] for t in sized)
        return {
            "start": start, "open": prices[0], "high": max(prices), "low": min(prices),
            "close": prices[-1], "volume": volume, "vwap": notional / volume if volume else None,
            "count": len(ordered), "revision": self.touched[symbol, start],
        }  # fmt: skip


FIELDS = ("start", "open", "high", "low", "close", "volume", "vwap", "count", "revision")


class Listener:
    """Keeps the last update of each bar, as a subscriber of the stream would."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, int], Bar] = {}

    def listen(self, plant: Plant, grid: Grid) -> None:
        plant.watch_candles(grid, "trade")
        self.plant = plant
        self.cursor = plant.hub.attach(plant.hub.seq)

    def hear(self) -> None:
        assert self.cursor is not None
        self.plant.drain()
        while entries := self.cursor.take(10_000):
            for entry in entries:
                if entry.channel != "candles":
                    continue
                for row in entry.rows.to_pylist():
                    symbol = self.plant.registry.number(row["instrument"]).symbol
                    self.bars[symbol, row["start"]] = row

    def of(self, symbol: str) -> list[Bar]:
        mine = [bar for (name, _), bar in sorted(self.bars.items()) if name == symbol]
        return [{name: bar[name] for name in FIELDS} for bar in mine if bar["count"]]


def play(plant: Plant, oracle: Oracle, step: str, what: Any) -> None:
    if step == "ticks":
        symbol, ts, price, size = (list(column) for column in zip(*what, strict=True))
        receipt = submit(plant, symbol=symbol, ts_event=ts, price=price, size=size)
        for place, row in enumerate(zip(symbol, ts, price, size, strict=True)):
            seq = receipt.seq_first + place
            oracle.trades[seq] = dict(
                zip(("symbol", "ts", "price", "size"), row, strict=True), seq=seq
            )
            oracle.touch(row[0], row[1], seq)
        return
    if not oracle.trades:
        return
    roots = sorted(oracle.trades)
    root = roots[(what[0] if step == "correct" else what) % len(roots)]
    old = oracle.trades[root]
    if step == "cancel":
        seq = amend(plant, old["symbol"], root, None)
        del oracle.trades[root]
        oracle.touch(old["symbol"], old["ts"], seq)
        return
    changes = {"price": what[1] / 100, "ts_event": BASE + what[2] * SECOND // 10}
    seq = amend(plant, old["symbol"], root, changes)
    oracle.touch(old["symbol"], old["ts"], seq)
    oracle.touch(old["symbol"], changes["ts_event"], seq)
    oracle.trades[root] = old | {"price": changes["price"], "ts": changes["ts_event"], "seq": seq}


def compare(plant: Plant, grid: Grid, oracle: Oracle, listener: Listener) -> None:
    listener.hear()
    for symbol in SYMBOLS:
        wanted = oracle.bars(symbol)
        if not any(i.symbol == symbol for i in plant.registry):
            assert not wanted
            continue
        for bar in wanted:
            for start, end, seq in gap_touches(plant, symbol):
                if bar["start"] < end and start < bar["start"] + oracle.width:
                    bar["revision"] = max(bar["revision"], seq)
        found = plant.history.candles(plant.registry.resolve(symbol), grid, basis="trade")
        assert [{n: bar[n] for n in FIELDS} for bar in found.table.to_pylist()] == wanted
        heard = {bar["start"]: bar for bar in listener.of(symbol)}
        for start, bar in heard.items():
            assert bar == next((b for b in wanted if b["start"] == start), None)
        for (name, start), bar in listener.bars.items():
            if name == symbol:
                stored = next((b for b in found.table.to_pylist() if b["start"] == start), None)
                assert stored is None or stored["state"] == bar["state"]
                assert stored is None or stored["coverage"] == bar["coverage"]


@pytest.mark.timeout(300)
@settings(max_examples=12, deadline=None)
@given(steps=steps, interval=st.sampled_from(sorted(WIDTHS)), whole=st.booleans())
def test_live_history_and_oracle_agree(steps: list, interval: str, whole: bool) -> None:
    grid, oracle, listener = Grid(parse_interval(interval)), Oracle(), Listener()
    oracle.width = WIDTHS[interval]
    with tempfile.TemporaryDirectory() as folder:
        pending = [*steps, ("restart", None)]
        while pending:
            with open_plant(Path(folder), Clock(), log__sync="none") as plant:
                listener.listen(plant, grid)
                while pending:
                    step, what = pending.pop(0)
                    if step == "restart":
                        break
                    if step == "archive":
                        plant.store.checkpoint(plant.catalog.encode())
                        plant.store.compact()
                    else:
                        play(plant, oracle, step, what)
                    if not whole:
                        compare(plant, grid, oracle, listener)
                compare(plant, grid, oracle, listener)


def test_a_bar_is_sent_once_more_when_time_passes_its_end(tmp_path: Path) -> None:
    grid, listener = Grid(parse_interval("1m")), Listener()
    with open_plant(tmp_path) as plant:
        listener.listen(plant, grid)
        minute = BASE // (60 * SECOND) * 60 * SECOND
        submit(plant, symbol=["A"], ts_event=[minute], price=[1.0])
        listener.hear()
        assert listener.bars["A", minute]["state"] == "forming"
        submit(plant, "quotes", symbol=["A"], ts_event=[minute + 60 * SECOND], bid_price=[1.0])
        listener.hear()
        assert listener.bars["A", minute]["state"] == "complete"


def test_a_bar_whose_last_trade_was_cancelled_is_sent_with_a_count_of_zero(tmp_path: Path) -> None:
    grid, listener = Grid(parse_interval("1m")), Listener()
    with open_plant(tmp_path) as plant:
        listener.listen(plant, grid)
        submit(plant, symbol=["A"], ts_event=[BASE], price=[1.0])
        seq = amend(plant, "A", 1, None)
        listener.hear()
        bar = next(iter(listener.bars.values()))
        assert (bar["count"], bar["revision"]) == (0, seq)


def test_updates_that_could_not_be_made_are_made_with_the_next_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch closes a bar and changes another; the store fails just then."""
    grid, listener = Grid(parse_interval("1m")), Listener()
    minute = BASE // (60 * SECOND) * 60 * SECOND
    with open_plant(tmp_path) as plant:
        submit(plant, symbol=["A", "B"], ts_event=[minute, minute], price=[1.0, 1.0])
        listener.listen(plant, grid)
        build, failing = live.states_of_pairs, [True]

        def fails_once(*args: Any) -> Any:
            if failing:
                failing.clear()
                raise OSError("the file cannot be read")
            return build(*args)

        monkeypatch.setattr(live, "states_of_pairs", fails_once)
        submit(plant, symbol=["A"], ts_event=[minute + 60 * SECOND], price=[2.0])
        listener.hear()
        assert listener.bars == {}
        submit(plant, symbol=["B"], ts_event=[minute + 1], price=[3.0])
        listener.hear()
        states = {key: (bar["close"], bar["state"]) for key, bar in listener.bars.items()}
        assert states["A", minute][0] == 1.0
        assert states["A", minute][1] != "forming"
        assert states["A", minute + 60 * SECOND] == (2.0, "forming")
        assert states["B", minute] == (3.0, "forming")
