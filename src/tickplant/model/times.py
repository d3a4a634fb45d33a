"""Times are int64 nanoseconds UTC; they become text here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray

from tickplant.model.errors import InvalidParameter
from tickplant.model.time_texts import time_texts

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
NS_PER_MINUTE = 60 * NS_PER_S
NS_PER_HOUR = 3_600 * NS_PER_S
NS_PER_DAY = 86_400 * NS_PER_S

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)

_FEW = 16  # so many times are sooner turned to text one by one

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = re.compile(r"[+-]?\d{1,19}\Z")
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(Z|z|[+-]\d\d:?\d\d)?)?\Z"
)
ALLOWED = "RFC 3339 with a zone (2014-05-07T00:00:00Z) or integer nanoseconds since 1970 UTC"


def parse_time(value: object, name: str = "time", *, where: str = "query") -> int:
    """Return the time as nanoseconds since the epoch, UTC.

    Takes an `int`, a string of digits, an aware `datetime`, or RFC 3339 text with a zone.
    Raises `InvalidParameter` for anything else; a naive time is refused, never guessed.
    """
    if isinstance(value, bool):
        raise InvalidParameter(name, value, ALLOWED, where=where)
    if isinstance(value, int | np.integer):
        return _in_range(int(value), value, name, where)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InvalidParameter(name, value.isoformat(), ALLOWED, where=where)
        return _in_range(_from_datetime(value), value, name, where)
    if not isinstance(value, str):
        raise InvalidParameter(name, value, ALLOWED, where=where)
    text = value.strip()
    if _INTEGER.match(text):
        return _in_range(int(text), value, name, where)
    return _parse_text(text, name, where)


def _parse_text(text: str, name: str, where: str) -> int:
    match = _RFC3339.match(_mend_plus(text))
    if match is None:
        raise InvalidParameter(name, text, ALLOWED, where=where)
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if zone is None:
        raise InvalidParameter(name, text, f"{ALLOWED}; this time has no zone", where=where)
    try:
        whole = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            tzinfo=_zone(zone),
        )
    except ValueError as fault:
        raise InvalidParameter(name, text, f"{ALLOWED} ({fault})", where=where) from None
    nanoseconds = int((fraction or "").ljust(9, "0") or 0)
    return _in_range(_from_datetime(whole) + nanoseconds, text, name, where)


def _mend_plus(text: str) -> str:
    # A "+" of an offset reaches us as a blank when a client forgets to escape it in a URL.
    return re.sub(r"(?<=[\d]) (?=\d\d:?\d\d\Z)", "+", text) if "T" in text else text


def _zone(text: str) -> timezone:
    if text in "Zz":
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if minutes > 59:
        raise ValueError("minutes of an offset are 00 to 59")
    return timezone((-1 if text[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes))


def _from_datetime(value: datetime) -> int:
    delta = value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS_PER_S + delta.microseconds * 1_000


def _in_range(ns: int, value: object, name: str, where: str) -> int:
    if not INT64_MIN < ns < INT64_MAX:
        raise InvalidParameter(name, value, "a time from 1678 to 2262", where=where)
    return ns


def format_time(ns: int) -> str:
    """Return RFC 3339 UTC with `Z` and as many fractional digits as needed."""
    whole, fraction = divmod(int(ns), NS_PER_S)
    text = (_EPOCH + timedelta(seconds=whole)).isoformat()[:19]
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def format_times(ns: NDArray[np.int64] | Sequence[int]) -> list[str]:
    """Return `format_time` of each element; `ns` is int64 of shape (n,)."""
    array = np.asarray(ns, dtype=np.int64)
    if array.size <= _FEW:
        return [format_time(value) for value in array.tolist()]
    found = time_texts(array)
    if found is not None:
        return found
    texts = np.datetime_as_string(array.view("datetime64[ns]"))
    return [text.rstrip("0").rstrip(".") + "Z" for text in texts.tolist()]


def utc_day(ns: int) -> str:
    """Return the UTC day of a time as `YYYY-MM-DD`."""
    return format_time(ns - ns % NS_PER_DAY)[:10]
