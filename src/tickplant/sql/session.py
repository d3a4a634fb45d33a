"""A connection that can read the stored tables and nothing else, and a query in it.

Each query has a database of its own, in memory, closed with its result. It sees one moment of the
store. External access is off but for the archive's files by name, Python's variables cannot be
reached, and the configuration is locked before the text of the caller is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import duckdb
import numpy as np
import pyarrow as pa

from tickplant.model.errors import PassingError
from tickplant.model.events import TRADES
from tickplant.plant.history import History
from tickplant.sql.candles import CandleTable, bars_of
from tickplant.sql.gaps import GapTable
from tickplant.sql.guard import BadQuery, check_statement, is_show_tables, summarized
from tickplant.sql.tables import EVENT_TABLES, Stored, add_events, add_names

if TYPE_CHECKING:
    from tickplant.store.tiered import TieredStore

TABLES = ("trades", "quotes", "stats", "book", "candles_1m", "instruments", "quarantine", "gaps")
BATCH_ROWS = 65_536

_CHANGED = "the archive was reorganised under the query; run it again"

# TIMESTAMPTZ_NS lacks the usual functions (DuckDB 2.0); these read it as the UTC time that it is.
_PARTS = (
    "year",
    "month",
    "day",
    "hour",
    "minute",
    "second",
    "dayofweek",
    "isodow",
    "dayofyear",
    "week",
    "quarter",
)
_UTC = "system.main.{0}({1}ts::TIMESTAMP_NS{2})"
_MACROS = (
    f"date_trunc(part, ts) AS {_UTC.format('date_trunc', 'part, ', '')}::TIMESTAMPTZ_NS",
    f"time_bucket(width, ts) AS {_UTC.format('time_bucket', 'width, ', '')}::TIMESTAMPTZ_NS, "
    f"(width, ts, origin) AS {_UTC.format('time_bucket', 'width, ', ', origin')}::TIMESTAMPTZ_NS",
    f"date_part(part, ts) AS {_UTC.format('date_part', 'part, ', '')}",
    "epoch(ts) AS epoch_ns(ts) / 1e9",
    "now() AS system.main.now()::TIMESTAMP",
    "get_current_timestamp() AS system.main.get_current_timestamp()::TIMESTAMP",
    *(f"{name}(ts) AS {_UTC.format(name, '', '')}" for name in _PARTS),
)


def query(
    history: History, text: str, feeds: Mapping[str, int] | None = None
) -> pa.RecordBatchReader:
    """Return the result of one reading statement as a stream of batches.

    The tables are `TABLES`; times are UTC. `feeds` are the numbers of feeds by name, for the tables
    `quarantine` and `gaps`. Raises `BadQuery`; a `PassingError` where the archive was reorganised
    under a query that took longer than replaced files are kept.
    """
    statement = check_statement(text)
    try:
        return _begin(history, feeds or {}, statement)
    except _GoneError as fault:
        cast("TieredStore", history.store).set_apart((), str(fault))  # looks at the folder again
    try:
        return _begin(history, feeds or {}, statement)
    except _GoneError as fault:
        raise PassingError(_CHANGED) from fault


def _begin(history: History, feeds: Mapping[str, int], statement: str) -> pa.RecordBatchReader:
    """Return the running query, its first batch made; raises `_GoneError`."""
    con = _connect()
    try:
        _add_tables(con, history, feeds)
        batches = _run(con, statement)
        first = next(batches, None)
    except BaseException:
        con.close()
        raise
    return pa.RecordBatchReader.from_batches(batches.schema, _rest(con, batches, first))


class _GoneError(Exception):
    """A file of the archive was replaced by a larger one and removed."""


class _Batches:
    """The batches of a running query; its faults are ours."""

    def __init__(self, reader: pa.RecordBatchReader, statement: str) -> None:
        self.schema = reader.schema
        self._reader = reader
        self._statement = statement

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        try:
            return next(self._reader)
        except (duckdb.Error, pa.ArrowException, OSError) as fault:
            raise _explained(fault, self._statement) from fault


def _run(con: duckdb.DuckDBPyConnection, statement: str) -> _Batches:
    try:
        statement = _rewritten(con, statement)
        return _Batches(con.sql(statement).to_arrow_reader(BATCH_ROWS), statement)
    except duckdb.Error as fault:
        raise _explained(fault, statement) from fault


def _rewritten(con: duckdb.DuckDBPyConnection, statement: str) -> str:
    """Return the statement in a form that shows our tables only and can sum up our times."""
    if is_show_tables(statement):
        return "SELECT unnest([" + ", ".join(f"'{name}'" for name in sorted(TABLES)) + "]) AS name"
    inner = summarized(statement)
    if inner is None:
        return statement
    # SUMMARIZE takes means, and DuckDB 2.0 has none of TIMESTAMPTZ_NS.
    columns = [
        f'"{name}"::TIMESTAMP_NS::TIMESTAMP AS "{name}"'
        if kind == "TIMESTAMPTZ_NS"
        else f'"{name}"'
        for name, kind, *_ in con.sql(f"DESCRIBE {inner}").fetchall()
    ]
    return f"SUMMARIZE SELECT {', '.join(columns)} FROM ({inner})"


def _rest(
    con: duckdb.DuckDBPyConnection, batches: _Batches, first: pa.RecordBatch | None
) -> Iterator[pa.RecordBatch]:
    try:
        if first is not None:
            yield first
            yield from batches
    except _GoneError as fault:
        raise PassingError(_CHANGED) from fault
    finally:
        con.close()


def _explained(fault: Exception, statement: str) -> Exception:
    said = str(fault).strip()
    if "No such file" in said or "No files found" in said:
        return _GoneError(said)
    if "permission" in said.lower() or "disabled" in said.lower():
        said = f"{said.splitlines()[0]} (only the tables {', '.join(TABLES)} can be read)"
    elif "Table with name" in said and "does not exist" in said:
        said = f"{said.splitlines()[0]} The tables are {', '.join(TABLES)}."
    return BadQuery(said, statement)


def _connect() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(
        ":memory:",
        config={
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    con.execute("SET TimeZone = 'UTC'")
    return con


def _add_tables(con: duckdb.DuckDBPyConnection, history: History, feeds: Mapping[str, int]) -> None:
    """Make the tables as they are now, then lock the door."""
    stored = {table: stored_of(history, table) for table in EVENT_TABLES}
    instruments = list(history.registry)
    add_names(con, instruments, dict(feeds))
    for table, parts in stored.items():
        try:
            add_events(con, table, parts)
        except duckdb.IOException as fault:
            raise _GoneError(str(fault)) from fault
    con.register("candles_made", CandleTable(instruments, lambda i: bars_of(history, i)))
    con.execute("CREATE VIEW candles_1m AS SELECT * FROM candles_made")
    con.register("gaps_read", GapTable(history, feeds))
    con.execute("CREATE VIEW gaps AS SELECT * FROM gaps_read")
    for macro in _MACROS:
        con.execute(f"CREATE MACRO {macro}")
    _lock(con, [path for parts in stored.values() for path in parts.files])


def _lock(con: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    con.execute(f"SET allowed_paths = [{listed}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")


def stored_of(history: History, table: str) -> Stored:
    """Return one table of the store as it is now."""
    store = cast("TieredStore", history.store)
    view = store.views[table]
    hidden = store.amendments.hidden(None, view.seq_last) if table == TRADES else None
    return Stored(
        files=[store.archive.folder / entry.path for entry in view.files.entries],
        tail=[run.rows for run in view.tail.runs],
        hidden=np.empty(0, np.int64) if hidden is None else hidden,
    )
