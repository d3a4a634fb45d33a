"""A data folder in Python, without a server: `tickplant.open(path)`.

The methods and their parameters are those of `tickplant.Client`, and so are the results, so that a
script may be moved from a folder to a running plant by changing one line. A folder may be read
while a plant runs on it: it is seen as it was when it was opened, and nothing in it is changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from tickplant.analytics.ask import parse_indicators
from tickplant.candles.fill import FILLS
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.checks.stats import parse_stat_names
from tickplant.compose import open_folder
from tickplant.config import load
from tickplant.formats.books import public_book_rows
from tickplant.formats.gaps import public_gaps
from tickplant.formats.indicators import public_event_indicators, public_indicators
from tickplant.formats.instruments import is_wanted, public_instruments
from tickplant.formats.latest import public_latest
from tickplant.formats.result import Rows
from tickplant.formats.rows import (
    public_candles,
    public_last_stats,
    public_quarantine,
    public_quotes,
    public_stats,
    public_trades,
)
from tickplant.model.conditions import TradeRules
from tickplant.model.errors import InvalidParameter, NotFound
from tickplant.model.events import BOOK, POSTED_TABLES, QUOTES, STATS, STATUSES, TRADES
from tickplant.model.instruments import Instrument
from tickplant.model.times import parse_time
from tickplant.plant.book_shown import check_bps, check_depth, read_measured, shown_book
from tickplant.plant.event_indicators import (
    IndicatedEvents,
    check_no_bars,
    read_event_indicators,
)
from tickplant.plant.folder import JOURNAL
from tickplant.plant.history import History
from tickplant.plant.indicators import Indicated, read_indicators
from tickplant.store.contract import NOW, AsOf, Cursor

ORDERS = ("asc", "desc")
CHUNK_ROWS = 200_000
ARCHIVE = "archive"


def open_data(path: str | Path, *, config: str | Path | None = None) -> Folder:
    """Open a data folder for reading; known as `tickplant.open`.

    `config` is the plant's settings file: what it says of trade conditions shapes candles. Raises
    `NotFound` where there is no such folder or it holds no data, `ConfigError` for bad settings.
    """
    folder = Path(path)
    if not (folder / JOURNAL).is_dir() and not (folder / ARCHIVE).is_dir():
        raise NotFound(f"data: the folder {folder} holds no data of a plant")
    rules = None if config is None else load(file=Path(config)).conditions
    return Folder(folder, trade_rules=rules)


_PUBLIC = {
    TRADES: public_trades,
    QUOTES: public_quotes,
    STATS: public_stats,
    BOOK: public_book_rows,
}


class Folder:
    """The data of one folder. Safe for several threads; usable in a `with` statement."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], int] = time.time_ns,
        trade_rules: TradeRules | None = None,
    ) -> None:
        self.path = path
        self._clock = clock
        opened = open_folder(path, trade_rules)
        self._history = opened.history
        self._catalog = opened.catalog

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release files. Idempotent."""
        self._history.store.close()

    @property
    def history(self) -> History:
        """The reader underneath, in the plant's own terms."""
        return self._history

    @property
    def seq_last(self) -> int:
        """The last sequence number that is seen."""
        return self._history.seq_last

    def instruments(
        self,
        *,
        venue: str | None = None,
        kind: str | None = None,
        q: str | None = None,
        limit: int | None = None,
    ) -> Rows:
        """Return the instruments in the order in which they became known.

        `q` is a part of a symbol, a venue or an alias; case does not matter.
        """
        wanted = (one for one in self._history.registry if is_wanted(one, venue, kind, q))
        found = sorted(wanted, key=lambda one: one.number)
        return Rows(public_instruments(found[: _limit(limit)]))

    def trades(
        self,
        symbol: str,
        *,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return trades of an instrument as they stand, corrections applied.

        `start`, `end`: a half-open range of `ts_event`; `order`: asc or desc; `limit`: all where it
        is None; `as_of`: a sequence number or a time. Times are RFC 3339 with a zone, integer
        nanoseconds or aware datetimes. Raises `UnknownSymbol`, `InvalidParameter`.
        """
        instrument = self._history.registry.resolve(symbol)
        query = self._rows_query(start, end, limit, order, as_of)
        rows = self._history.trades(instrument, **query)
        return Rows(public_trades(rows, instrument), _about(instrument))

    def quotes(
        self,
        symbol: str,
        *,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return quotes of an instrument; the parameters are those of `trades`."""
        instrument = self._history.registry.resolve(symbol)
        query = self._rows_query(start, end, limit, order, as_of)
        rows = self._history.quotes(instrument, **query)
        return Rows(public_quotes(rows, instrument), _about(instrument))

    def stats(
        self,
        symbol: str,
        *,
        name: str | Iterable[str] | None = None,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return statistics of an instrument, such as open interest, with one of these names.

        The other parameters are those of `trades`.
        """
        instrument = self._history.registry.resolve(symbol)
        names = parse_stat_names(name)
        query = self._rows_query(start, end, limit, order, as_of)
        rows = self._history.stats(instrument, names=names, **query)
        return Rows(public_stats(rows, instrument), _about(instrument))

    def last_stats(
        self,
        symbols: str | Iterable[str],
        *,
        name: str | Iterable[str] | None = None,
        as_of: Any = None,
    ) -> Rows:
        """Return the last statistic of each name of some instruments, in their order."""
        registry = self._history.registry
        given = symbols.split(",") if isinstance(symbols, str) else symbols
        chosen = [registry.resolve(one.strip()) for one in given]
        if not chosen:
            raise InvalidParameter("symbols", "", "at least one symbol")
        names = parse_stat_names(name)
        rows = self._history.last_stats(dict.fromkeys(chosen), names, self._as_of(as_of))
        instruments = [registry.number(number) for number in rows["instrument"].to_pylist()]
        return Rows(public_last_stats(rows, instruments))

    def candles(
        self,
        symbol: str,
        interval: str = "1m",
        *,
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        basis: str | None = None,
        timezone: str | None = None,
        day_start: str | None = None,
        calendar: str | None = None,
        session: str | None = None,
        fill: str = "none",
        as_of: Any = None,
    ) -> Rows:
        """Return bars with `start <= start of bar < end`, ascending, the forming one included.

        All of them where `limit` is None; with a limit the first ones from `start` on, or the
        newest where there is no `start`. `basis` is trade, mid, bid or ask; by default trade where
        there are trades, else mid. Days begin at `day_start` (HH:MM) in the zone `timezone`, by
        default at midnight UTC, or are those of an exchange `calendar` (XNYS), whose `session` is
        regular, extended or all. Raises `UnknownSymbol`, `InvalidParameter`.
        """
        if fill not in FILLS:
            raise InvalidParameter("fill", fill, ", ".join(FILLS))
        instrument = self._history.registry.resolve(symbol)
        grid = Grid.of(parse_interval(interval), timezone, day_start, calendar, session)
        low, high = _range(start, end)
        candles = self._history.candles(
            instrument,
            grid,
            basis=basis,
            start=low,
            end=high,
            limit=_limit(limit),
            fill=fill,
            as_of=self._as_of(as_of),
        )
        shown = str(grid.interval)
        about = {"interval": shown, "basis": candles.basis, **grid.origin}
        return Rows(
            public_candles(candles.table, instrument, shown, candles.basis),
            _about(instrument) | about,
        )

    def indicators(
        self,
        symbol: str,
        name: str | Iterable[str],
        interval: str = "1m",
        *,
        period: int | None = None,
        fast: int | None = None,
        slow: int | None = None,
        signal: int | None = None,
        deviations: float | None = None,
        source: str | None = None,
        over: str = "bars",
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        basis: str | None = None,
        timezone: str | None = None,
        day_start: str | None = None,
        calendar: str | None = None,
        session: str | None = None,
        fill: str = "none",
        as_of: Any = None,
    ) -> Rows:
        """Return the bars of `candles`, or with `over="events"` ticks, and indicators of each.

        `name` is one of sma, ema, wma, vwap, rsi, macd, bbands, atr, or several, each with its own
        parameters behind colons: `["sma:20", "ema:50:hlc3"]`. Raises `UnknownSymbol`,
        `InvalidParameter`, and `NotInstalled` where TA-Lib is missing.
        """
        chosen = parse_indicators(
            name,
            {
                "period": period,
                "fast": fast,
                "slow": slow,
                "signal": signal,
                "deviations": deviations,
                "source": source,
            },
        )
        low, high = _range(start, end)
        query: dict[str, Any] = {
            "basis": basis,
            "start": low,
            "end": high,
            "limit": _limit(limit),
            "as_of": self._as_of(as_of),
        }
        instrument = self._history.registry.resolve(symbol)
        origin = {"timezone": timezone, "day_start": day_start, "calendar": calendar}
        of_bars = {"interval": interval, **origin, "session": session, "fill": fill}
        if over == "events":
            check_no_bars(of_bars)
            return _indicated_events(
                read_event_indicators(self._history, instrument, chosen, **query)
            )
        if over != "bars":
            raise InvalidParameter("over", over, "bars, events")
        if fill not in FILLS:
            raise InvalidParameter("fill", fill, ", ".join(FILLS))
        grid = Grid.of(parse_interval(interval), timezone, day_start, calendar, session)
        return _indicated(
            read_indicators(self._history, instrument, grid, chosen, fill=fill, **query)
        )

    def book(
        self,
        symbol: str,
        *,
        depth: int = 20,
        bps: float | None = None,
        as_of: Any = None,
    ) -> dict[str, Any]:
        """Return an order book: its best `depth` levels a side and what is measured of it.

        `bids` and `asks` are lists of [price, size], the best first; `state` is live, stale,
        rebuilding or none. `bps` adds `depth_bps`, the sizes within so many basis points of the
        mid. What there is not is None. A folder that is
        only read shows its newest books as stale: it hears of no feed.
        """
        history = self._history
        instrument = history.registry.resolve(symbol)
        check_depth(depth)
        check_bps(bps)
        known = NOW if as_of is None else history.resolve_as_of(as_of)
        return shown_book(instrument, *read_measured(history, instrument, depth, bps, known), bps)

    def latest(self, symbols: str | Iterable[str]) -> Any:
        """Return the last trade, quote and 1-minute candle of one symbol, a list for several.

        What there is none of is None; `age_s` is the age of the last event now. `["*"]` is all.
        """
        if isinstance(symbols, str):
            return self._latest([self._history.registry.resolve(symbols)])[0]
        return self._latest(self._resolve(symbols))

    def _latest(self, instruments: list[Instrument]) -> list[dict[str, Any]]:
        import msgspec  # noqa: PLC0415 - only here

        last = self._history.latest(instruments)
        found = public_latest(instruments, last.tables, last.places, last.last, self._clock())
        shown: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(found))
        return shown  # in which NaN has become None

    def _resolve(self, symbols: Iterable[str]) -> list[Instrument]:
        wanted = list(dict.fromkeys(symbol.strip() for symbol in symbols))
        if not wanted:
            raise InvalidParameter("symbols", "", "at least one symbol, or * for all")
        registry = self._history.registry
        return list(registry) if wanted == ["*"] else [registry.resolve(one) for one in wanted]

    def quarantine(
        self,
        *,
        start: Any = None,
        end: Any = None,
        reason: str | None = None,
        table: str | None = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return refused rows by time of receipt, which `start` and `end` are about.

        `row` is the row as it was sent: an object where rows are iterated, JSON text in columns.
        """
        if table is not None and table not in (*POSTED_TABLES, BOOK):
            raise InvalidParameter("table", table, ", ".join((*POSTED_TABLES, BOOK)))
        query = self._rows_query(start, end, limit, order, as_of)
        rows = self._history.quarantine(reason=reason, table=table, **query)
        numbers = rows["feed"].to_pylist()
        names = {number: self._catalog.feed_name(number) for number in set(numbers)}
        return Rows(public_quarantine(rows, [names[number] for number in numbers]))

    def gaps(
        self,
        *,
        feed: str | None = None,
        symbol: str | None = None,
        start: Any = None,
        end: Any = None,
        status: str | None = None,
        limit: int | None = None,
        order: str = "asc",
        as_of: Any = None,
    ) -> Rows:
        """Return what is known to be missing, by id: the gap ledger.

        Gaps of a feed, that touch an instrument or the span `[start, end)`, and with a status:
        open, repairing, repaired or unrepairable. Raises `UnknownFeed`, `UnknownSymbol`,
        `InvalidParameter`.
        """
        if status is not None and status not in STATUSES:
            raise InvalidParameter("status", status, ", ".join(STATUSES))
        if order not in ORDERS:
            raise InvalidParameter("order", order, ", ".join(ORDERS))
        low, high = _range(start, end)
        registry = self._history.registry
        rows = self._history.gaps(
            feed=None if feed is None else self._catalog.find_feed(feed),
            instrument=None if symbol is None else registry.resolve(symbol).number,
            start=low,
            end=high,
            status=status,
            limit=_limit(limit),
            descending=order == "desc",
            as_of=self._as_of(as_of),
        )
        return Rows(public_gaps(rows, self._catalog.feed_name, registry.number))

    def sql(self, text: str) -> Rows:
        """Return the result of one reading statement; see `sql_batches` for large ones."""
        return Rows(self.sql_batches(text).read_all())

    def sql_batches(self, text: str) -> pa.RecordBatchReader:
        """Return the result of one reading statement as a stream; raises `BadQuery`."""
        from tickplant.sql import query  # noqa: PLC0415 - the database takes long to import

        return query(self._history, text, self._catalog.feeds)

    def row_chunks(
        self, table: str, symbol: str, *, start: Any = None, end: Any = None, as_of: Any = None
    ) -> Iterator[pa.Table]:
        """Yield rows of a table in order, at most `CHUNK_ROWS` at once: bounded memory."""
        if table not in _PUBLIC:
            raise InvalidParameter("table", table, ", ".join(_PUBLIC))
        instrument = self._history.registry.resolve(symbol)
        low, high = _range(start, end)
        name = "book_rows" if table == BOOK else table
        read: Callable[..., pa.Table] = getattr(self._history, name)
        show = _PUBLIC[table]
        after: Cursor | None = None
        while True:
            rows = read(
                instrument,
                start=low,
                end=high,
                limit=CHUNK_ROWS,
                after=after,
                as_of=self._as_of(as_of),
            )
            if rows.num_rows:
                yield show(rows, instrument)
            if rows.num_rows < CHUNK_ROWS:
                return
            after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())

    def _rows_query(
        self,
        start: Any,
        end: Any,
        limit: int | None,
        order: str,
        as_of: Any,
    ) -> dict[str, Any]:
        if order not in ORDERS:
            raise InvalidParameter("order", order, ", ".join(ORDERS))
        low, high = _range(start, end)
        return {
            "start": low,
            "end": high,
            "descending": order == "desc",
            "limit": _limit(limit),
            "as_of": self._as_of(as_of),
        }

    def _as_of(self, value: Any) -> AsOf:
        return NOW if value is None else self._history.resolve_as_of(value)


def _indicated(found: Indicated) -> Rows:
    candles = found.candles
    interval = str(candles.grid.interval)
    about = {"interval": interval, "basis": candles.basis, **candles.grid.origin}
    return Rows(
        public_indicators(
            candles.table, found.columns, candles.instrument, interval, candles.basis
        ),
        _about(candles.instrument) | about,
    )


def _indicated_events(found: IndicatedEvents) -> Rows:
    return Rows(
        public_event_indicators(found.rows, found.columns, found.instrument, found.basis),
        _about(found.instrument) | {"basis": found.basis},
    )


def _about(instrument: Instrument) -> dict[str, Any]:
    return {"symbol": instrument.symbol, "venue": instrument.venue}


def _range(start: Any, end: Any) -> tuple[int | None, int | None]:
    low = None if start is None else parse_time(start, "start")
    high = None if end is None else parse_time(end, "end")
    if low is not None and high is not None and high < low:
        raise InvalidParameter("end", end, "a time that is not before start")
    return low, high


def _limit(limit: int | None) -> int | None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InvalidParameter("limit", limit, "a whole number from 1 on, or None for all")
    return limit
