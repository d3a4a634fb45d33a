"""Which web pages may write to the plant and listen to its stream.

A browser lets any page send a plain POST or open a WebSocket to 127.0.0.1, and says in `Origin`
which page it was. A page that the plant did not serve itself is refused, unless the setting
`server.origins` names its origin. Programs that are no browsers send no `Origin` and are not
concerned; reads are kept from foreign pages by the browser itself, because no answer allows them.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tickplant.gateway.rest.problems import http_problem
from tickplant.model.errors import shorten

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ANY = "*"


class OriginGuard:
    """ASGI middleware. `allowed` are origins (`http://localhost:3000`), or `*` for all."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket") or scope.get("method") in SAFE_METHODS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or self._may(origin, headers.get("host", "")):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            detail = f"Origin: {shorten(origin)} is not allowed; allowed are this plant's own pages"
            detail += " and those that server.origins names"
            await http_problem(403, detail, scope["path"])(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "origin not allowed"})

    def _may(self, origin: str, host: str) -> bool:
        if ANY in self._allowed or origin.lower() in self._allowed:
            return True
        return urlsplit(origin).netloc.lower() == host.lower()


def read_origins(setting: str) -> frozenset[str]:
    """Return the origins of the setting, a list with commas between."""
    return frozenset(
        part.strip().lower().rstrip("/") for part in setting.split(",") if part.strip()
    )
