"""Reads that memory can answer, past every layer and past the server's objects of a request.

    parser ─► HotReads.asked ─► the loop's next turn ─► HotReads.answer ─► one write
                                                            │ it would have to wait
                                                            └─► server ─► layers ─► responder

The layers of the application (`layers`) are called one in the other, each with functions of its own
for a request; of a short answer that is most of the work. Here the same questions are asked in the
same order, of the same objects, and the answer is the same, byte by byte.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import unquote

from starlette.responses import Response

from tickplant.gateway.doors import Call, Door, Reading, Responder, accepted
from tickplant.gateway.envelope import (
    SECURITY,
    RequestIds,
    failed,
    id_in,
    log_access,
    security_beside,
)
from tickplant.gateway.keys.access import Access
from tickplant.gateway.keys.guard import JUDGED
from tickplant.gateway.lines import Header, lines_of
from tickplant.gateway.origins import told_of
from tickplant.gateway.rest.problems import error_problem
from tickplant.gateway.short_way import Table, is_plain
from tickplant.gateway.traced import TRACED
from tickplant.model.at_once import WouldWait
from tickplant.model.errors import TickplantError
from tickplant.observe.context import bind, unbind
from tickplant.observe.metrics import Metrics
from tickplant.observe.tracing import Tracer

_LOG = logging.getLogger(__name__)

Client = tuple[str, int] | None
Beyond = Mapping[str, Any]
"""What was found out of a request already, by the keys of the scope of those who would ask."""

_HEAD = b"%bx-request-id: %b\r\nx-response-time-ms: %.3f\r\n%b"
_SECURITY_LINES = lines_of(SECURITY) or b""


class Write(Protocol):
    """Writes an answer: its status, lines of headers and a body."""

    def __call__(self, asked: Asked, status: int, lines: bytes, body: bytes) -> None:
        """Write it in one go."""


class Asked:
    """A read as the server parsed it; of one connection or of many that asked for the same.

    `path` is decoded, and as the client sees it; `route_path` is without the prefix of a proxy.
    """

    __slots__ = (
        "_call",
        "headers",
        "keep_alive",
        "method",
        "origin",
        "params",
        "path",
        "query",
        "raw_path",
        "reading",
        "request_id",
        "route_path",
    )

    def __init__(
        self,
        reading: Reading,
        params: Mapping[str, str],
        method: str,
        path: str,
        route_path: str,
        raw_path: bytes,
        query: bytes,
        headers: list[Header],
        keep_alive: bool,
    ) -> None:
        self.reading = reading
        self.params = params
        self.method = method
        self.path = path
        self.route_path = route_path
        self.raw_path = raw_path
        self.query = query
        self.headers = headers
        self.keep_alive = keep_alive
        self.request_id = id_in(headers)
        self.origin = _origin_of(headers)
        self._call: Call | None = None

    def scope(self) -> dict[str, Any]:
        """Return what the scope of the request has besides what its connection has."""
        return {
            "method": self.method,
            "path": self.path,
            "raw_path": self.raw_path,
            "query_string": self.query,
            "headers": list(self.headers),
        }

    def call(self) -> Call:
        """Return what is asked for. Raises `TickplantError` for a query that is none."""
        if self._call is None:
            query, accept = self.query.decode("latin-1"), accepted(self.headers)
            self._call = self.reading.call_of(self.params, query, self.path, accept)
        return self._call


class HotReads:
    """Answers reads of an application; one event loop."""

    def __init__(
        self,
        responders: Iterable[tuple[Door, Responder]],
        *,
        metrics: Metrics,
        ids: RequestIds,
        access: Access | None = None,
        origins: frozenset[str] = frozenset(),
        tracer: Tracer | None = None,
        prefix: str = "",
        log: bool = False,
    ) -> None:
        """Take what the layers have: `log` is whether each request is logged."""
        self._table = Table(
            (door, responder)
            for door, responder in responders
            if isinstance(responder, Reading) and door.quick is not None
        )
        self._metrics = metrics
        self._ids = ids
        self._access = access
        self._origins = origins
        self._tracer = tracer
        self._prefix = prefix
        self._log = log

    def asked(
        self,
        method: str,
        raw_path: bytes,
        query: bytes,
        headers: list[Header],
        keep_alive: bool,
    ) -> Asked | None:
        """Return a request for a read that could be hot, None for all others."""
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        prefix, route_path = self._prefix, path
        if prefix:
            route_path = path[len(prefix) :] if path.startswith(f"{prefix}/") else path
            path = prefix + route_path
        found = self._table.find(method, route_path)
        if found is None:
            return None
        reading, params = found
        return Asked(
            reading, params, method, path, route_path, raw_path, query, headers, keep_alive
        )

    def answer(self, asked: Asked, client: Client, write: Write) -> Beyond | None:
        """Answer a request, or return what is known of one that has to wait."""
        began = time.perf_counter()
        beyond: dict[str, Any] = {}
        if self._tracer is not None:
            trace = beyond[TRACED] = self._tracer.begin_request(asked.method, asked.headers)
            if trace is not None:
                return beyond
        request_id = asked.request_id or self._ids.new()
        token = bind(request=request_id.decode())
        try:
            try:
                response, told = self._respond(asked, client, beyond)
            except WouldWait:
                return beyond
            except Exception:
                _LOG.exception("a request failed: %s %s", asked.method, asked.path)
                response, told = failed(asked.path, request_id), []
            headers = [*response.raw_headers, *told]
            lines = lines_of(headers) if is_plain(response) else None
            if lines is None:
                return beyond
            took_ms = (time.perf_counter() - began) * 1e3
            head = _HEAD % (lines, request_id, took_ms, _beside(headers))
            body = b"" if asked.method == "HEAD" else bytes(response.body)
            write(asked, response.status_code, head, body)
            took_s, status = time.perf_counter() - began, response.status_code
            self._metrics.answered(asked.method, asked.reading.door.path, status, took_s)
            if self._log:
                log_access(asked.method, asked.path, asked.query, client, status, took_s)
        finally:
            unbind(token)
        return None

    def _respond(
        self, asked: Asked, client: Client, beyond: dict[str, Any]
    ) -> tuple[Response, list[Header]]:
        """Return the answer and what the layers add to it; note what need not be asked again."""
        told = told_of(self._origins, asked.origin)
        if self._access is None:
            return self._read(asked), told
        verdict = beyond[JUDGED] = self._access.judge(
            asked.method, asked.route_path, asked.path, asked.headers, client
        )
        return verdict.refusal or self._read(asked), [*verdict.told, *told]

    def _read(self, asked: Asked) -> Response:
        try:
            return asked.reading.at_once(asked.call())
        except TickplantError as fault:
            return error_problem(fault, asked.path)


def _beside(headers: Iterable[Header]) -> bytes:
    beside = security_beside(headers)
    return _SECURITY_LINES if beside is SECURITY else lines_of(beside) or b""


def _origin_of(headers: Iterable[Header]) -> str | None:
    for name, value in headers:
        if name == b"origin":
            return value.decode("latin-1")
    return None
