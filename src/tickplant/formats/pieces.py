"""What stands in many encoded events, one place after the other, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Codes = NDArray[np.integer[Any]]

SLACK = 8
"""Bytes behind the last value of `Picked`, so that it can be copied eight bytes at a time."""


class Odd(Exception):
    """A column that has to be encoded one value after the other."""


@dataclass(frozen=True, slots=True)
class Coded:
    """One of few encoded values; `codes`, shape (rows,), says which."""

    values: Sequence[bytes]
    codes: Codes


@dataclass(frozen=True, slots=True)
class Picked:
    """One of many encoded values, a binary array; `places`, shape (rows,), says which.

    The last value of the array is none: it has `SLACK` bytes.
    """

    values: pa.Array
    places: Codes


@dataclass(frozen=True, slots=True)
class Floats:
    """A column of float64, null where there is none."""

    column: pa.Array


@dataclass(frozen=True, slots=True)
class Wholes:
    """A column of int64, null where there is none."""

    column: pa.Array


@dataclass(frozen=True, slots=True)
class Times:
    """Times, ns since 1970, shape (rows,)."""

    ns: Ints


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of texts without nulls."""

    column: pa.Array


@dataclass(frozen=True, slots=True)
class Written:
    """A value of each row as it is written already, a binary array."""

    values: pa.Array


Piece: TypeAlias = bytes | Coded | Picked | Floats | Wholes | Times | Texts | Written
"""What stands in each event at one place; bytes are the same in all."""


class Pen(Protocol):
    """How a wire format writes an object with named members.

    `packed` says that numbers are binary and that texts are led by their length; else texts and
    times stand between quotation marks.
    """

    packed: bool

    def members(self, values: Mapping[str, Any]) -> bytes:
        """Return members as they stand in an object."""
        ...

    def name(self, name: str) -> bytes:
        """Return what stands before the value of a member."""
        ...

    def whole(self, members: Sequence[Sequence[Piece]], count: int) -> list[Piece]:
        """Return objects of members; `count` is how many members these are."""
        ...

    def floats(self, column: pa.Array) -> pa.Array:
        """Return float64 values, null where there is none, as a binary array."""
        ...

    def wholes(self, column: pa.Array) -> pa.Array:
        """Return int64 values, null where there is none, as a binary array."""
        ...

    def times(self, ns: Ints) -> pa.Array:
        """Return times as texts, as a binary array."""
        ...

    def texts(self, column: pa.Array) -> list[bytes | pa.Array]:
        """Return texts without nulls; raises `Odd` where they cannot be taken as they are."""
        ...


def melted(pieces: Sequence[Piece]) -> list[Piece]:
    """Put bytes that follow each other together."""
    found: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += piece
        else:
            found.append(piece)
    return found
