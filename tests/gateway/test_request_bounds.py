"""A request may be so long and take so long to come, and has no other headers than those ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plant_kit import NOW, open_plant, submit
from tickplant.gateway.app import create_app
from tickplant.gateway.connection import BODY_S_MAX, HEAD_BYTES_MAX, HEAD_S_MAX
from tickplant.gateway.http import HttpProtocol
from wire_kit import Server, Wire

HOT = b"GET /v1/latest/S0 HTTP/1.1\r\nHost: here\r\n\r\n"
POST = b"POST /v1/trades HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
ROW = b'{"symbol":"S0","price":4.0,"id":"1"}'
KEEP_S = 5.0  # as uvicorn has it


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with open_plant(tmp_path, log__sync="none", server__proxies="127.0.0.1") as plant:
        submit(plant, symbol=["S0"], ts_event=[NOW], price=[1.0])
        yield Server(create_app(plant), plant.settings)


class Loop:
    """A loop whose clock is set, and that keeps what shall be called later."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, after_s: float, then: Callable[[], None]) -> Any:
        self.calls.append((self.now + after_s, then))
        return asyncio.Handle(then, (), asyncio.get_running_loop())

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)

    def go_to(self, now: float) -> None:
        """Set the clock, with what is due on the way."""
        while due := [one for one in self.calls if one[0] <= now]:
            first = min(due, key=lambda one: one[0])
            self.calls.remove(first)
            self.now = first[0]
            first[1]()
        self.now = now


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def pieces() -> list[tuple[bytes, bytes]]:
    return [
        (b"GET /", b"a" * 1_000),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 1_000),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 100),
        (b"GET / HTTP/1.1\r\nX", b"x" * 1_000),
        (b"", b"\r\n" * 100),
        (CHUNKED + b"1;", b"a" * 1_000),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * 100),
        (CHUNKED + b"0\r\nX: ", b"a" * 1_000),
    ]


@pytest.mark.parametrize("place", range(len(pieces())))
async def test_what_is_no_body_and_does_not_end_is_refused(server: Server, place: int) -> None:
    begin, more = pieces()[place]
    protocol, wire = server.connect()
    protocol.data_received(HOT)
    await wire.until(["GET"])
    protocol.data_received(begin)
    sent = 0
    while not wire.closed and sent < 4 * HEAD_BYTES_MAX:
        protocol.data_received(more)
        sent += len(more)
    assert wire.closed
    assert sent <= HEAD_BYTES_MAX + len(more)
    first, second = wire.answers(["GET", "GET"])
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 400 ")
    assert b"64 KiB" in second
    protocol.connection_lost(None)


async def test_a_long_body_in_small_pieces_is_taken(server: Server) -> None:
    protocol, wire = server.connect()
    rows = b"[" + b" " * 3 * HEAD_BYTES_MAX + ROW + b"]"
    protocol.data_received(CHUNKED)
    for start in range(0, len(rows), 1_000):
        piece = rows[start : start + 1_000]
        protocol.data_received(b"%x\r\n" % len(piece))
        protocol.data_received(piece + b"\r\n")
        await asyncio.sleep(0)
    protocol.data_received(b"0\r\n\r\n")
    [answer] = await wire.until(["POST"])
    assert answer.startswith(b"HTTP/1.1 201 ")


async def test_trailers_are_no_headers(server: Server) -> None:
    protocol, wire = server.connect("127.0.0.1")
    body = b"%x\r\n%b\r\n0\r\n" % (len(ROW), ROW)
    trailers = b"X-Request-ID: trailer-1\r\nX-Forwarded-For: 10.9.8.7\r\nAccept: text/csv\r\n\r\n"
    scopes: list[Any] = []
    app = protocol.app

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await app(scope, receive, send)

    protocol.app = noting
    protocol.data_received(CHUNKED + body + trailers)
    [answer] = await wire.until(["POST"])
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"trailer-1" not in answer
    assert [name for name, _ in scopes[0]["headers"]] == [
        b"host", b"content-type", b"transfer-encoding",
    ]  # fmt: skip
    assert scopes[0]["client"] == ("127.0.0.1", 1)
    protocol.data_received(HOT)  # the next one has its own
    assert len(await wire.until(["POST", "GET"])) == 2


def connect(server: Server) -> tuple[HttpProtocol, Wire, Loop]:
    loop = Loop()
    protocol, wire = server.connect(loop=loop)
    return protocol, wire, loop


async def test_who_connects_and_says_nothing_is_let_go(server: Server) -> None:
    protocol, wire, loop = connect(server)
    loop.go_to(100 + HEAD_S_MAX - 1)
    assert not wire.closed
    loop.go_to(100 + HEAD_S_MAX)
    assert wire.closed
    protocol.connection_lost(None)
    assert not loop.calls


@pytest.mark.parametrize(("drops", "left_s"), [(HOT[:-1], HEAD_S_MAX), (b"\r\n" * 60, 1)])
async def test_a_request_that_comes_by_drops_is_not_waited_for(
    server: Server, drops: bytes, left_s: float
) -> None:
    protocol, wire, loop = connect(server)
    protocol.data_received(HOT)
    await settle()
    assert len(wire.answers(["GET"])) == 1
    begun = loop.now + KEEP_S - 1
    loop.go_to(begun)
    protocol.data_received(drops[:1])
    for place in range(1, len(drops)):
        loop.go_to(begun + place)
        if wire.closed:
            break
        protocol.data_received(drops[place : place + 1])
    assert wire.closed
    assert loop.now == begun + left_s


async def test_a_slow_request_is_answered_and_then_waited_for_anew(server: Server) -> None:
    protocol, wire, loop = connect(server)
    for turn in range(3):
        begun = loop.now
        for place in range(len(HOT)):
            loop.go_to(begun + place * (HEAD_S_MAX - 1) / len(HOT))
            protocol.data_received(HOT[place : place + 1])
        await settle()
        assert len(wire.answers(["GET"] * (turn + 1))) == turn + 1
        loop.go_to(loop.now + KEEP_S - 1)
        assert not wire.closed
    loop.go_to(loop.now + 1)
    assert wire.closed


async def test_a_body_that_is_refused_early_may_go_on(server: Server) -> None:
    protocol, wire, loop = connect(server)
    protocol.data_received(
        POST.replace(b"/v1/trades", b"/nowhere") + b"Content-Length: 100\r\n\r\n"
    )
    [answer] = await wire.until(["POST"])
    assert answer.startswith(b"HTTP/1.1 404 ")
    for _ in range(20):
        loop.go_to(loop.now + KEEP_S - 1)
        protocol.data_received(b"12345")
    assert not wire.closed
    protocol.data_received(HOT)
    assert len(await wire.until(["POST", "GET"])) == 2
    loop.go_to(loop.now + KEEP_S)
    assert wire.closed


async def test_a_body_may_stand_still_for_so_long(server: Server) -> None:
    protocol, wire, loop = connect(server)
    protocol.data_received(POST + b"Content-Length: %d\r\n\r\n" % len(ROW))
    await settle()
    for place in range(3):
        loop.go_to(loop.now + BODY_S_MAX - 1)
        protocol.data_received(ROW[place : place + 1])
    assert not wire.closed
    protocol.flow.pause_reading()  # as we do where there is no room
    loop.go_to(loop.now + 2 * BODY_S_MAX)
    assert not wire.closed
    protocol.flow.resume_reading()
    loop.go_to(loop.now + 1)
    assert wire.closed
    assert not wire.writes
    protocol.connection_lost(None)
    await settle()
    assert not loop.calls


async def test_while_an_answer_is_made_nobody_is_let_go(server: Server) -> None:
    protocol, wire, loop = connect(server)
    protocol.data_received(POST + b"Content-Length: %d\r\n\r\n" % len(ROW))
    protocol.data_received(ROW)
    loop.go_to(loop.now + 10 * BODY_S_MAX)
    assert not wire.closed
    [answer] = await wire.until(["POST"])
    assert answer.startswith(b"HTTP/1.1 201 ")
    loop.go_to(loop.now + KEEP_S)
    assert wire.closed


async def test_a_socket_is_not_waited_for_as_a_request_is(server: Server) -> None:
    protocol, wire, loop = connect(server)
    protocol.data_received(
        b"GET /v1/stream HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await settle()
    loop.go_to(loop.now + 10 * HEAD_S_MAX)
    assert not wire.closed
    wire.protocol.connection_lost(None)
    await settle()


@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize("apart", [False, True])
async def test_what_is_no_http_is_refused_behind_what_is_under_way(
    server: Server, ahead: int, apart: bool
) -> None:
    """Where a length is too short the end of the body is none, and yet its rows are stored."""
    protocol, wire = server.connect()
    whole = (POST + b"Content-Length: %d\r\n\r\n%b" % (len(ROW), ROW)) * ahead
    if apart:
        protocol.data_received(whole)
        protocol.data_received(b"}}")
        protocol.data_received(b"}}")
    else:
        protocol.data_received(whole + b"}}")
    found = await wire.until(["POST"] * (ahead + 1))
    assert [one[9:12] for one in found] == [b"201"] * ahead + [b"400"]
    assert wire.closed
    protocol.connection_lost(None)


async def test_what_is_no_http_within_a_body_is_refused_at_once(server: Server) -> None:
    protocol, wire = server.connect()
    protocol.data_received(CHUNKED + b"3\r\nabc\r\n")
    await settle()
    protocol.data_received(b"no size\r\n")
    [answer] = wire.answers(["POST"])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert wire.closed
    protocol.connection_lost(None)
    await settle()
