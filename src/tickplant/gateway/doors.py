"""Doors: the HTTP routes, each declared once with what it takes and gives.

A door is served as a plain Starlette route, because FastAPI's own resolution of dependencies and
response models costs more than most of our answers; its declaration feeds the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, compile_path
from starlette.types import Receive, Scope

from tickplant.gateway.keys.grants import READ, WRITE
from tickplant.gateway.readers import Readers
from tickplant.gateway.rest.bodies import BodyRoom
from tickplant.gateway.rest.params import Params, query_reader, read_query
from tickplant.gateway.rest.parsing import BodyParser
from tickplant.model.at_once import WouldWait, at_once
from tickplant.observe.tracing import current, measured
from tickplant.plant.plant import Plant

MARK = "tickplant.mark"
Endpoint = Callable[[Request], Awaitable[Response]]
Responder = Callable[[Scope, Receive], Response | Awaitable[Response]]
"""What answers a request, at once where it need not wait."""

_NO_PARAMS: Mapping[str, str] = {}


@dataclass(slots=True)
class Mark:
    """Tells the envelope which route answered, by its template; lies in the scope under `MARK`."""

    route: str = "none"


@dataclass(frozen=True, slots=True)
class Gate:
    """What every door needs."""

    plant: Plant
    readers: Readers
    bodies: BodyRoom
    parser: BodyParser


class Call(NamedTuple):
    """One request to read, as its handler sees it, on a thread of the readers'."""

    plant: Plant
    door: Door
    path: Mapping[str, str]
    query: Mapping[str, Any]
    raw_query: str
    path_asked: str
    accept: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A route and its documentation.

    Exactly one of `read` (blocking, run in a thread) and `serve` (run on the event loop) is given.
    `model` documents the JSON answer, `rows` says that the other three formats are served too;
    `example` is that of an answer that is no JSON.
    `also` documents answers of other statuses, `fault` refusals that are no problems but the JSON
    of a protocol that is not ours. All three name models of `described`, which are loaded when a
    document is made: a plant starts without them.
    `quick` says of the parameters of a query whether it is so small that it may be answered on the
    event loop, if memory has all of it.
    `needs` is the scope of a key that opens it, where it is not the usual one of its method.
    """

    method: str
    path: str
    tag: str
    summary: str
    doc: str
    model: str | None = None
    example: Any = None
    params: Params = ()
    path_params: Mapping[str, str] = field(default_factory=dict)
    rows: bool = False
    status: int = 200
    media_type: str = "application/json"
    body: Mapping[str, Any] | None = None
    refusals: tuple[int, ...] = (400,)
    also: Mapping[int, str] = field(default_factory=dict)
    fault: str | None = None
    needs: str | None = None
    read: Callable[[Call], Response] | None = None
    quick: Callable[[Mapping[str, Any]], bool] | None = None
    serve: Callable[[Request, Gate, Mapping[str, Any]], Awaitable[Response]] | None = None

    @property
    def needed(self) -> str:
        """The scope of a key that opens it: `read`, `write`, `admin`, or `open` for none."""
        return self.needs or (READ if self.method == "GET" else WRITE)


def route_of(door: Door, gate: Gate) -> Route:
    """Return the Starlette route that serves a door."""
    return _route(door, _endpoint_of(_responder(door, gate)))


def reading_route(
    door: Door, plant: Plant, readers: Readers, before: Callable[[], object]
) -> Route:
    """Return the route of a door that reads; `before` is called before each read."""
    return _route(door, _endpoint_of(Reading(door, plant, readers, before)))


def _route(door: Door, endpoint: Endpoint) -> Route:
    return Route(door.path, endpoint, methods=[door.method], name=f"{door.method} {door.path}")


def shadow_routes(doors: Iterable[Door]) -> list[Route]:
    """Return routes, to be tried first, for what no door takes but a template would.

    `/ticks/bulk` is a path of its own, and so nothing that `DELETE /ticks/{symbol}` is about.
    """
    listed = tuple(doors)
    taken = {(door.path, door.method) for door in listed}
    found = {
        (path, door.method)
        for path in {door.path for door in listed if "{" not in door.path}
        for door in listed
        if "{" in door.path and compile_path(door.path)[0].match(path)
    }
    return [
        Route(path, refuse_method, methods=[method], name=f"no {method} {path}")
        for path, method in sorted(found - taken)
    ]


async def refuse_method(request: Request) -> Response:
    """Refuse a method that the path does not take."""
    raise HTTPException(405)


def responders_of(doors: Iterable[Door], gate: Gate) -> list[tuple[Door, Responder]]:
    """Return doors with what answers each."""
    return [(door, _responder(door, gate)) for door in doors]


def reading_responders(
    doors: Iterable[Door], plant: Plant, readers: Readers, before: Callable[[], object]
) -> list[tuple[Door, Responder]]:
    """Return doors that read with what answers each; `before` is called before each read."""
    return [(door, Reading(door, plant, readers, before)) for door in doors]


def _responder(door: Door, gate: Gate) -> Responder:
    if door.read is not None:
        return Reading(door, gate.plant, gate.readers)
    return _serving(door, gate)


def _endpoint_of(responder: Responder) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        found = responder(request.scope, request.receive)
        return found if isinstance(found, Response) else await found

    return endpoint


class Reading:
    """The responder of a door that reads; `before` is called before each read.

    The answer is made at once where memory has all of it, else in a thread.
    """

    def __init__(
        self,
        door: Door,
        plant: Plant,
        readers: Readers,
        before: Callable[[], object] = lambda: None,
    ) -> None:
        assert door.read is not None
        self.door = door
        self._read = door.read
        self._plant = plant
        self._readers = readers
        self._before = before
        self._parse = query_reader(door.params)

    def __call__(self, scope: Scope, receive: Receive) -> Response | Awaitable[Response]:
        """Answer a request."""
        scope[MARK].route = self.door.path
        raw_query = scope["query_string"].decode("latin-1")
        path, accept = scope.get("path_params", _NO_PARAMS), accepted(scope["headers"])
        call = self.call_of(path, raw_query, scope["path"], accept)
        try:
            return self.at_once(call)
        except WouldWait:
            return self._readers.run(lambda: self._answer(call))

    def call_of(
        self, path: Mapping[str, str], raw_query: str, path_asked: str, accept: str
    ) -> Call:
        """Return what is asked for. Raises `TickplantError` for a query that is none."""
        query = measured("parse", lambda: self._parse(raw_query))
        return Call(self._plant, self.door, path, query, raw_query, path_asked, accept)

    def at_once(self, call: Call) -> Response:
        """Return the answer if memory has all of it, else raise `WouldWait`.

        Two threads that hand one answer to each other wait for Python's lock each time.
        """
        if self.door.quick is None or not self.door.quick(call.query):
            raise WouldWait
        with at_once():
            return self._answer(call)

    def _answer(self, call: Call) -> Response:
        self._before()
        if current() is None:
            return self._read(call)
        return measured("read", lambda: self._read(call))


def accepted(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return what `Accept` says, the first one; a request has few headers."""
    for name, value in headers:
        if name == b"accept":
            return value.decode("latin-1")
    return ""


def _serving(door: Door, gate: Gate) -> Responder:
    serve = door.serve
    assert serve is not None

    async def respond(scope: Scope, receive: Receive) -> Response:
        scope[MARK].route = door.path
        query = read_query(door.params, scope["query_string"].decode("latin-1"))
        return await serve(Request(scope, receive), gate, query)

    return respond
