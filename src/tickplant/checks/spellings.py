"""Spellings of names that were seen before, looked up by whole columns.

A batch of a market has thousands of distinct symbols, so even one look-up in a dictionary for each
of them costs more than all other checks together. Here a spelling, the texts of symbol and venue as
a producer wrote them, is found by a hash of its bytes in a table with open addressing, and taken
only where every byte is the same. All rows of a batch take a step at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.texts import WORD, Texts, Words

Name = tuple[str, str]
Codes = NDArray[np.int32]

KEPT_MAX = 1 << 20
"""Most spellings that are kept; a producer that invents more has all of them read anew."""

FEW_ROWS = 16
"""Batches up to this many rows are looked up one by one, which is faster for them."""

_SYMBOL_BYTES_MAX = 64
_WORDS_MAX = _SYMBOL_BYTES_MAX // WORD
_SLOTS_MIN = 1 << 13
_SLOTS_PER_SPELLING = 4
_LENGTH_MAX = 255  # what a mark has room for; longer symbols are not kept
_VENUE_SHIFT = np.uint64(8)
_FOLD = np.uint64(32)
# Odd and not to be known outside, so that nobody can choose symbols that all fall into one slot.
_FACTORS = [np.uint64(secrets.randbits(64) | 1) for _ in range(_WORDS_MAX + 2)]


class Spellings:
    """What is remembered of names. Belongs to one thread.

    `names[code]` is the name that a spelling stands for; two spellings may stand for one name.
    `numbers[code]` is for the owner, who may note there what the name is to him; 0 at first.
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.names: list[Name] = []
        self.numbers = np.zeros(_SLOTS_MIN // _SLOTS_PER_SPELLING, np.int32)
        self._codes: dict[tuple[str, str], int] = {}
        self._venues: dict[str, int] = {}
        self._slots = np.zeros(_SLOTS_MIN, np.int32)  # code + 1; 0 is free
        self._marks = np.zeros(len(self.numbers), np.uint64)  # length and venue
        self._words = np.zeros((1, len(self.numbers)), np.uint64)

    def look_up(self, symbols: pa.Array, venues: pa.Array, venue: str) -> Codes:
        """Return the code of each row's spelling, -1 where it is not known.

        `venue` is that of rows without one. Codes hold until the next call.
        """
        if max(len(self.names), len(self._venues)) > KEPT_MAX:
            self._forget()
        if len(symbols) <= FEW_ROWS:
            return self._look_up_few(symbols, venues, venue)
        texts = Texts.of(symbols)
        return self._find(self._marks_of(texts, venues, venue), _words_of(texts))

    def code_of(self, symbol: str, venue: str) -> int | None:
        """Return the code of one spelling, None where it is not known."""
        return self._codes.get((symbol, venue))

    def _look_up_few(self, symbols: pa.Array, venues: pa.Array, venue: str) -> Codes:
        known = self._codes
        if venues.null_count == len(venues):
            found = [known.get((symbol, venue), -1) for symbol in symbols.to_pylist()]
        else:
            own = [venue if text is None else text for text in venues.to_pylist()]
            pairs = zip(symbols.to_pylist(), own, strict=True)
            found = [known.get(pair, -1) for pair in pairs]
        return np.array(found, np.int32)

    def learn(self, spellings: Sequence[tuple[str, str]], names: Sequence[Name]) -> Codes:
        """Note what distinct spellings stand for that were not known; return their codes."""
        first = len(self.names)
        self.names.extend(names)
        last = len(self.names)
        self._codes.update(zip(spellings, range(first, last), strict=True))
        symbols = pa.array([symbol for symbol, _ in spellings], pa.string())
        venues = pa.array([venue for _, venue in spellings], pa.string())
        texts = Texts.of(symbols)
        marks, words = self._marks_of(texts, venues, ""), _words_of(texts)
        self._grow(last, len(words))
        self._marks[first:last] = marks
        for place, column in enumerate(words):
            self._words[place, first:last] = column
        codes = np.arange(first, last, dtype=np.int32)
        self._insert(codes[texts.lengths <= _SYMBOL_BYTES_MAX])
        return codes

    def _marks_of(self, texts: Texts, venues: pa.Array, venue: str) -> Words:
        lengths: Words = np.minimum(texts.lengths, _LENGTH_MAX).astype(np.uint64)
        if venues.null_count == len(venues):
            lengths |= np.uint64(self._venue(venue)) << _VENUE_SHIFT
            return lengths
        encoded = pc.fill_null(venues, venue).dictionary_encode()
        numbers = np.array([self._venue(v) for v in encoded.dictionary.to_pylist()], np.uint64)
        lengths |= (numbers << _VENUE_SHIFT).take(encoded.indices.to_numpy())
        return lengths

    def _venue(self, text: str) -> int:
        return self._venues.setdefault(text, len(self._venues))

    def _find(self, marks: Words, words: list[Words]) -> Codes:
        """Return the code of each row, -1 where there is none."""
        at = self._home(marks, words)
        codes = self._slots.take(at)
        codes -= np.int32(1)
        same = self._same(codes, marks, words)
        if same.all():
            return codes
        left = np.flatnonzero(~same & (codes >= 0))
        codes[~same] = -1
        at = at[left]
        while left.size:
            at = (at + 1) & (len(self._slots) - 1)
            held = self._slots.take(at) - np.int32(1)
            same = self._same(held, marks[left], [column[left] for column in words])
            codes[left[same]] = held[same]
            on = ~same & (held >= 0)
            left, at = left[on], at[on]
        return codes

    def _same(self, codes: Codes, marks: Words, words: list[Words]) -> NDArray[np.bool_]:
        # The code -1 reads the first spelling, whose bytes may be the same.
        same: NDArray[np.bool_] = self._marks.take(codes, mode="clip") == marks
        same &= codes >= 0
        for place, column in enumerate(words[: len(self._words)]):
            same &= self._words[place].take(codes, mode="clip") == column
        return same

    def _home(self, marks: Words, words: list[Words]) -> NDArray[np.int64]:
        mixed = marks * _FACTORS[0]
        for place, column in enumerate(words):
            mixed += column * _FACTORS[place + 1]
        mixed ^= mixed >> _FOLD
        mixed *= _FACTORS[-1]
        bits = len(self._slots).bit_length() - 1
        mixed >>= np.uint64(64 - bits)
        return mixed.view(np.int64)

    def _insert(self, codes: Codes) -> None:
        at = self._home(self._marks[codes], [column[codes] for column in self._words])
        while codes.size:
            free = self._slots[at] == 0
            self._slots[at[free]] = codes[free] + 1  # of several for one slot the last one has it
            lost = self._slots[at] != codes + 1
            codes, at = codes[lost], (at[lost] + 1) & (len(self._slots) - 1)

    def _grow(self, total: int, width: int) -> None:
        """Make room for so many spellings of so many words; their places are found anew."""
        room = len(self._marks)
        while room < total:
            room *= 2
        width = max(width, len(self._words))
        if (width, room) == self._words.shape:
            return
        have = len(self._marks)
        words = np.zeros((width, room), np.uint64)
        words[: len(self._words), :have] = self._words
        self._words = words
        self._marks = np.append(self._marks, np.zeros(room - have, np.uint64))
        self.numbers = np.append(self.numbers, np.zeros(room - have, np.int32))
        if room > have:
            held = self._slots[self._slots > 0] - 1
            self._slots = np.zeros(_SLOTS_PER_SPELLING * room, np.int32)
            self._insert(held.astype(np.int32))


def _words_of(texts: Texts) -> list[Words]:
    """Return the words of texts; those behind the longest that is kept are left out."""
    if not len(texts.lengths):
        return []
    longest = min(int(texts.lengths.max()), _SYMBOL_BYTES_MAX)
    shortest = int(texts.lengths.min())
    found: list[Words] = []
    for place in range(0, longest, WORD):
        if place < shortest:
            found.append(texts.words(place))
            continue
        rows, some = texts.longer(place)
        words = np.zeros(len(texts.lengths), np.uint64)
        words[rows] = some.words(place)
        found.append(words)
    return found
