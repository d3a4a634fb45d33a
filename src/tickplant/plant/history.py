"""What was stored, as rows and as candles: the one reader under the routes, the client and SQL.

Works alike over a running plant's store and over a folder that is opened read-only. Every method
blocks; call it from a thread where an event loop runs. Safe from any thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.candles.fill import fill_gaps
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.candles.states import FinishedBars, States, merge
from tickplant.model.errors import InvalidParameter
from tickplant.model.events import MARKET_TABLES, QUARANTINE, QUOTES, TRADES
from tickplant.model.instruments import Instrument, Registry
from tickplant.model.times import INT64_MAX, INT64_MIN, NS_PER_DAY, parse_time
from tickplant.plant.bars import BASES, states_between, table_of
from tickplant.store.contract import NOW, AsOf, Cursor, Store

MINUTE = Grid(parse_interval("1m"))
SEQ_MAX = 10**15
"""An integer `as_of` up to here is a sequence number, above it is nanoseconds (after 1970-01-12)."""

_NOMINAL_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": NS_PER_DAY,
               "w": 7 * NS_PER_DAY, "mo": 30 * NS_PER_DAY}

CANDLE_SCHEMA = pa.schema(
    [
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.float64()),
        pa.field("vwap", pa.float64()),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("revision", pa.int64()),
        pa.field("forming", pa.bool_(), nullable=False),
    ]
)
"""Candles as columns, by `start`. `volume` and `vwap` are null for bars of quotes, `vwap` also where
nothing was traded with a size; prices and `revision` are null for bars made by `fill`."""


@dataclass(frozen=True, slots=True)
class Candles:
    """Bars of one instrument, ascending by start. `table` has the schema `CANDLE_SCHEMA`."""

    instrument: Instrument
    grid: Grid
    basis: str
    table: pa.Table


def finish(bars: FinishedBars, basis: str, watermark: int) -> pa.Table:
    """Return finished bars as a table of `CANDLE_SCHEMA`.

    A bar is forming while no event of its instrument, of any age, has reached its end.
    """
    sized = basis == "trade"
    nothing = pa.nulls(len(bars.start), pa.float64())
    columns = [
        pa.array(bars.start),
        pa.array(bars.end),
        *(pa.array(column, from_pandas=True) for column in (bars.open, bars.high, bars.low, bars.close)),
        pa.array(bars.volume, from_pandas=True) if sized else nothing,
        pa.array(bars.vwap, from_pandas=True) if sized else nothing,
        pa.array(bars.count),
        pa.array(bars.revision, mask=bars.revision == 0),
        pa.array(bars.end > watermark),
    ]
    return pa.Table.from_arrays(columns, schema=CANDLE_SCHEMA)


class History:
    """Reads of a store. `seq_last` is the last sequence number that is visible."""

    def __init__(self, store: Store, registry: Registry, seq_last: Callable[[], int]) -> None:
        self.store = store
        self.registry = registry
        self._seq_last = seq_last

    @property
    def seq_last(self) -> int:
        """The last sequence number that a read can see."""
        return self._seq_last()

    def resolve_as_of(self, value: object, name: str = "as_of") -> AsOf:
        """Return the `AsOf` that a sequence number or a time means.

        An integer up to 10**15 is a sequence number; anything else is a time of receipt.
        Raises `InvalidParameter`.
        """
        text = str(value).strip()
        if text.isdigit() and int(text) <= SEQ_MAX:
            return AsOf(seq_max=int(text))
        try:
            return AsOf(ts_recv_max=parse_time(value, name))
        except InvalidParameter as fault:
            allowed = "a sequence number, RFC 3339 with a zone, or integer nanoseconds"
            raise InvalidParameter(name, value, allowed) from fault

    def trades(self, instrument: Instrument, **query: Any) -> pa.Table:
        """Return trades as they stand, amended; see `_rows` for the query."""
        return self._rows(TRADES, instrument.number, **query)

    def quotes(self, instrument: Instrument, **query: Any) -> pa.Table:
        """Return quotes; see `_rows` for the query."""
        return self._rows(QUOTES, instrument.number, **query)

    def _rows(
        self,
        table: str,
        number: int,
        *,
        start: int | None = None,
        end: int | None = None,
        descending: bool = False,
        limit: int | None = None,
        after: Cursor | None = None,
        as_of: AsOf = NOW,
    ) -> pa.Table:
        """Return rows with `start <= ts_event < end` in event order, in the table's schema."""
        return self.store.scan(
            table, number, start=start, end=end, descending=descending, limit=limit, after=after,
            as_of=as_of,
        )

    def quarantine(
        self,
        *,
        start: int | None = None,
        end: int | None = None,
        reason: str | None = None,
        table: str | None = None,
        limit: int | None = None,
        after: Cursor | None = None,
        descending: bool = False,
        as_of: AsOf = NOW,
    ) -> pa.Table:
        """Return refused rows by time of receipt, filtered by reason and by table."""
        found: list[pa.Table] = []
        left = limit
        while left is None or left > 0:
            rows = self.store.scan(
                QUARANTINE, start=start, end=end, descending=descending, limit=limit,
                after=after, as_of=as_of,
            )
            kept = _matching(rows, reason, table)
            found.append(kept if left is None else kept.slice(0, left))
            if limit is None or rows.num_rows < limit:
                break
            left = limit - sum(part.num_rows for part in found)
            after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
        return pa.concat_tables(found)

    def watermark(self, instrument: int) -> int:
        """Return the last event time of an instrument, of trades and quotes alike."""
        spans = [self.store.span(table, instrument) for table in MARKET_TABLES]
        return max((span[1] for span in spans if span), default=INT64_MIN)

    def default_basis(self, instrument: int) -> str:
        """Return `trade` where the instrument has trades, else `mid`."""
        return "trade" if self.store.span(TRADES, instrument) else "mid"

    def candles(
        self,
        instrument: Instrument,
        grid: Grid,
        *,
        basis: str | None = None,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
        fill: str = "none",
        as_of: AsOf = NOW,
    ) -> Candles:
        """Return bars whose start lies in `[start, end)`, ascending; the forming bar included.

        `start` is floored to its bar. Without `start` they are the newest `limit` bars.
        """
        basis = self.default_basis(instrument.number) if basis is None else basis
        if basis not in BASES:
            raise InvalidParameter("basis", basis, ", ".join(BASES))
        span = self.store.span(table_of(basis), instrument.number)
        watermark = self.watermark(instrument.number)
        low, high = _bounds(grid, span, start, end)
        newest = start is None
        reader = _BarReader(self.store, instrument.number, grid, basis, as_of, limit)
        states = reader.newest(low, high) if newest else reader.oldest(low, high)
        bars = fill_gaps(states.finish(grid), grid, *_fill_span(states, start, grid, high), fill)
        table = finish(bars, basis, watermark)
        if limit is not None and table.num_rows > limit:
            table = table.slice(table.num_rows - limit if newest else 0, limit)
        return Candles(instrument, grid, basis, table)

    def latest(self, instrument: Instrument) -> dict[str, Any]:
        """Return the last trade, quote and 1-minute candle, each a one-row table or None."""
        number = instrument.number
        rows: dict[str, Any] = {}
        for name, table in (("trade", TRADES), ("quote", QUOTES)):
            found = self.store.scan(table, number, descending=True, limit=1)
            rows[name] = found if found.num_rows else None
        candle = self.candles(instrument, MINUTE, limit=1).table
        rows["candle"] = candle if candle.num_rows else None
        watermark = self.watermark(number)
        rows["ts_event"] = None if watermark == INT64_MIN else watermark
        return rows


def _matching(rows: pa.Table, reason: str | None, table: str | None) -> pa.Table:
    for name, wanted in (("reason", reason), ("table", table)):
        if wanted is not None:
            rows = rows.filter(pc.equal(rows[name], wanted))
    return rows


def _bounds(
    grid: Grid, span: tuple[int, int] | None, start: int | None, end: int | None
) -> tuple[int, int]:
    """Return the bar boundaries `[low, high)` of the bars to read; empty where there are none."""
    if span is None:
        return 0, 0
    low = grid.floor(max(span[0], span[0] if start is None else start))
    last = span[1] if end is None else min(span[1], end - 1)
    if last < low:
        return 0, 0
    high = grid.next(grid.floor(last))
    return (low, high) if low < high else (0, 0)


def _fill_span(states: States, start: int | None, grid: Grid, high: int) -> tuple[int, int]:
    """Return the span that `fill` may fill: between known bars, never beyond the last event."""
    if not len(states.start):
        return 0, 0
    first = int(states.start[0])
    last = int(grid.next(int(states.start[-1])))
    del start, high
    return first, last


@dataclass(frozen=True, slots=True)
class _BarReader:
    """Reads enough bars, and not many more, from one end of a span."""

    store: Store
    instrument: int
    grid: Grid
    basis: str
    as_of: AsOf
    limit: int | None

    def oldest(self, low: int, high: int) -> States:
        parts: list[States] = []
        at, width = low, self._width()
        while at < high and not self._enough(parts):
            until = min(self._edge_after(at + width), high)
            parts.append(self._states(at, until))
            at, width = until, width * 4
        return self._cut(merge(parts), newest=False)

    def newest(self, low: int, high: int) -> States:
        parts: list[States] = []
        at, width = high, self._width()
        while at > low and not self._enough(parts):
            since = max(self.grid.floor(max(at - width, low)), low)
            since = since if since < at else low
            parts.append(self._states(since, at))
            at, width = since, width * 4
        return self._cut(merge(parts), newest=True)

    def _width(self) -> int:
        interval = self.grid.interval
        bars = 2 * (self.limit if self.limit is not None else 1_000)
        return min(_NOMINAL_NS[interval.unit] * interval.count * bars, 200 * 365 * NS_PER_DAY)

    def _edge_after(self, ts: int) -> int:
        return self.grid.next(self.grid.floor(min(ts, INT64_MAX // 2)))

    def _enough(self, parts: list[States]) -> bool:
        return self.limit is not None and sum(len(p.start) for p in parts) >= self.limit

    def _states(self, start: int, end: int) -> States:
        return states_between(
            self.store, self.instrument, self.grid, self.basis, start, end, self.as_of
        )

    def _cut(self, states: States, *, newest: bool) -> States:
        count = len(states.start)
        if self.limit is None or count <= self.limit:
            return states
        places = np.arange(count - self.limit, count) if newest else np.arange(self.limit)
        return states.take(places)
