"""Levels of books from the text of many messages at once: the hot path of venues that send text.

    '[["7.61","2"],["7.60","0"]]', '[]', …  ─► joined ─► where each number begins and ends
        ─► what is left without digits: that of as many levels? ─► all numbers cast at once

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
    """How levels are written: one `level` without the digits and points of its numbers, and how
    many numbers it has."""

    level: bytes
    width: int

    @cached_property
    def ladders(self) -> list[bytes]:
        """Ladders of 0, 1, 2, … levels, each with its end."""
        return [self.ladder(levels) for levels in range(64)]

    def ladder(self, levels: int) -> bytes:
        """Return a ladder of so many levels, with its end."""
        return b"[%s]|" % b",".join([self.level] * levels)


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of ladders, m in all: their numbers (m, `width`), how many each ladder has, and
    the text of all with the places where each number begins and ends."""

    numbers: NDArray[np.float64]
    counts: NDArray[np.int64]
    text: bytes
    begins: NDArray[np.int64]
    stops: NDArray[np.int64]

    def written(self, number: int) -> str:
        """Return how a number is written."""
        return self.text[self.begins[number] : self.stops[number]].decode()


PAIRS = Form(b'["",""]', 2)
"""`[["7.61","2"],…]`"""

_FEW = 256
"""So few ladders are read sooner one by one."""

_DIGITS = b"0123456789."
_ZERO, _POINT = 48, 46
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
    found = cut_plain(texts, PAIRS)
    return found.numbers, found.counts


def cut_plain(texts: Sequence[msgspec.Raw | bytes], form: Form) -> Levels:
    """Return the levels of ladders, each valid JSON. Raises `ValueError` or `pyarrow.ArrowInvalid`
    where one is not plainly of this form, without blanks.

    The form is proven by what is left without digits and points: it must be that of ladders with
    as many levels as there are numbers for. In valid JSON no digits are left but in numbers.
    """
    text = b"|".join((b"", *texts, b""))
    letters = np.frombuffer(text, np.uint8)
    digit = letters - _ZERO < 10
    digit |= letters == _POINT
    edges = np.flatnonzero(digit[1:] != digit[:-1])
    edges += 1
    begins, stops = edges[::2], edges[1::2]
    ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1)
    totals = np.diff(np.searchsorted(begins, ends), prepend=0)
    counts = totals // form.width
    known = form.ladders
    wanted = b"".join([known[n] if n < len(known) else form.ladder(n) for n in counts.tolist()])
    if text.translate(None, _DIGITS) != b"|" + wanted or (counts * form.width != totals).any():
        raise ValueError("a ladder is not written plainly")
    numbers = _cast(text, edges).reshape(-1, form.width)
    return Levels(numbers, counts, text, begins, stops)


def _cast(text: bytes, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the numbers of a text, each from one edge to the next.

    What stands between them is null in the array that Arrow reads, so that nothing is copied.
    """
    if not len(edges):
        return np.empty(0)
    valid = np.full(len(edges) // 8 + 1, 0b01010101, np.uint8)
    texts = pa.StringArray.from_buffers(
        len(edges) - 1,
        pa.py_buffer(edges.astype(np.int32)),
        pa.py_buffer(text),
        pa.py_buffer(valid),
    )
    return np.frombuffer(texts.cast(pa.float64()).buffers()[1], np.float64, len(texts))[::2].copy()


def _read_any(texts: Sequence[msgspec.Raw]) -> Ladders:
    ladders = [_any(text) for text in texts]
    counts = np.array([len(ladder) for ladder in ladders], np.int64)
    numbers = chain.from_iterable(chain.from_iterable(ladders))
    return np.fromiter(numbers, np.float64, 2 * int(counts.sum())).reshape(-1, 2), counts
