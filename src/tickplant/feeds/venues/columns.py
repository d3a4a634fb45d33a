"""Columns of what venues send: incoming rows, books and times; and bad frames taken out one by one.

    frames ─► sift(frames, read) ─► what `read` made of the good ones, and the bad ones

A parser reads many frames at once and raises for the first that it cannot read. `sift` then halves
the frames until each bad one stands alone: one bad frame among a thousand costs twenty readings,
and no good frame is lost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.contract import BadFrame, Frame
from tickplant.formats.compiled.reader import Rows
from tickplant.model.events import INCOMING

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, pa.ArrowException, ValueError, OverflowError, RecursionError)
"""What reading a bad frame raises; anything else is a bug of ours. (Bad UTF-8 is a ValueError.)"""

REASON = "frame_unreadable"

FEW = 64
"""So few times are read faster one by one than by Arrow, whose calls take 30 us."""

_SAME = {pa.int64(): np.dtype(np.int64), pa.float64(): np.dtype(np.float64)}
_FIELDS = {
    table: [(one.name, one.type, _SAME.get(one.type)) for one in INCOMING[table]]
    for table in INCOMING
}
"""Name and type of each column, and the type of NumPy that is the same byte for byte."""

_TIME = pa.timestamp("ns", tz="UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z").match


def sift(
    frames: Sequence[Frame],
    read: Callable[[Sequence[Frame]], T],
    table_of: Callable[[bytes], str],
) -> tuple[T, Sequence[Frame], list[BadFrame]]:
    """Return what `read` makes of the good frames, the good frames, and the bad ones in order.

    `read` has no state, takes no frames too, and raises one of `UNREADABLE` where a frame is bad.
    `table_of` says in which table's name a bad frame goes to the quarantine.
    """
    try:
        return read(frames), frames, []
    except UNREADABLE:
        good: list[Frame] = []
        bad: list[BadFrame] = []
        _halve(frames, read, table_of, good, bad)
        return read(good), good, bad


def _halve(
    frames: Sequence[Frame],
    read: Callable[[Sequence[Frame]], Any],
    table_of: Callable[[bytes], str],
    good: list[Frame],
    bad: list[BadFrame],
) -> None:
    try:
        read(frames)
    except UNREADABLE as fault:
        if len(frames) == 1:
            data = frames[0].data
            bad.append(BadFrame(table_of(data), REASON, f"{type(fault).__name__}: {fault}", data))
            return
        middle = len(frames) // 2
        _halve(frames[:middle], read, table_of, good, bad)
        _halve(frames[middle:], read, table_of, good, bad)
    else:
        good.extend(frames)


def read_times(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return RFC 3339 texts with a zone as ns UTC. Raises `ValueError` for any other text."""
    if len(texts) <= FEW and all(map(_MICROS, texts)):
        return np.array([_micros(text) for text in texts], np.int64)
    found = pa.array(texts, pa.string()).cast(_TIME).cast(pa.int64())
    return np.asarray(found, np.int64)


def _micros(text: str) -> int:
    since = datetime.fromisoformat(text) - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def finite(values: Sequence[float] | NDArray[np.float64], name: str) -> NDArray[np.float64]:
    """Return numbers as an array; raises `ValueError` where one is not finite."""
    array = np.array(values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: a number that is not finite; allowed are finite ones")
    return array


def make_rows(table: str, count: int, columns: dict[str, Any]) -> pa.RecordBatch:
    """Return rows of `INCOMING[table]`, null in the columns that are not given."""
    return pa.RecordBatch.from_arrays(
        [_column(columns.get(name), kind, same, count) for name, kind, same in _FIELDS[table]],
        schema=INCOMING[table],
    )


def _column(values: Any, kind: pa.DataType, same: np.dtype[Any] | None, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    if same is not None and isinstance(values, np.ndarray) and _is_plain(values, same):
        return pa.Array.from_buffers(kind, count, [None, pa.py_buffer(values)])
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def _is_plain(values: NDArray[Any], same: np.dtype[Any]) -> bool:
    return values.dtype == same and values.flags.forc


def make_quotes(
    symbols: Sequence[str],
    ts_event: NDArray[np.int64],
    bid_price: Sequence[float | None],
    bid_size: Sequence[float | None],
    ask_price: Sequence[float | None],
    ask_size: Sequence[float | None],
) -> pa.RecordBatch:
    """Return quotes as rows, those left out that have neither side.

    A side is null whose price is None, NaN or 0, by which venues say that there is no order. Raises
    `ValueError` for an infinite number.
    """
    bids, bid_sizes = _side(bid_price, bid_size)
    asks, ask_sizes = _side(ask_price, ask_size)
    rows = make_rows(
        "quotes",
        len(symbols),
        {
            "symbol": symbols,
            "ts_event": ts_event,
            "bid_price": _nullable(bids),
            "bid_size": _nullable(bid_sizes),
            "ask_price": _nullable(asks),
            "ask_size": _nullable(ask_sizes),
        },
    )
    empty = np.isnan(bids) & np.isnan(asks)
    return rows.filter(pa.array(~empty)) if empty.any() else rows


def _side(
    prices: Sequence[float | None], sizes: Sequence[float | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    price, size = np.array(prices, np.float64), np.array(sizes, np.float64)
    if np.isinf(price).any() or np.isinf(size).any():
        raise ValueError("a quote: an infinite number; allowed are finite ones")
    missing = np.isnan(price) | (price == 0)
    price[missing] = size[missing] = np.nan
    return price, size


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def make_updates(
    symbols: Sequence[str],
    ts_event: NDArray[np.int64],
    snapshot: Sequence[bool],
    counts: Sequence[int],
    side: NDArray[np.int8],
    price: Sequence[float] | NDArray[np.float64],
    size: Sequence[float] | NDArray[np.float64],
    *,
    last: Sequence[int] | None = None,
    previous: Sequence[int] | None = None,
) -> Updates | None:
    """Return messages about books: one symbol, time and count of levels each; None for none.

    `last` and `previous` are the venue's numbers where it has them. Raises `ValueError` for levels
    that no book can hold: not finite, or of a negative size.
    """
    if not len(symbols):
        return None
    names = {name: place for place, name in enumerate(dict.fromkeys(symbols))}
    sizes = finite(size, "size")
    if sizes.size and sizes.min() < 0:
        raise ValueError(f"size: {sizes.min()} is not allowed; allowed are 0 and more")
    nothing = np.full(len(symbols), NONE, np.int64)
    numbers = nothing if last is None else np.array(last, np.int64)
    return Updates(
        symbols=tuple(name.upper() for name in names),
        code=np.fromiter(map(names.__getitem__, symbols), np.int32, len(symbols)),
        ts_event=ts_event,
        first=numbers,
        last=numbers,
        previous=nothing if previous is None else np.array(previous, np.int64),
        snapshot=np.array(snapshot, np.bool_),
        checksum=nothing,
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        side=side,
        price=finite(price, "price"),
        size=sizes,
    )


def walked_updates(
    rows: Rows,
    ts_event: NDArray[np.int64],
    offsets: NDArray[np.int64],
    order: NDArray[np.int64] | slice = slice(None),
) -> Updates:
    """Return messages about books that the compiled walk has read, of a venue without numbers.

    The table has a column `snapshot`, and of its levels `side`, `price` and `size`; `order` is
    that of the levels where it is not the one in which they were read.
    """
    nothing = np.full(len(rows), NONE, np.int64)
    return Updates(
        symbols=tuple(rows.names),
        code=rows.codes,
        ts_event=ts_event,
        first=nothing,
        last=nothing,
        previous=nothing,
        snapshot=rows.whole("snapshot") != 0,
        checksum=nothing,
        offsets=offsets,
        side=rows.level_whole("side")[order].astype(np.int8),
        price=rows.level_number("price")[order],
        size=rows.level_number("size")[order],
    )
