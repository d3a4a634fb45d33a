"""Subscriptions that want the same are served together, and each gets what it would get alone."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_stream import Peer, peers, seqs

from stream_fakes import FakePlant
from tickplant.cli.server import config_of
from tickplant.config import Settings
from tickplant.gateway.stream import fanout, portions
from tickplant.gateway.stream.fanout import Fanout
from tickplant.gateway.stream.frames import Frame, Outlet
from tickplant.gateway.stream.open import open_subscription
from tickplant.gateway.stream.protocol import JSON, PACKED, Codec, Id, Subscribe
from tickplant.gateway.stream.server import StreamProtocol
from tickplant.gateway.stream.subscription import Subscription, TooSlowError
from tickplant.plant.published import Published


@dataclass(eq=False)
class Wire:
    """A client that takes `room` frames before it has to be waited for."""

    room: int = 10**9
    written: list[bytes] = field(default_factory=list)

    def ready(self) -> bool:
        return self.room > 0

    def write(self, data: bytes) -> None:
        self.room -= 1
        self.written.append(data)

    async def drain(self) -> None:
        raise AssertionError("a fan-out waits for nobody")


def run_now(work: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(work())
    return future


class Watcher:
    """A client with one subscription, and what its session would do for it."""

    def __init__(self, one: Subscription, fan: Fanout, room: int = 10**9) -> None:
        self.one = one
        self.fan = fan
        self.wire = Wire(room)
        self.woken = 0
        self.outlet = Outlet(self.wire, None, self._wake, 0.0)  # type: ignore[arg-type]

    def _wake(self) -> None:
        self.woken += 1

    def step(self) -> None:
        """Send what is left, go on alone, and join the others where that is possible."""
        while self.outlet.pending and self.wire.ready():
            self.wire.write(self.outlet.pending.popleft().wire)
        while self.one.group is None and not self.outlet.pending and self.wire.ready():
            for frame in self.one.step(self.fan.upto):
                self.wire.write(frame.wire)  # a session waits until there is room
            if not self.one.more and self.one.caught_up:
                self.fan.join(self.one, self.outlet)
                return

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(payload(data)) for data in self.wire.written]

    def seqs(self) -> list[int]:
        return [event["seq"] for message in self.heard() for event in message.get("events", [])]


def payload(data: bytes) -> bytes:
    """Read a frame as a client does (RFC 6455, 5.2)."""
    assert data[0] in (0x81, 0x82)
    short = data[1]
    head = 4 if short == 126 else 10 if short == 127 else 2
    size = short if head == 2 else int.from_bytes(data[2:head], "big")
    assert len(data) == head + size
    return data[head:]


async def watch(
    plant: FakePlant,
    fan: Fanout,
    *symbols: str,
    id: Id = 1,
    codec: Codec = JSON,
    channel: str = "trades",
    room: int = 10**9,
    **fields: Any,
) -> Watcher:
    message = Subscribe(op="subscribe", channel=channel, symbols=list(symbols), **fields)
    opened = await open_subscription(id, message, plant, codec, run_now)
    watcher = Watcher(opened.subscription, fan, room)
    watcher.step()
    return watcher


def counted(codec: Codec) -> tuple[Codec, list[Any]]:
    encoded: list[Any] = []

    def encode(value: Any) -> bytes:
        encoded.append(value)
        return codec.encode(value)

    return replace(codec, encode=encode), encoded


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_a_frame_is_what_a_client_reads(size: int) -> None:
    for text in (True, False):
        frame = Frame((b"x" * (size // 2), b"y" * (size - size // 2)), text=text)
        assert (
            payload(frame.wire) == frame.payload == b"x" * (size // 2) + b"y" * (size - size // 2)
        )
        assert (frame.wire[0] & 15 == 1) is text


async def test_those_who_want_the_same_are_sent_the_same_bytes_which_were_encoded_once() -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    codec, encoded = counted(JSON)
    same = [await watch(plant, fan, "EURUSD", codec=codec) for _ in range(20)]
    other = await watch(plant, fan, "EURUSD", codec=codec, id="b")
    wider = await watch(plant, fan, "*", codec=codec)
    packed = await watch(plant, fan, "EURUSD", codec=PACKED)
    for price in range(3):
        plant.trade(float(price))
    plant.trade(9.0, instrument=2)
    await fan.tick()
    assert len({id(data) for watcher in same for data in watcher.wire.written}) == 1
    assert [watcher.seqs() for watcher in (*same, other)] == [[1, 2, 3]] * 21
    assert wider.seqs() == [1, 2, 3, 4]
    assert [m["id"] for m in other.heard()] == ["b"]
    assert sum(type(value).__name__ == "TradeEvent" for value in encoded) == 4
    assert packed.wire.written[0][0] == 0x82
    assert plant.metrics.stream.sent_events["trades"] == 22 * 3 + 4
    assert plant.metrics.stream.frames == sum(plant.metrics.stream.sends) == 23


async def test_who_is_not_ready_goes_on_alone_and_joins_again() -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    healthy, slow = [await watch(plant, fan, "EURUSD", room=room) for room in (10**9, 1)]
    for _ in range(3):
        plant.trade(1.0)
        await fan.tick()
    assert healthy.seqs() == [1, 2, 3]
    assert slow.seqs() == [1]
    assert (slow.one.group, slow.woken) == (None, 1)
    slow.wire.room = 10**9
    slow.step()
    assert slow.seqs() == [1, 2, 3]
    assert slow.one.group is healthy.one.group
    plant.trade(1.0)
    await fan.tick()
    assert slow.wire.written[-1] is healthy.wire.written[-1]


async def test_frames_that_a_client_has_no_room_for_wait_for_it_alone() -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    healthy, slow = [await watch(plant, fan, "EURUSD", room=room) for room in (10**9, 1)]
    plant.publish("trades", [1] * 4_000, price=[1.0] * 4_000)  # several frames
    await fan.tick()
    assert len(healthy.wire.written) > 2
    assert len(slow.outlet.pending) == len(healthy.wire.written) - 1
    slow.wire.room = 10**9
    slow.step()
    assert slow.seqs() == healthy.seqs() == list(range(1, 4_001))
    assert slow.one.seq == 4_000


async def test_a_group_that_the_ring_has_passed_is_told_one_by_one() -> None:
    plant = FakePlant(ring_rows=1_000)
    fan = Fanout(plant.hub, plant.metrics.stream)
    trades = await watch(plant, fan, "*")
    quotes = await watch(plant, fan, "*", channel="quotes")
    plant.trade(1.0)
    await fan.tick()
    for _ in range(20):
        plant.publish("quotes", [1, 2] * 50, bid_price=[1.0] * 100)
    await fan.tick()
    assert trades.one.group is quotes.one.group is None
    quotes.step()
    assert [m.get("dropped") for m in quotes.heard()] == [1_998, None]
    with pytest.raises(TooSlowError, match=r"resume trades from seq 1$"):
        trades.one.step()


async def test_a_fault_of_a_group_costs_its_members_no_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    watchers = [await watch(plant, fan, "EURUSD") for _ in range(2)]
    monkeypatch.setattr(Subscription, "frames_of", lambda *_: 1 / 0)
    plant.trade(1.0)
    await fan.tick()
    for watcher in watchers:
        watcher.step()
        assert watcher.seqs() == [1]


async def test_what_writes_quicker_is_prepared_once_there_is_much_to_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "PREPARE_AFTER_ROWS", 5)
    plant = FakePlant()
    prepared: list[int] = []
    fan = Fanout(plant.hub, plant.metrics.stream, lambda: prepared.append(plant.seq_last))
    watcher = await watch(plant, fan, "*")
    for _ in range(8):
        plant.trade(1.0)
        await fan.tick()
    assert watcher.seqs() == list(range(1, 9))
    assert prepared == [5]


async def test_what_cannot_be_found_together_each_finds_for_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    one, other = [await watch(plant, fan, name) for name in ("EURUSD", "*")]
    monkeypatch.setattr(portions, "_shares", lambda *_: 1 / 0)
    plant.trade(1.0)
    plant.trade(2.0, instrument=2)
    await fan.tick()
    assert (one.seqs(), other.seqs()) == ([1], [1, 2])
    assert one.one.group is not None


async def test_who_leaves_in_the_middle_of_a_turn_is_sent_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fanout, "SLICE", 1)  # the loop has its turn after each write
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    first, second, third = [await watch(plant, fan, "EURUSD") for _ in range(3)]

    def write(data: bytes) -> None:
        first.wire.written.append(data)
        fan.leave(second.one)

    first.wire.write = write  # type: ignore[method-assign]
    plant.trade(1.0)
    await fan.tick()
    assert [one.seqs() for one in (first, second, third)] == [[1], [], [1]]


@pytest.mark.parametrize(
    ("took_s", "rest_s"), [(0.0, 0.0005), (0.004, 0.004), (0.015, 0.01), (0.06, 0.03), (9.0, 0.05)]
)
def test_a_tick_is_followed_by_a_rest(took_s: float, rest_s: float) -> None:
    assert fanout.rest_s(took_s) == rest_s


async def test_the_loop_has_its_turn_between_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SLICE", 2)
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    watchers = [await watch(plant, fan, "EURUSD", id=id) for id in range(6)]
    seen: list[int] = []

    def look() -> None:
        seen.append(sum(len(watcher.wire.written) for watcher in watchers))
        if seen[-1] < len(watchers):
            asyncio.get_running_loop().call_soon(look)

    plant.trade(1.0)
    asyncio.get_running_loop().call_soon(look)
    await fan.tick()
    assert seen == [2, 4, 6]
    assert [watcher.seqs() for watcher in watchers] == [[1]] * 6


WISHES = st.sampled_from(
    [
        ("trades", ("EURUSD",)),
        ("trades", ("SYNTH:BTC-USDT", "EURUSD")),
        ("trades", ("*",)),
        ("trades", ("SYNTH:*",)),
        ("quotes", ("*",)),
        ("quotes", ("SYNTH:BTC-USDT",)),
    ]
)
DOINGS = st.one_of(
    st.tuples(st.just("trade"), st.integers(1, 3)),
    st.tuples(st.just("quote"), st.integers(1, 3)),
    st.tuples(st.just("tick"), st.just(0)),
    st.tuples(st.just("step"), st.integers(0, 4)),
    st.tuples(st.just("room"), st.integers(0, 4)),
    st.tuples(st.just("full"), st.integers(0, 4)),
    st.tuples(st.just("join"), WISHES),
)


@settings(deadline=None, max_examples=60)
@given(
    wishes=st.lists(WISHES, min_size=2, max_size=4),
    doings=st.lists(DOINGS, min_size=5, max_size=50),
    together=st.integers(1, 6),
)
async def test_everyone_gets_everything_once_and_in_order(
    wishes: list[tuple[str, tuple[str, ...]]], doings: list[tuple[str, Any]], together: int
) -> None:
    with mock.patch.object(portions, "TOGETHER", together):
        await everyone_gets_everything(wishes, doings)


async def everyone_gets_everything(
    wishes: list[tuple[str, tuple[str, ...]]], doings: list[tuple[str, Any]]
) -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    began: list[tuple[int, str, tuple[str, ...], Watcher]] = []
    told: list[tuple[int, str, int]] = []  # number, table, instrument

    async def join(wish: tuple[str, tuple[str, ...]]) -> None:
        channel, symbols = wish
        watcher = await watch(plant, fan, *symbols, channel=channel)
        began.append((plant.seq_last, channel, symbols, watcher))

    for wish in wishes:
        await join(wish)
    for what, number in doings:
        watcher = began[number % len(began)][3] if isinstance(number, int) else None
        if what == "trade":
            told += [(seq, "trades", number) for seq in plant.trade(1.0, 2.0, instrument=number)]
        elif what == "quote":
            told += [(seq, "quotes", number) for seq in plant.quote(1.0, instrument=number)]
        elif what == "tick":
            await fan.tick()
        elif what == "join":
            await join(number)
        elif watcher is not None and what == "step":
            watcher.step()
        elif watcher is not None:
            watcher.wire.room = 1 if what == "full" else 10**9
    for *_, watcher in began:
        watcher.wire.room = 10**9
    await fan.tick()
    for *_, watcher in began:
        watcher.step()
    for after, channel, symbols, watcher in began:
        numbers = {"EURUSD": {1}, "SYNTH:BTC-USDT": {2}, "SYNTH:*": {1, 2}, "*": {1, 2, 3}}
        mine = set().union(*(numbers[symbol] for symbol in symbols))
        wanted = [s for s, table, one in told if s > after and table == channel and one in mine]
        assert watcher.seqs() == wanted
        assert watcher.one.seq == plant.seq_last
        assert watcher.one.group is not None


async def test_what_a_tick_encoded_of_small_entries_is_there_for_those_who_come_later() -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    codec, encoded = counted(JSON)
    late = plant.hub.tail()
    first = await watch(plant, fan, "EURUSD", codec=codec)
    everything = await watch(plant, fan, "*", codec=codec)
    slow = await watch(plant, fan, "*", codec=codec, room=0)
    slow.one.cursor = late
    for instrument in (1, 2, 1):
        plant.trade(1.0, 2.0, instrument=instrument)
    await fan.tick()
    slow.wire.room = 10**9
    slow.step()
    assert first.seqs() == [1, 2, 5, 6]
    assert everything.seqs() == slow.seqs() == [1, 2, 3, 4, 5, 6]
    assert sum(type(value).__name__ == "TradeEvent" for value in encoded) == 6


async def test_a_selection_of_many_takes_in_what_is_registered_later() -> None:
    plant = FakePlant()
    for number in range(30):
        plant.registry.add(f"S{number}", "SYNTH")
    fan = Fanout(plant.hub, plant.metrics.stream)
    watcher = await watch(plant, fan, "SYNTH:S*")
    plant.publish("trades", [3, 33, 4, 1], price=[1.0] * 4)
    await fan.tick()
    assert watcher.seqs() == [2, 3]
    plant.registry.add("X", "SYNTH")
    plant.registry.add("SX", "SYNTH")
    plant.publish("trades", [34, 35, 2, 10], price=[1.0] * 4)
    await fan.tick()
    assert watcher.seqs() == [2, 3, 6, 8]


async def test_a_server_writes_one_frame_to_many_connections() -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        joined: list[Peer] = [await join() for _ in range(3)]
        for peer in joined:
            await peer.subscribe("trades", "*", id=1)
            await peer.ask(op="ping")  # by its answer the subscription has had its turn
        [group] = join.served.app.state.streams._fanout._groups.values()
        assert len(group.members) == 3
        seq = plant.trade(1.0, 2.0)
        assert [seqs(await peer.events(2)) for peer in joined] == [seq] * 3
        await joined[0].ask(op="unsubscribe", id=1)
        assert len(group.members) == 2
        [seq] = plant.trade(3.0)
        assert seqs(await joined[1].events(1)) == [seq]


def test_what_is_served_is_not_compressed() -> None:
    config = config_of(None, Settings())
    assert config.ws_per_message_deflate is False
    assert issubclass(config.ws, StreamProtocol)  # type: ignore[arg-type]


async def test_a_connection_that_cannot_be_written_to_costs_the_others_nothing() -> None:
    plant = FakePlant()
    fan = Fanout(plant.hub, plant.metrics.stream)
    broken, healthy = [await watch(plant, fan, "EURUSD") for _ in range(2)]
    broken.wire.write = lambda _: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    plant.trade(1.0)
    await fan.tick()
    assert healthy.seqs() == [1]
    assert (broken.one.group, broken.woken, broken.one.seq) == (None, 1, 0)


async def test_a_tick_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = FakePlant()
    async with peers(plant) as join:
        peer: Peer = await join()
        await peer.subscribe("trades", "*", id=1)
        await peer.ask(op="ping")
        monkeypatch.setattr(portions, "_merge", lambda taken: [(taken[0], taken)])  # split fails
        monkeypatch.setattr(Published, "split", lambda *_: 1 / 0)
        seq = plant.trade(1.0)
        assert seqs(await peer.events(1)) == seq
        monkeypatch.undo()
        seq = plant.trade(2.0, 3.0)
        assert seqs(await peer.events(2)) == seq
