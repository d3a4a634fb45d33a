"""Pieces of events joined by Arrow: a column of encoded values for each, one join of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.formats.pieces import (
    Coded,
    Floats,
    Ints,
    Pen,
    Picked,
    Piece,
    Texts,
    Times,
    Wholes,
)

FEW_SHARE = 4
"""Times that come in runs are written once a run, where there is one in so many rows or fewer."""

_NOTHING = pa.scalar(b"", pa.binary())


def join_events(pen: Pen, pieces: Sequence[Piece]) -> pa.Array:
    """Return the events, a binary array. Raises `Odd`."""
    given = [
        pa.scalar(one, pa.binary()) if isinstance(one, bytes) else one
        for piece in pieces
        for one in _written(pen, piece)
    ]
    return pc.binary_join_element_wise(*given, _NOTHING)


def _written(pen: Pen, piece: Piece) -> Iterator[bytes | pa.Array]:
    match piece:
        case bytes():
            yield piece
        case Coded(values, codes):
            yield pa.array(values, pa.binary()).take(pa.array(codes))
        case Picked(values, places):
            yield values.take(pa.array(places))
        case Floats(column):
            yield pen.floats(column)
        case Wholes(column):
            yield pen.wholes(column)
        case Times(ns):
            yield _times(pen, ns)
        case Texts(column):
            yield from pen.texts(column)
        case _:
            yield piece.values


def _times(pen: Pen, ns: Ints) -> pa.Array:
    heads = np.flatnonzero(np.append(True, ns[1:] != ns[:-1]))
    if len(heads) * FEW_SHARE >= len(ns):
        return pen.times(ns)
    runs = np.repeat(np.arange(len(heads)), np.diff(heads, append=len(ns)))
    return pen.times(ns[heads]).take(pa.array(runs))
