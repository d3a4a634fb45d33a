"""Rows as encoded events, made by columns: what `msgspec` makes of one event after the other.

members that differ little   symbol and venue, side, flags   ── each value encoded once
numbers, times, texts        price, ts_event, id             ── a column
all the same                 a venue without conditions      ── a part of what stands between
                                                                   │
                                    the compiled writer, if loaded ├──► events
                                           else a join by Arrow    ┘

For some columns there is no quick way, such as texts that have to be escaped: `Odd` is raised, and
the caller encodes these rows one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tickplant.formats.compiled.writer import write_events
from tickplant.formats.joined import join_events
from tickplant.formats.pieces import (
    Coded,
    Codes,
    Floats,
    Ints,
    Pen,
    Picked,
    Piece,
    Texts,
    Times,
    Wholes,
    melted,
)
from tickplant.model.times import format_time

FEW_SHARE = 4
"""A column of texts with fewer different ones than one in so many rows is encoded by value."""


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
        else:
            encoded = [self._pen.members(value) for value in values]
            self._add([Coded(encoded, codes)], len(values[0]))

    def picked(self, encoded: Picked, count: int) -> None:
        """Add so many members that are encoded already, with their names; once at most."""
        self._add([encoded], count)

    def floats(self, name: str, column: pa.Array) -> None:
        """Add a member that is a float64 or null."""
        self._number(name, column, Floats(column))

    def ints(self, name: str, column: pa.Array) -> None:
        """Add a member that is an integer or null."""
        self._number(name, column, Wholes(column))

    def times(self, name: str, ns: Ints) -> None:
        """Add a member that is a time."""
        if (ns == ns[0]).all():
            self.same(**{name: format_time(int(ns[0]))})
        else:
            self._add([self._pen.name(name), Times(ns)], 1)

    def texts(self, name: str, column: pa.Array) -> None:
        """Add a member that is a text or null."""
        if column.null_count == len(column):
            self.same(**{name: None})
        elif column.null_count == 0 and _mostly_differ(column):
            self._add([self._pen.name(name), Texts(column)], 1)
        else:
            found = column.dictionary_encode(null_encoding="encode")
            values = [{name: value} for value in found.dictionary.to_pylist()]
            self.chosen(values, found.indices.to_numpy())

    def events(self, separator: bytes) -> pa.Array:
        """Return the encoded events in the order of the rows, a binary array. Raises `Odd`.

        Each has a separator behind it.
        """
        pieces = melted([*self._pen.whole(self._members, self._count), separator])
        if len(pieces) == 1 and isinstance(pieces[0], bytes):
            return pa.repeat(pa.scalar(pieces[0], pa.binary()), self._rows)
        written = write_events(self._pen, pieces, self._rows)
        return join_events(self._pen, pieces) if written is None else written

    def _number(self, name: str, column: pa.Array, piece: Piece) -> None:
        if column.null_count == len(column):
            self.same(**{name: None})
        else:
            self._add([self._pen.name(name), piece], 1)

    def _add(self, pieces: list[Piece], count: int) -> None:
        self._members.append(pieces)
        self._count += count


def _mostly_differ(column: pa.Array) -> bool:
    """Whether it is not worth while to look for texts that are the same, by the first ones."""
    first = column.slice(0, 64)
    return len(first.unique()) * FEW_SHARE > len(first)
