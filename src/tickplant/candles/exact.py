"""Sums that do not depend on the order or the grouping of what is added.

A sum is a fixed-point integer of 192 bits in units of 2^-96, held as six digits in base 2^32, one
int64 each: digit k counts units of 2^(32k - 96). A float64 is 53 bits at some power of two, so it
is split onto at most three digits without any rounding, and adding sums is adding integers, which
is associative and commutative. Only publishing rounds, once, to the nearest float64 (ties to
even): the result is that of `math.fsum`.

After each addition carries are passed on, so that the five lower digits are within [0, 2^32) and
the top one has the sign. That form is unique: equal sums have equal digits. Between two carries
2^31 sums can be added without overflow.

Domain: exact while every value is a multiple of 2^-96 below 2^96 in magnitude; every float64
from 2^-44 (6e-14) to 2^96 (8e28) is. Of smaller values the bits below 2^-96 are cut off, larger
ones and infinities count as 2^96 - 2^43, NaN as 0. All of that is done to each value by itself,
so that a sum remains independent of order even where it is no longer exact. The checks let
prices up to 1e12 and sizes up to 1e15 in, hence notionals up to 1e27.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DIGITS = 6
BITS = 32
UNIT_EXPONENT = -96
_EXACT_ROWS = 1 << 20  # as many digits add up exactly in float64

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_BASE = 2.0**BITS
ONES = -UNIT_EXPONENT // BITS  # the digit that counts units of 1
LARGEST = 2.0**96 - 2.0**43
_LOW_BITS = 2**BITS - 1
_MASK = np.int64(_LOW_BITS)
UNITS = 2.0**-UNIT_EXPONENT
_FEW = 24  # so many are handled sooner by Python's integers
_NARROW = 1 << 21  # two digits of which the upper one is below this are 53 bits, a float64
_BEYOND = (1 << 11) - 1  # the bits of a lower digit that a float64 of two digits has no room for
_SMALL = 1_024  # so many fit one check of all digits


def sum_groups(values: Floats, groups: Ints) -> Ints:
    """Return the digits, shape (6, g), of the sums of `values[groups[i]:groups[i + 1]]`.

    `values` has shape (n,), n < 2^31, without NaN; `groups` rises strictly from 0.
    """
    if values.size <= _FEW:
        return _sum_few(values.tolist(), groups.tolist())
    digits = np.zeros((DIGITS, groups.size), np.int64)
    top = max(float(values.max()), -float(values.min()))
    if top > LARGEST:
        values = np.clip(values, -LARGEST, LARGEST)
        top = LARGEST
    k = ONES
    while top >= _BASE:
        top /= _BASE
        k += 1
    wide = values.size > _EXACT_ROWS and np.diff(groups, append=values.size).max() > _EXACT_ROWS
    rest = values if k == ONES else values * _BASE ** (ONES - k)
    while True:
        whole = np.trunc(rest)
        digits[k] = np.add.reduceat(whole.astype(np.int64) if wide else whole, groups)
        rest = np.subtract(rest, whole, out=whole)
        if k == 0 or not (rest != 0).any():
            break
        rest *= _BASE
        k -= 1
    return carry(digits)


def _sum_few(values: list[float], groups: list[int]) -> Ints:
    """Sum with Python's integers, which begin sooner than array functions do."""
    digits = np.empty((DIGITS, len(groups)), np.int64)
    for i, (first, end) in enumerate(zip(groups, [*groups[1:], len(values)], strict=True)):
        total = sum(int(min(max(value, -LARGEST), LARGEST) * UNITS) for value in values[first:end])
        for k in range(DIGITS - 1):
            digits[k, i] = total & _LOW_BITS
            total >>= BITS
        digits[DIGITS - 1, i] = total
    return digits


def carry(digits: Ints) -> Ints:
    """Bring digits, shape (..., 6, n), into their unique form, in place, and return them."""
    if digits.shape[-1] <= _SMALL and not (digits[..., : DIGITS - 1, :] >> BITS).any():
        return digits
    for k in range(DIGITS - 1):
        digit = digits[..., k, :]
        over = digit >> BITS
        if over.any():
            digit &= _MASK
            digits[..., k + 1, :] += over
    return digits


def publish(digits: Ints) -> Floats:
    """Return the nearest float64, shape (n,), of digits in unique form, shape (6, n)."""
    if digits.shape[1] <= _FEW:
        return np.array([_publish_one(column) for column in digits.T.tolist()], np.float64)
    if not digits[:ONES].any() and not digits[ONES + 1 :].any():
        ones: Ints = digits[ONES]
        return ones.astype(np.float64)
    parted = _in_two_parts(digits)
    if parted is not None:
        return parted
    negative = digits[-1] < 0
    if negative.any():
        digits = carry(np.where(negative, -digits, digits))
    values = _round(digits)
    return np.where(negative, -values, values)


def whole(digits: Ints) -> list[int]:
    """Return digits, shape (6, n), as n integers in units of 2^-96."""
    return [_join(column) for column in digits.T.tolist()]


def _publish_one(column: list[int]) -> float:
    return _join(column) / (1 << -UNIT_EXPONENT)  # Python rounds it correctly


def _join(column: list[int]) -> int:
    total = 0
    for digit in reversed(column):
        total = (total << BITS) + digit
    return total


def _in_two_parts(digits: Ints) -> Floats | None:
    """Return the sums where each is that of two numbers that are float64 exactly; else None.

    Adding those two rounds once and correctly. Nearly all sums of decimal prices and sizes are such
    ones: their bits end well above the last digit, or they are small.
    """
    if digits[0].any() or digits[5].any():
        return None
    if not (digits[1] & _BEYOND).any() and digits[4].max() < _NARROW:
        low = (digits[2] << BITS | digits[1]).view(np.uint64)
        ones = digits[4] << BITS | digits[3]
        parted: Floats = ones.astype(np.float64) + low.astype(np.float64) * _BASE**-2
        return parted
    if not digits[4].any() and digits[3].max() < _NARROW:
        high = (digits[3] << BITS | digits[2]).astype(np.float64)
        parted = high / _BASE + digits[1].astype(np.float64) * _BASE**-2
        return parted
    return None


def _round(digits: Ints) -> Floats:
    """Round sums >= 0. The 64 bits from the highest set one on, the lowest of them made sticky
    (set where anything below is), are rounded correctly by the conversion from uint64.
    """
    if (digits[-1] >> BITS).any():  # the top digit of a huge sum is two
        digits = np.vstack([digits[:-1], digits[-1:] & _MASK, digits[-1:] >> BITS])
    rows = np.arange(digits.shape[1])
    used = digits != 0
    used[2] |= ~used.any(axis=0)  # nothing to round in 0; any place will do
    high = np.maximum(len(digits) - 1 - np.argmax(used[::-1], axis=0), 2)
    first, second, third = (digits[high - i, rows].astype(np.uint64) for i in range(3))
    shift = _leading_zeros(first)
    window = (first << np.uint64(32) | second) << shift
    window |= (third << shift) >> np.uint64(32)
    below = (third << shift) & np.uint64(_MASK) != 0
    lower = np.logical_or.accumulate(used, axis=0)
    below |= (high > 2) & lower[np.maximum(high - 3, 0), rows]
    window |= below.astype(np.uint64)
    exponent = BITS * (high - 1) + UNIT_EXPONENT - shift.astype(np.int64)
    values: Floats = np.ldexp(window.astype(np.float64), exponent)
    return values


def _leading_zeros(digit: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return how far a digit below 2^32 can be shifted up within 32 bits; 0 gives 32."""
    return (32 - np.frexp(digit.astype(np.float64))[1]).astype(np.uint64)
