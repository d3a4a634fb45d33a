"""`tickplant stats`: what is told of an instrument besides its trades and quotes."""

from __future__ import annotations

from typing import Annotated

import typer

from tickplant.cli.common import Common, command, parse_count
from tickplant.cli.read import AsOf, End, Format, Out, Start, write_found
from tickplant.model.errors import InvalidParameter

SHOWN = ("symbol", "venue", "ts_event", "name", "value")
"""Columns of the table for people; files and --json have all."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "stats",
        panel="Read",
        summary="Show statistics of an instrument, such as open interest.",
        examples=(
            "tickplant stats NSE:INFY",
            "tickplant stats NFO:NIFTY26NOVFUT --all --name open_interest --out oi.csv",
            "tickplant stats BTC-USDT --url http://127.0.0.1:8000 --json",
        ),
    )(stats)


def stats(
    common: Common,
    symbol: Annotated[
        str, typer.Argument(metavar="SYMBOL", help="SYMBOL or VENUE:SYMBOL, in any case.")
    ],
    every: Annotated[
        bool,
        typer.Option("--all", metavar=" ", help="Every value, instead of the last of each name."),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default=False, help="Only of these names, with commas between."
        ),
    ] = None,
    start: Start = None,
    end: End = None,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="N", show_default=False, help="Most values, the oldest first. Default: all."
        ),
    ] = None,
    as_of: AsOf = None,
    form: Format = None,
    out: Out = None,
) -> int:
    """Show the last value of each statistic of an instrument, or with --all every one.

    --start, --end and --limit are for --all.
    """
    from tickplant.cli.output import choose_format  # noqa: PLC0415 - heavy
    from tickplant.cli.sources import open_source  # noqa: PLC0415 - heavy

    chosen = choose_format(form, out, as_json=common.json, default="table")
    span = {"start": start, "end": end, "limit": parse_count("--limit", limit)}
    given = {key: value for key, value in span.items() if value is not None}
    if given and not every:
        key, value = next(iter(given.items()))
        raise InvalidParameter(f"--{key}", value, "nothing, except with --all", where="option")
    with open_source(common) as source:
        if every:
            rows = source.stats(symbol, name=name, as_of=as_of, **given)
        else:
            rows = source.last_stats([symbol], name=name, as_of=as_of)
    write_found(rows, "stats", chosen, out, SHOWN)
    return 0
