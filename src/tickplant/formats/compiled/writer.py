"""Pieces of events written by the compiled writer: the steps of an event, and its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.formats.compiled import loading
from tickplant.formats.compiled.steps import as_words
from tickplant.formats.pieces import (
    SLACK,
    Coded,
    Floats,
    Odd,
    Pen,
    Picked,
    Piece,
    Texts,
    Times,
    Wholes,
    Written,
    melted,
)

LITERAL: Final = 0  # first: where it begins, second: how many bytes it has
CODED: Final = 1  # first: column of codes, second: where the edges of its values begin
PICKED: Final = 2  # first: column of places
TEXT: Final = 3  # first: whether it is to be checked and led, second: where its edges begin
DECIMAL: Final = 4  # first: column of floats
WHOLE: Final = 5  # first: column
TIME: Final = 6  # first: column
WIDE: Final = 7  # first: column of bits, second: the byte before
WIDTH: Final = 4

ODD: Final = 1
DECIMALS_MAX: Final = 15

_FLOAT, _INT = 0xCB, 0xD3
_NUMBER_BYTES, _TIME_BYTES, _WIDE_BYTES = 24, 31, 9
_BYTES_MAX = 1 << 31


def write_events(pen: Pen, pieces: Sequence[Piece], rows: int) -> pa.Array | None:
    """Return the events of so many rows, a binary array; None where the writer is not loaded.

    Raises `Odd` where a value is to be written in another way.
    """
    write = loading.EVENTS.get()
    while write is not None:
        plan = _Plan(pen.packed, rows)
        for piece in _quoted(pieces, packed=pen.packed):
            plan.add(piece)
        events, said = plan.write(write)
        if said >= 0:
            return events
        pieces = _without(pieces, -1 - said, pen)
    return None


def _quoted(pieces: Sequence[Piece], *, packed: bool) -> list[Piece]:
    if packed:
        return [*pieces]
    found: list[Piece] = []
    for piece in pieces:
        found += [b'"', piece, b'"'] if isinstance(piece, Times | Texts) else [piece]
    return melted(found)


def _without(pieces: Sequence[Piece], number: int, pen: Pen) -> list[Piece]:
    """Return the pieces with one column of floats written already: it has long ones."""
    places = [place for place, piece in enumerate(pieces) if isinstance(piece, Floats)]
    found = [*pieces]
    long = found[places[number]]
    assert isinstance(long, Floats)
    found[places[number]] = Written(pen.floats(long.column))
    return found


class _Plan:
    """The steps of an event and what they read; `most` is how many bytes all rows can take."""

    def __init__(self, packed: bool, rows: int) -> None:
        self._packed = packed
        self._rows = rows
        self._steps: list[tuple[int, int, int, int]] = []
        self._literals = b""
        self._wholes: list[NDArray[Any]] = []
        self._floats: list[NDArray[np.float64]] = []
        self._nulls: list[NDArray[np.bool_]] = []
        self._spans: list[NDArray[np.integer[Any]]] = []
        self._spanned = 0
        self._letters: list[bytes | memoryview] = []
        self._lettered = 0
        self._picked = _nothing_picked()
        self._most = 0

    def add(self, piece: Piece) -> None:
        """Add what stands next."""
        match piece:
            case bytes():
                self._step(LITERAL, len(self._literals), len(piece), len(piece))
                self._literals += piece
            case Coded(values, codes):
                edges = np.zeros(len(values) + 1, np.int64)
                np.cumsum([len(value) for value in values], out=edges[1:])
                first = self._span(edges, b"".join(values))
                self._step(CODED, self._whole(codes), first, max(map(len, values)))
            case Picked(values, places):
                self._picked = begins, _ = _parts(values)
                self._step(PICKED, self._whole(places), 0, 0)
                self._most += int((begins[places + 1] - begins[places]).sum())
            case Floats(column):
                self._add_floats(column)
            case Wholes(column):
                null = self._null(column)
                whole = self._whole(_filled(column))
                if self._packed:
                    self._step(WIDE, whole, _INT, _WIDE_BYTES, null)
                else:
                    self._step(WHOLE, whole, 0, _NUMBER_BYTES, null)
            case Times(ns):
                self._step(TIME, self._whole(ns), 0, _TIME_BYTES)
            case Texts(column):
                self._add_texts(column.cast(pa.binary()), 1)
            case _:
                self._add_texts(piece.values, 0)

    def _add_floats(self, column: pa.Array) -> None:
        null = self._null(column)
        values = _filled(column)
        if self._packed:
            self._step(WIDE, self._whole(values.view(np.int64)), _FLOAT, _WIDE_BYTES, null)
        else:
            self._step(DECIMAL, len(self._floats), 0, _NUMBER_BYTES, null)
            self._floats.append(values)

    def _add_texts(self, values: pa.Array, checked: int) -> None:
        edges, letters = _parts(values)
        first = self._span(edges - edges[0], memoryview(letters)[edges[0] : edges[-1]])
        self._step(TEXT, checked, first, 0)
        self._most += int(edges[-1] - edges[0]) + self._rows

    def _step(self, op: int, first: int, second: int, most: int, null: int = -1) -> None:
        self._steps.append((op, first, second, null))
        self._most += most * self._rows

    def _whole(self, values: NDArray[Any]) -> int:
        self._wholes.append(values)
        return len(self._wholes) - 1

    def _null(self, column: pa.Array) -> int:
        if not column.null_count:
            return -1
        self._nulls.append(column.is_null().to_numpy(zero_copy_only=False))
        return len(self._nulls) - 1

    def _span(self, edges: NDArray[np.integer[Any]], letters: bytes | memoryview) -> int:
        first = self._spanned
        self._spans.append(edges + self._lettered)
        self._spanned += len(edges)
        self._letters.append(letters)
        self._lettered += len(letters)
        return first

    def write(self, write: loading.Walk) -> tuple[pa.Array | None, int]:
        """Return the events, and 0 or what the writer says else. Raises `Odd`."""
        if self._most + SLACK >= _BYTES_MAX:
            raise Odd
        rows = self._rows
        out = pa.allocate_buffer(self._most + SLACK)
        edges = np.empty(rows + 1, np.int32)
        said = write(
            self._packed, np.array(self._steps, np.int64),
            as_words(self._literals + bytes(SLACK))[1],
            _stacked(self._wholes, np.int64, rows), _stacked(self._floats, np.float64, rows),
            _stacked(self._nulls, np.bool_, rows),
            np.concatenate(self._spans, dtype=np.int64) if self._spans else np.zeros(0, np.int64),
            *as_words(b"".join([*self._letters, bytes(SLACK)])),
            self._picked[0], as_words(self._picked[1])[1], edges, *as_words(out),
        )  # fmt: skip
        if said == ODD:
            raise Odd
        if said < 0:
            return None, said
        text = pa.py_buffer(out.slice(0, int(edges[-1])).to_pybytes())
        return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(edges), text]), 0


def _stacked(columns: list[NDArray[Any]], kind: Any, rows: int) -> NDArray[Any]:
    """Return columns as an array of shape (columns, rows)."""
    found = np.empty((len(columns), rows), kind)
    for place, column in enumerate(columns):
        found[place] = column
    return found


def _filled(column: pa.Array) -> NDArray[Any]:
    known = pc.fill_null(column, 0) if column.null_count else column
    values: NDArray[Any] = known.to_numpy()
    return values


def _parts(values: pa.Array) -> tuple[NDArray[np.int32], pa.Buffer]:
    """Return where the values of a binary array begin and end, and its bytes."""
    _, edges, letters = values.buffers()
    found = np.frombuffer(edges, np.int32)[values.offset : values.offset + len(values) + 1]
    return found, letters if letters is not None else pa.py_buffer(b"")


def _nothing_picked() -> tuple[NDArray[np.int32], pa.Buffer]:
    return _parts(pa.array([bytes(SLACK)], pa.binary()))
