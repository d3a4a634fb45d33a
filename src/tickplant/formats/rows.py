"""Stored rows as the API shows them: as columns for tools, as structs for JSON.

`public_*` returns a table with UTC timestamps, names instead of codes and the instrument's names in
its first two columns. `*_structs` returns one struct a row, for `msgspec.json.encode`, which writes
NaN as null. Both keep the order of the rows they are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.formats.result import JSON_TEXT, read_json_text
from tickplant.model.events import SIDES, flag_names
from tickplant.model.instruments import Instrument
from tickplant.model.times import format_times

TIMESTAMP = pa.timestamp("ns", tz="UTC")

PLACE_COLUMNS = ("day", "index")
"""What candles by count, volume or value have: which of its day a bar is."""
SPREAD_COLUMNS = ("spread_min", "spread_max", "spread_mean", "spread_bps")
"""What candles of quotes have and those of trades have not."""


class TradeRow(msgspec.Struct, gc=False):
    """A trade as JSON shows it."""

    ts_event: str
    ts_recv: str
    seq: int
    price: float
    size: float | None
    side: str | None
    id: str | None
    conditions: str | None
    exchange: str | None
    flags: list[str]
    corrects: int | msgspec.UnsetType = msgspec.UNSET


class QuoteRow(msgspec.Struct, gc=False):
    """A quote as JSON shows it; a side without a quote is null."""

    ts_event: str
    ts_recv: str
    seq: int
    bid_price: float | None
    bid_size: float | None
    ask_price: float | None
    ask_size: float | None
    exchange: str | None
    flags: list[str]


class StatRow(msgspec.Struct, gc=False):
    """A statistic as JSON shows it."""

    ts_event: str
    ts_recv: str
    seq: int
    name: str
    value: float
    flags: list[str]


class LastStatRow(msgspec.Struct, gc=False):
    """The last statistic of a name and an instrument as JSON shows it."""

    symbol: str
    venue: str
    ts_event: str
    ts_recv: str
    seq: int
    name: str
    value: float
    flags: list[str]


class CandleRow(msgspec.Struct, gc=False):
    """A candle as JSON shows it; spreads are there for candles of quotes only, `day` and `index`
    for those by count, volume or value."""

    start: str
    end: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    vwap: float | None
    count: int
    revision: int | None
    state: str
    coverage: float
    spread_min: float | msgspec.UnsetType = msgspec.UNSET
    spread_max: float | msgspec.UnsetType = msgspec.UNSET
    spread_mean: float | msgspec.UnsetType = msgspec.UNSET
    spread_bps: float | msgspec.UnsetType = msgspec.UNSET
    day: str | msgspec.UnsetType = msgspec.UNSET
    index: int | msgspec.UnsetType = msgspec.UNSET


class QuarantineRow(msgspec.Struct, gc=False):
    """A refused row as JSON shows it; `row` is the row as it was sent."""

    ts_recv: str
    seq: int
    feed: str
    table: str
    symbol: str | None
    reason: str
    detail: str
    row: Any


def trade_structs(rows: pa.Table) -> list[TradeRow]:
    """Return trades, a table of `SCHEMAS["trades"]`, as structs."""
    refs = rows["ref_seq"].to_numpy()
    corrects = [ref or msgspec.UNSET for ref in refs.tolist()] if refs.any() else ()
    columns = (
        *_stamps(rows),
        _floats(rows["price"]),
        _floats(rows["size"]),
        [SIDES[code] for code in rows["side"].to_numpy().tolist()],
        _texts(rows["id"]),
        _texts(rows["conditions"]),
        _texts(rows["exchange"]),
        _flags(rows),
    )
    if corrects:
        return list(map(TradeRow, *columns, corrects))
    return list(map(TradeRow, *columns))


def quote_structs(rows: pa.Table) -> list[QuoteRow]:
    """Return quotes, a table of `SCHEMAS["quotes"]`, as structs."""
    return list(
        map(
            QuoteRow,
            *_stamps(rows),
            _floats(rows["bid_price"]),
            _floats(rows["bid_size"]),
            _floats(rows["ask_price"]),
            _floats(rows["ask_size"]),
            _texts(rows["exchange"]),
            _flags(rows),
        )
    )


def stat_structs(rows: pa.Table) -> list[StatRow]:
    """Return statistics, a table of `SCHEMAS["stats"]`, as structs."""
    return list(map(StatRow, *_stat_columns(rows)))


def last_stat_structs(rows: pa.Table, instruments: Sequence[Instrument]) -> list[LastStatRow]:
    """Return statistics of several instruments, one a row, as structs."""
    symbols = [one.symbol for one in instruments]
    venues = [one.venue for one in instruments]
    return list(map(LastStatRow, symbols, venues, *_stat_columns(rows)))


def _stat_columns(rows: pa.Table) -> tuple[Iterable[Any], ...]:
    return *_stamps(rows), rows["name"].to_pylist(), _floats(rows["value"]), _flags(rows)


def candle_structs(rows: pa.Table) -> list[CandleRow]:
    """Return candles, a table with the columns of `CandleRow`, as structs."""
    columns = (
        format_times(rows["start"].to_numpy()),
        format_times(rows["end"].to_numpy()),
        *(_floats(rows[name]) for name in ("open", "high", "low", "close", "volume", "vwap")),
        rows["count"].to_numpy().tolist(),
        rows["revision"].to_pylist(),
        rows["state"].to_pylist(),
        _floats(rows["coverage"]),
        *_optional(rows),
    )
    return list(map(CandleRow, *columns))


def candle_rows(
    *,
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    prices: Iterable[NDArray[np.float64]],
    sums: Iterable[NDArray[np.float64]] | None,
    count: NDArray[np.int64],
    revision: NDArray[np.int64],
    states: list[str],
    coverage: NDArray[np.float64],
    spreads: Sequence[NDArray[np.float64]] | None,
) -> list[CandleRow]:
    """Return candles as structs, from columns of shape (n,).

    `prices` are open to close, `sums` the volume and the vwap, None for candles of quotes, which
    have `spreads` instead, or none of them where no quote had two sides. A `revision` of 0 is none.
    """
    nothing: Iterable[Any] = repeat(None)
    columns: list[Iterable[Any]] = [
        format_times(start),
        format_times(end),
        *(column.tolist() for column in prices),
        *((nothing, nothing) if sums is None else (column.tolist() for column in sums)),
        count.tolist(),
        [number or None for number in revision.tolist()],
        states,
        coverage.tolist(),
    ]
    if spreads is not None:
        nothing = repeat(math.nan)
        columns += [column.tolist() for column in spreads] or [nothing] * len(SPREAD_COLUMNS)
    return list(map(CandleRow, *columns))


def quarantine_structs(rows: pa.Table, feeds: Sequence[str]) -> list[QuarantineRow]:
    """Return refused rows as structs; `feeds` are the feeds' names, one a row."""
    return list(
        map(
            QuarantineRow,
            format_times(rows["ts_recv"].to_numpy()),
            rows["seq"].to_pylist(),
            feeds,
            *(rows[name].to_pylist() for name in ("table", "symbol", "reason", "detail")),
            map(read_json_text, rows["row"].to_pylist()),
        )
    )


def public_trades(rows: pa.Table, instrument: Instrument) -> pa.Table:
    """Return trades as columns for tools."""
    refs = rows["ref_seq"]
    return pa.table(
        {
            **_names(rows, instrument),
            **_public_stamps(rows),
            "price": rows["price"],
            "size": rows["size"],
            "side": pa.array(SIDES, pa.string()).take(rows["side"].combine_chunks()),
            "id": rows["id"],
            "conditions": rows["conditions"],
            "exchange": rows["exchange"],
            "flags": _flag_lists(rows),
            "corrects": pc.if_else(pc.equal(refs, 0), pa.scalar(None, pa.int64()), refs),
        }
    )


def public_quotes(rows: pa.Table, instrument: Instrument) -> pa.Table:
    """Return quotes as columns for tools."""
    kept = ("bid_price", "bid_size", "ask_price", "ask_size", "exchange")
    return pa.table(
        {
            **_names(rows, instrument),
            **_public_stamps(rows),
            **{name: rows[name] for name in kept},
            "flags": _flag_lists(rows),
        }
    )


def public_stats(rows: pa.Table, instrument: Instrument) -> pa.Table:
    """Return statistics of one instrument as columns for tools."""
    return pa.table({**_names(rows, instrument), **_public_stats(rows)})


def public_last_stats(rows: pa.Table, instruments: Sequence[Instrument]) -> pa.Table:
    """Return statistics of several instruments, one a row, as columns for tools."""
    names = {
        "symbol": pa.array([one.symbol for one in instruments], pa.string()),
        "venue": pa.array([one.venue for one in instruments], pa.string()),
    }
    return pa.table({**names, **_public_stats(rows)})


def _public_stats(rows: pa.Table) -> dict[str, Any]:
    kept = {name: rows[name] for name in ("name", "value")}
    return {**_public_stamps(rows), **kept, "flags": _flag_lists(rows)}


def public_candles(rows: pa.Table, instrument: Instrument, interval: str, basis: str) -> pa.Table:
    """Return candles as columns for tools."""
    prices = ("open", "high", "low", "close", "volume", "vwap")
    kept = (*prices, "count", "revision", "state", "coverage")
    return pa.table(
        {
            **_names(rows, instrument),
            "interval": _repeat(interval, rows.num_rows),
            "basis": _repeat(basis, rows.num_rows),
            "start": rows["start"].cast(TIMESTAMP),
            "end": rows["end"].cast(TIMESTAMP),
            **{name: rows[name] for name in (*kept, *_spreads(rows))},
            **_places(rows),
        }
    )


def with_spreads(candles: pa.Table) -> pa.Table:
    """Return candles as columns with those of spreads, null for trades, so that all are alike."""
    for name in SPREAD_COLUMNS:
        if name not in candles.column_names:
            candles = candles.append_column(name, pa.nulls(candles.num_rows, pa.float64()))
    return candles


def public_quarantine(rows: pa.Table, feeds: Sequence[str]) -> pa.Table:
    """Return refused rows as columns for tools; `row` is JSON text, which its field says."""
    kept = ("table", "symbol", "reason", "detail", "row")
    table = pa.table(
        {
            "ts_recv": rows["ts_recv"].cast(TIMESTAMP),
            "seq": rows["seq"],
            "feed": pa.array(feeds, pa.string()),
            **{name: rows[name] for name in kept},
        }
    )
    place = table.schema.get_field_index("row")
    return table.cast(table.schema.set(place, table.field(place).with_metadata(JSON_TEXT)))


def public_records(records: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Return dictionaries as columns; nested values that `schema` calls text become JSON text."""
    rows = list(records)
    columns = []
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if pa.types.is_string(field.type):
            values = [_as_text(value) for value in values]
        columns.append(pa.array(values, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _spreads(rows: pa.Table) -> tuple[str, ...]:
    return SPREAD_COLUMNS if SPREAD_COLUMNS[0] in rows.column_names else ()


def _placed(rows: pa.Table) -> bool:
    return PLACE_COLUMNS[0] in rows.column_names


def _places(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {"day": rows["day"].cast(TIMESTAMP), "index": rows["index"]} if _placed(rows) else {}


def _optional(rows: pa.Table) -> list[Iterable[Any]]:
    """Return the columns that not all candles have, in the order of `CandleRow`."""
    spreads: list[Iterable[Any]] = [_floats(rows[name]) for name in _spreads(rows)]
    if not _placed(rows):
        return spreads
    if not spreads:
        spreads = [repeat(msgspec.UNSET)] * len(SPREAD_COLUMNS)
    return [*spreads, format_times(rows["day"].to_numpy()), rows["index"].to_pylist()]


def _stamps(rows: pa.Table) -> tuple[list[str], list[str], list[int]]:
    return (
        format_times(rows["ts_event"].to_numpy()),
        _run_times(rows["ts_recv"].to_numpy()),
        rows["seq"].to_numpy().tolist(),
    )


def _run_times(ns: NDArray[np.int64]) -> list[str]:
    """Return times as text; rows that came in one body have one time, which is made once."""
    heads = np.flatnonzero(np.append(True, ns[1:] != ns[:-1])[: len(ns)])
    if 2 * len(heads) > len(ns):
        return format_times(ns)
    texts = np.array(format_times(ns[heads]), dtype=object)
    repeated: list[str] = texts.repeat(np.diff(heads, append=len(ns))).tolist()
    return repeated


def _public_stamps(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {
        "ts_event": rows["ts_event"].cast(TIMESTAMP),
        "ts_recv": rows["ts_recv"].cast(TIMESTAMP),
        "seq": rows["seq"],
    }


def _names(rows: pa.Table, instrument: Instrument) -> dict[str, pa.Array]:
    return {
        "symbol": _repeat(instrument.symbol, rows.num_rows),
        "venue": _repeat(instrument.venue, rows.num_rows),
    }


def _repeat(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text, pa.string()), count)


def _floats(column: pa.ChunkedArray) -> list[float]:
    values: list[float] = column.to_numpy().tolist()
    return values


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    # Most optional texts are absent from whole pages, and `to_pylist` is slow.
    if column.null_count == len(column):
        return [None] * len(column)
    texts: list[str | None] = column.to_numpy(zero_copy_only=False).tolist()
    return texts


def _flags(rows: pa.Table) -> list[list[str]]:
    bits = rows["flags"].to_numpy().tolist()
    named = {value: flag_names(value) for value in set(bits)}
    return [named[value] for value in bits]


def _flag_lists(rows: pa.Table) -> pa.Array:
    values, places = np.unique(rows["flags"].to_numpy(), return_inverse=True)
    named = pa.array([flag_names(int(value)) for value in values], pa.list_(pa.string()))
    return named.take(pa.array(places))


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
