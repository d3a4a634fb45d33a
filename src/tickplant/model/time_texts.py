"""Many times as text at once: characters are looked up in tables.

2014-05-07 │ T17:03 │ :04 │ .123 │ 456 │ 7 │ Z
by day       by minute  by second  by three digits of the fraction, without its last zeros
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Chars = NDArray[np.uint8]
Ints = NDArray[np.int64]

_NS_PER_S = 1_000_000_000
_DAY_S = 86_400
DAYS_MAX = 8_192
"""A longer span of days than this, and than there are times, is not made a table of."""

LENGTH_MAX = 30
_SECOND, _FRACTION = 19, 20
"""Where the text of a whole second ends, and where the digits of a fraction begin."""


def _chars(texts: list[str]) -> Chars:
    """Return texts of the same length as rows of characters."""
    return np.array(texts, dtype=np.bytes_).view(np.uint8).reshape(len(texts), -1)


_MINUTES = _chars([f"T{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60)])
_SECONDS = _chars([f":{second:02d}" for second in range(60)])
_THREE = _chars([f"{number:03d}" for number in range(1_000)])
_DIGITS = np.array([len(f"{number:03d}".rstrip("0")) for number in range(1_000)])
"""Digits of three that are left without the zeros at their end."""


def time_chars(ns: Ints) -> tuple[Chars, Ints] | None:
    """Return RFC 3339 UTC of each time, as `format_time` has it.

    `ns` is nanoseconds since 1970, of years of four digits, shape (n,) with n > 0. What comes back
    are ASCII characters, shape (n, `LENGTH_MAX`), and how many of each row count, shape (n,). None
    where the times lie so far apart that another way is better.
    """
    seconds = ns // _NS_PER_S
    days = seconds // _DAY_S
    low, high = int(days.min()), int(days.max())
    if high - low > max(DAYS_MAX, ns.size):
        return None
    chars = np.empty((ns.size, LENGTH_MAX), np.uint8)
    chars[:, :10] = _days(low, high)[days - low]
    within = seconds - days * _DAY_S
    minutes = within // 60
    chars[:, 10:16] = _MINUTES[minutes]
    chars[:, 16:_SECOND] = _SECONDS[within - minutes * 60]
    fraction = ns - seconds * _NS_PER_S
    lengths = np.full(ns.size, _SECOND)
    if fraction.any():
        lengths += _put_fraction(chars, fraction)
    chars[np.arange(ns.size), lengths] = ord("Z")
    return chars, lengths + 1


def time_texts(ns: Ints) -> list[str] | None:
    """Return what `time_chars` returns, as texts."""
    found = time_chars(ns)
    if found is None:
        return None
    chars, lengths = found
    longest = int(lengths.max())
    wide = chars[:, :longest].astype(np.uint32)
    if int(lengths.min()) < longest:
        wide[np.arange(longest) >= lengths[:, None]] = 0  # which NumPy takes off the end
    texts: list[str] = wide.view(f"U{longest}").ravel().tolist()
    return texts


def _put_fraction(chars: Chars, fraction: Ints) -> Ints:
    """Write the digits behind the second; return how many characters that is, with the point."""
    micros = fraction // 1_000
    parts = fraction // 1_000_000, micros % 1_000, fraction - micros * 1_000
    chars[:, _SECOND] = ord(".")
    digits = np.zeros(len(fraction), np.int64)
    for place, part in enumerate(parts):
        first = _FRACTION + 3 * place
        chars[:, first : first + 3] = _THREE[part]
        digits = np.where(part > 0, 3 * place + _DIGITS[part], digits)
    return np.where(digits > 0, digits + 1, 0)


def _days(low: int, high: int) -> Chars:
    days = np.arange(low, high + 1).astype("datetime64[D]")
    return np.datetime_as_string(days).astype("S10").view(np.uint8).reshape(-1, 10)
