"""Coerce columns, as a producer wrote them, to the types of `INCOMING`.

A whole column is cast at once. Only where that fails is it halved again and again until the pieces
that fail are short; those are read value by value (`values`), and the values that cannot be read
become faults. So one bad row among a million costs twenty casts of ever shorter pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.formats.casts import (
    FROM_ARRAY,
    FROM_LIST,
    FROM_TEXT,
    REFUSALS,
    check_type,
    is_text,
)
from tickplant.formats.values import ARROW_TYPES, READERS, BadValue, Kind
from tickplant.model.times import INT64_MAX, NS_PER_MS, NS_PER_S

_PIECE_ROWS = 32
_NS_PER_UNIT = {"s": NS_PER_S, "ms": NS_PER_MS, "us": 1_000, "ns": 1}


@dataclass(frozen=True, slots=True)
class Fault:
    """A value that cannot be read: its row's position in the column, reason code and detail."""

    position: int
    reason: str
    detail: str


Column: TypeAlias = tuple[pa.Array, list[Fault]]
"""A coerced column, null where a value is missing or bad, and what was bad in it."""


def read_list(kind: Kind, name: str, values: Sequence[Any]) -> Column:
    """Coerce Python values; numbers and times may be text.

    Among numbers there are no booleans: the reader of JSON has refused them.
    """
    try:
        return FROM_LIST[kind](values), []
    except REFUSALS:
        pass
    try:
        return read_text(kind, name, pa.array(values, pa.string()))
    except REFUSALS:
        return _read_slowly(kind, name, values)


def read_array(kind: Kind, name: str, array: pa.Array) -> Column:
    """Coerce an Arrow array of any compatible type; dictionaries are decoded.

    A type that can hold no value of this kind (a timestamp without a zone, a struct) raises
    `InvalidBody`, which names column and type.
    """
    if array.type == ARROW_TYPES[kind] and (kind is not Kind.SIDE):
        return array, []
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if is_text(array.type):
        return read_text(kind, name, array)
    if not pa.types.is_null(array.type):
        check_type(kind, name, array.type)
    if pa.types.is_timestamp(array.type):
        return _read_timestamps(name, array)
    try:
        return FROM_ARRAY[kind](array), []
    except REFUSALS:
        return _read_slowly(kind, name, array.to_pylist())


def _read_slowly(kind: Kind, name: str, values: Sequence[Any]) -> Column:
    read = READERS[kind]
    faults: list[Fault] = []

    def one(position: int, value: Any) -> object:
        try:
            found = read(value, name)
            if isinstance(found, str):
                found.encode()  # a lone surrogate is text to Python and to nobody else
        except (BadValue, UnicodeEncodeError) as fault:
            detail = str(fault) if isinstance(fault, BadValue) else f"{name}: no valid Unicode"
            faults.append(Fault(position, f"{name}_invalid", detail))
            return None
        return found

    found = [one(position, value) for position, value in enumerate(values)]
    return pa.array(found, ARROW_TYPES[kind]), faults


def read_text(kind: Kind, name: str, array: pa.Array) -> Column:
    """Coerce an Arrow array of text; empty text is a missing value."""
    text = array if array.type == pa.string() else array.cast(pa.string())
    pieces = list(_cast_pieces(kind, name, text))
    arrays = [piece for _, (piece, _) in pieces]
    faults = [
        Fault(start + fault.position, fault.reason, fault.detail)
        for start, (_, found) in pieces
        for fault in found
    ]
    return (arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)), faults


def _cast_pieces(
    kind: Kind, name: str, text: pa.Array, start: int = 0
) -> Iterator[tuple[int, Column]]:
    try:
        yield start, (FROM_TEXT[kind](text), [])
        return
    except REFUSALS:
        pass
    if len(text) <= _PIECE_ROWS:
        yield start, _read_slowly(kind, name, text.to_pylist())
        return
    half = len(text) // 2
    yield from _cast_pieces(kind, name, text[:half], start)
    yield from _cast_pieces(kind, name, text[half:], start + half)


def _read_timestamps(name: str, array: pa.Array) -> Column:
    factor = _NS_PER_UNIT[array.type.unit]
    values = array.view(pa.int64())
    low, high = -(INT64_MAX // factor), INT64_MAX // factor
    inside = pc.and_(pc.greater(values, low), pc.less(values, high))
    outside = np.flatnonzero(~pc.fill_null(inside, True).to_numpy(zero_copy_only=False))
    faults = [
        Fault(p, f"{name}_invalid", f"{name}: {values[p].as_py()} {array.type.unit} since 1970 is "
              "not allowed; allowed is a time from 1678 to 2262")
        for p in outside.tolist()
    ]  # fmt: skip
    if faults:
        values = pc.if_else(inside, values, pa.scalar(None, pa.int64()))
    return (values if factor == 1 else pc.multiply(values, factor)), faults
