"""`GET /v1/indicators/{symbol}`: averages and indicators over candles, or over single events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from tickplant.analytics.ask import columns_of, parse_indicators
from tickplant.analytics.catalogue import (
    DEVIATIONS_MAX,
    KINDS,
    PARAMETERS,
    PERIOD_MAX,
    PERIOD_MIN,
    Indicator,
)
from tickplant.analytics.sources import SOURCES
from tickplant.formats.indicators import (
    event_indicator_rows,
    indicator_rows,
    public_event_indicators,
    public_indicators,
)
from tickplant.formats.result import with_about
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import Page, answer_rows
from tickplant.gateway.rest.candles import CANDLE_PARAMS, candle_head, candle_page
from tickplant.gateway.rest.pages import encode_token, fingerprint
from tickplant.gateway.rest.params import AS_OF, END, PAGED, START, Param, check_range, choice, text
from tickplant.gateway.rest.ticks import snapshot
from tickplant.plant.event_indicators import check_no_bars, read_event_indicators
from tickplant.plant.indicators import check_basis, values_of

OVER = ("bars", "events")


def read_indicators(call: Call) -> Response:
    """Answer a page of bars, or of events, with indicators."""
    query = call.query
    given = {name: query[name] for name in PARAMETERS}
    indicators = parse_indicators(query["name"], given)
    page = _over_bars if query["over"] == "bars" else _over_events
    return answer_rows(call, page(call, indicators))


def _over_bars(call: Call, indicators: Sequence[Indicator]) -> Page:
    query = call.query
    check_basis(indicators, query["basis"])
    # One snapshot for the bars of the page and for those before it.
    page = candle_page(call, pinned=True)
    candles, rows = page.candles, page.candles.table
    columns = values_of(call.plant.history, candles, indicators, query["fill"], page.as_of)
    head = candle_head(candles)
    return Page(
        key="values",
        head={**head, "indicators": described(indicators)},
        structs=lambda: indicator_rows(rows, columns),
        table=lambda: with_about(
            public_indicators(rows, columns, candles.instrument, head["interval"], candles.basis),
            head,
        ),
        next_token=page.token,
    )


def _over_events(call: Call, indicators: Sequence[Indicator]) -> Page:
    query = call.query
    check_no_bars({name: _said(query[name]) for name in _OF_BARS})
    check_range(query["start"], query["end"])
    instrument = call.plant.registry.resolve(call.path["symbol"])
    mark = fingerprint(call.door.path, {**query, "of": instrument.number})
    as_of, after = snapshot(call.plant.history, query, mark)
    limit, newest = query["limit"], query["start"] is None and after is None
    found = read_event_indicators(
        call.plant.history,
        instrument,
        indicators,
        basis=query["basis"],
        start=query["start"],
        end=query["end"],
        limit=limit if newest else limit + 1,  # one more, to know whether there is another page
        after=after,
        as_of=as_of,
    )
    token = None
    rows = found.rows.slice(0, limit)
    if found.rows.num_rows > limit:
        place = (rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
        token = encode_token(mark, place, as_of)
    columns = {name: values[:limit] for name, values in found.columns.items()}
    return Page(
        key="values",
        head={
            "symbol": instrument.symbol,
            "venue": instrument.venue,
            "basis": found.basis,
            "indicators": described(indicators),
        },
        structs=lambda: event_indicator_rows(rows, columns),
        table=lambda: public_event_indicators(rows, columns, instrument, found.basis),
        next_token=token,
    )


def described(indicators: Sequence[Indicator]) -> list[dict[str, Any]]:
    """Return the indicators as an answer names them: parameters, columns and window."""
    return [
        {"name": one.kind.name, **one.parameters, "window": one.window, "columns": list(columns)}
        for one, columns in zip(indicators, columns_of(indicators), strict=True)
    ]


def _parameter(name: str, doc: str, schema: Mapping[str, Any], example: Any) -> Param:
    # Read by the indicators themselves, which know what each of them takes.
    return Param(name, str.strip, doc, schema, example=example)


_PERIOD_SCHEMA = {"type": "integer", "minimum": PERIOD_MIN, "maximum": PERIOD_MAX}

NAME = text(
    "name",
    f"Which indicators: {', '.join(f'`{name}`' for name in KINDS)}. Several are joined by commas, "
    "and each may have its own parameters behind colons, in their order: "
    "`sma:20,ema:50:hlc3,macd:12:26:9`.",
    length=512,
    example="sma:20,macd",
    required=True,
)
PERIOD = _parameter("period", "Bars that are averaged.", _PERIOD_SCHEMA, 20)
FAST = _parameter("fast", "Bars of the faster average of `macd`, 12.", _PERIOD_SCHEMA, 12)
SLOW = _parameter("slow", "Bars of the slower average of `macd`, 26.", _PERIOD_SCHEMA, 26)
SIGNAL = _parameter("signal", "Bars of the signal line of `macd`, 9.", _PERIOD_SCHEMA, 9)
DEVIATIONS = _parameter(
    "deviations",
    "Standard deviations between the middle of `bbands` and the other two, 2.",
    {"type": "number", "exclusiveMinimum": 0, "maximum": DEVIATIONS_MAX},
    2,
)
SOURCE = _parameter(
    "source",
    "What of a bar is averaged, `close` by default; `hl2`, `hlc3` and `ohlc4` are means.",
    {"type": "string", "enum": list(SOURCES)},
    "close",
)
OVER_PARAM = choice(
    "over",
    OVER,
    "bars",
    "Rows are candles (`bars`), or the single trades or quotes of the basis (`events`).",
)


def _said(value: Any) -> str | None:
    return None if value is None else str(value)


_ASKED = (NAME, PERIOD, FAST, SLOW, SIGNAL, DEVIATIONS, SOURCE, OVER_PARAM)
_OF_EVENTS = ("basis", *(param.name for param in (START, END, AS_OF, *PAGED)))
_OF_BARS = tuple(param.name for param in CANDLE_PARAMS if param.name not in _OF_EVENTS)

DOORS = (
    Door(
        method="GET",
        path="/v1/indicators/{symbol}",
        tag="Read",
        summary="Averages and indicators of an instrument",
        doc="The bars that `/v1/candles/{symbol}` has, or events, and for each the source and the "
        "indicators. A value is computed from a fixed number of bars that end with its own, its "
        "window, so it does not depend on the range, the limit or the page. It is null while there "
        "are too few bars.",
        model="IndicatorsPage",
        params=(*_ASKED, *CANDLE_PARAMS),
        path_params={"symbol": "`SYMBOL` or `VENUE:SYMBOL`, in any case."},
        rows=True,
        refusals=(400, 404, 406),
        read=read_indicators,
    ),
)
