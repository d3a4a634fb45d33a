"""Pages beside `/docs`: the messages of the stream, and snippets to copy.

Everything is served from here; addresses are relative, so that a proxy may put a path before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

WEB = files("tickplant.gateway") / "web"

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/plain; charset=utf-8",
    "py": "text/plain; charset=utf-8",
    "sh": "text/plain; charset=utf-8",
}
SNIPPETS = ("push", "candles", "stream", "key")
LANGUAGES = ("sh", "py", "mjs")
_FILES: Mapping[str, str] = {
    "/docs/stream": "stream.html",
    "/docs/snippets": "snippets.html",
    "/docs/guide.css": "guide.css",
    "/docs/stream.js": "stream.js",
    "/docs/snippets.js": "snippets.js",
    **{
        f"/docs/snippets/{name}.{language}": f"snippets/{name}.{language}"
        for name in SNIPPETS
        for language in LANGUAGES
    },
}


def guide_routes() -> list[Route]:
    """Return the routes of the pages and of their files."""
    return [_route(path, name) for path, name in _FILES.items()]


def _route(path: str, name: str) -> Route:
    content, kind = (WEB / "guide" / name).read_bytes(), _TYPES[name.rpartition(".")[2]]

    async def endpoint(request: Request) -> Response:
        return Response(content, 200, _HEADERS, kind)

    return Route(path, endpoint, methods=["GET"], name=path)
