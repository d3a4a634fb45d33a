"""Tables as bytes in the formats that rows leave the plant in, and how a format is asked for."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tickplant.model.times import format_times

JSON, CSV, ARROW, PARQUET = "json", "csv", "arrow", "parquet"
FORMATS = (JSON, CSV, ARROW, PARQUET)

MEDIA_TYPES = {
    JSON: "application/json",
    CSV: "text/csv; charset=utf-8",
    ARROW: "application/vnd.apache.arrow.stream",
    PARQUET: "application/vnd.apache.parquet",
}
"""What an answer in each format is labelled with."""

_SPELLINGS = {
    "application/json": JSON,
    "text/json": JSON,
    "text/csv": CSV,
    "application/csv": CSV,
    "application/vnd.apache.arrow.stream": ARROW,
    "application/vnd.apache.parquet": PARQUET,
    "application/x-parquet": PARQUET,
    "application/parquet": PARQUET,
    "*/*": JSON,
    "application/*": JSON,
    "text/*": CSV,
}

LIST_SEPARATOR = "|"
"""Stands between the elements of a list in a CSV field."""


def accepted_format(accept: str) -> str | None:
    """Return the format that an `Accept` header asks for first, or None where it allows none.

    By the rules of RFC 9110, 12.5.1: the highest `q` wins, then the order in the header. An empty
    header allows everything and gives JSON.
    """
    if not accept.strip():
        return JSON
    best, best_weight = None, 0.0
    for part in accept.split(","):
        media, *options = (piece.strip().lower() for piece in part.split(";"))
        weight = _weight(options)
        if media in _SPELLINGS and weight > best_weight:
            best, best_weight = _SPELLINGS[media], weight
    return best


def _weight(options: list[str]) -> float:
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 0.0
    return 1.0


def encode_table(table: pa.Table, form: str) -> bytes:
    """Return a table as CSV, as an Arrow IPC stream or as Parquet."""
    return {CSV: to_csv, ARROW: to_arrow, PARQUET: to_parquet}[form](table)


def to_arrow(table: pa.Table) -> bytes:
    """Return a table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def to_parquet(table: pa.Table) -> bytes:
    """Return a table as a Parquet file, zstd, with timestamps in nanoseconds."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def to_csv(table: pa.Table) -> bytes:
    """Return a table as CSV with a header line: times as RFC 3339, lists joined by `|`, null empty.

    Numbers are written with as many digits as bring the same float64 back. RFC 4180, but with
    line feeds alone; texts are quoted where one of them needs it.
    """
    names = table.column_names
    plain = pa.table([_csv_column(column) for column in table.columns], names=names)
    # Arrow's writer reads past a column whose neighbours have empty chunks before theirs.
    plain = plain.combine_chunks()
    header = ",".join(names).encode() + b"\n"
    try:
        return header + _csv_lines(plain, "none")
    except pa.ArrowInvalid:  # a text holds a comma, a quote or a line end
        return header + _csv_lines(plain, "needed")


def _csv_lines(table: pa.Table, quoting: str) -> bytes:
    sink = io.BytesIO()
    options = pa_csv.WriteOptions(include_header=False, quoting_style=quoting)
    pa_csv.write_csv(table, sink, options)
    return sink.getvalue()


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if pa.types.is_timestamp(column.type):
        return _time_texts(column)
    if pa.types.is_list(column.type):
        joined = pc.binary_join(column, LIST_SEPARATOR)
        # An empty list is an empty field, quoted or not; an empty text would be "" where quoted.
        return pc.if_else(pc.equal(joined, ""), pa.scalar(None, joined.type), joined)
    return column


def _time_texts(column: pa.ChunkedArray) -> pa.Array:
    known = column.is_valid().to_numpy()
    texts = format_times(column.cast(pa.int64()).fill_null(0).to_numpy())
    return pa.array(texts, pa.string(), mask=~known)
