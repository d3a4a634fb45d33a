"""Rows to encoded events: each row once for each wire format, however many watch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import UNSET
from numpy.typing import NDArray

from tickplant.gateway.stream.protocol import CandleEvent, Codec, QuoteEvent, TradeEvent
from tickplant.model.events import QUOTES, SIDES, TRADES, flag_names
from tickplant.model.instruments import Registry
from tickplant.model.times import format_time, format_times
from tickplant.plant.published import CANDLES, CandleKey, Published

Rows = NDArray[np.intp]
FORMING = "forming"
_FLAGS: dict[int, list[str]] = {}


def encode_entry(
    entry: Published, rows: Rows | None, codec: Codec, registry: Registry
) -> list[bytes]:
    """Return the encoded events of some rows of an entry, or of all (None), in their order."""
    slots = entry.encoded.get(codec.name)
    if slots is None:
        slots = [None] * entry.count
        entry.encoded[codec.name] = slots
    wanted = range(entry.count) if rows is None else rows.tolist()
    missing = [row for row in wanted if slots[row] is None]
    if missing:
        for row, event in zip(
            missing, _encode_missing(entry, missing, codec, registry), strict=True
        ):
            slots[row] = event
    if rows is None:
        return slots  # type: ignore[return-value]
    return [slots[row] for row in wanted]  # type: ignore[misc]


def _encode_missing(
    entry: Published, missing: list[int], codec: Codec, registry: Registry
) -> list[bytes]:
    if entry.rows is None:
        return [codec.encode(entry.message)]
    batch = entry.rows if len(missing) == entry.count else entry.rows.take(pa.array(missing))
    return encode_rows(entry.channel, batch, codec, registry, entry.key)


def encode_rows(
    channel: str,
    rows: pa.RecordBatch,
    codec: Codec,
    registry: Registry,
    key: CandleKey | None = None,
) -> list[bytes]:
    """Return each row as an encoded event of its channel; `key` is for candles."""
    if channel == CANDLES:
        assert key is not None
        events = _candles(rows, registry, key)
    else:
        events = _EVENTS[channel](rows, registry)
    encode = codec.encode
    return [encode(event) for event in events]


def _trades(rows: pa.RecordBatch, registry: Registry) -> Iterator[TradeEvent]:
    get = _columns(rows)
    columns = zip(
        *_header(get, registry),
        get("price"),
        get("size"),
        get("side"),
        get("id"),
        get("conditions"),
        get("exchange"),
        get("flags"),
        get("ref_seq"),
        strict=True,
    )
    for (
        symbol,
        venue,
        ts,
        recv,
        seq,
        price,
        size,
        side,
        id,
        conditions,
        exchange,
        bits,
        ref,
    ) in columns:
        yield TradeEvent(
            symbol,
            venue,
            ts,
            recv,
            seq,
            price,
            size,
            SIDES[side],
            id,
            conditions,
            exchange,
            _flags(bits),
            ref or UNSET,
        )


def _quotes(rows: pa.RecordBatch, registry: Registry) -> Iterator[QuoteEvent]:
    get = _columns(rows)
    columns = zip(
        *_header(get, registry),
        get("bid_price"),
        get("bid_size"),
        get("ask_price"),
        get("ask_size"),
        get("exchange"),
        map(_flags, get("flags")),
        strict=True,
    )
    for values in columns:
        yield QuoteEvent(*values)


def _candles(rows: pa.RecordBatch, registry: Registry, key: CandleKey) -> Iterator[CandleEvent]:
    get = _columns(rows)
    symbols, venues = _names(get("instrument"), registry)
    spans = zip(symbols, venues, _times(get("start")), _times(get("end")), strict=True)
    names = ("open", "high", "low", "close", "volume", "vwap", "count", "revision")
    values = zip(*map(get, names), strict=True)
    states = (FORMING if forming else UNSET for forming in get("forming"))
    for (symbol, venue, start, end), bar, state in zip(spans, values, states, strict=True):
        opened, high, low, close, volume, vwap, count, revision = bar
        yield CandleEvent(
            symbol,
            venue,
            key.interval,
            key.basis,
            key.timezone,
            key.day_start,
            start,
            end,
            opened,
            high,
            low,
            close,
            volume,
            vwap,
            count,
            revision,
            state,
        )


_EVENTS: Mapping[str, Callable[[pa.RecordBatch, Registry], Iterator[Any]]] = {
    TRADES: _trades,
    QUOTES: _quotes,
}


def _columns(rows: pa.RecordBatch) -> Callable[[str], list[Any]]:
    return lambda name: _to_list(rows.column(name))


def _to_list(column: pa.Array) -> list[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    if column.null_count or not pa.types.is_primitive(column.type):
        listed: list[Any] = column.to_pylist()
    else:
        listed = column.to_numpy(zero_copy_only=False).tolist()
    return listed


def _header(get: Callable[[str], list[Any]], registry: Registry) -> tuple[list[Any], ...]:
    symbols, venues = _names(get("instrument"), registry)
    return symbols, venues, _times(get("ts_event")), _times(get("ts_recv")), get("seq")


def _names(numbers: list[int], registry: Registry) -> tuple[list[str], list[str]]:
    found = {number: registry.number(number) for number in set(numbers)}
    return (
        [found[number].symbol for number in numbers],
        [found[number].venue for number in numbers],
    )


def _times(values: list[int]) -> list[str]:
    if len(values) < 8:  # below that one call of NumPy costs more than it saves
        return [format_time(value) for value in values]
    return format_times(values)


def _flags(bits: int) -> list[str]:
    names = _FLAGS.get(bits)
    if names is None:
        names = _FLAGS[bits] = flag_names(bits)
    return names
