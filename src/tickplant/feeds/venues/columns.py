"""Columns of what venues send: incoming rows, books and times; and bad frames taken out one by one.

    frames ─► sift(frames, read) ─► what `read` made of the good ones, and the bad ones

A parser reads many frames at once and raises for the first that it cannot read. `sift` then halves
the frames until each bad one stands alone: one bad frame among a thousand costs twenty readings,
and no good frame is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.contract import BadFrame, Frame
from tickplant.model.events import INCOMING

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, pa.ArrowException, ValueError, OverflowError, RecursionError)
"""What reading a bad frame raises; anything else is a bug of ours. (Bad UTF-8 is a ValueError.)"""

REASON = "frame_unreadable"

_TIME = pa.timestamp("ns", tz="UTC")


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
    """Return RFC 3339 texts with a zone as ns UTC. Raises `pa.ArrowInvalid` for any other text."""
    found = pa.array(texts, pa.string()).cast(_TIME).cast(pa.int64())
    return np.asarray(found, np.int64)


def finite(values: Sequence[float] | pa.Array, name: str) -> NDArray[np.float64]:
    """Return numbers as an array; raises `ValueError` where one is not finite."""
    array = np.array(values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: a number that is not finite; allowed are finite ones")
    return array


def make_rows(table: str, count: int, columns: dict[str, Any]) -> pa.RecordBatch:
    """Return rows of `INCOMING[table]`, null in the columns that are not given."""
    schema = INCOMING[table]
    return pa.RecordBatch.from_arrays(
        [
            pa.array(columns[field.name], field.type)
            if field.name in columns
            else pa.nulls(count, field.type)
            for field in schema
        ],
        schema=schema,
    )


def make_quotes(
    symbols: Sequence[str],
    ts_event: NDArray[np.int64],
    bid_price: Sequence[str],
    bid_size: Sequence[str],
    ask_price: Sequence[str],
    ask_size: Sequence[str],
) -> pa.RecordBatch | None:
    """Return quotes of texts, None for none.

    An empty text is null, and so is a side whose price is 0, by which venues say that there is no
    order; a quote without either side is left out. Raises where a text is no finite number.
    """
    bids, bid_sizes = _side(bid_price, bid_size)
    asks, ask_sizes = _side(ask_price, ask_size)
    columns = {
        "symbol": pa.array(symbols, pa.string()),
        "ts_event": pa.array(ts_event),
        "bid_price": bids,
        "bid_size": bid_sizes,
        "ask_price": asks,
        "ask_size": ask_sizes,
    }
    rows = make_rows("quotes", len(symbols), columns)
    rows = rows.filter(pc.or_(pc.is_valid(bids), pc.is_valid(asks)))
    return rows if rows.num_rows else None


def _side(prices: Sequence[str], sizes: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    price, size = _numbers(prices, "price"), _numbers(sizes, "size")
    missing = pc.equal(price, 0.0)
    return pc.if_else(missing, None, price), pc.if_else(missing, None, size)


def _numbers(texts: Sequence[str], name: str) -> pa.Array:
    found = pa.array([text or None for text in texts], pa.string()).cast(pa.float64())
    finite(found.drop_null(), name)
    return found


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
        symbols=tuple(names),
        code=np.array([names[name] for name in symbols], np.int32),
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
