"""The pages and their files: `/`, `/docs` and what lies below it, `/dashboard` and `/ws-test`.

Everything is served from here; no page refers to another host, and all refer to each other by
relative addresses, so that a proxy may put a path before them.

    shell.html ◄── market.html     ./               engine.js ◄── the library of `make setup`, or,
               ◄── dashboard.html  dashboard                      where it was not built in, a
               ◄── ws-test.html    ws-test                        plain canvas
               ◄── docs.html       docs             Swagger UI
               ◄── messages.html   docs/stream
               ◄── snippets.html   docs/snippets
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from swagger_ui_bundle import swagger_ui_path

WEB = files("tickplant.gateway") / "web"
BUILT = WEB / "built"
"""What `tools/charts/build.py` puts there, if it could: nothing of it is in the repository."""

LIBRARY = "lightweight-charts.mjs"

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
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


@dataclass(frozen=True, slots=True)
class _Page:
    """A page in the shell: what stands before `<main` in its file goes into the header."""

    file: str
    title: str
    name: str
    styles: tuple[str, ...]
    script: str
    has_help: bool = False
    preloads: bool = False
    headers: Mapping[str, str] = field(default_factory=_SECURITY.copy)


_DESK, _TEXT = ("web/base.css", "web/market.css"), ("web/base.css", "web/guide.css")
_PAGES = {
    "/": _Page("market.html", "Tickplant", "", _DESK, "market-page.js", True, True),
    "/dashboard": _Page(
        "dashboard.html", "Tickplant: ingestion", "ingestion", _DESK, "ingestion-page.js"
    ),
    "/ws-test": _Page("ws-test.html", "Tickplant: sockets", "sockets", _DESK, "sockets-page.js"),
    "/docs": _Page(
        "docs.html", "Tickplant API", "API", ("docs/swagger-ui.css", "web/docs.css"),
        "docs-page.js", headers=_DOCS_SECURITY,
    ),
    "/docs/stream": _Page(
        "messages.html", "Tickplant: messages of the sockets", "API", _TEXT, "messages-page.js"
    ),
    "/docs/snippets": _Page(
        "snippets.html", "Tickplant: snippets", "API", _TEXT, "snippets-page.js"
    ),
}  # fmt: skip
_LINKS = {"/": "Market", "/dashboard": "Ingestion", "/docs": "API", "/ws-test": "Sockets"}
_PARTS = {"/docs": "Routes", "/docs/stream": "Messages", "/docs/snippets": "Snippets"}
_HELP = '<button id="help-button" type="button" title="Keys (?)" aria-label="Keys">?</button>'
_STATUS = '<span id="connection" class="pill waiting" role="status">connecting</span>'
_ASSETS = ("base.css", "market.css", "docs.css", "guide.css", "icon.svg")
_ENGINE, _ENGINES = "engine.js", {True: "engine-library.js", False: "engine-plain.js"}


Document = Callable[[], Mapping[str, Any]]


def page_routes(documents: Mapping[str, Document], *, asks_keys: bool = False) -> list[Route]:
    """Return the routes of the pages and their assets, and of documents, made when asked for.

    `asks_keys` says whether the plant asks for keys, so that a page asks for one first of all.
    """
    scripts = dict(_scripts())
    shell = Template((WEB / "shell.html").read_text("utf-8"))
    html = _TYPES["html"]
    routes = [
        _serve(path, _wrap(shell, path, page, scripts, asks_keys).encode(), html, page.headers)
        for path, page in _PAGES.items()
    ]
    routes += [_route(f"/web/{name}", WEB / name) for name in _ASSETS]
    routes += [_route(f"/web/page/{name}", file) for name, file in scripts.items()]
    routes += [_route(f"/web/built/{file.name}", file) for file in _built()]
    routes += [_route(f"/docs/{name}", swagger_ui_path / name) for name in _SWAGGER]
    routes.append(_serve("/favicon.ico", (WEB / "icon.svg").read_bytes(), _TYPES["svg"], _SECURITY))
    routes += [_document(path, make) for path, make in documents.items()]
    return routes


def is_built() -> bool:
    """Say whether the library of the charts is there."""
    return (BUILT / LIBRARY).is_file()


def _built() -> list[Traversable]:
    names = (LIBRARY, "LICENSE.txt")
    return [BUILT / name for name in names if (BUILT / name).is_file()] if is_built() else []


def _scripts() -> Iterator[tuple[str, Traversable]]:
    """Yield the modules by the names under which they are served, one engine of the charts."""
    for file in sorted((WEB / "page").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".js") and file.name not in _ENGINES.values():
            yield file.name, file
    yield _ENGINE, WEB / "page" / _ENGINES[is_built()]


def _wrap(
    shell: Template, path: str, page: _Page, scripts: dict[str, Traversable], asks_keys: bool
) -> str:
    root = "../" * (path.count("/") - 1) or "./"
    tools, mark, main = (WEB / page.file).read_text("utf-8").partition("<main")
    # A module names others at its head; told of them here, a browser need not read one to
    # learn of the next.
    own = [name for name in scripts if not name.endswith("-page.js") and name != "early.js"]
    preload = [f'<link rel="modulepreload" href="{root}web/page/{name}">' for name in own]
    parts = _links(_PARTS, root, path) if path in _PARTS else ""
    return shell.substitute(
        keys="needed" if asks_keys else "",
        root=root,
        title=page.title,
        name=page.name,
        styles="\n".join(f'<link rel="stylesheet" href="{root}{name}">' for name in page.styles),
        script=page.script,
        status="" if parts else _STATUS,
        links=_links(_LINKS, root, "/docs" if parts else path),
        parts=parts and f'<nav class="parts" aria-label="Documentation">{parts}</nav>',
        preload="\n".join(preload if page.preloads else []),
        tools=tools.rstrip("\n"),
        help=_HELP if page.has_help else "",
        main=mark + main.rstrip("\n"),
    )


def _links(pages: Mapping[str, str], root: str, current: str) -> str:
    return "".join(
        f'<a href="{root}{path[1:]}"{" aria-current=page" if path == current else ""}>{label}</a>'
        for path, label in pages.items()
    )


def _route(path: str, file: Traversable) -> Route:
    return _serve(path, file.read_bytes(), _TYPES[file.name.rpartition(".")[2]], _SECURITY)


def _serve(path: str, content: bytes, kind: str, headers: Mapping[str, str]) -> Route:
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    told = {**headers, "ETag": tag}

    async def endpoint(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=told)
        return Response(content, 200, told, kind)

    return Route(path, endpoint, methods=["GET"], name=path)


def _document(path: str, make: Document) -> Route:
    """Return the route of a document, which takes too long to make for the event loop."""
    made: list[bytes] = []

    async def endpoint(request: Request) -> Response:
        if not made:
            made.append(await asyncio.to_thread(lambda: msgspec.json.encode(make())))
        return Response(made[0], 200, _SECURITY, "application/json")

    return Route(path, endpoint, methods=["GET"], name=path)
