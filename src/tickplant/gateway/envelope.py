"""What surrounds every answer: request id, time taken, HEAD and OPTIONS, and the last resort.

The outermost layer of the application. A plain ASGI middleware, because it runs on every request.
The id of a request, or of a WebSocket, is the caller's `X-Request-ID` or a new one; it is in the
answer and in every log line of what is done for it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import re
import time
from collections.abc import Iterable

from starlette._utils import get_route_path
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tickplant.gateway.doors import MARK, Mark, refuse_method
from tickplant.gateway.keys.rules import SOCKETS
from tickplant.gateway.rest.problems import http_problem
from tickplant.observe.context import bind, unbind
from tickplant.observe.logs import ACCESS
from tickplant.observe.metrics import Metrics

_LOG = logging.getLogger(__name__)
_ACCESS = logging.getLogger(ACCESS)
_GOOD_ID = re.compile(rb"[A-Za-z0-9._\-]{1,64}\Z")

FULL = "tickplant.full"
"""Key of the scope of a request that comes when there are so many connections as may be."""

SECURITY = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""What every answer says to a browser, where the answer has not its own word on it, as pages do."""

_SECURITY_NAMES = frozenset(name for name, _ in SECURITY)

_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])


def method_label(method: str) -> str:
    """Return the method as a label: a client's inventions must not become time series."""
    return method if method in _METHODS else "other"


class RequestIds:
    """Names requests: as their clients do, where that is a decent name, else anew."""

    def __init__(self) -> None:
        self._prefix = os.urandom(4).hex()
        self._counter = itertools.count(1)

    def of(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the id of a request with these headers."""
        return id_in(headers) or self.new()

    def new(self) -> bytes:
        """Return an id that no other request of this process has."""
        return f"{self._prefix}-{next(self._counter):x}".encode()


def id_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the id that a client gave its request, None where that is no decent one."""
    for name, value in headers:
        if name == b"x-request-id" and _GOOD_ID.match(value):
            return bytes(value)
    return None


class Envelope:
    """ASGI middleware; one instance serves all requests of one event loop.

    With `access` every request that was answered is logged.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        *,
        access: bool = False,
        ids: RequestIds | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._access = access
        self._ids = ids or RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._pass(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = self._ids.of(scope["headers"])
        token = bind(request=request_id.decode())
        status = 0
        mark = scope[MARK] = Mark()
        silent = scope["method"] == "HEAD"

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", ())
                message["headers"] = [
                    *headers,
                    (b"x-request-id", request_id),
                    (b"x-response-time-ms", b"%.3f" % ((time.perf_counter() - began) * 1e3)),
                    *security_beside(headers),
                ]
            elif silent and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            if FULL in scope:
                await _full(scope)(scope, receive, send_marked)
            else:
                await self._app(scope, receive, send_marked)
        except ClientDisconnect:
            pass  # whoever sent it went away; there is nobody to answer
        except asyncio.CancelledError:
            # The server stops and cuts what has not ended in time. The task ends here either way,
            # but who waits for an answer is told to ask again.
            if status:
                raise
            await _stopping(scope["path"])(scope, receive, send_marked)
        except Exception:
            _LOG.exception("a request failed: %s %s", scope["method"], scope["path"])
            if status:
                raise
            await failed(scope["path"], request_id)(scope, receive, send_marked)
        finally:
            took_s = time.perf_counter() - began
            self._metrics.answered(method_label(scope["method"]), mark.route, status, took_s)
            if self._access:
                _log_access(scope, status, took_s)
            unbind(token)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, or the beginning and the end of the application."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = self._ids.of(scope["headers"])
        token = bind(request=request_id.decode())
        accepted = False

        async def send_marked(message: Message) -> None:
            nonlocal accepted
            if message["type"] == "websocket.accept":
                accepted = True
                headers = [*message.get("headers", ()), (b"x-request-id", request_id)]
                message = {**message, "headers": headers}
            await send(message)

        try:
            await self._app(scope, receive, send_marked)
        finally:
            if self._access:
                _log_access(scope, 101 if accepted else 403, time.perf_counter() - began)
            unbind(token)


def _log_access(scope: Scope, status: int, took_s: float) -> None:
    method = scope.get("method", "WEBSOCKET")
    log_access(method, scope["path"], scope["query_string"], scope.get("client"), status, took_s)


def log_access(
    method: str,
    path: str,
    query_string: bytes,
    client: tuple[str, int] | None,
    status: int,
    took_s: float,
) -> None:
    """Write a request down; `status` 0 is one whose caller went away before the answer."""
    query = query_string.decode("latin-1")
    asked = f"{path}?{query}" if query else path
    host = client[0] if client else ""
    more = {"status": status, "took_ms": round(took_s * 1e3, 3), "client": host}
    _ACCESS.info("%s %s", method, asked, extra=more)


def security_beside(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    """Return what an answer with these headers has yet to say to a browser."""
    own = dict(headers)
    if _SECURITY_NAMES.isdisjoint(own):
        return SECURITY
    return [pair for pair in SECURITY if pair[0] not in own]


def _full(scope: Scope) -> Response:
    detail = f"there are {scope[FULL]} connections, and no more may be (server.connections_max)"
    headers = {"Retry-After": "1", "Connection": "close"}
    return http_problem(503, detail, scope["path"], headers)


def failed(path: str, request_id: bytes) -> Response:
    """Return the answer to a request that met a fault of ours."""
    return http_problem(
        500, f"a fault of ours; it is logged under request id {request_id.decode()}", path
    )


def _stopping(path: str) -> Response:
    return http_problem(
        503, "the plant stops; whether it was done is not known", path, {"Retry-After": "5"}
    )


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: 404, 405, and OPTIONS, which it does not know."""
    status = getattr(error, "status_code", 500)
    headers = dict(getattr(error, "headers", None) or {})
    path, method = request.scope["path"], request.method
    if status == 404:
        return _no_route(request)
    if status != 405:
        return http_problem(status, str(getattr(error, "detail", "")), path, headers)
    allowed = ", ".join(allowed_methods(request.app.router.routes, request.scope))
    if method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allowed})
    detail = f"{method} {path}: not allowed; allowed is {allowed}"
    return http_problem(405, detail, path, {"Allow": allowed})


def _no_route(request: Request) -> Response:
    """Answer a path that is not there, or that is there for WebSocket only (RFC 9110, 15.5.22)."""
    path = request.scope["path"]
    if get_route_path(request.scope) in SOCKETS:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        return http_problem(426, f"{path}: is a WebSocket; see /docs", path, headers)
    hint = "it may be there without the slash at its end; " if path.endswith("/") else ""
    return http_problem(404, f"{path}: no such route; {hint}all are listed at /docs", path)


def allowed_methods(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """Return the methods that the routes of this path take together, OPTIONS included.

    A path that stands as it is goes before a template that it would fit, as OpenAPI has it.
    """
    fitting = [
        route
        for route in routes
        if isinstance(route, Route)
        and route.endpoint is not refuse_method
        and route.matches(scope)[0] is not Match.NONE
    ]
    plain = [route for route in fitting if not route.param_convertors]
    return sorted({"OPTIONS"}.union(*(route.methods or () for route in plain or fitting)))
