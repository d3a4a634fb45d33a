"""Rows and books of one batch of frames that were read in two ways, in the order of their frames.

    compiled walk ─► rows of some frames  ─┐
                                           ├─► as if all had been read at once
    own reader ────► rows of the others  ──┘

One frame is one row, or one message about a book; `places` says which frames of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.updates import Updates
from tickplant.feeds.venues.contract import Frame
from tickplant.formats.compiled.reader import FrameReader, Rows

T = TypeVar("T")
S = TypeVar("S", bound=np.generic)


class Split:
    """A batch of frames: what `reader` has read of it, and the `rest`."""

    def __init__(self, reader: FrameReader, frames: Sequence[Frame]) -> None:
        walked = reader.read(frames)
        self._rows = walked.rows if walked else {}
        self.rest: Sequence[Frame] = frames
        self._places: dict[int, int] = {}
        if walked:
            left = walked.left.tolist()
            # One object may stand at several places of a batch, so each gets one of its own.
            self.rest = [Frame(*frames[place]) for place in left]
            self._places = dict(zip(map(id, self.rest), left, strict=True))

    def joined(
        self,
        table: str,
        make: Callable[[Rows], T],
        other: T | None,
        good: Sequence[Frame],
        merge: Callable[[T, T, NDArray[np.int64]], T],
    ) -> T | None:
        """Return what the walk has read for a table, and `other`, which is of the frames `good`."""
        rows = self._rows.get(table)
        if rows is None:
            return other
        if other is None or not good:
            return make(rows)
        places = [self._places[id(frame)] for frame in good]
        order = np.argsort(np.concatenate([rows.places, places]), kind="stable")
        return merge(make(rows), other, order)


def merge_rows(
    one: pa.RecordBatch, other: pa.RecordBatch, order: NDArray[np.int64]
) -> pa.RecordBatch:
    """Return the rows of both in this order."""
    return pa.concat_batches([one, other]).take(pa.array(order))


def merge_updates(one: Updates, other: Updates, order: NDArray[np.int64]) -> Updates:
    """Return the messages of both in this order.

    Neither counts orders. `decimals` and `depth` are alike for a symbol that both have.
    """
    symbols = one.symbols + other.symbols
    codes = np.concatenate([one.code, other.code + len(one.symbols)])[order].tolist()
    places = {name: place for place, name in enumerate(dict.fromkeys(symbols[c] for c in codes))}
    counts = np.concatenate([np.diff(one.offsets), np.diff(other.offsets)])
    begins = np.concatenate([one.offsets[:-1], other.offsets[:-1] + one.offsets[-1]])
    offsets = np.concatenate([[0], np.cumsum(counts[order], dtype=np.int64)])
    levels = np.repeat(begins[order] - offsets[:-1], counts[order]) + np.arange(offsets[-1])

    def told(mine: NDArray[S], others: NDArray[S]) -> NDArray[S]:
        return np.concatenate([mine, others])[order]

    return Updates(
        symbols=tuple(places),
        code=np.array([places[symbols[code]] for code in codes], np.int32),
        ts_event=told(one.ts_event, other.ts_event),
        first=told(one.first, other.first),
        last=told(one.last, other.last),
        previous=told(one.previous, other.previous),
        snapshot=told(one.snapshot, other.snapshot),
        checksum=told(one.checksum, other.checksum),
        offsets=offsets,
        side=np.concatenate([one.side, other.side])[levels],
        price=np.concatenate([one.price, other.price])[levels],
        size=np.concatenate([one.size, other.size])[levels],
        decimals=_decimals(one, other, places),
        depth=one.depth,
    )


def _decimals(one: Updates, other: Updates, names: Iterable[str]) -> NDArray[np.int8] | None:
    if one.decimals is None or other.decimals is None:
        return None
    told = dict(zip(other.symbols, other.decimals, strict=True))
    told |= zip(one.symbols, one.decimals, strict=True)
    return np.array([told[name] for name in names], np.int8)
