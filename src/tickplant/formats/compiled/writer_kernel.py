"""The compiled writer of rows as encoded events. Imports numba.

    for each row: literal, value, literal, value, … ─► its bytes, behind those of the row before

Bounds. numba checks none. `writer` gives room for the most that a row can take, and eight bytes
more; bytes are copied eight at a time, so that up to seven are written behind the end of a piece,
over which the next one is written, and as many read behind the last piece of a text, where there
are eight more.

Floats. A decimal of at most 15 digits is nearest to one double only, so that the fewest decimals
which lead back to a double are its shortest text: m / 10^k is rounded once, as both are exact
(W. D. Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990). What has more digits,
is not finite, minus zero or very small is not written: the caller has another way.

Days. Of the proleptic Gregorian calendar, by years that begin in March and eras of 400 years
(H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tickplant.formats.compiled.kernel import inner, outer
from tickplant.formats.compiled.loading import Walk
from tickplant.formats.compiled.steps import as_words
from tickplant.formats.compiled.writer import (
    CODED,
    DECIMAL,
    DECIMALS_MAX,
    LITERAL,
    ODD,
    PICKED,
    TEXT,
    TIME,
    WHOLE,
    WIDTH,
)

_TENS = 10 ** np.arange(19)
_POWERS = 10.0 ** np.arange(DECIMALS_MAX + 1)
_MANTISSA_MAX = 1e15
_SMALLEST = 1e-4
_NS, _DAY_S = 1_000_000_000, 86_400
_SECOND_CHARS = 19  # 2014-05-07T17:03:04
_LEAST = np.iinfo(np.int64).min
_EIGHT = np.uint64(8)


@inner
def _copy(words: Any, at: int, source: Any, first: int, length: int) -> int:
    """Copy bytes; return the place behind them."""
    end = at + length
    while at < end:
        words[at] = source[first]
        at += 8
        first += 8
    return end


@inner
def _put_digits(out: Any, at: int, value: int, count: int) -> int:
    """Write the last so many digits of a number."""
    for k in range(count - 1, -1, -1):
        out[at + k] = 48 + value % 10
        value //= 10
    return at + count


@inner
def _put_whole(out: Any, at: int, value: int) -> int:
    """Write a number that is not negative."""
    count = 1
    while count < 19 and value >= _TENS[count]:
        count += 1
    return _put_digits(out, at, value, count)


@inner
def _put_null(out: Any, at: int) -> int:
    out[at], out[at + 1], out[at + 2], out[at + 3] = 110, 117, 108, 108
    return at + 4


@inner
def _fits(value: float, decimals: int) -> bool:
    """Return whether a number has no more decimals than these."""
    return bool(np.rint(value * _POWERS[decimals]) / _POWERS[decimals] == value)


@inner
def _decimals(value: float, guess: int) -> int:
    """Return the fewest decimals that lead back to a number that is not negative; -1 if many."""
    if not (value <= _MANTISSA_MAX and (value >= _SMALLEST or value == 0.0)):
        return -1
    k = guess
    if _fits(value, k) and value * _POWERS[k] <= _MANTISSA_MAX:
        while k > 0 and _fits(value, k - 1):
            k -= 1
        return k
    k = 0
    while not _fits(value, k):
        k += 1
        if k > DECIMALS_MAX:
            return -1
    return k if value * _POWERS[k] <= _MANTISSA_MAX else -1


@inner
def _put_decimal(out: Any, at: int, value: float, decimals: int) -> int:
    """Write a number that is not negative, with at least one decimal."""
    mantissa = int(np.rint(value * _POWERS[decimals]))
    scale = _TENS[decimals]
    whole = mantissa // scale
    at = _put_whole(out, at, whole)
    out[at] = 46
    if decimals == 0:
        out[at + 1] = 48
        return at + 2
    return _put_digits(out, at + 1, mantissa - whole * scale, decimals)


@inner
def _put_second(out: Any, at: int, second: int) -> None:
    """Write a time up to the second."""
    day = second // _DAY_S
    rest = second - day * _DAY_S
    day += 719_468
    era = day // 146_097
    of_era = day - era * 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    since = (5 * of_year + 2) // 153
    month = since + 3 if since < 10 else since - 9
    year += era * 400 + (1 if month <= 2 else 0)
    _put_digits(out, at, year, 4)
    out[at + 4] = 45
    _put_digits(out, at + 5, month, 2)
    out[at + 7] = 45
    _put_digits(out, at + 8, of_year - (153 * since + 2) // 5 + 1, 2)
    out[at + 10] = 84
    _put_digits(out, at + 11, rest // 3_600, 2)
    out[at + 13] = 58
    _put_digits(out, at + 14, rest // 60 % 60, 2)
    out[at + 16] = 58
    _put_digits(out, at + 17, rest % 60, 2)


@inner
def _put_fraction(out: Any, at: int, fraction: int) -> int:
    """Write the digits behind the second without the zeros at their end, and the Z."""
    if fraction:
        count = 9
        while fraction % 10 == 0:
            fraction //= 10
            count -= 1
        out[at] = 46
        at = _put_digits(out, at + 1, fraction, count)
    out[at] = 90
    return at + 1


@inner
def _is_plain(letters: Any, first: int, end: int) -> bool:
    """Return whether nothing of a text has to be escaped in JSON."""
    for k in range(first, end):
        letter = letters[k]
        if letter < 32 or letter in (34, 92):
            return False
    return True


@outer
def write_rows(  # noqa: PLR0912, PLR0915 - an interpreter: a branch for each step
    packed: bool, steps: Any, literals: Any, wholes: Any, floats: Any, nulls: Any, spans: Any,
    letters: Any, letter_words: Any, picked_edges: Any, picked_words: Any, edges: Any, out: Any,
    words: Any,
) -> int:  # fmt: skip
    """Write rows; return `ODD`, or -1 less the number of a float column that is not short, else 0.

    `steps` are (op, first, second, column of nulls or -1); `wholes`, `floats` and `nulls` are
    (column, row). `edges`, shape (rows + 1,), is filled.
    """
    rows = wholes.shape[1]
    seconds = np.full(len(steps), _LEAST)
    stood = np.zeros(len(steps), np.int64)
    guesses = np.zeros(len(steps), np.int64)
    at = 0
    edges[0] = 0
    for row in range(rows):
        for step in range(len(steps)):
            op, first, second = steps[step, 0], steps[step, 1], steps[step, 2]
            null = steps[step, 3]
            if null >= 0 and nulls[null, row]:
                if packed:
                    out[at] = 0xC0
                    at += 1
                else:
                    at = _put_null(out, at)
            elif op == LITERAL:
                at = _copy(words, at, literals, first, second)
            elif op == CODED:
                code = second + wholes[first, row]
                at = _copy(words, at, letter_words, spans[code], spans[code + 1] - spans[code])
            elif op == PICKED:
                low = picked_edges[wholes[first, row]]
                high = picked_edges[wholes[first, row] + 1]
                at = _copy(words, at, picked_words, low, high - low)
            elif op == TEXT:
                low, high = spans[second + row], spans[second + row + 1]
                if first == 1:
                    if packed:
                        if high - low > 31:
                            return ODD
                        out[at] = 0xA0 | (high - low)
                        at += 1
                    elif not _is_plain(letters, low, high):
                        return ODD
                at = _copy(words, at, letter_words, low, high - low)
            elif op == DECIMAL:
                value = floats[first, row]
                if value < 0.0:
                    out[at] = 45
                    at += 1
                    value = -value
                decimals = _decimals(value, guesses[step])
                if decimals < 0 or (value == 0.0 and np.signbit(floats[first, row])):
                    return int(-1 - first)
                guesses[step] = decimals
                at = _put_decimal(out, at, value, decimals)
            elif op == WHOLE:
                whole = wholes[first, row]
                if whole == _LEAST:
                    return ODD
                if whole < 0:
                    out[at] = 45
                    at += 1
                    whole = -whole
                at = _put_whole(out, at, whole)
            elif op == TIME:
                head = at
                at += 1 if packed else 0
                time = wholes[first, row]
                whole = time // _NS
                if seconds[step] == whole:
                    _copy(words, at, words, stood[step], _SECOND_CHARS)
                else:
                    _put_second(out, at, whole)
                    seconds[step] = whole
                stood[step] = at
                at = _put_fraction(out, at + _SECOND_CHARS, time - whole * _NS)
                if packed:
                    out[head] = 0xA0 | (at - head - 1)
            else:  # WIDE
                bits = np.uint64(wholes[first, row])
                out[at] = second
                for k in range(8, 0, -1):
                    out[at + k] = bits & np.uint64(0xFF)
                    bits >>= _EIGHT
                at += 9
        edges[row + 1] = at
    return 0


def load() -> Walk:
    """Return the writer, compiled for the arrays that `writer` hands in by writing nothing."""
    write: Walk = write_rows
    write(*nothing())
    return write


def nothing() -> tuple[Any, ...]:
    """Return arguments of the writer without a row, of the types that `writer` hands in."""
    none = np.zeros((0, 0), np.int64)
    text, words = as_words(bytearray(16))
    letters, letter_words = as_words(bytes(16))
    return (
        False, np.zeros((0, WIDTH), np.int64), letter_words, none, np.zeros((0, 0)),
        np.zeros((0, 0), np.bool_), none.reshape(0), letters, letter_words, np.zeros(1, np.int32),
        letter_words, np.zeros(1, np.int32), text, words,
    )  # fmt: skip
