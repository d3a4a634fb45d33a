"""Candles over the stream: live, from a time, from a number, by their default basis."""

from __future__ import annotations

import threading
from typing import Any

from test_slow import drain, subscription
from test_stream import Peer, peers

from stream_fakes import BASE, FakePlant

MINUTE = 60 * 10**9
START = BASE - BASE % MINUTE


def shown(events: list[dict]) -> list[tuple]:
    return [
        (e["symbol"], (e["start"][14:16]), e["close"], e["count"], e["revision"], e.get("state"))
        for e in events
    ]


async def test_a_bar_forms_and_closes() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer: Peer = await join()
        answer = await peer.subscribe("candles", "EURUSD", interval="1m", basis="trade")
        assert (answer["interval"], answer["basis"]) == ("1m", "trade")
        plant.trade(1.0, ts=START)
        [event] = await peer.events(1)
        assert event == {
            "symbol": "EURUSD",
            "venue": "SYNTH",
            "interval": "1m",
            "basis": "trade",
            "timezone": "UTC",
            "day_start": "00:00",
            "start": "2023-11-14T22:13:00Z",
            "end": "2023-11-14T22:14:00Z",
            "open": 1.0,
            "high": 1.0,
            "low": 1.0,
            "close": 1.0,
            "volume": 0.0,
            "vwap": None,
            "count": 1,
            "revision": 1,
            "state": "forming",
            "coverage": 1.0,
        }
        plant.trade(2.0, ts=START + 1)
        plant.trade(9.0, ts=START + MINUTE)
        assert shown(await peer.events(3)) == [
            ("EURUSD", "13", 2.0, 2, 2, "forming"),
            ("EURUSD", "13", 2.0, 2, 2, "complete"),
            ("EURUSD", "14", 9.0, 1, 3, "forming"),
        ]
        await peer.ask(op="unsubscribe", id=1)
        assert plant.watches == []


async def test_bars_of_an_exchanges_extended_hours_then_none_behind_them() -> None:
    plant = FakePlant()
    hour = 60 * MINUTE
    asked = {"interval": "1h", "calendar": "nasdaq", "session": "extended"}
    plant.trade(1.0, ts=START)  # 17:13 in New York
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("candles", "EURUSD", **asked, **{"from": "2023-11-14T00:00:00Z"})
        [bar], _ = await peer.until_live()
        origin = {name: bar[name] for name in ("timezone", "day_start", "calendar", "session")}
        assert origin == {
            "timezone": "America/New_York",
            "day_start": "00:00",
            "calendar": "XNYS",
            "session": "extended",
        }
        assert (bar["start"], bar["end"]) == ("2023-11-14T22:00:00Z", "2023-11-14T23:00:00Z")
        plant.trade(2.0, ts=START + 2 * hour)
        plant.trade(9.0, ts=START + 3 * hour)  # 20:13, when it is over
        plant.trade(3.0, ts=START + 2 * hour + 1)
        told = [(e["start"][11:13], e["close"], e.get("state")) for e in await peer.events(4)]
        assert told == [
            ("22", 1.0, "partial"),
            ("00", 2.0, "forming"),
            ("00", 2.0, "complete"),
            ("00", 3.0, "complete"),
        ]


async def test_history_comes_first_from_a_time_then_live() -> None:
    plant = FakePlant()
    for minute in range(5):
        plant.trade(float(minute), ts=START + minute * MINUTE)
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("candles", "EURUSD", interval="1m", **{"from": "2023-11-14T22:15:00Z"})
        bars, live = await peer.until_live()
        assert shown(bars) == [
            ("EURUSD", "15", 2.0, 1, 3, "complete"),
            ("EURUSD", "16", 3.0, 1, 4, "complete"),
            ("EURUSD", "17", 4.0, 1, 5, "forming"),
        ]
        assert live["seq"] == 5
        plant.trade(7.0, ts=START + 4 * MINUTE + 1)
        assert shown(await peer.events(1)) == [("EURUSD", "17", 7.0, 2, 6, "forming")]


async def test_from_a_number_brings_the_bars_that_changed_or_closed_since() -> None:
    plant = FakePlant()
    for minute in range(5):
        plant.trade(float(minute), ts=START + minute * MINUTE)
    plant.trade(50.0, ts=START + 2 * MINUTE + 1)  # late, number 6
    plant.trade(1.0, ts=START, instrument=2)
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("candles", "*", interval="1m", **{"from": 5})
        bars, _ = await peer.until_live()
        assert shown(bars) == [
            ("EURUSD", "15", 50.0, 2, 6, "complete"),
            ("BTC-USDT", "13", 1.0, 1, 7, "forming"),
        ]


async def test_from_a_number_brings_the_bar_that_closed_behind_a_late_row() -> None:
    plant = FakePlant()
    for minute in range(3):
        plant.trade(float(minute), ts=START + minute * MINUTE)
    plant.trade(50.0, ts=START + 1)  # late, number 4
    plant.trade(7.0, ts=START + 5 * MINUTE)  # closes the bar of minute 15
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("candles", "EURUSD", interval="1m", **{"from": 3})
        bars, _ = await peer.until_live()
        assert shown(bars) == [
            ("EURUSD", "13", 50.0, 2, 4, "complete"),
            ("EURUSD", "15", 2.0, 1, 3, "complete"),
            ("EURUSD", "18", 7.0, 1, 5, "forming"),
        ]


async def test_from_a_number_quotes_close_the_bars_of_trades() -> None:
    plant = FakePlant()
    plant.trade(1.0, ts=START)
    plant.quote(1.0, ts=START + MINUTE)
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("candles", "EURUSD", interval="1m", **{"from": 1})
        bars, _ = await peer.until_live()
        assert shown(bars) == [("EURUSD", "13", 1.0, 1, 1, "complete")]


async def test_without_a_basis_trades_win_and_quotes_serve_where_there_are_none() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("candles", "*", interval="1m")
        plant.quote(1.0, ts=START)
        plant.trade(5.0, ts=START, instrument=2)
        plant.quote(2.0, ts=START, instrument=2)
        plant.quote(3.0, ts=START + 1)
        events = await peer.events(3)
        assert [(e["symbol"], e["basis"], e["close"]) for e in events] == [
            ("EURUSD", "mid", 1.5),
            ("BTC-USDT", "trade", 5.0),
            ("EURUSD", "mid", 3.5),
        ]


async def test_a_snapshot_is_the_newest_bar_of_each() -> None:
    plant = FakePlant()
    plant.trade(1.0, ts=START)
    plant.trade(2.0, ts=START + MINUTE)
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("candles", "*", interval="1m", snapshot=True)
        assert shown(await peer.events(1)) == [("EURUSD", "14", 2.0, 1, 2, "forming")]


async def test_the_default_basis_is_not_looked_up_on_the_event_loop() -> None:
    plant = FakePlant()
    plant.trade(1.0, ts=START)
    plant.quote(1.0, ts=START, instrument=2)
    loop_thread, asked = threading.get_ident(), []
    span = plant.store.span

    def watched_span(*what: Any) -> Any:
        asked.append(threading.get_ident())
        return span(*what)

    one = await subscription(plant, "candles", interval="1m")
    plant.store.span = watched_span  # type: ignore[method-assign]
    plant.quote(2.0, ts=START + 1)
    plant.quote(3.0, ts=START + 1, instrument=2)
    [data] = drain(one)
    assert [(e["symbol"], e["basis"]) for e in data["events"]] == [("BTC-USDT", "mid")]
    assert loop_thread not in asked


async def test_a_first_trade_that_the_ring_lost_still_changes_the_default_basis() -> None:
    plant = FakePlant(ring_rows=1_000)
    plant.quote(1.0, ts=START)
    one = await subscription(plant, "candles", interval="1m")
    drain(one)
    plant.trade(5.0, ts=START)
    for second in range(100):
        plant.quote(float(second), ts=START + second)
    drain(one)
    plant.quote(9.0, ts=START + 200)
    assert [e for message in drain(one) for e in message.get("events", [])] == []
