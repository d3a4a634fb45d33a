"""The channel `indicators`: the values of each bar that the channel `candles` would tell.

bars of the ring ──► held windows ──► values of the bars that changed, and of those after them
     │                   ▲
     └ not held ──► read from the store, in a thread; the ring waits for it
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from tickplant.analytics.ask import columns_of, sources_of
from tickplant.analytics.catalogue import Indicator
from tickplant.candles.activity import activity_of
from tickplant.gateway.stream.frames import Frame
from tickplant.gateway.stream.protocol import Codec
from tickplant.gateway.stream.replay import Chunk, Source
from tickplant.gateway.stream.replay_bars import CandleQuery
from tickplant.gateway.stream.subscription import Subscription
from tickplant.gateway.stream.windows import Bar, Plan, Shown, Window, without_nan
from tickplant.model.instruments import Instrument, Registry
from tickplant.model.times import INT64_MIN, format_time
from tickplant.plant.encoded import NO_EVENTS, Events
from tickplant.plant.history import Candles, History
from tickplant.plant.indicators import Indicated, bar_keys, read_affected, values_of
from tickplant.plant.published import Published
from tickplant.store.contract import AsOf

BARS_MAX = 1_000_000
"""Most bars that a subscription holds; the windows that were idle longest go first."""


@dataclass(frozen=True, slots=True)
class IndicatorQuery(CandleQuery):
    """Which indicators of which bars."""

    indicators: tuple[Indicator, ...] = ()

    def encode(
        self, source: Source, instrument: Instrument, basis: str, table: pa.Table, upto: int
    ) -> Events:
        """Return bars that follow each other, with their values as of `upto`."""
        candles = Candles(instrument, self.grid, basis, table)
        as_of = AsOf(seq_max=upto)
        columns = values_of(source.history, candles, self.indicators, "none", as_of)
        return self._encoded(source, instrument, basis, _shown(Indicated(candles, columns)))

    def encode_changed(
        self, source: Source, instrument: Instrument, basis: str, table: pa.Table, upto: int
    ) -> Events:
        """Return bars that changed, and those whose values they changed, as of `upto`."""
        if not table.num_rows:
            return NO_EVENTS
        plan = Plan(self.grid, self.indicators)
        shown = self.shown_affected(source.history, instrument, basis, plan.bars_of(table), upto)
        return self._encoded(source, instrument, basis, shown)

    def shown_affected(
        self, history: History, instrument: Instrument, basis: str, bars: list[Bar], upto: int
    ) -> list[Shown]:
        """Return the bars that depend on these, those that are gone among them."""
        found = read_affected(
            history,
            instrument,
            self.grid,
            self.indicators,
            [(bar.start, bar.end) for bar in bars],
            basis=basis,
            as_of=AsOf(seq_max=upto),
        )
        gone = [self.gone(bar) for bar in bars if not bar.events]
        return [*gone, *(one for indicated in found for one in _shown(indicated))]

    def gone(self, bar: Bar) -> Shown:
        """Return a bar whose last event was cancelled: it has no values."""
        count = len(sources_of(self.indicators)) + sum(map(len, columns_of(self.indicators)))
        revision = bar.revision or None
        return Shown(bar.key, bar.start, bar.end, bar.state, revision, [None] * count)

    def _encoded(
        self, source: Source, instrument: Instrument, basis: str, shown: list[Shown]
    ) -> Events:
        encoder = Encoder(self, source.codec, source.history.registry)
        return source.codec.bundle(encoder.encode(instrument.number, basis, shown))


class Encoder:
    """Rows of a subscription as events."""

    def __init__(self, query: IndicatorQuery, codec: Codec, registry: Registry) -> None:
        self._query = query
        self._placed = activity_of(query.grid) is not None
        self._encode = codec.encode
        self._registry = registry
        named = [name for names in columns_of(query.indicators) for name in names]
        self._names = (*sources_of(query.indicators), *named)

    def encode(self, number: int, basis: str, shown: list[Shown]) -> list[bytes]:
        """Return one event a bar of an instrument."""
        instrument = self._registry.number(number)
        key = {name: v for name, v in self._query.key(basis)._asdict().items() if v is not None}
        head = {"symbol": instrument.symbol, "venue": instrument.venue, **key}
        return [self._encode({**head, **self._row(one)}) for one in shown]

    def _row(self, one: Shown) -> dict[str, Any]:
        return {
            "start": format_time(one.start),
            "end": format_time(one.end),
            "state": one.state,
            "revision": one.revision,
            **self._place(one.key),
            **dict(zip(self._names, one.values, strict=True)),
        }

    def _place(self, key: int) -> dict[str, Any]:
        """Return which of its day a bar by activity is."""
        if not self._placed:
            return {}
        day = self._query.grid.floor(key)
        return {"day": format_time(day), "index": key - day}


def _shown(found: Indicated) -> list[Shown]:
    table = found.candles.table
    values = without_nan(np.array(list(found.columns.values())).T)
    columns = (table[name].to_pylist() for name in ("start", "end", "state", "revision"))
    keys = bar_keys(table).tolist()
    return [Shown(*row) for row in zip(keys, *columns, values, strict=True)]


Place = tuple[int, str]
"""An instrument's number and a basis."""


@dataclass(slots=True)
class _Missing:
    """Bars that changed and whose windows are not held, by instrument and key."""

    bars: dict[Place, dict[int, Bar]] = field(default_factory=dict)

    def add(self, place: Place, bars: Sequence[Bar]) -> None:
        self.bars.setdefault(place, {}).update((bar.key, bar) for bar in bars)


class _MissingReader:
    """Reads windows, and the values that changed bars affect, as of a number."""

    def __init__(
        self, query: IndicatorQuery, source: Source, plan: Plan, missing: _Missing, upto: int
    ) -> None:
        self.windows: dict[Place, Window] = {}
        self._query = query
        self._source = source
        self._plan = plan
        self._missing = missing
        self._upto = upto

    def next(self) -> Chunk:
        """Return everything in one chunk; `windows` has what was read."""
        history = self._source.history
        encoder = Encoder(self._query, self._source.codec, history.registry)
        events: list[bytes] = []
        for place, changed in self._missing.bars.items():
            instrument = history.registry.number(place[0])
            bars = [changed[key] for key in sorted(changed)]
            window = self.windows[place] = self._read(history, instrument, place[1])
            shown = self._from_window(window, bars)
            if shown is None:
                shown = self._query.shown_affected(history, instrument, place[1], bars, self._upto)
            events += encoder.encode(*place, shown)
        return Chunk(self._source.codec.bundle(events), self._upto, done=True)

    def _from_window(self, window: Window, bars: list[Bar]) -> list[Shown] | None:
        keys: set[int] = set()
        for bar in bars:
            affected = window.affected_by(bar)
            if affected is None:
                return None
            keys.update(affected)
        gone = [self._query.gone(bar) for bar in bars if not bar.events]
        return [*gone, *window.show(keys)]

    def _read(self, history: History, instrument: Instrument, basis: str) -> Window:
        plan, as_of = self._plan, AsOf(seq_max=self._upto)

        def read(**query: Any) -> pa.Table:
            return history.candles(instrument, plan.grid, basis=basis, as_of=as_of, **query).table

        table = read(limit=plan.bars_held)
        full = table.num_rows == plan.bars_held
        since = int(bar_keys(table)[0]) if full else INT64_MIN
        if full and plan.daily:
            day = plan.day_of(table["start"][-1].as_py())
            if day < since:
                table, since = read(start=day), day
        return Window(plan, plan.bars_of(table), since=since, floor=self._upto)


class IndicatorSubscription(Subscription):
    """A subscription to `indicators`; see `Subscription`, whose bars it takes in windows."""

    shares = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert isinstance(self.query, IndicatorQuery)
        self._asked = self.query
        self._plan = Plan(self._asked.grid, self._asked.indicators)
        self._encoder = Encoder(self._asked, self._codec, self._plant.registry)
        self._windows: OrderedDict[Place, Window] = OrderedDict()
        self._held = 0
        self._missing = _Missing()
        self._refilling: Future[Chunk] | None = None
        self._refill: _MissingReader | None = None
        self._taken: list[Published] = []

    @property
    def caught_up(self) -> bool:
        """Whether it is live and has nothing left to read."""
        return super().caught_up and self._refilling is None

    @property
    def bars_held(self) -> int:
        """Bars of all windows."""
        return sum(map(len, self._windows.values()))

    def close(self) -> None:
        """Drop what is being read."""
        super().close()
        if self._refilling is not None:
            self._refilling.cancel()

    def step(self, upto: int | None = None) -> list[Frame]:
        """Return the frames that are ready; see `Subscription.step`."""
        if self._refilling is None:
            return super().step(upto)
        self.more = False
        return self._take_refill() if self._refilling.done() else []

    def _take_refill(self) -> list[Frame]:
        assert self._refilling is not None
        assert self._refill is not None
        chunk = self._refilling.result()
        for place, window in self._refill.windows.items():
            self._hold(place, window)  # its place is free: it was missing
        self._refilling = self._refill = None
        self._advance(self._taken)
        self.more = True
        return self._data(chunk.events, self.seq)

    def _events(self, taken: list[Published]) -> Events:
        events: list[bytes] = []
        for entry in taken:
            if entry.topic not in self.topics or entry.seq_last <= self.floor:
                continue
            rows = self._rows(entry)
            assert entry.rows is not None
            assert entry.key is not None
            batch = entry.rows if rows is None else entry.rows.take(pa.array(rows))
            if batch.num_rows:
                events += self._values(batch, entry.key.basis, entry.seq_last)
        if self._missing.bars:
            self._start_refill(taken)
        return self._codec.bundle(events)

    def _values(self, batch: pa.RecordBatch, basis: str, seq: int) -> list[bytes]:
        """Return the values of changed bars, and note those that have to be read."""
        events: list[bytes] = []
        numbers = batch.column("instrument").to_pylist()
        changed: dict[int, list[Bar]] = {}
        for number, bar in zip(numbers, self._plan.bars_of(batch), strict=True):
            changed.setdefault(number, []).append(bar)
        for number, bars in changed.items():
            shown = self._apply((number, basis), bars, seq)
            if shown is None:
                self._missing.add((number, basis), bars)
            else:
                events += self._encoder.encode(number, basis, shown)
        return events

    def _apply(self, place: Place, bars: list[Bar], seq: int) -> list[Shown] | None:
        window = self._windows.get(place)
        if window is None:
            return None
        keys: set[int] = set()
        self._held -= len(window)
        for bar in bars:
            # What the window was read with may not have been told yet.
            affected = window.apply(bar) if seq > window.floor else window.affected_by(bar)
            if affected is None:
                del self._windows[place]
                return None
            keys.update(affected)
        self._hold(place, window)
        gone = [self._asked.gone(bar) for bar in bars if not bar.events]
        return [*gone, *window.show(keys)]

    def _start_refill(self, taken: list[Published]) -> None:
        """Read what is missing as of the last entry taken, and follow no further until then."""
        assert self.cursor is not None
        missing, self._missing = self._missing, _Missing()
        self._taken = taken
        self._refill = _MissingReader(
            self._asked, self._source(), self._plan, missing, self.cursor.seq
        )
        self._refilling = self._run_in_thread(self._refill.next)

    def _advance(self, taken: list[Published]) -> None:
        # What is being read is not told yet, so the client is not complete up to these.
        if self._refilling is None:
            super()._advance(taken)

    def _read_changed(self, upto: int) -> None:
        # The windows lack what is read here.
        self._windows.clear()
        self._held = 0
        super()._read_changed(upto)

    def _hold(self, place: Place, window: Window) -> None:
        """Hold a window, which is not counted, as the one that was used last."""
        self._windows[place] = window
        self._windows.move_to_end(place)
        self._held += len(window)
        while self._held > BARS_MAX and len(self._windows) > 1:
            self._held -= len(self._windows.popitem(last=False)[1])
