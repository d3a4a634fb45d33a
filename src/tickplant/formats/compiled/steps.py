"""The steps that a layout consists of, as rows of five whole numbers.

    op, first, second, column, in_level

`column` is a place in the row's columns, or with `in_level` in those of the level.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

LITERAL: Final = 0  # first: where its words begin, second: how many bytes it has
SKIP_TEXT: Final = 1  # what stands between quotation marks, plainly
SKIP_NUMBER: Final = 2
SKIP_WORD: Final = 3  # true, false, null
WORD: Final = 4
NAME: Final = 5
WHOLE: Final = 6  # first: the largest
NUMBER: Final = 7  # first: whether 0 does not fit
ISO: Final = 8
SECONDS: Final = 9
FLAG: Final = 10
CHOICE: Final = 11  # first: how many OPTION steps follow
SET: Final = 12  # first: the number
LADDER: Final = 13  # first: the step behind its NEXT
NEXT: Final = 14  # first: the first step of a level
OPTION: Final = 15  # as LITERAL; column: the number that it stands for
TEXTS: Final = (LITERAL, OPTION)

WIDTH: Final = 5


def as_words(
    text: bytes | bytearray | pa.Buffer,
) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """Return the bytes of a text, and the eight from each place on as a number, lowest first.

    Views of it, which can be written to where it can.
    """
    found = np.frombuffer(text, np.uint8)
    return found, np.ndarray((len(found) - 7,), np.dtype("<u8"), text, 0, (1,))


def literal_words(text: bytes) -> tuple[list[int], list[int]]:
    """Return the words of a literal, and of each which of its bytes count."""
    words = [text[at : at + 8] for at in range(0, len(text), 8)]
    masks = [int.from_bytes(b"\xff" * len(word), "little") for word in words]
    return [int.from_bytes(word, "little") for word in words], masks
