"""128-bit keys of texts and of rows, by whole columns.

A key is two 64-bit lanes (uint64 of shape (n, 2)), computed with different constants. A text is cut
into words of 8 bytes; each word is scrambled together with its place, and the scrambled words are
added up, with its length, the instrument and a tag. Adding makes a key independent of what else is
in the batch: a text costs as many words as it has, and padding does not exist. A word is scrambled
so well before it is added that changes of two words do not make up for each other in both lanes.

The scrambling is the finalizer of MurmurHash3 (Austin Appleby, public domain) with its constants in
one lane and those of David Stafford's variant 13 in the other. A first pair of equal keys is to be
expected among 2^64 texts; whoever wants one can make it, though only of rows that are his to send.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.checks.texts import WORD, Texts

Lanes: TypeAlias = NDArray[np.uint64]
"""Two lanes by row: uint64 of shape (2, n)."""

_U = np.uint64
_MULTIPLY_1 = np.array([[0xFF51AFD7ED558CCD], [0xBF58476D1CE4E5B9]], _U)
_MULTIPLY_2 = np.array([[0xC4CEB9FE1A85EC53], [0x94D049BB133111EB]], _U)
_STEP = np.array([[0x9E3779B97F4A7C15], [0xD1B54A32D192ED03]], _U)  # 2^64 over two irrationals
_LENGTH_STEP = np.array([[0x8CB92BA72F3D8DD7], [0xAEF17502108EF2D9]], _U)
_SHIFT = _U(33)
_BLOCK_ROWS = 4_096  # the lanes of a block stay in the processor's cache


def key_of_text(tag: str, instrument: NDArray[np.int32], texts: pa.Array) -> NDArray[np.uint64]:
    """Return the key of each (tag, instrument, text): uint64 of shape (n, 2).

    `texts` is a string or binary array. A null has the key (0, 0), and nothing else has. Keys
    depend on nothing but the three, so they may be stored; different tags give unrelated keys.
    """
    lanes = text_lanes(tag, texts)
    lanes += (instrument.astype(np.uint64) + _U(1)) * _STEP
    keys = np.ascontiguousarray(lanes.T)
    if not keys[:, 1].all():
        keys[:, 1][keys[:, 1] == 0] = 1
    if texts.null_count:
        keys[texts.is_null().to_numpy(zero_copy_only=False)] = 0
    return keys


def scramble(lanes: Lanes) -> Lanes:
    """Scramble words in place, each lane in its own way, and return them; a bijection."""
    lanes ^= lanes >> _SHIFT
    lanes *= _MULTIPLY_1
    lanes ^= lanes >> _SHIFT
    lanes *= _MULTIPLY_2
    lanes ^= lanes >> _SHIFT
    return lanes


def word_lanes(tag: str, words: NDArray[np.uint64]) -> Lanes:
    """Return lanes of one word a row; lanes of several columns may be added up."""
    return _stir(words, _salt(tag)) + _salt(tag)


def text_lanes(tag: str, texts: pa.Array) -> Lanes:
    """Return lanes of one text a row; lanes of several columns may be added up."""
    count = len(texts)
    if count <= _BLOCK_ROWS:
        return _text_lanes(tag, texts)
    lanes = np.empty((2, count), np.uint64)
    for start in range(0, count, _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        lanes[:, part] = _text_lanes(tag, texts[part])
    return lanes


def _text_lanes(tag: str, column: pa.Array) -> Lanes:
    if not len(column):
        return np.empty((2, 0), np.uint64)
    texts = Texts.of(column)
    lanes = texts.lengths.astype(np.uint64) * _LENGTH_STEP
    lanes += _salt(tag)
    shortest, longest = int(texts.lengths.min()), int(texts.lengths.max())
    for place in range(0, longest, WORD):
        # Unrelated steps: evenly spaced ones would let words change places unnoticed.
        step = _salt(f"word {place}")
        if place < shortest:
            lanes += _stir(texts.words(place), step)
        else:
            rows, some = texts.longer(place)
            lanes[:, rows] += _stir(some.words(place), step)
    return lanes


def _stir(words: NDArray[np.uint64], step: Lanes) -> Lanes:
    lanes = words * _STEP
    lanes += step
    return scramble(lanes)


@lru_cache(4096)
def _salt(tag: str) -> Lanes:
    digest = hashlib.blake2b(tag.encode(), digest_size=16).digest()
    return np.frombuffer(digest, "<u8").reshape(2, 1)
