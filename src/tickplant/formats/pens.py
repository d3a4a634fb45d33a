"""How JSON and MessagePack write the pieces of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.formats.pieces import Ints, Odd, Piece
from tickplant.model.time_texts import LENGTH_MAX, time_chars


def _binary(edges: NDArray[np.int32], data: NDArray[np.uint8] | bytes) -> pa.Array:
    """Return the binary array of data that is cut at `edges`, shape (n + 1,)."""
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(edges) - 1, buffers)


def _rectangle(rows: NDArray[np.uint8]) -> pa.Array:
    """Return the rows of a matrix as a binary array."""
    count, width = rows.shape
    edges = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    return _binary(edges, np.ascontiguousarray(rows))


def _cut(rows: NDArray[np.uint8], lengths: Ints) -> pa.Array:
    """Return the beginnings of the rows of a matrix, so many bytes of each."""
    longest = int(lengths.max())
    if int(lengths.min()) == longest:
        return _rectangle(rows[:, :longest])
    edges = np.zeros(len(rows) + 1, np.int32)
    np.cumsum(lengths, out=edges[1:])
    return _binary(edges, rows[np.arange(rows.shape[1]) < lengths[:, None]])


def _chars(ns: Ints) -> tuple[NDArray[np.uint8], Ints]:
    """Return times as characters behind one that is left free, and how many of each row count."""
    found = time_chars(ns)
    if found is None:
        raise Odd
    chars, lengths = found
    framed = np.empty((len(ns), LENGTH_MAX + 2), np.uint8)
    framed[:, 1:-1] = chars
    return framed, lengths


class JsonPen:
    """JSON as `msgspec` writes it."""

    packed = False

    def members(self, values: Mapping[str, Any]) -> bytes:
        """See `Pen`."""
        return msgspec.json.encode(values)[1:-1]

    def name(self, name: str) -> bytes:
        """See `Pen`."""
        return msgspec.json.encode(name) + b":"

    def floats(self, column: pa.Array) -> pa.Array:
        """See `Pen`."""
        return _listed(_values(column))

    def wholes(self, column: pa.Array) -> pa.Array:
        """See `Pen`."""
        if column.null_count:
            return _listed(column.to_pylist())
        return column.cast(pa.string()).cast(pa.binary())

    def times(self, ns: Ints) -> pa.Array:
        """See `Pen`."""
        framed, lengths = _chars(ns)
        framed[:, 0] = ord('"')
        framed[np.arange(len(ns)), lengths + 1] = ord('"')
        return _cut(framed, lengths + 2)

    def texts(self, column: pa.Array) -> list[bytes | pa.Array]:
        """See `Pen`."""
        raw = _raw(column)
        if raw.size and ((raw < ord(" ")) | (raw == ord('"')) | (raw == ord("\\"))).any():
            raise Odd
        return [b'"', column.cast(pa.binary()), b'"']

    def whole(self, members: Sequence[Sequence[Piece]], count: int) -> list[Piece]:
        """See `Pen`."""
        found: list[Piece] = [b"{"]
        for place, pieces in enumerate(members):
            found += [b"," if place else b"", *pieces]
        return [*found, b"}"]


class MsgpackPen:
    """MessagePack; numbers in their widest form, since all of a column are made at once."""

    packed = True

    def members(self, values: Mapping[str, Any]) -> bytes:
        """See `Pen`."""
        encode = msgspec.msgpack.encode
        return b"".join(encode(name) + encode(value) for name, value in values.items())

    def name(self, name: str) -> bytes:
        """See `Pen`."""
        return msgspec.msgpack.encode(name)

    def floats(self, column: pa.Array) -> pa.Array:
        """See `Pen`."""
        return _numbers(column, 0xCB, ">f8")

    def wholes(self, column: pa.Array) -> pa.Array:
        """See `Pen`."""
        return _numbers(column, 0xD3, ">i8")

    def times(self, ns: Ints) -> pa.Array:
        """See `Pen`."""
        framed, lengths = _chars(ns)
        framed[:, 0] = 0xA0 | lengths  # a text of at most 31 bytes
        return _cut(framed, lengths + 1)

    def texts(self, column: pa.Array) -> list[bytes | pa.Array]:
        """See `Pen`."""
        lengths = pc.binary_length(column).to_numpy()
        if int(lengths.max()) > 31:
            raise Odd
        heads = (0xA0 | lengths).astype(np.uint8).reshape(-1, 1)
        return [_rectangle(heads), column.cast(pa.binary())]

    def whole(self, members: Sequence[Sequence[Piece]], count: int) -> list[Piece]:
        """See `Pen`."""
        header = bytes([0x80 | count]) if count < 16 else b"\xde" + count.to_bytes(2, "big")
        return [header, *(piece for pieces in members for piece in pieces)]


def _values(column: pa.Array) -> list[Any]:
    if column.null_count:
        listed: list[Any] = column.to_pylist()
        return listed
    values: list[Any] = column.to_numpy().tolist()
    return values


def _listed(values: list[Any]) -> pa.Array:
    """Return numbers and nulls as JSON: written as one list, and cut at its commas."""
    text = msgspec.json.encode(values)
    commas = np.flatnonzero(np.frombuffer(text, np.uint8) == ord(","))
    # Each value ends where a comma stands: what is before the next one begins behind it, so the
    # commas are left out by cutting them off as values of their own.
    edges = np.empty(2 * len(values), np.int32)
    edges[0] = 1
    edges[1:-1:2] = commas
    edges[2::2] = commas + 1
    edges[-1] = len(text) - 1
    both = _binary(edges, text)
    return both.take(pa.array(np.arange(0, 2 * len(values) - 1, 2)))


def _numbers(column: pa.Array, mark: int, kind: str) -> pa.Array:
    """Return numbers of eight bytes behind a mark, nulls as such."""
    known = column.fill_null(0) if column.null_count else column
    rows = np.empty((len(column), 9), np.uint8)
    rows[:, 0] = mark
    rows[:, 1:] = known.to_numpy().astype(kind).view(np.uint8).reshape(-1, 8)
    if not column.null_count:
        return _rectangle(rows)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    rows[missing, 0] = 0xC0
    return _cut(rows, np.where(missing, 1, 9))


def _raw(column: pa.Array) -> NDArray[np.uint8]:
    """Return the bytes of all texts of a column, shape (bytes,)."""
    _, edges, data = column.buffers()
    if data is None:
        return np.empty(0, np.uint8)
    ends = np.frombuffer(edges, np.int32)
    low, high = ends[column.offset], ends[column.offset + len(column)]
    return np.frombuffer(data, np.uint8)[low:high]
