"""Exchange calendars: the sessions of a market, as columns, from the library exchange_calendars.

The library is an extra (`tickplant[calendars]`) and is imported where the first calendar is asked
for; it brings pandas and takes about a second. What is taken from it is kept: one `Schedule` a
calendar, which is plain NumPy.

How far a calendar reaches. The library would look 20 years back and one year ahead of today, which
makes bars depend on the day on which a program was started. Here a calendar reaches from 1970 to
2049, or as far as the library knows it at all (`bound_min`, `bound_max`). Sessions that lie ahead
follow the exchange's rules as they stand; nothing is made of them before events come.
"""

from __future__ import annotations

import difflib
import warnings
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.days import days_of
from tickplant.model.errors import (
    Complaint,
    InvalidParameter,
    NotInstalled,
    UserError,
    shorten,
)
from tickplant.model.times import INT64_MIN

Ints = NDArray[np.int64]

REGULAR, EXTENDED, ALL = "regular", "extended", "all"
SESSIONS = (REGULAR, EXTENDED, ALL)

FIRST_DATE, LAST_DATE = "1970-01-01", "2049-12-31"
_NAMED, _LOOKED_AT = 5, 32
_LOADING = Lock()


class Hours(NamedTuple):
    """Pre- and after-market hours on the clock of the exchange, in minutes after midnight.

    On a day whose session closes before `close`, they end at `after_early`.
    """

    before: int
    close: int
    after: int
    after_early: int


# The library knows no such hours. These are the widest of the exchanges that share the calendar:
# NYSE Arca's early and late trading sessions (nyse.com, "Trading Information" and "Holidays &
# Trading Hours") and Nasdaq's pre-market and post-market sessions (nasdaqtrader.com, "Trading
# Schedule"), both 04:00 to 20:00 New York, to 17:00 where the core session ends early. In former
# years they were shorter, which only means that nothing was traded in the rest of them.
_HOURS = {"XNYS": Hours(before=4 * 60, close=16 * 60, after=20 * 60, after_early=17 * 60)}


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The sessions of a calendar, rising; arrays have shape (n,), times are ns UTC.

    `dates` count days since 1970-01-01. A session without a break has `break_ends` equal to
    `break_starts`. `day_start` is when the trading day begins on the clock of `timezone`: at
    midnight, or when the session opens where that is on the evening before. `first_date` and
    `last_date` say how far the sessions are known.
    """

    name: str
    timezone: str
    day_start: str
    first_date: int
    last_date: int
    dates: Ints
    opens: Ints
    closes: Ints
    break_starts: Ints
    break_ends: Ints


@lru_cache(maxsize=256)
def find_calendar(name: str) -> str:
    """Return the library's own name of a calendar that `name` means, in any case, by any alias.

    Raises `InvalidParameter` with the nearest names, and `UserError` without the library.
    """
    library = _library()
    known = library.get_calendar_names()
    by_name = {one.upper(): one for one in known}
    found = by_name.get(name.upper()) if isinstance(name, str) else None
    if found is None:
        near = difflib.get_close_matches(
            str(name)[:_LOOKED_AT].upper(), list(by_name), _NAMED, cutoff=0.0
        )
        allowed = (
            f"a calendar of exchange_calendars; the nearest are "
            f"{', '.join(by_name[one] for one in near)}"
        )
        raise InvalidParameter("calendar", name, allowed)
    return str(library.resolve_alias(found))


@cache
def schedule_of(name: str) -> Schedule:
    """Return all known sessions of a calendar by its own name; `find_calendar` gives that."""
    with _LOADING, warnings.catch_warnings():
        # The library uses what pandas will drop; that is its business and not our caller's.
        warnings.simplefilter("ignore", DeprecationWarning)
        return _read(name, _build(name))


@cache
def extended_of(name: str) -> Schedule:
    """Return the sessions of a calendar with its pre- and after-market hours.

    Raises `InvalidParameter` for a calendar whose hours are not known here.
    """
    hours, regular = _HOURS.get(name), schedule_of(name)
    if hours is None:
        allowed = (
            f"regular or all with {name}; pre- and after-market hours are known of "
            f"{', '.join(_HOURS)}"
        )
        raise InvalidParameter("session", EXTENDED, allowed)
    early = regular.closes < _clock(regular, hours.close)
    after = np.where(early, _clock(regular, hours.after_early), _clock(regular, hours.after))
    return Schedule(
        regular.name, regular.timezone, regular.day_start, regular.first_date, regular.last_date,
        regular.dates,
        np.minimum(regular.opens, _clock(regular, hours.before)),
        np.maximum(regular.closes, after),
        regular.break_starts, regular.break_ends,
    )  # fmt: skip


def _clock(schedule: Schedule, minutes: int) -> Ints:
    """Return when the exchange's clock shows this time on the date of each session."""
    first, last = int(schedule.dates[0]), int(schedule.dates[-1])
    times = days_of(schedule.timezone, minutes).on_dates(first, last + 1)
    at: Ints = times[schedule.dates - first]
    return at


def _library() -> Any:
    try:
        import exchange_calendars  # noqa: PLC0415 - an extra, and heavy
    except ImportError:
        raise NotInstalled("calendar", "exchange_calendars", "calendars") from None
    return exchange_calendars


def _build(name: str) -> Any:
    """Return the library's calendar for as many years as it has one."""
    library = _library()
    try:
        kind = type(library.get_calendar(name))
        low, high = kind.bound_min(), kind.bound_max()
        first = FIRST_DATE if low is None else max(FIRST_DATE, f"{low:%Y-%m-%d}")
        last = LAST_DATE if high is None else min(LAST_DATE, f"{high:%Y-%m-%d}")
        return kind(start=first, end=last), first, last
    except Exception as fault:  # whatever the library or pandas raises: we cannot mend it
        msg = (
            f"{name} cannot be opened by the installed exchange_calendars "
            f"{library.__version__}: {shorten(fault)}"
        )
        raise UserError(
            f"calendar: {msg}", [Complaint(("query", "calendar"), msg, name)]
        ) from fault


def _read(name: str, built: tuple[Any, str, str]) -> Schedule:
    calendar, first, last = built
    starts, ends = calendar.break_starts_nanos, calendar.break_ends_nanos
    opens = calendar.opens_nanos
    breaks = (starts != INT64_MIN) & (ends != INT64_MIN)  # "no time", as pandas has it
    evening = calendar.open_times[-1][1] if calendar.open_offset < 0 else None
    return Schedule(
        name,
        str(calendar.tz),
        f"{evening:%H:%M}" if evening else "00:00",
        _day(first),
        _day(last),
        calendar.sessions.to_numpy().astype("datetime64[D]").astype(np.int64),
        opens.astype(np.int64),
        calendar.closes_nanos.astype(np.int64),
        np.where(breaks, starts, opens),
        np.where(breaks, ends, opens),
    )


def _day(date: str) -> int:
    return int(np.datetime64(date, "D").astype(np.int64))
