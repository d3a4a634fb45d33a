"""Reading bars for a subscription: from a time on, or those that changed since a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.candles.basis import table_of
from tickplant.candles.grid import Grid
from tickplant.gateway.stream.encode import encode_rows
from tickplant.gateway.stream.replay import Chunk, Source, stored_chunks
from tickplant.model.events import MARKET_TABLES, TRADES
from tickplant.model.instruments import Instrument
from tickplant.plant.published import CANDLE_SCHEMA, CANDLES, CandleKey
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
        grid = self.grid
        return CandleKey(str(grid.interval), basis, grid.timezone, grid.day_start)

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
        events: list[bytes] = []
        for page in self._pages:
            events += page
            if len(events) >= BARS_TURN:
                return Chunk(events, self._upto, done=False)
        return Chunk(events, self._upto, done=True)

    def _read(
        self, instruments: Sequence[Instrument], start: int | None, limit: int | None
    ) -> Iterator[list[bytes]]:
        for instrument in instruments:
            at = start
            while True:
                page = _bars(
                    self._source,
                    self._query,
                    instrument,
                    self._upto,
                    at,
                    BARS_PAGE if limit is None else limit,
                )
                yield _encode_bars(self._source, self._query, instrument, *page)
                if at is None or page[1].num_rows < BARS_PAGE:
                    break
                at = page[1]["end"][-1].as_py()


class ChangedBarReader:
    """Bars that changed or closed by events with `after < seq <= upto`, as they stood at `upto`."""

    def __init__(
        self,
        source: Source,
        query: CandleQuery,
        instruments: Sequence[Instrument],
        after: int,
        upto: int,
    ) -> None:
        self._source = source
        self._query = query
        self._instruments = {one.number: one for one in instruments}
        self._after = after
        self._upto = upto
        self._events = 0
        self._touched: Iterator[tuple[int, int]] | None = None

    def next(self) -> Chunk:
        """Return about `BARS_TURN` bars; `missed` comes with the last chunk."""
        if self._touched is None:
            self._touched = iter(sorted(self._find_touched().items()))
        events: list[bytes] = []
        for number, ts in self._touched:
            events += self._changed(self._instruments[number], ts)
            if len(events) >= BARS_TURN:
                self._events -= len(events)
                return Chunk(events, self._upto, done=False)
        self._events -= len(events)
        return Chunk(events, self._upto, done=True, missed=max(self._events, 0))

    def _find_touched(self) -> dict[int, int]:
        """Return the earliest event time that was touched, by instrument."""
        earliest: dict[int, int] = {}
        source = replace(self._source, numbers=tuple(self._instruments))
        tables = {table_of(basis) for basis in self._query.bases}
        for table in MARKET_TABLES:  # events of the other table may close a bar, too
            for rows in stored_chunks(source, table, self._after, self._upto, None):
                self._events += rows.num_rows if table in tables else 0
                _keep_least(earliest, rows["instrument"].to_numpy(), rows["ts_event"].to_numpy())
                if table == TRADES:
                    self._add_amended(earliest, rows)
        return earliest

    def _add_amended(self, earliest: dict[int, int], rows: pa.Table) -> None:
        amended = rows.filter(pc.not_equal(rows["ref_seq"], 0))
        store, as_of = self._source.history.store, AsOf(seq_max=self._upto)
        for number in pc.unique(amended["instrument"]).to_pylist():
            ts, seq = store.amendment_seqs(number, None, None, as_of)
            ts = ts[seq > self._after]
            _keep_least(earliest, np.full(len(ts), number), ts)

    def _changed(self, instrument: Instrument, ts: int) -> list[bytes]:
        low = self._query.grid.floor(ts)
        events: list[bytes] = []
        before = _bars(self._source, self._query, instrument, self._upto, None, 1, end=low)
        if before[1].num_rows and not before[1]["forming"][0].as_py():
            events += _encode_bars(self._source, self._query, instrument, *before)
        at: int | None = low
        while at is not None:
            basis, table = _bars(self._source, self._query, instrument, self._upto, at, BARS_PAGE)
            at = table["end"][-1].as_py() if table.num_rows == BARS_PAGE else None
            newer = pc.fill_null(pc.greater(table["revision"], self._after), False)
            events += _encode_bars(
                self._source, self._query, instrument, basis, table.filter(newer)
            )
        return events


def _keep_least(least: dict[int, int], numbers: np.ndarray, ts: np.ndarray) -> None:
    order = np.lexsort((ts, numbers))
    found, places = np.unique(numbers[order], return_index=True)
    for number, value in zip(found.tolist(), ts[order][places].tolist(), strict=True):
        least[number] = min(value, least.get(number, value))


def _bars(
    source: Source,
    query: CandleQuery,
    instrument: Instrument,
    upto: int,
    start: int | None,
    limit: int,
    *,
    end: int | None = None,
) -> tuple[str, pa.Table]:
    candles = source.history.candles(
        instrument,
        query.grid,
        basis=query.basis,
        start=start,
        end=end,
        limit=limit,
        as_of=AsOf(seq_max=upto),
    )
    return candles.basis, candles.table


def _encode_bars(
    source: Source, query: CandleQuery, instrument: Instrument, basis: str, table: pa.Table
) -> list[bytes]:
    if not table.num_rows:
        return []
    numbers = pa.array(np.full(table.num_rows, instrument.number, dtype=np.int32))
    whole = table.add_column(0, CANDLE_SCHEMA.field("instrument"), numbers)
    registry = source.history.registry
    return [
        event
        for batch in whole.combine_chunks().to_batches()
        for event in encode_rows(CANDLES, batch, source.codec, registry, query.key(basis))
    ]
