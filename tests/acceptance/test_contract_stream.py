"""What the contract says of the stream, message by message, over a real server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from contract_kit import NOW_TEXT, WAIT_S, Json, Site, Talk, site
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

T = "2024-05-07T00:00:00Z"
TRADE = {"symbol", "venue", "ts_event", "ts_recv", "seq", "price", "size", "side", "id",
         "conditions", "exchange", "flags"}  # fmt: skip


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("stream"), stream__heartbeat_s=0.2) as made:
        made.post("/v1/trades", [
            {"symbol": "EURUSD", "price": 1.39, "ts_event": "2014-05-06T23:59:59Z"},
            {"symbol": "EURUSD", "price": 1.40, "ts_event": "2014-05-07T00:00:00Z"},
            {"symbol": "GBPUSD", "price": 1.60, "ts_event": "2014-05-07T00:00:01Z"},
            {"symbol": "EURUSD", "price": 1.41, "ts_event": "2014-05-07T00:00:02Z"},
        ])  # fmt: skip
        for venue in ("A", "B"):
            made.post("/v1/trades", {"symbol": "BTC-USDT", "venue": venue, "price": 1})
        yield made


@pytest.fixture
def talk(plant: Site) -> Iterator[Talk]:
    with plant.stream() as made:
        yield made


def last_seq(plant: Site) -> int:
    seq: int = plant.get("/v1/status")["seq_last"]
    return seq


def until(talk: Talk, op: str, **fields: Any) -> list[Json]:
    """Return the messages up to the one of this kind, which is the last."""
    found = [talk.hear()]
    while found[-1] | {"op": op, **fields} != found[-1]:
        found.append(talk.hear())
    return found


# -- the examples ---------------------------------------------------------------------------------


def test_from_a_time_then_live(plant: Site, talk: Talk) -> None:
    told = talk.ask("subscribe", id=1, channel="trades", symbols=["eurusd"], **{"from":
        "2014-05-07T00:00:00Z"})  # fmt: skip
    assert (told["op"], told["id"], told["channel"]) == ("subscribed", 1, "trades")
    assert told["symbols"] == ["ORIGIN:EURUSD"]
    assert told["seq"] < 2
    events = talk.events(2)
    assert [(event["seq"], event["price"]) for event in events] == [(2, 1.40), (4, 1.41)]
    assert set(events[0]) == TRADE
    assert events[0]["ts_event"] == "2014-05-07T00:00:00Z"
    assert events[0]["ts_recv"] == NOW_TEXT
    live = talk.hear()
    assert live == {"op": "live", "id": 1, "seq": last_seq(plant)}
    seq = plant.post("/v1/trades", {"symbol": "EURUSD", "price": 1.42})["seq_last"]
    data = until(talk, "data")[-1]
    assert (data["channel"], data["id"]) == ("trades", 1)
    assert [(event["seq"], event["size"]) for event in data["events"]] == [(seq, None)]


def test_from_a_number_is_exclusive(plant: Site, talk: Talk) -> None:
    for at, (value, seqs) in enumerate([(0, [1, 2, 4]), (1, [2, 4]), (3, [4]), ("3", [4])]):
        talk.send("subscribe", id=at, channel="trades", symbols=["EURUSD"], **{"from": value})
        told = until(talk, "live", id=at)
        assert told[0]["seq"] == int(value)
        found = [e["seq"] for m in told if m["op"] == "data" for e in m["events"]]
        assert found[: len(seqs)] == seqs
        assert talk.ask("unsubscribe", id=at)["op"] == "unsubscribed"


def test_without_from_it_begins_live_with_a_snapshot_on_request(plant: Site, talk: Talk) -> None:
    told = talk.ask("subscribe", id="a", channel="trades", symbols=["GBPUSD"], snapshot=True)
    assert told["seq"] == last_seq(plant)
    (event,) = talk.events(1)
    assert (event["seq"], event["price"], event["flags"]) == (3, 1.6, ["snapshot"])
    talk.ask("subscribe", id="b", channel="trades", symbols=["GBPUSD"])
    plant.post("/v1/trades", [{"symbol": "EURUSD", "price": 7}, {"symbol": "GBPUSD", "price": 8}])
    heard = {message["id"]: message["events"] for message in (until(talk, "data")[-1],
                                                             until(talk, "data")[-1])}  # fmt: skip
    assert {id: [event["price"] for event in events] for id, events in heard.items()} == {
        "a": [8], "b": [8],
    }  # fmt: skip


def test_all_symbols_patterns_and_symbols_that_come_later(plant: Site, talk: Talk) -> None:
    assert talk.ask("subscribe", id=1, channel="trades", symbols=["*"])["symbols"] == ["*"]
    assert talk.ask("subscribe", id=2, channel="trades", symbols=["B:*"])["symbols"] == ["B:*"]
    plant.post("/v1/trades", [{"symbol": "NEW-ONE", "venue": v, "price": 1} for v in ("A", "B")])
    heard: dict[int, list[str]] = {}
    while {id: len(found) for id, found in heard.items()} != {1: 2, 2: 1}:
        message = until(talk, "data")[-1]
        heard.setdefault(message["id"], []).extend(event["venue"] for event in message["events"])
    assert heard == {1: ["A", "B"], 2: ["B"]}


def test_quotes(plant: Site, talk: Talk) -> None:
    talk.ask("subscribe", id=1, channel="quotes", symbols=["*"])
    plant.post("/v1/quotes", {"symbol": "EURUSD", "bid_price": 1.5})
    (event,) = talk.events(1)
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    assert [event[name] for name in names] == [1.5, None, None, None]
    assert event["symbol"] == "EURUSD"


def test_heartbeats_come_when_nothing_else_was_sent(plant: Site, talk: Talk) -> None:
    wanted = {"op": "heartbeat", "seq": last_seq(plant), "run": 1, "ts": NOW_TEXT}
    assert [json.loads(talk.socket.recv(WAIT_S)) for _ in range(2)] == [wanted, wanted]


def test_ping_and_unsubscribe(plant: Site, talk: Talk) -> None:
    talk.ask("subscribe", id=1, channel="trades", symbols=["*"])
    assert talk.ask("ping")["op"] == "pong"
    assert talk.ask("ping", id="p")["id"] == "p"
    assert talk.ask("unsubscribe", id=1) == {"op": "unsubscribed", "id": 1}
    plant.post("/v1/trades", {"symbol": "EURUSD", "price": 1})
    talk.send("ping", id="after")
    assert "data" not in {message["op"] for message in until(talk, "pong", id="after")}


def test_messagepack_by_subprotocol(plant: Site) -> None:
    with connect(plant.ws, subprotocols=["msgpack"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "msgpack"
        ask = {"op": "subscribe", "id": 1, "channel": "trades", "symbols": ["EURUSD"], "from": 3}
        socket.send(msgspec.msgpack.encode(ask))
        told, data = (msgspec.msgpack.decode(socket.recv(WAIT_S)) for _ in range(2))
        assert (told["op"], data["op"], data["events"][0]["price"]) == ("subscribed", "data", 1.41)
        assert set(data["events"][0]) == TRADE


@pytest.mark.parametrize(("message", "code"), [
    ("{", "bad_json"), ("[]", "bad_message"), ("null", "bad_message"), (b"\x80", "bad_frame"),
    ({"op": "jump"}, "unknown_op"), ({}, "unknown_op"), ({"id": {}}, "bad_message"),
    ({"channel": "news"}, "bad_channel"),
    ({"symbols": ["NOPE"]}, "unknown_symbol"), ({"symbols": []}, "bad_symbols"),
    ({"symbols": [7]}, "bad_message"), ({"symbols": ["BTC-USDT"]}, "ambiguous_symbol"),
    ({"from": "2014-05-07T00:00:00"}, "bad_from"), ({"from": -1}, "bad_from"),
    ({"from": 10**14}, "from_in_future"), ({"from": "2100-01-01T00:00:00Z"}, "from_in_future"),
    ({"from": "soon"}, "bad_from"), ({"from": 1.5}, "bad_message"), ({"form": 1}, "bad_message"),
    ({"from": 1, "snapshot": True}, "bad_snapshot"), ({"channel": "candles"}, "bad_interval"),
    ({"channel": "candles", "interval": "1x"}, "bad_interval"),
    ({"channel": "candles", "interval": "1m", "basis": "last"}, "bad_basis"),
    ({"channel": "candles", "interval": "1m", "timezone": "Mars"}, "bad_grid"),
    ({"channel": "candles", "interval": "1d", "day_start": "25:00"}, "bad_grid"),
    ({"op": "unsubscribe", "id": 99}, "unknown_id"),
])  # fmt: skip
def test_a_bad_message_is_an_error_and_the_connection_stays(
    talk: Talk, message: Any, code: str
) -> None:
    if isinstance(message, dict):
        whole = {"op": "subscribe", "id": 3, "channel": "trades", "symbols": ["EURUSD"]} | message
        if "op" in message or not message:
            whole = {"id": 3} | message
        message = json.dumps(whole)
    talk.socket.send(message)
    error = talk.hear()
    assert (error["op"], error["code"]) == ("error", code)
    assert error["message"]
    if isinstance(message, str) and '"id": 3' in message:
        assert error["id"] == 3
    if code == "ambiguous_symbol":
        assert error["choices"] == ["A:BTC-USDT", "B:BTC-USDT"]
    assert talk.ask("ping")["op"] == "pong"


def test_an_id_is_used_once(talk: Talk) -> None:
    assert talk.ask("subscribe", id=1, channel="quotes", symbols=["*"])["op"] == "subscribed"
    again = talk.ask("subscribe", id=1, channel="trades", symbols=["*"])
    assert (again["op"], again["id"], again["code"]) == ("error", 1, "duplicate_id")


def test_a_frame_too_large_closes_with_1009(talk: Talk) -> None:
    talk.socket.send(json.dumps({"op": "ping", "id": "x" * (65 << 10)}))
    with pytest.raises(ConnectionClosed) as closed:
        talk.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_a_restart_closes_with_1012_and_the_stream_goes_on_from_a_number(tmp_path: Path) -> None:
    with ExitStack() as later:
        with site(tmp_path) as plant:
            talk = later.enter_context(plant.stream())
            talk.ask("subscribe", id=1, channel="trades", symbols=["*"])
            plant.post("/v1/trades", [{"symbol": "R", "price": p} for p in (1, 2)])
            seq = talk.events(2)[-1]["seq"]
        with pytest.raises(ConnectionClosed) as closed:
            talk.hear()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    with site(tmp_path) as plant, plant.stream() as talk:
        plant.post("/v1/trades", {"symbol": "R", "price": 3})
        talk.send("subscribe", id=1, channel="trades", symbols=["*"], **{"from": seq, "run": 1})
        assert [event["price"] for event in talk.events(1)] == [3]


# -- replay to live, and candles ------------------------------------------------------------------


def test_replay_to_live_while_a_writer_posts_at_full_speed(tmp_path: Path) -> None:
    with site(tmp_path) as plant:
        rows = [{"symbol": s, "price": p + 1, "size": 1} for p in range(50) for s in ("X", "Y")]
        for _ in range(20):
            plant.post("/v1/trades", rows)
        done = threading.Event()
        posted = []

        def write() -> None:
            while not done.is_set():
                posted.append(plant.post("/v1/trades", rows)["seq_last"])

        writer = threading.Thread(target=write)
        writer.start()
        with plant.stream(max_queue=None) as talk, plant.stream(max_queue=None) as other:
            talk.send("subscribe", id=1, channel="trades", symbols=["*"], **{"from": 0})
            other.send("subscribe", id=1, channel="trades", symbols=["y"], **{"from": T})
            both = []
            for one in (talk, other):
                messages = until(one, "live")
                messages += [one.hear() for _ in range(30)]
                both.append((one, messages))
            done.set()
            writer.join(WAIT_S)
            last = posted[-1]
            heard = []
            for one, messages in both:
                while max(message.get("seq", 0) for message in messages) < last:
                    messages.append(one.hear())
                data = (message for message in messages if message["op"] == "data")
                heard.append([event["seq"] for message in data for event in message["events"]])
        assert heard[0] == list(range(1, last + 1))
        assert heard[1] == list(range(2, last + 1, 2))


def test_candles_form_close_and_are_revised_as_get_shows_them(plant: Site, talk: Talk) -> None:
    told = talk.ask("subscribe", id=2, channel="candles", interval="1m", symbols=["*"])
    assert told["op"] == "subscribed"

    def post(second: int, price: float) -> int:
        row = {"symbol": "BAR", "ts_event": 1715040000000000000 + second * 10**9, "price": price}
        seq: int = plant.post("/v1/trades", row | {"size": 2})["seq_last"]
        return seq

    def check(start: str, state: str | None, revision: int) -> Json:
        while True:
            for event in until(talk, "data")[-1]["events"]:
                if event["start"] == start and event["revision"] == revision:
                    assert event.get("state") == state
                    shown = {bar["start"]: bar for bar in plant.rows("/v1/candles/BAR")}[start]
                    assert {name: event[name] for name in shown} == shown
                    found: Json = event
                    return found

    first = check(T, "forming", post(5, 10))
    assert (first["symbol"], first["interval"], first["basis"]) == ("BAR", "1m", "trade")
    seq = post(20, 12)
    assert check(T, "forming", seq)["high"] == 12
    post(65, 11)
    closed = check(T, "partial", seq)
    assert (closed["close"], closed["volume"]) == (12, 4)
    late = post(30, 9)
    revised = check(T, "partial", late)
    assert (revised["low"], revised["close"], revised["count"]) == (9, 9, 3)
    answer = plant.http.put(f"/v1/trades/BAR/{late}", json={"price": 9.5})
    assert check(T, "partial", answer.json()["seq"])["close"] == 9.5
    cancelled = plant.http.delete(f"/v1/trades/BAR/{late}").json()["seq"]
    assert check(T, "partial", cancelled)["close"] == 12
