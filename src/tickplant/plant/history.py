"""What was stored, as rows and as candles: the one reader under the routes, the client and SQL.

Works alike over a running plant's store and over a folder that is opened read-only. Every method
blocks; call it from a thread where an event loop runs. Safe from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.candles.activity import activity_of, check_activity
from tickplant.candles.basis import BASES, table_of
from tickplant.candles.conditions import InstrumentRules
from tickplant.candles.fill import fill_gaps
from tickplant.candles.grid import Grid
from tickplant.candles.states import FinishedBars, States, empty
from tickplant.formats.texts import RowTexts
from tickplant.model.conditions import TradeRules
from tickplant.model.errors import InvalidParameter
from tickplant.model.events import BOOK, MARKET_TABLES, QUARANTINE, QUOTES, TRADES
from tickplant.model.instruments import Instrument, Registry
from tickplant.model.times import INT64_MIN, parse_time
from tickplant.plant.activity import ActivityDays, ActivityReader
from tickplant.plant.activity_table import finish_activity
from tickplant.plant.bar_reader import BarReader
from tickplant.plant.bar_table import ShownBars
from tickplant.plant.book_history import replay_book
from tickplant.plant.books import BookView, LiveBooks
from tickplant.plant.coverage import CoverageBook, InstrumentCoverage
from tickplant.plant.coverage_reader import CoverageChanges, read_book
from tickplant.plant.gaps import GapQuery, select_gaps
from tickplant.plant.kept import Kept
from tickplant.plant.latest import Latest, read_last_rows, read_latest
from tickplant.plant.served import ServedCandles
from tickplant.plant.served_reader import Offered, ServedReader
from tickplant.plant.stats import last_stats, read_stats
from tickplant.store.contract import NOW, AsOf, Cursor, Store

Bars = BarReader | ServedReader

SEQ_MAX = 10**15
"""An integer `as_of` up to here is a sequence number, above it nanoseconds (from 1970-01-12)."""

FILLED_MAX = 1_000_000
"""Most bars that `fill` makes where no limit was given; more are refused."""


@dataclass(frozen=True, slots=True)
class Candles:
    """Bars of one instrument, ascending by start; `table` has the schema `CANDLE_SCHEMA`."""

    instrument: Instrument
    grid: Grid
    basis: str
    bars: pa.Table | ShownBars

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def table(self) -> pa.Table:
        """The bars as columns, which are made at the first time."""
        return self.bars.table if isinstance(self.bars, ShownBars) else self.bars


class History:
    """Reads of a store. `seq_last` is the last sequence number that is visible.

    `book` is what is known of the feeds now, kept by a running plant; without it, it is read.
    `texts` are rows that were written down as JSON, `kept` answers, for whoever asks again.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        seq_last: Callable[[], int],
        book: Callable[[], CoverageBook] | None = None,
        lateness_ns: int = 0,
        trade_rules: TradeRules | None = None,
    ) -> None:
        self.store = store
        self.registry = registry
        self._seq_last = seq_last
        trade_rules = TradeRules() if trade_rules is None else trade_rules
        self.rules = InstrumentRules(trade_rules, lambda number: registry.number(number).venue)
        self._lateness_ns = lateness_ns
        self._book = self._book_as_read if book is None else book
        self._served: tuple[ServedCandles, Offered] | None = None
        self.texts = RowTexts()
        self.kept = Kept()
        self._as_read: tuple[int, CoverageBook] | None = None
        self.books: LiveBooks | None = None

    def serve(self, served: ServedCandles, offer: Offered) -> None:
        """Read served bars from memory from now on; `offer` gets those that memory lacks."""
        self._served = served, offer

    @property
    def served(self) -> ServedCandles | None:
        """The served bars and the last rows in memory, if there are any."""
        return None if self._served is None else self._served[0]

    def order_book(self, instrument: Instrument, depth: int = 0, as_of: AsOf = NOW) -> BookView:
        """Return the best `depth` levels a side of a book, 0 is all, and its state.

        As it was known at `as_of`: then from the rows since its last CLEAR. A folder that is only
        read shows its newest books as stale, because nobody there hears of the feeds.
        """
        if as_of == NOW and self.books is not None:
            view = self.books.view(instrument.number, depth)
            if view is not None:
                return view
        held = replay_book(self.store, instrument.number, self._pin(as_of))
        if held is None:
            return BookView(instrument.number, "none")
        there = as_of != NOW and not self._was_gone(held.feed, as_of)
        return BookView.of(instrument.number, held, depth, there=there)

    def _was_gone(self, feed: int, as_of: AsOf) -> bool:
        """Return whether a feed was away as far as was known."""
        book = read_book(self.store, self.seq_last, as_of, events=False)
        return book.ledger.lasting(feed) is not None

    @property
    def book(self) -> CoverageBook:
        """What is known of the feeds now."""
        return self._book()

    @property
    def seq_last(self) -> int:
        """The last sequence number that a read can see."""
        return self._seq_last()

    def resolve_as_of(self, value: object, name: str = "as_of") -> AsOf:
        """Return the `AsOf` that a sequence number or a time means.

        An integer up to 10**15 is a sequence number; anything else is a time of receipt.
        Raises `InvalidParameter`, for a negative integer, too: nothing was received before 1970.
        """
        allowed = "a sequence number, RFC 3339 with a zone, or integer nanoseconds"
        text = str(value).strip()
        if text.startswith("-"):
            raise InvalidParameter(name, value, allowed)
        if text.isascii() and text.isdigit() and int(text) <= SEQ_MAX:
            return AsOf(seq_max=int(text))
        try:
            return AsOf(ts_recv_max=parse_time(value, name))
        except InvalidParameter as fault:
            raise InvalidParameter(name, value, allowed) from fault

    def trades(self, instrument: Instrument, **query: Any) -> pa.Table:
        """Return trades as they stand, amended; see `_rows` for the query."""
        return self._rows(TRADES, instrument.number, **query)

    def quotes(self, instrument: Instrument, **query: Any) -> pa.Table:
        """Return quotes; see `_rows` for the query."""
        return self._rows(QUOTES, instrument.number, **query)

    def stats(
        self, instrument: Instrument, *, names: Collection[str] | None = None, **query: Any
    ) -> pa.Table:
        """Return statistics, of these names where they are given; see `_rows` for the query."""
        return read_stats(self.store, instrument.number, names, **query)

    def last_stats(
        self,
        instruments: Iterable[Instrument],
        names: Collection[str] | None = None,
        as_of: AsOf = NOW,
    ) -> pa.Table:
        """Return the last statistic of each name of each instrument; see `stats.last_stats`."""
        return last_stats(self.store, [one.number for one in instruments], names, as_of)

    def book_rows(self, instrument: Instrument, **query: Any) -> pa.Table:
        """Return rows of its order book as they were stored; see `_rows` for the query."""
        return self._rows(BOOK, instrument.number, **query)

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
            table,
            number,
            start=start,
            end=end,
            descending=descending,
            limit=limit,
            after=after,
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
                QUARANTINE,
                start=start,
                end=end,
                descending=descending,
                limit=limit,
                after=after,
                as_of=as_of,
            )
            kept = _matching(rows, reason, table)
            found.append(kept if left is None else kept.slice(0, left))
            if limit is None or rows.num_rows < limit:
                break
            left = limit - sum(part.num_rows for part in found)
            after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
        return pa.concat_tables(found)

    def _book_as_read(self) -> CoverageBook:
        seq, known = self.seq_last, self._as_read
        if known is None or known[0] != seq:
            known = self._as_read = seq, self.read_book()
        return known[1]

    def read_book(self, as_of: AsOf = NOW, instrument: int | None = None) -> CoverageBook:
        """Return what was known of the feeds; enough for one instrument, or for all."""
        return read_book(
            self.store,
            self.seq_last,
            as_of,
            instrument=instrument,
            lateness_ns=self._lateness_ns,
        )

    def coverage(self, instrument: int, as_of: AsOf = NOW) -> InstrumentCoverage:
        """Return what is covered of an instrument, and how far its event time has come."""
        book = self._book() if as_of == NOW else self.read_book(as_of, instrument)
        return book.of(instrument, self._last_known(instrument, as_of))

    def coverage_changes(self, after: int, upto: int) -> CoverageChanges:
        """Return what is known of coverage as of two numbers, to be compared."""
        before, now = (self.read_book(AsOf(seq_max=seq)) for seq in (after, upto))
        return CoverageChanges(before, now, after, upto, self._last_known)

    def gaps(
        self,
        *,
        feed: int | None = None,
        instrument: int | None = None,
        start: int | None = None,
        end: int | None = None,
        status: str | None = None,
        limit: int | None = None,
        after: int = 0,
        descending: bool = False,
        as_of: AsOf = NOW,
    ) -> pa.Table:
        """Return entries of the gap ledger by id, in `gaps.GAP_SCHEMA`.

        Of the feed of this number, those that touch an instrument (the whole feed's that serves it
        included) or the span `[start, end)`, with this status; at most `limit`, those behind the
        id `after`, in the order asked for.
        """
        if as_of == NOW:
            book = self._book()
        else:
            book = read_book(self.store, self.seq_last, as_of, events=False)
        query = GapQuery(feed, instrument, start, end, status, after, limit, descending)
        return select_gaps(book, query)

    def mark(self, instrument: int, *, book: bool = False) -> Hashable | None:
        """Return what is another value after anything that a read of an instrument depends on.

        Of two reads of the present, each begun after its mark was taken, the second gives what the
        first one gave where the marks are equal. None where that is not known. With `book` the
        time of its live book is among what counts.
        """
        if self.served is None:
            return None
        marks: list[Hashable] = []
        for table in MARKET_TABLES:
            mark = self.served.last_rows[table].mark(instrument)
            if mark is None:
                return None
            marks += mark, self.store.generation(table)
        if book and self.books is not None:
            marks.append(self.books.time_of(instrument))
        return (*marks, self._book().stamp(instrument))

    def watermark(self, instrument: int, as_of: AsOf = NOW) -> int:
        """Return how far the event time of an instrument has surely come.

        That is its last event, of trades and quotes alike, or the last of a whole feed that serves
        it. `INT64_MIN` where there is neither.
        """
        return self.coverage(instrument, as_of).watermark

    def _last_known(self, instrument: int, as_of: AsOf) -> int:
        """Return the last event time of an instrument, of trades and quotes alike."""
        if as_of == NOW:
            spans = [self.store.span(table, instrument) for table in MARKET_TABLES]
            return max((span[1] for span in spans if span), default=INT64_MIN)
        last = [
            self.store.scan(
                table,
                instrument,
                columns=["ts_event"],
                as_of=as_of,
                descending=True,
                limit=1,
                amended=False,
            )["ts_event"].to_pylist()
            for table in MARKET_TABLES
        ]
        return max((ts for times in last for ts in times), default=INT64_MIN)

    def default_basis(self, instrument: int, as_of: AsOf = NOW) -> str:
        """Return `trade` where the instrument had trades, else `mid`."""
        if not self.store.span(TRADES, instrument):
            return "mid"
        if as_of == NOW:
            return "trade"
        known = self.store.scan(
            TRADES, instrument, columns=["seq"], as_of=as_of, limit=1, amended=False
        )
        return "trade" if known.num_rows else "mid"

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
        index: int | None = None,
    ) -> Candles:
        """Return bars whose start lies in `[start, end)`, ascending; the forming bar included.

        `start` is floored to its bar. Without `start` they are the newest `limit` bars. Bars by
        activity have no boundaries to floor to: they begin with the first one that ends at or after
        `start`, or with the bar of that `index` in the day of `start`.
        """
        basis = check_activity(grid, basis, fill)
        basis = self.default_basis(instrument.number, as_of) if basis is None else basis
        if basis not in BASES:
            raise InvalidParameter("basis", basis, ", ".join(BASES))
        coverage = self.coverage(instrument.number, as_of)
        span = self.store.span(table_of(basis), instrument.number)
        bars: States | FinishedBars
        if activity_of(grid) is not None:
            days = ActivityDays(self.store, grid, basis, self.rules)
            known = ActivityReader(days, instrument.number, self._pin(as_of), span)
            found = known.read(start, end, limit, index)
            return Candles(instrument, grid, basis, finish_activity(found, grid, basis, coverage))
        pinned = self._pin(as_of)
        stored = BarReader(self.store, instrument.number, grid, basis, pinned, span, self.rules)
        served = self._served if as_of == NOW else None
        reader: Bars = stored if served is None else ServedReader(stored, *served)
        if fill == "none":
            bars = reader.read(start, end, limit)
        else:
            bars = self._filled(reader, start, end, limit, fill, coverage.watermark)
        return Candles(instrument, grid, basis, ShownBars(bars, grid, basis, coverage))

    def _pin(self, as_of: AsOf) -> AsOf:
        """Return the snapshot as it is now, from which later arrivals stay out."""
        seq_max = self.seq_last if as_of.seq_max is None else min(as_of.seq_max, self.seq_last)
        return AsOf(seq_max, as_of.ts_recv_max)

    def _filled(
        self,
        reader: Bars,
        start: int | None,
        end: int | None,
        limit: int | None,
        fill: str,
        watermark: int,
    ) -> FinishedBars:
        """Return bars without holes, from the first known one or `start` to the watermark's.

        Raises `InvalidParameter` for more than `FILLED_MAX` where there is no limit.
        """
        grid = reader.grid
        count = FILLED_MAX + 1 if limit is None else limit
        # With a start there are bars of an instrument that never had such an event, too.
        first = start if reader.span is None else reader.span[0]
        if first is None or watermark == INT64_MIN:
            return empty().finish()
        last = watermark if end is None else min(watermark, end - 1)
        grid.check_known(last, last)
        until = grid.next(grid.floor(watermark))
        until = until if end is None else min(until, end)
        if start is None:
            newest = grid.newest(grid.floor(first), until, count)
            since = int(newest[0]) if len(newest) else until
        else:
            since = grid.floor(start)
        if limit is None and len(grid.range(since, until, count)) == count:
            allowed = f"a limit; at most {FILLED_MAX} bars are filled at once"
            raise InvalidParameter("limit", "none", allowed)
        close = np.nan
        if fill == "previous":
            close = _close_before(reader, since)
        bars = reader.read(since, until, count).finish()
        return fill_gaps(bars, grid, since, until, fill, limit=count, previous_close=close)

    def latest(self, instruments: Sequence[Instrument]) -> Latest:
        """Return the last trade, quote and 1-minute candle of instruments; see `Latest`."""
        return read_latest(self, instruments)

    def last_rows(
        self, table: str, instruments: Sequence[Instrument]
    ) -> tuple[list[dict[str, Any] | None], list[int]]:
        """Return the last row of each instrument, None for none, and its latest event time."""
        return read_last_rows(self, table, instruments)


def _close_before(reader: Bars, at: int) -> float:
    """Return the last close before a time, NaN for none; not every bar has one."""
    limit = 1
    while True:
        before = reader.read(None, at, limit)
        known = before.close[~np.isnan(before.close)]
        if len(known) or len(before) < limit:
            return float(known[-1]) if len(known) else np.nan
        at, limit = int(before.start[0]), 4 * limit


def _matching(rows: pa.Table, reason: str | None, table: str | None) -> pa.Table:
    for name, wanted in (("reason", reason), ("table", table)):
        if wanted is not None:
            rows = rows.filter(pc.equal(rows[name], wanted))
    return rows
