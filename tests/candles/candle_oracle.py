"""What candles must be, in plain Python: `datetime`, `zoneinfo`, `fractions`, nothing of ours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

NS = 1_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEP_S = {"s": 1, "m": 60, "h": 3_600}


def to_ns(moment: datetime) -> int:
    delta = moment - EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS + delta.microseconds * 1_000


def ns(text: str) -> int:
    return to_ns(datetime.fromisoformat(text))


@dataclass(frozen=True)
class Origin:
    zone: str
    hour: int
    minute: int

    def day(self, label: date) -> int:
        """Start of the trading day that is called `label`."""
        on = label - timedelta(days=1) if self.hour >= 12 else label
        clock = datetime(on.year, on.month, on.day, self.hour, self.minute)
        return to_ns(clock.replace(tzinfo=ZoneInfo(self.zone)).astimezone(UTC))

    def label(self, t: int) -> date:
        """The trading day in which `t` is."""
        guess = (EPOCH + timedelta(seconds=t // NS)).date() + timedelta(days=4)
        while self.day(guess) > t:
            guess -= timedelta(days=1)
        return guess


def period_of(label: date, count: int, unit: str) -> int:
    if unit == "d":
        return (label - date(1970, 1, 1)).days // count
    if unit == "w":
        return (label - date(1970, 1, 5)).days // 7 // count
    return ((label.year - 1970) * 12 + label.month - 1) // count


def first_label(period: int, count: int, unit: str) -> date:
    if unit == "d":
        return date(1970, 1, 1) + timedelta(days=period * count)
    if unit == "w":
        return date(1970, 1, 5) + timedelta(weeks=period * count)
    year, month = divmod(period * count, 12)
    return date(1970 + year, month + 1, 1)


def bucket(t: int, count: int, unit: str, origin: Origin) -> tuple[int, int]:
    """Start and end of the candle of `t`."""
    if unit in STEP_S:
        return _elapsed(t, count * STEP_S[unit] * NS, origin)
    period = period_of(origin.label(t), count, unit)
    following = period + 1
    start = origin.day(first_label(period, count, unit))
    while (end := origin.day(first_label(following, count, unit))) <= start:
        following += 1
    return start, end


def _elapsed(t: int, step: int, origin: Origin) -> tuple[int, int]:
    if step > 86_400 * NS:
        begin = origin.day(date(1970, 1, 1))
        start = begin + (t - begin) // step * step
        return start, start + step
    label = origin.label(t)
    begin = origin.day(label)
    following = label + timedelta(days=1)
    while (tomorrow := origin.day(following)) <= begin:
        following += timedelta(days=1)
    start = begin + (t - begin) // step * step
    return start, min(start + step, tomorrow)


@dataclass(frozen=True)
class Row:
    instrument: int
    ts: int
    seq: int
    price: float
    size: float


def candles(
    rows: Iterable[Row], count: int, unit: str, origin: Origin
) -> dict[tuple[int, int], tuple[float, ...]]:
    """(instrument, start) -> open, high, low, close, volume, notional, count, revision."""
    grouped: dict[tuple[int, int], list[Row]] = {}
    for row in rows:
        if not math.isnan(row.price):
            start = bucket(row.ts, count, unit, origin)[0]
            grouped.setdefault((row.instrument, start), []).append(row)
    return {key: candle(grouped[key]) for key in sorted(grouped)}


def candle(rows: list[Row]) -> tuple[float, ...]:
    ordered = sorted(rows, key=lambda row: (row.ts, row.seq))
    prices = [row.price for row in ordered]
    sized = [row for row in ordered if not math.isnan(row.size)]
    return (
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        math.fsum(row.size for row in sized),
        math.fsum(row.price * row.size for row in sized),
        len(rows),
        max(row.seq for row in rows),
    )
