"""`GET /v1/gaps`: the gap ledger, what is known to be missing and what became of it."""

from __future__ import annotations

from starlette.responses import Response

from tickplant.formats.gaps import public_gaps
from tickplant.formats.result import plain_rows
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import Page, answer_rows
from tickplant.gateway.rest.pages import decode_token, encode_token, fingerprint
from tickplant.gateway.rest.params import (
    AS_OF,
    ORDERS,
    PAGED,
    check_range,
    choice,
    moment,
    said_in_query,
    text,
)
from tickplant.gateway.rest.ticks import wanted_as_of
from tickplant.model.errors import UserError
from tickplant.model.events import STATUSES
from tickplant.model.instruments import Registry


def read_gaps(call: Call) -> Response:
    """Answer a page of gaps, by id."""
    plant, query = call.plant, call.query
    check_range(query["start"], query["end"])
    feed = None if query["feed"] is None else plant.catalog.find_feed(query["feed"])
    instrument = _instrument(plant.registry, query["symbol"])
    mark = fingerprint(call.door.path, query)
    token = None if query["page_token"] is None else decode_token(query["page_token"], mark)
    as_of = wanted_as_of(plant.history, query) if token is None else token.as_of
    rows = plant.history.gaps(
        feed=feed,
        instrument=instrument,
        start=query["start"],
        end=query["end"],
        status=query["status"],
        limit=query["limit"] + 1,
        after=0 if token is None else token.place[0],
        descending=query["order"] == "desc",
        as_of=as_of,
    )
    kept = rows.slice(0, query["limit"])
    more = rows.num_rows > kept.num_rows
    found = public_gaps(kept, plant.feed_name, plant.registry.number)
    return answer_rows(
        call,
        Page(
            key="gaps",
            head={},
            structs=lambda: list(plain_rows(found)),
            table=lambda: found,
            # New gaps have higher ids than all others: pages need no snapshot to hold together.
            next_token=encode_token(mark, (kept["id"][-1].as_py(), 0), as_of) if more else None,
        ),
    )


def _instrument(registry: Registry, symbol: str | None) -> int | None:
    try:
        return None if symbol is None else registry.resolve(symbol).number
    except UserError as fault:
        raise said_in_query(fault, "symbol") from None


FEED = text("feed", "Only gaps of this feed.", length=128, example="push")
SYMBOL = text(
    "symbol",
    "Only gaps that touch this instrument: its own, and those of whole feeds of it.",
    example="EURUSD",
)
START = moment("start", "Only gaps that reach beyond this time, or last.")
END = moment("end", "Only gaps that begin before this time.")
STATUS = choice("status", STATUSES, None, "Only gaps with this status.")
BY_ID = choice(
    "order", ORDERS, ORDERS[0], "By id, which is when it was noticed: rising or falling."
)

DOORS = (
    Door(
        method="GET",
        path="/v1/gaps",
        tag="Read",
        summary="What is missing",
        doc="The gap ledger by id: every span of event time in which a feed did not deliver, or "
        "cannot be known to have delivered, with its cause and what became of it.",
        model="GapsPage",
        params=(FEED, SYMBOL, START, END, STATUS, BY_ID, *PAGED, AS_OF),
        rows=True,
        refusals=(400, 404, 406),
        read=read_gaps,
    ),
)
