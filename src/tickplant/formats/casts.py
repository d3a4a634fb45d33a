"""Cast whole columns to the types of `INCOMING`; what cannot be cast raises one of `REFUSALS`.

What these refuse, `columns` tries again in pieces and then value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.formats.values import ARROW_TYPES, SIDE_CODES, Kind
from tickplant.model.errors import InvalidBody

_ZONED_LENGTH_MIN = len("2014-05-07T00:00Z")
_UTC_NS = pa.timestamp("ns", "UTC")

REFUSALS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError,
             KeyError, TypeError, UnicodeEncodeError)  # fmt: skip


def is_text(kind: pa.DataType) -> bool:
    """Say whether a type is one of the types of text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)
                or pa.types.is_string_view(kind))  # fmt: skip


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


FROM_LIST: dict[Kind, Callable[[Sequence[Any]], pa.Array]] = {
    Kind.TEXT: _strings,
    Kind.NUMBER: _numbers,
    Kind.TIME: _times,
    Kind.SIDE: _sides,
    Kind.ID: _ids,
    Kind.WORDS: _strings,
    Kind.KEY: _keys,
}
"""How a list of Python values of each kind becomes a column."""


# From text, that is from CSV and from Arrow strings


def _without_empty(text: pa.Array) -> pa.Array:
    """Return the strings with null for the empty ones."""
    if len(text) == text.null_count or _lengths(text).min() > 0:
        return text
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)


def _lengths(text: pa.Array) -> NDArray[np.int32]:
    """Return the lengths in bytes; that of a null is nearly always 0."""
    offsets = np.frombuffer(text.buffers()[1], np.int32, len(text) + 1, 4 * text.offset)
    return np.asarray(offsets[1:] - offsets[:-1])


def _text_numbers(text: pa.Array) -> pa.Array:
    return _without_empty(text).cast(pa.float64())


def _text_times(text: pa.Array) -> pa.Array:
    text = _without_empty(text)
    if text.null_count == len(text):
        return pa.nulls(len(text), pa.int64())
    first = text[0] if text[0].is_valid else text.drop_null()[0]
    if first.as_py().lstrip("-").isdigit():
        if pc.any(pc.match_substring(text, "x", ignore_case=True)).as_py():
            raise TypeError  # Arrow would read hexadecimal digits
        return text.cast(pa.int64())
    return _zoned_times(text)


def _zoned_times(text: pa.Array) -> pa.Array:
    present = text.drop_null() if text.null_count else text
    if len(present) and _lengths(present).min() < _ZONED_LENGTH_MIN:
        raise TypeError
    return text.cast(_UTC_NS).view(pa.int64())


def _text_sides(text: pa.Array) -> pa.Array:
    found = text.dictionary_encode()
    codes = _sides(found.dictionary.to_pylist())
    sides = codes.take(found.indices)
    return pc.fill_null(sides, 0) if sides.null_count else sides


FROM_TEXT: dict[Kind, Callable[[pa.Array], pa.Array]] = {
    Kind.TEXT: _without_empty,
    Kind.NUMBER: _text_numbers,
    Kind.TIME: _text_times,
    Kind.SIDE: _text_sides,
    Kind.ID: _without_empty,
    Kind.WORDS: _without_empty,
    Kind.KEY: lambda text: _without_empty(text).cast(pa.binary()),
}
"""How a string column becomes one of each kind."""


# From other Arrow types


def _array_numbers(array: pa.Array) -> pa.Array:
    return array.cast(pa.float64(), safe=False)


def _array_words(array: pa.Array) -> pa.Array:
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _without_empty(pc.binary_join(array.cast(pa.list_(pa.string())), ","))
    return array.cast(pa.string())


def _array_sides(array: pa.Array) -> pa.Array:
    sides = array.cast(pa.int8())
    return pc.fill_null(sides, 0) if sides.null_count else sides


def _array_of(kind: Kind, array: pa.Array) -> pa.Array:
    return array.cast(ARROW_TYPES[kind])


FROM_ARRAY: dict[Kind, Callable[[pa.Array], pa.Array]] = {
    Kind.TEXT: partial(_array_of, Kind.TEXT),
    Kind.NUMBER: _array_numbers,
    Kind.TIME: partial(_array_of, Kind.TIME),
    Kind.SIDE: _array_sides,
    Kind.ID: partial(_array_of, Kind.ID),
    Kind.WORDS: _array_words,
    Kind.KEY: partial(_array_of, Kind.KEY),
}
"""How a column that is no text becomes one of each kind."""


def check_type(kind: Kind, name: str, found: pa.DataType) -> None:
    """Raise `InvalidBody` where a column of this type can hold no value of this kind."""
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
    return bool(listed and is_text(found.value_type))


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
