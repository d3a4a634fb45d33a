"""Trading days: when each one starts, in a time zone and with a start of day of one's own.

A trading day starts when the clock on the wall of the zone shows `day_start` and lasts until the
next one starts, so it has 23 or 25 hours where the clock is changed. Two cases need a rule, and
it is the rule of RFC 5545 and of `datetime` with `fold=0`:

- a time that the clock skips is read with the offset from before the change, so the day starts
  that much later by the new clock (02:30 becomes 03:30);
- a time that the clock shows twice means the first one.

A date that the zone skipped altogether (Apia had no 2011-12-30) has no day of its own.

A day belongs to the calendar date on which it starts or, when it starts at or after 12:00, to
the next one: the day from Sunday 17:00 New York is Monday's. Weeks and months go by that date.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from threading import Lock
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from tickplant.model.errors import InvalidParameter
from tickplant.model.times import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S

Ints = NDArray[np.int64]

DATE_MIN, DATE_MAX = -106_749, 106_749
"""Dates for which day starts are known, in days since 1970-01-01: 1677-09-24 to 2262-04-09."""

UTC_NAMES = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal"})
ZONE_ALLOWED = "the name of an IANA time zone (UTC, America/New_York, Asia/Kolkata)"
DAY_START_ALLOWED = "a time of day from 00:00 to 23:59 as HH:MM"

_DAY_START = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])\Z", re.ASCII)
_MACHINE_ZONES = ("localtime", "posixrules", "posix/", "right/")
_EPOCH_ORDINAL = datetime(1970, 1, 1).toordinal()
_BLOCK_DAYS = 1_024


@dataclass(frozen=True, eq=False, slots=True)
class DayTable:
    """A run of trading days: `starts` in ns UTC, strictly rising, and their `dates`, shape (k,).

    A date is a count of days since 1970-01-01.
    """

    dates: Ints
    starts: Ints


def check_zone(name: str) -> ZoneInfo:
    """Return the zone of this name; raises `InvalidParameter`."""
    try:
        if not isinstance(name, str) or name.startswith(_MACHINE_ZONES):
            raise ValueError(name)
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidParameter("timezone", name, ZONE_ALLOWED) from None


def check_day_start(text: str) -> int:
    """Return the minutes after midnight of `HH:MM`; raises `InvalidParameter`."""
    match = _DAY_START.match(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidParameter("day_start", text, DAY_START_ALLOWED)
    return int(match[1]) * 60 + int(match[2])


class Days:
    """The trading days of one zone and day start, computed where they are asked for and kept.

    Any thread may ask. The table grows to one run over all that was asked for, at most
    `DATE_MAX - DATE_MIN` days (3.4 MB).
    """

    def __init__(self, timezone: str, day_start_minutes: int) -> None:
        self._zone = None if timezone in UTC_NAMES else check_zone(timezone)
        self._minutes = day_start_minutes
        self.date_shift = 1 if day_start_minutes >= 12 * 60 else 0
        self._lock = Lock()
        self._first = self._last = 0
        self._table = DayTable(np.empty(0, np.int64), np.empty(0, np.int64))

    def start_of(self, date: int) -> int:
        """Return when the trading day of `date` starts."""
        return int(self.on_dates(date - self.date_shift, date - self.date_shift + 1)[0])

    def covering(self, low: int, high: int, margin_days: int) -> DayTable:
        """Return a table that reaches `margin_days` before `low` and beyond `high`, both ns."""
        first = max((low // NS_PER_DAY - margin_days - 3) // _BLOCK_DAYS * _BLOCK_DAYS, DATE_MIN)
        last = -(-(high // NS_PER_DAY + margin_days + 4) // _BLOCK_DAYS) * _BLOCK_DAYS
        last = min(last, DATE_MAX + 1)
        with self._lock:
            if first < self._first or last > self._last or not self._table.starts.size:
                self._extend(first, last)
            return self._table

    def _extend(self, first: int, last: int) -> None:
        if self._table.starts.size:
            first, last = min(first, self._first), max(last, self._last)
        # A zone that jumps over the end of a day must not let one start before the day before it.
        starts = np.maximum.accumulate(self.on_dates(first, last))
        dates = np.arange(first, last, dtype=np.int64) + self.date_shift
        keep = np.append(starts[1:] != starts[:-1], True)
        self._table = DayTable(dates[keep], starts[keep])
        self._first, self._last = first, last

    def on_dates(self, first: int, last: int) -> Ints:
        """Return when the clock shows the start of day, on each calendar date of [first, last)."""
        local = np.arange(first, last, dtype=np.int64) * NS_PER_DAY
        local += self._minutes * NS_PER_MINUTE
        if self._zone is None:
            return local
        one_day = timedelta(days=1)
        hour, minute = divmod(self._minutes, 60)
        clock = datetime.fromordinal(first + _EPOCH_ORDINAL).replace(
            hour=hour, minute=minute, tzinfo=self._zone
        )
        offsets = []
        for _ in range(first, last):
            offset = clock.utcoffset() or timedelta()
            offsets.append(offset.days * 86_400 + offset.seconds)
            clock += one_day
        return local - np.array(offsets, dtype=np.int64) * NS_PER_S


@lru_cache(maxsize=64)
def days_of(timezone: str, day_start_minutes: int) -> Days:
    """Return the shared `Days` of a zone and day start; the 64 last used are kept."""
    return Days(timezone, day_start_minutes)
