"""The compiled walk over the rows of a body that are laid out alike. Imports numba.

    value, gap, value, gap, … value, gap     gaps are literals, byte for byte

Bounds. As in `kernel`: every step reads a byte only after it has accepted the one before, none
accepts the zero byte that stands behind the text, and words of eight bytes begin at that zero byte
at the latest, behind which there are seven more. The caller gives room for as many rows as their
literals alone let there be, and for as many letters as the text has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tickplant.formats.compiled import kernel
from tickplant.formats.compiled.kernel import (
    inner,
    outer,
    take_iso,
    take_literal,
    take_number,
    take_whole,
)
from tickplant.formats.compiled.loading import Walk
from tickplant.formats.compiled.rows import DIGITS, ISO, NUMBER, SKIP, WHOLE
from tickplant.formats.compiled.steps import as_words


@inner
def _text(text: Any, at: int) -> int:
    """Return the end of a text without escapes; -1 where it has one or a control character."""
    while text[at] != 34:
        if text[at] < 32 or text[at] == 92:
            return -1
        at += 1
    return at


def _make(made_with: int) -> Any:
    """Return the walk. numba keeps its machine code for as long as this module stays as it is, and
    what a function is closed over; `made_with` tells it of what is taken over from `kernel`."""

    @outer
    def walk_rows(
        text: Any, words: Any, at: int, end: int, steps: Any, chunks: Any, masks: Any,
        begins: Any, numbers: Any, wholes: Any, ends: Any, letters: Any,
    ) -> int:  # fmt: skip
        """Read rows from the first value on; return how many there are, -1 where one is otherwise.

        `steps` are (op, column, first chunk of the gap behind the value, its bytes). `begins` (row)
        is where the first values stand, `numbers` and `wholes` are (column, row); `ends` (column,
        row + 1) and `letters` (column, byte) are texts as Arrow has them.
        """
        row = 0 if made_with else -1
        while at < end:
            if row >= len(begins):
                return -1
            begins[row] = at
            for step in range(len(steps)):
                op, column = steps[step, 0], steps[step, 1]
                if op == NUMBER:
                    minus = text[at] == 45
                    value, at = take_number(text, at + 1 if minus else at)
                    numbers[column, row] = -value if minus else value
                elif op == ISO:
                    wholes[column, row], at = take_iso(text, at)
                elif op == WHOLE:
                    wholes[column, row], at = take_whole(text, words, at)
                else:
                    first = at
                    at = take_whole(text, words, at)[1] if op == DIGITS else _text(text, at)
                    if at >= 0 and op != SKIP:
                        put = ends[column, row]
                        for place in range(at - first):
                            letters[column, put + place] = text[first + place]
                        ends[column, row + 1] = put + at - first
                if at >= 0:
                    at = take_literal(words, at, chunks, masks, steps[step, 2], steps[step, 3])
                if at < 0:
                    return -1
            row += 1
        return row if at == end else -1

    return walk_rows


walk_rows = _make(Path(kernel.__file__).stat().st_mtime_ns)


def load() -> Walk:
    """Return the walk, compiled for the arrays that `rows` hands in by walking over nothing."""
    walk: Walk = walk_rows
    walk(*nothing())
    return walk


def nothing() -> tuple[Any, ...]:
    """Return arguments of the walk without a row, of the types that `rows` hands in."""
    text, words = as_words(bytes(16))
    none = np.empty(0, np.int64)
    return (
        text, words, 0, 0, none.reshape(0, 4), none.view(np.uint64), none.view(np.uint64),
        none, np.empty((0, 0)), none.reshape(0, 0), np.empty((0, 1), np.int32),
        np.empty((0, 8), np.uint8),
    )  # fmt: skip
