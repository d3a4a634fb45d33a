"""Which values of Coinbase Exchange's books are read by the compiled walk, and what they make.

What these come to is what `parse` makes of the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.columns import walked_updates
from tickplant.feeds.venues.contract import Frame
from tickplant.formats.compiled.reader import Rows
from tickplant.formats.compiled.shapes import (
    Choice,
    Exact,
    Iso,
    Ladder,
    Name,
    Number,
    Shape,
    Table,
)
from tickplant.model.events import ASK, BID, BOOK

_SIDE = Choice("side", {"buy": BID, "sell": ASK})
_PRICE, _SIZE = Number("price"), Number("size")
_CHANGE: Final = (b'["', _SIDE, b'","', _PRICE, b'","', _SIZE, b'"]')
_LEVEL: Final = (b'["', _PRICE, b'","', _SIZE, b'"]')

_BOOK = Table(
    BOOK,
    wholes=("time", "count", "asks", "snapshot"),
    level_wholes=("side",),
    level_numbers=("price", "size"),
)

SHAPES: Final = (
    Shape(
        _BOOK,
        b'"l2update"',
        {
            "type": Exact("l2update"),
            "product_id": Name(),
            "time": Iso("time"),
            "changes": Ladder("count", _CHANGE),
        },
        set={"asks": 0, "snapshot": 0},
    ),
    Shape(
        _BOOK,
        b'"snapshot"',
        {
            "type": Exact("snapshot"),
            "product_id": Name(),
            "time": Iso("time"),
            "bids": Ladder("count", _LEVEL, {"side": BID}),
            "asks": Ladder("asks", _LEVEL, {"side": ASK}),
        },
        missing={"time": NONE},
        set={"snapshot": 1},
        ordered=False,
    ),
)


def make_books(rows: Rows, frames: Sequence[Frame]) -> Updates:
    """Return updates and snapshots of these frames; one without a time has that of its receipt."""
    counts = rows.whole("count") + rows.whole("asks")
    ts, snapshot = rows.whole("time"), rows.whole("snapshot") != 0
    for place in np.flatnonzero(ts == NONE).tolist():
        ts[place] = frames[rows.places[place]].ts_recv
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    if not snapshot.any():
        return walked_updates(rows, ts, offsets)
    order = _bids_first(counts, rows.level_whole("side"), snapshot)
    return walked_updates(rows, ts, offsets, order)


def _bids_first(
    counts: NDArray[np.int64], side: NDArray[np.int64], snapshot: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return the order of levels in which those of snapshots have bids first."""
    message = np.repeat(np.arange(len(counts)), counts)
    return np.lexsort((np.where(snapshot[message], side, 0), message))
