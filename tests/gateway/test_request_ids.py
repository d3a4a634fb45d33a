"""A request's id is in its answer and in every line that is logged for it; the access log."""

from __future__ import annotations

import asyncio
import json
import logging

import httpx
import pytest
import websockets
from plant_fakes import FakePlant

import stream_fakes
from log_kit import lines_of
from tickplant.gateway.app import create_app
from tickplant.gateway.envelope import Envelope
from tickplant.gateway.readers import Readers
from tickplant.observe.context import bound
from tickplant.observe.logs import ACCESS
from tickplant.observe.metrics import Metrics


def client_of(plant: FakePlant, *, access: bool = False) -> httpx.AsyncClient:
    app = Envelope(create_app(plant), Metrics(), access=access)  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://plant")


@pytest.mark.parametrize("given", ["a b", "x" * 65, "ü".encode(), "", "a\tb", "<script>"])
async def test_an_id_that_is_none_is_replaced(plant: FakePlant, given: str | bytes) -> None:
    async with client_of(plant) as client:
        answer = await client.get("/v1/feeds", headers={"X-Request-ID": given})
    shown = answer.headers.get_list("x-request-id")[-1]
    assert shown.encode() != given
    assert 0 < len(shown) <= 64


async def test_the_access_log_tells_each_request_and_no_secret(plant: FakePlant) -> None:
    asked = "/v1/latest?symbols=A&api_key=k-1234567"
    with lines_of(ACCESS) as written:
        async with client_of(plant, access=True) as client:
            await client.get(asked, headers={"X-Request-ID": "r-1"})
            await client.get("/nowhere")
        async with client_of(plant) as client:
            await client.get("/v1/feeds")
    first, second = map(json.loads, written.getvalue().splitlines())
    assert first.pop("took_ms") > 0
    del first["ts"]
    assert first == {
        "level": "info",
        "logger": ACCESS,
        "message": "GET /v1/latest?symbols=A&api_key=***",
        "request": "r-1",
        "status": first["status"],
        "client": "127.0.0.1",
    }
    assert (second["message"], second["status"]) == ("GET /nowhere", 404)


async def test_what_readers_log_belongs_to_the_request() -> None:
    readers = Readers()

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append(dict(await readers.run(bound)))

    seen: list[dict[str, object]] = []
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"",
             "headers": [(b"x-request-id", b"r-9")]}  # fmt: skip
    await Envelope(app, Metrics())(scope, None, None)  # type: ignore[arg-type]
    readers.close()
    assert seen == [{"request": "r-9"}]
    assert bound() == {}


async def test_a_websocket_has_an_id_too() -> None:
    plant = stream_fakes.FakePlant()
    app = Envelope(stream_fakes.make_app(plant), Metrics())
    async with stream_fakes.serving(app) as served:  # type: ignore[arg-type]
        with lines_of("tickplant.gateway.stream.session", logging.ERROR) as written:
            async with websockets.connect(
                served.ws, additional_headers={"X-Request-ID": "socket-3"}
            ) as socket:
                assert socket.response is not None
                assert socket.response.headers["X-Request-ID"] == "socket-3"
                plant.registry = None  # type: ignore[assignment]
                await socket.send(json.dumps({"op": "subscribe", "channel": "trades",
                                              "symbols": ["X"]}))  # fmt: skip
                async with asyncio.timeout(10):
                    await socket.wait_closed()
    (line,) = map(json.loads, written.getvalue().splitlines())
    assert line["request"] == "socket-3"
