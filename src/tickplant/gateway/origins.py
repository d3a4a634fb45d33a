"""Which web pages may read from the plant, write to it and listen to its stream.

A browser lets any page send a plain POST or open a WebSocket to 127.0.0.1, and says in `Origin`
which page it was. A page that the plant did not serve itself is refused, unless the setting
`server.origins` names its origin. Programs that are no browsers send no `Origin` and are not
concerned; reads are kept from foreign pages by the browser itself, unless the answer allows them,
which it does for the origins of the setting alone (CORS, as the Fetch standard has it). No answer
allows credentials: keys travel in headers that the page sets itself, never as cookies.
"""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickplant.gateway.rest.problems import http_problem
from tickplant.model.errors import shorten

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ANY = "*"
PREFLIGHT_S = 600
_METHODS = "GET, HEAD, POST, PUT, DELETE"
_ALLOWED = "Authorization, Content-Encoding, Content-Type, X-API-Key, X-Request-Id"
_WISH = "access-control-request-method"
_EXPOSED = (
    b"RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, Retry-After, WWW-Authenticate, "
    b"X-Next-Page-Token, X-Request-Id, X-Response-Time-Ms"
)


class OriginGuard:
    """ASGI middleware. `allowed` are origins (`http://localhost:3000`), or `*` for all."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if not self._allowed and not any(name == b"origin" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if scope["type"] == "http" and self._allowed:
            send = telling(send, told_of(self._allowed, origin))
            named = origin is not None and self._is_named(origin)
            if named and scope["method"] == "OPTIONS" and _WISH in headers:
                await _preflight()(scope, receive, send)
                return
        safe = scope.get("method") in SAFE_METHODS
        if safe or origin is None or self._may(origin, headers.get("host", "")):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            detail = f"Origin: {shorten(origin)} is not allowed; allowed are this plant's own pages"
            detail += " and those that server.origins names"
            await http_problem(403, detail, scope["path"])(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": "origin not allowed"})

    def _is_named(self, origin: str) -> bool:
        return ANY in self._allowed or origin.lower() in self._allowed

    def _may(self, origin: str, host: str) -> bool:
        served = origin.partition("://")[2].lower()  # nothing, where it is no origin
        return self._is_named(origin) or (served != "" and served == host.lower())


def told_of(allowed: frozenset[str], origin: str | None) -> list[tuple[bytes, bytes]]:
    """Return the headers of an answer to a page of this origin; None is no page."""
    told: list[tuple[bytes, bytes]] = []
    if allowed and ANY not in allowed:
        told.append((b"vary", b"Origin"))  # or a cache would hand one page the other's answer
    if origin is not None and (ANY in allowed or origin.lower() in allowed):
        shown = b"*" if ANY in allowed else origin.encode("latin-1")
        told.append((b"access-control-allow-origin", shown))
        told.append((b"access-control-expose-headers", _EXPOSED))
    return told


def telling(send: Send, told: list[tuple[bytes, bytes]]) -> Send:
    """Return a `send` whose answers have these headers besides."""

    async def send_allowed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *told]}
        await send(message)

    return send_allowed


def _preflight() -> Response:
    """Return the answer to what a browser asks before a request that is no plain one."""
    headers = {
        "Access-Control-Allow-Methods": _METHODS,
        "Access-Control-Allow-Headers": _ALLOWED,
        "Access-Control-Max-Age": str(PREFLIGHT_S),
    }
    return Response(status_code=204, headers=headers)


def read_origins(setting: str) -> frozenset[str]:
    """Return the origins of the setting, a list with commas between."""
    return frozenset(
        part.strip().lower().rstrip("/") for part in setting.split(",") if part.strip()
    )
