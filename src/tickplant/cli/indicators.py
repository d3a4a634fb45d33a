"""`tickplant indicators`: averages and indicators of what is stored."""

from __future__ import annotations

from typing import Annotated

import typer

from tickplant.cli.common import Common, command, parse_count
from tickplant.cli.read import (
    AsOf,
    Basis,
    Calendar,
    DayStart,
    End,
    Fill,
    Format,
    Interval,
    Out,
    Session,
    Start,
    Timezone,
    write_found,
)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "indicators",
        panel="Read",
        summary="Show averages and indicators of an instrument.",
        examples=(
            "tickplant indicators SYNTH:EURUSD sma:20 ema:50 --interval 5m --limit 20",
            "tickplant indicators SYNTH:BTC-USDT macd bbands:20:2.5 --out signals.csv",
            "tickplant indicators SYNTH:EURUSD sma:5 --over events --basis mid --limit 10",
        ),
    )(indicators)


def indicators(
    common: Common,
    symbol: Annotated[
        str, typer.Argument(metavar="SYMBOL", help="SYMBOL or VENUE:SYMBOL, in any case.")
    ],
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="sma, ema, wma, vwap, rsi, macd, bbands, atr; parameters stand behind colons, in "
            "their order: sma:20, ema:50:hlc3, macd:12:26:9, bbands:20:2.",
        ),
    ],
    interval: Interval = "1m",
    over: Annotated[
        str, typer.Option(metavar="ROWS", help="bars, or events: single trades or quotes.")
    ] = "bars",
    basis: Basis = None,
    start: Start = None,
    end: End = None,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Most rows: the first ones from --start on, else the newest. Default: all.",
        ),
    ] = None,
    timezone: Timezone = None,
    day_start: DayStart = None,
    calendar: Calendar = None,
    session: Session = None,
    fill: Fill = "none",
    as_of: AsOf = None,
    form: Format = None,
    out: Out = None,
) -> int:
    """Show the candles of an instrument, or its events, and averages and indicators of each.

    A value is computed from a fixed number of bars that end with its own, and is the same whatever
    range is asked for, in the API and on the stream. It is empty while there are too few bars.
    """
    from tickplant.cli.output import choose_format  # noqa: PLC0415 - heavy
    from tickplant.cli.sources import open_source  # noqa: PLC0415 - heavy

    chosen = choose_format(form, out, as_json=common.json, default="table")
    query = {
        "over": over,
        "basis": basis,
        "start": start,
        "end": end,
        "limit": parse_count("--limit", limit),
        "timezone": timezone,
        "day_start": day_start,
        "calendar": calendar,
        "session": session,
        "fill": fill,
        "as_of": as_of,
    }
    given = {name: value for name, value in query.items() if value is not None}
    with open_source(common) as source:
        rows = source.indicators(symbol, ",".join(names), interval, **given)
    write_found(rows, "values", chosen, out)
    return 0
