"""With keys on, nothing answers without one that is not named here: every route of the application.

The routes are taken from the application itself, whatever made them, so a new one is asked too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
from plant_fakes import FakePlant
from starlette.routing import BaseRoute, Route

from tickplant.config import load
from tickplant.gateway.app import create_app
from tickplant.gateway.guides import LANGUAGES, SNIPPETS

OPEN = {"/health", "/ready"}
PAGES = {"/", "/docs", "/docs/stream", "/docs/snippets", "/dashboard", "/ws-test", "/favicon.ico"}
DOCUMENTS = {"/openapi.json", "/asyncapi.json"}
FILES = (".css", ".js", ".mjs", ".svg", ".txt")
PUBLIC = OPEN | PAGES | DOCUMENTS | {f"/docs/snippets/{n}.{e}" for n in SNIPPETS for e in LANGUAGES}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
FILLED = {"symbol": "EURUSD", "seq": "1", "job_id": "j", "id": "f", "time": "1"}


def all_routes(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        inner = getattr(getattr(route, "original_router", None), "routes", None)
        yield from all_routes(list(getattr(route, "routes", None) or inner or ())) or ()
        if hasattr(route, "path"):
            yield route


def is_public(path: str) -> bool:
    return path in PUBLIC or (path.startswith(("/web/", "/docs/")) and path.endswith(FILES))


async def close_code(app: Any, path: str) -> int | None:
    """Return the code with which a WebSocket is closed that shows no key, None if it is not."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        said.append(message)

    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [], "subprotocols": [], "scheme": "ws", "client": ("10.0.0.9", 1),
        "server": ("plant", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return next((message["code"] for message in said if message["type"] == "websocket.close"), None)


async def test_without_a_key_nothing_is_readable_or_writable(tmp_path: Any) -> None:
    plant = FakePlant()
    plant.settings = load(flags={"data": str(tmp_path), "auth.required": True})
    app = create_app(plant)  # type: ignore[arg-type]
    routes = list(all_routes(app.router.routes))
    doors, sockets = 0, 0
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as client:
        for route in routes:
            path = route.path.format_map(FILLED)  # type: ignore[attr-defined]
            if not isinstance(route, Route):
                sockets += 1
                assert await close_code(app, path) == 1008, path
                continue
            for method in METHODS:
                answer = await client.request(method, path)
                shown = method in ("GET", "HEAD") and is_public(path)
                assert (answer.status_code == 200) is shown, (method, path, answer.status_code)
                assert shown or answer.status_code == 401, (method, path, answer.status_code)
            doors += 1
    assert doors > 100
    assert sockets >= 7
    assert plant.seq == 0


async def test_a_route_that_nobody_declared_is_shut(tmp_path: Any) -> None:
    plant = FakePlant()
    plant.settings = load(flags={"data": str(tmp_path), "auth.required": True})
    app = create_app(plant)  # type: ignore[arg-type]

    async def leak(request: Any) -> Any:
        raise AssertionError("reached")

    app.router.routes.insert(0, Route("/v2/leak/{name}", leak, methods=["GET", "POST"]))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as client:
        for method in METHODS:
            assert (await client.request(method, "/v2/leak/x")).status_code == 401
    assert await close_code(app, "/v2/socket") == 1008
