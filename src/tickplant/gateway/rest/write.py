"""`POST /v1/trades`, `/v1/quotes` and `/v1/stats`: rows in, answered once they are durable.

body (bounded) ─► parse ─► Plant.submit ─► durable ─► 201 with what became of each row
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tickplant.formats.parse import PARSERS, parse_body
from tickplant.formats.parsed import Parsed
from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.bodies import THREAD_BYTES, read_body
from tickplant.gateway.rest.params import switch
from tickplant.gateway.waiting import outcome
from tickplant.model.events import POSTED_TABLES, QUOTES, STATS, TRADES
from tickplant.observe.tracing import note_ack, piece
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Receipt, Submission


async def post_rows(table: str, request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Take the rows of a body and answer with its receipt.

    Raises `BodyTooLarge`, `UnsupportedMedia`, `InvalidBody` (also for a strict body with bad rows)
    or a `PassingError`.
    """
    plant = gate.plant
    with gate.bodies.hold() as take:
        body = await read_body(request, plant.settings.server.body_mb_max << 20, take)
        content_type = request.headers.get("content-type", "")
        with piece("decode"):
            if len(body) > THREAD_BYTES:
                parsed = await gate.parser.parse(table, content_type, body)
            else:
                parsed = parse_body(table, content_type, body)
        del body
        receipt = await outcome(plant.submit(_submission(plant, table, parsed, query["strict"])))
        note_ack(plant.clock)
    return answer_json(_public(receipt), 201)


def _submission(plant: Plant, table: str, parsed: Parsed, strict: bool | None) -> Submission:
    settings = plant.settings
    return Submission(
        table=table,
        rows=parsed.rows,
        venue=settings.push.venue,
        strict=settings.checks.strict if strict is None else strict,
        unreadable=parsed.unreadable,
        indexes=parsed.indexes,
    )


def _public(receipt: Receipt) -> dict[str, Any]:
    return {
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "rejected": [
            {"index": one.index, "reason": one.reason, "detail": one.detail}
            for one in receipt.rejected
        ],
        "seq_first": receipt.seq_first,
        "seq_last": receipt.seq_last,
    }


STRICT = switch("strict", "`true` refuses the whole body with 422 where one row is bad.")

_EXAMPLES = {
    TRADES: {"symbol": "EURUSD", "price": 1.3928, "size": 100, "side": "buy", "id": "T-17"},
    QUOTES: {"symbol": "EURUSD", "bid_price": 1.3927, "ask_price": 1.3929},
    STATS: {"symbol": "BTC-USDT", "name": "open_interest", "value": 81450.5},
}
_VENUE = {
    "type": ["string", "null"],
    "maxLength": 32,
    "description": "Default: `push.venue`.",
}
_TS_EVENT = {
    "type": ["string", "integer", "null"],
    "description": "RFC 3339 with a zone, or integer ns. Default: time of receipt.",
}
_FIELDS = {
    TRADES: {
        "symbol": {"type": "string"},
        "venue": _VENUE,
        "ts_event": _TS_EVENT,
        "price": {"type": "number"},
        "size": {"type": ["number", "null"]},
        "side": {"enum": ["buy", "sell", None]},
        "id": {"type": ["string", "integer", "null"]},
        "conditions": {"type": ["string", "array", "null"], "items": {"type": "string"}},
        "exchange": {"type": ["string", "null"]},
        "key": {"type": ["string", "null"], "maxLength": 64},
    },
    QUOTES: {
        "symbol": {"type": "string"},
        "venue": _VENUE,
        "ts_event": _TS_EVENT,
        "bid_price": {"type": ["number", "null"]},
        "bid_size": {"type": ["number", "null"]},
        "ask_price": {"type": ["number", "null"]},
        "ask_size": {"type": ["number", "null"]},
        "exchange": {"type": ["string", "null"]},
        "key": {"type": ["string", "null"], "maxLength": 64},
    },
    STATS: {
        "symbol": {"type": "string"},
        "venue": _VENUE,
        "ts_event": _TS_EVENT,
        "name": {"type": "string", "pattern": "^[a-z0-9_]{1,64}$"},
        "value": {"type": "number"},
        "key": {"type": ["string", "null"], "maxLength": 64},
    },
}
_NEEDED = {TRADES: ["symbol", "price"], QUOTES: ["symbol"], STATS: ["symbol", "name", "value"]}


def _request_body(table: str) -> dict[str, Any]:
    row = {
        "type": "object",
        "properties": _FIELDS[table],
        "required": _NEEDED[table],
        "additionalProperties": True,
    }
    rows = {"type": "array", "items": row}
    wrapped = {"type": "object", "properties": {table: rows}, "required": [table]}
    one = _EXAMPLES[table]
    content: dict[str, Any] = {
        media: {"schema": {"type": "string", "format": "binary"}} for media in PARSERS
    }
    content["application/json"] = {
        "schema": {"anyOf": [row, rows, wrapped]},
        "examples": {
            "one": {"summary": "One row", "value": one},
            "list": {"summary": "A list of rows", "value": [one]},
            "object": {"summary": "A list under its name", "value": {table: [one]}},
        },
    }
    lines = {"application/x-ndjson": _ndjson(one), "text/csv": _csv(one)}
    for media, example in lines.items():
        content[media] = {"schema": {"type": "string"}, "example": example}
    return {"required": True, "content": content}


def _ndjson(row: dict[str, Any]) -> str:
    return f"{json.dumps(row)}\n"


def _csv(row: dict[str, Any]) -> str:
    return f"{','.join(row)}\n{','.join(map(str, row.values()))}\n"


def _door(table: str) -> Door:
    return Door(
        method="POST",
        path=f"/v1/{table}",
        tag="Write",
        summary=f"Store {table}",
        doc="Answered once the rows are on disk. Good rows of a mixed body are taken, the bad ones "
        "are kept in quarantine and listed under `rejected`; the same row sent again (by `id`, or "
        "by `key`) is counted under `duplicates`. `Content-Encoding: gzip` is understood.",
        model="ReceiptModel",
        params=(STRICT,),
        body=_request_body(table),
        status=201,
        refusals=(400, 413, 415, 422, 503),
        serve=partial(post_rows, table),
    )


DOORS = tuple(_door(table) for table in POSTED_TABLES)
