"""`GET /v1/books/{symbol}`: an order book with its measures, as it is or as it was known."""

from __future__ import annotations

import math

from starlette.responses import Response

from tickplant.formats.books import public_levels
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import Page, answer_rows
from tickplant.gateway.rest.params import AS_OF, FORMAT, Param
from tickplant.gateway.rest.ticks import wanted_as_of
from tickplant.model.errors import InvalidParameter
from tickplant.plant.book_shown import (
    BPS_MAX,
    DEPTH_DEFAULT,
    DEPTH_MAX,
    check_bps,
    check_depth,
    read_measured,
    shown_book,
)


def read_book(call: Call) -> Response:
    """Answer the book of the instrument in the path."""
    history, query = call.plant.history, call.query
    instrument = call.plant.registry.resolve(call.path["symbol"])
    depth, bps = query["depth"], query["bps"]
    view, found = read_measured(history, instrument, depth, bps, wanted_as_of(history, query))
    shown = shown_book(instrument, view, found, bps)
    asks = shown.pop("asks")
    head = {name: getattr(view, name) for name in ("ts_event", "ts_recv", "seq", "state")}
    return answer_rows(
        call,
        Page(
            key="asks",
            head=shown,
            structs=lambda: asks,
            table=lambda: public_levels(instrument, head, view.bids, view.asks),
            paged=False,
        ),
    )


def _parse_depth(given: str) -> int:
    text = given.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise InvalidParameter("depth", given, f"a whole number from 1 to {DEPTH_MAX}")
    return check_depth(int(text))


def _parse_bps(given: str) -> float | None:
    try:
        bps = float(given)
    except ValueError:
        bps = math.nan
    if math.isnan(bps):
        raise InvalidParameter("bps", given, f"a number above 0 and not above {BPS_MAX:g}")
    return check_bps(bps)


DEPTH = Param(
    "depth",
    _parse_depth,
    "Most levels of a side.",
    {"type": "integer", "minimum": 1, "maximum": DEPTH_MAX},
    DEPTH_DEFAULT,
)
BPS = Param(
    "bps",
    _parse_bps,
    "Adds `depth_bps`: the sizes that lie within so many basis points of the mid, by side.",
    {"type": "number", "exclusiveMinimum": 0, "maximum": BPS_MAX},
    example=10,
)

DOORS = (
    Door(
        method="GET",
        path="/v1/books/{symbol}",
        tag="Read",
        summary="The order book of an instrument",
        doc="The best levels, the best first, and what is measured of the book. `state` is `live`, "
        "`rebuilding` (something was missed and is being brought again), `stale` (its feed is "
        "away) or `none` (there never was one); what is shown while it is not live is its last "
        "right state, which was that of `ts_event`. What cannot be measured is null. CSV, Arrow "
        "and Parquet carry one row a level.",
        model="BookModel",
        params=(DEPTH, BPS, FORMAT, AS_OF),
        path_params={"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."},
        rows=True,
        refusals=(400, 404, 406),
        read=read_book,
    ),
)
