"""`client.ingest`: rows over a socket, durable when acknowledged, exact across lost connections."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from plant_kit import NOW, open_plant, trades
from stream_fakes import Served
from tickplant.client import AsyncClient, AsyncIngest, Client, Ingest
from tickplant.client.outbox import RECEIPTS_KEPT, Outbox
from tickplant.client.problems import Unreachable
from tickplant.gateway.app import create_app
from tickplant.model.errors import InvalidBody, TickplantError, UserError
from tickplant.plant.plant import Plant

QUICK = (0.01, 0.05)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with (
        open_plant(tmp_path_factory.mktemp("ingest"), ingest__window=4) as plant,
        Served(create_app(plant)) as made,
    ):
        yield made


def plant_of(served: Served) -> Plant:
    plant: Plant = served.app.state.plant
    return plant


def row(symbol: str, price: float) -> dict[str, Any]:
    return {"symbol": symbol, "price": price, "ts_event": NOW - 10**9}


def prices(served: Served, symbol: str) -> list[float]:
    return [one["price"] for one in trades(plant_of(served), symbol)]


def test_rows_of_every_shape_are_sent_and_receipts_add_up(served: Served) -> None:
    table = pa.table({"symbol": ["SHAPE"] * 3, "price": [4.0, 5.0, -1.0]})
    with Client(served.url) as client, client.ingest() as producer:
        producer.send("trades", row("SHAPE", 1))
        producer.send("trades", [row("SHAPE", 2), row("SHAPE", 3)])
        assert producer.send("trades", table) == 3
        receipt = producer.flush()
        assert (receipt.accepted, receipt.duplicates) == (5, 0)
        assert [one.index for one in receipt.rejected] == [5]
        assert producer.flush().accepted == 0
    assert prices(served, "SHAPE") == [1.0, 2.0, 3.0, 4.0, 5.0]


async def test_the_client_for_event_loops_does_the_same(served: Served) -> None:
    async with AsyncClient(served.url) as client, client.ingest(feed="aio") as producer:
        for price in range(1, 21):
            await producer.send("trades", row("AIO", price))
        await producer.alive(NOW)
        assert (await producer.flush()).accepted == 20
        assert producer.pending == 0
    assert prices(served, "AIO") == [float(price) for price in range(1, 21)]
    (feed,) = (one for one in plant_of(served).feeds() if one["id"] == "aio")
    assert (feed["state"], feed["events"], feed["error"]) == ("finished", 20, None)


def test_more_rows_than_a_message_holds_become_several(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickplant.client.outbox.ROWS_MAX", 40)
    with Client(served.url) as client, client.ingest() as producer:
        producer._outbox._frame_bytes_max = 2_000
        many = [row("MANY", price) for price in range(1, 101)]
        last = producer.send("trades", many)
        assert last > 3
        columns = {name: [one[name] for one in many] for name in many[0]}
        producer.send("trades", pa.table({**columns, "symbol": ["COLS"] * 100}))
        assert producer.flush().accepted == 200
    assert prices(served, "MANY") == prices(served, "COLS")


def test_refused_messages_are_errors_and_the_others_are_taken(served: Served) -> None:
    with Client(served.url) as client, client.ingest() as producer:
        producer.send("trades", row("REFUSED", 1))
        producer.send("trades", pa.table({"symbol": ["REFUSED"]}))
        producer.send("trades", row("REFUSED", 2))
        with pytest.raises(InvalidBody, match=r"message 2: .*price"):
            producer.flush()
        assert producer.flush().accepted == 2
    assert prices(served, "REFUSED") == [1.0, 2.0]


def cut(socket: Any) -> None:
    """Break a connection as a network does."""
    if hasattr(socket, "transport"):
        socket.transport.abort()
    else:
        socket.socket.shutdown(2)


def test_connections_cut_at_any_moment_lose_and_double_nothing(served: Served) -> None:
    resent: list[int] = []
    with (
        Client(served.url) as client,
        client.ingest(backoff_s=QUICK, on_reconnect=resent.append) as producer,
    ):
        for price in range(1, 61):
            producer.send("trades", [row("CUT", price), row("CUT", price)])
            if price % 7 == 0:
                cut(producer._socket)
        receipt = producer.flush()
        assert receipt.accepted + receipt.duplicates == 120
    assert prices(served, "CUT") == [float(price) for price in range(1, 61) for _ in range(2)]
    assert len(resent) >= 5
    assert max(resent) > 0


async def test_connections_of_event_loops_cut_at_any_moment_do_neither(served: Served) -> None:
    async with (
        AsyncClient(served.url) as client,
        client.ingest(feed="cut", backoff_s=QUICK) as producer,
    ):
        for price in range(1, 61):
            await producer.send("trades", row("CUT-AIO", price))
            if price % 7 == 0:
                cut(producer._socket)
        await producer.flush()
    assert prices(served, "CUT-AIO") == [float(price) for price in range(1, 61)]
    (feed,) = (one for one in plant_of(served).feeds() if one["id"] == "cut")
    assert (feed["state"], feed["gaps_open"]) == ("finished", 0)


def test_a_restart_of_the_plant_is_bridged(tmp_path: Path) -> None:
    with ExitStack() as kept:
        with open_plant(tmp_path) as plant, Served(create_app(plant)) as served:
            client = kept.enter_context(Client(served.url))
            producer = kept.enter_context(client.ingest(backoff_s=QUICK))
            producer.send("trades", row("ACME", 1))
            producer.flush()
            producer._outbox.add("trades", row("ACME", 2))  # not sent before the plant goes
        with open_plant(tmp_path) as plant, Served(create_app(plant), served.port):
            producer.send("trades", row("ACME", 3))
            assert producer.flush().accepted == 2
            assert [one["price"] for one in trades(plant, "ACME")] == [1.0, 2.0, 3.0]


def test_nobody_there_and_what_cannot_be_mended_are_errors_at_once(served: Served) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(Unreachable):
        client.ingest().__enter__()
    with (
        Client(served.url) as client,
        pytest.raises(TickplantError, match="name of a feed of the plant"),
    ):
        client.ingest(feed="push").__enter__()
    with Client(served.url) as client, client.ingest() as producer:
        producer.close()
        with pytest.raises(UserError, match="closed"):
            producer.send("trades", row("LATE", 1))


async def test_event_loops_hear_at_once_that_nobody_is_there() -> None:
    async with AsyncClient("http://127.0.0.1:9") as client:
        with pytest.raises(Unreachable):
            await client.ingest().__aenter__()


def test_an_exception_leaves_a_feed_lost(served: Served) -> None:
    with Client(served.url) as client:
        producer = client.ingest(feed="broken").__enter__()
        producer.send("trades", row("BROKEN", 1))
        producer.flush()
        producer.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    while plant_of(served).feeds()[-1]["state"] == "connected":
        plant_of(served).drain()
    plant_of(served).drain()
    feed = plant_of(served).feeds()[-1]
    assert (feed["id"], feed["state"], feed["gaps_open"]) == ("broken", "waiting", 1)


# -- the outbox, without a network -----------------------------------------------------------------


def say(**message: Any) -> str:
    return msgspec.json.encode(message).decode()


def open_outbox(window: int = 2) -> Outbox:
    outbox = Outbox(producer="p")
    assert msgspec.json.decode(outbox.connected()) == {"op": "hello", "producer": "p"}
    outbox.take(say(op="hello", window=window, frame_bytes_max=1_000))
    return outbox


def ack(seq: int, **fields: Any) -> str:
    known = {"accepted": 1, "duplicates": 0, "rejected": [], "seq_first": seq, "seq_last": seq}
    return say(op="ack", seq=seq, **{**known, **fields})


def seqs(outbox: Outbox) -> list[int]:
    return [msgspec.json.decode(frame)["seq"] for frame in outbox.unsent()]


def test_no_more_is_under_way_than_the_window_and_nothing_before_the_greeting() -> None:
    outbox = open_outbox()
    for price in range(4):
        outbox.add("trades", row("A", price))
    assert seqs(outbox) == []
    outbox.take(say(op="ready"))
    assert seqs(outbox) == [1, 2]
    outbox.take(ack(1))
    assert (seqs(outbox), outbox.pending) == ([3], 3)
    outbox.connected()
    outbox.take(say(op="ready"))
    assert seqs(outbox) == [2, 3]  # in their order, again
    outbox.take(say(op="error", seq=2, code="try_again", message="disk", retry_after_s=0.5))
    assert outbox.retry_after_s == 0.5
    assert seqs(outbox) == [2]
    outbox.take(ack(2))
    outbox.take(ack(2))  # an answer that comes twice changes nothing
    outbox.take(ack(3))
    outbox.take(ack(4))
    assert outbox.results().accepted == 3


def test_receipts_that_nobody_asks_for_are_added_up() -> None:
    outbox = open_outbox(window=10**6)
    outbox.take(say(op="ready"))
    rejected = [{"index": 0, "reason": "x"}]
    for seq in range(1, 3 * RECEIPTS_KEPT):
        outbox.add("trades", row("A", 1))
        list(outbox.unsent())
        outbox.take(ack(seq, accepted=0, rejected=rejected, seq_first=None, seq_last=None))
    assert len(outbox._done) <= RECEIPTS_KEPT
    assert [one.index for one in outbox.results().rejected] == list(range(3 * RECEIPTS_KEPT - 1))


def test_both_clients_have_the_same_producer() -> None:
    made, aio = inspect.signature(Client.ingest), inspect.signature(AsyncClient.ingest)
    assert list(made.parameters.values()) == list(aio.parameters.values())
    public = [name for name in vars(Ingest) if not name.startswith("_")]
    assert public == [name for name in vars(AsyncIngest) if not name.startswith("_")]
    for name in ("send", "flush", "alive", "close"):
        assert inspect.signature(getattr(Ingest, name)) == inspect.signature(
            getattr(AsyncIngest, name)
        )
    assert asyncio.iscoroutinefunction(AsyncIngest.send)
