"""Slow clients: told what they missed by the policy of the channel, at no cost to the others."""

from __future__ import annotations

import asyncio
import fcntl
import json
import sys
import termios
from concurrent.futures import Future
from typing import Any

import pytest
from test_stream import Peer, peers, seqs

from stream_fakes import BASE, FakePlant
from tickplant.gateway.stream.open import open_subscription
from tickplant.gateway.stream.protocol import JSON, Subscribe
from tickplant.gateway.stream.subscription import Subscription, TooSlowError

MINUTE = 60 * 10**9


def run_now(work: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(work())
    return future


async def subscription(plant: FakePlant, channel: str, **fields: Any) -> Subscription:
    """Return a subscription whose reads from the store are done at once."""
    message = Subscribe(op="subscribe", channel=channel, symbols=["*"], **fields)
    return (await open_subscription(1, message, plant, JSON, run_now)).subscription


def drain(one: Subscription) -> list[dict[str, Any]]:
    frames = one.step()
    while one.more or not one.caught_up:
        frames += one.step()
    return [json.loads(frame.payload) for frame in frames]


def flood(plant: FakePlant, table: str, rows: int, **columns: list[Any]) -> None:
    for _ in range(rows // 100):
        plant.publish(table, [1, 2] * 50, **columns)


async def test_trades_are_never_conflated() -> None:
    plant = FakePlant(ring_rows=1_000)
    one = await subscription(plant, "trades")
    plant.trade(1.0)
    assert [message["op"] for message in drain(one)] == ["data"]
    flood(plant, "trades", 2_000, price=[1.0] * 100)
    with pytest.raises(TooSlowError, match=r"resume trades from seq 1$") as caught:
        drain(one)
    assert caught.value.missed == 1_200
    again = await subscription(plant, "trades", from_=caught.value.seq)
    events = [e for m in drain(again) for e in m.get("events", [])]
    assert seqs(events) == list(range(2, 2_002))


async def test_quotes_are_conflated_to_the_last_of_each_and_every_one_is_counted() -> None:
    plant = FakePlant(ring_rows=1_000)
    one = await subscription(plant, "quotes")
    plant.quote(1.0)
    drain(one)
    flood(plant, "quotes", 2_000, bid_price=[5.0] * 100)
    plant.trade(1.0)
    slow, data = drain(one)
    assert slow == {
        "op": "slow",
        "id": 1,
        "channel": "quotes",
        "dropped": 1_998,
        "policy": "conflate",
    }
    assert [(e["seq"], e["symbol"]) for e in data["events"]] == [
        (2_000, "EURUSD"),
        (2_001, "BTC-USDT"),
    ]
    plant.quote(2.0)
    assert [seqs(m["events"]) for m in drain(one)] == [[2_003]]


async def test_quotes_are_conflated_for_a_client_that_is_waited_for_long_before_the_ring_ends() -> (
    None
):
    plant = FakePlant(behind_rows=500)
    waited_for, fast = [await subscription(plant, "quotes") for _ in range(2)]
    trades = await subscription(plant, "trades")
    for one in (waited_for, fast, trades):
        drain(one)
    flood(plant, "quotes", 500, bid_price=[5.0] * 100)
    waited_for.waited = trades.waited = True
    assert sum(len(m["events"]) for m in drain(waited_for)) == 500  # not too far behind
    flood(plant, "quotes", 600, bid_price=[6.0] * 100)
    plant.trade(1.0)
    slow, data = drain(waited_for)
    assert (slow["dropped"], seqs(data["events"])) == (598, [1_099, 1_100])
    assert seqs([e for m in drain(fast) for e in m["events"]]) == list(range(1, 1_101))
    assert [seqs(m["events"]) for m in drain(trades)] == [[1_101]]  # a trade is never left out
    assert plant.metrics.stream.dropped_events["quotes", "conflate"] == 598


async def test_candles_are_conflated_to_the_last_revision_of_each_bar_that_changed() -> None:
    plant = FakePlant(ring_rows=1_000)
    plant.trade(1.0, ts=BASE - 5 * MINUTE)
    one = await subscription(plant, "candles", interval="1m", basis="trade")
    drain(one)
    for second in range(100):
        plant.trade(float(second), ts=BASE + second * 10**9)
    messages = drain(one)
    events = [e for m in messages for e in m.get("events", [])]
    [slow] = [m for m in messages if m["op"] == "slow"]
    assert [(e["start"][14:16], e["close"], e["count"], e.get("state")) for e in events] == [
        ("08", 1.0, 1, "partial"),
        ("13", 39.0, 40, "complete"),
        ("14", 99.0, 60, "forming"),
    ]
    assert slow["policy"] == "conflate"
    plant.trade(7.0, ts=BASE + 100 * 10**9)
    [data] = drain(one)
    assert [(e["close"], e.get("state")) for e in data["events"]] == [
        (99.0, "complete"),
        (7.0, "forming"),
    ]


async def test_what_is_lost_before_it_was_live_is_read_from_the_store() -> None:
    plant = FakePlant(ring_rows=1_000)
    flood(plant, "trades", 500, price=[1.0] * 100)
    for channel, price in (("trades", "price"), ("quotes", "bid_price")):
        one = await subscription(plant, channel, from_=plant.seq_last)
        flood(plant, channel, 2_000, **{price: [1.0] * 100})
        messages = drain(one)
        assert {m["op"] for m in messages} == {"data", "live"}
        events = [e for m in messages for e in m.get("events", [])]
        assert len(events) == 2_000
        assert seqs(events) == list(range(plant.seq_last - 1_999, plant.seq_last + 1))


async def test_a_client_that_stops_reading_is_cut_off_and_costs_the_others_nothing() -> None:
    plant = FakePlant(ring_rows=200_000)
    async with peers(plant, stall_s=0.3) as join:
        stopped: Peer = await join(max_queue=1)
        healthy: Peer = await join()
        for peer in (stopped, healthy):
            await peer.subscribe("trades", "*")
        stopped.socket.transport.pause_reading()
        total = 100_000

        def publish() -> None:
            while plant.seq_last < total:
                plant.publish("trades", [1] * 500, price=[1.0] * 500)

        publisher = asyncio.create_task(asyncio.to_thread(publish))
        got: list[int] = []
        while len(got) < total:
            got += seqs((await healthy.hear()).get("events", []))
        assert got == list(range(1, total + 1))
        await publisher
        streams = join.served.app.state.streams
        while len(streams) > 1:  # the server notices on its own; each answer gives it time
            await healthy.ask(op="ping")
        stopped.socket.transport.resume_reading()
        code, _ = await stopped.closed()
        assert code == 1006  # cut off, without a farewell it would not have read


async def test_what_waits_for_a_client_that_has_stopped_is_little_here_and_in_the_kernel() -> None:
    plant = FakePlant(ring_rows=200_000)
    async with peers(plant) as join:
        stopped: Peer = await join(max_queue=1)
        healthy: Peer = await join()
        for peer in (stopped, healthy):
            await peer.subscribe("trades", "*")
        stopped.socket.transport.pause_reading()
        [session] = [
            session
            for session in join.served.app.state.streams._sessions
            if _port(session.socket.scope["client"]) == _port(stopped.socket.local_address)
        ]
        total = 15_000  # 3 MB as JSON
        got: list[int] = []
        for _ in range(total // 1_000):
            plant.publish("trades", [1] * 1_000, price=[1.0] * 1_000)
            while len(got) < plant.seq_last:  # the other client has had it all by then
                got += seqs((await healthy.hear()).get("events", []))
        wire = session._outlet.wire
        assert not wire.ready()
        assert wire.unread() < 1_000_000
        sock = wire.transport.get_extra_info("socket")
        held = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
        assert int.from_bytes(held, sys.byteorder) < 1_000_000


def _port(address: Any) -> int:
    return int(address[1])


async def test_a_slow_client_of_trades_is_told_and_closed_with_1013() -> None:
    plant = FakePlant(ring_rows=1_000)
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("trades", "*")
        plant.trade(1.0)
        await peer.events(1)
        # One call on the server's loop, so that its sender cannot run in between.
        loop = next(iter(plant.hub._wakers)).loop
        loop.call_soon_threadsafe(flood_rows, plant)
        message = await peer.hear()
        while message["op"] != "error":
            message = await peer.hear()
        assert (message["code"], message["seq"]) == ("slow", 1)
        code, reason = await peer.closed()
        assert (code, reason) == (1013, "too slow; resume trades from seq 1")


def flood_rows(plant: FakePlant) -> None:
    flood(plant, "trades", 3_000, price=[1.0] * 100)


async def test_an_entry_too_large_for_a_frame_leaves_in_several() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("trades", "*")
        plant.trade(*[1.0] * 5_000)
        sizes = []
        while sum(sizes) < 5_000:
            message = await peer.hear()
            sizes.append(len(message.get("events", [])))
        assert len(sizes) > 1
        assert max(sizes) < 2_000
