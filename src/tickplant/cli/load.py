"""`tickplant import`: files into a folder or into a running plant."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickplant.cli.common import Common, command
from tickplant.cli.process import keep_pandas_out
from tickplant.model.errors import InvalidParameter

if TYPE_CHECKING:
    from tickplant.feeds.files import Declare, Progress, Sink, Totals
    from tickplant.model.rejects import Reject

EVERY_S = 5.0
"""How often a line says how far it is where there is no terminal, s."""


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "import",
        panel="Run",
        summary="Take in files of trades, quotes or statistics.",
        examples=(
            "tickplant import ticks.csv.gz --venue NASDAQ",
            "tickplant import quotes/*.parquet --symbol EURUSD --column bid_price=b",
            "tickplant import trades.csv --time-unit ms --url http://127.0.0.1:8000",
        ),
    )(import_)


def import_(
    common: Common,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="CSV, CSV.gz, NDJSON or Parquet files."),
    ],
    table: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            show_default=False,
            help="trades, quotes or stats. Default: as the columns say, trades or quotes.",
        ),
    ] = None,
    venue: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="Venue of rows that name none. Default: push.venue, ORIGIN.",
        ),
    ] = None,
    symbol: Annotated[
        str | None,
        typer.Option(metavar="SYMBOL", show_default=False, help="Symbol of all rows."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD=COLUMN",
            show_default=False,
            help="Which column holds a field, such as price=last_px; may be repeated.",
        ),
    ] = None,
    time_unit: Annotated[
        str | None,
        typer.Option(
            metavar="UNIT",
            show_default=False,
            help="Unit of integer times: s, ms, us or ns. Default: found out by their size.",
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            show_default=False,
            help="IANA zone of times that name none; without it they are refused.",
        ),
    ] = None,
    covers: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN",
            show_default=False,
            help="Each file has everything of its instruments from START..END, or of its days.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", metavar=" ", help="Exit with 1 where a row was refused.")
    ] = False,
) -> int:
    """Take in files of trades, quotes or, with --table stats, statistics.

    A row is stored once, however often its file is imported. Bad rows are refused, counted by
    reason and kept in the quarantine; the good ones around them are taken. With --url, rows that
    cannot be read as rows are named at the end but not sent, so the plant does not know of them.
    Without --url the folder must not be in use by a plant. --covers START..END says that the files
    lack nothing of their instruments in that span, so that its bars are complete or quiet;
    --covers days says so of the UTC days that each file has rows of.
    """
    import time  # noqa: PLC0415 - only here

    keep_pandas_out()
    from tickplant.feeds.filecovers import parse_covers  # noqa: PLC0415 - heavy
    from tickplant.feeds.files import Covers, import_files  # noqa: PLC0415 - heavy
    from tickplant.feeds.filesources import open_source  # noqa: PLC0415 - heavy

    common.check_one_source()
    mapping = dict(_split_column(text) for text in column or ())
    now = time.time_ns()
    span = None if covers is None else parse_covers(covers, now)
    if common.url is None and not common.folder().exists():
        for file in files:  # no folder is made for what cannot be read
            open_source(file).close()
    with _open_sink(common) as opened, _progress(common) as progress:
        sink, declare, default_venue = opened
        totals = import_files(
            files,
            sink=sink,
            venue=(venue or default_venue).upper(),
            table=table,
            symbol=symbol,
            mapping=mapping,
            time_unit=time_unit,
            timezone=timezone,
            progress=progress,
            covers=None if covers is None else Covers(span, now, declare),
        )
    _say(common, totals, sink)
    return 1 if strict and totals.rejected else 0


def _split_column(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not equals or not field.strip() or not name.strip():
        raise InvalidParameter(
            "--column", text, "FIELD=COLUMN, such as price=last_px", where="option"
        )
    return field.strip().lower(), name.strip()


@contextmanager
def _open_sink(common: Common) -> Iterator[tuple[Sink, Declare, str]]:
    """Open what takes the rows; give it with what takes declarations, and the venue of rows that
    name none."""
    if common.url is not None:
        from tickplant.cli.remote import RemoteSink  # noqa: PLC0415 - heavy

        with RemoteSink(common.url, common.plant_key()) as remote:
            yield remote, remote.declare, common.settings().push.venue
        return
    from tickplant.compose import OpenPlant  # noqa: PLC0415 - heavy
    from tickplant.feeds.files import FEED  # noqa: PLC0415 - heavy
    from tickplant.plant.feed_notes import Complete  # noqa: PLC0415 - heavy

    settings = common.settings()
    with OpenPlant(settings) as opened:
        plant = opened.plant

        def declare(names: Sequence[tuple[str, str]], start: int, end: int) -> None:
            plant.tell(Complete(FEED, names, start, end)).result()

        yield plant, declare, settings.push.venue


@contextmanager
def _progress(common: Common) -> Iterator[Progress | None]:
    if common.json:
        yield None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.progress import (  # noqa: PLC0415 - heavy
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task("import", rows=0, rate=0.0)

        def show(done: int, total: int, rows: int) -> None:
            seconds = max(bars.tasks[0].elapsed or 0.0, 1e-3)
            bars.update(task, completed=done, total=total, rows=rows, rate=rows / seconds)

        yield show


def _lines() -> Progress:
    import time  # noqa: PLC0415 - only here

    began = said = time.monotonic()

    def show(done: int, total: int, rows: int) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= EVERY_S:
            said = now
            share = done / total if total else 1.0
            rate = rows / max(now - began, 1e-3)
            print(f"{share:4.0%}  {rows:,} rows  {rate:,.0f} rows/s", file=sys.stderr, flush=True)

    return show


def _say(common: Common, totals: Totals, sink: Sink) -> None:
    seconds = max(totals.seconds, 1e-9)
    not_sent: int = getattr(sink, "not_sent", 0)
    first_not_sent: list[Reject] = getattr(sink, "first_not_sent", [])
    refused = sum(totals.rejected.values())
    if common.json:
        from tickplant.cli.output import print_json  # noqa: PLC0415 - heavy

        print_json(
            {
                "files": totals.files,
                "rows": totals.rows,
                "accepted": totals.accepted,
                "duplicates": totals.duplicates,
                "rejected": refused,
                "rejected_by_reason": dict(totals.rejected),
                "samples": [_shown(reject) for reject in totals.samples],
                "not_sent": not_sent,
                "first_not_sent": [_shown(reject) for reject in first_not_sent],
                "seconds": round(totals.seconds, 3),
                "rows_per_s": round(totals.rows / seconds),
            }
        )
        return
    files = "1 file" if totals.files == 1 else f"{totals.files} files"
    print(
        f"{totals.rows:,} rows of {files} in {seconds:.1f} s, {totals.rows / seconds:,.0f} rows/s"
    )
    print(f"  accepted    {totals.accepted:,}")
    print(f"  duplicates  {totals.duplicates:,}")
    print(f"  rejected    {refused:,}")
    for reason, count in totals.rejected.most_common():
        print(f"    {reason}  {count:,}")
    for reject in totals.samples[:3]:
        print(f"    row {reject.index}: {reject.detail}")
    if refused > not_sent:
        where = "" if common.url is None else f" --url {common.url}"
        print(f"  the refused rows are in the quarantine: tickplant export quarantine{where}")
    if not_sent:
        what = "1 of them was" if not_sent == 1 else f"{not_sent:,} of them were"
        print(f"  {what} not sent, because they cannot be read; the plant does not know of them")
        for reject in first_not_sent:
            print(f"    row {reject.index}: {reject.reason}: {reject.detail}")


def _shown(reject: Reject) -> dict[str, Any]:
    return {"index": reject.index, "reason": reject.reason, "detail": reject.detail}
