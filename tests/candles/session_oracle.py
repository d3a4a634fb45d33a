"""What bars of exchange sessions must be: the library's own schedule, walked through in Python."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from candle_oracle import STEP_S, period_of, to_ns

NS = 1_000_000_000


@dataclass(frozen=True)
class Session:
    """A session: its date and when it is open, one span or, with a break, two."""

    label: date
    spans: tuple[tuple[int, int], ...]

    @property
    def open(self) -> int:
        return self.spans[0][0]

    @property
    def close(self) -> int:
        return self.spans[-1][1]


@lru_cache(maxsize=16)
def _calendar(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import exchange_calendars

        return exchange_calendars.get_calendar(name, start="2009-01-01", end="2025-12-31")


@lru_cache(maxsize=16)
def sessions_of(name: str) -> tuple[Session, ...]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        rows = [
            (
                label.date(),
                *(None if str(time) == "NaT" else to_ns(time.to_pydatetime()) for time in row),
            )
            for label, *row in _calendar(name).schedule.itertuples()
        ]
    return tuple(
        Session(label, ((opened, closed),) if pause is None else ((opened, pause), (again, closed)))
        for label, opened, pause, again, closed in rows
    )


@lru_cache(maxsize=4)
def new_york_extended() -> tuple[Session, ...]:
    def clock(label: date, hour: int) -> int:
        local = datetime(label.year, label.month, label.day, hour, tzinfo=ZoneInfo("US/Eastern"))
        return to_ns(local.astimezone(UTC))

    return tuple(
        Session(
            one.label,
            ((clock(one.label, 4), clock(one.label, 17 if _is_early(one) else 20)),),
        )
        for one in sessions_of("XNYS")
    )


def _is_early(session: Session) -> bool:
    return session.close - session.open < timedelta(hours=6) // timedelta(seconds=1) * NS


def bar_of(sessions: tuple[Session, ...], t: int, count: int, unit: str) -> tuple[int, int] | None:
    """Start and end of the bar that an event at `t` counts in, None where it counts in none."""
    for session in sessions:
        for opened, closed in session.spans:
            if opened <= t < closed:
                if unit in STEP_S:
                    step = count * STEP_S[unit] * NS
                    start = opened + (t - opened) // step * step
                    return start, min(start + step, closed)
                return _period_bar(sessions, session.label, count, unit)
    return None


def _period_bar(
    sessions: tuple[Session, ...], label: date, count: int, unit: str
) -> tuple[int, int]:
    period = period_of(label, count, unit)
    mine = [one for one in sessions if period_of(one.label, count, unit) == period]
    return mine[0].open, mine[-1].close
