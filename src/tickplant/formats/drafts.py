"""Rows as encoded events, made by columns: what `msgspec` makes of one event after the other.

members that differ little   symbol and venue, side, flags   ── each value encoded once, then taken
numbers, times, texts        price, ts_event, id             ── a column of encoded values
all the same                 a venue without conditions      ── a part of what stands between
                                                                   │
                                            one join of all ◄──────┘──► events

For some columns there is no quick way, such as texts that have to be escaped: `Odd` is raised, and
the caller encodes these rows one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.model.time_texts import LENGTH_MAX, time_chars
from tickplant.model.times import format_time

Piece: TypeAlias = bytes | pa.Array
"""What stands in each event at one place: the same bytes, or a binary array of one for each."""

Ints = NDArray[np.int64]
Codes = NDArray[np.integer[Any]]

FEW_SHARE = 4
"""A column of texts with fewer different ones than one in so many rows is encoded by value."""

_NOTHING = pa.scalar(b"", pa.binary())


class Odd(Exception):
    """A column that has to be encoded one value after the other."""


class Pen(Protocol):
    """How a wire format writes an object with named members."""

    def members(self, values: Mapping[str, Any]) -> bytes:
        """Return members as they stand in an object."""
        ...

    def name(self, name: str) -> bytes:
        """Return what stands before the value of a member."""
        ...

    def floats(self, column: pa.Array) -> Piece:
        """Return float64 values, null where there is none."""
        ...

    def ints(self, column: pa.Array) -> Piece:
        """Return int64 values, null where there is none."""
        ...

    def times(self, ns: Ints) -> Piece:
        """Return times as texts."""
        ...

    def texts(self, column: pa.Array) -> list[Piece]:
        """Return texts without nulls; raises `Odd` where they cannot be taken as they are."""
        ...

    def whole(self, members: Sequence[Sequence[Piece]], count: int) -> list[Piece]:
        """Return objects of members; `count` is how many members these are."""
        ...


class Draft:
    """The members of some events, one column after the other; `events` makes them."""

    def __init__(self, pen: Pen, rows: int) -> None:
        self._pen = pen
        self._rows = rows
        self._members: list[list[Piece]] = []
        self._count = 0

    def same(self, **values: Any) -> None:
        """Add members that are the same in all events."""
        if values:
            self._add([self._pen.members(values)], len(values))

    def chosen(self, values: Sequence[Mapping[str, Any]], codes: Codes) -> None:
        """Add members of which there are few different ones; `codes` says which, by row."""
        if len(values) == 1 or bool((codes == codes[0]).all()):
            self.same(**values[int(codes[0])])
            return
        encoded = pa.array([self._pen.members(value) for value in values], pa.binary())
        self._add([encoded.take(pa.array(codes))], len(values[0]))

    def ready(self, encoded: pa.Array, count: int) -> None:
        """Add so many members that are encoded already, with their names: a binary array."""
        self._add([encoded], count)

    def floats(self, name: str, column: pa.Array) -> None:
        """Add a member that is a float64 or null."""
        self._value(name, column, self._pen.floats)

    def ints(self, name: str, column: pa.Array) -> None:
        """Add a member that is an integer or null."""
        self._value(name, column, self._pen.ints)

    def times(self, name: str, ns: Ints) -> None:
        """Add a member that is a time. Times that come in runs are made once a run."""
        heads = np.flatnonzero(np.append(True, ns[1:] != ns[:-1]))
        if len(heads) == 1:
            self.same(**{name: format_time(int(ns[0]))})
        elif len(heads) * FEW_SHARE < len(ns):
            runs = np.repeat(np.arange(len(heads)), np.diff(heads, append=len(ns)))
            made = self._pen.times(ns[heads])
            assert isinstance(made, pa.Array)
            self._add([self._pen.name(name), made.take(pa.array(runs))], 1)
        else:
            self._add([self._pen.name(name), self._pen.times(ns)], 1)

    def texts(self, name: str, column: pa.Array) -> None:
        """Add a member that is a text or null. Raises `Odd`."""
        if column.null_count == len(column):
            self.same(**{name: None})
            return
        if column.null_count == 0 and _mostly_differ(column):
            self._add([self._pen.name(name), *self._pen.texts(column)], 1)
            return
        found = column.dictionary_encode(null_encoding="encode")
        values = [{name: value} for value in found.dictionary.to_pylist()]
        self.chosen(values, found.indices.to_numpy())

    def events(self) -> list[bytes]:
        """Return the encoded events, in the order of the rows."""
        pieces = _melted(self._pen.whole(self._members, self._count))
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            return [pieces[0]] * self._rows
        given = [pa.scalar(one, pa.binary()) if isinstance(one, bytes) else one for one in pieces]
        joined = pc.binary_join_element_wise(*given, _NOTHING)
        events: list[bytes] = joined.to_numpy(zero_copy_only=False).tolist()
        return events

    def _value(self, name: str, column: pa.Array, encode: Any) -> None:
        if column.null_count == len(column):
            self.same(**{name: None})
        else:
            self._add([self._pen.name(name), encode(column)], 1)

    def _add(self, pieces: list[Piece], count: int) -> None:
        self._members.append(pieces)
        self._count += count


def _mostly_differ(column: pa.Array) -> bool:
    """Whether it is not worth while to look for texts that are the same, by the first ones."""
    first = column.slice(0, 64)
    return len(first.unique()) * FEW_SHARE > len(first)


def _melted(pieces: Sequence[Piece]) -> list[Piece]:
    """Put bytes that follow each other together."""
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += piece
        else:
            found.append(piece)
    return found


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

    def members(self, values: Mapping[str, Any]) -> bytes:
        """See `Pen`."""
        return msgspec.json.encode(values)[1:-1]

    def name(self, name: str) -> bytes:
        """See `Pen`."""
        return msgspec.json.encode(name) + b":"

    def floats(self, column: pa.Array) -> Piece:
        """See `Pen`."""
        return _listed(_values(column))

    def ints(self, column: pa.Array) -> Piece:
        """See `Pen`."""
        if column.null_count:
            return _listed(column.to_pylist())
        return column.cast(pa.string()).cast(pa.binary())

    def times(self, ns: Ints) -> Piece:
        """See `Pen`."""
        framed, lengths = _chars(ns)
        framed[:, 0] = ord('"')
        framed[np.arange(len(ns)), lengths + 1] = ord('"')
        return _cut(framed, lengths + 2)

    def texts(self, column: pa.Array) -> list[Piece]:
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

    def members(self, values: Mapping[str, Any]) -> bytes:
        """See `Pen`."""
        encode = msgspec.msgpack.encode
        return b"".join(encode(name) + encode(value) for name, value in values.items())

    def name(self, name: str) -> bytes:
        """See `Pen`."""
        return msgspec.msgpack.encode(name)

    def floats(self, column: pa.Array) -> Piece:
        """See `Pen`."""
        return _numbers(column, 0xCB, ">f8")

    def ints(self, column: pa.Array) -> Piece:
        """See `Pen`."""
        return _numbers(column, 0xD3, ">i8")

    def times(self, ns: Ints) -> Piece:
        """See `Pen`."""
        framed, lengths = _chars(ns)
        framed[:, 0] = 0xA0 | lengths  # a text of at most 31 bytes
        return _cut(framed, lengths + 1)

    def texts(self, column: pa.Array) -> list[Piece]:
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
