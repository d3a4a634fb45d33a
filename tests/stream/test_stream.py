"""The stream through a real server and a real client: what is asked for is what arrives."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from stream_fakes import BASE, FakePlant, ListStore, make_app, serving
from tickplant.model.errors import LogUnavailable, Stopping
from tickplant.model.times import format_time
from tickplant.plant.published import Published


class Peer:
    """A client that keeps what arrived and waits for messages, never for time."""

    def __init__(self, socket: ClientConnection, packed: bool = False) -> None:
        self.socket = socket
        self.packed = packed

    async def say(self, **message: Any) -> None:
        encoded: Any = msgspec.msgpack.encode(message) if self.packed else json.dumps(message)
        await self.socket.send(encoded)

    async def hear(self) -> dict[str, Any]:
        data = await asyncio.wait_for(self.socket.recv(), 10)
        return msgspec.msgpack.decode(data) if isinstance(data, bytes) else json.loads(data)

    async def ask(self, **message: Any) -> dict[str, Any]:
        await self.say(**message)
        while (answer := await self.hear())["op"] in ("heartbeat", "data"):
            pass
        return answer

    async def subscribe(self, channel: str, *symbols: str, **more: Any) -> dict[str, Any]:
        answer = await self.ask(op="subscribe", channel=channel, symbols=list(symbols), **more)
        assert answer["op"] == "subscribed", answer
        return answer

    async def events(self, count: int, **wanted: Any) -> list[dict[str, Any]]:
        """Return the next `count` events; anything else but a heartbeat is a failure."""
        got: list[dict[str, Any]] = []
        while len(got) < count:
            message = await self.hear()
            if message["op"] == "data" and all(message[k] == v for k, v in wanted.items()):
                got += message["events"]
            else:
                assert message["op"] == "heartbeat", message
        assert len(got) == count
        return got

    async def until_live(self) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        got: list[dict[str, Any]] = []
        while True:
            message = await self.hear()
            if message["op"] == "live":
                return got, message
            assert message["op"] in ("data", "heartbeat"), message
            got += message.get("events", [])

    async def closed(self) -> tuple[int, str]:
        with suppress(ConnectionClosed):
            while True:
                await self.hear()
        return self.socket.close_code or 0, self.socket.close_reason or ""


@asynccontextmanager
async def peers(plant: FakePlant, *subprotocols: str, **app: Any) -> AsyncIterator[Any]:
    async with serving(make_app(plant, **app)) as served:
        sockets: list[ClientConnection] = []

        async def join(**options: Any) -> Peer:
            asked = list(subprotocols) or None
            socket = await connect(served.ws, subprotocols=asked, compression=None, **options)
            sockets.append(socket)
            return Peer(socket, packed=bool(subprotocols))

        join.served = served  # type: ignore[attr-defined]
        yield join
        for socket in sockets:
            await socket.close()


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events]


async def test_a_trade_arrives_with_every_field() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer = await join()
        answer = await peer.subscribe("trades", "eurusd", id=1)
        assert answer == {
            "op": "subscribed",
            "id": 1,
            "channel": "trades",
            "run": 1,
            "symbols": ["SYNTH:EURUSD"],
            "seq": 0,
        }
        plant.publish(
            "trades",
            [1],
            ts=BASE + 123,
            price=[1.39],
            size=[None],
            side=[2],
            id=["a"],
            exchange=["X"],
        )
        assert await peer.events(1, id=1, channel="trades") == [
            {
                "symbol": "EURUSD",
                "venue": "SYNTH",
                "ts_event": format_time(BASE + 123),
                "ts_recv": "2023-11-14T22:13:20.000000123Z",
                "seq": 1,
                "price": 1.39,
                "size": None,
                "side": "sell",
                "id": "a",
                "conditions": None,
                "exchange": "X",
                "flags": ["synthetic"],
            }
        ]
        plant.publish("trades", [1], ts=BASE, price=[1.4], ref_seq=[1], flags=[8])
        [event] = await peer.events(1)
        assert (event["corrects"], event["flags"]) == (1, ["correction"])


async def test_a_quote_arrives_with_its_missing_side_null() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("quotes", "SYNTH:BTC-USDT")
        plant.publish("quotes", [2], bid_price=[7.0], bid_size=[2.0])
        [event] = await peer.events(1)
        assert {k: event[k] for k in ("symbol", "bid_price", "bid_size", "ask_price", "seq")} == {
            "symbol": "BTC-USDT",
            "bid_price": 7.0,
            "bid_size": 2.0,
            "ask_price": None,
            "seq": 1,
        }


async def test_messagepack_carries_the_same_as_json() -> None:
    plant = FakePlant()
    async with peers(plant) as plain, peers(plant, "msgpack") as packed:
        one, other = await plain(), await packed()
        assert other.socket.subprotocol == "msgpack"
        for peer in (one, other):
            await peer.subscribe("trades", "*", id="a")
        plant.trade(1.5, 2.5, 3.5)
        assert await one.events(3) == await other.events(3)


@pytest.mark.parametrize(
    ("symbols", "names", "instruments"),
    [
        (["*"], ["*"], [1, 2, 3, 4, 5]),
        (["EURUSD"], ["SYNTH:EURUSD"], [1]),
        (["synth:*"], ["SYNTH:*"], [1, 2, 4]),
        (["BTC-*"], ["BTC-*"], [2, 3, 4]),
        (["BINANCE:BTC-USDT", "EURUSD"], ["BINANCE:BTC-USDT", "SYNTH:EURUSD"], [1, 3]),
        (["EURUSD", "SYNTH:EURUSD"], ["SYNTH:EURUSD"], [1]),
    ],
)
async def test_symbols_choose_instruments_also_later_ones(
    symbols: list[str], names: list[str], instruments: list[int]
) -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer = await join()
        assert (await peer.subscribe("trades", *symbols))["symbols"] == names
        plant.registry.add("BTC-NEW", "SYNTH")
        plant.registry.add("ETH-NEW", "OTHER")
        plant.publish("trades", [1, 2, 3, 4, 5], price=[1.0] * 5)
        assert seqs(await peer.events(len(instruments))) == instruments


async def test_subscriptions_are_apart_and_end_when_asked() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("trades", "EURUSD", id=1)
        await peer.subscribe("quotes", "EURUSD", id=2)
        plant.trade(1.0)
        await peer.events(1, id=1)
        assert await peer.ask(op="unsubscribe", id=1) == {"op": "unsubscribed", "id": 1}
        plant.trade(2.0)
        plant.quote(3.0)
        assert seqs(await peer.events(1, id=2)) == [3]
        pong = await peer.ask(op="ping", id=9)
        assert (pong["op"], pong["id"], pong["run"]) == ("pong", 9, 1)


ERRORS: list[tuple[Any, str, Any]] = [
    ("{", "bad_json", None),
    ("[1]", "bad_message", None),
    ('"x"', "bad_message", None),
    (b"\x00", "bad_frame", None),
    ({"op": "dance", "id": 5}, "unknown_op", 5),
    ({"id": 5}, "unknown_op", 5),
    ({"op": "subscribe", "id": 5}, "bad_message", 5),
    ({"op": "subscribe", "id": 5, "channel": "trades"}, "bad_symbols", 5),
    ({"op": "subscribe", "id": 5, "channel": "trades", "symbols": []}, "bad_symbols", 5),
    ({"op": "subscribe", "id": 5, "channel": "trades", "symbols": ["NIX"]}, "unknown_symbol", 5),
    ({"op": "subscribe", "id": 5, "channel": "trades", "symbols": 7}, "bad_message", 5),
    (
        {"op": "subscribe", "id": 5, "channel": "trades", "symbols": ["*"], "form": 1},
        "bad_message",
        5,
    ),
    ({"op": "subscribe", "id": {}, "channel": "trades"}, "bad_message", None),
    ({"op": "subscribe", "id": 5, "channel": "tirades", "symbols": ["*"]}, "bad_channel", 5),
    (
        {"op": "subscribe", "id": 5, "channel": "books", "symbols": ["*"], "depth": 0},
        "bad_depth",
        5,
    ),
    ({"op": "subscribe", "id": 5, "channel": "candles", "symbols": ["*"]}, "bad_interval", 5),
    (
        {"op": "subscribe", "id": 5, "channel": "candles", "symbols": ["*"], "interval": "1x"},
        "bad_interval",
        5,
    ),
    (
        {
            "op": "subscribe",
            "id": 5,
            "channel": "candles",
            "symbols": ["*"],
            "interval": "1m",
            "basis": "last",
        },
        "bad_basis",
        5,
    ),
    (
        {
            "op": "subscribe",
            "id": 5,
            "channel": "candles",
            "symbols": ["*"],
            "interval": "1m",
            "timezone": "Mars/Base",
        },
        "bad_grid",
        5,
    ),
    (
        {
            "op": "subscribe",
            "id": 5,
            "channel": "candles",
            "symbols": ["*"],
            "interval": "1m",
            "calendar": "XNYZ",
        },
        "bad_grid",
        5,
    ),
    (
        {"op": "subscribe", "id": 5, "channel": "trades", "symbols": ["*"], "calendar": "XNYS"},
        "bad_grid",
        5,
    ),
    (
        {"op": "subscribe", "id": 5, "channel": "quotes", "symbols": ["*"], "period": 5},
        "bad_indicator",
        5,
    ),
    (
        {"op": "subscribe", "id": 5, "channel": "trades", "symbols": ["*"], "from": "yesterday"},
        "bad_from",
        5,
    ),
    (
        {"op": "subscribe", "id": 5, "channel": "trades", "symbols": ["*"], "from": -1},
        "bad_from",
        5,
    ),
    (
        {"op": "subscribe", "id": 5, "channel": "trades", "symbols": ["*"], "from": 99},
        "from_in_future",
        5,
    ),
    (
        {
            "op": "subscribe",
            "id": 5,
            "channel": "trades",
            "symbols": ["*"],
            "from": "2200-01-01T00:00:00Z",
        },
        "from_in_future",
        5,
    ),
    (
        {"op": "subscribe", "id": 5, "channel": "trades", "symbols": ["*"], "from": 0, "run": 8},
        "unknown_run",
        5,
    ),
    (
        {
            "op": "subscribe",
            "id": 5,
            "channel": "trades",
            "symbols": ["*"],
            "from": 0,
            "snapshot": True,
        },
        "bad_snapshot",
        5,
    ),
    (
        {"op": "subscribe", "id": "here", "channel": "trades", "symbols": ["*"]},
        "duplicate_id",
        "here",
    ),
    ({"op": "unsubscribe", "id": "nix"}, "unknown_id", "nix"),
]


async def test_every_bad_message_is_answered_and_the_connection_lives_on() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("trades", "*", id="here")
        for message, code, id in ERRORS:
            raw = message if isinstance(message, str | bytes) else json.dumps(message)
            await peer.socket.send(raw)
            answer = await peer.hear()
            assert (answer["op"], answer["code"]) == ("error", code), (message, answer)
            assert answer.get("id") == id, (message, answer)
            assert answer["message"]
        ambiguous = await peer.ask(op="subscribe", channel="trades", symbols=["BTC-USDT"])
        assert ambiguous["code"] == "ambiguous_symbol"
        assert ambiguous["choices"] == ["BINANCE:BTC-USDT", "SYNTH:BTC-USDT"]
        plant.trade(1.0)
        assert seqs(await peer.events(1)) == [1]
        assert plant.watches == []


async def test_limits_of_subscriptions_connections_and_frames() -> None:
    plant = FakePlant(subscriptions_max=1, subscribers_max=1, frame_kb_max=1)
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("trades", "*")
        answer = await peer.ask(op="subscribe", id=7, channel="trades", symbols=["*"])
        assert (answer["code"], answer["id"]) == ("too_many_subscriptions", 7)
        assert (await (await join()).closed())[0] == 1013
        await peer.socket.send("x" * 1025)
        assert (await peer.closed())[0] == 1009


async def test_silence_brings_heartbeats_with_what_was_delivered() -> None:
    plant = FakePlant(heartbeat_s=0.1, run=3)
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("trades", "EURUSD")
        plant.quote(1.0, instrument=2)
        heartbeat: dict[str, Any] = {}
        while heartbeat.get("seq") != 1:
            heartbeat = await peer.hear()
            assert heartbeat["op"] == "heartbeat"
        assert heartbeat["run"] == 3
        assert heartbeat["ts"].endswith("Z")


async def test_a_snapshot_comes_first_and_the_numbers_rise() -> None:
    plant = FakePlant()
    plant.trade(1.0, 2.0)
    plant.trade(7.0, 8.0, instrument=2)
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("trades", "*", snapshot=True)
        first = await peer.events(2)
        assert [(e["seq"], e["price"], e["flags"]) for e in first] == [
            (2, 2.0, ["synthetic", "snapshot"]),
            (4, 8.0, ["synthetic", "snapshot"]),
        ]
        plant.trade(3.0)
        [event] = await peer.events(1)
        assert (event["seq"], event["flags"]) == (5, ["synthetic"])


async def test_from_a_number_replays_what_came_after_it_then_lives() -> None:
    plant = FakePlant(ring_rows=1_000)
    for _ in range(30):
        plant.trade(*[1.0] * 100)  # the ring holds the last few of these
    async with peers(plant) as join:
        peer = await join()
        answer = await peer.subscribe("trades", "*", **{"from": 17})
        assert answer["seq"] == 17
        got, live = await peer.until_live()
        assert seqs(got) == list(range(18, 3_001))
        assert live["seq"] == 3_000
        plant.trade(2.0)
        assert seqs(await peer.events(1)) == [3_001]


async def test_from_a_number_within_a_batch_of_the_ring_begins_behind_it() -> None:
    plant = FakePlant()
    plant.trade(1.0, 2.0, 3.0)
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("trades", "EURUSD", **{"from": 2})
        got, live = await peer.until_live()
        assert (seqs(got), live["seq"]) == ([3], 3)


async def test_from_a_time_delivers_later_rows_only_in_the_order_of_their_numbers() -> None:
    plant = FakePlant()
    for seconds in (5, 1, 9, 2, 7):
        plant.trade(1.0, ts=BASE + seconds * 10**9)
    async with peers(plant) as join:
        peer = await join()
        answer = await peer.subscribe("trades", "*", **{"from": format_time(BASE + 7 * 10**9)})
        assert answer["seq"] == 2
        got, _ = await peer.until_live()
        assert seqs(got) == [3, 5]
        plant.trade(1.0, ts=BASE)
        plant.trade(1.0, ts=BASE + 8 * 10**9)
        assert seqs(await peer.events(1)) == [7]


async def test_replay_joins_live_without_a_hole_or_a_double_at_full_speed() -> None:
    plant = FakePlant(ring_rows=60_000)  # all that is published meanwhile, no more
    for _ in range(100):
        plant.trade(*[1.0] * 1_000)
    total = 150_000
    async with peers(plant) as join:
        readers = [await join() for _ in range(2)]
        await readers[0].subscribe("trades", "*", **{"from": 0})
        await readers[1].subscribe("trades", "EURUSD", **{"from": 1_234})

        def publish() -> None:
            while plant.seq_last < total:
                plant.publish("trades", [1, 2] * 100, price=[1.0] * 200)

        publisher = asyncio.create_task(asyncio.to_thread(publish))

        async def read(peer: Peer, wanted: list[int]) -> None:
            got: list[int] = []
            lives = 0
            while not got or got[-1] < wanted[-1]:
                message = await peer.hear()
                assert message["op"] in ("data", "live", "heartbeat"), message
                lives += message["op"] == "live"
                got += seqs(message.get("events", []))
            assert got == wanted
            assert lives <= 1

        everything = list(range(1, total + 1))
        mine = [seq for seq in everything if seq > 1_234 and (seq <= 100_000 or seq % 2)]
        await asyncio.gather(read(readers[0], everything), read(readers[1], mine), publisher)


async def test_a_number_of_an_earlier_run_counts_only_up_to_where_the_next_began() -> None:
    store = ListStore()
    first = FakePlant(store=store)
    first.trade(1.0, 2.0, 3.0)
    again = FakePlant(store=store, seq=3, run=2, bases={1: 0, 2: 3})
    again.trade(4.0, 5.0)
    async with peers(again) as join:
        peer = await join()
        # The client had numbers up to 9 of run 1, but only 3 of them were durable.
        answer = await peer.subscribe("trades", "*", **{"from": 9, "run": 1})
        assert (answer["seq"], answer["run"]) == (3, 2)
        got, _ = await peer.until_live()
        assert [(e["seq"], e["price"]) for e in got] == [(4, 4.0), (5, 5.0)]


async def test_notices_are_heard_on_the_channel_status() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer = await join()
        assert (await peer.subscribe("status"))["symbols"] == ["*"]
        assert [event["state"] for event in await peer.events(1, channel="status")] == ["running"]
        plant.trade(1.0)
        plant.hub.publish(Published.of_status({"feed": "synthetic", "state": "running"}, 1))
        assert await peer.events(1, channel="status") == [{"feed": "synthetic", "state": "running"}]


async def test_the_state_is_told_at_once_and_whenever_it_changes() -> None:
    plant = FakePlant(run=3)
    as_now = {"state": "running", "backpressure": "healthy", "run": 3}
    good = as_now | {"ready": True, "reason": "accepting"}
    bad = as_now | {"ready": False, "reason": "the log is refusing"}

    async def heard(peer: Peer) -> dict[str, Any]:
        (event,) = await peer.events(1, channel="status")
        assert event.pop("ts").endswith("Z")
        return event

    async with peers(plant) as join:
        first, second = await join(), await join()
        await first.subscribe("status")
        assert await heard(first) == good
        plant.ready = (False, "the log is refusing")
        assert await heard(first) == bad
        await second.subscribe("status")
        assert await heard(second) == bad  # at once what it is, not what it was
        await first.socket.close()
        plant.ready = (True, "accepting")
        assert await heard(second) == good
        plant.load_level = "overload"
        assert await heard(second) == good | {"backpressure": "overload"}


async def test_a_state_that_cannot_be_read_is_asked_for_again() -> None:
    plant = FakePlant()
    asked = 0

    def readiness() -> tuple[bool, str]:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise RuntimeError("a bug")
        return asked < 3, "so it is"

    plant.readiness = readiness  # type: ignore[method-assign]
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("status")
        assert [event["ready"] for event in await peer.events(2, channel="status")] == [True, False]


async def test_a_plant_that_is_stopping_refuses_candles_and_keeps_the_connection() -> None:
    plant = FakePlant()

    def refuse(*_: object) -> None:
        raise Stopping("the plant is stopping")

    plant.watch_candles = refuse  # type: ignore[method-assign]
    async with peers(plant) as join:
        peer = await join()
        answer = await peer.ask(
            op="subscribe", id=1, channel="candles", symbols=["*"], interval="1m"
        )
        assert (answer["code"], answer["message"]) == ("unavailable", "the plant is stopping")
        assert (await peer.ask(op="ping"))["op"] == "pong"


async def test_a_read_that_fails_ends_its_subscription_only_and_says_where() -> None:
    plant = FakePlant(ring_rows=1_000)
    for _ in range(20):
        plant.trade(*[1.0] * 100)

    def fail(*_: object, **__: object) -> None:
        raise LogUnavailable("the disk refuses")

    plant.store.scan_seq = fail  # type: ignore[assignment, method-assign]
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("trades", "*", id=1, **{"from": 3})
        answer = await peer.hear()
        assert (answer["op"], answer["id"], answer["code"]) == ("error", 1, "unavailable")
        assert answer["seq"] == 3
        await peer.subscribe("trades", "*", id=1)
        plant.trade(1.0)
        assert seqs(await peer.events(1)) == [2_001]


async def test_shutdown_closes_with_1012() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer = await join()
        await peer.subscribe("candles", "*", interval="1m")
        assert len(plant.watches) == 2
        await asyncio.to_thread(join.served.stop)
        assert (await peer.closed())[0] == 1012
        assert plant.watches == []
        assert plant.hub.status().listeners == 0
