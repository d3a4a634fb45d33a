"""Rows of a body that are laid out alike to columns by the compiled walk, where it is loaded.

    read_rows(text, …) ─► the walk ─► numbers, times, texts as Arrow has them ─► columns

Whoever reads many bodies has it loaded (`loading.ROWS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.formats.columns import Column, read_text
from tickplant.formats.compiled import loading
from tickplant.formats.compiled.steps import as_words, literal_words
from tickplant.formats.values import Kind

SKIP, TEXT, NUMBER, ISO, WHOLE, DIGITS = range(6)
"""What a value is: a text in quotation marks that is not read, or is; a bare decimal number; a time
in quotation marks; a bare whole number; the same as text."""

_BARE = {Kind.NUMBER: NUMBER, Kind.TIME: WHOLE, Kind.ID: DIGITS}
_QUOTED = {Kind.TIME: ISO}
_END = b"\0" * 8
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class Value:
    """A value of each row: the field that it is, None where it is not read, and its kind.

    `gap` is what stands between it and the next one, byte for byte.
    """

    name: str | None
    kind: Kind
    quoted: bool
    gap: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """Columns by name, and where the first value of each row stands."""

    columns: dict[str, Column]
    begins: NDArray[np.int64]


def read_rows(text: bytes, first: int, values: Sequence[Value]) -> Found | None:
    """Return the columns of rows of `values`, the first value of which stands at `first`.

    None where the walk is not loaded, where a row is otherwise, and where a value needs a reader
    that knows more: an escape, an exponent, a time that is written in another way.
    """
    walk = loading.ROWS.get()
    program = None if walk is None else _program(tuple(values))
    if walk is None or program is None:
        return None
    steps = program.steps
    room = len(text) // program.row_bytes + 1
    numbers = np.empty((program.counts[0], room))
    wholes = np.empty((program.counts[1], room), np.int64)
    ends = np.zeros((program.counts[2], room + 1), np.int32)
    # Of Arrow's pool, which has such room at hand; NumPy would ask the system for it each time.
    letters = np.frombuffer(pa.allocate_buffer(ends.shape[0] * len(text)), np.uint8)
    letters = letters.reshape(-1, len(text))
    begins = np.empty(room, np.int64)
    data, words = as_words(text + _END)
    rows = walk(
        data, words, first, len(text), steps, program.chunks, program.masks,
        begins, numbers, wholes, ends, letters,
    )  # fmt: skip
    if rows < 0:
        return None
    columns: dict[str, Column] = {}
    for value, (op, place) in zip(values, steps[:, :2].tolist(), strict=True):
        if value.name is None:
            continue
        if op == NUMBER:
            columns[value.name] = pa.array(numbers[place, :rows]), []
        elif op in (ISO, WHOLE):
            columns[value.name] = pa.array(wholes[place, :rows]), []
        else:
            texts = _strings(ends[place, : rows + 1], letters[place])
            columns[value.name] = read_text(value.kind, value.name, texts)
    return Found(columns, begins[:rows])


_PLACES = ((NUMBER,), (ISO, WHOLE), (TEXT, DIGITS))
"""Which values share an array, each with a column of it."""


@dataclass(frozen=True, slots=True)
class _Program:
    """The steps of a row, the words of its gaps, how many columns each array of `_PLACES` has.

    No row has fewer bytes than `row_bytes`.
    """

    steps: NDArray[np.int64]
    chunks: NDArray[np.uint64]
    masks: NDArray[np.uint64]
    counts: tuple[int, ...]
    row_bytes: int


@lru_cache(maxsize=64)
def _program(values: tuple[Value, ...]) -> _Program | None:
    """Return how to walk over a row; nothing where a value is of a kind that has no step."""
    ops = [_op(value) for value in values]
    rows: list[tuple[int, ...]] = []
    chunks: list[int] = []
    masks: list[int] = []
    for number, (op, value) in enumerate(zip(ops, values, strict=True)):
        # A literal with a zero byte could go on behind the end of the text.
        if op is None or min(value.gap.translate(None, _BLANKS)) < _BLANKS[0]:
            return None
        alike = next((place for place in _PLACES if op in place), ())
        column = sum(other in alike for other in ops[:number])
        rows.append((op, column, len(chunks), len(value.gap)))
        words, counting = literal_words(value.gap)
        chunks += words
        masks += counting
    return _Program(
        np.array(rows, np.int64),
        np.array(chunks, np.uint64),
        np.array(masks, np.uint64),
        tuple(sum(op in place for op in ops) for place in _PLACES),
        sum(len(value.gap) for value in values),
    )


def _op(value: Value) -> int | None:
    if value.name is None:
        return SKIP if value.quoted else None
    return _QUOTED.get(value.kind, TEXT) if value.quoted else _BARE.get(value.kind)


def _strings(ends: NDArray[np.int32], letters: NDArray[np.uint8]) -> pa.Array:
    """Return texts of Arrow over these letters; they are not copied more than needed."""
    offsets = pa.py_buffer(ends.copy())
    return pa.StringArray.from_buffers(
        len(ends) - 1, offsets, pa.py_buffer(letters[: ends[-1]].copy())
    )
