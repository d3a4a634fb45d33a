"""`PUT` and `DELETE /v1/trades/{symbol}/{seq}`: corrections and cancels, both events themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tickplant.formats.rows import trade_structs
from tickplant.formats.values import FIELDS, READERS, BadValue
from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.bodies import decode_json, read_body
from tickplant.gateway.waiting import outcome
from tickplant.model.errors import (
    Complaint,
    InvalidBody,
    InvalidParameter,
    NotFound,
    shorten,
)
from tickplant.model.events import TRADES
from tickplant.model.instruments import Instrument
from tickplant.plant.amend import AMENDABLE

_BODY_BYTES_MAX = 64 * 1024
_SEQ = re.compile(r"\d{1,18}\Z", re.ASCII)
_ALLOWED = f"an object with any of {', '.join(AMENDABLE)}"


async def put_trade(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Correct a trade and answer the trade as it now stands."""
    changes = _changes(request, await read_body(request, _BODY_BYTES_MAX))
    instrument, original = await _target(request, gate)
    seq = await _amend(gate, instrument, original, changes)
    found = await gate.readers.run(lambda: gate.plant.history.store.find_trade(seq))
    if not found.num_rows:  # cancelled by somebody else in between
        raise _no_trade(instrument, seq)
    row = msgspec.to_builtins(trade_structs(found)[0])
    return answer_json(
        {**row, "corrects": original, "symbol": instrument.symbol, "venue": instrument.venue}
    )


async def delete_trade(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Cancel a trade."""
    instrument, original = await _target(request, gate)
    seq = await _amend(gate, instrument, original, None)
    return answer_json({"seq": seq, "cancels": original})


async def _target(request: Request, gate: Gate) -> tuple[Instrument, int]:
    """Return the instrument and the number of the original trade that the path names."""
    instrument = gate.plant.registry.resolve(request.path_params["symbol"])
    text = request.path_params["seq"]
    if not _SEQ.match(text):
        raise InvalidParameter("seq", text, "a sequence number", where="path")
    found = await gate.readers.run(lambda: gate.plant.history.store.find_trade(int(text)))
    rows = found.to_pylist()
    if not rows or rows[0]["instrument"] != instrument.number:
        raise _no_trade(instrument, int(text))
    return instrument, rows[0]["ref_seq"] or rows[0]["seq"]


async def _amend(
    gate: Gate, instrument: Instrument, seq: int, changes: dict[str, Any] | None
) -> int:
    future = gate.plant.amend(instrument.number, seq, changes)
    return await outcome(future)


def _no_trade(instrument: Instrument, seq: int) -> NotFound:
    said = f"no trade of {instrument.name} has this number, or it was cancelled"
    return NotFound(f"seq: {seq}: {said}", [Complaint(("path", "seq"), said, seq)])


def _changes(request: Request, body: bytes) -> dict[str, Any]:
    """Return the changes of a body as column values. Raises `InvalidBody` or `UnsupportedMedia`."""
    given = decode_json(request, body)
    if not isinstance(given, dict) or not given:
        raise InvalidBody(f"body: must be {_ALLOWED}", [Complaint(("body",), _ALLOWED)])
    return {name: _value(name, value) for name, value in given.items()}


def _value(name: str, value: Any) -> Any:
    if name not in AMENDABLE:
        raise InvalidBody(
            f"{shorten(name)}: cannot be amended; the body is {_ALLOWED}",
            [Complaint(("body", name), f"allowed is {_ALLOWED}", shorten(value))],
        )
    try:
        read = READERS[FIELDS[TRADES][name]](value, name)
    except BadValue as fault:
        raise InvalidBody(str(fault), [Complaint(("body", name), str(fault), value)]) from None
    if read is None and name in {"price", "ts_event"}:
        raise InvalidBody(
            f"{name}: null is not allowed; leave it out to keep it",
            [Complaint(("body", name), "leave it out to keep it")],
        )
    return read


_PATH = {
    "symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case.",
    "seq": "Sequence number of the trade, or of a correction of it.",
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {
                    "price": {"type": "number"},
                    "size": {"type": ["number", "null"]},
                    "side": {"enum": ["buy", "sell", None]},
                    "conditions": {
                        "type": ["string", "array", "null"],
                        "items": {"type": "string"},
                    },
                    "ts_event": {"type": ["string", "integer"]},
                },
            },
            "example": {"price": 1.3929},
        }
    },
}

DOORS = (
    Door(
        method="PUT",
        path="/v1/trades/{symbol}/{seq}",
        tag="Write",
        summary="Correct a trade",
        doc="Stores a correction, which is an event with a number of its own; the candles that it "
        "touches are made anew. `as_of` still shows what was known before.",
        model="CorrectionModel",
        path_params=_PATH,
        body=_BODY,
        refusals=(400, 404, 413, 415, 422, 503),
        serve=put_trade,
    ),
    Door(
        method="DELETE",
        path="/v1/trades/{symbol}/{seq}",
        tag="Write",
        summary="Cancel a trade",
        doc="Stores a cancel, which is an event with a number of its own. The trade is no longer "
        "returned and its candle is made anew; `as_of` still shows what was known before.",
        model="CancelModel",
        path_params=_PATH,
        refusals=(400, 404, 503),
        serve=delete_trade,
    ),
)
