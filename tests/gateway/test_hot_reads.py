"""Reads that pass by all layers are answered byte for byte as those that go through them."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from log_kit import lines_of
from plant_kit import NOW, Clock, open_plant, submit
from tickplant.compose import open_follower
from tickplant.config import load
from tickplant.gateway.app import create_app
from tickplant.gateway.http import AT_ONCE_MAX
from tickplant.gateway.keys.file import KeyFile
from tickplant.gateway.reader import create_reader_app
from tickplant.gateway.rest import latest
from tickplant.gateway.turn import KNOWN_BYTES_MAX, KNOWN_MAX
from tickplant.model.at_once import about_to_wait
from tickplant.observe.logs import ACCESS
from tickplant.plant.plant import Plant
from wire_kit import Server, Wire

SECOND = 10**9
FRIEND = "http://localhost:3000"
PATHS = (
    "/v1/latest/S0", "/v1/latest/s1", "/v1/latest/ORIGIN:S0", "/v1/latest/%530",
    "/v1/latest/NONE", "/v1/latest/a%2Fb", "/v1/latest/S0/", "/v1/latest//S0", "/v1/latest/",
    "/v1/latest?symbols=S0,S1", "/v1/latest?symbols=", "/v1/latest?symbols=*", "/v1/latest/S0?a=1",
    "/v1/candles/S0?interval=1m", "/v1/candles/S0?interval=1m&limit=2&start=0",
    "/v1/candles/S1?interval=soon", "/v1/candles/S1?interval=1m&format=csv", "/v1/candles/S0?",
    "/v1/trades/S0?limit=3&order=desc", "/v1/trades/S1?limit=0", "/v1/trades/S0?limit=2",
    "/v1/trades/S0?page_token=x", "/v1/quotes/S0", "/v1/trades/%FF", "/v1/latest/S0#end",
    "/v1/instruments", "/nowhere", "/ready", "/v1/latest/S0?q=%00%7f", "//v1/latest/S0",
)  # fmt: skip
METHODS = ("GET",) * 12 + ("HEAD", "HEAD", "OPTIONS", "DELETE")
HEADERS = (
    "",
    "Accept: */*\r\n",
    "Accept: text/csv\r\n",
    "ACCEPT: image/png\r\nAccept: text/csv\r\n",
    "X-Request-ID: mine-1\r\n",
    "X-Request-ID: not decent\r\n",
    f"Origin: {FRIEND}\r\n",
    "Origin: http://evil.example.com\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Content-Length: 2\r\n",
    "Expect: 100-continue\r\n",
    "X-Forwarded-For: 10.0.0.9\r\n",
    "X-Forwarded-For: 10.0.0.8:77, 127.0.0.1\r\n",
    "X-API-Key: tp_none\r\n",
)
CHANGING = re.compile(
    rb"(x-response-time-ms: )[\d.]+|(x-request-id: )[0-9a-f]{8}-[0-9a-f]+"
    rb"|(ratelimit-reset: )\d+|(retry-after: )\d+|(try again in )\d+"
)
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "a prefix": {"server__path_prefix": "/tp"},
    "an origin": {"server__origins": FRIEND, "log__access": True},
    "all origins": {"server__origins": "*"},
    "keys": {"auth__required": True, "limits__read": "300/hour"},
    "a proxy": {"server__proxies": "127.0.0.1", "limits__read": "60/hour", "log__access": True},
}


def fill(plant: Plant, turn: int) -> None:
    names, at = ["S0", "S1"], NOW - (90 - turn) * SECOND
    submit(plant, symbol=names, ts_event=[at, at + 1], price=[1.0 + turn, 2.0], size=[1.0, 0.5])
    submit(plant, "quotes", symbol=["S0"], ts_event=[at], bid_price=[1.0 + turn], ask_price=[99.0])


def asked(shuffle: random.Random, prefix: str, keys: list[str]) -> tuple[str, bytes]:
    method, path = shuffle.choice(METHODS), shuffle.choice(PATHS)
    more = [shuffle.choice(HEADERS) for _ in range(shuffle.choice((0, 0, 1, 1, 2)))]
    if keys and shuffle.random() < 0.8:
        more.append(shuffle.choice([f"Authorization: Bearer {k}\r\n" for k in keys]))
    lines = "".join(dict.fromkeys(more))
    body = "{}" if "Content-Length" in lines else ""
    version = shuffle.choice(("1.1",) * 9 + ("1.0",))
    path = prefix + path if shuffle.random() < 0.5 else path
    return method, f"{method} {path} HTTP/{version}\r\nHost: here\r\n{lines}\r\n{body}".encode()


def constant(answer: bytes) -> bytes:
    return CHANGING.sub(lambda found: (found[1] or found[2] or found[3] or b"") + b"?", answer)


class Caller:
    """Sends requests on one connection for as long as it is kept."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.protocol, self.wire = server.connect()

    async def ask(self, method: str, sent: bytes) -> bytes:
        if self.wire.closed:
            self.protocol.connection_lost(None)
            self.protocol, self.wire = self.server.connect()
        self.wire.writes.clear()
        self.protocol.data_received(sent)
        first = b"".join(await self.wire.until([method]))
        if first.startswith(b"HTTP/1.1 100"):
            first = b"".join(await self.wire.until([method, method]))
        return first


def requests_counted(plant: Plant) -> Counter[str]:
    lines = plant.metrics.render()[0].decode().splitlines()
    counts = [
        line.rpartition(" ") for line in lines if line.startswith("tickplant_http_requests_total{")
    ]
    return Counter({name: int(float(value)) for name, _, value in counts})


def noted(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """Return a list to which every request that is counted is added."""
    found: list[tuple[str, str, int]] = []
    answered = plant.metrics.answered

    def note(method: str, route: str, status: int, seconds: float) -> None:
        found.append((method, route, status))
        answered(method, route, status, seconds)

    monkeypatch.setattr(plant.metrics, "answered", note)
    return found


@pytest.mark.parametrize("name", SETTINGS)
async def test_a_hot_read_is_answered_as_through_all_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    shuffle, given = random.Random(name), SETTINGS[name]
    prefix = given.get("server__path_prefix", "")
    keys = [KeyFile(tmp_path).create([scope], now=1)[0] for scope in ("read", "write")]
    with ExitStack() as stack:
        plant = stack.enter_context(open_plant(tmp_path, log__sync="none", **given))
        hot = Server(create_app(plant), plant.settings)
        cold = Server(create_app(plant), plant.settings, hot=False)
        quick, slow = Caller(hot), Caller(cold)
        said, counted = stack.enter_context(lines_of(ACCESS)), noted(plant, monkeypatch)
        for turn in range(160):
            if turn % 32 == 0:
                fill(plant, turn // 32)
            method, sent = asked(shuffle, prefix, keys if "auth__required" in given else [])
            both = [constant(await caller.ask(method, sent)) for caller in (quick, slow)]
            assert both[0] == both[1], sent
            assert quick.wire.closed == slow.wire.closed, sent
            assert both[0].startswith(b"HTTP/1.1 ")
        assert counted[::2] == counted[1::2]
        assert sum(requests_counted(plant).values()) == len(counted) == 320
        assert hot.answered > 50
        assert hot.known
        assert not cold.known
        lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert bool(lines) == bool(given.get("log__access"))
    shown = [(one["message"], one["status"], one["client"]) for one in lines]
    assert shown[::2] == shown[1::2]


async def test_a_reader_has_hot_reads_too(tmp_path: Path) -> None:
    with open_plant(tmp_path, log__sync="none") as plant:
        fill(plant, 0)
        follower = open_follower(load(flags={"data": str(tmp_path)}), Clock())
        try:
            hot = Server(create_reader_app(follower), follower.settings)
            cold = Server(create_reader_app(follower), follower.settings, hot=False)
            quick, slow = Caller(hot), Caller(cold)
            for turn in range(3):
                fill(plant, turn)
                for path in PATHS:
                    sent = f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
                    both = [constant(await one.ask("GET", sent)) for one in (slow, quick)]
                    assert both[0] == both[1], sent
            assert hot.answered > 40
        finally:
            follower.stop()


def request(path: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: here\r\n{more}\r\n".encode()


ROW = '{"symbol":"S0","price":4.0,"id":"1"}'
SENT = (
    ("GET", request("/v1/latest/S0")),
    ("GET", request("/v1/latest/S0")),
    ("HEAD", request("/v1/trades/S0?limit=1", "HEAD")),
    ("GET", request("/v1/instruments?a=1")),
    ("GET", request("/v1/candles/S1?interval=1m")),
    ("GET", request("/v1/latest/NONE", more="X-Request-ID: mine\r\n")),
    ("POST", request("/v1/prices", "POST", f"Content-Length: {len(ROW)}\r\n") + ROW.encode()),
    ("OPTIONS", request("/v1/latest/S0", "OPTIONS")),
)


async def test_however_bytes_are_cut_all_is_answered_in_turn(tmp_path: Path) -> None:
    shuffle = random.Random(5)
    with open_plant(tmp_path, log__sync="none") as plant:
        fill(plant, 0)
        hot = Server(create_app(plant), plant.settings)
        cold = Caller(Server(create_app(plant), plant.settings, hot=False))
        alone = {sent: constant(await cold.ask(method, sent)) for method, sent in SENT}
        for turn in range(60):
            chosen = [shuffle.choice(SENT) for _ in range(shuffle.randrange(1, 9))]
            whole = b"".join(sent for _, sent in chosen)
            ends = sorted(shuffle.randrange(len(whole)) for _ in range(shuffle.randrange(9)))
            if turn == 0:
                ends = list(range(1, len(whole)))
            elif turn % 3 == 0:  # as they are sent, one by one
                ends = [sum(len(sent) for _, sent in chosen[:n]) for n in range(1, len(chosen))]
            protocol, wire = hot.connect()
            for start, end in zip([0, *ends], [*ends, len(whole)], strict=True):
                protocol.data_received(whole[start:end])
                if shuffle.random() < 0.3:
                    await asyncio.sleep(0)
            found = await wire.until([method for method, _ in chosen])
            assert [constant(one) for one in found] == [alone[sent] for _, sent in chosen]
            protocol.connection_lost(None)
        assert hot.answered > 50


async def served(folder: ExitStack, tmp_path: Path, **settings: Any) -> tuple[Plant, Server]:
    plant = folder.enter_context(open_plant(tmp_path, log__sync="none", **settings))
    fill(plant, 0)
    server = Server(create_app(plant), plant.settings)
    caller = Caller(server)
    for _ in range(2):  # what was not kept yet is made by a task
        await caller.ask("GET", HOT)
    assert HOT in server.known
    return plant, server


HOT = request("/v1/latest/S0")


async def test_a_body_that_looks_like_a_request_is_a_body(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path)
        protocol, wire = server.connect()
        protocol.data_received(request("/v1/trades", "POST", f"Content-Length: {len(HOT)}\r\n"))
        protocol.data_received(HOT)
        [answer] = await wire.until(["POST"])
        assert answer.startswith(b"HTTP/1.1 4")
        assert len(wire.answers(["POST", "GET"])) == 1
        protocol, wire = server.connect()
        for turn in range(1, 4):  # two that came together are not one
            protocol.data_received(HOT + HOT)
            assert len(await wire.until(["GET"] * 2 * turn)) == 2 * turn
            assert len(b"".join(wire.writes).split(b"HTTP/1.1 200")) == 2 * turn + 1
        before = server.answered
        protocol, wire = server.connect()
        protocol.data_received(b"GET /v1/status HTTP/1.1\r\nX: ")
        protocol.data_received(HOT)  # goes on with a header, and is none of its own
        await wire.until(["GET"])
        assert server.answered == before


@pytest.mark.parametrize(
    "first",
    [
        request("/v1/instruments", more="Connection: close\r\n"),
        request("/v1/instruments", more="Connection: upgrade\r\nUpgrade: h2c\r\n"),
        request("/v1/instruments", more="Connection: keep-alive\r\n").replace(b"1.1", b"1.0"),
        b"\r\n",
    ],
)
async def test_what_follows_the_end_of_a_connection_is_none(tmp_path: Path, first: bytes) -> None:
    with ExitStack() as stack:
        plant, server = await served(stack, tmp_path)
        found = []
        for one in (server, Server(create_app(plant), plant.settings, hot=False)):
            protocol, wire = one.connect()
            protocol.data_received(first)
            if first.strip():
                await wire.until(["GET"])
            protocol.data_received(HOT)
            for _ in range(5):
                await asyncio.sleep(0)
            found.append([constant(answer) for answer in wire.answers(["GET", "GET", "GET"])])
        assert found[0] == found[1]


async def test_who_does_not_read_is_written_no_more(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path)
        protocol, wire = server.connect()
        protocol.pause_writing()
        protocol.data_received(HOT + HOT)
        for _ in range(5):
            await asyncio.sleep(0)
        assert (wire.writes, wire.paused) == ([], True)
        protocol.resume_writing()
        assert len(await wire.until(["GET", "GET"])) == 2
        assert not wire.paused


async def test_many_that_were_sent_ahead_leave_turns_to_others(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path)
        (many, wire), (one, other) = server.connect(), server.connect()
        await Caller(server).ask("GET", HOT)
        many.data_received(HOT * 100)
        one.data_received(HOT)
        await other.until(["GET"])
        assert AT_ONCE_MAX <= len(wire.writes) <= 3 * AT_ONCE_MAX
        assert wire.paused
        assert len(await wire.until(["GET"] * 100)) == 100
        assert not wire.paused
        many.data_received(HOT * 30 + request("/nowhere"))  # what follows does not overtake them
        found = (await wire.until(["GET"] * 131))[100:]
        assert [answer[9:12] for answer in found] == [b"200"] * 30 + [b"404"]


async def test_one_that_has_to_wait_keeps_its_turn_and_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        plant, server = await served(stack, tmp_path, limits__read="100/hour")
        of = latest._Last.of

        def slow(*args: Any) -> Any:
            about_to_wait()  # in a reader's thread it may
            return of(*args)

        monkeypatch.setattr(latest._Last, "of", slow)
        fill(plant, 1)
        protocol, wire = server.connect()
        protocol.data_received(HOT)
        protocol.data_received(request("/v1/trades/S0?limit=1") + request("/nowhere"))
        found = await wire.until(["GET"] * 3)
        assert [one[9:12] for one in found] == [b"200", b"200", b"404"]
        left = [re.search(rb"ratelimit-remaining: (\d+)", one) for one in found]
        assert [one and int(one[1]) for one in left] == [97, 96, 95]


async def test_a_server_that_stops_answers_what_was_asked(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path)
        protocol, wire = server.connect()
        protocol.data_received(HOT)
        protocol.shutdown()
        assert len(wire.answers(["GET"])) == 1
        assert wire.closed
        gone, silent = server.connect()
        gone.data_received(HOT)
        gone.connection_lost(ConnectionResetError())
        await asyncio.sleep(0)
        assert not silent.writes


async def test_what_is_no_http_is_refused_behind_what_was_asked(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path)
        protocol, wire = server.connect()
        protocol.data_received(HOT + b"nonsense\r\n\r\n")
        found = await wire.until(["GET", "GET"])
        assert [one[9:12] for one in found] == [b"200", b"400"]
        assert wire.closed


async def test_a_full_server_refuses_hot_reads(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path, server__connections_max=3)
        server.state.connections.clear()
        several = [server.connect() for _ in range(3)]
        protocol, wire = several[-1]
        protocol.data_received(HOT)
        [answer] = await wire.until(["GET"])
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"3 connections" in answer
        several[0][0].connection_lost(None)
        protocol, wire = several[1]
        protocol.data_received(HOT)
        [answer] = await wire.until(["GET"])
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_fault_of_ours_is_said_and_logged_with_the_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        plant, server = await served(stack, tmp_path)
        monkeypatch.setattr(latest, "FreshJson", None)
        caller = Caller(server)
        with lines_of("tickplant.gateway") as said:
            answer = await caller.ask("GET", request("/v1/latest/S0", more="X-Request-ID: r-7\r\n"))
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"request id r-7" in answer
        [line] = map(json.loads, said.getvalue().splitlines())
        assert line["request"] == "r-7"
        told = 'route="/v1/latest/{symbol}",status="500"'
        assert any(told in name for name in requests_counted(plant))


async def test_what_is_kept_of_requests_is_bounded_and_holds_no_secret(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path)
        caller = Caller(server)
        key = "tp_aaaaaaaaaa_" + "b" * 43
        for more in (
            f"X-API-Key: {key}\r\n",
            f"Authorization: Bearer {key}\r\n",
            "Cookie: a=b\r\n",
        ):
            await caller.ask("GET", request("/v1/latest/S0", more=more))
        await caller.ask("GET", request("/v1/latest/S0", more=f"X: {'y' * KNOWN_BYTES_MAX}\r\n"))
        assert list(server.known) == [HOT]
        protocol, wire = server.connect()
        for number in range(KNOWN_MAX):
            protocol.data_received(request(f"/v1/latest/N{number}"))
        await wire.until(["GET"] * KNOWN_MAX)
        assert len(server.known) <= KNOWN_MAX
        assert HOT not in server.known


class Sampler:
    """A tracer that samples what it is told to, and counts how often it is asked."""

    def __init__(self, trace: Any) -> None:
        self.trace = trace
        self.asked = 0

    def close(self) -> None:
        pass

    def begin_request(self, method: str, headers: Any) -> Any:
        self.asked += 1
        return self.trace


class Span:
    """What a traced request needs of a trace."""

    id = "0" * 32

    def __init__(self) -> None:
        self.names: list[str] = []

    def rename(self, name: str) -> None:
        self.names.append(name)

    def __getattr__(self, name: str) -> Any:
        return lambda *given: None


async def test_a_read_is_asked_once_whether_it_is_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path, log__sync="none") as plant:
        fill(plant, 0)
        for trace in (None, Span()):
            sampler = Sampler(trace)
            monkeypatch.setattr(plant, "tracer", sampler)
            server = Server(create_app(plant), plant.settings)
            caller = Caller(server)
            for path in ("/v1/latest/S0", "/v1/latest/S0", "/v1/trades/S0?format=csv"):
                assert (await caller.ask("GET", request(path)))[9:12] == b"200"
            assert sampler.asked == 3
            assert bool(server.answered) == (trace is None)
            if trace is not None:
                assert trace.names == ["GET /v1/latest/{symbol}"] * 2 + ["GET /v1/trades/{symbol}"]


async def test_a_hot_connection_that_is_idle_is_closed_after_its_time(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _, server = await served(stack, tmp_path)
        now, loop = [100.0], asyncio.get_running_loop()
        calls: list[tuple[float, Any]] = []

        class Loop:
            def time(self) -> float:
                return now[0]

            def call_later(self, after_s: float, then: Any) -> Any:
                calls.append((now[0] + after_s, then))
                return asyncio.Handle(then, (), loop)

            def __getattr__(self, name: str) -> Any:
                return getattr(loop, name)

        protocol, wire = server.connect(loop=Loop())
        for at in (100.0, 103.0, 104.0):
            now[0] = at
            protocol.data_received(HOT)
            await asyncio.sleep(0)
        assert len(wire.answers(["GET"] * 3)) == 3
        for due in (105.0, 109.0):
            [(now[0], look)] = calls
            assert now[0] == due
            calls.clear()
            look()
        assert wire.closed
        protocol.connection_lost(None)


def test_wire_counts_only_whole_answers() -> None:
    """The kit itself: a test that took half an answer for one would prove nothing."""

    async def look() -> None:
        wire = Wire()
        wire.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab")
        assert wire.answers(["GET"]) == []
        wire.write(b"c")
        assert len(wire.answers(["GET", "GET"])) == 1

    asyncio.run(look())
