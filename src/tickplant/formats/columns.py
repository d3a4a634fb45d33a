"""Coerce columns, as a producer wrote them, to the types of `INCOMING`.

A whole column is cast at once. Only where that fails is it halved again and again until the pieces
that fail are short; those are read value by value (`values`), and the values that cannot be read
become faults. So one bad row among a million costs twenty casts of ever shorter pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.formats.values import ARROW_TYPES, READERS, SIDE_CODES, BadValue, Kind
from tickplant.model.errors import InvalidBody
from tickplant.model.times import INT64_MAX, NS_PER_MS, NS_PER_S

_PIECE_ROWS = 32
_ZONED_LENGTH_MIN = len("2014-05-07T00:00Z")
_UTC_NS = pa.timestamp("ns", "UTC")
_NS_PER_UNIT = {"s": NS_PER_S, "ms": NS_PER_MS, "us": 1_000, "ns": 1}
_REFUSALS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError,
             KeyError, TypeError, UnicodeEncodeError)  # fmt: skip


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
        return _FROM_LIST[kind](values), []
    except _REFUSALS:
        pass
    try:
        return _read_text(kind, name, pa.array(values, pa.string()))
    except _REFUSALS:
        return _read_slowly(kind, name, values)


def read_array(kind: Kind, name: str, array: pa.Array, *, whole: bool = True) -> Column:
    """Coerce an Arrow array of any compatible type; dictionaries are decoded.

    With `whole`, a type that can hold no value of this kind (a timestamp without a zone, a struct)
    raises `InvalidBody`, which names column and type.
    """
    if array.type == ARROW_TYPES[kind] and (kind is not Kind.SIDE):
        return array, []
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if _is_text(array.type):
        return _read_text(kind, name, array)
    if whole and not pa.types.is_null(array.type):
        _check_type(kind, name, array.type)
    if pa.types.is_timestamp(array.type):
        return _read_timestamps(name, array)
    try:
        return _FROM_ARRAY[kind](array), []
    except _REFUSALS:
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


def _read_text(kind: Kind, name: str, array: pa.Array) -> Column:
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
        yield start, (_FROM_TEXT[kind](text), [])
        return
    except _REFUSALS:
        pass
    if len(text) <= _PIECE_ROWS:
        yield start, _read_slowly(kind, name, text.to_pylist())
        return
    half = len(text) // 2
    yield from _cast_pieces(kind, name, text[:half], start)
    yield from _cast_pieces(kind, name, text[half:], start + half)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)
                or pa.types.is_string_view(kind))  # fmt: skip


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


# From Python lists; what these refuse is tried as text, then value by value.


def _strings(values: Sequence[Any]) -> pa.Array:
    if "" in values:
        values = [value or None for value in values]
    return pa.array(values, pa.string())


def _ids(values: Sequence[Any]) -> pa.Array:
    try:
        return _strings(values)
    except pa.ArrowTypeError:
        return pa.array(values, pa.int64()).cast(pa.string())


def _numbers(values: Sequence[Any]) -> pa.Array:
    return pa.array(values, pa.float64())


def _times(values: Sequence[Any]) -> pa.Array:
    first = next(filter(None, values), 0)
    if not isinstance(first, str):
        return pa.array(values, pa.int64())
    return _zoned_times(pa.array(values, pa.string()))


def _sides(values: Sequence[Any]) -> pa.Array:
    codes = bytes(map(SIDE_CODES.__getitem__, values))
    return pa.array(np.frombuffer(codes, np.int8))


def _keys(values: Sequence[Any]) -> pa.Array:
    return _strings(values).cast(pa.binary())


_FROM_LIST: dict[Kind, Callable[[Sequence[Any]], pa.Array]] = {
    Kind.TEXT: _strings,
    Kind.NUMBER: _numbers,
    Kind.TIME: _times,
    Kind.SIDE: _sides,
    Kind.ID: _ids,
    Kind.WORDS: _strings,
    Kind.KEY: _keys,
}


# From text, that is from CSV and from Arrow strings


def _without_empty(text: pa.Array) -> pa.Array:
    """Return the strings with null for the empty ones."""
    lengths = pc.binary_length(text)
    if len(text) == text.null_count or pc.min(lengths).as_py() > 0:
        return text
    return pc.if_else(pc.equal(lengths, 0), pa.scalar(None, pa.string()), text)


def _text_numbers(text: pa.Array) -> pa.Array:
    return _without_empty(text).cast(pa.float64())


def _text_times(text: pa.Array) -> pa.Array:
    text = _without_empty(text)
    if text.null_count == len(text):
        return pa.nulls(len(text), pa.int64())
    if text.drop_null()[0].as_py().lstrip("-").isdigit():
        if pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py():
            raise TypeError  # Arrow would read hexadecimal digits
        return text.cast(pa.int64())
    return _zoned_times(text)


def _zoned_times(text: pa.Array) -> pa.Array:
    if pc.min(pc.binary_length(text)).as_py() < _ZONED_LENGTH_MIN:
        raise TypeError
    return text.cast(_UTC_NS).view(pa.int64())


def _text_sides(text: pa.Array) -> pa.Array:
    found = text.dictionary_encode()
    codes = _sides(found.dictionary.to_pylist())
    return pc.fill_null(codes.take(found.indices), 0)


_FROM_TEXT: dict[Kind, Callable[[pa.Array], pa.Array]] = {
    Kind.TEXT: _without_empty,
    Kind.NUMBER: _text_numbers,
    Kind.TIME: _text_times,
    Kind.SIDE: _text_sides,
    Kind.ID: _without_empty,
    Kind.WORDS: _without_empty,
    Kind.KEY: lambda text: _without_empty(text).cast(pa.binary()),
}


# From other Arrow types


def _array_numbers(array: pa.Array) -> pa.Array:
    return array.cast(pa.float64(), safe=False)


def _array_words(array: pa.Array) -> pa.Array:
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _without_empty(pc.binary_join(array.cast(pa.list_(pa.string())), ","))
    return array.cast(pa.string())


def _array_sides(array: pa.Array) -> pa.Array:
    return pc.fill_null(array.cast(pa.int8()), 0)


def _array_of(kind: Kind, array: pa.Array) -> pa.Array:
    return array.cast(ARROW_TYPES[kind])


_FROM_ARRAY: dict[Kind, Callable[[pa.Array], pa.Array]] = {
    Kind.TEXT: partial(_array_of, Kind.TEXT),
    Kind.NUMBER: _array_numbers,
    Kind.TIME: partial(_array_of, Kind.TIME),
    Kind.SIDE: _array_sides,
    Kind.ID: partial(_array_of, Kind.ID),
    Kind.WORDS: _array_words,
    Kind.KEY: partial(_array_of, Kind.KEY),
}


def _check_type(kind: Kind, name: str, found: pa.DataType) -> None:
    if _ACCEPTED[kind][0](found):
        return
    raise InvalidBody(f"{name}: an Arrow column of type {found} is not allowed; "
                      f"allowed is {_ACCEPTED[kind][1]}")  # fmt: skip


def _is_time(found: pa.DataType) -> bool:
    if pa.types.is_timestamp(found):
        return found.tz is not None
    return bool(pa.types.is_integer(found))


def _is_number(found: pa.DataType) -> bool:
    return bool(pa.types.is_integer(found) or pa.types.is_floating(found)
                or pa.types.is_decimal(found))  # fmt: skip


def _is_words(found: pa.DataType) -> bool:
    listed = pa.types.is_list(found) or pa.types.is_large_list(found)
    return bool(listed and _is_text(found.value_type))


def _is_binary(found: pa.DataType) -> bool:
    return bool(pa.types.is_binary(found) or pa.types.is_large_binary(found)
                or pa.types.is_fixed_size_binary(found))  # fmt: skip


_ACCEPTED: dict[Kind, tuple[Callable[[pa.DataType], bool], str]] = {
    Kind.TEXT: (lambda _: False, "a string"),
    Kind.NUMBER: (_is_number, "a float, an integer, a decimal or a string"),
    Kind.TIME: (_is_time, "a timestamp with a zone, integer nanoseconds or a string"),
    Kind.SIDE: (pa.types.is_integer, "a string (buy, sell) or an integer (0, 1, 2)"),
    Kind.ID: (pa.types.is_integer, "a string or an integer"),
    Kind.WORDS: (_is_words, "a string or a list of strings"),
    Kind.KEY: (_is_binary, "binary or a string"),
}
