"""`tickplant gaps`: what is known to be missing."""

from __future__ import annotations

from typing import Annotated

import typer

from tickplant.cli.common import Common, command, parse_count
from tickplant.cli.read import AsOf, End, Format, Out, Start, write_found

SHOWN = (
    "id", "feed", "symbol", "venue", "start", "end", "duration_s", "cause", "status", "events",
    "detail",
)  # fmt: skip
"""Columns of the table for people; files and --json have all."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "gaps",
        panel="Read",
        summary="Show what is known to be missing.",
        examples=(
            "tickplant gaps",
            "tickplant gaps --symbol SYNTH:EURUSD --start 2014-05-07T00:00:00Z",
            "tickplant gaps --feed synthetic --status open --url http://127.0.0.1:8000 --json",
        ),
    )(gaps)


def gaps(
    common: Common,
    feed: Annotated[
        str | None, typer.Option(metavar="NAME", show_default=False, help="Only of this feed.")
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option(
            metavar="SYMBOL",
            show_default=False,
            help="Only those that touch this instrument, whole feeds' included.",
        ),
    ] = None,
    start: Start = None,
    end: End = None,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS",
            show_default=False,
            help="Only with this one: open, repairing, repaired or unrepairable.",
        ),
    ] = None,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="N", show_default=False, help="Most gaps, the first in order. Default: all."
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="ORDER",
            show_default=False,
            help="When they were noticed: asc, the oldest first (the default), or desc.",
        ),
    ] = None,
    as_of: AsOf = None,
    form: Format = None,
    out: Out = None,
) -> int:
    """Show the gap ledger: every span in which a feed did not deliver, or is not known to have.

    A gap without a symbol is one of every instrument of its feed; one without an end lasts. --start
    and --end choose those that touch that span of event time.
    """
    from tickplant.cli.output import choose_format  # noqa: PLC0415 - heavy
    from tickplant.cli.sources import open_source  # noqa: PLC0415 - heavy

    chosen = choose_format(form, out, as_json=common.json, default="table")
    query = {
        "feed": feed,
        "symbol": symbol,
        "start": start,
        "end": end,
        "status": status,
        "limit": parse_count("--limit", limit),
        "order": order,
        "as_of": as_of,
    }
    with open_source(common) as source:
        rows = source.gaps(**{name: value for name, value in query.items() if value is not None})
    write_found(rows, "gaps", chosen, out, SHOWN)
    return 0
