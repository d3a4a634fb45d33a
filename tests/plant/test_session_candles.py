"""Bars of exchange sessions, live, resumed, from history and by an oracle, are the same bars.

Hong Kong trades from 09:30 to 12:00 and from 13:00 to 16:00 (UTC+8); the oracle knows no more.
"""

from __future__ import annotations

import logging
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plant_kit import Clock, amend, open_plant, read_out, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.gateway.stream.protocol import JSON
from tickplant.gateway.stream.replay import Source
from tickplant.gateway.stream.replay_bars import CandleQuery, ChangedBarReader
from tickplant.model.errors import InvalidParameter
from tickplant.model.times import parse_time
from tickplant.plant.plant import Plant
from tickplant.plant.published import CANDLES, CandleKey

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
FRIDAY = 1_699_574_400 * 10**9  # 2023-11-10T00:00Z, which is 08:00 in Hong Kong
OPEN = [(90 * MINUTE, 4 * HOUR), (5 * HOUR, 8 * HOUR)]
FIELDS = ("open", "high", "low", "close", "count", "revision")

LUNCH = FRIDAY + 4 * HOUR

Bars = dict[int, tuple[Any, ...]]


def grid_of(interval: str, calendar: str = "XHKG", session: str | None = None) -> Grid:
    return Grid.of(parse_interval(interval), calendar=calendar, session=session)


def start_of(t: int, interval: str) -> int | None:
    """Start of the bar that an event counts in, from the hours of Hong Kong alone."""
    day = t // (24 * HOUR) * 24 * HOUR
    date = datetime.fromtimestamp(day // 10**9, UTC)
    if date.weekday() > 4:
        return None
    inside = [day + opened for opened, closed in OPEN if day + opened <= t < day + closed]
    if not inside:
        return None
    if interval == "1h":
        return inside[0] + (t - inside[0]) // HOUR * HOUR
    if interval == "1w":
        date -= timedelta(days=date.weekday())
    return int(date.timestamp()) * 10**9 + OPEN[0][0]


# From Friday's open over the week-end to Tuesday's afternoon, at and around edges.
times = st.builds(
    lambda day, edge, off: FRIDAY + day * 24 * HOUR + edge * MINUTE // 2 + off,
    st.sampled_from([0, 0, 2, 3, 4]),
    st.sampled_from([0, 180, 200, 300, 479, 480, 500, 599, 600, 700, 959, 960, 1_100]),
    st.sampled_from([0, -1, 1]),
)
trade = st.tuples(st.just("trade"), times, st.integers(1, 9))
moves = st.one_of(
    trade,
    trade,
    trade,
    st.tuples(st.just("quote"), times),
    st.tuples(st.just("cancel"), st.integers(0, 30)),
    st.tuples(st.just("move"), st.integers(0, 30), times),
    st.tuples(st.just("archive")),
    st.tuples(st.just("resume")),
)


class Told:
    """What a subscriber has been told of the bars: the last of each, without those emptied."""

    def __init__(self) -> None:
        self.bars: Bars = {}

    def take(self, bar: dict[str, Any], start: int) -> None:
        self.bars[start] = tuple(bar[name] for name in FIELDS)
        if not bar["count"]:
            del self.bars[start]


class Logged(logging.Handler):
    """Keeps what went wrong: a plant whose candles fail logs it and begins anew."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


class Market:
    """A plant, who listens to it, and its trades as they should stand."""

    def __init__(self, plant: Plant, interval: str) -> None:
        self.plant, self.interval = plant, interval
        self.grid = grid_of(interval)
        self.live, self.resumed = Told(), Told()
        self.trades: dict[int, tuple[int, int, float]] = {}  # by first seq: ts, seq, price
        self.touched: dict[int, int] = {}
        self.after = 0
        self.logged = Logged()
        logging.getLogger("tickplant").addHandler(self.logged)
        plant.watch_candles(self.grid, "trade")
        cursor = plant.hub.attach(plant.hub.seq)
        assert cursor is not None
        self.cursor = cursor

    def make(self, move: tuple[Any, ...]) -> None:
        match move:
            case "trade", ts, price:
                receipt = submit(self.plant, symbol=["A"], ts_event=[ts], price=[float(price)])
                self.stand(receipt.seq_first, ts, receipt.seq_first, float(price))
            case "quote", ts:
                submit(self.plant, "quotes", symbol=["A"], ts_event=[ts], bid_price=[1.0])
            case "cancel", place if self.trades:
                first = list(self.trades)[place % len(self.trades)]
                seq = amend(self.plant, "A", first, None)
                self.touch(self.trades.pop(first)[0], seq)
            case "move", place, ts if self.trades:
                first = list(self.trades)[place % len(self.trades)]
                old, _, price = self.trades[first]
                seq = amend(self.plant, "A", first, {"ts_event": ts})
                self.touch(old, seq)
                self.stand(first, ts, seq, price)
            case ("archive",):
                self.plant.store.checkpoint(self.plant.catalog.encode())
            case ("resume",):
                self.resume()

    def stand(self, first: int, ts: int, seq: int, price: float) -> None:
        self.trades[first] = ts, seq, price
        self.touch(ts, seq)

    def touch(self, ts: int, seq: int) -> None:
        start = start_of(ts, self.interval)
        if start is not None:
            self.touched[start] = seq

    def resume(self) -> None:
        reader = ChangedBarReader(
            Source(self.plant.history, JSON), CandleQuery(self.grid, "trade"),
            list(self.plant.registry), self.after, self.plant.seq_last, None,
        )  # fmt: skip
        for event in read_out(reader):
            assert (event["calendar"], event["session"]) == ("XHKG", "regular")
            self.resumed.take(event, parse_time(event["start"]))
        self.after = self.plant.seq_last

    def hear(self) -> None:
        self.plant.drain()
        while entries := self.cursor.take(10_000):
            for entry in entries:
                if entry.channel == CANDLES:
                    for row in entry.rows.to_pylist():
                        self.live.take(row, row["start"])

    def wanted(self) -> Bars:
        bars: dict[int, list[tuple[int, int, float]]] = {}
        for trade in self.trades.values():
            start = start_of(trade[0], self.interval)
            if start is not None:
                bars.setdefault(start, []).append(trade)
        found = {}
        for start in sorted(bars):
            prices = [price for _, _, price in sorted(bars[start])]
            found[start] = (prices[0], max(prices), min(prices), prices[-1], len(prices),
                            self.touched[start])  # fmt: skip
        return found

    def stored(self) -> Bars:
        if not any(True for _ in self.plant.registry):
            return {}
        instrument = self.plant.registry.resolve("A")
        table = self.plant.history.candles(instrument, self.grid, basis="trade").table
        return {bar["start"]: tuple(bar[n] for n in FIELDS) for bar in table.to_pylist()}


@pytest.mark.timeout(120)
@settings(max_examples=20, deadline=None)
@example([("trade", LUNCH + HOUR, 2), ("trade", LUNCH, 7), ("cancel", 1), ("resume",)], "1d")
@given(st.lists(moves, min_size=6, max_size=25), st.sampled_from(["1h", "1d", "1w"]))
def test_live_resumed_history_and_oracle_agree(made: list[tuple[Any, ...]], interval: str) -> None:
    clock = Clock(FRIDAY + 5 * 24 * HOUR)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_plant(Path(folder), clock, log__sync="none") as plant,
    ):
        market = Market(plant, interval)
        for move in [*made, ("resume",)]:
            market.make(move)
        market.hear()
        logging.getLogger("tickplant").removeHandler(market.logged)
        assert market.logged.said == []
        wanted = market.wanted()
        assert market.stored() == wanted
        assert market.resumed.bars == wanted
        assert market.live.bars == wanted


def test_a_bar_closes_with_the_session_and_not_with_the_next_one(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(FRIDAY + 5 * 24 * HOUR)) as plant:
        market = Market(plant, "1h")
        last = FRIDAY + 8 * HOUR - MINUTE  # a minute before the close
        states = []
        for ts in (last, FRIDAY + 8 * HOUR, FRIDAY + 9 * HOUR, FRIDAY + 3 * 24 * HOUR + 2 * HOUR):
            submit(plant, "quotes", symbol=["A"], ts_event=[ts], bid_price=[1.0])
            submit(plant, symbol=["A"], ts_event=[ts], price=[1.0])
            plant.drain()
            entries = [e for e in market.cursor.take(100) if e.channel == CANDLES]
            states.append([(r["start"], r["end"]) for e in entries for r in e.rows.to_pylist()])
        bar = FRIDAY + 7 * HOUR, FRIDAY + 8 * HOUR
        monday = FRIDAY + 3 * 24 * HOUR + 90 * MINUTE
        # Formed; closed by the first quote after the close; nothing; and a bar of Monday.
        assert states == [[bar], [bar], [], [(monday, monday + HOUR)]]


def test_sessions_of_one_calendar_are_apart_in_the_hub(tmp_path: Path) -> None:
    grids = [grid_of("1d", "XNYS", session) for session in ("regular", "extended", "all")]
    keys = {CandleKey.of(grid, "trade") for grid in [*grids, Grid(parse_interval("1d"))]}
    assert len(keys) == 4
    with open_plant(tmp_path, Clock(FRIDAY + 5 * 24 * HOUR)) as plant:
        for grid in grids:
            plant.watch_candles(grid, "trade")
        cursor = plant.hub.attach(plant.hub.seq)
        assert cursor is not None
        # 07:00 in New York: before the opening.
        submit(plant, symbol=["A"], ts_event=[FRIDAY + 12 * HOUR], price=[1.0])
        plant.drain()
        told = {e.key.session for e in cursor.take(100) if e.channel == CANDLES and e.key}
        assert told == {"extended", "all"}


def test_bars_are_filled_from_session_to_session(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(FRIDAY + 5 * 24 * HOUR)) as plant:
        times = [FRIDAY + 8 * HOUR - 1, FRIDAY + 3 * 24 * HOUR + 5 * HOUR]
        submit(plant, symbol=["A", "A"], ts_event=times, price=[1.0, 2.0])
        instrument = plant.registry.resolve("A")
        grid = grid_of("30m")
        monday = FRIDAY + 3 * 24 * HOUR
        bars = [FRIDAY + 450 * MINUTE, *(monday + m * MINUTE for m in (90, 120, 150, 180, 210)),
                monday + 300 * MINUTE]  # fmt: skip
        for limit in (None, 3, 7, 100):
            found = plant.history.candles(instrument, grid, fill="previous", limit=limit).table
            assert found["start"].to_pylist() == bars[-7 if limit is None else -limit :]
        assert found["close"].to_pylist() == [1.0] * 6 + [2.0]


def test_history_does_not_guess_sessions_that_are_not_known(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(FRIDAY)) as plant:
        old = parse_time("1996-06-03T06:00:00Z")
        submit(plant, symbol=["A", "A"], ts_event=[old, FRIDAY - HOUR * 18], price=[1.0, 2.0])
        instrument = plant.registry.resolve("A")
        read, grid = plant.history.candles, grid_of("1d", "XBOM")
        for query in ({}, {"start": old}, {"start": old, "limit": 1}, {"end": old + HOUR}):
            with pytest.raises(InvalidParameter, match="known from 1997-01-01 to"):
                read(instrument, grid, **query)
        for query in ({"limit": 1}, {"start": old + 5 * 366 * 24 * HOUR}):
            assert read(instrument, grid, **query).table["close"].to_pylist() == [2.0]
        assert read(instrument, grid_of("1d", "XBOM", "all")).table.num_rows == 2


@pytest.mark.timeout(20)
def test_filling_up_to_a_time_that_is_not_known_is_refused_at_once(tmp_path: Path) -> None:
    later = parse_time("2060-01-02T06:00:00Z")
    with open_plant(tmp_path, Clock(later)) as plant:
        submit(plant, symbol=["A", "A"], ts_event=[FRIDAY, later - 1], price=[1.0, 2.0])
        instrument = plant.registry.resolve("A")
        for limit in (None, 5):
            with pytest.raises(InvalidParameter, match="to 2049-12-31"):
                plant.history.candles(instrument, grid_of("1s"), fill="null", limit=limit)
