"""Live candles: what each accepted batch changes in the bars that somebody watches.

    batch ──► LiveBars of each watched (grid, basis) ──► changed bars ─┐
                      │ bars it does not hold                          ├──► one update an entry
                      └──► built anew from the store ──────────────────┤
    watermark passes the end of a bar ──► that bar again, closed ──────┘

Owned by the plant's thread. The store already has the rows when `apply` is called, so a bar that
is built anew includes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.basis import rows_of, table_of
from tickplant.candles.grid import Grid
from tickplant.candles.live import LiveBars
from tickplant.candles.states import (
    CLOSE,
    COLUMNS,
    HIGH,
    INSTRUMENT,
    LOW,
    OPEN,
    SEQ_MAX,
    START,
    States,
    empty,
    merge,
)
from tickplant.model.events import MARKET_TABLES
from tickplant.model.times import INT64_MIN
from tickplant.plant.bars import states_of_bars
from tickplant.plant.history import finish
from tickplant.plant.published import CANDLE_SCHEMA
from tickplant.store.contract import Store

Ints = NDArray[np.int64]

_NO_BAR = np.int64(INT64_MIN)


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind of candles that somebody watches."""

    grid: Grid
    basis: str


@dataclass(slots=True)
class _Watch:
    bars: LiveBars
    users: int = 0
    forming: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Start of the newest forming bar by instrument number, `_NO_BAR` where there is none."""


class LiveCandles:
    """The watched candles and the event-time watermark of each instrument."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watches: dict[Watched, _Watch] = {}
        self._watermarks = np.empty(0, dtype=np.int64)

    def watch(self, what: Watched) -> None:
        """Begin to publish these candles; each call wants its `unwatch`."""
        watch = self._watches.get(what)
        if watch is None:
            span = self._store.span(table_of(what.basis))
            bars = LiveBars(what.grid, horizon=span[1] if span else None)
            watch = self._watches[what] = _Watch(bars)
        watch.users += 1

    def unwatch(self, what: Watched) -> None:
        """Undo one `watch`; nobody's candles are no longer built."""
        watch = self._watches.get(what)
        if watch is None:
            return
        watch.users -= 1
        if watch.users <= 0:
            del self._watches[what]

    @property
    def watched(self) -> tuple[Watched, ...]:
        """What is watched now."""
        return tuple(self._watches)

    def apply(self, table: str, rows: pa.RecordBatch) -> list[tuple[Watched, pa.RecordBatch]]:
        """Take a stored batch of original rows; return the changed candles of each watch."""
        if table not in MARKET_TABLES or not self._watches:
            return []
        instrument = rows.column("instrument").to_numpy()
        ts = rows.column("ts_event").to_numpy()
        touched = self._advance(instrument, ts)
        updates = []
        for what, watch in self._watches.items():
            changed = [self._closing(what, watch, touched)]
            if table_of(what.basis) == table:
                changed.append(self._changed(what, watch, rows))
            self._collect(updates, what, watch, changed)
        return updates

    def amend(
        self, instrument: int, times: list[int], seq: int
    ) -> list[tuple[Watched, pa.RecordBatch]]:
        """Build the bars at these event times anew, after the event `seq` amended a trade there.

        A bar whose last trade was cancelled goes out once more, with a count of 0.
        """
        updates: list[tuple[Watched, pa.RecordBatch]] = []
        if not self._watches:
            return updates
        self._advance(np.full(len(times), instrument, np.int32), np.asarray(times, np.int64))
        for what, watch in self._watches.items():
            if what.basis != "trade":
                continue
            starts = sorted({what.grid.floor(ts) for ts in times})
            for start in starts:
                watch.bars.forget(instrument, start)
            states = states_of_bars(self._store, instrument, what.grid, what.basis, starts)
            watch.bars.put(states)
            gone = _gone(instrument, sorted(set(starts) - set(states.start.tolist())), seq)
            self._collect(updates, what, watch, [gone, states])
        return updates

    def _changed(self, what: Watched, watch: _Watch, rows: pa.RecordBatch) -> States:
        changed, unknown = watch.bars.apply_states(rows_of(what.basis, rows).build(what.grid))
        wanted: dict[int, list[int]] = {}
        for number, start in unknown:
            wanted.setdefault(int(number), []).append(int(start))
        built = [
            states_of_bars(self._store, number, what.grid, what.basis, starts)
            for number, starts in wanted.items()
        ]
        for states in built:
            watch.bars.put(states)
        return merge([changed, *built])

    def _advance(self, instrument: NDArray[np.int32], ts: Ints) -> NDArray[np.int32]:
        """Move the watermarks on; return the instruments that had an event."""
        touched = np.unique(instrument)
        self._grow(int(touched[-1]) + 1)
        for number in touched[self._watermarks[touched] == _NO_BAR].tolist():
            spans = [self._store.span(table, number) for table in MARKET_TABLES]
            self._watermarks[number] = max(span[1] for span in spans if span)
        np.maximum.at(self._watermarks, instrument, ts)
        return touched

    def _grow(self, size: int) -> None:
        if size > len(self._watermarks):
            self._watermarks = _grown(self._watermarks, 2 * size)
        for watch in self._watches.values():
            if len(watch.forming) < len(self._watermarks):
                watch.forming = _grown(watch.forming, len(self._watermarks))

    def _closing(self, what: Watched, watch: _Watch, touched: NDArray[np.int32]) -> States:
        """Return the bars that were forming until the watermark has now passed their end."""
        starts = watch.forming[touched]
        have = starts != _NO_BAR
        numbers, starts = touched[have], starts[have]
        if not len(starts):
            return empty()
        over = what.grid.ends(starts) <= self._watermarks[numbers]
        watch.forming[numbers[over]] = _NO_BAR
        closing = zip(numbers[over].tolist(), starts[over].tolist(), strict=True)
        held = [(watch.bars.held(number), start) for number, start in closing]
        return merge([states.take(states.start == start) for states, start in held])

    def _collect(
        self,
        updates: list[tuple[Watched, pa.RecordBatch]],
        what: Watched,
        watch: _Watch,
        changed: list[States],
    ) -> None:
        states = _last_of_each(changed)
        if not len(states):
            return
        bars = states.finish()
        marks = self._watermarks[bars.instrument]
        newest = what.grid.ends(bars.start) > marks
        watch.forming[bars.instrument[newest]] = bars.start[newest]
        table = finish(bars, what.grid, what.basis, marks)
        updates.append(
            (
                what,
                pa.RecordBatch.from_arrays(
                    [pa.array(bars.instrument), *(c.combine_chunks() for c in table.columns)],
                    schema=CANDLE_SCHEMA,
                ),
            )
        )


def _gone(instrument: int, starts: list[int], seq: int) -> States:
    """Return states without an event, of bars that had some until `seq`."""
    block = np.zeros((COLUMNS, len(starts)), dtype=np.int64)
    block.view(np.float64)[[OPEN, HIGH, LOW, CLOSE]] = np.nan
    block[INSTRUMENT], block[START], block[SEQ_MAX] = instrument, starts, seq
    return States(block)


def _grown(array: Ints, size: int) -> Ints:
    grown = np.full(size, _NO_BAR, dtype=np.int64)
    grown[: len(array)] = array
    return grown


def _last_of_each(parts: list[States]) -> States:
    """Return one state a bar; where several parts have it, the later part's is the newer."""
    closing, *others = parts
    if not others:
        return closing
    changed = others[0]
    if not len(closing):
        return changed
    known = set(zip(changed.instrument.tolist(), changed.start.tolist(), strict=True))
    keys = zip(closing.instrument.tolist(), closing.start.tolist(), strict=True)
    kept = [place for place, key in enumerate(keys) if key not in known]
    return merge([closing.take(np.asarray(kept, dtype=np.int64)), changed])
