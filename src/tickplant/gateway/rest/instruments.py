"""`GET /v1/instruments`: what is known to be traded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from tickplant.formats.instruments import SCHEMA, is_wanted
from tickplant.formats.rows import public_records
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import Page, answer_json, answer_rows
from tickplant.gateway.rest.pages import decode_token, encode_token, fingerprint
from tickplant.gateway.rest.params import PAGED, text
from tickplant.model.instruments import Instrument
from tickplant.store.contract import NOW


def public_instrument(instrument: Instrument) -> dict[str, Any]:
    """Return an instrument as JSON shows it."""
    shown: dict[str, Any] = msgspec.to_builtins(instrument)
    del shown["number"]
    return shown


def read_all(call: Call) -> Response:
    """Answer a page of instruments, in the order in which they became known."""
    mark = fingerprint(call.door.path, call.query)
    token, limit = call.query["page_token"], call.query["limit"]
    after = decode_token(token, mark).place[0] if token is not None else 0
    found = [
        one for one in call.plant.registry if one.number > after and _is_wanted(one, call.query)
    ]
    found.sort(key=lambda one: one.number)
    shown = [public_instrument(one) for one in found[:limit]]
    more = len(found) > limit
    return answer_rows(
        call,
        Page(
            key="instruments",
            head={},
            structs=lambda: shown,
            table=lambda: public_records(shown, SCHEMA),
            next_token=encode_token(mark, (found[limit - 1].number, 0), NOW) if more else None,
        ),
    )


def read_one(call: Call) -> Response:
    """Answer one instrument."""
    return answer_json(public_instrument(call.plant.registry.resolve(call.path["symbol"])))


def _is_wanted(instrument: Instrument, query: Mapping[str, Any]) -> bool:
    return is_wanted(instrument, query["venue"], query["kind"], query["q"])


VENUE = text("venue", "Only instruments of this venue.", length=32, example="ORIGIN")
KIND = text("kind", "Only instruments of this kind.", length=32, example="fx")
PART = text(
    "q", "Only instruments with this in their symbol, venue or aliases.", length=64, example="eur"
)

DOORS = (
    Door(
        method="GET",
        path="/v1/instruments",
        tag="Read",
        summary="Instruments",
        doc="What is known to be traded, in the order in which it became known.",
        model="InstrumentsPage",
        params=(VENUE, KIND, PART, *PAGED),
        rows=True,
        refusals=(400, 406),
        read=read_all,
    ),
    Door(
        method="GET",
        path="/v1/instruments/{symbol}",
        tag="Read",
        summary="One instrument",
        doc="An ambiguous bare symbol is refused with the choices.",
        model="InstrumentModel",
        path_params={"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."},
        refusals=(400, 404),
        read=read_one,
    ),
)
