"""Bars by activity: what the stream sent last, history, and a plain loop say the same."""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import Clock, amend, gap_touches, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.plant.plant import Plant

SECOND = 10**9
HOUR = 3_600 * SECOND
BASE = 1_699_000_000 * SECOND  # two days before New York changes its clocks
SYMBOLS = ("A", "B")
GRIDS = [
    ("3t", "UTC", "00:00"), ("1t", "UTC", "00:00"), ("0.3v", "UTC", "22:00"),
    ("2v", "America/New_York", "17:00"), ("5$", "Asia/Kolkata", "09:15"), ("0.7$", "UTC", "00:00"),
]  # fmt: skip

Bar = dict[str, Any]

ticks = st.lists(
    st.tuples(
        st.sampled_from(SYMBOLS),
        st.one_of(st.integers(0, 12), st.integers(0, 100)).map(lambda hour: BASE + hour * HOUR),
        st.integers(1, 999).map(lambda cents: cents / 100),
        st.sampled_from([None, 0.0, 0.1, 0.1, 0.2, 0.3, 0.7, 1.0, 2.5]),
    ),
    min_size=1,
    max_size=15,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ticks"), ticks),
        st.tuples(st.just("quote"), st.tuples(st.sampled_from(SYMBOLS), st.integers(0, 100))),
        st.tuples(st.just("correct"), st.tuples(st.integers(0, 50), st.integers(1, 999),
                                                st.sampled_from([None, 0.1, 5.0]),
                                                st.integers(0, 100))),
        st.tuples(st.just("cancel"), st.integers(0, 50)),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("archive"), st.none()),
    ),
    min_size=1,
    max_size=9,
)  # fmt: skip


class Oracle:
    """Trades as they stand, in plain Python."""

    def __init__(self, interval: str, zone: str, day_start: str) -> None:
        self.measure, self.threshold = interval[-1], float(interval[:-1])
        self.zone = ZoneInfo(zone)
        self.hour, self.minute = map(int, day_start.split(":"))
        self.trades: dict[int, Bar] = {}
        self.touched: list[tuple[str, int, int]] = []
        self.last: dict[str, int] = {}

    def see(self, symbol: str, ts: int) -> None:
        self.last[symbol] = max(self.last.get(symbol, 0), ts)

    def day(self, ts: int) -> tuple[int, int]:
        """Start and end of the day of a time, which is a whole second."""
        local = datetime.fromtimestamp(ts // SECOND, UTC).astimezone(self.zone)
        date = local.date() + timedelta(days=1)
        edges = [
            int(datetime(d.year, d.month, d.day, self.hour, self.minute, tzinfo=self.zone)
                .timestamp()) * SECOND
            for d in (date - timedelta(days=back) for back in range(4))
        ]  # fmt: skip
        start = max(edge for edge in edges if edge <= ts)
        return start, min(edge for edge in edges if edge > start)

    def adds(self, trade: Bar) -> float:
        if self.measure == "t":
            return 1.0
        size = trade["size"] or 0.0
        return size if self.measure == "v" else trade["price"] * size

    def bars(self, symbol: str) -> list[Bar]:
        ordered = sorted(
            (t for t in self.trades.values() if t["symbol"] == symbol),
            key=lambda t: (t["ts"], t["seq"]),
        )
        found: list[Bar] = []
        day, index, held = (0, 0), 0, []
        for trade in ordered:
            if self.day(trade["ts"]) != day:
                if held:
                    found.append(self.bar(symbol, day, index, held, ordered, reached=False))
                day, index, held = self.day(trade["ts"]), 0, []
            held.append(trade)
            if math.fsum(self.adds(t) for t in held) >= self.threshold:
                found.append(self.bar(symbol, day, index, held, ordered, reached=True))
                index, held = index + 1, []
        if held:
            found.append(self.bar(symbol, day, index, held, ordered, reached=False))
        return found

    def bar(
        self, symbol: str, day: tuple[int, int], index: int, held: list[Bar], ordered: list[Bar],
        *, reached: bool,
    ) -> Bar:  # fmt: skip
        prices = [t["price"] for t in held]
        sized = [t for t in held if t["size"] is not None]
        volume = math.fsum(t["size"] for t in sized)
        notional = math.fsum(t["price"] * t["size"] for t in sized)
        until = held[-1]["ts"] if reached else day[1] - 1
        before = [t["seq"] for t in ordered[: ordered.index(held[-1]) + 1] if t["ts"] >= day[0]]
        amended = [s for name, ts, s in self.touched if name == symbol and day[0] <= ts <= until]
        return {
            "day": day[0], "index": index, "start": held[0]["ts"], "end": held[-1]["ts"],
            "open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1],
            "volume": volume, "vwap": notional / volume if volume else None, "count": len(held),
            "revision": max([*before, *amended]),
            "forming": not reached and day[1] > self.last[symbol],
        }  # fmt: skip


FIELDS = ("day", "index", "start", "end", "open", "high", "low", "close", "volume", "vwap", "count",
          "revision", "forming")  # fmt: skip


def shown(bar: Bar) -> Bar:
    bar = {**bar, "forming": bar["state"] == "forming"}
    return {name: bar[name] for name in FIELDS}


class Listener:
    """Keeps the last update of each bar, as a subscriber of the stream would."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, int, int], Bar] = {}

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
                    key = symbol, row["day"], row["index"]
                    before = self.bars.get(key)
                    assert before is None or before["revision"] <= row["revision"]
                    self.bars[key] = row

    def of(self, symbol: str) -> list[Bar]:
        mine = [bar for (name, _, _), bar in sorted(self.bars.items()) if name == symbol]
        return [shown(bar) for bar in mine if bar["count"]]


def play(plant: Plant, oracle: Oracle, step: str, what: Any) -> None:
    if step == "quote":
        ts = BASE + what[1] * HOUR
        submit(plant, "quotes", symbol=[what[0]], ts_event=[ts], bid_price=[1.0])
        oracle.see(what[0], ts)
        return
    if step == "ticks":
        symbol, ts, price, size = (list(column) for column in zip(*what, strict=True))
        receipt = submit(plant, symbol=symbol, ts_event=ts, price=price, size=size)
        for place, row in enumerate(zip(symbol, ts, price, size, strict=True)):
            seq = receipt.seq_first + place
            names = ("symbol", "ts", "price", "size")
            oracle.trades[seq] = dict(zip(names, row, strict=True), seq=seq)
            oracle.see(row[0], row[1])
        return
    if not oracle.trades:
        return
    roots = sorted(oracle.trades)
    root = roots[(what[0] if step == "correct" else what) % len(roots)]
    old = oracle.trades[root]
    if step == "cancel":
        seq = amend(plant, old["symbol"], root, None)
        del oracle.trades[root]
        oracle.touched.append((old["symbol"], old["ts"], seq))
        return
    changes = {"price": what[1] / 100, "size": what[2], "ts_event": BASE + what[3] * HOUR}
    seq = amend(plant, old["symbol"], root, changes)
    new = {"price": changes["price"], "size": what[2], "ts": changes["ts_event"], "seq": seq}
    oracle.touched += [(old["symbol"], ts, seq) for ts in (old["ts"], new["ts"])]
    oracle.see(old["symbol"], new["ts"])
    oracle.trades[root] = old | new


def compare(plant: Plant, grid: Grid, oracle: Oracle, listener: Listener) -> None:
    listener.hear()
    for symbol in SYMBOLS:
        wanted = oracle.bars(symbol)
        if not any(i.symbol == symbol for i in plant.registry):
            assert not wanted
            continue
        for bar in wanted:
            for start, end, seq in gap_touches(plant, symbol):
                if bar["start"] < end and start < bar["end"]:
                    bar["revision"] = max(bar["revision"], seq)
        instrument = plant.registry.resolve(symbol)
        found = plant.history.candles(instrument, grid, basis="trade").table.to_pylist()
        assert [shown(bar) for bar in found] == wanted
        assert listener.of(symbol) == wanted
        for bar in found:
            heard = listener.bars[symbol, bar["day"], bar["index"]]
            assert (heard["state"], heard["coverage"]) == (bar["state"], bar["coverage"])


@pytest.mark.timeout(300)
@settings(max_examples=14, deadline=None)
@given(steps=steps, kind=st.sampled_from(GRIDS), often=st.booleans())
def test_live_history_and_a_plain_loop_agree(
    steps: list, kind: tuple[str, str, str], often: bool
) -> None:
    grid = Grid(parse_interval(kind[0]), *kind[1:])
    oracle, listener = Oracle(*kind), Listener()
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
                    if often:
                        compare(plant, grid, oracle, listener)
                compare(plant, grid, oracle, listener)
