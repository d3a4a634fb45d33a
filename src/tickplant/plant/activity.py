"""Bars by activity from stored events, read by days: a page of them, or those that changed.

    events of whole days ──► chunks in event order ──► candles.extend, each on the bar before it
                                                              │
    amendments of these days ─────────────────────────────────┴──► revisions ──► bars

A snapshot is always named, so that what arrives or is amended during a read does not shift the
bars of its second half against those of its first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from tickplant.candles.activity import (
    ActivityBars,
    Tails,
    extend,
    in_order,
    is_reached,
    join,
    newest_of_each,
    no_bars,
    with_amendments,
)
from tickplant.candles.basis import columns_of, rows_of, table_of
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.grid import Grid
from tickplant.candles.runs import Ints
from tickplant.model.times import NS_PER_DAY
from tickplant.plant.bars import emptied_states, pairs_between
from tickplant.plant.newest import are_many
from tickplant.store.contract import AsOf, Cursor, Store

_ROWS_FIRST = 1 << 16
_ROWS_MAX = 1 << 20
_DAYS_MAX = 1 << 12


@dataclass(frozen=True, slots=True)
class ActivityDays:
    """Bars by activity of whole days of one kind, from a store. Safe from any thread."""

    store: Store
    grid: Grid
    basis: str
    rules: InstrumentRules

    def at(self, instrument: int, day: int, seq: int) -> ActivityBars:
        """Return the bars of a day, given by its start, as they stood at `seq`."""
        return join(list(self.walk(instrument, day, self.grid.next(day), AsOf(seq_max=seq))))

    def of_many(self, numbers: Ints, day: int, seq: int) -> ActivityBars:
        """Return the same of several instruments, rising; of many all are read at once."""
        if not are_many(numbers):
            return join([self.at(number, day, seq) for number in numbers.tolist()])
        as_of, end, tails = AsOf(seq_max=seq), self.grid.next(day), Tails()
        parts: list[ActivityBars] = []
        for rows in self._chunks(None, day, end, as_of, self.rules.concern(numbers)):
            wanted = rows.filter(pa.array(np.isin(rows["instrument"].to_numpy(), numbers)))
            events = in_order(self.grid, rows_of(self.basis, wanted, self.rules))
            parts.append(extend(self.grid, tails.known_of(events.instrument), events))
            tails.put(parts[-1])
        return self._amended(newest_of_each(parts), day, end, as_of)

    def _amended(self, bars: ActivityBars, start: int, end: int, as_of: AsOf) -> ActivityBars:
        """Return bars of several instruments with the revisions that amendments gave them."""
        if self.basis != "trade":
            return bars
        numbers = bars.states.instrument
        parts = [bars]
        for number in np.unique(numbers).tolist():
            ts, seqs = self.store.amendment_seqs(number, start, end, as_of)
            if len(seqs):
                parts.append(with_amendments(self.grid, bars.take(numbers == number), ts, seqs))
        return newest_of_each(parts)

    def changed(self, instrument: int, days: list[int], after: int, upto: int) -> ActivityBars:
        """Return the bars of days, rising, that events with `after < seq <= upto` changed.

        They are as they stood at `upto`. A bar that an amendment left no events for is among them,
        with a count of 0 and the times that it had.
        """
        parts: list[ActivityBars] = []
        for day in days:
            bars = self.at(instrument, day, upto)
            parts.append(bars.take(bars.states.seq_max > after))
            if self.basis == "trade":
                until = self.grid.next(day)
                _, seqs = self.store.amendment_seqs(instrument, day, until, AsOf(seq_max=upto))
                amended = np.unique(seqs[seqs > after]).tolist()
                parts.append(self._emptied(instrument, day, len(bars), amended))
        return join(parts)

    def news(
        self,
        instrument: int,
        days: list[int],
        over: list[int],
        spans: list[tuple[int, int]],
        after: int,
        upto: int,
    ) -> ActivityBars:
        """Return what somebody who was told of one instrument up to `after` has to be told.

        They are the bars of `days` that changed, the last ones of days that are `over` since, and
        the bars of `spans` of which what is covered has changed.
        """
        one = np.array([instrument], np.int64)
        parts = [self.overlapping(one, *span, upto) for span in spans]
        parts += [self.below(one, day, upto) for day in over]
        return newest_of_each([*parts, self.changed(instrument, days, after, upto)])

    def below(self, numbers: Ints, day: int, seq: int) -> ActivityBars:
        """Return the last bars of a day that stayed below the threshold, as they stood at `seq`."""
        bars = self.of_many(numbers, day, seq)
        last = np.diff(bars.states.instrument, append=-1) != 0
        return bars.take(last & ~is_reached(self.grid, bars.states))

    def overlapping(self, numbers: Ints, start: int, end: int, seq: int) -> ActivityBars:
        """Return the bars of instruments with an event in `[start, end)` or on both its sides."""
        pairs = pairs_between(self.store, self.grid, self.basis, numbers, start, end)
        parts = [self.at(*pair, seq) for pair in pairs]
        return join([bars.take((bars.first < end) & (bars.last >= start)) for bars in parts])

    def _emptied(self, instrument: int, day: int, count: int, amended: list[int]) -> ActivityBars:
        """Return the bars from `count` on that a day had before one of the amendments, emptied.

        Only an amendment takes a bar away, so the day had most bars right before one of them.
        """
        most = no_bars()
        for seq in amended:
            before = self.at(instrument, day, seq - 1)
            most = before if len(before) > len(most) else most
        gone = most.take(slice(count, None))
        if not len(gone):
            return gone
        places = gone.states.start.tolist()
        states = emptied_states(instrument, places, [amended[-1]] * len(gone))
        return ActivityBars(states, gone.first, gone.last)

    def walk(self, instrument: int, start: int, end: int, as_of: AsOf) -> Iterator[ActivityBars]:
        """Yield the bars of the days in `[start, end)` in order, each once and whole."""
        ts = seqs = np.empty(0, np.int64)
        if self.basis == "trade":
            ts, seqs = self.store.amendment_seqs(instrument, start, end, as_of)
        last = no_bars()
        for rows in self._chunks(instrument, start, end, as_of, self.rules.concern(instrument)):
            events = in_order(self.grid, rows_of(self.basis, rows, self.rules))
            bars = extend(self.grid, last, events)
            if not len(bars):
                continue
            if len(last) and last.states.start[0] != bars.states.start[0]:
                yield with_amendments(self.grid, last, ts, seqs)
            yield with_amendments(self.grid, bars.take(slice(-1)), ts, seqs)
            last = bars.take(slice(-1, None))
        yield with_amendments(self.grid, last, ts, seqs)

    def _chunks(
        self, instrument: int | None, start: int, end: int, as_of: AsOf, conditions: bool
    ) -> Iterator[pa.Table]:
        """Yield events in event order; few at first, as few may be enough."""
        limit, at, days = _ROWS_FIRST, start, 1
        columns = columns_of(self.basis, conditions=conditions)
        while at < end:
            until = min(at + days * NS_PER_DAY, end)
            found, after = 0, None
            while True:
                rows = self.store.scan(
                    table_of(self.basis), instrument, start=at, end=until, after=after,
                    columns=columns, as_of=as_of, limit=limit,
                )  # fmt: skip
                found += rows.num_rows
                if rows.num_rows:
                    yield rows
                if rows.num_rows < limit:
                    break
                after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
                limit = min(4 * limit, _ROWS_MAX)
            at = until
            days = min(2 * days, _DAYS_MAX) if found < _ROWS_FIRST else 1


@dataclass(frozen=True, slots=True)
class ActivityReader:
    """Reads bars by activity of one instrument as they stood at `as_of`.

    `span` is the first and last event's time.
    """

    days: ActivityDays
    instrument: int
    as_of: AsOf
    span: tuple[int, int] | None

    def read(
        self, start: int | None, end: int | None, limit: int | None, index: int | None = None
    ) -> ActivityBars:
        """Return the bars that begin before `end` and end at or after `start`, ascending.

        The first `limit` of them, or without `start` the newest `limit`. With `index` they begin
        with that bar of the day of `start` instead.
        """
        if self.span is None or limit == 0:
            return no_bars()
        grid = self.days.grid
        low = grid.floor(self.span[0] if start is None else max(self.span[0], start))
        last = self.span[1] if end is None else min(self.span[1], end - 1)
        if last < low:
            return no_bars()
        newest = start is None and limit is not None
        grid.check_known(last if newest else low, last)
        high = grid.next(grid.floor(last))
        if newest and limit is not None:
            return self._newest(low, high, last, limit)
        parts: list[ActivityBars] = []
        for bars in self.days.walk(self.instrument, low, high, self.as_of):
            wanted = bars.first <= last
            if start is not None and index is not None:
                wanted &= bars.states.start >= grid.floor(start) + index
            elif start is not None:
                wanted &= bars.last >= start
            parts.append(bars.take(wanted))
            if limit is not None and sum(map(len, parts)) >= limit:
                break
        return join(parts).take(slice(limit))

    def _newest(self, low: int, high: int, last: int, limit: int) -> ActivityBars:
        parts: list[ActivityBars] = []
        at, width = high, NS_PER_DAY
        while at > low and sum(map(len, parts)) < limit:
            since = max(self.days.grid.floor(max(at - width, low)), low)
            bars = join(list(self.days.walk(self.instrument, since, at, self.as_of)))
            parts.insert(0, bars.take(bars.first <= last))
            at, width = since, width * 4
        return join(parts).take(slice(-limit, None))
