"""`GET /v1/candles/{symbol}`: bars from the same events as everything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from starlette.responses import Response

from tickplant.candles.activity import activity_of
from tickplant.candles.basis import BASES
from tickplant.candles.calendars import SESSIONS
from tickplant.candles.fill import FILLS
from tickplant.candles.grid import Grid
from tickplant.candles.interval import PATTERN, Activity, parse_interval
from tickplant.formats.result import with_about
from tickplant.formats.rows import candle_structs, public_candles
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.again import answered_again
from tickplant.gateway.rest.answers import Page, answer_rows
from tickplant.gateway.rest.pages import decode_token, encode_token, fingerprint, pin
from tickplant.gateway.rest.params import (
    AS_OF,
    END,
    PAGED,
    START,
    Param,
    check_range,
    choice,
    is_quick,
)
from tickplant.gateway.rest.ticks import wanted_as_of
from tickplant.plant.bar_table import ShownBars
from tickplant.plant.history import Candles
from tickplant.store.contract import AsOf

_MINUTE = parse_interval("1m")


@dataclass(frozen=True, slots=True)
class CandlePage:
    """One page of candles, the token of the next one, and the snapshot that they are of."""

    candles: Candles
    token: str | None
    as_of: AsOf


def read_candles(call: Call) -> Response:
    """Answer a page of candles."""
    instrument = call.plant.registry.resolve(call.path["symbol"])
    return answered_again(call, instrument, lambda: _answer(call))


def _answer(call: Call) -> Response:
    page = candle_page(call)
    candles = page.candles
    head = candle_head(candles)
    return answer_rows(
        call,
        Page(
            key="candles",
            head=head,
            structs=lambda: candle_texts(call, candles),
            table=lambda: with_about(
                public_candles(candles.table, candles.instrument, head["interval"], candles.basis),
                head,
            ),
            next_token=page.token,
        ),
    )


def candle_texts(call: Call, candles: Candles) -> Any:
    """Return candles for JSON, those that were written before as they were written then."""
    bars = candles.bars
    if not isinstance(bars, ShownBars):
        return candle_structs(bars)
    keys = bars.keys()
    if keys is None:
        return bars.rows(slice(None))
    name = (candles.instrument.number, candles.grid, candles.basis, call.query["start"])
    return msgspec.Raw(call.plant.history.texts.array(name, keys, bars.rows))


def candle_page(call: Call, *, pinned: bool = False) -> CandlePage:
    """Return the page of candles that a call asks for.

    With `pinned` it is of a snapshot even where it is the first page of the present, so that
    more can be read of the same.
    """
    query = call.query
    instrument = call.plant.registry.resolve(call.path["symbol"])
    check_range(query["start"], query["end"])
    grid = Grid.of(query["interval"], *(query[param.name] for param in ORIGIN))
    mark = fingerprint(call.door.path, {**query, "of": instrument.number})
    seq_last = call.plant.history.seq_last
    start, index, as_of = _where(call, mark)
    placed = activity_of(grid) is not None
    as_of = pin(as_of, seq_last) if pinned or placed else as_of
    limit = query["limit"]
    candles = call.plant.history.candles(
        instrument,
        grid,
        basis=query["basis"],
        start=start,
        end=query["end"],
        # One more than the page, to know whether there is another. Without a start they are the
        # newest bars, and nothing comes after them.
        limit=limit if start is None else limit + 1,
        fill=query["fill"],
        as_of=as_of,
        index=index if placed else None,
    )
    token = None
    if len(candles) > limit:
        token = encode_token(mark, _place(candles, limit), pin(as_of, seq_last))
        candles = replace(candles, bars=candles.bars[:limit])
    return CandlePage(candles, token, as_of)


def _is_quick(query: Mapping[str, Any]) -> bool:
    """Say whether bars can be found at once, if they are served ones.

    Those of other zones and calendars are not, and finding out about a calendar takes long.
    """
    plain = query["fill"] == "none" and query["timezone"] is None and query["calendar"] is None
    return plain and is_quick(query) and not isinstance(query["interval"], Activity)


def candle_head(candles: Candles) -> dict[str, Any]:
    """Return what all candles of an answer have in common."""
    return {
        "symbol": candles.instrument.symbol,
        "venue": candles.instrument.venue,
        "interval": str(candles.grid.interval),
        "basis": candles.basis,
        **candles.grid.origin,
    }


def _place(candles: Candles, at: int) -> tuple[int, int]:
    """Return where the bar at a place begins, or of bars by activity its day and which it is."""
    if isinstance(candles.bars, ShownBars):
        return int(candles.bars.start[at]), 0
    row = candles.bars.slice(at, 1).to_pylist()[0]
    return (row["day"], row["index"]) if "day" in row else (row["start"], 0)


def _where(call: Call, mark: int) -> tuple[int | None, int | None, AsOf]:
    """Return the start of the first bar wanted, None for the newest bars, and the snapshot.

    Between them is which bar of its day it is, where it is one by activity and a page was before.
    """
    query = call.query
    if query["page_token"] is None:
        return query["start"], None, wanted_as_of(call.plant.history, query)
    token = decode_token(query["page_token"], mark)
    return *token.place, token.as_of


INTERVAL = Param(
    "interval",
    lambda given: parse_interval(given.strip()),
    "Length of a bar: a whole number and `s`, `m`, `h`, `d`, `w` or `mo`; or what closes it: a "
    "count of events (`100t`), a volume (`10000v`) or a value (`1000000$`) of trades.",
    {"type": "string", "pattern": PATTERN},
    _MINUTE,
)
BASIS = choice(
    "basis",
    BASES,
    None,
    "What the prices are: `trade` (the default where there are "
    "trades), else `mid`, `bid` or `ask` of the quotes.",
)
TIMEZONE = Param(
    "timezone",
    str.strip,
    "IANA zone in which days, weeks and months begin. Default: UTC, or the calendar's.",
    example="America/New_York",
)
DAY_START = Param(
    "day_start",
    str.strip,
    "Start of the trading day, HH:MM on `timezone`'s clock. Default: 00:00, or the calendar's.",
    {"type": "string", "pattern": "^[0-2][0-9]:[0-5][0-9]$"},
    example="22:00",
)
CALENDAR = Param(
    "calendar",
    str.strip,
    "Exchange calendar, by its name in exchange_calendars or an alias: its sessions are the days, "
    "and bars begin and end with them.",
    example="XNYS",
)
SESSION = choice(
    "session",
    SESSIONS,
    None,
    "Which hours of the calendar's sessions count: `regular` (the default), `extended` with those "
    "before and after, or `all` events, on days that begin as the calendar's do.",
)
ORIGIN = (TIMEZONE, DAY_START, CALENDAR, SESSION)
FILL = choice(
    "fill",
    FILLS,
    "none",
    "Bars without events: left out (`none`), flat at the close "
    "before (`previous`), or with null prices (`null`).",
)

CANDLE_PARAMS = (INTERVAL, START, END, BASIS, *ORIGIN, FILL, AS_OF, *PAGED)
"""What chooses candles, here and wherever something is made of them."""

DOORS = (
    Door(
        method="GET",
        path="/v1/candles/{symbol}",
        tag="Read",
        summary="Candles of an instrument",
        doc="Bars whose start lies in `[start, end)`, ascending; `start` is floored to its bar. "
        "Without `start` they are the newest `limit` bars before `end`, and there is no next page. "
        "The bar that is still forming is included and says so in `state`. Late, corrected and "
        "cancelled trades change the bar they belong to; `revision` tells.",
        model="CandlesPage",
        params=CANDLE_PARAMS,
        path_params={"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."},
        rows=True,
        refusals=(400, 404, 406),
        read=read_candles,
        quick=_is_quick,
    ),
)
