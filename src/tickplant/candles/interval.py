"""Intervals: how long a candle is, as text and as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from tickplant.model.errors import InvalidParameter
from tickplant.model.times import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S

UNITS = ("s", "m", "h", "d", "w", "mo")
"""Seconds, minutes, hours, days, weeks, months."""

COUNT_MAX = {"s": 315_360_000, "m": 5_256_000, "h": 87_600, "d": 3_650, "w": 520, "mo": 120}
"""The largest count of each unit: ten years."""

MEASURES = {"t": "count", "v": "volume", "$": "value"}
"""What bars by activity add up, by the unit of their interval."""

ALLOWED = (
    "a whole number and a unit in lower case: s, m, h, d, w or mo "
    "(90s, 1m, 7h, 1d, 2w, 3mo), at most ten years; or a count of events, a volume or a value "
    "(100t, 10000v, 1000000$)"
)

PATTERN = r"^([1-9][0-9]*(s|m|h|d|w|mo|t)|(0|[1-9][0-9]*)(\.[0-9]+)?(v|\$))$"
"""What the text of an interval looks like, as OpenAPI is told."""

_STEP_NS = {"s": NS_PER_S, "m": NS_PER_MINUTE, "h": NS_PER_HOUR}
_DAYS_MAX = {"d": 1, "w": 7, "mo": 31}
_MONDAY = 4  # 1970-01-05
_TEXT = re.compile(r"([1-9][0-9]{0,8})(s|mo|m|h|d|w)\Z", re.ASCII)
_ACTIVITY = re.compile(
    r"(?:([1-9][0-9]{0,14})(t)|((?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,12})?)(v|\$))\Z", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of a candle: `count` times `unit`. `str()` gives the canonical text.

    `1m` and `60s` are different intervals, though their candles are the same. Raises
    `InvalidParameter` where the count or the unit is not allowed.
    """

    count: int
    unit: str

    def __post_init__(self) -> None:
        if self.unit not in COUNT_MAX or not 1 <= self.count <= COUNT_MAX[self.unit]:
            raise InvalidParameter("interval", f"{self.count}{self.unit}", ALLOWED)

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @property
    def step_ns(self) -> int:
        """Length in nanoseconds of an interval of s, m or h; 0 for those that the calendar sets."""
        return self.count * _STEP_NS.get(self.unit, 0)

    @property
    def length_ns_max(self) -> int:
        """An upper bound of the length in nanoseconds, not counting changes of the clock."""
        return self.step_ns or self.count * _DAYS_MAX[self.unit] * NS_PER_DAY

    @property
    def epoch_date(self) -> int:
        """The date, in days since 1970-01-01, from which days, weeks and months are counted."""
        return _MONDAY if self.unit == "w" else 0

    def period_of(self, dates: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of the candle of d, w or mo that each date is in.

        Dates are days since 1970-01-01. Candles of months are counted from January 1970.
        """
        if self.unit == "mo":
            months = dates.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
            return months // self.count
        return (dates - self.epoch_date) // (self.count * _DAYS_MAX[self.unit])


@dataclass(frozen=True, slots=True)
class Activity(Interval):
    """The trading day, cut wherever its events add up to `threshold`; see `activity.py`.

    `measure` is a unit of `MEASURES`. A grid of it is that of the days. `str()` gives the canonical
    text, in which `10.50v` is `10.5v`.
    """

    threshold: float
    measure: str

    def __str__(self) -> str:
        return f"{Decimal(repr(self.threshold)).normalize():f}{self.measure}"


def parse_interval(text: str, name: str = "interval") -> Interval:
    """Return the interval that `text` names; raises `InvalidParameter` with `name`."""
    match = _TEXT.match(text) if isinstance(text, str) else None
    if match is None:
        activity = _parse_activity(text) if isinstance(text, str) else None
        if activity is None:
            raise InvalidParameter(name, text, ALLOWED)
        return activity
    count, unit = int(match[1]), match[2]
    if count > COUNT_MAX[unit]:
        raise InvalidParameter(name, text, f"{ALLOWED}; {COUNT_MAX[unit]} for {unit}")
    return Interval(count, unit)


def _parse_activity(text: str) -> Activity | None:
    match = _ACTIVITY.match(text)
    if match is None:
        return None
    threshold = float(match[1] or match[3])
    return Activity(1, "d", threshold, match[2] or match[4]) if threshold > 0 else None
