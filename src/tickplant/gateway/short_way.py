"""The way past the router: a look at a path instead of a try of each route.

A middleware for doors that producers and readers hammer, and the table that it looks them up in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from starlette._utils import get_route_path
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tickplant.gateway.doors import Door, Responder
from tickplant.gateway.rest.problems import on_error
from tickplant.model.errors import TickplantError

T = TypeVar("T")

WHOLE = "tickplant.whole"
"""Key of the scope that says that the server takes a body with the head, under `BODY`."""

BODY = "tickplant.body"
_NO_PARAMS: Mapping[str, str] = {}


class Table(Generic[T]):
    """What belongs to a method and a path that is fixed, or ends in one parameter."""

    def __init__(self, listed: Iterable[tuple[Door, T]]) -> None:
        self._fixed: dict[tuple[str, str], T] = {}
        self._named: dict[tuple[str, str], tuple[T, str]] = {}
        for door, what in listed:
            before, _, last = door.path.rpartition("/")
            for method in (door.method, "HEAD") if door.method == "GET" else (door.method,):
                if last.startswith("{"):
                    self._named[method, before] = what, last[1:-1]
                else:
                    self._fixed[method, door.path] = what

    def find(self, method: str, path: str) -> tuple[T, Mapping[str, str]] | None:
        """Return what belongs to a path, and the parameters in it."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, _NO_PARAMS
        before, _, last = path.rpartition("/")
        named = self._named.get((method, before))
        if named is None or not last:
            return None
        return named[0], {named[1]: last}


class ShortWay:
    """ASGI middleware: serves some doors at once, without the router and the layers before it.

    What a door answers is the same either way; only the layers of the frameworks that have nothing
    to do with it are left out.
    """

    def __init__(self, app: ASGIApp, responders: Iterable[tuple[Door, Responder]]) -> None:
        self._app = app
        self._table = Table(responders)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        known = None
        if scope["type"] == "http":
            known = self._table.find(scope["method"], get_route_path(scope))
        if known is None:
            await self._app(scope, receive, send)
            return
        responder, scope["path_params"] = known
        try:
            found = responder(scope, receive)
            response = found if isinstance(found, Response) else await found
        except TickplantError as fault:
            response = await on_error(Request(scope, receive), fault)
        if WHOLE in scope and is_plain(response):
            await send(
                {
                    "type": "http.response.start",
                    "status": response.status_code,
                    "headers": response.raw_headers,
                    BODY: response.body,
                }
            )
        else:
            await response(scope, receive, send)


def is_plain(response: Response) -> bool:
    """Say whether an answer is its status, its headers and its body, and nothing besides."""
    return type(response).__call__ is Response.__call__ and response.background is None
