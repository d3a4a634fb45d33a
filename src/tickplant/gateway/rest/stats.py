"""`GET /v1/stats/{symbol}`: stored statistics by pages; `GET /v1/stats`: the last of each name."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from tickplant.checks.stats import parse_stat_names
from tickplant.formats.rows import last_stat_structs, public_last_stats, public_stats, stat_structs
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import Page, answer_rows
from tickplant.gateway.rest.latest import SYMBOLS_MAX, parse_symbols
from tickplant.gateway.rest.params import AS_OF, FORMAT, RANGE, Param, said_in_query
from tickplant.gateway.rest.ticks import read_page, wanted_as_of
from tickplant.model.errors import InvalidParameter, UserError
from tickplant.plant.stats import LOOK_BACK_ROWS

_ALLOWED = f"1 to {SYMBOLS_MAX} symbols with commas between them"


def read_stats(call: Call) -> Response:
    """Answer a page of statistics."""
    instrument = call.plant.registry.resolve(call.path["symbol"])
    rows_of = partial(call.plant.history.stats, instrument, names=call.query["name"])
    rows, token = read_page(call, rows_of, instrument.number)
    return answer_rows(
        call,
        Page(
            key="stats",
            head={"symbol": instrument.symbol, "venue": instrument.venue},
            structs=lambda: stat_structs(rows),
            table=lambda: public_stats(rows, instrument),
            next_token=token,
        ),
    )


def read_last(call: Call) -> Response:
    """Answer the last statistic of each name of the instruments in `symbols`."""
    history, registry, query = call.plant.history, call.plant.registry, call.query
    if query["symbols"] is None:
        raise InvalidParameter("symbols", "", f"{_ALLOWED}; it must be given")
    try:
        chosen = [registry.resolve(symbol) for symbol in query["symbols"]]
    except UserError as fault:
        raise said_in_query(fault, "symbols") from None
    rows = history.last_stats(dict.fromkeys(chosen), query["name"], wanted_as_of(history, query))
    instruments = [registry.number(number) for number in rows["instrument"].to_pylist()]
    return answer_rows(
        call,
        Page(
            key="stats",
            head={},
            structs=lambda: last_stat_structs(rows, instruments),
            table=lambda: public_last_stats(rows, instruments),
            paged=False,
        ),
    )


NAME = Param(
    "name",
    parse_stat_names,
    "Only statistics with one of these names, with commas between them.",
    {"type": "string", "minLength": 1},
    example="open_interest",
)
SYMBOLS = Param(
    "symbols",
    partial(parse_symbols, allowed=_ALLOWED),
    f"{_ALLOWED}.",
    {"type": "string", "minLength": 1},
    example="BTC-USDT,ETH-USDT",
    required=True,
)

DOORS = (
    Door(
        method="GET",
        path="/v1/stats/{symbol}",
        tag="Read",
        summary="Statistics of an instrument",
        doc="What is told of an instrument besides its trades and quotes, such as open interest, "
        "with `start <= ts_event < end`, by event time and then sequence number. Pages are stable "
        "while rows arrive.",
        model="StatsPage",
        params=(NAME, *RANGE),
        path_params={"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."},
        rows=True,
        refusals=(400, 404, 406),
        read=read_stats,
    ),
    Door(
        method="GET",
        path="/v1/stats",
        tag="Read",
        summary="The last statistics of several instruments",
        doc="The last value of each name, in the order of the symbols and then by name. Of each "
        f"instrument the newest {LOOK_BACK_ROWS:,} statistics are looked at.",
        model="LastStats",
        params=(SYMBOLS, NAME, FORMAT, AS_OF),
        rows=True,
        refusals=(400, 404, 406),
        read=read_last,
    ),
)
