"""Errors as RFC 9457 problems: one shape on every route."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tickplant.model.errors import (
    Complaint,
    InvalidBody,
    PassingError,
    TickplantError,
    UserError,
)

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:tickplant:problem:"
PATH_SAFE = "/:@!$&'()*+,;=~"
"""What a path may hold as it is (RFC 3986, 3.3), with `/` between its segments."""


def problem(
    status: int,
    title: str,
    detail: str,
    instance: str,
    complaints: Iterable[Complaint] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem as a response. `type` is a name made of the title, not an address.

    `instance` is the path that was asked for, decoded.
    """
    body = {
        "type": _TYPE + title.lower().replace(" ", "-"),
        "title": title,
        "status": status,
        "detail": detail,
        "instance": quote(instance, safe=PATH_SAFE),
        "errors": [
            {"loc": list(one.loc), "msg": one.msg, "value": _plain(one.value)} for one in complaints
        ],
    }
    return Response(msgspec.json.encode(body), status, headers, MEDIA_TYPE)


def _plain(value: Any) -> Any:
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError):
        return repr(value)
    return value


def http_problem(
    status: int, detail: str, instance: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem that HTTP itself has a name for."""
    return problem(status, HTTPStatus(status).phrase, detail, instance, headers=headers)


def error_problem(error: TickplantError, instance: str) -> Response:
    """Return the problem that one of our own errors is."""
    if isinstance(error, UserError):
        complaints = error.complaints
        if not complaints and isinstance(error, InvalidBody):
            complaints = (Complaint(("body",), error.detail),)
        return problem(error.status, error.title, error.detail, instance, complaints)
    if isinstance(error, PassingError):
        headers = {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
        return problem(error.status, error.title, error.detail, instance, headers=headers)
    return http_problem(503, str(error), instance)


async def on_error(request: Request, error: Exception) -> Response:
    """Answer a `TickplantError` that a route raised."""
    assert isinstance(error, TickplantError)
    return error_problem(error, request.scope["path"])


class NotAcceptable(UserError):
    """The `Accept` header allows none of the formats that there are."""

    status = 406
    title = "Not acceptable"


class BodyTooLarge(UserError):
    """The body is larger than `server.body_mb_max`."""

    status = 413
    title = "Body too large"
