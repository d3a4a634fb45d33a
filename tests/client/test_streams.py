"""Streams of the clients: no hole and no double, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from stream_fakes import BASE, FakePlant, ListStore, Served, make_app, serving
from tickplant.client import AsyncClient, Client
from tickplant.client.follow import Backoff, ConnectionEnded, Follower, stream_url
from tickplant.client.problems import Unreachable
from tickplant.model.errors import AmbiguousSymbol, InvalidParameter, UnknownSymbol, UserError

QUICK = (0.01, 0.05)


def pack(**message: Any) -> bytes:
    return msgspec.msgpack.encode(message)


async def test_events_arrive_and_the_stream_ends_when_closed() -> None:
    plant = FakePlant()
    plant.trade(1.0, 2.0)
    async with serving(make_app(plant)) as served, AsyncClient(served.url) as client:
        async with client.stream("trades", "EURUSD", from_=0) as stream:
            got = [(await anext(stream))["price"] for _ in range(2)]
            assert (got, stream.seq) == ([1.0, 2.0], 2)
        assert [event async for event in stream] == []


async def test_bad_subscriptions_raise_the_errors_of_the_tree() -> None:
    async with serving(make_app(FakePlant())) as served, AsyncClient(served.url) as client:
        for symbol, kind in (("NIX", UnknownSymbol), ("BTC-USDT", AmbiguousSymbol)):
            async with client.stream("trades", symbol) as stream:
                with pytest.raises(kind):
                    await anext(stream)
        async with client.stream("bookz") as stream:
            with pytest.raises(UserError, match="bookz"):
                await anext(stream)
    async with AsyncClient(served.url) as client, client.stream("trades") as stream:
        with pytest.raises(Unreachable):
            await anext(stream)


async def test_a_restart_of_the_server_is_bridged_without_a_hole_or_a_double() -> None:
    store = ListStore()
    plant = FakePlant(store=store)
    served = await asyncio.to_thread(Served, make_app(plant))
    resumed: list[int | None] = []
    async with AsyncClient(served.url) as client:
        stream = client.stream("trades", "*", from_=0, on_reconnect=resumed.append, backoff_s=QUICK)
        async with stream, aclosing(stream.batches()) as batches:
            got: list[int] = []

            async def read_to(last: int) -> None:
                while not got or got[-1] < last:
                    got.extend(event["seq"] for event in await anext(batches))

            plant.trade(*[1.0] * 10)
            await read_to(10)
            for run in (2, 3):
                await asyncio.to_thread(served.stop)
                plant.trade(*[1.0] * 10)  # stored, told to nobody
                base = plant.seq_last
                bases = {**plant.bases, run: base}
                plant = FakePlant(store=store, seq=base, run=run, bases=bases)
                plant.trade(2.0)
                served = await asyncio.to_thread(Served, make_app(plant), served.port)
                await read_to(plant.seq_last)
            assert got == list(range(1, 33))
            assert len(resumed) >= 2
            assert resumed[0] == 10
    await asyncio.to_thread(served.stop)


async def test_connections_cut_at_any_moment_lose_and_double_nothing() -> None:
    plant = FakePlant()
    enough = threading.Event()

    def publish() -> None:
        while not enough.is_set():
            plant.publish("trades", [1, 2] * 5, price=[1.0] * 10)

    async with (
        serving(make_app(plant)) as served,
        AsyncClient(served.url) as client,
        client.stream("trades", "EURUSD", from_=0, backoff_s=QUICK) as stream,
        aclosing(stream.batches()) as batches,
    ):
        publisher = asyncio.create_task(asyncio.to_thread(publish))
        got: list[int] = []
        for _ in range(15):
            got += [event["seq"] for event in await anext(batches)]
            stream._socket.transport.abort()  # type: ignore[union-attr]
        enough.set()
        await publisher
        last = plant.publish("trades", [1], price=[1.0])[0]
        while got[-1] < last:
            got += [event["seq"] for event in await anext(batches)]
        assert got == list(range(1, last + 1, 2))


async def test_bars_are_resumed_without_telling_any_twice() -> None:
    plant = FakePlant()
    async with serving(make_app(plant)) as served, AsyncClient(served.url) as client:
        stream = client.stream("candles", "EURUSD", interval="1m", basis="trade", backoff_s=QUICK)
        async with stream:
            waiting = asyncio.ensure_future(anext(stream))
            while not plant.watches:
                await client_turn(waiting)
            revisions = []
            for number in range(1, 31):
                plant.trade(float(number), ts=BASE + number * 10**9)
                event = await waiting
                revisions.append((event["revision"], event.get("state")))
                if number % 7 == 0:
                    stream._socket.transport.abort()  # type: ignore[union-attr]
                waiting = asyncio.ensure_future(anext(stream))
            waiting.cancel()
            assert revisions == [(number, "forming") for number in range(1, 31)]


async def client_turn(waiting: asyncio.Future[Any]) -> None:
    await asyncio.wait([waiting], timeout=0.01)


async def test_silence_beyond_the_bound_makes_a_new_connection() -> None:
    plant = FakePlant(heartbeat_s=3_600)
    reconnected = asyncio.Event()
    async with serving(make_app(plant)) as served, AsyncClient(served.url) as client:
        stream = client.stream(
            "trades",
            "*",
            from_=0,
            idle_s=0.2,
            backoff_s=QUICK,
            on_reconnect=lambda seq: reconnected.set(),
        )
        async with stream:
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.wait_for(reconnected.wait(), 10)
            plant.trade(1.0)
            assert (await waiting)["seq"] == 1


def test_the_plain_client_streams_and_reconnects() -> None:
    store = ListStore()
    plant = FakePlant(store=store)
    served = Served(make_app(plant))
    resumed: list[int | None] = []
    with Client(served.url) as client:
        stream = client.stream(
            "quotes", "EURUSD", from_=0, on_reconnect=resumed.append, backoff_s=QUICK
        )
        with stream:
            plant.quote(1.0, 2.0)
            assert [next(stream)["seq"] for _ in range(2)] == [1, 2]
            served.stop()
            again = FakePlant(store=store, seq=2, run=2, bases={1: 0, 2: 2})
            again.quote(3.0)
            served = Served(make_app(again), served.port)
            assert next(stream)["seq"] == 3
            assert resumed[-1] == 2
            closer = threading.Timer(0.05, stream.close)
            closer.start()
            assert list(stream) == []
            closer.join()
    served.stop()


def test_numbers_of_a_lost_tail_are_taken_again_in_the_next_run() -> None:
    follower = Follower("trades", "*", 0)
    assert msgspec.msgpack.decode(follower.hello())["from"] == 0
    follower.take(pack(op="subscribed", id=1, seq=0, run=1))
    first = [{"seq": seq, "flags": [], "price": 1.0} for seq in (1, 2, 3)]
    assert len(follower.take(pack(op="data", events=first, seq=3))) == 3
    hello = msgspec.msgpack.decode(follower.hello())
    assert (hello["from"], hello["run"]) == (3, 1)
    # Only number 1 was durable; 2 and 3 are other trades now.
    follower.take(pack(op="subscribed", id=1, seq=1, run=2))
    second = [{"seq": seq, "flags": [], "price": 2.0} for seq in (1, 2, 3)]
    assert [e["seq"] for e in follower.take(pack(op="data", events=second, seq=3))] == [2, 3]
    hello = msgspec.msgpack.decode(follower.hello())
    assert (hello["from"], hello["run"]) == (3, 2)


def test_a_start_in_time_holds_after_a_reconnect_too() -> None:
    follower = Follower("trades", "*", "2024-01-01T00:00:00Z")
    follower.hello()
    follower.take(pack(op="subscribed", id=1, seq=5, run=1))
    assert msgspec.msgpack.decode(follower.hello())["from"] == 5
    follower.take(pack(op="subscribed", id=1, seq=5, run=1))
    events = [
        {"seq": 6, "flags": [], "ts_event": "2023-12-31T23:59:59.5Z"},
        {"seq": 7, "flags": [], "ts_event": "2024-01-01T00:00:00Z"},
    ]
    assert [e["seq"] for e in follower.take(pack(op="data", events=events))] == [7]


def test_passing_errors_of_the_stream_want_a_new_connection() -> None:
    follower = Follower("trades", "*")
    with pytest.raises(ConnectionEnded):
        follower.take(pack(op="error", id=1, code="slow", message="too slow"))
    notices: list[dict[str, Any]] = []
    follower = Follower("quotes", "*", on_notice=notices.append)
    follower.take(pack(op="slow", dropped=3, policy="conflate"))
    follower.take(pack(op="heartbeat", seq=9, run=1, ts="now"))
    assert [notice["op"] for notice in notices] == ["slow"]
    assert follower.seq == 9


def test_the_backoff_grows_to_its_cap_and_is_reset() -> None:
    backoff = Backoff(1.0, 8.0)
    for most in (1.0, 2.0, 4.0, 8.0, 8.0):
        assert 0 <= backoff.next_s() <= most
    backoff.reset()
    assert backoff.next_s() <= 1.0


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x"])
def test_only_http_addresses_have_a_stream(url: str) -> None:
    assert stream_url("https://x/") == "wss://x/v1/stream"
    with pytest.raises(InvalidParameter, match=r"url: .* allowed is http://HOST:PORT"):
        stream_url(url)
