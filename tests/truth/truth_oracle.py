"""What every bar must be, in plain Python: `zoneinfo`, `bisect`, `math.fsum`, nothing of ours.

The oracle is given the events of a plant in their order (`Event`) and says what the bars of one
symbol are after the first of them up to a number. It knows nothing of batches, archives, restarts
or of the order in which bars were built.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

NS = 1_000_000_000
DAY = 86_400 * NS
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STEPS = {"s": NS, "m": 60 * NS, "h": 3_600 * NS}
Bar = dict[str, Any]


class Event(NamedTuple):
    """A trade or a quote as it was accepted, or an amendment of the trade `root`."""

    seq: int
    table: str  # trades, quotes, correct, cancel; restart (of every symbol)
    symbol: str
    ts: int
    values: dict[str, float | None]
    root: int = 0


@dataclass(frozen=True)
class Clock:
    """The clock by which days begin."""

    zone: str
    day_start: str

    @property
    def shift(self) -> int:
        """Days between the date on which a trading day starts and the date it is called by."""
        return 1 if int(self.day_start[:2]) >= 12 else 0


@lru_cache(maxsize=4_096)
def edges(clock: Clock, interval: str, low: int, high: int) -> tuple[int, ...]:
    """Starts of the days, weeks or months around [low, high], by which bars of it begin anew."""
    count, unit = split(interval)
    margin = {"d": count, "w": 7 * count, "mo": 31 * count}.get(unit, 1) + 3
    first = (EPOCH + timedelta(seconds=low // NS)).date() - timedelta(days=margin)
    last = (EPOCH + timedelta(seconds=high // NS)).date() + timedelta(days=margin)
    hour, minute = int(clock.day_start[:2]), int(clock.day_start[3:])
    zone = ZoneInfo(clock.zone)
    found: dict[int, int] = {}  # start -> period of the day that is left when days coincide
    for ordinal in range(first.toordinal(), last.toordinal()):
        on = date.fromordinal(ordinal)
        wall = datetime(on.year, on.month, on.day, hour, minute, tzinfo=zone)
        delta = wall.astimezone(UTC) - EPOCH
        start = (delta.days * 86_400 + delta.seconds) * NS
        found[start] = period(on + timedelta(days=clock.shift), count, unit)
    starts: list[int] = []
    before: int | None = None
    for start, number in found.items():
        if number != before and before is not None:
            starts.append(start)
        before = number
    return tuple(starts)


def period(label: date, count: int, unit: str) -> int:
    days = (label - date(1970, 1, 1)).days
    if unit == "w":
        return (days - 4) // (7 * count)
    if unit == "mo":
        return ((label.year - 1970) * 12 + label.month - 1) // count
    return days // count if unit == "d" else days


def split(interval: str) -> tuple[int, str]:
    digits = interval.rstrip("smhdwo")
    return int(digits), interval[len(digits) :]


def bucket(ts: int, interval: str, clock: Clock) -> tuple[int, int]:
    """Start and end of the bar in which a time is."""
    count, unit = split(interval)
    step = count * STEPS.get(unit, 0)
    if step > DAY:
        begin = origin(clock)
        start = begin + (ts - begin) // step * step
        return start, start + step
    block = 40 * DAY
    low = ts // block * block
    known = edges(clock, interval, low, low + block)
    place = bisect_right(known, ts)
    start, end = known[place - 1], known[place]
    if not step:
        return start, end
    start += (ts - start) // step * step
    return start, min(start + step, end)


@lru_cache(maxsize=256)
def origin(clock: Clock) -> int:
    """Start of the trading day 1970-01-01."""
    hour, minute = int(clock.day_start[:2]), int(clock.day_start[3:])
    on = date(1970, 1, 1) - timedelta(days=clock.shift)
    wall = datetime(on.year, on.month, on.day, hour, minute, tzinfo=ZoneInfo(clock.zone))
    delta = wall.astimezone(UTC) - EPOCH
    return (delta.days * 86_400 + delta.seconds) * NS


def prices_of(event: Event, basis: str) -> float | None:
    """The price that an event gives to bars of a basis."""
    if basis == "trade":
        return event.values["price"]
    bid, ask = event.values["bid_price"], event.values["ask_price"]
    if basis == "mid":
        return None if bid is None or ask is None else (bid + ask) / 2
    return bid if basis == "bid" else ask


class Gap(NamedTuple):
    """A row about a gap of a symbol: `id` is the first one's seq; `end` None leaves it as it is."""

    seq: int
    id: int
    symbol: str
    start: int | None
    end: int | None


@dataclass
class Extent:
    """From the first to the last of some times."""

    first: int = 2**63
    last: int = -(2**63)

    def add(self, ts: int) -> None:
        self.first, self.last = min(self.first, ts), max(self.last, ts)


class Known:
    """What is known of a symbol whose rows are pushed: from its first to its last event in each
    run of the plant. What earlier runs knew is not widened by an event in its midst.
    """

    def __init__(self, events: Iterable[Event], symbol: str, upto: int) -> None:
        self.closed: list[Extent] = []
        self.gaps: list[tuple[int, int]] = []
        self.watermark = -(2**63)
        self._late, self._early, self._all = Extent(), Extent(), Extent()
        for event in events:
            if event.seq > upto:
                continue
            if event.table == "restart":
                self._close()
            elif event.symbol == symbol:
                self.watermark = max(self.watermark, event.ts)
                if event.table in ("trades", "quotes"):
                    self._take(event.ts)
        self._close()

    def _take(self, ts: int) -> None:
        if ts > self._all.last:
            self._late.add(ts)
        elif ts < self._all.first:
            self._early.add(ts)

    def _close(self) -> None:
        if self._late.last >= self._late.first and self.closed:
            self.gaps.append((self._all.last, self._late.first))
        for extent in (self._late, self._early):
            if extent.last >= extent.first:
                self.closed.append(extent)
                self._all.add(extent.first)
                self._all.add(extent.last)
        self._late, self._early = Extent(), Extent()

    def fraction(self, start: int, end: int) -> float:
        """Which part of [start, end) is covered, of what the watermark has passed of it."""
        end = min(end, self.watermark)
        if end <= start:
            return 1.0
        covered = 0
        at = start
        for extent in sorted(self.closed, key=lambda extent: extent.first):
            low, high = max(extent.first, at), min(extent.last, end)
            if high > low:
                covered += high - low
                at = high
        return covered / (end - start)


def bars(
    events: Iterable[Event],
    gaps: Iterable[Gap],
    symbol: str,
    interval: str,
    clock: Clock,
    basis: str,
    upto: int,
) -> list[Bar]:
    """The bars of a symbol after the events and gaps with a number up to `upto`, by start."""
    found = _bars(events, symbol, interval, clock, basis, upto)
    known = Known(events, symbol, upto)
    touched: dict[int, list[int]] = {}  # id -> start, furthest end, last seq that moved the end
    for gap in gaps:
        if gap.symbol == symbol and gap.seq <= upto and gap.end is not None:
            start = gap.start if gap.start is not None else touched[gap.id][0]
            furthest = max(gap.end, touched[gap.id][1] if gap.id in touched else gap.end)
            touched[gap.id] = [start, furthest, gap.seq]
    for bar in found:
        start, end = bar["start"], bar["end"]
        seqs = [seq for low, high, seq in touched.values() if low < end and high > start]
        bar["revision"] = max([bar["revision"], *seqs])
        bar["coverage"] = known.fraction(start, end)
        whole = bar["coverage"] == 1.0
        bar["state"] = "forming" if end > known.watermark else "complete" if whole else "partial"
    return found


def _bars(
    events: Iterable[Event], symbol: str, interval: str, clock: Clock, basis: str, upto: int
) -> list[Bar]:
    standing: dict[int, Event] = {}
    touched: list[tuple[int, int]] = []  # (time, seq)
    table = "trades" if basis == "trade" else "quotes"
    for event in events:
        if event.symbol != symbol or event.seq > upto:
            continue
        if event.table == table:
            standing[event.seq] = event
            touched.append((event.ts, event.seq))
        elif table == "trades" and event.table in ("correct", "cancel"):
            old = standing.pop(event.root)
            touched.append((old.ts, event.seq))
            if event.table == "correct":
                # An amended trade keeps its place among those of its time by its new number.
                standing[event.root] = event._replace(values=old.values | event.values)
                touched.append((event.ts, event.seq))
    grouped: dict[tuple[int, int], list[tuple[int, int, float, float | None]]] = {}
    for event in standing.values():
        price = prices_of(event, basis)
        if price is not None:
            place = bucket(event.ts, interval, clock)
            row = (event.ts, event.seq, price, event.values.get("size"))
            grouped.setdefault(place, []).append(row)
    revisions = _revisions(touched, grouped, interval, clock, events, standing, basis)
    return [
        _bar(place, sorted(grouped[place]), basis, revisions[place]) for place in sorted(grouped)
    ]


def _revisions(
    touched: list[tuple[int, int]],
    grouped: dict[tuple[int, int], Any],
    interval: str,
    clock: Clock,
    events: Iterable[Event],
    standing: dict[int, Event],
    basis: str,
) -> dict[tuple[int, int], int]:
    found = dict.fromkeys(grouped, 0)
    without = {e.seq for e in standing.values() if prices_of(e, basis) is None}
    for ts, seq in touched:
        place = bucket(ts, interval, clock)
        if place in found and seq not in without:
            found[place] = max(found[place], seq)
    return found


def _bar(
    place: tuple[int, int], rows: list[tuple[int, int, float, float | None]], basis: str, seq: int
) -> Bar:
    prices = [price for _, _, price, _ in rows]
    sized = [(price, size) for _, _, price, size in rows if size is not None]
    volume = math.fsum(size for _, size in sized)
    notional = math.fsum(price * size for price, size in sized)
    trade = basis == "trade"
    return {
        "start": place[0],
        "end": place[1],
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": volume if trade else None,
        "vwap": notional / volume if trade and volume else None,
        "count": len(rows),
        "revision": seq,
    }
