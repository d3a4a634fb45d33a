"""Rows to encoded events: each row once for each wire format, however many watch it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import UNSET
from numpy.typing import NDArray

from tickplant.formats.pieces import Odd
from tickplant.formats.rows import PLACE_COLUMNS, SPREAD_COLUMNS
from tickplant.gateway.stream.book_steps import encode_steps, last_rows_of_steps
from tickplant.gateway.stream.drafts import draft_rows
from tickplant.gateway.stream.protocol import (
    CandleEvent,
    Codec,
    QuoteEvent,
    StatEvent,
    TradeEvent,
)
from tickplant.model.events import BOOK, QUOTES, SIDES, STATS, TRADES, flag_names
from tickplant.model.instruments import Registry
from tickplant.model.times import format_time, format_times
from tickplant.plant.encoded import EncodedRows, Events
from tickplant.plant.published import CANDLES, CandleKey, Published

Rows = NDArray[np.intp]

Wanted = Sequence[tuple[Published, Rows | None]]
"""Entries, and those of their rows that are wanted; None for all."""

_Missing = tuple[Published, Rows, EncodedRows]
"""An entry, those of its rows that are not encoded, and what is."""

FEW = 16
"""Below this many rows a call into NumPy costs more than it saves."""

MANY = 64
"""From this many rows on they are encoded by columns."""

ASKED_APART = 2
"""So often some rows of an entry are encoded by themselves; who comes then has all of them done."""


def encode_entries(wanted: Wanted, codec: Codec, registry: Registry) -> Events:
    """Return the encoded events of some rows of entries, or of all (None), in their order."""
    asked = [(entry, _all_rows(entry) if rows is None else rows) for entry, rows in wanted]
    encoded = encode_wanted(asked, codec, registry)
    pairs = zip(encoded, asked, strict=True)
    return Events.together([Events.of_array(one.take(rows)) for one, (_, rows) in pairs])


def encode_wanted(
    asked: Sequence[tuple[Published, Rows]], codec: Codec, registry: Registry
) -> list[EncodedRows]:
    """Encode rows of entries that nobody has asked for yet; return what there is of each entry.

    Those of one topic together: a turn after a pause finds many entries, of a row or two each or of
    which a row or two are wanted, and to encode a few rows costs as much as to encode a hundred.

    Subscribers who each stand at a place of their own ask for their rows one after the other. A few
    rows at a time cost several times as much as all at once.
    """
    found: list[EncodedRows] = []
    topics: dict[Hashable, list[_Missing]] = {}
    for entry, rows in asked:
        kept = entry.kept()
        encoded = kept.get(codec.name)
        if encoded is None:
            encoded = kept[codec.name] = EncodedRows.none(entry.count)
        found.append(encoded)
        missing = encoded.missing(rows)
        if len(missing) and encoded.additions >= ASKED_APART:
            missing = encoded.missing(_all_rows(entry))
        if len(missing):
            joins = entry.rows is not None and entry.channel != BOOK
            topic: Hashable = entry.topic if joins else id(entry)
            topics.setdefault(topic, []).append((entry, missing, encoded))
    for some in topics.values():
        _add(some, codec, registry)
    return found


def _all_rows(entry: Published) -> Rows:
    """Return the rows of an entry that make an event."""
    if entry.channel == BOOK:
        assert entry.rows is not None
        return last_rows_of_steps(entry.rows)
    return np.arange(entry.count)


def _add(some: Sequence[_Missing], codec: Codec, registry: Registry) -> None:
    """Encode the missing rows of entries of one topic, and add them to what there is."""
    first, rows, encoded = some[0]
    if len(some) == 1:
        encoded.add(rows, _encode(first, rows, codec, registry))
        return
    chosen = pa.concat_batches([_chosen(entry, missing) for entry, missing, _ in some])
    events = encode_rows(first.channel, chosen, codec, registry, first.key)
    low = 0
    for _, missing, one in some:
        one.add(missing, events.slice(low, len(missing)))
        low += len(missing)


def _chosen(entry: Published, rows: Rows) -> pa.RecordBatch:
    assert entry.rows is not None
    return entry.rows if len(rows) == entry.count else entry.rows.take(pa.array(rows))


def _encode(entry: Published, rows: Rows, codec: Codec, registry: Registry) -> pa.Array:
    """Return rows of an entry as events."""
    if entry.rows is None:
        return _separated([codec.encode(entry.message)], codec)
    if entry.channel == BOOK:
        return _separated(encode_steps(entry.rows, rows, codec, registry), codec)
    return encode_rows(entry.channel, _chosen(entry, rows), codec, registry, entry.key)


def encode_rows(
    channel: str,
    rows: pa.RecordBatch,
    codec: Codec,
    registry: Registry,
    key: CandleKey | None = None,
) -> pa.Array:
    """Return each row as an encoded event of its channel; `key` is for candles.

    A binary array of the events, each with the format's separator behind it.
    """
    if rows.num_rows >= MANY:
        return _by_columns(channel, rows, codec, registry, key)
    return _one_by_one(channel, rows, codec, registry, key)


def _by_columns(
    channel: str, rows: pa.RecordBatch, codec: Codec, registry: Registry, key: CandleKey | None
) -> pa.Array:
    """Encode rows together; what there is no quick way for, one by one."""
    if channel == TRADES and (amends := rows.column("ref_seq").to_numpy() != 0).any():
        return _apart(amends, rows, codec, registry)
    try:
        return draft_rows(channel, rows, codec, registry, key).events(codec.separator)
    except Odd:
        return _one_by_one(channel, rows, codec, registry, key)


def _apart(
    amends: NDArray[np.bool_], rows: pa.RecordBatch, codec: Codec, registry: Registry
) -> pa.Array:
    """Encode amendments, which have a member more, and the other trades."""
    parts = [np.flatnonzero(~amends), np.flatnonzero(amends)]
    plain, amended = (rows.take(pa.array(part)) for part in parts)
    encoded = [
        encode_rows(TRADES, plain, codec, registry),
        _one_by_one(TRADES, amended, codec, registry, None),
    ]
    order = np.argsort(np.concatenate(parts))
    return pa.concat_arrays(encoded).take(pa.array(order))


def _one_by_one(
    channel: str, rows: pa.RecordBatch, codec: Codec, registry: Registry, key: CandleKey | None
) -> pa.Array:
    if channel == CANDLES:
        assert key is not None
        events = _candles(rows, registry, key)
    else:
        events = _EVENTS[channel](rows, registry)
    return _separated(map(codec.encode, events), codec)


def _separated(events: Iterable[bytes], codec: Codec) -> pa.Array:
    separator = codec.separator
    listed = [event + separator for event in events] if separator else [*events]
    return pa.array(listed, pa.binary())


def _trades(rows: pa.RecordBatch, registry: Registry) -> Iterator[TradeEvent]:
    get = _columns(rows)
    return map(
        TradeEvent,
        *_header(get, registry),
        get("price"),
        get("size"),
        [SIDES[code] for code in get("side")],
        get("id"),
        get("conditions"),
        get("exchange"),
        _flags(get("flags")),
        [ref or UNSET for ref in get("ref_seq")],
    )


def _quotes(rows: pa.RecordBatch, registry: Registry) -> Iterator[QuoteEvent]:
    get = _columns(rows)
    return map(
        QuoteEvent,
        *_header(get, registry),
        get("bid_price"),
        get("bid_size"),
        get("ask_price"),
        get("ask_size"),
        get("exchange"),
        _flags(get("flags")),
    )


def _stats(rows: pa.RecordBatch, registry: Registry) -> Iterator[StatEvent]:
    get = _columns(rows)
    return map(StatEvent, *_header(get, registry), get("name"), get("value"), _flags(get("flags")))


def _candles(rows: pa.RecordBatch, registry: Registry, key: CandleKey) -> Iterator[CandleEvent]:
    get = _columns(rows)
    return map(
        CandleEvent,
        *_names(get("instrument"), registry),
        *map(repeat, key[:4]),
        _times(get("start")),
        _times(get("end")),
        *map(get, _BAR_COLUMNS),
        repeat(key.calendar or UNSET),
        repeat(key.session or UNSET),
        *_optional(get, key, placed=PLACE_COLUMNS[0] in rows.schema.names),
    )


def _optional(
    get: Callable[[str], list[Any]], key: CandleKey, *, placed: bool
) -> list[Iterable[Any]]:
    """Return the columns that not all bars have, in the order of `CandleEvent`."""
    spreads: list[Iterable[Any]] = []
    if key.basis != "trade":
        spreads += map(get, SPREAD_COLUMNS)
    elif placed:
        spreads += repeat(repeat(UNSET), len(SPREAD_COLUMNS))
    return [*spreads, _times(get("day")), get("index")] if placed else spreads


_BAR_COLUMNS = ("open", "high", "low", "close", "volume", "vwap", "count", "revision", "state",
                "coverage")  # fmt: skip

_EVENTS: Mapping[str, Callable[[pa.RecordBatch, Registry], Iterator[Any]]] = {
    TRADES: _trades,
    QUOTES: _quotes,
    STATS: _stats,
}


def _columns(rows: pa.RecordBatch) -> Callable[[str], list[Any]]:
    """Return a function from a column's name to its values."""
    to_list = _few_to_list if rows.num_rows < FEW else _many_to_list
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    return lambda name: to_list(columns[name])


def _few_to_list(column: pa.Array) -> list[Any]:
    listed: list[Any] = column.to_pylist()
    return listed


def _many_to_list(column: pa.Array) -> list[Any]:
    if column.null_count == len(column):
        return [None] * len(column)
    if column.null_count or not pa.types.is_primitive(column.type):
        return _few_to_list(column)
    listed: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
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
    if len(values) < FEW:
        return [format_time(value) for value in values]
    return format_times(values)


def _flags(bits: list[int]) -> list[list[str]]:
    named = {value: flag_names(value) for value in set(bits)}
    return [named[value] for value in bits]
