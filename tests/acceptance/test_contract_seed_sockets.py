"""Other systems' sockets: their messages, and the faults that they had and these have not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from contract_kit import WAIT_S, Site, site
from hypothesis import given
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from tickplant.gateway.seeds.dialects import Feed, Ticker

DAY = "2024-05-07"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("sockets")) as made:
        yield made


_names = count(1)


@pytest.fixture
def name() -> str:
    return f"WS{next(_names)}"


@contextmanager
def socket(plant: Site, path: str) -> Iterator[ClientConnection]:
    with connect(plant.ws.replace("/v1/stream", path), open_timeout=WAIT_S) as made:
        yield made


def hear(made: ClientConnection) -> Any:
    return json.loads(made.recv(WAIT_S))


def settled(made: ClientConnection) -> None:
    """Wait until the server has taken what came before: it answers in order."""
    made.send('{"action": "ping"}')
    assert hear(made) == {"type": "pong"}


def push(plant: Site, symbol: str, time: str, price: float) -> None:
    row = {"symbol": symbol, "ts_event": f"{DAY}T{time}Z", "price": price, "size": 2}
    plant.post("/v1/trades", [row])


def test_ticks_come_one_a_frame(plant: Site, name: str) -> None:
    push(plant, name, "10:00:00", 1)
    with socket(plant, f"/ws/ticks?symbol={name.lower()}") as made:
        settled(made)
        push(plant, f"{name}OTHER", "10:00:01", 9)
        push(plant, name, "10:00:02", 1.5)
        tick = hear(made)
    assert {key: tick[key] for key in ("symbol", "exchange", "time", "price", "size")} == {
        "symbol": name, "exchange": "ORIGIN", "time": f"{DAY}T10:00:02Z", "price": 1.5, "size": 2.0
    }  # fmt: skip
    assert tick["synthetic"] is False


def test_bars_of_other_symbols_stay_away(plant: Site, name: str) -> None:
    # Fault: bars of all symbols went to every client.
    push(plant, name, "10:00:00", 1)
    push(plant, f"{name}OTHER", "10:00:00", 1)
    with (
        socket(plant, f"/ws/ohlc/minute?symbol={name}") as minute,
        socket(plant, f"/ws/ohlc/day?symbol={name}") as day,
    ):
        settled(minute)
        settled(day)
        push(plant, f"{name}OTHER", "23:00:01", 9)
        push(plant, name, "23:00:02", 2)
        closed, bar = hear(minute), hear(minute)
        assert (closed["symbol"], closed["bucket"]) == (name, f"{DAY}T10:00:00Z")
        assert (bar["symbol"], bar["bucket"]) == (name, f"{DAY}T23:00:00Z")
        assert [bar[key] for key in ("open", "high", "low", "close", "tick_count")] == [
            2.0, 2.0, 2.0, 2.0, 1
        ]  # fmt: skip
        closed, bar = hear(day), hear(day)
        assert [one["bucket"] for one in (closed, bar)] == [
            "2024-05-06T22:00:00Z", f"{DAY}T22:00:00Z"
        ]  # fmt: skip


def test_a_ticker_takes_actions(plant: Site, name: str) -> None:
    # Fault: ticks never reached clients, because a field had two names.
    push(plant, name, "10:00:00", 1)
    with socket(plant, "/ws") as made:
        assert hear(made)["type"] == "connected"
        made.send(json.dumps({"action": "subscribe", "tokens": [name.lower()]}))
        assert hear(made) == {"type": "subscribed", "symbols": [name]}
        push(plant, name, "10:00:02", 1.5)
        tick = hear(made)
        assert (tick["type"], tick["data"]["symbol"], tick["data"]["price"]) == ("tick", name, 1.5)
        made.send(json.dumps({"action": "subscribe", "symbols": name}))  # again: nothing to do
        assert hear(made) == {"type": "subscribed", "symbols": [name]}
        made.send(json.dumps({"action": "unsubscribe", "symbols": [name]}))
        assert hear(made) == {"type": "unsubscribed", "symbols": [name]}
        push(plant, name, "10:00:03", 1.6)
        settled(made)
        made.send(json.dumps({"action": "unsubscribe", "symbols": [name]}))
        assert hear(made) == {"type": "unsubscribed", "symbols": []}


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", '{"action": "dance"}', '{"action": "subscribe"}',
     '{"action": "subscribe", "symbols": []}', '{"action": "subscribe", "symbols": [null]}',
     '{"action": "subscribe", "symbols": ["NOBODY-KNOWS"]}'],
)  # fmt: skip
def test_what_a_ticker_does_not_understand_is_an_error_and_no_end(plant: Site, text: str) -> None:
    with socket(plant, "/ws") as made:
        hear(made)
        made.send(text)
        answer = hear(made)
        assert answer["type"] == "error"
        assert answer["message"]
        settled(made)


def test_statistics_count_connections_and_messages(plant: Site, name: str) -> None:
    push(plant, name, "10:00:00", 1)
    before = plant.get("/ws/stats")["channels"].get("/ws/ticks", {"messages_sent": 0})
    with socket(plant, f"/ws/ticks?symbol={name}") as made:
        settled(made)
        for second in range(3):
            push(plant, name, f"10:00:1{second}", 1)
            hear(made)
        found = plant.get("/ws/stats")
        mine = found["channels"]["/ws/ticks"]
        assert mine["connections"] == 1
        assert mine["messages_sent"] == before["messages_sent"] + 4
        assert found["connections"] >= 1
        assert found["messages_sent"] >= mine["messages_sent"]


def test_a_socket_asked_for_what_is_not_there_says_so(plant: Site) -> None:
    with socket(plant, "/ws/ticks?symbol=NOBODY") as made:
        answer = hear(made)
        assert (answer["type"], answer["code"]) == ("error", "unknown_symbol")


@given(st.text() | st.binary() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["action", "symbols", "tokens", "op"]), inner, max_size=3),
    max_leaves=6).map(json.dumps))  # fmt: skip
def test_whatever_a_client_says_becomes_messages_of_the_stream(said: str | bytes) -> None:
    for dialect in (Ticker(), Feed("trades", ["A"])):
        heard = dialect.hear(said)
        assert heard
        assert all(isinstance(message["op"], str) for message in heard)
