"""`tickplant candles`, `export` and `sql`: what is stored, on the screen or in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickplant.cli.common import FOLDER, Common, check_choice, command, parse_count
from tickplant.model.errors import InvalidParameter

if TYPE_CHECKING:
    import pyarrow as pa

    from tickplant.formats.result import Rows

_SQL_PLACES = (
    "--data with the plant's folder, which may be in use: the API has no route for SQL. From "
    "another machine, `tickplant export TABLE SYMBOL --url URL --out FILE.parquet` brings the rows"
)
TABLES = ("trades", "quotes", "stats", "book", "candles", "quarantine")

Start = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        show_default=False,
        help="First time, included: 2014-05-07T00:00:00Z, or nanoseconds.",
    ),
]
End = Annotated[
    str | None, typer.Option(metavar="TIME", show_default=False, help="Time after the last.")
]
AsOf = Annotated[
    str | None,
    typer.Option(
        metavar="SEQ|TIME", show_default=False, help="As it was known at this sequence or time."
    ),
]
Interval = Annotated[
    str,
    typer.Option(
        metavar="INTERVAL",
        help="1s, 5m, 1h, 1d, 1w, 1mo, any whole number of them; 100t, 10000v, 1000000$.",
    ),
]
Timezone = Annotated[
    str | None,
    typer.Option(
        metavar="ZONE",
        show_default=False,
        help="IANA zone of days, weeks, months. Default: UTC, or the calendar's.",
    ),
]
DayStart = Annotated[
    str | None,
    typer.Option(
        metavar="HH:MM",
        show_default=False,
        help="When a day begins. Default: 00:00, or as the calendar has it.",
    ),
]
Calendar = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", show_default=False, help="Exchange calendar whose sessions are the days."
    ),
]
Session = Annotated[
    str | None,
    typer.Option(
        metavar="HOURS",
        show_default=False,
        help="Of the calendar: regular (the default), extended or all.",
    ),
]
Basis = Annotated[
    str | None,
    typer.Option(
        metavar="BASIS",
        show_default=False,
        help="trade, mid, bid or ask. Default: trade where there are trades, else mid.",
    ),
]
Fill = Annotated[
    str, typer.Option(metavar="FILL", help="Bars without an event: none, previous or null.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        show_default=False,
        help="table, csv, json, ndjson, arrow or parquet. Default: as the name of --out says.",
    ),
]
Out = Annotated[
    str | None,
    typer.Option(metavar="FILE", show_default=False, help="File to write. Default: print."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "candles",
        panel="Read",
        summary="Show candles of an instrument.",
        examples=(
            "tickplant candles SYNTH:EURUSD --interval 5m --limit 20",
            "tickplant candles SYNTH:EURUSD --basis bid --start 2014-05-07T00:00:00Z "
            "--out bars.csv",
            "tickplant candles NASDAQ:AAPL --interval 1d --timezone America/New_York --json",
            "tickplant candles NASDAQ:AAPL --interval 1h --calendar XNYS --session extended",
        ),
    )(candles)
    command(
        app,
        "export",
        panel="Read",
        summary="Write trades, quotes, statistics, candles or refused rows to a file.",
        examples=(
            "tickplant export trades SYNTH:EURUSD SYNTH:GBPUSD --out ticks.parquet",
            "tickplant export quotes '*' --start 2014-05-07T00:00:00Z --out quotes.csv",
            "tickplant export quarantine --out refused.ndjson",
        ),
    )(export)
    command(
        app,
        "sql",
        panel="Read",
        takes=FOLDER,
        summary="Ask in SQL, read-only.",
        examples=(
            'tickplant sql "SELECT symbol, count(*) FROM trades GROUP BY symbol"',
            "tickplant sql \"FROM candles_1m WHERE venue = 'SYNTH' AND symbol = 'EURUSD'\" "
            "--out bars.parquet",
        ),
    )(sql)


def candles(
    common: Common,
    symbol: Annotated[
        str, typer.Argument(metavar="SYMBOL", help="SYMBOL or VENUE:SYMBOL, in any case.")
    ],
    interval: Interval = "1m",
    basis: Basis = None,
    start: Start = None,
    end: End = None,
    limit: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Most bars: the first ones from --start on, else the newest. Default: all.",
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
    """Show candles of an instrument, oldest first, the one that is still forming included.

    They are made from the stored events when they are asked for, and are the same bars that the
    API and the stream give.
    """
    from tickplant.cli.output import choose_format  # noqa: PLC0415 - heavy
    from tickplant.cli.sources import open_source  # noqa: PLC0415 - heavy

    chosen = choose_format(form, out, as_json=common.json, default="table")
    query = {
        "interval": interval,
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
    with open_source(common) as source:
        rows = source.candles(symbol, **{k: v for k, v in query.items() if v is not None})
    write_found(rows, "candles", chosen, out)
    return 0


def export(
    common: Common,
    table: Annotated[
        str,
        typer.Argument(metavar="TABLE", help="trades, quotes, stats, book, candles or quarantine."),
    ],
    symbols: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SYMBOL]...",
            show_default=False,
            help="Symbols, or '*' for all; none for quarantine.",
        ),
    ] = None,
    start: Start = None,
    end: End = None,
    interval: Interval = "1m",
    basis: Basis = None,
    timezone: Timezone = None,
    day_start: DayStart = None,
    calendar: Calendar = None,
    session: Session = None,
    form: Format = None,
    out: Out = None,
) -> int:
    """Write stored rows to a file, or print them, in memory that does not grow with their number.

    Rows are ordered by symbol as given, then by event time. --interval, --basis and what says when
    days begin are for candles.
    """
    from tickplant.cli.output import CSV, TABLE, Output, choose_format  # noqa: PLC0415 - heavy
    from tickplant.cli.sources import open_source  # noqa: PLC0415 - heavy

    table = check_choice("TABLE", table, TABLES)
    chosen = choose_format(form, out, as_json=False, default=CSV)
    if chosen == TABLE:
        raise InvalidParameter("--format", chosen, "csv, json, ndjson, arrow, parquet")
    if bool(symbols) == (table == "quarantine"):
        allowed = "no symbol for quarantine" if symbols else "at least one symbol, or '*' for all"
        raise InvalidParameter("SYMBOL", " ".join(symbols or ()), allowed, where="argument")
    days = {"timezone": timezone, "day_start": day_start, "calendar": calendar, "session": session}
    bars = {name: value for name, value in {"basis": basis, **days}.items() if value is not None}
    if bars and table != "candles":
        name, value = next(iter(bars.items()))
        raise InvalidParameter(f"--{name.replace('_', '-')}", value, "nothing, except with candles")
    began = time.perf_counter()
    with open_source(common) as source, Output(out, chosen) as output:
        query = {"start": start, "end": end}
        bars["interval"] = interval
        for part in _export_parts(source, table, symbols or [], query, bars):
            output.write(part)
            _show_progress(output.rows, began)
    took = time.perf_counter() - began
    if out is not None:
        _say_exported(common, output.rows, out, chosen, took)
    return 0


def _export_parts(
    source: Any,
    table: str,
    symbols: list[str],
    query: dict[str, Any],
    bars: dict[str, str],
) -> Iterator[pa.Table]:
    from tickplant.formats.rows import with_spreads  # noqa: PLC0415 - heavy

    given = {name: value for name, value in query.items() if value is not None}
    if table == "quarantine":
        yield source.quarantine(**given).arrow()
        return
    if symbols == ["*"]:
        names = source.instruments().arrow()
        pairs = zip(names["venue"].to_pylist(), names["symbol"].to_pylist(), strict=True)
        symbols = [f"{venue}:{symbol}" for venue, symbol in pairs]
    for symbol in symbols:
        if table == "candles":
            found = source.candles(symbol, **given, **bars).arrow()
            # One file has one set of columns, and bars of trades and of quotes may share it.
            yield with_spreads(found) if "basis" not in bars and len(symbols) > 1 else found
        else:
            yield from source.row_chunks(table, symbol, **given)


def sql(
    common: Common,
    text: Annotated[str, typer.Argument(metavar="QUERY", help="One statement that reads.")],
    form: Format = None,
    out: Out = None,
    url: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> int:
    """Ask in SQL (DuckDB's) over trades, quotes, stats, book, candles_1m, instruments and more.

    Nothing can be changed. Times are UTC. It works while a plant runs on the folder and sees what
    was durable when the query began. Trades show as they stand, corrections and cancels applied.

    The API has no route for SQL, so it takes a folder and no --url. Of a plant on another machine,
    `tickplant export --url` brings the rows as a Parquet file.
    """
    from tickplant.cli.output import JSON, NDJSON, choose_format  # noqa: PLC0415 - heavy
    from tickplant.cli.sources import open_folder  # noqa: PLC0415 - heavy

    if url is not None:
        raise InvalidParameter("--url", url, _SQL_PLACES, where="option")
    chosen = choose_format(form, out, as_json=common.json, default="table")
    with open_folder(common) as folder:
        reader = folder.sql_batches(text)
        if "explain_value" in reader.schema.names and chosen not in (JSON, NDJSON):
            print("\n".join(reader.read_all()["explain_value"].to_pylist()))
            return 0
        write_rows(_tables(reader), chosen, out, reader.schema)
    return 0


def _tables(reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    import pyarrow as pa  # noqa: PLC0415 - heavy

    for batch in reader:
        yield pa.Table.from_batches([batch])


def write_rows(tables: Any, form: str, out: str | None, schema: pa.Schema | None = None) -> None:
    """Print tables, or write them to a file, in a format; `schema` where there may be none."""
    from tickplant.cli.output import TABLE, Output, print_table  # noqa: PLC0415 - heavy

    if form == TABLE:
        if out is not None:
            raise InvalidParameter("--format", form, "a file format beside --out", where="option")
        first = [] if schema is None else [schema.empty_table()]
        print_table(_chained(first, tables))
        return
    with Output(out, form) as output:
        if schema is not None:
            output.begin(schema)
        for table in tables:
            output.write(table)


def _chained(first: Any, rest: Any) -> Iterator[pa.Table]:
    yield from first
    yield from rest


def write_found(
    found: Rows, key: str, form: str, out: str | None, shown: Sequence[str] | None = None
) -> None:
    """Print what was found, or write it to a file: as JSON the document that the API answers with.

    `shown` are the columns of the table for people, where they are not all.
    """
    from tickplant.cli.output import JSON, TABLE  # noqa: PLC0415 - heavy

    if form == JSON and out is None:
        print_document(found, key)
        return
    table = found.arrow()
    write_rows([table.select(list(shown)) if shown and form == TABLE else table], form, out)


def print_document(found: Rows, key: str) -> None:
    """Print the document that the API answers with: what the bars share, then the bars."""
    from tickplant.cli.output import print_json  # noqa: PLC0415 - heavy
    from tickplant.formats.result import plain_rows  # noqa: PLC0415 - heavy

    table = found.arrow()
    rows = list(plain_rows(table.drop_columns([n for n in found.about if n in table.column_names])))
    print_json({**found.about, key: rows})


def _show_progress(rows: int, began: float) -> None:
    if sys.stderr.isatty():
        rate = rows / max(time.perf_counter() - began, 1e-9)
        print(f"\r{rows:,} rows  {rate:,.0f} rows/s ", end="", file=sys.stderr, flush=True)


def _say_exported(common: Common, rows: int, out: str, form: str, took_s: float) -> None:
    from tickplant.cli.output import print_json  # noqa: PLC0415 - heavy

    if common.json:
        print_json({"rows": rows, "out": out, "format": form, "seconds": round(took_s, 3)})
        return
    start = "\r" if sys.stderr.isatty() else ""
    print(f"{start}{rows:,} rows to {out} in {took_s:.1f} s", file=sys.stderr)
