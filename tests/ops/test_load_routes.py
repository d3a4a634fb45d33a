"""The load of all routes: none is forgotten, every check holds, and every panel shows data."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route, WebSocketRoute

from plant_kit import open_plant
from prom_kit import tool
from tickplant.gateway.app import DOORS, create_app
from tickplant.gateway.openapi import openapi_document

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import dashboards  # noqa: E402
import load  # noqa: E402
from load_panels import LOAD  # noqa: E402

ROUTES_FILE = (ROOT / "ops" / "k6" / "routes.js").read_text("utf-8")
SECONDS = 3


def listed(begin: str) -> list[str]:
    """Return the keys of an object of the script, as they stand there."""
    body = ROUTES_FILE.partition(begin)[2].partition("\n};")[0]
    return re.findall(r"^  '([^']+)':", body, re.M)


def told() -> Iterator[str]:
    for path, methods in openapi_document(DOORS)["paths"].items():
        yield from (f"{method.upper()} {path}" for method in methods)


def flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield routes, those of included routers too."""
    for route in routes:
        router = getattr(route, "original_router", None)
        yield from [route] if router is None else flat(router.routes)


def test_the_load_walks_over_every_route() -> None:
    routes = listed("export const ROUTES = {")
    assert len(routes) == len(set(routes))
    assert set(told()) - set(routes) == set()


def test_what_is_no_route_of_the_document_is_a_page_of_the_plant(tmp_path: Path) -> None:
    extra = set(listed("export const ROUTES = {")) - set(told())
    with open_plant(tmp_path) as plant:
        app = create_app(plant)
    pages = {f"GET {route.path}" for route in app.routes if isinstance(route, Route)}
    assert extra <= pages, extra - pages
    sockets = {route.path for route in flat(app.routes) if isinstance(route, WebSocketRoute)}
    assert set(listed("export const SOCKETS = {")) == sockets


def test_the_dashboard_is_what_the_tool_writes_and_has_eight_panels() -> None:
    written = (dashboards.FOLDER / f"{LOAD.uid}.json").read_text("utf-8")
    assert written == dashboards.page(LOAD), "run `python tools/dashboards.py`"
    assert sum(map(len, LOAD.rows.values())) == 8


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_short_load_passes_every_check_and_fills_every_panel(tmp_path: Path) -> None:
    """k6 against a plant of its own, into a Prometheus that is then asked every panel's query."""
    tool("k6")
    tool("prometheus")
    summary = tmp_path / "summary.json"
    settings = {"DURATION": f"{SECONDS}s", "RATE": "1", "P95_MS": "20000"}
    with load.plant(tmp_path) as url, load.prometheus(tmp_path / "prometheus", url) as store:
        ran = load.run_k6(url, store, settings, summary=summary, quiet=True)
        answers = load.ask_panels(LOAD, store)
    assert ran.returncode == 0, (ran.stdout + ran.stderr)[-4000:]
    assert [answer for answer in answers if not answer.series] == []
    passed = {
        metric[len("checks{route:") : -1]: found["passes"]
        for metric, found in json.loads(summary.read_text("utf-8"))["metrics"].items()
        if metric.startswith("checks{route:")
    }
    walked = [route for route in listed("export const ROUTES = {") if not passed.get(route)]
    assert walked == [], "no check of these was made"


def test_a_panel_without_data_is_noticed(tmp_path: Path) -> None:
    tool("prometheus")
    with load.prometheus(tmp_path, "http://127.0.0.1:1") as store:
        assert {answer.series for answer in load.ask_panels(LOAD, store)} == {0}


def test_a_tool_that_is_missing_is_named() -> None:
    with pytest.raises(load.MissingTool, match=r"no-such-tool is not there; .*install-tools"):
        load.find_tool("no-such-tool")
