"""The doors of InfluxDB: as much of `/write`, `/ping` and `/query` as collectors need.

A write is answered 204 once all its rows are durable. Where some lines are bad the good ones are
stored all the same and the answer is 400 with `partial write: …`: so Telegraf and the client
libraries know that sending the body again would not help. 503 is what they send again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from tickplant.config import InfluxSettings
from tickplant.formats.parse_influx import PRECISIONS, InfluxBody, InfluxRules, parse_influx
from tickplant.formats.parsed import incoming_batch
from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.influx.keys import keyed_rows
from tickplant.gateway.keys.grants import WRITE
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.bodies import THREAD_BYTES, read_body
from tickplant.gateway.rest.params import Param
from tickplant.gateway.waiting import outcome
from tickplant.model.errors import InvalidBody, PassingError, UserError, shorten
from tickplant.model.events import QUOTES, TRADES
from tickplant.model.rejects import Reject
from tickplant.observe.tracing import note_ack, piece
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Receipt, Submission
from tickplant.version import VERSION

VERSION_HEADERS = {"X-Influxdb-Version": f"1.8-tickplant-{VERSION}", "X-Influxdb-Build": "OSS"}
DATABASE = "tickplant"

_CODES = {
    400: "invalid",
    413: "request too large",
    415: "invalid",
    422: "invalid",
    503: "unavailable",
}
_HARMLESS = re.compile(r"\s*(CREATE\s+(DATABASE|RETENTION\s+POLICY)|ALTER\s+RETENTION)\b", re.I)
_SHOW = re.compile(r"\s*SHOW\s+DATABASES\s*;?\s*\Z", re.I)
_QUERY_BYTES_MAX = 64 * 1024
_NO_TRADES = incoming_batch(TRADES, symbol=[])


@dataclass(frozen=True, slots=True)
class _Refusal(Exception):
    """Why a write is not answered 204."""

    status: int
    message: str
    retry_after_s: float | None = None


@lru_cache(8)
def rules_of(settings: InfluxSettings) -> InfluxRules:
    """Return the rules that settings describe."""
    measurements = {
        pattern: table
        for table, said in ((TRADES, settings.trades), (QUOTES, settings.quotes))
        for pattern in _listed(said)
    }
    pairs = (pair.partition("=") for pair in _listed(settings.names))
    names = tuple((column.strip(), name.strip()) for column, _, name in pairs)
    return InfluxRules(measurements, names, settings.time_field)


def _listed(said: str) -> list[str]:
    return [part.strip() for part in said.split(",") if part.strip()]


async def write(
    request: Request, gate: Gate, query: Mapping[str, Any], *, version: int
) -> Response:
    """Store the lines of a body, and answer as InfluxDB does."""
    try:
        await _write(request, gate, query["precision"] or "ns")
    except _Refusal as fault:
        return _refused(fault, version)
    except UserError as fault:
        return _refused(_Refusal(fault.status, fault.detail), version)
    except PassingError as fault:
        return _refused(_Refusal(503, fault.detail, fault.retry_after_s), version)
    return Response(None, 204, VERSION_HEADERS)


def _refused(fault: _Refusal, version: int) -> Response:
    headers = {**VERSION_HEADERS, "X-Influxdb-Error": _header_text(fault.message)}
    if fault.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(fault.retry_after_s)))
    if version == 1:
        return answer_json({"error": fault.message}, fault.status, headers)
    code = _CODES.get(fault.status, "internal error")
    return answer_json({"code": code, "message": fault.message}, fault.status, headers)


def _header_text(message: str) -> str:
    return re.sub(r"[^ -~]", "?", shorten(message, 200))


async def _write(request: Request, gate: Gate, precision: str) -> None:
    if precision not in PRECISIONS:
        allowed = ", ".join(PRECISIONS)
        detail = f"precision: {shorten(precision)} is not allowed; allowed is {allowed}"
        raise _Refusal(400, detail)
    plant = gate.plant
    rules = rules_of(plant.settings.influx)
    with gate.bodies.hold() as take:
        body = await read_body(request, plant.settings.server.body_mb_max << 20, take)
        with piece("decode"):
            if len(body) > THREAD_BYTES:
                found = await asyncio.to_thread(parse_influx, body, rules, precision)
            else:
                found = parse_influx(body, rules, precision)
        del body
        receipts, faults = await _store(plant, found, precision)
    _check(receipts, faults)


async def _store(
    plant: Plant, found: InfluxBody, precision: str
) -> tuple[list[Receipt], list[InvalidBody]]:
    """Hand the rows of every table in and wait for all of them."""
    submissions = _submissions(plant, found, precision)
    futures = [plant.submit(submission) for submission in submissions]
    receipts: list[Receipt] = []
    faults: list[InvalidBody] = []
    for future in futures:
        try:
            receipts.append(await outcome(future))
        except InvalidBody as fault:  # strict, and a bad row among them
            faults.append(fault)
    note_ack(plant.clock)
    return receipts, faults


def _submissions(plant: Plant, found: InfluxBody, precision: str) -> list[Submission]:
    """Return what to hand in; lines of no table go to the quarantine with the first one."""
    settings = plant.settings
    made = []
    left: Sequence[Reject] = found.refused
    for name in found.tables or ((TRADES,) if left else ()):
        table = found.tables.get(name)
        rows = _NO_TRADES if table is None else keyed_rows(table, precision)
        parsed = () if table is None else table.parsed.unreadable
        made.append(
            Submission(
                table=name,
                rows=rows,
                venue=settings.push.venue,
                strict=settings.checks.strict,
                unreadable=tuple(sorted([*left, *parsed], key=lambda one: one.index)),
                indexes=() if table is None else table.parsed.indexes,
            )
        )
        left = ()
    return made


def _check(receipts: Sequence[Receipt], faults: Sequence[InvalidBody]) -> None:
    """Raise `_Refusal` where a line was not stored, with the first reason and how many."""
    if faults:
        raise _Refusal(400, f"unable to parse: {faults[0].detail}")
    rejected = sorted((one for r in receipts for one in r.rejected), key=lambda one: one.index)
    if rejected:
        first = rejected[0]
        said = f"partial write: line {first.index + 1}: {first.detail}"
        raise _Refusal(400, f"{said} dropped={len(rejected)}")


async def ping(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer that somebody is here."""
    if (query["verbose"] or "").lower() in ("true", "1"):
        return answer_json({"version": VERSION_HEADERS["X-Influxdb-Version"]}, 200, VERSION_HEADERS)
    return Response(None, 204, VERSION_HEADERS)


async def answer_query(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer what collectors ask before they write; there is nothing to create."""
    text = query["q"]
    if text is None and request.method == "POST":
        try:
            body = await read_body(request, _QUERY_BYTES_MAX)
        except UserError as fault:
            return _refused(_Refusal(fault.status, fault.detail), 1)
        text = "".join(parse_qs(body.decode("utf-8", "replace")).get("q", ()))
    text = text or ""
    if _HARMLESS.match(text):
        return answer_json({"results": [{"statement_id": 0}]}, 200, VERSION_HEADERS)
    if _SHOW.match(text):
        series = {"name": "databases", "columns": ["name"], "values": [[DATABASE]]}
        results = [{"statement_id": 0, "series": [series]}]
        return answer_json({"results": results}, 200, VERSION_HEADERS)
    said = "CREATE DATABASE and SHOW DATABASES are answered here; rows are read under /v1"
    return _refused(_Refusal(400, f"q: {shorten(text)} is not allowed; {said}"), 1)


def _any(name: str, doc: str, example: str) -> Param:
    return Param(name, lambda text: text, doc, example=example)


_IGNORED = "Taken and not looked at."
_PRECISION = _any("precision", "Unit of the times: ns, us, ms, s, m or h; default ns.", "ns")
_USER = (_any("u", _IGNORED, "telegraf"), _any("p", _IGNORED, "secret"))
_LINES = (
    'trades,symbol=EURUSD,exchange=X,side=buy price=1.3928,size=100,id="T-17" 1399467600000000000'
)
_BODY = {
    "required": False,  # nothing to store is stored
    "content": {"text/plain": {"schema": {"type": "string"}, "example": _LINES}},
}
_WRITE_DOC = (
    "The InfluxDB line protocol. 204 once all rows are on disk; 400 with `partial write: …` where "
    "some lines were refused and the others are stored; 503 to try again. The settings under "
    "`influx` say which measurement is which table. A line sent again is stored once. "
    "`Content-Encoding: gzip` is understood."
)


def _write_door(path: str, version: int, params: tuple[Param, ...]) -> Door:
    return Door(
        method="POST",
        path=path,
        tag="Write",
        summary=f"Store lines as InfluxDB {version} does",
        doc=_WRITE_DOC,
        params=params,
        body=_BODY,
        status=204,
        refusals=(400, 413, 415, 422, 503),
        fault="InfluxFault" if version == 1 else "InfluxFault2",
        serve=partial(write, version=version),
    )


def _query_door(method: str) -> Door:
    return Door(
        method=method,
        path="/query",
        tag="Write",
        summary="Answer collectors of InfluxDB",
        doc="`CREATE DATABASE` and the like succeed and do nothing, `SHOW DATABASES` lists one. "
        "Anything else is refused: rows are read under `/v1`.",
        params=(
            _any("q", "The statement; in a POST also as a form.", "SHOW DATABASES"),
            _any("db", _IGNORED, "tickplant"),
            _any("epoch", _IGNORED, "ns"),
            _any("rp", _IGNORED, "autogen"),
            *_USER,
        ),
        model="InfluxResults",
        refusals=(400, 413, 415, 422) if method == "POST" else (400,),
        fault="InfluxFault",
        needs=WRITE,  # those who ask are about to write
        serve=answer_query,
    )


DOORS = (
    _write_door(
        "/write",
        1,
        (
            _PRECISION,
            _any("db", _IGNORED, "tickplant"),
            _any("rp", _IGNORED, "autogen"),
            _any("consistency", _IGNORED, "one"),
            *_USER,
        ),
    ),
    _write_door(
        "/api/v2/write",
        2,
        (
            _PRECISION,
            _any("org", _IGNORED, "mine"),
            _any("orgID", _IGNORED, "1"),
            _any("bucket", _IGNORED, "ticks"),
        ),
    ),
    Door(
        method="GET",
        path="/ping",
        tag="Write",
        summary="Is anybody there?",
        doc="204, as InfluxDB answers; with `verbose=true` 200 and the version that is spoken.",
        params=(_any("verbose", "`true` for an answer with a body.", "true"),),
        status=204,
        also={200: "InfluxVersion"},
        needs=WRITE,
        serve=ping,
    ),
    _query_door("GET"),
    _query_door("POST"),
)
