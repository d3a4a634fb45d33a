"""Rows for people and for machines: a table to read, or a stream of bytes in bounded memory.

A file appears under its name when it is complete; until then it is `NAME.part`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tickplant.cli.common import check_choice
from tickplant.formats.encode import to_csv
from tickplant.formats.result import plain_rows, plain_values
from tickplant.model.errors import InvalidParameter, UserError

TABLE, JSON, NDJSON, CSV, ARROW, PARQUET = "table", "json", "ndjson", "csv", "arrow", "parquet"
FILE_FORMATS = (CSV, JSON, NDJSON, ARROW, PARQUET)
BINARY = (ARROW, PARQUET)

_SUFFIXES = {
    ".csv": CSV,
    ".json": JSON,
    ".ndjson": NDJSON,
    ".jsonl": NDJSON,
    ".arrow": ARROW,
    ".arrows": ARROW,
    ".parquet": PARQUET,
}

ROWS_SHOWN_MAX = 500
CELL_WIDTH_MAX = 60


def choose_format(given: str | None, out: str | None, *, as_json: bool, default: str) -> str:
    """Return the format of rows: as asked, or as the file's name says, or the default."""
    if given is not None:
        return check_choice("--format", given, (TABLE, *FILE_FORMATS))
    if out is not None:
        suffix = Path(out).suffix.lower()
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
        raise InvalidParameter(
            "--out",
            out,
            f"a name that ends in {', '.join(_SUFFIXES)}, or --format beside it",
            where="option",
        )
    return JSON if as_json else default


def encode_json(value: Any) -> bytes:
    """Return JSON; NaN becomes null and what JSON has no form for becomes text."""
    return msgspec.json.encode(value, enc_hook=str)


def print_json(value: Any) -> None:
    """Print one JSON document or one line of NDJSON."""
    sys.stdout.write(encode_json(value).decode() + "\n")
    sys.stdout.flush()


class RowWriter(Protocol):
    """Takes tables of one schema, one after the other."""

    def write(self, table: pa.Table) -> None:
        """Write rows."""
        ...

    def close(self) -> None:
        """Write what the format needs at its end; the file stays open."""
        ...


class _Csv:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._file = file
        self._header = to_csv(schema.empty_table())
        file.write(self._header)

    def write(self, table: pa.Table) -> None:
        self._file.write(memoryview(to_csv(table))[len(self._header) :])

    def close(self) -> None:
        """Nothing is left to write."""


class _Lines:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        del schema
        self._file = file

    def write(self, table: pa.Table) -> None:
        lines = [encode_json(row) + b"\n" for row in plain_rows(table)]
        self._file.write(b"".join(lines))

    def close(self) -> None:
        """Nothing is left to write."""


class _Json:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        del schema
        self._file = file
        self._separator = b"\n"
        file.write(b"[")

    def write(self, table: pa.Table) -> None:
        for row in plain_rows(table):
            self._file.write(self._separator + encode_json(row))
            self._separator = b",\n"

    def close(self) -> None:
        self._file.write(b"\n]\n" if self._separator != b"\n" else b"]\n")


class _Arrow:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pa.ipc.new_stream(file, schema)

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


class _Parquet:
    def __init__(self, file: BinaryIO, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(file, schema, compression="zstd")

    def write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


_WRITERS: dict[str, Callable[[BinaryIO, pa.Schema], RowWriter]] = {
    CSV: _Csv,
    NDJSON: _Lines,
    JSON: _Json,
    ARROW: _Arrow,
    PARQUET: _Parquet,
}


class Output:
    """Where rows of a file format go: a file that appears when it is complete, or stdout."""

    def __init__(self, out: str | None, form: str) -> None:
        if out is None and form in BINARY and sys.stdout.isatty():
            raise UserError(f"--out: {form} is not for a terminal; name a file or use a pipe")
        self.rows = 0
        self._form = form
        self._path = None if out is None or out == "-" else Path(out)
        self._part = None if self._path is None else self._path.with_name(self._path.name + ".part")
        self._writer: RowWriter | None = None

    def __enter__(self) -> Output:
        self._file: BinaryIO = sys.stdout.buffer if self._part is None else self._part.open("wb")
        return self

    def begin(self, schema: pa.Schema) -> None:
        """Write the beginning; `write` does it by itself with the first rows."""
        self._writer = _WRITERS[self._form](self._file, schema)

    def write(self, table: pa.Table) -> None:
        """Write rows; all tables have the schema of the first."""
        if self._writer is None:
            self.begin(table.schema)
        assert self._writer is not None
        self._writer.write(table)
        self.rows += table.num_rows

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._writer is not None:
            self._writer.close()
        if self._part is None or self._path is None:
            self._file.flush()
            return
        self._file.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            self._part.unlink(missing_ok=True)


def print_table(tables: Iterable[pa.Table]) -> int:
    """Print rows as a table for people, at most `ROWS_SHOWN_MAX`; return how many there were."""
    shown: list[pa.Table] = []
    kept = total = 0
    for table in tables:
        part = table.slice(0, max(ROWS_SHOWN_MAX - kept, 0))
        if not shown or part.num_rows:
            shown.append(part)
        kept += part.num_rows
        total += table.num_rows
    if shown:
        _print_lines(pa.concat_tables(shown))
    if total > kept:
        print(f"{kept:,} of {total:,} rows; --format csv shows all", file=sys.stderr)
    return total


def _print_lines(table: pa.Table) -> None:
    columns = [[_cell(v) for chunk in c.chunks for v in plain_values(chunk)] for c in table.columns]
    names = table.column_names
    widths = [max(map(len, [name, *cells])) for name, cells in zip(names, columns, strict=True)]
    right = [pa.types.is_floating(t) or pa.types.is_integer(t) for t in table.schema.types]
    bold, plain = ("\x1b[1m", "\x1b[0m") if use_colour() else ("", "")
    print(bold + _line(names, widths, right) + plain)
    for cells in zip(*columns, strict=True):
        print(_line(cells, widths, right))


def _line(cells: Iterable[str], widths: list[int], right: list[bool]) -> str:
    pairs = zip(cells, widths, right, strict=True)
    return "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in pairs).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    elif isinstance(value, float):
        value = repr(value).removesuffix(".0")
    # A control character of a stored text could move the cursor or forge a line.
    text = "".join(c if c.isprintable() else "·" for c in str(value))
    return text if len(text) <= CELL_WIDTH_MAX else text[: CELL_WIDTH_MAX - 1] + "…"


def use_colour() -> bool:
    """Say whether standard output is a terminal that may be coloured."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
