"""The pages and their files: `/`, `/docs`, and of other systems `/dashboard` and `/ws-test`.

Everything is served from here; no page refers to another host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from swagger_ui_bundle import swagger_ui_path

WEB = files("tickplant.gateway") / "web"

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'{inline}; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY = {
    "Content-Security-Policy": _POLICY.format(inline=""),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_DOCS_SECURITY = {**_SECURITY, "Content-Security-Policy": _POLICY.format(inline=" 'unsafe-inline'")}
_SWAGGER = ("swagger-ui.css", "swagger-ui-bundle.js")
_PAGES = {
    "/": "index.html",
    "/docs": "docs.html",
    "/dashboard": "dashboard.html",
    "/ws-test": "ws-test.html",
}
_ASSETS = (
    "app.css", "app.js", "chart.js", "dashboard.js", "docs.css", "docs.js", "gaps.js", "icon.svg",
    "small.css", "ws-test.js",
)  # fmt: skip


Document = Callable[[], Mapping[str, Any]]


def page_routes(documents: Mapping[str, Document]) -> list[Route]:
    """Return the routes of the pages and their assets, and of documents, made when asked for."""
    routes = [_route(path, WEB / name, docs=path == "/docs") for path, name in _PAGES.items()]
    routes += [_route(f"/web/{name}", WEB / name) for name in _ASSETS]
    routes += [_route(f"/docs/{name}", swagger_ui_path / name) for name in _SWAGGER]
    routes.append(_serve("/favicon.ico", _read(WEB / "icon.svg"), _TYPES["svg"], _SECURITY))
    routes += [_document(path, make) for path, make in documents.items()]
    return routes


def _document(path: str, make: Document) -> Route:
    """Return the route of a document, which takes too long to make for the event loop."""
    made: list[bytes] = []

    async def endpoint(request: Request) -> Response:
        if not made:
            made.append(await asyncio.to_thread(lambda: msgspec.json.encode(make())))
        return Response(made[0], 200, _SECURITY, "application/json")

    return Route(path, endpoint, methods=["GET"], name=path)


def _route(path: str, file: Traversable, *, docs: bool = False) -> Route:
    kind = _TYPES[file.name.rpartition(".")[2]]
    return _serve(path, _read(file), kind, _DOCS_SECURITY if docs else _SECURITY)


def _read(file: Traversable) -> bytes:
    return file.read_bytes()


def _serve(path: str, content: bytes, kind: str, headers: dict[str, str]) -> Route:
    async def endpoint(request: Request) -> Response:
        return Response(content, 200, headers, kind)

    return Route(path, endpoint, methods=["GET"], name=path)
