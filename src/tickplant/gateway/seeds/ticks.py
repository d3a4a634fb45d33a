"""Ticks by their time: `/ticks/` to create, read, correct and delete, one or many.

A tick is named by its symbol and its time. Behind it is a trade: creating one that stands already
is a conflict, correcting and deleting are events of the log like any correction and cancel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
from starlette.requests import Request
from starlette.responses import Response

from tickplant.formats.parsed import incoming_batch
from tickplant.formats.values import FIELDS, READERS, BadValue
from tickplant.gateway.doors import Call, Door, Gate
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.bodies import decode_json, read_body
from tickplant.gateway.rest.params import END, LIMIT, ORDER, START, check_range, moment
from tickplant.gateway.seeds.common import SYMBOL, TAG, named, time_text, wanted
from tickplant.gateway.waiting import outcome
from tickplant.model.errors import (
    Complaint,
    Conflict,
    InvalidBody,
    InvalidParameter,
    NotFound,
)
from tickplant.model.events import TRADES, Flag
from tickplant.model.instruments import Instrument
from tickplant.model.times import format_time, parse_time
from tickplant.observe.tracing import note_ack, piece
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Receipt, Submission

BULK_MAX = 10_000
DELETED_MAX = 10_000
_BODY_BYTES_MAX = 4 << 20
_FIELDS = {"symbol": "symbol", "price": "price", "time": "ts_event", "size": "size", "id": "id"}
_ALLOWED = "an object with symbol and price, and time, size or id"

Tick = dict[str, Any]


async def post_tick(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Create a tick: 201, or 409 where one of its symbol and time stands."""
    body = await read_body(request, _BODY_BYTES_MAX)
    with piece("decode"):
        tick = _tick(decode_json(request, body), 0, gate.plant)
    known = gate.plant.registry.find(_symbol(tick), gate.plant.settings.push.venue)
    if known is not None and await _standing(gate, known, tick["ts_event"], tick["ts_event"] + 1):
        raise _exists(tick)  # of whatever producer
    receipt = await outcome(gate.plant.submit(await _submission(gate, [tick])))
    note_ack(gate.plant.clock)
    if receipt.rejected:
        reject = receipt.rejected[0]
        said = f"{reject.reason}: {reject.detail}"
        raise InvalidBody(said, [Complaint(("body",), said, reject.row)])
    if not receipt.accepted:
        raise _exists(tick)
    return answer_json(_shown(tick, receipt.seq_first), 201)


async def post_bulk(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Create many ticks; those that stand already are counted, not doubled."""
    body = await read_body(request, _BODY_BYTES_MAX)
    with piece("decode"):
        ticks = _ticks(decode_json(request, body), gate.plant)
    receipt: Receipt = await outcome(gate.plant.submit(await _submission(gate, ticks)))
    note_ack(gate.plant.clock)
    rejected = [
        {"index": one.index, "reason": one.reason, "detail": one.detail} for one in receipt.rejected
    ]
    created = {"created": receipt.accepted, "duplicates": receipt.duplicates}
    return answer_json({**created, "rejected": rejected}, 201)


def _ticks(given: Any, plant: Plant) -> list[Tick]:
    """Return the ticks of a body. Raises `InvalidBody`."""
    listed = given.get("ticks") if isinstance(given, dict) else given
    if not isinstance(listed, list) or not 0 < len(listed) <= BULK_MAX:
        said = f"a list of 1 to {BULK_MAX} ticks, or an object with such a list under ticks"
        raise InvalidBody(f"body: must be {said}", [Complaint(("body",), said)])
    return [_tick(one, place, plant) for place, one in enumerate(listed)]


def read_ticks(call: Call) -> Response:
    """Answer ticks as they stand, by time."""
    instrument, query = wanted(call), call.query
    check_range(query["start"], query["end"])
    rows = call.plant.history.trades(
        instrument,
        start=query["start"],
        end=query["end"],
        descending=query["order"] == "desc",
        limit=query["limit"],
    )
    columns = rows.select(["ts_event", "price", "size", "seq"]).to_pylist()
    return answer_json(
        [
            {
                "time": format_time(row["ts_event"]),
                "symbol": instrument.symbol,
                "price": row["price"],
                "size": row["size"],
                "seq": row["seq"],
            }
            for row in columns
        ]
    )


async def put_tick(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Correct the tick of a symbol and time."""
    given = decode_json(request, await read_body(request, _BODY_BYTES_MAX))
    if not isinstance(given, dict) or not given or not set(given) <= {"price", "size"}:
        said = "an object with price, size or both"
        raise InvalidBody(f"body: must be {said}", [Complaint(("body",), said)])
    changes = {name: _value(name, value, ("body", name)) for name, value in given.items()}
    if "price" in changes and changes["price"] is None:
        raise InvalidBody("price: null is not allowed", [Complaint(("body", "price"), "a number")])
    time = query["time"]
    if time is None:
        raise InvalidParameter("time", "", "the time of a tick; it must be given")
    instrument = named(gate.plant.registry, query["symbol"])
    row = _only(instrument, await _standing(gate, instrument, time, time + 1), time)
    await outcome(gate.plant.amend(instrument.number, row["ref_seq"] or row["seq"], changes))
    found = await _standing(gate, instrument, time, time + 1)
    row = _only(instrument, found, time)
    return answer_json(_row(instrument, row))


async def delete_tick(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Delete the tick of a symbol and time."""
    time = parse_time(request.path_params["time"], "time", where="path")
    instrument = gate.plant.registry.resolve(request.path_params["symbol"])
    row = _only(instrument, await _standing(gate, instrument, time, time + 1), time)
    await outcome(gate.plant.amend(instrument.number, row["ref_seq"] or row["seq"], None))
    return answer_json({"deleted": 1, "symbol": instrument.symbol, "time": format_time(time)})


async def delete_range(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Delete the ticks of a span; refused where they are too many for one request."""
    instrument = gate.plant.registry.resolve(request.path_params["symbol"])
    start, end = query["start"], query["end"]
    if start is None or end is None:
        missing = "start" if start is None else "end"
        raise InvalidParameter(missing, "", "a time; a range must have both ends")
    check_range(start, end)
    rows = await _standing(gate, instrument, start, end, DELETED_MAX + 1)
    if len(rows) > DELETED_MAX:
        raise Conflict(f"there are more than {DELETED_MAX} ticks in the span; delete it in parts")
    for row in rows:
        await outcome(gate.plant.amend(instrument.number, row["ref_seq"] or row["seq"], None))
    return answer_json({"deleted": len(rows), "symbol": instrument.symbol})


# -- what is behind a tick ---------------------------------------------------------------------


def _tick(given: Any, place: int, plant: Plant) -> Tick:
    """Return a tick as columns. Raises `InvalidBody`."""
    if not isinstance(given, dict) or not {"symbol", "price"} <= set(given):
        raise InvalidBody(
            f"body: tick {place} must be {_ALLOWED}", [Complaint(("body", place), _ALLOWED)]
        )
    tick = {
        column: _value(column, given.get(name), ("body", place, name))
        for name, column in _FIELDS.items()
    }
    if tick["ts_event"] is None:
        tick["ts_event"] = plant.clock()
    return tick


def _value(column: str, value: Any, loc: tuple[str | int, ...]) -> Any:
    try:
        return READERS[FIELDS[TRADES][column]](value, str(loc[-1]))
    except BadValue as fault:
        raise InvalidBody(str(fault), [Complaint(loc, str(fault), value)]) from None


async def _submission(gate: Gate, ticks: list[Tick]) -> Submission:
    keys = await gate.readers.run(lambda: _keys(gate.plant, ticks))
    columns = {name: [tick[name] for tick in ticks] for name in _FIELDS.values()}
    rows: pa.RecordBatch = incoming_batch(TRADES, **columns, key=keys)
    return Submission(TRADES, rows, venue=gate.plant.settings.push.venue)


def _keys(plant: Plant, ticks: list[Tick]) -> list[bytes]:
    """Return what names each tick: its time, and how many of that time were deleted before it.

    So of two that are sent at once only one is stored, and one that was deleted can be created.
    """
    by_symbol: dict[str, list[int]] = {}
    for tick in ticks:
        by_symbol.setdefault(_symbol(tick), []).append(tick["ts_event"])
    deleted = {symbol: _deleted(plant, symbol, times) for symbol, times in by_symbol.items()}
    return [
        f"tick|{tick['ts_event']}|{deleted[_symbol(tick)].get(tick['ts_event'], 0)}".encode()
        for tick in ticks
    ]


def _symbol(tick: Tick) -> str:
    return str(tick["symbol"] or "").strip().upper()


def _deleted(plant: Plant, symbol: str, times: list[int]) -> dict[int, int]:
    """Return how many trades were cancelled at each of these times where any was."""
    known = plant.registry.find(symbol, plant.settings.push.venue)
    if known is None:
        return {}
    touched, _ = plant.store.amendment_seqs(known.number, min(times), max(times) + 1)
    counts = {}
    for ts in set(times) & set(touched.tolist()):
        rows = plant.store.scan(
            TRADES, known.number, start=ts, end=ts + 1, columns=["flags"], amended=False
        )
        counts[ts] = int(((rows["flags"].to_numpy() & Flag.CANCEL) > 0).sum())
    return counts


async def _standing(
    gate: Gate, instrument: Instrument, start: int, end: int, limit: int = 2
) -> list[dict[str, Any]]:
    history = gate.plant.history
    rows = await gate.readers.run(
        lambda: history.trades(instrument, start=start, end=end, limit=limit)
    )
    return list(rows.to_pylist())


def _only(instrument: Instrument, rows: list[dict[str, Any]], time: int) -> dict[str, Any]:
    """Return the one tick of a time. Raises `NotFound`, or `Conflict` where there are several."""
    shown = format_time(time)
    if not rows:
        said = f"{instrument.name} has no tick at {shown}"
        raise NotFound(f"time: {said}", [Complaint(("query", "time"), said, shown)])
    if len(rows) > 1:
        raise Conflict(
            f"time: {instrument.name} has several trades at {shown}; "
            "PUT and DELETE /v1/trades/{symbol}/{seq} name one by its number"
        )
    return rows[0]


def _exists(tick: Tick) -> Conflict:
    shown = format_time(tick["ts_event"])
    said = f"{tick['symbol']} has a tick at {shown} already; PUT corrects it"
    return Conflict(f"time: {said}", [Complaint(("body", "time"), said, shown)])


def _shown(tick: Tick, seq: int | None) -> dict[str, Any]:
    return {
        "time": time_text(tick["ts_event"]),
        "symbol": str(tick["symbol"]).strip().upper(),
        "price": tick["price"],
        "size": tick["size"],
        "seq": seq,
    }


def _row(instrument: Instrument, row: dict[str, Any]) -> dict[str, Any]:
    return _shown({**row, "symbol": instrument.symbol}, row["seq"])


_TICK: dict[str, Any] = {
    "type": "object",
    "required": ["symbol", "price"],
    "properties": {
        "symbol": {"type": "string"},
        "price": {"type": "number"},
        "time": {
            "type": ["string", "integer", "null"],
            "description": "RFC 3339 with a zone, or integer ns. Default: time of receipt.",
        },
        "size": {"type": ["number", "null"]},
        "id": {"type": ["string", "integer", "null"]},
    },
}
_LISTED = {
    **_TICK,  # one without a symbol or a price is listed under `rejected`
    "properties": {
        **_TICK["properties"],
        "symbol": {"type": ["string", "null"]},
        "price": {"type": ["number", "null"]},
    },
}
_TICKS = {"type": "array", "items": _LISTED, "minItems": 1, "maxItems": BULK_MAX}
_WRAPPED = {"type": "object", "required": ["ticks"], "properties": {"ticks": _TICKS}}
_EXAMPLE = {"symbol": "EURUSD", "price": 1.12345, "time": "2025-12-05T10:00:00Z"}


def _body(schema: Any, example: Any) -> dict[str, Any]:
    return {
        "required": True,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


_TIME = moment("time", "Time of the tick.", required=True)
_PATH = {"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."}

DOORS = (
    Door(
        method="POST",
        path="/ticks/",
        tag=TAG,
        summary="Create a tick",
        doc="Answered once it is on disk; 409 where a tick of its symbol and time stands.",
        model="TickModel",
        status=201,
        body=_body(_TICK, _EXAMPLE),
        refusals=(400, 409, 413, 415, 422, 503),
        serve=post_tick,
    ),
    Door(
        method="POST",
        path="/ticks/bulk",
        tag=TAG,
        summary="Create many ticks",
        doc="Answered once they are on disk, and sent to the stream like any other. Ticks that "
        "stand already are counted, bad ones listed.",
        model="BulkModel",
        status=201,
        body=_body({"anyOf": [_TICKS, _WRAPPED]}, [_EXAMPLE]),
        refusals=(400, 413, 415, 422, 503),
        serve=post_bulk,
    ),
    Door(
        method="GET",
        path="/ticks/",
        tag=TAG,
        summary="Ticks of a symbol",
        doc="Ticks with `start <= time < end`, as they stand.",
        model="TicksModel",
        params=(SYMBOL, START, END, ORDER, LIMIT),
        refusals=(400, 404),
        read=read_ticks,
    ),
    Door(
        method="PUT",
        path="/ticks/",
        tag=TAG,
        summary="Correct a tick",
        doc="Corrects price or size of the tick of this symbol and time; bars follow at once.",
        model="TickModel",
        params=(SYMBOL, _TIME),
        body=_body(
            {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": False,
                "properties": {"price": {"type": "number"}, "size": {"type": ["number", "null"]}},
            },
            {"price": 1.1235},
        ),
        refusals=(400, 404, 409, 413, 415, 422, 503),
        serve=put_tick,
    ),
    Door(
        method="DELETE",
        path="/ticks/{symbol}/{time}",
        tag=TAG,
        summary="Delete a tick",
        doc="Deletes the tick of this symbol and time; bars follow at once.",
        model="DeletedModel",
        path_params={**_PATH, "time": "RFC 3339 with a zone, or integer nanoseconds."},
        refusals=(400, 404, 409, 503),
        serve=delete_tick,
    ),
    Door(
        method="DELETE",
        path="/ticks/{symbol}",
        tag=TAG,
        summary="Delete the ticks of a span",
        doc=f"Deletes those with `start <= time < end`, at most {DELETED_MAX:,} at once.",
        model="DeletedModel",
        params=(replace(START, required=True), replace(END, required=True)),
        path_params=_PATH,
        refusals=(400, 404, 409, 503),
        serve=delete_range,
    ),
)
