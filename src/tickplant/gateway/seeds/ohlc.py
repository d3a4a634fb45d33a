"""OHLC bars of ticks: `/ohlc/minute`, `/ohlc/hour`, `/ohlc/day`, `/ohlc/custom-day`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from starlette.responses import Response

from tickplant.candles.fill import FILLS
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.candles import BASIS, DAY_START, TIMEZONE
from tickplant.gateway.rest.params import END, LIMIT, START, check_range, choice
from tickplant.gateway.seeds.common import SYMBOL, TAG, time_text, wanted, whole

DAY_START_FX = "22:00"
"""When a day of `/ohlc/day` begins, UTC, unless it is asked for otherwise."""


def read_bars(interval: str, call: Call) -> Response:
    """Answer bars, ascending; those without ticks are filled as asked for."""
    query = call.query
    instrument = wanted(call)
    check_range(query["start"], query["end"])
    grid = Grid.of(parse_interval(interval), query.get("timezone"), _day_start(query))
    found = call.plant.history.candles(
        instrument,
        grid,
        basis=query["basis"],
        start=query["start"],
        end=query["end"],
        limit=query["limit"],
        fill=query["fill"],
    )
    return answer_json([_bar(instrument.symbol, bar) for bar in found.table.to_pylist()])


def _day_start(query: Any) -> str | None:
    hour: int | None = query.get("day_start_hour")
    if hour is not None:
        return f"{hour:02d}:00"
    day_start: str | None = query.get("day_start")
    return day_start


def _bar(symbol: str, bar: dict[str, Any]) -> dict[str, Any]:
    prices = {name: _number(bar[name]) for name in ("open", "high", "low", "close")}
    return {
        "bucket": time_text(bar["start"]),
        "symbol": symbol,
        **prices,
        "tick_count": bar["count"],
        "state": bar["state"],
    }


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value


FILL = choice(
    "fill",
    FILLS,
    "previous",
    "Bars without ticks: flat at the close before (`previous`), left out (`none`), or with null "
    "prices (`null`).",
)
_HOUR = whole("day_start_hour", 0, 23, 22, "Hour at which the day begins, on `timezone`'s clock.")
_RANGE = (SYMBOL, START, END, LIMIT, BASIS, FILL)
_FX_DAY = replace(
    DAY_START,
    doc=f"Start of the day, HH:MM on `timezone`'s clock. Default: {DAY_START_FX}.",
    default=DAY_START_FX,
)


def _door(name: str, interval: str, summary: str, doc: str, extra: tuple[Any, ...]) -> Door:
    return Door(
        method="GET",
        path=f"/ohlc/{name}",
        tag=TAG,
        summary=summary,
        doc=doc,
        model="OhlcModel",
        params=(*_RANGE, *extra),
        refusals=(400, 404),
        read=partial(read_bars, interval),
    )


_ALL = (
    "Bars whose start lies in `[start, end)`, ascending, every one of the range; those without "
    "ticks have a `tick_count` of 0. The bar that is forming is there at once."
)
DOORS = (
    _door("minute", "1m", "Minute bars", _ALL, ()),
    _door("hour", "1h", "Hour bars", _ALL, (TIMEZONE,)),
    _door(
        "day",
        "1d",
        "Day bars of currencies",
        f"{_ALL} A day begins at {DAY_START_FX} UTC, or where `timezone` and `day_start` say: "
        "17:00 in America/New_York follows the daylight saving there.",
        (TIMEZONE, _FX_DAY),
    ),
    _door(
        "custom-day",
        "1d",
        "Day bars of any day",
        f"{_ALL} A day begins at `day_start_hour` on `timezone`'s clock.",
        (TIMEZONE, _HOUR),
    ),
)
