"""`WS /v1/ingest` over real sockets: numbers, order, durability, what is refused and how."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ingest_kit import Producer, batch, plant_and_server
from websockets.exceptions import ConnectionClosed

from plant_kit import NOW, Clock, trades
from stream_fakes import Served
from tickplant.formats.parsed import incoming_batch

SECOND = 10**9


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("shared")
    with plant_and_server(folder, ingest__frame_mb_max=1) as (_, served):
        yield served


def acks(producer: Producer, count: int) -> list[dict[str, Any]]:
    return [producer.hear() for _ in range(count)]


@pytest.mark.parametrize("subprotocol", [None, "msgpack", "arrow"])
def test_messages_are_acknowledged_in_order_and_stored_as_sent(
    tmp_path: Path, subprotocol: str | None
) -> None:
    with plant_and_server(tmp_path) as (plant, served):
        with Producer(served, subprotocol) as producer:
            first = producer.hear()
            assert (first["op"], first["window"]) == ("hello", 64)
            assert first["tables"][:2] == ["trades", "quotes"]
            for seq in range(5, 25):
                if subprotocol == "arrow":
                    producer.arrow(seq, batch(3, 3 * seq))
                else:
                    producer.rows(
                        seq, *({"symbol": "acme", "price": 3 * seq + n} for n in (0, 1, 2))
                    )
            heard = acks(producer, 20)
        assert [(one["op"], one["seq"], one["accepted"]) for one in heard] == [
            ("ack", seq, 3) for seq in range(5, 25)
        ]
        assert [one["seq_last"] - one["seq_first"] for one in heard] == [2] * 20
        stored = trades(plant, "ACME")
        assert [row["price"] for row in stored] == [float(n) for n in range(15, 75)]
        assert [row["seq"] for row in stored] == [
            seq for one in heard for seq in range(one["seq_first"], one["seq_last"] + 1)
        ]
        assert plant.feed_name(stored[0]["feed"]) == "push"


def test_a_bad_message_is_answered_under_its_number_and_closes_nothing(tmp_path: Path) -> None:
    with plant_and_server(tmp_path) as (plant, served), Producer(served) as producer:
        producer.hear()
        producer.rows(1, {"symbol": "ACME", "price": 1})
        producer.rows(2, {"symbol": "ACME", "price": 1}, table="nix")
        producer.say("rows", seq=3, table="trades")
        producer.say("rows", seq=4, table="trades", rows=[1, 2])
        producer.say("sell", seq=5)
        producer.say("alive")
        producer.say("alive", ts="yesterday")
        producer.say("hello", nix=1)
        producer.rows(6, {"symbol": "ACME", "price": -1}, {"symbol": "ACME", "price": 2})
        producer.say("ping", id="x")
        heard = acks(producer, 10)
        said = [(one.get("seq"), one.get("code", one["op"])) for one in heard]
        assert said == [
            (1, "ack"),
            (2, "bad_table"),
            (3, "bad_message"),
            (4, "bad_rows"),
            (5, "unknown_op"),
            (None, "no_feed"),
            (None, "bad_message"),
            (None, "bad_message"),
            (6, "ack"),
            (None, "pong"),
        ]
        assert "trades, quotes" in heard[1]["message"]
        rejected = heard[8]["rejected"]
        assert [(one["index"], one["reason"]) for one in rejected] == [(0, "price_not_positive")]
        assert [row["price"] for row in trades(plant, "ACME")] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("subprotocol", "frame", "code"),
    [
        (None, b"\x00", 1003),
        (None, "{", 1007),
        (None, '{"op":"rows","table":"trades","rows":[]}', 1007),
        (None, '{"op":"rows","seq":true,"table":"trades","rows":[]}', 1007),
        (None, '{"op":"hello","feed":""}', 1008),
        (None, '{"op":"hello","producer":"p","symbols":["A"]}', 1008),
        (None, '{"op":"hello","feed":"push"}', 1008),
        (None, '{"op":"hello","feed":"mine","start":"2100-01-01T00:00:00Z"}', 1008),
        ("msgpack", b"\xc1", 1007),
        ("arrow", b"ARROW", 1007),
        (None, "[" * 1_100_000, 1009),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection_after_the_answers_before_it(
    shared: Served, subprotocol: str | None, frame: str | bytes, code: int
) -> None:
    with Producer(shared, subprotocol) as producer:
        producer.hear()
        producer.rows(1, {"symbol": "ACME", "price": 1})
        if len(frame) > 1 << 20:
            assert producer.hear()["op"] == "ack"
        producer.socket.send(frame)
        if len(frame) <= 1 << 20:
            assert producer.hear()["op"] == "ack"
        with pytest.raises(ConnectionClosed) as closed:
            producer.hear()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


def test_strict_refuses_a_whole_message_and_a_bad_query_the_connection(tmp_path: Path) -> None:
    with plant_and_server(tmp_path) as (plant, served):
        with Producer(served, query="?strict=true") as producer:
            producer.hear()
            producer.rows(1, {"symbol": "ACME", "price": 1}, {"symbol": "ACME", "price": -1})
            producer.rows(2, {"symbol": "ACME", "price": 2})
            refused, taken = acks(producer, 2)
        assert (refused["op"], refused["code"], refused["seq"]) == ("error", "bad_rows", 1)
        assert refused["errors"][0]["loc"] == ["body", 1]
        assert (taken["op"], taken["accepted"]) == ("ack", 1)
        assert [row["price"] for row in trades(plant, "ACME")] == [2.0]
        with Producer(served, query="?strikt=1") as producer:
            with pytest.raises(ConnectionClosed) as closed:
                producer.hear()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, "strict" in closed.value.rcvd.reason) == (1008, True)


@pytest.mark.parametrize("subprotocol", [None, "msgpack", "arrow"])
def test_a_named_producer_may_send_again_what_was_not_acknowledged(
    tmp_path: Path, subprotocol: str | None
) -> None:
    def send(producer: Producer, seq: int) -> None:
        if subprotocol == "arrow":
            rows = incoming_batch("quotes", symbol=["ACME"] * 3, bid_price=[10.0 * seq] * 3)
            producer.arrow(seq, rows, "quotes")
        else:
            row = {"symbol": "ACME", "bid_price": 10.0 * seq}
            producer.rows(seq, row, {**row, "bid_price": "x"}, row, row, table="quotes")

    with plant_and_server(tmp_path) as (plant, served):
        for producer_name, seqs in (("a", (1, 2)), ("a", (2, 1, 3)), ("b", (1,))):
            with Producer(served, subprotocol) as producer:
                producer.greet(producer=producer_name)
                for seq in seqs:
                    send(producer, seq)
                heard = [(one["accepted"], one["duplicates"]) for one in acks(producer, len(seqs))]
            if len(seqs) == 3:
                assert heard == [(0, 3), (0, 3), (3, 0)]
            else:
                assert heard == [(3, 0)] * len(seqs)
        with Producer(served, subprotocol) as producer:  # nobody in particular
            producer.hear()
            send(producer, 1)
            assert producer.hear()["accepted"] == 3
        found = plant.history.quotes(plant.registry.resolve("ACME")).to_pylist()
        assert sorted(row["bid_price"] for row in found) == [
            10.0 * seq for seq in (1, 1, 1, 2, 3) for _ in range(3)
        ]


def test_foreign_pages_may_not_send(tmp_path: Path) -> None:
    with plant_and_server(tmp_path) as (_, served):
        headers = {
            "connection": "upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
            "origin": "http://evil.example",
        }
        answer = httpx.get(f"{served.url}/v1/ingest", headers=headers)
        assert answer.status_code == 403


def test_times_are_those_of_receipt_where_a_row_has_none(tmp_path: Path) -> None:
    clock = Clock(NOW)
    with plant_and_server(tmp_path, clock) as (plant, served), Producer(served) as producer:
        producer.hear()
        producer.rows(1, {"symbol": "ACME", "price": 1})
        producer.rows(2, {"symbol": "ACME", "price": 2, "ts_event": NOW - SECOND})
        acks(producer, 2)
        assert [row["ts_event"] for row in trades(plant, "ACME")] == [NOW - SECOND, NOW]
