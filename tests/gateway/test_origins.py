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


def test_a_foreign_page_cannot_write(served: Served) -> None:
    answer = post(served, EVIL)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert EVIL in answer.json()["detail"]
    assert httpx.get(f"{served.url}/v1/status").json()["seq_last"] == 0


@pytest.mark.parametrize("origin", [None, "own", FRIEND])
def test_programs_own_pages_and_named_origins_can(served: Served, origin: str | None) -> None:
    assert post(served, served.url if origin == "own" else origin).status_code == 201


def test_a_foreign_page_cannot_listen(served: Served) -> None:
    with pytest.raises(InvalidStatus) as caught:
        connect(served.ws, origin=EVIL).__enter__()
    assert caught.value.response.status_code == 403
    with connect(served.ws, origin=served.url) as socket:
        socket.send('{"op":"ping"}')
        assert "pong" in socket.recv(5)


def test_the_document_says_so_of_every_door_that_writes(served: Served) -> None:
    paths = httpx.get(f"{served.url}/openapi.json").json()["paths"]
    said = {
        (method, "403" in operation["responses"])
        for operations in paths.values()
        for method, operation in operations.items()
    }
    assert said == {("get", False), ("post", True), ("put", True), ("delete", True)}
