"""The compiled walk over the bytes of many frames: one for all venues. Imports numba.

    joined frames, each with a zero byte behind it ─► walk ─► rows in columns, levels in columns
                                                         └─► kinds: the table of each frame, or -1

A layout is a list of steps (see `layouts`); a frame that its steps fit, from the first byte to the
last, becomes a row of the layout's table. A frame that no layout fits leaves no trace but its -1.

Bounds. numba checks none. Every step reads a byte only after it has accepted the one before, and
no step accepts the zero byte; so none gets beyond the frame's end, but for words of eight bytes,
which begin within the frame or at its end, and behind the last frame there are seven more. Rows are
written at a place below the number of frames, levels only where there is room; places of columns,
literals and names are those that `layouts` and `names` have counted. `reader` hands in arrays of
sizes that fit. The tests run it once with numba's own checks.

Numbers. A mantissa of at most 2^53 divided by a power of ten of at most 10^22 is the nearest double
of the decimal, because both are exact and a division rounds once (W. D. Clinger, "How to Read
Floating Point Numbers Accurately", PLDI 1990). A longer one does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

from tickplant.formats.compiled.steps import (
    CHOICE,
    FLAG,
    ISO,
    LADDER,
    LITERAL,
    NAME,
    NEXT,
    NUMBER,
    SECONDS,
    SET,
    SKIP_NUMBER,
    SKIP_TEXT,
    SKIP_WORD,
    WHOLE,
    WIDTH,
    WORD,
    as_words,
)

F = TypeVar("F", bound=Callable[..., Any])

_POWERS = 10.0 ** np.arange(19)
_TENS = 10 ** np.arange(10)
_EXACT_MAX = 1 << 53
_DIGITS_MAX = 18
_SECONDS_MAX = 9_223_372_035
_NS = 1_000_000_000
_HASH_FIRST, _HASH_FACTOR, _HASH_MASK = 2_166_136_261, 16_777_619, 0xFFFFFFFF
_HIGH, _LOW = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x0F0F0F0F0F0F0F0F)
_THREES, _SIXES = np.uint64(0x3030303030303030), np.uint64(0x0606060606060606)
_PAIRS, _FOURS = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF)
_BY_10, _BY_100 = np.uint64(10 << 8 | 1), np.uint64(100 << 16 | 1)
_BY_10_000 = np.uint64(10_000 << 32 | 1)
_U8, _U16, _U32 = np.uint64(8), np.uint64(16), np.uint64(32)
_TRUE = np.frombuffer(b"true", np.uint8)
_FALSE = np.frombuffer(b"false", np.uint8)
_NULL = np.frombuffer(b"null", np.uint8)


inner: Callable[[F], F] = numba.njit(
    nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)


def outer(function: F) -> F:
    """Compile a function; keep the machine code on disk where a folder can be written."""
    options = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
    try:
        found: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba has found no such folder
        found = numba.njit(**options)(function)
    return found


@inner
def take_literal(words: Any, at: int, chunks: Any, masks: Any, first: int, length: int) -> int:
    """Return the place behind a literal, -1 where it does not stand here; as all below do."""
    end = at + length
    while at < end:
        if words[at] & masks[first] != chunks[first]:
            return -1
        first += 1
        at += 8
    return end


@inner
def _same(text: Any, at: int, letters: Any, first: int, length: int) -> bool:
    """Return whether these letters stand here."""
    for k in range(length):  # noqa: SIM110 - numba knows no generators
        if text[at + k] != letters[first + k]:
            return False
    return True


@inner
def _are_digits(word: Any) -> bool:
    """Return whether all eight bytes are digits."""
    return bool((word & _HIGH) == _THREES and ((word + _SIXES) & _HIGH) == _THREES)


@inner
def _eight_digits(word: Any) -> int:
    """Return the number that eight digits are: of two, of four, of eight, each time in one go."""
    word = ((word & _LOW) * _BY_10) >> _U8
    word = ((word & _PAIRS) * _BY_100) >> _U16
    return int(((word & _FOURS) * _BY_10_000) >> _U32)


@inner
def take_whole(text: Any, words: Any, at: int) -> tuple[int, int]:
    """Return a whole number and the place behind it."""
    first = at
    value = 0
    while at < first + 16 and _are_digits(words[at]):
        value = value * 100_000_000 + _eight_digits(words[at])
        at += 8
    digit = int(text[at]) - 48
    while 0 <= digit <= 9:
        if at - first >= _DIGITS_MAX:
            return 0, -1
        value = value * 10 + digit
        at += 1
        digit = int(text[at]) - 48
    if at == first or (at > first + 1 and text[first] == 48):
        return 0, -1
    return value, at


@inner
def take_number(text: Any, at: int) -> tuple[float, int]:
    """Return the double that is nearest to a decimal, and the place behind it."""
    first = at
    mantissa = 0
    digit = int(text[at]) - 48
    while 0 <= digit <= 9:
        if at - first >= _DIGITS_MAX:
            return 0.0, -1
        mantissa = mantissa * 10 + digit
        at += 1
        digit = int(text[at]) - 48
    if at == first or (at > first + 1 and text[first] == 48):
        return 0.0, -1
    decimals = 0
    if text[at] == 46:
        point = at
        room = _DIGITS_MAX - (at - first)
        at += 1
        digit = int(text[at]) - 48
        while 0 <= digit <= 9:
            if decimals >= room:
                return 0.0, -1
            mantissa = mantissa * 10 + digit
            decimals += 1
            at += 1
            digit = int(text[at]) - 48
        if at == point + 1:
            return 0.0, -1
    while mantissa > _EXACT_MAX and decimals > 0 and mantissa % 10 == 0:
        mantissa //= 10
        decimals -= 1
    if mantissa > _EXACT_MAX:
        return 0.0, -1
    return float(mantissa) / _POWERS[decimals], at


@inner
def _fraction(text: Any, at: int) -> tuple[int, int]:
    """Return 1 to 9 decimals as billionths."""
    first = at
    value = 0
    digit = int(text[at]) - 48
    while 0 <= digit <= 9:
        if at - first >= 9:
            return 0, -1
        value = value * 10 + digit
        at += 1
        digit = int(text[at]) - 48
    if at == first:
        return 0, -1
    return value * _TENS[9 - (at - first)], at


@inner
def _digits(text: Any, at: int, length: int, then: int) -> int:
    """Return so many digits as a number; -1 where `then` does not stand behind them."""
    value = 0
    for k in range(length):
        digit = int(text[at + k]) - 48
        if not 0 <= digit <= 9:
            return -1
        value = value * 10 + digit
    return value if text[at + length] == then else -1


@inner
def take_iso(text: Any, at: int) -> tuple[int, int]:  # noqa: PLR0911 - a part after the other
    """Return the ns of a time of the years 1970 to 2261 that ends with Z."""
    year = _digits(text, at, 4, 45)
    if year < 1970 or year > 2261:
        return 0, -1
    month = _digits(text, at + 5, 2, 45)
    if month < 1 or month > 12:
        return 0, -1
    day = _digits(text, at + 8, 2, 84)
    last = 30 if month in (4, 6, 9, 11) else 31
    if month == 2:
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        last = 29 if leap else 28
    if day < 1 or day > last:
        return 0, -1
    hour = _digits(text, at + 11, 2, 58)
    if hour < 0 or hour > 23:
        return 0, -1
    minute = _digits(text, at + 14, 2, 58)
    if minute < 0 or minute > 59:
        return 0, -1
    end = 46 if text[at + 17] != 0 and text[at + 18] != 0 and text[at + 19] == 46 else 90
    second = _digits(text, at + 17, 2, end)
    if second < 0 or second > 59:
        return 0, -1
    at += 20
    fraction = 0
    if end == 46:
        fraction, at = _fraction(text, at)
        if at < 0 or text[at] != 90:
            return 0, -1
        at += 1
    # Days since 1970 of the proleptic Gregorian calendar, by years that begin in March.
    march = year - 1 if month <= 2 else year
    since = (month + 9) % 12
    days = 365 * march + march // 4 - march // 100 + march // 400
    days += (153 * since + 2) // 5 + day - 1 - 719_468
    return ((days * 24 + hour) * 60 + minute) * 60 * _NS + second * _NS + fraction, at


@inner
def take_seconds(text: Any, words: Any, at: int) -> tuple[int, int]:
    """Return seconds of ten digits and with decimals as ns."""
    first = at
    value, at = take_whole(text, words, at)
    if at != first + 10 or value > _SECONDS_MAX or text[at] != 46:
        return 0, -1
    fraction, at = _fraction(text, at + 1)
    return value * _NS + fraction, at


@inner
def take_name(text: Any, at: int, slots: Any, starts: Any, names: Any) -> tuple[int, int]:
    """Return the code of a name up to its quotation mark."""
    first = at
    mixed = _HASH_FIRST
    while text[at] != 34:
        if text[at] < 32:
            return 0, -1
        mixed = ((mixed ^ int(text[at])) * _HASH_FACTOR) & _HASH_MASK
        at += 1
    place = mixed & (len(slots) - 1)
    for _ in range(len(slots)):
        code = slots[place]
        if code < 0:
            return 0, -1
        begin = starts[code]
        if starts[code + 1] - begin == at - first and _same(text, first, names, begin, at - first):
            return code, at
        place = (place + 1) & (len(slots) - 1)
    return 0, -1


@inner
def _skip_text(text: Any, at: int) -> int:
    while text[at] != 34:
        letter = text[at]
        if letter < 32 or letter > 126 or letter in (92, 64):
            return -1
        at += 1
    return at


@inner
def _skip_number(text: Any, words: Any, at: int) -> int:
    if text[at] == 45:
        at += 1
    _, at = take_whole(text, words, at)
    if at >= 0 and text[at] == 46:
        point = at
        at += 1
        while 48 <= text[at] <= 57:
            at += 1
        if at == point + 1:
            return -1
    return at


@inner
def _skip_word(text: Any, at: int) -> int:
    if text[at] == 102:
        return at + 5 if _same(text, at, _FALSE, 0, 5) else -1
    return at + 4 if _same(text, at, _TRUE, 0, 4) or _same(text, at, _NULL, 0, 4) else -1


@inner
def take_word(text: Any, at: int) -> int:
    """Return the place behind letters, digits and underscores."""
    first = at
    letter = text[at]
    while 48 <= letter <= 57 or 65 <= letter <= 90 or 97 <= letter <= 122 or letter == 95:
        at += 1
        letter = text[at]
    return at if at > first else -1


@outer
def walk(  # noqa: PLR0912, PLR0915 - an interpreter: a branch for each step
    text: Any,
    words: Any,
    count: int,
    steps: Any,
    chunks: Any,
    masks: Any,
    layouts: Any,
    slots: Any,
    starts: Any,
    names: Any,
    seen: Any,
    used: Any,
    kinds: Any,
    places: Any,
    rows: Any,
    used_counts: Any,
    codes: Any,
    wholes: Any,
    numbers: Any,
    level_wholes: Any,
    level_numbers: Any,
) -> int:
    """Read frames; return how many levels were written, -1 where there is another zero byte.

    `text` is that of `count` frames, each with a zero byte behind it, and seven more; `words` its
    eight bytes from each place on, but the last seven. `layouts` are (first step, step behind
    the last, table). `slots`, `starts`, `names`, of names, are those of `names.Names`. Written are
    `kinds` (count); and of each table, `rows` how many; `places` which frame each row is;
    `codes` its name, by the place of it among the names that the table has `used`, of which there
    are `used_counts`; `wholes` and `numbers`, (table, column, row). `seen` (table, name) is -1 all
    over before and after.
    """
    behind = 0
    levels = 0
    room = level_wholes.shape[1]
    for frame in range(count):
        begin = behind
        kind = -1
        for layout in range(len(layouts)):
            step, stop, table = layouts[layout]
            row = rows[table]
            at = begin
            level = levels
            first_level = levels
            name = -1
            while step < stop and at >= 0:
                op = steps[step, 0]
                column = steps[step, 3]
                in_level = steps[step, 4] != 0
                here = level if in_level else row
                whole = 0
                is_whole = False
                if op == LITERAL:
                    at = take_literal(words, at, chunks, masks, steps[step, 1], steps[step, 2])
                elif op == NUMBER:
                    number, at = take_number(text, at)
                    if steps[step, 1] and number == 0.0:
                        at = -1
                    if in_level:
                        level_numbers[column, here] = number
                    else:
                        numbers[table, column, here] = number
                elif op == NEXT:
                    level += 1
                    if text[at] == 44 and level < room:
                        at += 1
                        step = steps[step, 1]
                        continue
                    if text[at] != 93:
                        at = -1
                        break
                    at += 1
                    whole, is_whole = level - first_level, True
                elif op == LADDER:
                    first_level = level
                    if text[at] != 91 or level >= room:
                        at = -1
                        break
                    at += 1
                    if text[at] == 93:
                        at += 1
                        wholes[table, column, row] = 0
                        step = steps[step, 1]
                        continue
                elif op == SET:
                    whole, is_whole = steps[step, 1], True
                elif op == WHOLE:
                    whole, at = take_whole(text, words, at)
                    if whole > steps[step, 1]:
                        at = -1
                    is_whole = True
                elif op == NAME:
                    name, at = take_name(text, at, slots, starts, names)
                elif op == WORD:
                    at = take_word(text, at)
                elif op == SKIP_TEXT:
                    at = _skip_text(text, at)
                elif op == SKIP_NUMBER:
                    at = _skip_number(text, words, at)
                elif op == SKIP_WORD:
                    at = _skip_word(text, at)
                elif op == SECONDS:
                    whole, at = take_seconds(text, words, at)
                    is_whole = True
                elif op == ISO:
                    whole, at = take_iso(text, at)
                    is_whole = True
                elif op == FLAG:
                    whole = 1 if text[at] == 116 else 0
                    at = _skip_word(text, at) if text[at] != 110 else -1
                    is_whole = True
                elif op == CHOICE:
                    choices = steps[step, 1]
                    found = -1
                    for choice in range(step + 1, step + 1 + choices):
                        first, length = steps[choice, 1], steps[choice, 2]
                        found = take_literal(words, at, chunks, masks, first, length)
                        if found >= 0:
                            whole, is_whole = steps[choice, 3], True
                            break
                    at = found
                    step += choices
                if is_whole:
                    if in_level:
                        level_wholes[column, here] = whole
                    else:
                        wholes[table, column, here] = whole
                step += 1
            if at >= 0 and text[at] == 0 and name >= 0:
                kind = table
                levels = level
                behind = at + 1
                local = seen[table, name]
                if local < 0:
                    local = used_counts[table]
                    seen[table, name] = local
                    used[table, local] = name
                    used_counts[table] = local + 1
                codes[table, row] = local
                places[table, row] = frame
                rows[table] = row + 1
                break
        kinds[frame] = kind
        if kind < 0:
            while text[behind] != 0:
                behind += 1
            behind += 1
    for table in range(len(rows)):
        for place in range(used_counts[table]):
            seen[table, used[table, place]] = -1
    return levels if behind + 7 == len(text) else -1


def load() -> Callable[..., int]:
    """Return the walk, compiled for the arrays that `reader` hands in by walking over nothing."""
    text, words = as_words(bytes(16))
    none = np.empty(0, np.int64)
    names, codes = np.empty((1, 0), np.int32), np.empty((1, 1), np.int32)
    walk(
        text, words, 1,
        none.reshape(0, WIDTH), none.view(np.uint64), none.view(np.uint64), none.reshape(0, 3),
        np.full(1, -1, np.int32), np.zeros(1, np.int64), text,
        names, names, np.empty(1, np.int64), np.empty((1, 1), np.int64),
        np.zeros(1, np.int64), np.zeros(1, np.int64), codes,
        np.empty((1, 1, 1), np.int64), np.empty((1, 1, 1)),
        none.reshape(0, 0), np.empty((0, 0)),
    )  # fmt: skip
    return walk
