"""Pages of other sites cannot write to a plant or listen to its stream."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from plant_kit import open_plant
from stream_fakes import Served
from tickplant.gateway.app import create_app

EVIL = "http://evil.example.com"
FRIEND = "http://localhost:3000"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with (
        open_plant(tmp_path, server__origins=f" {FRIEND}/, http://other.example.com") as plant,
        Served(create_app(plant)) as server,
    ):
        yield server


def post(server: Served, origin: str | None) -> httpx.Response:
    headers = {"Origin": origin} if origin else {}
    return httpx.post(
        f"{server.url}/v1/trades", content=b'{"symbol":"A","price":1}', headers=headers
    )


@pytest.mark.parametrize("origin", [EVIL, "null", "http://[", "http://[::1", "http://a]b", "x"])
def test_a_foreign_page_cannot_write(served: Served, origin: str) -> None:
    answer = post(served, origin)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert origin in answer.json()["detail"]
    assert httpx.get(f"{served.url}/v1/status").json()["seq_last"] == 0


@pytest.mark.parametrize("origin", [None, "own", FRIEND])
def test_programs_own_pages_and_named_origins_can(served: Served, origin: str | None) -> None:
    assert post(served, served.url if origin == "own" else origin).status_code == 201


@pytest.mark.parametrize("origin", [EVIL, "http://["])
def test_a_foreign_page_cannot_listen(served: Served, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(served.ws, origin=origin).__enter__()
    assert caught.value.response.status_code == 403
    with connect(served.ws, origin=served.url) as socket:
        socket.send('{"op":"ping"}')
        assert "pong" in socket.recv(5)


def test_the_document_says_so_of_every_door_but_those_that_are_open(served: Served) -> None:
    paths = httpx.get(f"{served.url}/openapi.json").json()["paths"]
    silent = {
        path
        for path, operations in paths.items()
        for operation in operations.values()
        if not {"401", "403", "429"} <= set(operation["responses"])
    }
    assert silent == {"/health", "/ready"}


def test_a_preflight_of_a_named_origin_allows_what_the_routes_take(served: Served) -> None:
    asked = {
        "Origin": FRIEND,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = httpx.options(f"{served.url}/v1/trades", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == FRIEND
    assert answer.headers["vary"] == "Origin"
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {"authorization", "x-api-key", "content-type"} <= set(allowed.split(", "))
    foreign = httpx.options(f"{served.url}/v1/trades", headers={**asked, "Origin": EVIL})
    assert not [name for name in foreign.headers if name.startswith("access-control")]


def test_a_named_origin_may_read_and_no_other(served: Served) -> None:
    def allowed(origin: str | None) -> str | None:
        headers = {} if origin is None else {"Origin": origin}
        answer = httpx.get(f"{served.url}/v1/status", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
        return answer.headers.get("access-control-allow-origin")

    assert allowed(FRIEND) == FRIEND
    assert [allowed(origin) for origin in (None, EVIL, "null", FRIEND + ".example.com")] == [
        None
    ] * 4


def test_every_answer_tells_a_browser_to_be_careful(served: Served) -> None:
    for path in ("/v1/status", "/nothing", "/metrics", "/"):
        headers = httpx.get(f"{served.url}{path}").headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
