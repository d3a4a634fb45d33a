"""The OpenAPI document, the API's page and the page at `/`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from fastapi.openapi.models import OpenAPI
from plant_fakes import START, FakePlant
from starlette.routing import Route

from tickplant.gateway import site
from tickplant.gateway.app import DOORS, create_app
from tickplant.gateway.doors import refuse_method
from tickplant.gateway.openapi import openapi_document

Client = httpx.AsyncClient
DATA = {"/health", "/metrics", "/status/ingestion"}
PAGES = ("/", "/docs", "/docs/stream", "/docs/snippets", "/dashboard", "/ws-test")
ASSETS = re.compile(r'(?:src|href)="([^":]+)"|(?:from|import) "([^"]+)"')
LINK = re.compile(r'<a href="https://[^>]*>')  # a place to go to loads nothing
OTHER_HOST = re.compile(r"""(?:src|href|url|import|from)\s*[=(:]?\s*["'(]?(?:https?:)?//""")


async def test_the_document_is_valid_openapi(client: Client) -> None:
    document = (await client.get("/openapi.json")).json()
    OpenAPI.model_validate(document)
    assert document["openapi"].startswith("3.1")
    names = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))


async def test_every_reference_of_the_document_leads_somewhere(client: Client) -> None:
    document = (await client.get("/openapi.json")).json()
    for reference in references(document):
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert isinstance(node, dict)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


async def test_every_api_route_is_in_the_document_and_serves() -> None:
    app = create_app(FakePlant())  # type: ignore[arg-type]
    documented = {
        (path, method.upper())
        for path, item in openapi_document(DOORS)["paths"].items()
        for method in item
    }
    served = {
        (route.path, method)
        for route in app.router.routes
        if isinstance(route, Route) and route.endpoint is not refuse_method
        for method in (route.methods or set()) - {"HEAD"}
        if not route.path.startswith(("/web/", "/docs", "/ws"))
        and route.path not in {*PAGES, "/favicon.ico", "/openapi.json", "/asyncapi.json"}
    }
    assert documented == served


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.path}")
def test_every_door_is_described(door: Any) -> None:
    assert door.doc.endswith(".")
    assert set(door.path_params) == set(re.findall(r"{(\w+)}", door.path))
    assert (door.read is None) != (door.serve is None)
    assert all(param.doc.endswith(".") for param in door.params)


async def test_examples_of_the_document_fit_their_schemas(client: Client, plant: FakePlant) -> None:
    from tickplant.gateway.rest import models

    body = {"symbol": "EURUSD", "venue": "ORIGIN", "trades": [], "next_page_token": None}
    models.TradesPage.model_validate(body)
    await client.post("/v1/trades", json={"symbol": "EURUSD", "price": 1.5})
    await client.post("/v1/trades", json={"symbol": "EURUSD", "price": -1.5})
    await client.post("/v1/quotes", json={"symbol": "EURUSD", "bid_price": 1.5})
    await client.post("/v1/stats", json={"symbol": "EURUSD", "name": "volume", "value": 5})
    await client.put("/v1/trades/EURUSD/1", json={"price": 2})
    plant.miss(instrument=1, end=START + 1, status="repaired", events=0)
    plant.miss()
    paths = {
        "/v1/trades/EURUSD": models.TradesPage, "/v1/quotes/EURUSD": models.QuotesPage,
        "/v1/stats/EURUSD": models.StatsPage, "/v1/stats?symbols=EURUSD": models.LastStats,
        "/v1/candles/EURUSD": models.CandlesPage, "/v1/latest/EURUSD": models.LatestModel,
        "/v1/indicators/EURUSD?name=vwap": models.IndicatorsPage,
        "/v1/latest?symbols=EURUSD": models.LatestList, "/v1/instruments": models.InstrumentsPage,
        "/v1/instruments/EURUSD": models.InstrumentModel,
        "/v1/quarantine": models.QuarantinePage, "/v1/gaps": models.GapsPage,
        "/v1/feeds": models.FeedsModel, "/v1/status": models.StatusModel,
        "/health": models.HealthModel, "/ready": models.ReadyModel,
    }  # fmt: skip
    for path, model in paths.items():
        model.model_validate((await client.get(path)).json())
    # Those that the plain plant here has nothing for are checked where a whole one answers.
    left = {"/v1/books/{symbol}", "/v1/feeds/{id}"}
    ours = [
        door
        for door in DOORS
        if door.path.startswith(("/v1/", "/health", "/ready")) and door.path not in left
    ]
    assert len(paths) == sum(door.method == "GET" and door.model is not None for door in ours)


async def test_pages_and_their_assets_are_served_from_here(client: Client) -> None:
    waiting, seen = list(PAGES), set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        if path.startswith(("/status", "/ws/")):  # a link to what a whole plant answers
            continue
        answer = await client.get(path)
        assert answer.status_code == 200, path
        assert "content-security-policy" in answer.headers or not path.startswith("/web")
        if "swagger" in path or path.startswith(("/v1", "/web/built/")) or path in DATA:
            continue
        assert not OTHER_HOST.search(LINK.sub("", answer.text)), path
        for groups in ASSETS.findall(answer.text):
            found = urljoin(path, next(group for group in groups if group))
            if found not in seen:
                waiting.append(found)
    assert {"/web/base.css", "/web/page/chart.js", "/docs/swagger-ui-bundle.js"} <= seen
    assert {f"/web/page/{name}-page.js" for name in ("market", "ingestion", "sockets")} <= seen


async def test_pages_refer_to_each_other_by_relative_addresses(client: Client) -> None:
    for path in PAGES:  # so that a proxy may put a path before them
        assert not re.search(r'(?:src|href)="/', (await client.get(path)).text), path
    for script in sorted((Path(str(site.WEB)) / "page").glob("*.js")):
        found = re.search(r"""["'`]/(?:v1|web|ws|status|docs|health)\b""", script.read_text())
        assert found is None, script.name


async def test_what_a_browser_has_is_not_sent_again(client: Client) -> None:
    first = await client.get("/")
    again = await client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "content-security-policy" in again.headers


@pytest.mark.parametrize("is_built", [True, False])
async def test_the_page_has_a_chart_with_and_without_the_library(
    is_built: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_built:
        (tmp_path / site.LIBRARY).write_text("export const here = 1;")
    monkeypatch.setattr(site, "BUILT", tmp_path)
    app = create_app(FakePlant())  # type: ignore[arg-type]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://plant"
    ) as client:
        engine = (await client.get("/web/page/engine.js")).text
        library = await client.get(f"/web/built/{site.LIBRARY}")
    assert library.status_code == (200 if is_built else 404)
    assert (f'NAME = "{"library" if is_built else "plain"}"') in engine


@pytest.mark.parametrize("path", PAGES)
async def test_the_policy_of_the_pages_names_no_other_host(client: Client, path: str) -> None:
    policy = (await client.get(path)).headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "script-src" not in policy  # hence 'self' alone: no inline scripts
