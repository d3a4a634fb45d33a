"""A data folder in Python, without a server: `tickplant.open(path)`.

The methods and their parameters are those of `tickplant.Client`, and so are the results, so that a
script may be moved from a folder to a running plant by changing one line. A folder may be read
while a plant runs on it: it is seen as it was when it was opened, and nothing in it is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import open_folder
from tickplant.formats.instruments import public_instruments
from tickplant.formats.result import Rows
from tickplant.formats.rows import (
    candle_structs,
    public_candles,
    public_quarantine,
    public_quotes,
    public_trades,
    quote_structs,
    trade_structs,
)
from tickplant.model.errors import InvalidParameter, NotFound
from tickplant.model.events import MARKET_TABLES, TRADES
from tickplant.model.instruments import Instrument
from tickplant.model.times import format_time, parse_time
from tickplant.plant.folder import JOURNAL
from tickplant.plant.history import History
from tickplant.store.contract import NOW, AsOf, Cursor

ORDERS = ("asc", "desc")
FILLS = ("none", "previous", "null")
CHUNK_ROWS = 200_000
ARCHIVE = "archive"


def open_data(path: str | Path) -> Folder:
    """Open a data folder for reading; known as `tickplant.open`.

    Raises `NotFound` where there is no such folder or it holds no data.
    """
    folder = Path(path)
    if not (folder / JOURNAL).is_dir() and not (folder / ARCHIVE).is_dir():
        raise NotFound(f"data: {folder} holds no data of a plant")
    return Folder(folder)


class Folder:
    """The data of one folder. Safe for several threads; usable in a `with` statement."""

    def __init__(self, path: Path) -> None:
        self.path = path
        opened = open_folder(path)
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
        self, *, venue: str | None = None, kind: str | None = None, q: str | None = None
    ) -> Rows:
        """Return the instruments in the order in which they became known.

        `q` is a part of a symbol or alias; case does not matter.
        """
        found = [i for i in self._history.registry if _matches(i, venue, kind, q)]
        return Rows(public_instruments(sorted(found, key=lambda i: i.number)))

    def trades(self, symbol: str, **query: Any) -> Rows:
        """Return trades of an instrument as they stand, corrections applied.

        `start`, `end`: a half-open range of `ts_event`; `order`: asc or desc; `limit`: all where it
        is None; `as_of`: a sequence number or a time. Times are RFC 3339 with a zone, integer
        nanoseconds or aware datetimes. Raises `UnknownSymbol`, `InvalidParameter`.
        """
        instrument = self._history.registry.resolve(symbol)
        rows = self._history.trades(instrument, **self._rows_query(**query))
        return Rows(public_trades(rows, instrument), _about(instrument))

    def quotes(self, symbol: str, **query: Any) -> Rows:
        """Return quotes of an instrument; the parameters are those of `trades`."""
        instrument = self._history.registry.resolve(symbol)
        rows = self._history.quotes(instrument, **self._rows_query(**query))
        return Rows(public_quotes(rows, instrument), _about(instrument))

    def candles(
        self,
        symbol: str,
        *,
        interval: str = "1m",
        start: Any = None,
        end: Any = None,
        limit: int | None = None,
        basis: str | None = None,
        timezone: str = "UTC",
        day_start: str = "00:00",
        fill: str = "none",
        as_of: Any = None,
    ) -> Rows:
        """Return bars with `start <= start of bar < end`, ascending, the forming one included.

        All of them where `limit` is None; with a limit the first ones from `start` on, or the
        newest where there is no `start`. `basis` is trade, mid, bid or ask; by default trade where
        there are trades, else mid. Raises `UnknownSymbol`, `InvalidParameter`.
        """
        if fill not in FILLS:
            raise InvalidParameter("fill", fill, ", ".join(FILLS))
        instrument = self._history.registry.resolve(symbol)
        grid = Grid(parse_interval(interval), timezone, day_start)
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
        about = {"interval": shown, "basis": candles.basis, "timezone": grid.timezone}
        return Rows(
            public_candles(candles.table, instrument, shown, candles.basis),
            _about(instrument) | about | {"day_start": grid.day_start},
        )

    def latest(self, symbol: str) -> dict[str, Any]:
        """Return the last trade, the last quote and the last 1-minute candle, or None for each."""
        instrument = self._history.registry.resolve(symbol)
        found = self._history.latest(instrument)
        shown: dict[str, Any] = _about(instrument)
        ts = found["ts_event"]
        shown["ts_event"] = None if ts is None else format_time(ts)
        for name, structs in _STRUCTS.items():
            rows = found[name]
            shown[name] = None if rows is None else to_builtins(structs(rows)[0])
        return shown

    def quarantine(
        self, *, reason: str | None = None, table: str | None = None, **query: Any
    ) -> Rows:
        """Return refused rows by time of receipt; the other parameters are those of `trades`."""
        rows = self._history.quarantine(reason=reason, table=table, **self._rows_query(**query))
        numbers = rows["feed"].to_pylist()
        names = {number: self._catalog.feed_name(number) for number in set(numbers)}
        return Rows(public_quarantine(rows, [names[number] for number in numbers]))

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
        """Yield trades or quotes in order as tables of at most `CHUNK_ROWS`: bounded memory."""
        if table not in MARKET_TABLES:
            raise InvalidParameter("table", table, ", ".join(MARKET_TABLES))
        instrument = self._history.registry.resolve(symbol)
        low, high = _range(start, end)
        read, show = (
            (self._history.trades, public_trades)
            if table == TRADES
            else (self._history.quotes, public_quotes)
        )
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
        start: Any = None,
        end: Any = None,
        order: str = "asc",
        limit: int | None = None,
        as_of: Any = None,
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


def to_builtins(struct: Any) -> Any:
    """Return a row of the API as dictionaries and plain values."""
    import msgspec  # noqa: PLC0415 - only here

    return msgspec.to_builtins(struct)


_STRUCTS: dict[str, Callable[[pa.Table], list[Any]]] = {
    "trade": trade_structs,
    "quote": quote_structs,
    "candle": candle_structs,
}


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


def _matches(instrument: Instrument, venue: str | None, kind: str | None, part: str | None) -> bool:
    names = (instrument.symbol, *instrument.aliases)
    return (
        (venue is None or instrument.venue == venue.upper())
        and (kind is None or instrument.kind == kind.lower())
        and (part is None or any(part.upper() in name.upper() for name in names))
    )
