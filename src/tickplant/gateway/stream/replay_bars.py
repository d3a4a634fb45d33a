"""Reading bars for a subscription: from a time on, or those that changed since a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.candles.activity import activity_of
from tickplant.candles.basis import table_of
from tickplant.candles.grid import Grid
from tickplant.candles.states import merge
from tickplant.gateway.stream.defaults import DefaultBases
from tickplant.gateway.stream.replay import Chunk, Source, stored_chunks
from tickplant.model.events import MARKET_TABLES, TRADES
from tickplant.model.instruments import Instrument
from tickplant.model.times import INT64_MIN
from tickplant.plant.activity import ActivityDays
from tickplant.plant.activity_table import finish_activity
from tickplant.plant.bar_table import UPDATE_SCHEMA, finish
from tickplant.plant.bars import emptied_states, pairs_between, states_of_bars
from tickplant.plant.coverage import Coverage, InstrumentCoverage
from tickplant.plant.coverage_reader import CoverageChanges
from tickplant.plant.encoded import Events
from tickplant.plant.published import CANDLES, CandleKey
from tickplant.store.contract import AsOf

BARS_PAGE = 5_000
BARS_TURN = 1_000


@dataclass(frozen=True, slots=True)
class CandleQuery:
    """Which bars; `basis` None is each instrument's default."""

    grid: Grid
    basis: str | None

    def key(self, basis: str) -> CandleKey:
        """Return the key under which the plant publishes these bars."""
        return CandleKey.of(self.grid, basis)

    def encode(
        self, source: Source, instrument: Instrument, basis: str, table: pa.Table, upto: int
    ) -> Events:
        """Return bars that follow each other, as they stood at `upto`, as events."""
        return _encode_bars(source, self, instrument, basis, table)

    def encode_changed(
        self, source: Source, instrument: Instrument, basis: str, table: pa.Table, upto: int
    ) -> Events:
        """Return bars that changed until `upto`, rising, as events."""
        return self.encode(source, instrument, basis, table, upto)

    @property
    def bases(self) -> tuple[str, ...]:
        """The bases to watch: where none was chosen, trades, or mid prices where there are none."""
        return ("trade", "mid") if self.basis is None else (self.basis,)


class BarReader:
    """Bars as they stood at `upto`, one instrument after the other, rising by start.

    With `start` those from this time on; else the newest `limit` of each.
    """

    def __init__(
        self,
        source: Source,
        query: CandleQuery,
        instruments: Sequence[Instrument],
        upto: int,
        *,
        start: int | None = None,
        limit: int | None = None,
    ) -> None:
        self._source = source
        self._query = query
        self._upto = upto
        self._pages = self._read(instruments, start, limit)

    def next(self) -> Chunk:
        """Return about `BARS_TURN` bars."""
        events, done = _turn(self._pages)
        return Chunk(events, self._upto, done)

    def _read(
        self, instruments: Sequence[Instrument], start: int | None, limit: int | None
    ) -> Iterator[Events]:
        for instrument in instruments:
            at, index = start, None
            while True:
                page = _bars(
                    self._source,
                    self._query,
                    instrument,
                    self._upto,
                    at,
                    BARS_PAGE if limit is None else limit,
                    index,
                )
                yield self._query.encode(self._source, instrument, *page, self._upto)
                if at is None or page[1].num_rows < BARS_PAGE:
                    break
                at, index = _next_place(page[1])


class ChangedBarReader:
    """Bars that changed or closed by what has `after < seq <= upto`, as they stood at `upto`.

    They are the bars that a subscriber who was there would have been sent, each once: a bar whose
    last event was cancelled is among them, with a count of 0.
    """

    def __init__(
        self,
        source: Source,
        query: CandleQuery,
        instruments: Sequence[Instrument],
        after: int,
        upto: int,
        defaults: DefaultBases | None,
    ) -> None:
        self._source = source
        self._query = query
        self._defaults = defaults
        self._instruments = {one.number: one for one in instruments}
        self._after = after
        self._upto = upto
        self._events = 0
        self._touched: dict[int, _Touched] = {}
        self._pages: Iterator[Events] | None = None
        self._changes: CoverageChanges

    def next(self) -> Chunk:
        """Return about `BARS_TURN` bars; `missed` comes with the last chunk."""
        if self._pages is None:
            self._changes = self._source.history.coverage_changes(self._after, self._upto)
            self._find_touched()
            self._pages = self._read()
        events, done = _turn(self._pages)
        self._events -= len(events)
        return Chunk(events, self._upto, done, missed=max(self._events, 0) if done else 0)

    def _find_touched(self) -> None:
        source = replace(self._source, numbers=tuple(self._instruments))
        tables = {table_of(basis) for basis in self._query.bases}
        for table in MARKET_TABLES:  # events of the other table may close a bar, too
            for rows in stored_chunks(source, table, self._after, self._upto, None):
                self._events += rows.num_rows if table in tables else 0
                self._note(table, rows["instrument"].to_numpy(), rows["ts_event"].to_numpy())
                if table == TRADES:
                    self._note_amended(rows)
        for number in self._changes.numbers():
            if number in self._instruments:
                self._touched.setdefault(number, _Touched())

    def _note(self, table: str, numbers: np.ndarray, ts: np.ndarray) -> None:
        order = np.argsort(numbers, kind="stable")
        found, places = np.unique(numbers[order], return_index=True)
        for number, mine in zip(found.tolist(), np.split(ts[order], places[1:]), strict=True):
            touched = self._touched.setdefault(number, _Touched())
            touched.starts[table].update(self._query.grid.bars_at(mine).tolist())

    def _note_amended(self, rows: pa.Table) -> None:
        amended = rows.filter(pc.not_equal(rows["ref_seq"], 0))
        store, as_of = self._source.history.store, AsOf(seq_max=self._upto)
        for number in pc.unique(amended["instrument"]).to_pylist():
            ts, seqs = store.amendment_seqs(number, None, None, as_of)
            new = np.flatnonzero(seqs > self._after)
            inside = self._query.grid.inside(ts[new])
            new = new if inside is None else new[inside]
            starts = self._query.grid.starts(ts[new]).tolist()
            touched = self._touched[number].amended
            for start, seq in zip(starts, seqs[new].tolist(), strict=True):
                touched[start] = max(seq, touched.get(start, 0))

    def _read(self) -> Iterator[Events]:
        for number in sorted(self._touched):
            instrument, touched = self._instruments[number], self._touched.pop(number)
            basis = self._basis(number)
            if basis != "trade":
                touched.amended = {}
            history = self._source.history
            before, coverage = self._changes.of(number)
            closed = self._closed(before.watermark, coverage.watermark)
            if activity_of(self._query.grid) is not None:
                starts = sorted(touched.starts[table_of(basis)].union(touched.amended))
                anew = before.changed(coverage, self._after)
                days = ActivityDays(history.store, self._query.grid, basis, history.rules)
                bars = days.news(number, starts, closed, anew, self._after, self._upto)
                table = finish_activity(bars, self._query.grid, basis, coverage)
                yield self._query.encode_changed(self._source, instrument, basis, table, self._upto)
                continue
            closed += self._covered_anew(number, basis, before, coverage)
            starts = sorted(touched.starts[table_of(basis)].union(touched.amended, closed))
            for first in range(0, len(starts), BARS_PAGE):
                page = starts[first : first + BARS_PAGE]
                table = self._stood(number, basis, page, touched.amended, coverage)
                news = self._news(table, closed)
                yield self._query.encode_changed(self._source, instrument, basis, news, self._upto)

    def _basis(self, number: int) -> str:
        if self._query.basis is not None:
            return self._query.basis
        assert self._defaults is not None
        self._defaults.look_up([number], AsOf(seq_max=self._upto))
        return self._defaults.of(number)

    def _closed(self, before: int, last: int) -> list[int]:
        """Return the start of the bar that was forming at `after`, where that is over at `upto`."""
        if before == INT64_MIN:
            return []
        starts = self._query.grid.bars_at(np.array([before], np.int64))
        closed: list[int] = starts[self._query.grid.ends(starts) <= last].tolist()
        return closed

    def _covered_anew(
        self, number: int, basis: str, before: InstrumentCoverage, now: InstrumentCoverage
    ) -> list[int]:
        """Return the starts of bars with events of which what is covered has changed."""
        store, grid = self._source.history.store, self._query.grid
        one = np.array([number], np.int64)
        starts: set[int] = set()
        for low, high in before.changed(now, self._after):
            pairs = pairs_between(store, grid, basis, one, low, high)
            starts.update(start for _, start in pairs)
        return sorted(starts)

    def _stood(
        self,
        number: int,
        basis: str,
        starts: list[int],
        amended: dict[int, int],
        coverage: Coverage,
    ) -> pa.Table:
        """Return the named bars as they stood at `upto`, those that were emptied included."""
        grid, as_of = self._query.grid, AsOf(seq_max=self._upto)
        history = self._source.history
        states = states_of_bars(history.store, number, grid, basis, starts, as_of, history.rules)
        gone = sorted(amended.keys() & set(starts) - set(states.start.tolist()))
        emptied = emptied_states(number, gone, [amended[start] for start in gone])
        return finish(merge([states, emptied]).finish(), grid, basis, coverage)

    def _news(self, table: pa.Table, closed: list[int]) -> pa.Table:
        """Leave out bars that events without a price have not changed."""
        newer = pc.fill_null(pc.greater(table["revision"], self._after), False)
        ended = pc.is_in(table["start"], pa.array(closed, pa.int64()))
        return table.filter(pc.or_(newer, ended))


@dataclass(slots=True)
class _Touched:
    """What events of an instrument touched: bars by table, bars by amendments with their seq."""

    starts: dict[str, set[int]] = field(
        default_factory=lambda: {table: set() for table in MARKET_TABLES}
    )
    amended: dict[int, int] = field(default_factory=dict)


def _bars(
    source: Source,
    query: CandleQuery,
    instrument: Instrument,
    upto: int,
    start: int | None,
    limit: int,
    index: int | None,
) -> tuple[str, pa.Table]:
    candles = source.history.candles(
        instrument,
        query.grid,
        basis=query.basis,
        start=start,
        limit=limit,
        as_of=AsOf(seq_max=upto),
        index=index,
    )
    return candles.basis, candles.table


def _next_place(bars: pa.Table) -> tuple[int, int | None]:
    """Return where the bars after these begin: a time, or a day and a number in it."""
    last = bars.slice(bars.num_rows - 1).to_pylist()[0]
    return (last["day"], last["index"] + 1) if "index" in last else (last["end"], None)


def _turn(pages: Iterator[Events]) -> tuple[Events, bool]:
    """Return the events of the next pages, and whether these were the last ones."""
    taken: list[Events] = []
    for page in pages:
        taken.append(page)
        if sum(map(len, taken)) >= BARS_TURN:
            return Events.together(taken), False
    return Events.together(taken), True


def _encode_bars(
    source: Source, query: CandleQuery, instrument: Instrument, basis: str, table: pa.Table
) -> Events:
    numbers = pa.array(np.full(table.num_rows, instrument.number, dtype=np.int32))
    whole = table.add_column(0, UPDATE_SCHEMA.field("instrument"), numbers)
    return source.encode_table(CANDLES, whole, query.key(basis))
