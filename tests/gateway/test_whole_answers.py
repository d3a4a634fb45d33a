"""Answers in one write, hot reads among others, and refusals, over real connections."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from uvicorn.server import ServerState

from plant_kit import NOW, submit
from served_kit import Behind, behind
from tickplant.gateway.http import HttpProtocol, protocol_of
from tickplant.gateway.rest import latest
from tickplant.model.at_once import about_to_wait
from wire_kit import Wire


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with behind(tmp_path_factory.mktemp("data"), log__sync="none") as made:
        submit(made.plant, symbol=["S0", "S1"], ts_event=[NOW, NOW + 1], price=[1.0, 2.0])
        yield made


def answers(served: Behind, sent: bytes, methods: str) -> list[tuple[HTTPResponse, bytes]]:
    """Send bytes on one connection; return an answer for each method."""
    address = urlsplit(served.url)
    found = []
    with socket.create_connection((address.hostname, address.port), timeout=20) as sock:
        sock.sendall(sent)
        with sock.makefile("rb") as file:
            for method in methods.split():
                answer = HTTPResponse(_Read(file), method=method)  # type: ignore[arg-type]
                answer.begin()
                found.append((answer, answer.read()))
            if found[-1][0].will_close:
                assert file.read() == b""
    return found


class _Read:
    """What `HTTPResponse` takes for a socket: it reads one answer, and leaves the next ones."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def makefile(self, mode: str) -> Any:
        return self

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def request(path: str, method: str = "GET", more: str = "", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: here\r\n{more}\r\n".encode()


def test_requests_that_are_sent_ahead_are_answered_in_turn(served: Behind) -> None:
    paths = ["/v1/latest/S0", "/v1/nowhere", "/v1/latest/S1", "/v1/latest/NONE", "/v1/status"]
    found = answers(served, b"".join(map(request, paths * 50)), "GET " * 250)
    assert [answer.status for answer, _ in found] == [200, 404, 200, 404, 200] * 50
    assert [json.loads(body).get("symbol") for _, body in found[:3]] == ["S0", None, "S1"]
    ids = [answer.headers["x-request-id"] for answer, _ in found]
    assert len(set(ids)) == 250


def test_a_head_says_how_long_and_sends_nothing(served: Behind) -> None:
    path = "/v1/trades/S0?limit=1"  # an answer without an age, which has more or fewer digits
    sent = request(path, "HEAD") + request(path)
    (head, nothing), (answer, body) = answers(served, sent, "HEAD GET")
    assert nothing == b""
    assert int(head.headers["content-length"]) == int(answer.headers["content-length"]) == len(body)
    assert {*head.headers} == {*answer.headers}


@pytest.mark.parametrize(
    ("more", "version", "closes"),
    [("", "1.1", False), ("Connection: close\r\n", "1.1", True), ("", "1.0", True)],
)
def test_a_connection_is_kept_or_closed_as_asked(
    served: Behind, more: str, version: str, closes: bool
) -> None:
    [(answer, body)] = answers(served, request("/v1/latest/S0", "GET", more, version), "GET")
    assert (answer.will_close, json.loads(body)["symbol"]) == (closes, "S0")
    assert answer.headers.get_all("connection") == (["close"] if closes else None)


def test_a_read_that_has_to_wait_is_done_by_a_task(
    served: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = latest._Last.of

    def slow(*args: Any) -> Any:
        about_to_wait()  # in a reader's thread it may
        return of(*args)

    monkeypatch.setattr(latest._Last, "of", slow)
    submit(served.plant, symbol=["S0"], ts_event=[NOW + 2], price=[3.0])  # what was kept is over
    sent = request("/v1/latest/S0", more="X-Request-ID: mine-1\r\n") + request("/v1/latest/S1")
    (first, body), (second, _) = answers(served, sent, "GET GET")
    assert json.loads(body)["trade"]["price"] == 3.0
    assert (first.headers["x-request-id"], second.status) == ("mine-1", 200)


def test_one_connection_too_many_is_refused_as_everything_is(tmp_path: Path) -> None:
    with behind(tmp_path / "data", server__connections_max=2, log__sync="none") as served:
        address = urlsplit(served.url)
        held = [HTTPConnection(str(address.hostname), address.port, timeout=20) for _ in range(2)]
        held[0].request("GET", "/v1/latest/S0")
        assert held[0].getresponse().read()
        held[1].request("GET", "/v1/latest/S0", headers={"X-Request-ID": "late"})
        answer = held[1].getresponse()
        problem = json.loads(answer.read())
        assert answer.status == problem["status"] == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.headers["retry-after"], answer.headers["connection"]) == ("1", "close")
        assert answer.headers["x-request-id"] == "late"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "2 connections" in problem["detail"]
        assert problem["instance"] == "/v1/latest/S0"
        held[0].request("GET", "/metrics")
        assert b'route="none",status="503"} 1.0' in held[0].getresponse().read()
        held[0].close()


def connect(app: Any, loop: Any = None) -> tuple[HttpProtocol, Wire]:
    config = uvicorn.Config(app, http=protocol_of(None), log_config=None, access_log=False)
    config.load()
    protocol = protocol_of(None)(config, ServerState(), {}, loop)
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


def saying(*messages: dict[str, Any]) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def start(*headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": 200, "headers": headers}


def body(text: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text, "more_body": more}


LENGTH = (b"content-length", b"3")


@pytest.mark.parametrize(
    ("messages", "writes", "end"),
    [
        ([start(LENGTH), body(b"abc")], 1, b"\r\n\r\nabc"),
        ([start(LENGTH, (b"X-Mine", b"1")), body(b"abc")], 1, b"x-mine: 1\r\n\r\nabc"),
        ([start(LENGTH), body(b"a", more=True), body(b"bc")], 3, b"bc"),
        ([start(), body(b"abc")], 2, b"3\r\nabc\r\n0\r\n\r\n"),
        ([start(LENGTH, (b"connection", b"close")), body(b"abc")], 2, b"abc"),
        ([start(LENGTH, (b"x", b"a\r\nset-cookie: b")), body(b"abc")], 0, b""),
        ([start(LENGTH, (b"a b", b"c")), body(b"abc")], 0, b""),
        ([start(LENGTH)], 2, b"Internal Server Error"),
    ],
)
async def test_what_is_whole_is_one_write_and_all_else_is_as_the_server_has_it(
    messages: list[dict[str, Any]],
    writes: int,
    end: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    protocol, wire = connect(saying(*messages))
    protocol.data_received(request("/any"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert b"".join(wire.writes).endswith(end)
    assert b"set-cookie" not in b"".join(wire.writes)
    assert len(wire.writes) == writes
    protocol.connection_lost(None)


async def test_a_body_of_another_length_is_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    protocol, wire = connect(saying(start(LENGTH), body(b"abcd")))
    protocol.data_received(request("/any"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert wire.closed
    assert "longer than Content-Length" in caplog.text
    assert b"abcd" not in b"".join(wire.writes)
    protocol.connection_lost(None)


async def test_an_idle_connection_is_closed_after_its_time_and_a_busy_one_is_not() -> None:
    now = [100.0]
    calls: list[tuple[float, Callable[[], None]]] = []

    class Loop:
        def time(self) -> float:
            return now[0]

        def call_later(self, after_s: float, then: Callable[[], None]) -> Any:
            calls.append((now[0] + after_s, then))
            return asyncio.Handle(then, (), asyncio.get_running_loop())

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio.get_running_loop(), name)

    protocol, wire = connect(saying(start(LENGTH), body(b"abc")), Loop())
    for at in (100.0, 103.0, 104.0):
        now[0] = at
        protocol.data_received(request("/any"))
        await asyncio.sleep(0)
    assert [due for due, _ in calls] == [105.0]  # one timer for all
    now[0], look = calls.pop()
    look()
    assert not wire.closed
    assert [due for due, _ in calls] == [109.0]
    now[0], look = calls.pop()
    look()
    assert wire.closed
    assert not calls
    protocol.connection_lost(None)
