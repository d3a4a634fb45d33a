"""Many whole seconds as text at once: characters are looked up in tables.

2014-05-07 │ T17:03 │ :04 │ Z
by day       by minute  by second
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Chars = NDArray[np.uint32]
Ints = NDArray[np.int64]

_DAY_S = 86_400
DAYS_MAX = 8_192
"""A longer span of days than this, and than there are times, is not made a table of."""

_LENGTH = 20


def _chars(texts: list[str]) -> Chars:
    """Return texts of the same length as rows of characters."""
    return np.array(texts).view(np.uint32).reshape(len(texts), -1)


_MINUTES = _chars([f"T{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60)])
_SECONDS = _chars([f":{second:02d}Z" for second in range(60)])


def second_texts(seconds: Ints) -> list[str] | None:
    """Return RFC 3339 UTC of each number of seconds since 1970, of years of four digits.

    Shape (n,), n > 0. None where they lie so far apart that another way is better.
    """
    days = seconds // _DAY_S
    low, high = int(days.min()), int(days.max())
    if high - low > max(DAYS_MAX, seconds.size):
        return None
    chars = np.empty((seconds.size, _LENGTH), np.uint32)
    chars[:, :10] = _days(low, high)[days - low]
    within = seconds - days * _DAY_S
    minutes = within // 60
    chars[:, 10:16] = _MINUTES[minutes]
    chars[:, 16:] = _SECONDS[within - minutes * 60]
    texts: list[str] = chars.view(f"U{_LENGTH}").ravel().tolist()
    return texts


def _days(low: int, high: int) -> Chars:
    days = np.arange(low, high + 1).astype("datetime64[D]")
    return np.datetime_as_string(days).astype("U10").view(np.uint32).reshape(-1, 10)
