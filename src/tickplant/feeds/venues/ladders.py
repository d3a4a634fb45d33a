"""Levels of books from the text of many messages at once: the hot path of venues that send text.

    '[["7.61","2"],["7.60","0"]]', '[]', …  ─► joined, brackets and quotes taken out
        ─► one array of text with the places of its commas ─► one array of numbers, and counts

A level never becomes a Python object. What is not of the plain form is read again as any JSON is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ladders = tuple[NDArray[np.float64], NDArray[np.int64]]
"""Levels (m, 2: price and size) of all ladders in order, and how many each ladder has."""


@dataclass(frozen=True)
class Form:
    """How levels are written: one level without the digits and points of its numbers, the letters
    that stand around numbers, and how many numbers a level has."""

    level: bytes
    around: bytes
    width: int

    @cached_property
    def ladders(self) -> list[bytes]:
        """Ladders of 0, 1, 2, … levels, each with its end."""
        return [self.ladder(levels) for levels in range(64)]

    def ladder(self, levels: int) -> bytes:
        """Return a ladder of so many levels, with its end."""
        return b"[%s]|" % b",".join([self.level] * levels)


PAIRS = Form(b'["",""]', b'[]"', 2)
"""`[["7.61","2"],…]`"""

_FEW = 32
"""So few ladders are read sooner one by one."""

_COMMA, _END = 1, 2
_PLAIN = bytes({44: _COMMA, 124: _END}.get(byte, byte) for byte in range(256))
_any = msgspec.json.Decoder(list[tuple[float, float]], strict=False).decode


def read_ladders(texts: Sequence[msgspec.Raw]) -> Ladders:
    """Return the levels of ladders, each the JSON of a list of pairs of price and size.

    Raises `msgspec.MsgspecError` or `ValueError` where one is anything else, or where a number is
    not finite, a size negative.
    """
    try:
        found = _read_plain(texts) if len(texts) > _FEW else _read_any(texts)
    except (ValueError, pa.ArrowInvalid):
        found = _read_any(texts)
    levels, _ = found
    if not np.isfinite(levels).all() or (levels[:, 1] < 0).any():
        raise ValueError("a level has a number that is not finite, or a size below 0")
    return found


def _read_plain(texts: Sequence[msgspec.Raw]) -> Ladders:
    numbers, counts = cut_plain(texts, PAIRS)
    return np.asarray(numbers.cast(pa.float64())).reshape(-1, 2), counts


def cut_plain(
    texts: Sequence[msgspec.Raw | bytes], form: Form
) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """Return the numbers of ladders as texts, one level after the other, and how many levels each
    ladder has. Raises `ValueError` where one is not plainly of this form, without blanks.

    The form is proven by what is left without digits and points: it must be that of ladders with
    as many levels as there are numbers for.
    """
    joined = b"|".join((*texts, b""))
    plain = joined.translate(_PLAIN, form.around)
    letters = np.frombuffer(plain, np.uint8)
    places = np.flatnonzero(letters <= _END)
    ends = np.flatnonzero(letters[places] == _END)
    # Where each number begins and the last one ends, once what stands between them is taken out.
    offsets = np.empty(len(places) + 1, np.int32)
    offsets[0] = 0
    np.subtract(places, np.arange(len(places)), out=offsets[1:], casting="same_kind")
    counts = np.diff(ends, prepend=-1)
    # An empty ladder is one text without a letter, and no number.
    empty = offsets[ends] == offsets[ends + 1]
    if empty.any():
        counts[empty] -= 1
        offsets = np.delete(offsets, ends[empty])
    counts //= form.width
    known = form.ladders
    wanted = b"".join([known[n] if n < len(known) else form.ladder(n) for n in counts.tolist()])
    if joined.translate(None, b"0123456789.") != wanted:
        raise ValueError("a ladder is not written plainly")
    text = plain.translate(None, b"\x01\x02")
    buffers = pa.py_buffer(offsets), pa.py_buffer(text)
    return pa.StringArray.from_buffers(len(offsets) - 1, *buffers), counts


def _read_any(texts: Sequence[msgspec.Raw]) -> Ladders:
    ladders = [_any(text) for text in texts]
    counts = np.array([len(ladder) for ladder in ladders], np.int64)
    numbers = chain.from_iterable(chain.from_iterable(ladders))
    return np.fromiter(numbers, np.float64, 2 * int(counts.sum())).reshape(-1, 2), counts
