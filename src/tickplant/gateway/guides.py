"""The snippets of `/docs/snippets` as files: to read, to copy, to fetch with curl."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

SNIPPETS = ("push", "candles", "stream", "key")
LANGUAGES = ("sh", "py", "mjs")

_FOLDER = files("tickplant.gateway") / "web" / "snippets"
_HEADERS = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-cache"}


def guide_routes() -> list[Route]:
    """Return the routes of the snippets."""
    return [_route(f"{name}.{language}") for name in SNIPPETS for language in LANGUAGES]


def _route(name: str) -> Route:
    path, content = f"/docs/snippets/{name}", (_FOLDER / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, 200, _HEADERS, "text/plain; charset=utf-8")

    return Route(path, endpoint, methods=["GET"], name=path)
