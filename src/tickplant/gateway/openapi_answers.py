"""Answers in the OpenAPI document: statuses, media types, headers and an example of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

from tickplant.formats.encode import ARROW, CSV, MEDIA_TYPES, PARQUET
from tickplant.gateway.described import model_of
from tickplant.gateway.doors import Door
from tickplant.gateway.examples import CSV as CSV_EXAMPLES
from tickplant.gateway.examples import example_of
from tickplant.gateway.keys.grants import OPEN
from tickplant.gateway.rest.problems import MEDIA_TYPE as PROBLEM_TYPE

REF = "#/components/schemas/{model}"
_HEADER_REF = "#/components/headers/{name}"
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}

HEADERS: Mapping[str, Mapping[str, Any]] = {
    "X-Request-Id": {
        "description": "What the logs call this request; the client's own where it sent one.",
        "schema": _TEXT,
        "example": "9f2c41ab-1f",
    },
    "X-Response-Time-Ms": {
        "description": "How long the answer took, ms.",
        "schema": {"type": "number", "minimum": 0},
        "example": 0.412,
    },
    "X-Next-Page-Token": {
        "description": "The next page's token, where there is one.",
        "schema": _TEXT,
        "example": "lM7tvwMgks8Y6icTprsRGALNLQDAugSp6w",
    },
    "Link": {
        "description": 'The next page, as `rel="next"`, where there is one (RFC 8288).',
        "schema": _TEXT,
        "example": '</v1/trades/EURUSD?limit=1000&page_token=lM7tvwMg>; rel="next"',
    },
    "Retry-After": {
        "description": "When to ask again, s.",
        "schema": {"type": "integer", "minimum": 1},
        "example": 12,
    },
    "WWW-Authenticate": {
        "description": "What is missing (RFC 6750).",
        "schema": _TEXT,
        "example": 'Bearer realm="tickplant"',
    },
    "RateLimit-Limit": {
        "description": "Requests that the window allows, where requests are limited.",
        "schema": _COUNT,
        "example": 600,
    },
    "RateLimit-Remaining": {
        "description": "Requests that are left in it.",
        "schema": _COUNT,
        "example": 0,
    },
    "RateLimit-Reset": {
        "description": "Seconds until it ends.",
        "schema": _COUNT,
        "example": 12,
    },
}
"""Headers of answers, by name."""

_ALWAYS = ("X-Request-Id", "X-Response-Time-Ms")
_LIMITED = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_PAGED = ("X-Next-Page-Token", "Link")

_SAID: Mapping[int, tuple[str, str]] = {
    400: ("Bad request", "limit: 0 is not allowed; allowed is a whole number from 1 to 10000"),
    401: (
        "Unauthorized",
        "a key is needed that is known, not expired and not revoked: `Authorization: Bearer KEY` "
        "or `X-API-Key: KEY`",
    ),
    403: ("Forbidden", "this needs a key with the scope admin"),
    404: ("Not found", "symbol: EURUSX is not known; the nearest are ORIGIN:EURUSD"),
    406: ("Not acceptable", "Accept: text/html is not served; served are application/json"),
    409: ("Conflict", "time: EURUSD has a tick at 2025-12-05T10:00:00Z already; PUT corrects it"),
    413: ("Body too large", "body: is too large; allowed is at most 67108864 bytes"),
    415: ("Unsupported media type", "Content-Type: text/html is not read"),
    422: ("Invalid body", "price: -1 is not allowed; allowed is a number above 0"),
    429: ("Too Many Requests", "more than 600 requests; try again in 12 s"),
    500: ("Internal Server Error", "a fault of ours; it is logged under request id 9f2c41ab-1f"),
    503: ("Stopping", "the plant is stopping"),
}
"""Title and detail of an example of each refusal."""

_FAULTY = frozenset({400, 404, 406, 409, 413, 415, 422})


def answers_of(door: Door) -> dict[str, Any]:
    """Return every answer of a door by its status."""
    paged = door.rows and any(param.name == "page_token" for param in door.params)
    limited = () if door.needed == OPEN else _LIMITED
    done: dict[str, Any] = {
        "description": HTTPStatus(door.status).phrase,
        "headers": _headers((*(_PAGED if paged else ()), *_ALWAYS, *limited)),
    }
    if door.status != HTTPStatus.NO_CONTENT:
        done["content"] = _content(door)
    answers = {str(door.status): done}
    for status, model in door.also.items():
        content = {"application/json": _json(model)}
        answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    for status in sorted(_refusals(door)):
        answers[str(status)] = _refusal(door, status)
    if door.path in {"/health", "/ready"}:
        answers["503"] = {"description": "Not so; says why", "content": _content(door)}
    return answers


def _refusals(door: Door) -> set[int]:
    refusals = {*door.refusals, 500}
    if door.read:
        refusals.add(503)
    if door.needed != OPEN:
        refusals |= {401, 403, 429}  # the guards of keys and of foreign pages stand before it
    return refusals


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": _HEADER_REF.format(name=name)} for name in names}


def _content(door: Door) -> dict[str, Any]:
    if door.model is None:
        return {door.media_type: {"schema": _TEXT, "example": door.example}}
    content: dict[str, Any] = {"application/json": _json(door.model)}
    if door.rows:
        content["text/csv"] = {"schema": _TEXT, "example": CSV_EXAMPLES[door.path]}
        for form in (ARROW, PARQUET):
            binary = {"type": "string", "format": "binary"}
            content[MEDIA_TYPES[form].partition(";")[0]] = {"schema": binary}
    assert not door.rows or MEDIA_TYPES[CSV].startswith("text/csv")
    return content


def _refusal(door: Door, status: int) -> dict[str, Any]:
    problem = {"schema": _ref("Problem"), "example": _problem(door, status)}
    content: dict[str, Any] = {PROBLEM_TYPE: problem}
    if door.fault is not None and status in door.refusals:
        content["application/json"] = _json(door.fault)
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _headers((*_ALWAYS, *_told(status))),
        "content": content,
    }


def _told(status: int) -> tuple[str, ...]:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ("Retry-After", *_LIMITED)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ("WWW-Authenticate",)
    return ("Retry-After",) if status == HTTPStatus.SERVICE_UNAVAILABLE else ()


def _problem(door: Door, status: int) -> dict[str, Any]:
    title, detail = _SAID[status]
    field, _, said = detail.partition(": ")
    where = "query" if status in (400, 404) else "body"
    faults = [{"loc": [where, field], "msg": said, "value": None}] if status in _FAULTY else []
    return {
        "type": f"urn:tickplant:problem:{title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": door.path.replace("{symbol}", "EURUSD").replace("{", "").replace("}", ""),
        "errors": faults,
    }


def _ref(model: str) -> dict[str, Any]:
    return {"$ref": REF.format(model=model)}


def _json(model: str) -> dict[str, Any]:
    return {"schema": _ref(model), "example": _example(model)}


@cache
def _example(model: str) -> Any:
    return example_of(model_of(model))
