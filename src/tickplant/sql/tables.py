"""The stored tables as views: the archive's own Parquet files and the rows in memory.

Rows show as they stand: a trade that was corrected or cancelled is left out, its last correction is
there. Times are TIMESTAMPTZ_NS as they are in the files, so that a condition on a time or on a
symbol is decided by the files' statistics where it can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.instruments import public_instruments
from tickplant.model.events import BOOK, QUARANTINE, QUOTES, SCHEMAS, STATS, TRADES, Flag
from tickplant.model.instruments import Instrument

TIMESTAMP = pa.timestamp("ns", tz="UTC")
TIMES = ("ts_event", "ts_recv")

_FLAGS = "list_where([{}], [{}])".format(
    ", ".join(f"'{str(flag.name).lower()}'" for flag in Flag),
    ", ".join(f"(e.flags & {flag.value}) <> 0" for flag in Flag),
)
_STAMPS = "i.symbol, i.venue, e.ts_event, e.ts_recv, e.seq"

_COLUMNS = {
    TRADES: f"{_STAMPS}, e.price, e.size, CASE e.side WHEN 1 THEN 'buy' WHEN 2 THEN 'sell' END AS "
    f"side, e.id, e.conditions, e.exchange, {_FLAGS} AS flags, "
    "CASE WHEN e.ref_seq <> 0 THEN e.ref_seq END AS corrects",
    QUOTES: f"{_STAMPS}, e.bid_price, e.bid_size, e.ask_price, e.ask_size, e.exchange, "
    f"{_FLAGS} AS flags",
    BOOK: f"{_STAMPS}, CASE e.action WHEN 0 THEN 'set' WHEN 1 THEN 'clear' ELSE 'lost' END AS "
    "action, CASE e.side WHEN 1 THEN 'bid' WHEN 2 THEN 'ask' END AS side, e.price, e.size, "
    f'e.orders, e."update", f.name AS feed, {_FLAGS} AS flags',
    STATS: f"{_STAMPS}, e.name, e.value, {_FLAGS} AS flags",
    QUARANTINE: 'e.ts_recv, e.seq, f.name AS feed, e."table", e.symbol, e.reason, e.detail, e.row',
}
EVENT_TABLES = tuple(_COLUMNS)
_JOIN = "JOIN instrument_numbers i ON i.number = e.instrument"
_JOINS = {
    BOOK: f"{_JOIN} LEFT JOIN feed_numbers f ON f.number = e.feed",
    TRADES: _JOIN,
    QUOTES: _JOIN,
    STATS: _JOIN,
    QUARANTINE: "LEFT JOIN feed_numbers f ON f.number = e.feed",
}


@dataclass(frozen=True, slots=True)
class Stored:
    """One table at one moment: its files, its rows in memory and the seqs that do not show."""

    files: Sequence[Path]
    tail: Sequence[pa.RecordBatch]
    hidden: NDArray[np.int64]


def add_events(con: duckdb.DuckDBPyConnection, table: str, stored: Stored) -> None:
    """Make the view of a table of events. The views of names must be there already."""
    con.register(f"{table}_tail", _tail(table, stored.tail))
    names = ", ".join(f'"{name}"' for name in SCHEMAS[table].names)
    source = f"SELECT {names} FROM {table}_tail"
    if stored.files:
        listed = ", ".join(_text(str(path)) for path in stored.files)
        source = f"SELECT {names} FROM read_parquet([{listed}]) UNION ALL {source}"
    where = ""
    if len(stored.hidden):
        con.register(f"{table}_hidden", pa.table({"seq": stored.hidden}))
        where = f"WHERE e.seq NOT IN (SELECT seq FROM {table}_hidden)"
    con.execute(
        f"CREATE VIEW {table} AS SELECT {_COLUMNS[table]} FROM ({source}) e {_JOINS[table]} {where}"
    )


def add_names(
    con: duckdb.DuckDBPyConnection, instruments: Sequence[Instrument], feeds: dict[str, int]
) -> None:
    """Make the view of instruments, and the two that turn numbers of events into names."""
    numbers = {
        "number": pa.array([i.number for i in instruments], pa.int32()),
        "symbol": pa.array([i.symbol for i in instruments], pa.string()),
        "venue": pa.array([i.venue for i in instruments], pa.string()),
    }
    con.register("instrument_numbers", pa.table(numbers))
    named = {"number": pa.array(feeds.values(), pa.int16()), "name": pa.array(feeds, pa.string())}
    con.register("feed_numbers", pa.table(named))
    con.register("instruments_known", public_instruments(instruments))
    con.execute("CREATE VIEW instruments AS SELECT * FROM instruments_known")


def _tail(table: str, batches: Sequence[pa.RecordBatch]) -> pa.Table:
    rows = pa.Table.from_batches(batches, schema=SCHEMAS[table])
    for name in TIMES:
        place = rows.schema.get_field_index(name)
        rows = rows.set_column(place, name, rows.column(place).cast(TIMESTAMP))
    return rows


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
