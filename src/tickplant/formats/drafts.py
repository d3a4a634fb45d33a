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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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

    def events(self, separator: bytes) -> pa.Array:
        """Return the encoded events in the order of the rows: a binary array.

        Each has a separator behind it.
        """
        pieces = _melted([*self._pen.whole(self._members, self._count), separator])
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            return pa.repeat(pa.scalar(pieces[0], pa.binary()), self._rows)
        given = [pa.scalar(one, pa.binary()) if isinstance(one, bytes) else one for one in pieces]
        return pc.binary_join_element_wise(*given, _NOTHING)

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
