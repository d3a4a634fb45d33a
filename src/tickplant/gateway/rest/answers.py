"""Rows as responses: the format is chosen, the page encoded, the next page named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import msgspec
import pyarrow as pa
from starlette.responses import Response

from tickplant.formats.encode import FORMATS, JSON, MEDIA_TYPES, accepted_format, encode_table
from tickplant.gateway.doors import Call
from tickplant.gateway.rest.problems import PATH_SAFE, NotAcceptable
from tickplant.model.errors import Complaint, shorten
from tickplant.observe.tracing import measured

_ENCODER = msgspec.json.Encoder()
_FRESH = {"Vary": "Accept", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of rows, not yet encoded.

    JSON is `head`, then `key: structs()`, then `next_page_token` where the route has pages; the
    other formats are `table()` with the token in headers.
    """

    key: str
    structs: Callable[[], Any]
    table: Callable[[], pa.Table]
    head: Mapping[str, Any]
    paged: bool = True
    next_token: str | None = None


class FreshJson(Response):
    """A JSON text that is another one at the next request; its headers are not made each time."""

    _HEAD = (
        (b"cache-control", b"no-store"),
        (b"content-type", MEDIA_TYPES[JSON].encode()),
    )

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [*self._HEAD, (b"content-length", b"%d" % len(body))]


def answer_rows(call: Call, page: Page) -> Response:
    """Return a page in the format that the call asks for."""
    return measured("render", lambda: _rendered(call, page))


def _rendered(call: Call, page: Page) -> Response:
    form = call.query.get("format") or accepted_format(call.accept)
    if form is None:
        raise not_acceptable(call.accept, FORMATS)
    headers = dict(_FRESH)
    if page.next_token is not None:
        headers["X-Next-Page-Token"] = page.next_token
        headers["Link"] = f'<{_next_url(call, page.next_token)}>; rel="next"'
    if form != JSON:
        return Response(encode_table(page.table(), form), 200, headers, MEDIA_TYPES[form])
    body = {**page.head, page.key: page.structs()}
    if page.paged:
        body["next_page_token"] = page.next_token
    return Response(_ENCODER.encode(body), 200, headers, MEDIA_TYPES[JSON])


def answer_json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return anything that msgspec encodes as a JSON response."""
    return Response(
        measured("render", lambda: _ENCODER.encode(body)),
        status,
        {"Cache-Control": "no-store", **(headers or {})},
        MEDIA_TYPES[JSON],
    )


def not_acceptable(accept: str, formats: tuple[str, ...]) -> NotAcceptable:
    """Return the error that names the formats that there are."""
    types = ", ".join(MEDIA_TYPES[form].partition(";")[0] for form in formats)
    shown = shorten(accept)
    return NotAcceptable(
        f"Accept: {shown} is not served; served are {types}",
        [Complaint(("header", "accept"), f"served are {types}", shown)],
    )


def _next_url(call: Call, token: str) -> str:
    kept = [
        pair
        for pair in parse_qsl(call.raw_query, keep_blank_values=True)
        if pair[0] != "page_token"
    ]
    return f"{quote(call.path_asked, safe=PATH_SAFE)}?{urlencode([*kept, ('page_token', token)])}"
