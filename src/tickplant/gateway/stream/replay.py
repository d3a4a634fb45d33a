"""Reading what the ring no longer holds: history in chunks, in a thread, already encoded.

A reader is asked for one chunk at a time (`next`), blocks, and is never asked twice at once. Each
chunk says up to which number the subscription is then complete.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.candles.basis import table_of
from tickplant.candles.grid import Grid
from tickplant.gateway.stream.encode import encode_rows
from tickplant.gateway.stream.protocol import Codec
from tickplant.model.events import MARKET_TABLES, QUOTES, SCHEMAS, TRADES, Flag
from tickplant.model.instruments import Instrument
from tickplant.plant.history import History
from tickplant.plant.published import CANDLE_SCHEMA, CANDLES, CandleKey
from tickplant.store.contract import AsOf

CHUNK_ROWS = 20_000
BARS_PAGE = 5_000
BARS_TURN = 1_000


class Chunk(NamedTuple):
    """Encoded events, complete up to `seq`. `missed` counts events that are not among them."""

    events: list[bytes]
    seq: int
    done: bool
    missed: int = 0


class Reader(Protocol):
    """What a subscription reads from when the ring does not have it."""

    def next(self) -> Chunk:
        """Return the next chunk; the last one says `done`."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where a reader reads and how it encodes. `numbers` is None for all instruments."""

    history: History
    codec: Codec
    numbers: tuple[int, ...] | None = None

    def encode_table(self, channel: str, rows: pa.Table) -> list[bytes]:
        """Return rows of a stored table as encoded events."""
        return [
            event
            for batch in rows.combine_chunks().to_batches()
            for event in encode_rows(channel, batch, self.codec, self.history.registry)
        ]


class RowReader:
    """Rows as they were logged, `after < seq <= upto`, of at least `start` in event time."""

    def __init__(
        self, source: Source, table: str, after: int, upto: int, start: int | None
    ) -> None:
        self._source = source
        self._table = table
        self._after = after
        self._upto = upto
        self._start = start

    def next(self) -> Chunk:
        """Return at most `CHUNK_ROWS` rows in sequence order."""
        rows = _scan(self._source, self._table, self._after, self._upto, self._start)
        done = rows.num_rows < CHUNK_ROWS
        self._after = self._upto if done else rows["seq"][-1].as_py()
        return Chunk(self._source.encode_table(self._table, rows), self._after, done)


def first_seq(source: Source, table: str, start: int, upto: int) -> int:
    """Return the number before the first row with `ts_event >= start`; `upto` if there is none."""
    rows = source.history.store.scan_seq(
        table, 0, upto, instruments=source.numbers, start=start, limit=1
    )
    return rows["seq"][0].as_py() - 1 if rows.num_rows else upto


class LatestReader:
    """The last quote of each instrument among those with `after < seq <= upto`: conflation."""

    def __init__(self, source: Source, after: int, upto: int, start: int | None) -> None:
        self._source = source
        self._after = after
        self._upto = upto
        self._start = start

    def next(self) -> Chunk:
        """Return them all in one chunk, in sequence order; `missed` are those left out."""
        last: dict[int, pa.Table] = {}
        seen = 0
        for rows in _chunks(self._source, QUOTES, self._after, self._upto, self._start):
            seen += rows.num_rows
            numbers = rows["instrument"].to_numpy()
            found, places = np.unique(numbers[::-1], return_index=True)
            newest = rows.take(pa.array(len(numbers) - 1 - places))
            last.update(
                (number, newest.slice(place, 1)) for place, number in enumerate(found.tolist())
            )
        if not last:
            return Chunk([], self._upto, done=True)
        kept = pa.concat_tables(last.values()).sort_by("seq")
        return Chunk(self._source.encode_table(QUOTES, kept), self._upto, True, seen - len(last))


class SnapshotReader:
    """The last trade or quote of each instrument as of a number, flagged `snapshot`."""

    def __init__(
        self, source: Source, table: str, instruments: list[Instrument], upto: int
    ) -> None:
        self._source = source
        self._table = table
        self._instruments = instruments
        self._upto = upto

    def next(self) -> Chunk:
        """Return them all in one chunk, in sequence order."""
        store, as_of = self._source.history.store, AsOf(seq_max=self._upto)
        found = [
            store.scan(self._table, one.number, descending=True, limit=1, as_of=as_of)
            for one in self._instruments
        ]
        rows = pa.concat_tables([SCHEMAS[self._table].empty_table(), *found]).sort_by("seq")
        flags = pc.bit_wise_or(rows["flags"], pa.scalar(int(Flag.SNAPSHOT), pa.int32()))
        place = rows.schema.get_field_index("flags")
        rows = rows.set_column(place, rows.schema.field(place), flags)
        return Chunk(self._source.encode_table(self._table, rows), self._upto, done=True)


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
            for rows in _chunks(source, table, self._after, self._upto, None):
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


def _scan(source: Source, table: str, after: int, upto: int, start: int | None) -> pa.Table:
    return source.history.store.scan_seq(
        table, after, upto, instruments=source.numbers, start=start, limit=CHUNK_ROWS
    )


def _chunks(
    source: Source, table: str, after: int, upto: int, start: int | None
) -> Iterator[pa.Table]:
    while True:
        rows = _scan(source, table, after, upto, start)
        if rows.num_rows:
            yield rows
            after = rows["seq"][-1].as_py()
        if rows.num_rows < CHUNK_ROWS:
            return


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
