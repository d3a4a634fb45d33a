"""The last that is known of instruments, thousands of them at once: rows, 1-minute bars, times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.candles.states import States
from tickplant.model.at_once import about_to_wait
from tickplant.model.events import MARKET_TABLES, QUOTES, SCHEMAS, TRADES
from tickplant.model.instruments import Instrument
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.bar_table import finish
from tickplant.plant.coverage import CoverageBook, Measured, Numbers
from tickplant.plant.last_rows import LastRows
from tickplant.plant.newest import last_rows
from tickplant.plant.watermarks import measure
from tickplant.store.contract import NOW, Store

if TYPE_CHECKING:
    from tickplant.plant.history import History

Ints = NDArray[np.int64]

MINUTE = Grid(parse_interval("1m"))
FEW = 4
"""Up to so many bars are read one by one, which spares the look at all instruments."""


@dataclass(frozen=True, slots=True)
class Latest:
    """The last of n instruments. `places` are the rows in `tables` of each, -1 for none.

    `tables` are `trade`, `quote` and `candle`, in parts that are counted through: bars of trades
    and of quotes have other columns. `last` is the latest event time as logged, of trades, quotes
    and the books that the plant holds; `INT64_MIN` for none.
    """

    tables: Mapping[str, Sequence[pa.Table]]
    places: Mapping[str, Ints]
    last: Ints


def read_latest(history: History, instruments: Sequence[Instrument]) -> Latest:
    """Return the last of these instruments, from memory where it is there, else from the store."""
    held = history.served.last_rows if history.served is not None else {}
    if len(instruments) == 1:
        latest = _read_one(history, held, instruments[0])
        if latest is not None:
            return latest
    asked = np.array([one.number for one in instruments], np.int64)
    numbers = np.unique(asked)
    found = {
        table: _last_of(history.store, held.get(table), table, numbers) for table in MARKET_TABLES
    }
    last = np.maximum(found[TRADES].last, found[QUOTES].last)
    traded = found[TRADES].last != INT64_MIN
    quoted = ~traded & (found[QUOTES].last != INT64_MIN)
    reader = _BarReader(history, numbers, last)
    candles = reader.read("trade", numbers[traded]) + reader.read("mid", numbers[quoted])
    tables = {"trade": [found[TRADES].rows], "quote": [found[QUOTES].rows], "candle": candles}
    places = {name: _places(parts, asked) for name, parts in tables.items()}
    newest = np.maximum(last, book_times(history, numbers))
    return Latest(tables, places, newest[np.searchsorted(numbers, asked)])


def book_times(history: History, numbers: Ints) -> Ints:
    """Return up to which event time the plant holds the books of instruments."""
    none = np.full(numbers.shape, INT64_MIN, np.int64)
    return none if history.books is None else history.books.times(numbers)


def _read_one(
    history: History, held: Mapping[str, LastRows], instrument: Instrument
) -> Latest | None:
    """Return the last of one instrument from memory, in few steps; None where it is not there."""
    rows: dict[str, pa.RecordBatch | None] = {}
    for table in MARKET_TABLES:
        row, floor = held[table].one(instrument.number) if table in held else (None, INT64_MAX)
        if floor > (INT64_MIN if row is None else row.column("ts_event")[0].as_py()):
            return None
        rows[table] = row
    times = {name: row.column("ts_event")[0].as_py() for name, row in rows.items() if row}
    bars: list[pa.Table] = []
    if times:
        basis = "trade" if TRADES in times else "mid"
        table = history.candles(instrument, MINUTE, basis=basis, limit=1).table
        bars = [_numbered(table, np.full(table.num_rows, instrument.number, np.int32))]
    parts = [
        [] if row is None else [pa.Table.from_batches([row])]
        for row in (rows[TRADES], rows[QUOTES])
    ]
    tables = dict(zip(("trade", "quote", "candle"), (*parts, bars), strict=True))
    places = {
        name: np.array([0 if any(part.num_rows for part in parts) else -1])
        for name, parts in tables.items()
    }
    last = np.array([max(times.values(), default=INT64_MIN)], np.int64)
    booked = book_times(history, np.array([instrument.number], np.int64))
    return Latest(tables, places, np.maximum(last, booked))


def read_last_rows(
    history: History, table: str, instruments: Sequence[Instrument]
) -> tuple[list[dict[str, Any] | None], list[int]]:
    """Return the last row of each instrument, None for none, and its latest event time.

    The time is `INT64_MIN` where there is none.
    """
    asked = np.array([one.number for one in instruments], np.int64)
    numbers = np.unique(asked)
    held = history.served.last_rows if history.served is not None else {}
    found = _last_of(history.store, held.get(table), table, numbers)
    rows: list[dict[str, Any] | None] = [*found.rows.to_pylist(), None]
    places = _places([found.rows], asked).tolist()
    last: list[int] = found.last[np.searchsorted(numbers, asked)].tolist()
    return [rows[place] for place in places], last


def _places(parts: Sequence[pa.Table], asked: Ints) -> Ints:
    """Return in which row each instrument is, the rows of all parts counted through."""
    row_of = np.full(int(asked.max(initial=0)) + 1, -1, np.int64)
    none = np.empty(0, np.int64)
    rows = np.concatenate([none, *(part["instrument"].to_numpy() for part in parts)])
    row_of[rows] = np.arange(len(rows))
    return row_of[asked]


@dataclass(frozen=True, slots=True)
class _LastOf:
    """The last row of each instrument that has one; `last` as in `Latest`, by rising number."""

    rows: pa.Table
    last: Ints


def _last_of(store: Store, held: LastRows | None, table: str, numbers: Ints) -> _LastOf:
    last = np.full(numbers.shape, INT64_MIN, np.int64)
    rows, unsure = SCHEMAS[table].empty_table(), numbers
    if held is not None and len(numbers):
        rows, unsure = held.read(numbers)
    if len(unsure) and store.span(table) is not None:
        about_to_wait()
        rows = pa.concat_tables([rows, last_rows(store, table, unsure, NOW)])
        if table == TRADES:  # a cancelled one counts for how far the events went
            columns = ("instrument", "ts_event")
            _raise(last, numbers, last_rows(store, table, unsure, NOW, columns=columns,
                                            amended=False))  # fmt: skip
    _raise(last, numbers, rows)
    return _LastOf(rows, last)


def _raise(last: Ints, numbers: Ints, rows: pa.Table) -> None:
    places = np.searchsorted(numbers, rows["instrument"].to_numpy())
    np.maximum.at(last, places, rows["ts_event"].to_numpy())


@dataclass(frozen=True, slots=True)
class _Coverage:
    """The coverage of instruments, rising, with their last event times; a `Coverage` of bars."""

    book: CoverageBook
    numbers: Ints
    last: Ints

    def measure(self, grid: Grid, instrument: Numbers, starts: Ints, ends: Ints) -> Measured:
        with self.book.lock:
            own = self.last[np.searchsorted(self.numbers, instrument)]
            whole = self.book.watermarks(np.asarray(instrument, np.int64))
            return measure(self.book, np.maximum(own, whole), grid, instrument, starts, ends)


@dataclass(frozen=True, slots=True)
class _BarReader:
    """Reads the newest bar of each of many instruments, rising, with their last event times."""

    history: History
    numbers: Ints
    last: Ints

    def read(self, basis: str, wanted: Ints) -> list[pa.Table]:
        """Return the bars of those that have one, in parts, with the instrument as a column."""
        parts: list[pa.Table] = []
        served = self.history.served
        states = served.newest(MINUTE, basis) if served and len(wanted) > FEW else None
        if states is not None:
            states = states.take(np.isin(states.instrument, wanted))
            parts.append(self._finished(states, basis))
            wanted = np.setdiff1d(wanted, states.instrument)
        for number in wanted.tolist():
            instrument = self.history.registry.number(number)
            table = self.history.candles(instrument, MINUTE, basis=basis, limit=1).table
            parts.append(_numbered(table, np.full(table.num_rows, number, np.int32)))
        return [pa.concat_tables(parts)] if parts else []

    def _finished(self, states: States, basis: str) -> pa.Table:
        last = self.last.copy()
        # An event may have come between the look at the last rows and that at the bars.
        np.maximum.at(last, np.searchsorted(self.numbers, states.instrument), states.close_ts)
        coverage = _Coverage(self.history.book, self.numbers, last)
        return _numbered(finish(states.finish(), MINUTE, basis, coverage), states.instrument)


def _numbered(table: pa.Table, instrument: NDArray[np.int32]) -> pa.Table:
    return table.add_column(0, "instrument", pa.array(instrument))
