"""The newest bars of an instrument, held so that live indicators are computed without a read.

    changed bar ──► into its place among the held ones ──► the bars whose values it affects
                                                               │ their windows are held: computed
                                                               └ some are not: read from the store

Used on the event loop; a `Window` is made in a thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.analytics.ask import sources_of
from tickplant.analytics.catalogue import Indicator
from tickplant.analytics.evaluate import evaluate
from tickplant.analytics.sources import columns_for, source_column
from tickplant.candles.grid import Grid
from tickplant.model.times import INT64_MIN
from tickplant.plant.indicators import (
    any_daily,
    bar_columns,
    bar_keys,
    trading_days,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SPARE = 16
"""Bars held beyond the longest window: so many of the newest may change without a read."""

KEY, START, END, REVISION, DAY = range(5)
NO_REVISION = 0


class Bar(NamedTuple):
    """A bar as it was told: what a row shows of it, and its columns; gone where `events` is 0."""

    key: int
    start: int
    end: int
    state: str
    revision: int
    events: int
    values: tuple[float, ...]


class Shown(NamedTuple):
    """A bar with its values: sources, then the columns of each indicator."""

    key: int
    start: int
    end: int
    state: str
    revision: int | None
    values: list[float | None]


class Plan:
    """What is held of each instrument for some indicators over one kind of bars."""

    def __init__(self, grid: Grid, indicators: Sequence[Indicator]) -> None:
        self.grid = grid
        self.indicators = tuple(indicators)
        self.sources = sources_of(indicators)
        inputs = [name for one in indicators for name in one.inputs]
        self.columns = columns_for([*self.sources, *inputs])
        self.daily = any_daily(indicators)
        self.reach = max((one.window or 1) - 1 for one in indicators)
        self.bars_held = self.reach + SPARE

    def bars_of(self, table: pa.Table | pa.RecordBatch) -> list[Bar]:
        """Return the bars of a table, in its order."""
        columns = bar_columns(table)
        revisions = table.column("revision").fill_null(NO_REVISION)
        return list(
            map(
                Bar,
                bar_keys(table).tolist(),
                table.column("start").to_pylist(),
                table.column("end").to_pylist(),
                table.column("state").to_pylist(),
                revisions.to_pylist(),
                table.column("count").to_pylist(),
                zip(*(columns[name].tolist() for name in self.columns), strict=True),
            )
        )

    def day_of(self, start: int) -> int:
        """Return the start of the trading day, 0 where no window is one."""
        return int(trading_days(self.grid, np.array([start]))[0]) if self.daily else 0


class Window:
    """The newest bars of one instrument, as far as the windows of the last few of them reach.

    `bars` rise, and are all whose key is `since` or more (`INT64_MIN` where there are none before
    them), as of the number `floor`. One thread at a time.
    """

    def __init__(self, plan: Plan, bars: Sequence[Bar], *, since: int, floor: int) -> None:
        self.floor = floor
        self._plan = plan
        self._since = since
        self._low, self._high = 0, len(bars)
        room = len(bars) + SPARE
        self._ints = np.zeros((5, room), np.int64)
        self._values = np.full((len(plan.columns), room), np.nan)
        self._states = np.empty(room, dtype=object)
        for place, bar in enumerate(bars):
            self._write(place, bar)

    def __len__(self) -> int:
        return self._high - self._low

    def apply(self, bar: Bar) -> list[int] | None:
        """Take a bar that changed; return the keys of the bars whose values that changes.

        None where that reaches back beyond what is held.
        """
        if bar.key < self._since:
            return None
        place, found = self._find(bar)
        at = self._low + place
        if found and bar.events:
            same = _equal(self._values[:, at].tolist(), bar.values)
            self._write(at, bar)
            return self._reached(place, bar, same=same)
        if bar.events:
            self._insert(place, bar)
        elif found:
            self._delete(place)
        else:
            return []
        return self._reached(place, bar, same=False)

    def affected_by(self, bar: Bar) -> list[int] | None:
        """Return what `apply` would, for a bar that is held already as it is now, or is gone."""
        return None if bar.key < self._since else self._reached(self._find(bar)[0], bar, same=False)

    def _find(self, bar: Bar) -> tuple[int, bool]:
        keys = self._ints[KEY, self._low : self._high]
        place = int(np.searchsorted(keys, bar.key))
        return place, place < len(keys) and bool(keys[place] == bar.key)

    def _reached(self, place: int, bar: Bar, *, same: bool) -> list[int] | None:
        """Return the keys from a bar on that its change reaches.

        Where its columns are the `same`, that is only its own.
        """
        last = place if same else place + self._plan.reach
        if self._plan.daily and not same:
            days = self._ints[DAY, self._low : self._high]
            last = max(last, int(np.searchsorted(days, self._plan.day_of(bar.start), "right")) - 1)
        affected: list[int] = self._ints[KEY, self._low : self._high][place : last + 1].tolist()
        return affected if self._is_held(place, bar) or not affected else None

    def _is_held(self, place: int, bar: Bar) -> bool:
        """Say whether the windows of a bar and of those after it are held."""
        if self._since == INT64_MIN:
            return True
        if self._plan.daily and self._plan.day_of(bar.start) < self._since:
            return False
        return place >= self._plan.reach

    def show(self, wanted: Iterable[int]) -> list[Shown]:
        """Return those of these bars that are still there, rising, with their values.

        `apply` has said that their windows are held.
        """
        held = self._ints[KEY, self._low : self._high]
        keys = np.array(sorted(set(wanted)), np.int64)
        places = np.searchsorted(held, keys)
        places = places[held.take(places, mode="clip") == keys] if len(held) else places[:0]
        if not len(places):
            return []
        first = max(int(places[0]) - self._plan.reach, 0)
        days = self._ints[DAY, self._low : self._high]
        if self._plan.daily:
            first = min(first, int(np.searchsorted(days, days[places[0]])))
        low, high = self._low + first, self._low + int(places[-1]) + 1
        bars = dict(zip(self._plan.columns, self._values[:, low:high], strict=True))
        parts = [source_column(bars, name)[places - first] for name in self._plan.sources]
        for one in self._plan.indicators:
            parts.extend(evaluate(one, bars, places - first, self._ints[DAY, low:high]))
        at = places + self._low
        numbers, starts, ends, revisions = self._ints[[KEY, START, END, REVISION]][:, at].tolist()
        shown = [revision or None for revision in revisions]
        values = without_nan(np.array(parts).T)
        return list(map(Shown, numbers, starts, ends, self._states[at].tolist(), shown, values))

    def _write(self, at: int, bar: Bar) -> None:
        day = self._plan.day_of(bar.start)
        self._ints[:, at] = (bar.key, bar.start, bar.end, bar.revision, day)
        self._values[:, at] = bar.values
        self._states[at] = bar.state

    def _insert(self, place: int, bar: Bar) -> None:
        if self._high == self._states.size:
            self._make_room()
        at, high = self._low + place, self._high
        for array in (self._ints, self._values, self._states):
            array[..., at + 1 : high + 1] = array[..., at:high].copy()
        self._high += 1
        self._write(at, bar)

    def _delete(self, place: int) -> None:
        at, high = self._low + place, self._high
        for array in (self._ints, self._values, self._states):
            array[..., at : high - 1] = array[..., at + 1 : high].copy()
        self._high -= 1

    def _make_room(self) -> None:
        """Let go of the oldest bars, and move the others to the front."""
        keep = self._plan.bars_held
        low = max(self._high - keep, self._low)
        if self._plan.daily:
            days = self._ints[DAY, self._low : self._high]
            low = min(low, self._low + int(np.searchsorted(days, days[-1])))
        if low > self._low:
            before, day = self._ints[DAY, low - 1 : low + 1].tolist()
            self._since = day if before != day else int(self._ints[KEY, low])
        kept = slice(low, self._high)
        more = (self._high - low) // 4 + SPARE
        self._ints = np.pad(self._ints[:, kept], ((0, 0), (0, more)))
        self._values = np.pad(self._values[:, kept], ((0, 0), (0, more)))
        self._states = np.append(self._states[kept], np.empty(more, dtype=object))
        self._low, self._high = 0, self._high - low


def _equal(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def without_nan(values: Floats) -> list[list[float | None]]:
    """Return rows of values as lists with None for NaN, which MessagePack would send as it is."""
    shown = values.astype(object)
    shown[np.isnan(values)] = None
    listed: list[list[float | None]] = shown.tolist()
    return listed
