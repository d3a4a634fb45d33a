"""What keys promise, over a real server: every route and every socket that there is is walked."""

from __future__ import annotations

import base64
import json
import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from contract_kit import NOW, Site, problem, site
from starlette.routing import Route, WebSocketRoute
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tickplant.client import AsyncClient, Client
from tickplant.gateway.app import DOORS
from tickplant.gateway.doors import Door
from tickplant.gateway.keys.file import KeyFile
from tickplant.gateway.keys.rules import SOCKETS
from tickplant.model.errors import Forbidden, TickplantError, Unauthorized

HOUR = 3_600_000_000_000
OPEN_ROUTES = {"/health", "/ready"}
TRADE = {"symbol": "EURUSD", "price": 1.5, "ts_event": "2024-05-08T11:00:00Z"}
FILLED = {"symbol": "EURUSD", "seq": "1", "job_id": "none", "id": "none", "time": "1"}
WAIT_S = 10


class Guarded:
    """A plant that asks for keys, one key of each scope, and what it holds."""

    def __init__(self, made: Site, folder: Path) -> None:
        self.site, self.file = made, KeyFile(folder)
        self.keys = {
            name: self.file.create(scopes, now=1)[0]
            for name, scopes in {
                "read": ["read"], "write": ["write"], "admin": ["admin"],
                "both": ["read", "write"], "none": [],
            }.items()
        }  # fmt: skip

    def ask(self, method: str, path: str, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {**more.pop("headers", {}), **({"X-API-Key": self.keys[key]} if key else {})}
        return self.site.http.request(method, path, headers=headers, **more)

    def door(self, door: Door, key: str | None = None) -> httpx.Response:
        body = {} if door.method == "GET" else {"json": TRADE}
        return self.ask(door.method, door.path.format_map(FILLED), key, **body)

    def seq(self) -> int:
        found: int = self.ask("GET", "/v1/status", "read").json()["seq_last"]
        return found

    def close_code(self, path: str, **options: Any) -> tuple[int, str]:
        """Return how a socket is closed that is asked nothing."""
        url = self.site.ws.removesuffix("/v1/stream") + path
        with connect(url, open_timeout=WAIT_S, **options) as socket:
            return closed(socket)


def closed(socket: ClientConnection) -> tuple[int, str]:
    """Return how a socket is closed, whatever it says before."""
    with pytest.raises(ConnectionClosed) as caught:
        deque(iter(lambda: socket.recv(WAIT_S), None))
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("keys")
    early = KeyFile(folder).create(["write"], now=1)[0]
    with site(folder, auth__required=True) as made:
        made.http.post("/v1/trades", json=TRADE, headers={"X-API-Key": early}).raise_for_status()
        guarded = Guarded(made, folder)
        wait_for(guarded, "read", 200)
        yield guarded


def wait_for(guarded: Guarded, key: str, status: int) -> None:
    """Ask until a key is known of, or no more; the limit of the test is the limit."""
    while guarded.ask("GET", "/v1/status", key).status_code != status:
        pass


# -- without a key --------------------------------------------------------------------------------


def test_without_a_key_no_door_opens_but_health(plant: Guarded) -> None:
    before = plant.seq()
    bad = "tp_0123456789_" + "A" * 43
    shown: list[dict[str, str]] = [
        {}, {"X-API-Key": bad}, {"Authorization": f"Bearer {bad}"}, {"Authorization": "Bearer"},
        {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()},
        {"X-API-Key": plant.keys["admin"][:-1]}, {"X-API-Key": plant.keys["admin"] + "A"},
        {"X-API-Key": plant.keys["admin"].upper()}, {"Cookie": f"key={plant.keys['admin']}"},
    ]  # fmt: skip
    for door in DOORS:
        path = door.path.format_map(FILLED)
        for headers in shown if door in DOORS[:1] else shown[:1]:
            answer = plant.ask(door.method, path, headers=headers)
            if door.path in OPEN_ROUTES:
                assert answer.status_code == 200
                continue
            body = problem(answer, 401)
            assert body["title"] == "Unauthorized"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert "EURUSD" not in body["detail"]
    assert plant.seq() == before


def test_nothing_else_is_served_without_a_key_but_pages(plant: Guarded) -> None:
    """Routes that are no doors: whatever is not a page, or the description of the API, is shut."""
    doors = {door.path for door in DOORS}
    open_paths = set()
    for route in plant.site.app.router.routes:
        if isinstance(route, Route) and route.path not in doors:
            path = route.path.format_map(FILLED) if "{" in route.path else route.path
            if plant.ask("GET", path).status_code != 401:
                open_paths.add(path)
    files = {"js", "mjs", "css", "svg", "txt", "sh", "py"}
    assert sorted(path for path in open_paths if path.rpartition(".")[2] not in files) == [
        "/", "/asyncapi.json", "/dashboard", "/docs", "/docs/snippets", "/docs/stream",
        "/favicon.ico", "/openapi.json", "/ws-test",
    ]  # fmt: skip


SPELLINGS = (
    "/v1/nothing", "/V1/STATUS", "//v1/status", "/v1//status", "/v1/status/", "/v1/%73tatus",
    "/health/../v1/status", "/health/v1/status", "/health%2f..%2fv1/status", "/ready;/v1/status",
    "/v1/status?key=KEY", "/v1/status?api_key=KEY", "/v1/latest/A?access_token=KEY", "/ws/stats",
)  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "TRACE"])
def test_no_spelling_leads_around_the_guard(plant: Guarded, method: str) -> None:
    headers = {"X-HTTP-Method-Override": "GET", "X-Original-URL": "/health"}
    for path in SPELLINGS:
        asked = httpx.URL(plant.site.url + path.replace("KEY", plant.keys["admin"]))
        answer = plant.site.http.request(method, asked, headers=headers)
        assert answer.status_code == 401, path


def test_options_tells_of_methods_alone(plant: Guarded) -> None:
    answer = plant.ask("OPTIONS", "/v1/trades")
    assert answer.status_code == 204
    assert answer.content == b""


# -- scopes ---------------------------------------------------------------------------------------


def test_a_key_opens_the_doors_of_its_scope_and_no_other(plant: Guarded) -> None:
    for key in ("read", "none"):
        before = plant.seq()
        for door in DOORS:
            may = door.needed == "open" or (key == "read" and door.needed == "read")
            answer = plant.door(door, key)
            assert (answer.status_code == 403) is not may, (key, door.path, answer.text)
            if not may:
                said = answer.headers["www-authenticate"]
                assert f'error="insufficient_scope", scope="{door.needed}"' in said
                assert door.needed in problem(answer, 403)["detail"]
            assert answer.status_code < 500 or door.path.startswith(("/prices", "/v1/feeds"))
        assert plant.seq() == before, key


def test_a_key_that_writes_reads_nothing(plant: Guarded) -> None:
    for door in DOORS:
        if door.needed in ("read", "admin"):
            problem(plant.door(door, "write"), 403)
    assert plant.ask("POST", "/v1/trades", "write", json=TRADE).status_code == 201
    assert (
        plant.ask("POST", "/write", "write", content=b"trades,symbol=A price=1").status_code == 204
    )


def test_what_changes_something_needs_more_than_reading() -> None:
    assert {door.needed for door in DOORS} == {"read", "write", "admin", "open"}
    for door in DOORS:
        assert (door.needed == "open") == (door.path in OPEN_ROUTES)
        if door.method != "GET":
            assert door.needed in ("write", "admin"), door


@pytest.mark.parametrize("header", [
    "Authorization: Bearer KEY", "authorization: bearer  KEY", "Authorization: Token KEY",
    "X-API-Key: KEY", "x-api-key:KEY",
])  # fmt: skip
def test_a_key_is_shown_in_any_of_its_headers(plant: Guarded, header: str) -> None:
    name, _, value = header.replace("KEY", plant.keys["read"]).partition(":")
    assert plant.ask("GET", "/v1/status", headers={name: value.strip()}).status_code == 200


# -- sockets --------------------------------------------------------------------------------------


def sockets(plant: Guarded) -> set[str]:
    found: set[str] = set()
    waiting = list(plant.site.app.router.routes)
    while waiting:
        route = waiting.pop()
        waiting += getattr(getattr(route, "original_router", None), "routes", ())
        if isinstance(route, WebSocketRoute) or type(route).__name__.endswith("WebSocketRoute"):
            found.add(route.path)
    return found


def test_every_socket_has_its_scope(plant: Guarded) -> None:
    assert sockets(plant) | {"/v1/stream"} == set(SOCKETS)


@pytest.mark.parametrize("path", [*SOCKETS, "/v1/nothing"])
def test_a_socket_without_its_scope_is_closed_with_1008(plant: Guarded, path: str) -> None:
    other = {"X-API-Key": plant.keys["write" if SOCKETS.get(path) == "read" else "read"]}
    code, reason = plant.close_code(path)
    assert (code, "key" in reason) == (1008, True)
    code, reason = plant.close_code(path, additional_headers=other)
    assert (code, "scope" in reason) == (1008, True)
    bad = Subprotocol("tickplant.key." + "A" * 57)
    assert plant.close_code(path, subprotocols=[bad])[0] == 1008
    assert plant.close_code(path + "?key=" + plant.keys["admin"])[0] == 1008


def test_a_socket_takes_a_key_by_header_or_subprotocol(plant: Guarded) -> None:
    offer = Subprotocol(f"tickplant.key.{plant.keys['read']}")
    ways: list[tuple[dict[str, Any], str | None]] = [
        ({"additional_headers": {"Authorization": f"Bearer {plant.keys['read']}"}}, None),
        ({"subprotocols": [Subprotocol("msgpack"), offer]}, "msgpack"),
        ({"subprotocols": [offer, Subprotocol("tickplant")]}, "tickplant"),
        ({"subprotocols": [offer]}, offer),
    ]
    for options, chosen in ways:
        with connect(plant.site.ws, open_timeout=WAIT_S, **options) as socket:
            assert socket.subprotocol == chosen
            if chosen != "msgpack":
                socket.send('{"op":"ping"}')
                assert json.loads(socket.recv(WAIT_S))["op"] == "pong"


# -- keys that come and go ------------------------------------------------------------------------


def test_a_key_counts_at_once_and_ends_with_its_sockets(plant: Guarded) -> None:
    key, kept = plant.file.create(["read", "write"], now=1)
    plant.keys["fresh"] = key
    wait_for(plant, "fresh", 200)
    url = plant.site.ws.replace("/v1/stream", "/v1/ingest")
    with (
        connect(plant.site.ws, additional_headers={"X-API-Key": key}) as stream,
        connect(url, additional_headers={"X-API-Key": key}) as ingest,
    ):
        stream.send('{"op":"subscribe","channel":"trades","symbols":["*"]}')
        assert json.loads(stream.recv(WAIT_S))["op"] == "subscribed"
        plant.file.revoke(kept.id, now=2)
        assert [closed(socket)[0] for socket in (stream, ingest)] == [1008, 1008]
    assert plant.ask("GET", "/v1/status", "fresh").status_code == 401
    assert plant.ask("GET", "/v1/status", "read").status_code == 200
    shown = plant.ask("GET", "/metrics", "read").text
    assert 'tickplant_access_refused_total{reason="cut"} 2.0' in shown


def test_a_key_expires_by_the_clock_of_the_plant(plant: Guarded) -> None:
    plant.keys["brief"], _ = plant.file.create(["read"], now=1, expires=NOW + HOUR)
    wait_for(plant, "brief", 200)
    with connect(plant.site.ws, additional_headers={"X-API-Key": plant.keys["brief"]}) as stream:
        stream.send('{"op":"ping"}')
        assert json.loads(stream.recv(WAIT_S))["op"] == "pong"
        try:
            plant.site.clock.now += HOUR
            assert plant.ask("GET", "/v1/status", "brief").status_code == 401
            assert closed(stream)[0] == 1008
        finally:
            plant.site.clock.now -= HOUR


# -- the client -----------------------------------------------------------------------------------


def test_the_client_shows_its_key_everywhere(plant: Guarded) -> None:
    with Client(plant.site.url, key=plant.keys["both"]) as client:
        assert client.post_trades([{**TRADE, "id": "client"}]).accepted == 1
        assert len(client.trades("EURUSD", limit=1)) == 1
        with client.ingest() as ingest:
            ingest.send("trades", [{**TRADE, "id": "pushed"}])
            assert ingest.flush().accepted == 1
        with client.stream("trades", "EURUSD", from_=1) as stream:
            assert next(stream)["symbol"] == "EURUSD"


def test_the_client_says_what_is_wrong_with_its_key(plant: Guarded) -> None:
    with Client(plant.site.url) as client:
        with pytest.raises(Unauthorized):
            client.status()
        with pytest.raises(TickplantError, match="1008"), client.stream("trades", "*") as stream:
            next(stream)
        with pytest.raises(TickplantError, match="1008"), client.ingest():
            pass
    with Client(plant.site.url, key=plant.keys["read"]) as client, pytest.raises(Forbidden):
        client.post_trades([TRADE])


async def test_the_client_of_event_loops_shows_it_too(plant: Guarded) -> None:
    async with AsyncClient(plant.site.url, key=plant.keys["both"]) as client:
        assert (await client.status())["ready"]
        async with client.ingest() as ingest:
            await ingest.send("trades", [{**TRADE, "id": "pushed-too"}])
            assert (await ingest.flush()).accepted == 1
        async with client.stream("trades", "EURUSD", from_=1) as stream:
            assert (await anext(stream))["symbol"] == "EURUSD"
    async with AsyncClient(plant.site.url, key="tp_x") as client:
        with pytest.raises(Unauthorized):
            await client.status()


def test_no_key_is_logged(plant: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="tickplant")
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    for key in plant.keys:
        plant.ask("GET", "/v1/trades/NOTHING", key)
    offer = Subprotocol(f"tickplant.key.{plant.keys['none']}")
    plant.close_code("/v1/stream", subprotocols=[offer])
    assert not [key for key in plant.keys.values() if key.rpartition("_")[2] in caplog.text]


# -- limits ---------------------------------------------------------------------------------------


def test_the_limits_of_the_earlier_systems_can_be_set(tmp_path: Path) -> None:
    routes = "/prices/latest=5/minute, POST /prices/poll=10/minute"
    with site(tmp_path, limits__routes=routes, limits__stream="2/minute") as plant:
        plant.post("/v1/trades", {**TRADE, "venue": "YAHOO"})
        for left in (4, 3, 2, 1, 0):
            answer = plant.http.get("/prices/latest?symbol=EURUSD")
            assert answer.status_code == 200
            assert answer.headers["ratelimit-limit"] == "5"
            assert answer.headers["ratelimit-remaining"] == str(left)
        refused = plant.http.get("/prices/latest?symbol=EURUSD")
        assert problem(refused, 429)["title"] == "Too Many Requests"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit-reset"] == refused.headers["retry-after"]
        assert "ratelimit-limit" not in plant.http.get("/v1/status").headers
        codes = [plant.http.post("/prices/poll", json={}).status_code for _ in range(11)]
        assert 429 not in codes[:10]
        assert codes[10] == 429
        assert plant.http.get("/prices/poll").status_code != 429
        for _ in range(2):
            with plant.stream() as talk:
                assert talk.ask("ping")["op"] == "pong"
        with plant.stream() as talk:
            assert closed(talk.socket)[0] == 1013
