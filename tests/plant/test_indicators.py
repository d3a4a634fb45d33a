"""Indicators of stored bars and events: the same values whatever range was asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_kit import NOW, Clock, amend, open_plant, submit
from tickplant.analytics.ask import parse_indicators
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.model.errors import InvalidParameter
from tickplant.plant.event_indicators import read_event_indicators
from tickplant.plant.indicators import Indicated, bar_keys, read_indicators
from tickplant.plant.plant import Plant
from tickplant.store.contract import AsOf, Cursor

SECOND = 10**9
DAY = 86_400 * SECOND
BASE = NOW - NOW % DAY - 2 * DAY
TRADES = 600


@pytest.fixture(scope="module")
def plant() -> Iterator[Plant]:
    """Two days of one symbol: 600 trades with holes, every fifth without a size, and quotes."""
    rng = np.random.default_rng(11)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_plant(Path(folder), Clock(), log__sync="none") as opened,
    ):
        times = BASE + np.sort(rng.integers(0, 2 * 86_400, TRADES)) * SECOND
        prices = 100 + np.cumsum(rng.integers(-5, 6, TRADES)) / 100
        sizes = [None if i % 5 == 0 else float(i % 7 + 1) for i in range(TRADES)]
        submit(opened, symbol=["A"] * TRADES, ts_event=times.tolist(), price=prices.tolist(),
               size=sizes)  # fmt: skip
        bids = [None if i % 4 == 0 else float(p) for i, p in enumerate(prices)]
        submit(opened, "quotes", symbol=["A"] * TRADES, ts_event=times.tolist(), bid_price=bids,
               ask_price=(prices + 0.5).tolist())  # fmt: skip
        yield opened


NAMES = "sma:5,ema:3:hl2,rsi:4,macd:2:5:3,bbands:4,atr:3,vwap,vwap:6,wma:3:volume"


def read(plant: Plant, interval: str, name: str = NAMES, **query: Any) -> Indicated:
    origin = {key: query.pop(key) for key in ("timezone", "day_start") if key in query}
    grid = Grid(parse_interval(interval), **origin)
    chosen = parse_indicators(name)
    return read_indicators(plant.history, plant.registry.resolve("A"), grid, chosen, **query)


def by_start(found: Indicated) -> dict[int, list[Any]]:
    """Return the values of each bar by its start; NaN as text, which equals itself."""
    rows = np.array(list(found.columns.values())).T.tolist()
    starts = bar_keys(found.candles.table).tolist()
    return {
        start: ["NaN" if value != value else value for value in row]  # noqa: PLR0124
        for start, row in zip(starts, rows, strict=True)
    }


NEW_YORK = {"timezone": "America/New_York", "day_start": "17:00"}
KINDS = [("7m", "none", {}), ("11m", "null", NEW_YORK), ("13m", "previous", {}),
         ("1h", "previous", NEW_YORK), ("5h", "none", NEW_YORK),
         ("4t", "none", NEW_YORK)]  # fmt: skip


def before_all(row: list[Any]) -> list[Any]:
    return [0.0 if value == 0 else "NaN" for value in row]


@pytest.fixture(scope="module")
def whole_of(plant: Plant) -> Callable[[int], dict[int, list[Any]]]:
    found = [by_start(read(plant, interval, fill=fill, **at)) for interval, fill, at in KINDS]
    return lambda kind: found[kind]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, len(KINDS) - 1), st.integers(0, 2 * 86_400), st.integers(1, 9))
def test_a_value_does_not_depend_on_start_end_and_limit(
    plant: Plant, whole_of: Any, kind: int, second: int, limit: int
) -> None:
    interval, fill, origin = KINDS[kind]
    whole, at = whole_of(kind), BASE + second * SECOND
    for query in (
        {"start": at, "limit": limit},
        {"end": at, "limit": limit},
        {"limit": limit},
        {"start": at - 3_600 * SECOND, "end": at},
    ):
        part = by_start(read(plant, interval, fill=fill, **origin, **query))
        # A range that begins before the first event is filled there, too, with nothing.
        assert part == {start: whole.get(start, before_all(part[start])) for start in part}
    assert len(by_start(read(plant, interval, fill=fill, limit=limit, **origin))) == limit


@pytest.mark.parametrize("interval", ["3m", "7m"])
def test_null_bars_leave_the_values_of_the_others_as_they_are(plant: Plant, interval: str) -> None:
    alone = by_start(read(plant, interval))
    filled = by_start(read(plant, interval, fill="null"))
    assert len(filled) > len(alone)
    assert {start: filled[start] for start in alone} == alone
    added = [row for start, row in filled.items() if start not in alone]
    assert all(value == "NaN" for row in added for value in row)


def test_flat_bars_count(plant: Plant) -> None:
    found = read(plant, "7m", "sma:3", fill="previous")
    closes = found.candles.table["close"].to_pylist()
    assert 0 in found.candles.table["count"].to_pylist()
    for place in range(2, len(closes)):
        mean = (closes[place - 2] + closes[place - 1] + closes[place]) / 3
        assert found.columns["sma"][place] == pytest.approx(mean, rel=1e-14)


@pytest.mark.parametrize(
    "origin", [{}, {"timezone": "Asia/Kolkata", "day_start": "09:15"}], ids=["utc", "mumbai"]
)
def test_the_average_of_a_day_ends_as_that_of_its_daily_bar(
    plant: Plant, origin: dict[str, str]
) -> None:
    days = read(plant, "1d", "sma:2", **origin).candles.table.to_pylist()
    minutes = read(plant, "7m", "vwap", **origin)
    starts = minutes.candles.table["start"].to_numpy()
    assert len(days) >= 2
    for day in days:
        last = np.flatnonzero((starts >= day["start"]) & (starts < day["end"]))[-1]
        assert minutes.columns["vwap"][last] == pytest.approx(day["vwap"], rel=1e-14)
        assert minutes.columns["volume"][last] >= 0


def test_as_of_gives_the_values_that_were_known(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(), log__sync="none") as plant:
        for minute in range(9):
            submit(plant, symbol=["A"], ts_event=[BASE + minute * 60 * SECOND],
                   price=[float(minute)], size=[1.0])  # fmt: skip
        before = plant.seq_last
        known = by_start(read(plant, "1m", "sma:3,vwap:2,ema:2"))
        amend(plant, "A", 4, {"price": 50.0})
        submit(plant, symbol=["A"], ts_event=[BASE + 1], price=[70.0], size=[3.0])
        assert by_start(read(plant, "1m", "sma:3,vwap:2,ema:2")) != known
        then = read(plant, "1m", "sma:3,vwap:2,ema:2", as_of=AsOf(seq_max=before))
        assert by_start(then) == known


def test_bars_of_quotes_have_no_volume_to_weigh_with(plant: Plant) -> None:
    for name in ("vwap", "sma:5:volume"):
        with pytest.raises(InvalidParameter, match="with basis bid"):
            read(plant, "1h", name, basis="bid")
    found = read(plant, "1h", "sma:2:hl2", basis="mid", limit=3)
    assert not np.isnan(found.columns["sma"]).any()


def events(plant: Plant, name: str, **query: Any) -> dict[int, tuple[float, ...]]:
    instrument = plant.registry.resolve("A")
    found = read_event_indicators(plant.history, instrument, parse_indicators(name), **query)
    values = np.nan_to_num(np.array(list(found.columns.values())), nan=-1.0).T.tolist()
    return dict(zip(found.rows["seq"].to_pylist(), map(tuple, values), strict=True))


def test_the_five_point_average_is_that_of_the_last_five_trades(plant: Plant) -> None:
    rows = plant.history.trades(plant.registry.resolve("A"))
    prices, seqs = rows["price"].to_pylist(), rows["seq"].to_pylist()
    found = events(plant, "sma:5")
    assert list(found) == seqs
    for place, seq in enumerate(seqs):
        price, mean = found[seq]
        assert price == prices[place]
        true = -1.0 if place < 4 else sum(prices[place - 4 : place + 1]) / 5
        assert mean == pytest.approx(true, rel=1e-14)


def test_a_trade_sent_again_counts_once_and_a_cancelled_one_not_at_all(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(), log__sync="none") as plant:
        for place, price in enumerate([1.0, 2.0, 4.0, 4.0, 8.0]):
            submit(plant, symbol=["A"], ts_event=[BASE + place // 2], price=[price],
                   id=[str(place % 4)])  # fmt: skip
        assert {seq: row[1] for seq, row in events(plant, "sma:2").items()} == {
            1: -1.0, 2: 1.5, 3: 3.0, 4: 4.0,
        }  # fmt: skip
        amend(plant, "A", 2, None)
        assert {seq: row[1] for seq, row in events(plant, "sma:2").items()} == {
            1: -1.0, 3: 2.5, 4: 4.0,
        }  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["trade", "mid", "bid"]), st.integers(0, 2 * 86_400), st.integers(1, 60))
def test_a_value_over_events_does_not_depend_on_where_the_reading_begins(
    plant: Plant, basis: str, second: int, limit: int
) -> None:
    name, at = "sma:5,ema:3,rsi:2,macd:2:3:2,bbands:3,wma:4", BASE + second * SECOND
    whole = events(plant, name, basis=basis)
    assert len(whole) == TRADES
    place = plant.history.trades(plant.registry.resolve("A"), limit=limit)
    last = Cursor(place["ts_event"][-1].as_py(), place["seq"][-1].as_py())
    for query in (
        {"start": at, "limit": limit},
        {"end": at, "limit": limit},
        {"start": at},
        {"after": last, "limit": limit},
    ):
        part = events(plant, name, basis=basis, **query)
        assert part == {seq: whole[seq] for seq in part}


REFUSED = [
    ("atr", {}, "name: atr is not allowed; allowed is sma, ema, wma, rsi, macd, bbands over"),
    ("vwap:5", {}, "name: vwap"),
    ("sma:5:hl2", {}, "source: hl2"),
    ("sma", {"basis": "last"}, "basis: last"),
    ("sma", {"limit": 10_001}, "limit: 10001 is not allowed; allowed is at most 10000 without"),
]


@pytest.mark.parametrize(("name", "query", "said"), REFUSED)
def test_what_events_cannot_give_is_refused(
    plant: Plant, name: str, query: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidParameter, match=said):
        events(plant, name, **query)


def test_a_trade_that_must_not_update_the_last_price_is_in_no_average(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(), log__sync="none") as plant:
        submit(plant, symbol=["A"] * 5, venue=["XNYS"] * 5, ts_event=[BASE + n for n in range(5)],
               price=[1.0, 2.0, 100.0, 4.0, 8.0], size=[1.0] * 5,
               conditions=["@", "@", "W", "@", "@"])  # fmt: skip
        whole = {1: (1.0, -1.0), 2: (2.0, 1.5), 3: (100.0, -1.0), 4: (4.0, 3.0), 5: (8.0, 6.0)}
        assert events(plant, "sma:2") == whole
        assert events(plant, "sma:2", limit=2) == {seq: whole[seq] for seq in (4, 5)}
        assert events(plant, "sma:2", after=Cursor(BASE + 2, 3)) == {s: whole[s] for s in (4, 5)}
