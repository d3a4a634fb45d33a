"""What a JSON document says, as the number or time that it means."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from typing import Any

from tickplant.model.errors import InvalidParameter
from tickplant.model.times import INT64_MAX, parse_time

UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds in a unit of time."""

TIME_UNITS = ("auto", *UNITS)
_AUTO = ((10**11, "s"), (10**14, "ms"), (10**17, "us"))


def read_number(value: Any) -> float | None:
    """Return a number or the text of one; None for null. Raises `ValueError` for all else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r:.60} is not a number")
    try:
        found = float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r:.60} is not a number") from None
    if not math.isfinite(found):
        raise ValueError(f"{value!r:.60} is not a finite number")
    return found


def read_time(value: Any, unit: str) -> int | None:
    """Return ns UTC of RFC 3339 with a zone, or of a count of `unit` since 1970; None for null.

    With `auto` the size of the count tells its unit, right for any time from 1973 to 5138. Raises
    `ValueError`.
    """
    if value is None:
        return None
    if isinstance(value, str) and not value.strip().replace(".", "", 1).isdigit():
        try:
            return parse_time(value.strip())
        except InvalidParameter as fault:
            raise ValueError(f"{value!r:.60} is not a time ({fault})") from None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r:.60} is not a time")
    try:
        count = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r:.60} is not a time") from None
    if not count.is_finite() or count < 0:
        raise ValueError(f"{value!r:.60} is not a time")
    if unit == "auto":
        unit = next((name for bound, name in _AUTO if count < bound), "ns")
    found = int(count * UNITS[unit])
    if found > INT64_MAX:
        raise ValueError(f"{value!r:.60} is not a time: it lies after 2262")
    return found
