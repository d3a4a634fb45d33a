"""`POST /v1/coverage`: what a producer knows to be complete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.bodies import decode_json, read_body
from tickplant.gateway.waiting import outcome
from tickplant.model.errors import (
    Complaint,
    InvalidBody,
    InvalidParameter,
)
from tickplant.model.times import format_time, parse_time
from tickplant.plant.feed_notes import COMPLETE_MAX, Complete, check_complete
from tickplant.plant.submission import PUSH_FEED

_BODY_BYTES_MAX = 1 << 20
_ALLOWED = "an object with symbols, start and end"


async def post_coverage(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Take a declaration and answer once it counts."""
    symbols, start, end = _read(request, await read_body(request, _BODY_BYTES_MAX))
    plant = gate.plant
    check_complete(start, end, plant.clock(), where="body")
    found = [plant.registry.resolve(symbol) for symbol in symbols]
    names = [(one.symbol, one.venue) for one in found]
    await outcome(plant.tell(Complete(PUSH_FEED, names, start, end)))
    said = {"symbols": [one.name for one in found], "start": format_time(start)}
    return answer_json({**said, "end": format_time(end)}, 201)


def _read(request: Request, body: bytes) -> tuple[list[str], int, int]:
    """Return what a body says. Raises `InvalidBody`, `InvalidParameter` or `UnsupportedMedia`."""
    given = decode_json(request, body)
    if not isinstance(given, dict) or set(given) != {"symbols", "start", "end"}:
        raise InvalidBody(f"body: must be {_ALLOWED}", [Complaint(("body",), _ALLOWED)])
    symbols = given["symbols"]
    if not isinstance(symbols, list) or not 0 < len(symbols) <= COMPLETE_MAX:
        raise InvalidParameter("symbols", symbols, f"a list of 1 to {COMPLETE_MAX}", where="body")
    for symbol in symbols:
        if not isinstance(symbol, str):
            raise InvalidParameter("symbols", symbol, "SYMBOL or VENUE:SYMBOL", where="body")
    start, end = (parse_time(given[name], name, where="body") for name in ("start", "end"))
    return symbols, start, end


_TIME = {"type": ["string", "integer"], "description": "RFC 3339 with a zone, or integer ns."}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["symbols", "start", "end"],
                "additionalProperties": False,
                "properties": {
                    "symbols": {
                        "type": "array",
                        "items": {"type": "string"},
                        "minItems": 1,
                        "maxItems": COMPLETE_MAX,
                    },
                    "start": _TIME,
                    "end": _TIME,
                },
            },
            "example": {
                "symbols": ["EURUSD"],
                "start": "2014-05-07T00:00:00Z",
                "end": "2014-05-08T00:00:00Z",
            },
        }
    },
}

DOORS = (
    Door(
        method="POST",
        path="/v1/coverage",
        tag="Write",
        summary="Declare a span complete",
        doc="Says that every event of these instruments with `start <= ts_event < end` has been "
        "sent, so that bars in it are complete or quiet however few events there are. The span "
        "must be over. Saying it again changes nothing.",
        model="DeclaredModel",
        status=201,
        body=_BODY,
        refusals=(400, 404, 413, 415, 422, 503),
        serve=post_coverage,
    ),
)
