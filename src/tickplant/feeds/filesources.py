"""Files of rows, read in chunks: CSV, NDJSON (both also gzipped) and Parquet.

What a file is, is told by its first bytes, not by its name. Memory stays bounded by the size of a
chunk, whatever the size of the file.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Protocol

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from tickplant.feeds.filetimes import TimeReader
from tickplant.formats.columns import Column, read_array
from tickplant.formats.parse_csv import RowFaults, places_left, read_header
from tickplant.formats.parse_ndjson import parse_ndjson
from tickplant.formats.parsed import BOM, Parsed, assemble, incoming_batch
from tickplant.formats.values import FIELDS
from tickplant.model.errors import InvalidBody
from tickplant.model.rejects import Reject, row_text

CHUNK_BYTES = 4 << 20
CHUNK_ROWS = 65_536
_PROBE_BYTES = 1 << 16
_DELIMITERS = ",;\t|"
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_READ_FAULTS = (OSError, EOFError, zlib.error, pa.ArrowException, UnicodeDecodeError)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of one file are read: the columns of the fields and how its times are meant."""

    table: str
    names: Mapping[str, str]
    times: TimeReader
    symbol: str | None = None


class Source(Protocol):
    """One open file of rows."""

    path: str
    columns: list[str]
    bytes_total: int

    def chunks(self, layout: Layout) -> Iterator[tuple[Parsed, int]]:
        """Yield the rows chunk by chunk, each with how many rows of the file it stands for.

        Places in a chunk count from its first row. Raises `InvalidBody` where the file is damaged.
        """
        ...

    def bytes_done(self) -> int:
        """Return how much of the file has been read."""
        ...

    def close(self) -> None:
        """Release the file."""
        ...


def open_source(path: str) -> Source:
    """Open a file; raises `InvalidBody` where it cannot be opened or is not one of the kinds."""
    try:
        raw = open(path, "rb")  # noqa: SIM115 - the source owns it and closes it
    except OSError as fault:
        raise InvalidBody(f"{path}: it cannot be opened ({fault.strerror})") from None
    try:
        return _open(path, raw)
    except BaseException:
        raw.close()
        raise


def _open(path: str, raw: BinaryIO) -> Source:
    magic = raw.read(4)
    raw.seek(0)
    if magic == _PARQUET:
        return ParquetSource(path, raw)
    try:
        packed = magic.startswith(_GZIP)
        text: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        probe = text.read(_PROBE_BYTES)
        raw.seek(0)
    except _READ_FAULTS as fault:
        raise InvalidBody(f"{path}: it cannot be read ({fault})") from None
    begin = probe.removeprefix(BOM).lstrip()
    if not begin:
        raise InvalidBody(f"{path}: it is empty")
    if begin.startswith(b"{"):
        return NdjsonSource(path, raw, packed, begin)
    return CsvSource(path, raw, packed, probe)


class _Text:
    """A text file, perhaps gzipped, of which the compressed bytes that were read are counted."""

    def __init__(self, path: str, raw: BinaryIO, packed: bool) -> None:
        self.path = path
        self.columns: list[str] = []
        self.bytes_total = os.fstat(raw.fileno()).st_size
        self._raw = raw
        self._packed = packed

    def bytes_done(self) -> int:
        """Return how much of the file, as it is on disk, has been read."""
        return self._raw.tell()

    def close(self) -> None:
        """Release the file."""
        self._raw.close()

    def _stream(self) -> pa.NativeFile:
        # Arrow may close what it is given; the file is ours to close.
        plain = pa.PythonFile(_Unclosed(self._raw), mode="r")
        return pa.CompressedInputStream(plain, "gzip") if self._packed else plain


class _Unclosed(io.RawIOBase):
    """A file that stays open when its reader closes it."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size)

    def tell(self) -> int:
        return self._raw.tell()


class CsvSource(_Text):
    """CSV with a header; the delimiter is the one of `, ; tab |` that the header has most of."""

    def __init__(self, path: str, raw: BinaryIO, packed: bool, probe: bytes) -> None:
        super().__init__(path, raw, packed)
        text = probe.removeprefix(BOM)
        self._blank = len(text) - len(text.lstrip(b"\r\n"))
        self._skip = text[: self._blank].count(b"\n")
        line = text.lstrip(b"\r\n").splitlines()[0]
        self._delimiter = max(_DELIMITERS, key=lambda mark: line.count(mark.encode()))
        try:
            self.columns = read_header(line, self._delimiter)
        except (InvalidBody, UnicodeDecodeError) as fault:
            raise InvalidBody(f"{path}: it is none of CSV, NDJSON, Parquet ({fault})") from None

    def chunks(self, layout: Layout) -> Iterator[tuple[Parsed, int]]:
        """Yield the rows of some 4 MiB at a time; lines of a wrong width are among the rejects."""
        faults = RowFaults()
        row = 0
        try:
            with self._reader(layout, faults) as reader:
                for batch in reader:
                    # The reader may have looked further ahead than this chunk.
                    rejects, end = [], row + batch.num_rows
                    while faults.rejects and faults.rejects[0].index <= end:
                        found = faults.rejects.pop(0)
                        rejects.append(replace(found, index=found.index - row))
                        end += 1
                    if end > row:
                        yield _coerced(batch, layout, rejects), end - row
                    row = end
            if faults.rejects:
                rejects = [replace(found, index=found.index - row) for found in faults.rejects]
                yield Parsed(incoming_batch(layout.table), tuple(rejects), []), len(rejects)
        except _READ_FAULTS as fault:
            raise InvalidBody(f"{self.path}: it cannot be read ({fault})") from None

    def _reader(self, layout: Layout, faults: RowFaults) -> pa_csv.CSVStreamingReader:
        wanted = list(dict.fromkeys(layout.names.values()))
        names = [n if n in wanted else f"{place}" for place, n in enumerate(self.columns)]
        return pa_csv.open_csv(
            self._stream(),
            # Without threads the reader knows the number of a line that it leaves out.
            pa_csv.ReadOptions(
                use_threads=False,
                column_names=names,
                skip_rows=self._skip + 1,
                block_size=CHUNK_BYTES,
            ),
            pa_csv.ParseOptions(delimiter=self._delimiter, invalid_row_handler=faults),
            pa_csv.ConvertOptions(
                column_types={name: pa.string() for name in wanted},
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )


def _coerced(batch: pa.RecordBatch, layout: Layout, rejects: list[Reject]) -> Parsed:
    columns: dict[str, Column] = {}
    if layout.symbol is not None:
        columns["symbol"] = (
            pa.array([layout.symbol]).take(pa.array([0] * batch.num_rows, pa.int8())),
            [],
        )
    for field, kind in FIELDS[layout.table].items():
        if field not in layout.names:
            continue
        column = batch.column(layout.names[field])
        if field == "ts_event":
            columns[field] = layout.times.read(column)
        else:
            columns[field] = read_array(kind, field, column)
    return assemble(
        layout.table,
        columns,
        lambda p: row_text(batch.slice(p, 1).to_pylist()[0]),
        indexes=places_left(batch.num_rows, rejects),
        unreadable=rejects,
    )


class NdjsonSource(_Text):
    """One JSON object a line."""

    def __init__(self, path: str, raw: BinaryIO, packed: bool, begin: bytes) -> None:
        super().__init__(path, raw, packed)
        try:
            first = msgspec.json.decode(begin.splitlines()[0], type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise InvalidBody(f"{path}: its first line is no JSON object ({fault})") from None
        self.columns = list(first)

    def chunks(self, layout: Layout) -> Iterator[tuple[Parsed, int]]:
        """Yield the rows of some 4 MiB of lines at a time."""
        names = tuple(layout.names.items())
        line = 1
        for lines in self._lines():
            if lines.strip():
                parsed = parse_ndjson(
                    layout.table,
                    lines,
                    names=names,
                    line_first=line,
                    times=lambda values: layout.times.read(_as_array(values)),
                )
                count = parsed.rows.num_rows + len(parsed.unreadable)
                yield _with_symbol(parsed, layout.symbol), count
            line += lines.count(b"\n")

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        try:
            stream = self._stream()
            while data := stream.read(CHUNK_BYTES):
                whole, newline, tail = (rest + data).rpartition(b"\n")
                rest = tail
                if newline:
                    yield whole + newline
        except _READ_FAULTS as fault:
            raise InvalidBody(f"{self.path}: it cannot be read ({fault})") from None
        yield rest


def _as_array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


def _with_symbol(parsed: Parsed, symbol: str | None) -> Parsed:
    if symbol is None:
        return parsed
    place = parsed.rows.schema.get_field_index("symbol")
    field = parsed.rows.schema.field(place)
    texts = pa.array([symbol] * parsed.rows.num_rows, pa.string())
    return Parsed(parsed.rows.set_column(place, field, texts), parsed.unreadable, parsed.indexes)


class ParquetSource:
    """A Parquet file."""

    def __init__(self, path: str, raw: BinaryIO) -> None:
        self.path = path
        self.bytes_total = os.fstat(raw.fileno()).st_size
        self._raw = raw
        try:
            self._file = pq.ParquetFile(raw)
            self.columns = [str(name) for name in self._file.schema_arrow.names]
        except (pa.ArrowException, OSError, UnicodeDecodeError) as fault:
            raise InvalidBody(f"{path}: it is no Parquet file that can be read ({fault})") from None
        self._rows_done = 0

    def chunks(self, layout: Layout) -> Iterator[tuple[Parsed, int]]:
        """Yield the rows in batches of at most 65,536."""
        wanted = list(dict.fromkeys(layout.names.values()))
        try:
            for batch in self._file.iter_batches(CHUNK_ROWS, columns=wanted):
                self._rows_done += batch.num_rows
                yield _coerced(batch, layout, []), batch.num_rows
        except (pa.ArrowException, OSError) as fault:
            raise InvalidBody(f"{self.path}: it cannot be read ({fault})") from None

    def bytes_done(self) -> int:
        """Return the share of the file that its rows so far stand for, in bytes."""
        rows = self._file.metadata.num_rows
        return self.bytes_total * self._rows_done // rows if rows else self.bytes_total

    def close(self) -> None:
        """Release the file."""
        self._raw.close()
