"""Producers as feeds: what `/v1/feeds` shows, what the ledger says when they go and come back."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ingest_kit import WAIT_S, Producer, plant_and_server
from websockets.exceptions import ConnectionClosed

from plant_kit import NOW, Clock
from tickplant.client import Client
from tickplant.plant.plant import Plant

SECOND = 10**9


def shown(plant: Plant, name: str = "mine") -> dict[str, Any]:
    (found,) = (feed for feed in plant.feeds() if feed["id"] == name)
    return found


def gaps(plant: Plant, url: str) -> list[tuple[Any, ...]]:
    plant.drain()
    with Client(url) as client:
        return [
            (gap["cause"], gap["start"][14:19], (gap["end"] or "")[14:19], gap["status"])
            for gap in client.gaps(feed="mine")
        ]


def row(second: int, **fields: Any) -> dict[str, Any]:
    return {"symbol": "ACME", "ts_event": NOW + second * SECOND, "price": 1 + second, **fields}


def until_gone(plant: Plant) -> None:
    """Wait until the plant has noticed that the producer is gone."""
    while shown(plant)["state"] == "connected":
        plant.drain()


def test_a_feed_is_shown_and_covers_what_it_has_sent(tmp_path: Path) -> None:
    clock = Clock(NOW)
    with plant_and_server(tmp_path, clock) as (plant, served), Client(served.url) as client:
        with Producer(served) as producer:
            producer.greet(feed="mine", venue="x", symbols=["ACME", "Y:Other"])
            producer.rows(1, row(0), row(1))
            assert producer.hear()["op"] == "ack"
            clock.now = NOW + 120 * SECOND
            producer.say("alive", ts=NOW + 110 * SECOND)
            producer.say("ping")
            assert producer.hear()["op"] == "pong"
            plant.drain()
            found = shown(plant)
            assert (found["kind"], found["state"], found["instruments"]) == ("push", "connected", 2)
            assert (found["venue"], found["events"]) == ("X", 2)
            assert found["watermark"] == "2023-11-14T22:15:10Z"
            assert client.feeds()["feeds"][-1]["id"] == "mine"
            bars = list(
                client.candles("X:ACME", "10s", start=NOW + 10 * SECOND, limit=3, fill="previous")
            )
            assert [bar["state"] for bar in bars] == ["quiet"] * 3
            producer.say("end")
            assert producer.hear()["op"] == "ended"
        assert (shown(plant)["state"], gaps(plant, served.url)) == ("finished", [])


def test_a_lost_connection_is_a_gap_until_the_feed_is_back(tmp_path: Path) -> None:
    clock = Clock(NOW + 60 * SECOND)
    with plant_and_server(tmp_path, clock) as (plant, served):
        with Producer(served) as producer:
            producer.greet(feed="mine")
            producer.rows(1, row(0), row(10))
            producer.hear()
            producer.cut()
            until_gone(plant)
            assert gaps(plant, served.url) == [("disconnect", "13:30", "", "open")]
            assert shown(plant)["error"] == "its connection ended"
        with Producer(served) as producer:
            producer.greet(feed="mine")
            producer.rows(1, row(30))
            producer.hear()
            assert gaps(plant, served.url) == [("disconnect", "13:30", "13:50", "open")]
            assert (shown(plant)["state"], shown(plant)["restarts"]) == ("connected", 1)


def test_a_feed_that_resumes_has_missed_nothing(tmp_path: Path) -> None:
    clock = Clock(NOW + 60 * SECOND)
    with ExitStack() as kept:
        with plant_and_server(tmp_path, clock) as (plant, served):
            with Producer(served) as producer:
                producer.greet(feed="mine")
                producer.rows(1, row(0), row(10))
                producer.hear()
                producer.cut()
            until_gone(plant)
            resume(plant, kept.enter_context(Producer(served)), 30)
            assert gaps(plant, served.url) == [("disconnect", "13:30", "13:30", "repaired")]
        # The plant went first, and wrote down how far the feed had come.
        with plant_and_server(tmp_path, clock) as (plant, served):
            resume(plant, kept.enter_context(Producer(served)), 50)
            assert len(gaps(plant, served.url)) == 1


def resume(plant: Plant, producer: Producer, second: int) -> None:
    producer.greet(feed="mine", resume=True)
    producer.rows(second, row(second))
    producer.hear()


def test_a_hole_that_a_feed_knows_of_is_an_entry_of_the_ledger(tmp_path: Path) -> None:
    clock = Clock(NOW + 60 * SECOND)
    with plant_and_server(tmp_path, clock) as (plant, served), Producer(served) as producer:
        producer.greet(feed="mine")
        producer.rows(1, row(0), row(40))
        producer.say("hole", start=NOW + 10 * SECOND, end=NOW + 20 * SECOND, detail="numbers")
        producer.say("hole", start=NOW + 20 * SECOND, end=NOW + 20 * SECOND)
        assert [producer.hear()["op"] for _ in range(2)] == ["ack", "error"]
        assert gaps(plant, served.url) == [("sequence", "13:30", "13:40", "open")]


def test_a_feed_belongs_to_one_producer_at_a_time(tmp_path: Path) -> None:
    with plant_and_server(tmp_path) as (plant, served):
        with Producer(served) as first, Producer(served) as other, Producer(served) as again:
            first.greet(feed="mine", producer="me")
            other.hear()
            other.say("hello", feed="mine", producer="you")
            with pytest.raises(ConnectionClosed, match="another producer"):
                other.hear()
            again.greet(feed="mine", producer="me")
            with pytest.raises(ConnectionClosed, match="new connection"):
                first.hear()
            assert (shown(plant)["state"], shown(plant)["restarts"]) == ("connected", 1)
        until_gone(plant)
        with Producer(served) as later:
            later.greet(feed="mine", producer="you")


def test_a_feed_that_falls_silent_after_heartbeats_has_stalled(tmp_path: Path) -> None:
    clock = Clock(NOW)
    settings = {"stream__heartbeat_s": 0.1, "coverage__stall_s": 30}
    with (
        plant_and_server(tmp_path, clock, **settings) as (plant, served),
        Producer(served) as producer,
    ):
        producer.greet(feed="mine")
        producer.rows(1, row(-5))
        producer.say("alive", ts=NOW)
        producer.hear()
        clock.now += 60 * SECOND
        while shown(plant)["state"] == "connected":
            producer.socket.recv(WAIT_S)  # a heartbeat: the watch has looked
        assert gaps(plant, served.url) == [("stall", "13:20", "", "open")]
        producer.say("alive")
        producer.say("ping")
        producer.hear()
        assert gaps(plant, served.url) == [("stall", "13:20", "14:20", "open")]


def test_what_was_sent_before_the_connection_ended_is_taken(tmp_path: Path) -> None:
    with plant_and_server(tmp_path) as (plant, served):
        for turn in range(5):
            with Producer(served) as producer:
                producer.greet(feed="mine", producer="me")
                for seq in range(40):
                    producer.rows(seq, row(-60, key=f"{turn}-{seq}"))
                producer.say("end")
            while shown(plant)["state"] == "connected":
                plant.drain()
            assert (shown(plant)["state"], shown(plant)["events"]) == ("finished", 40 * (turn + 1))
        assert gaps(plant, served.url) == []
