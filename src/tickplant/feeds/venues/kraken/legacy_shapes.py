"""Which values of books of Kraken's version 1 the compiled walk reads, and what they make.

What these come to is what `legacy` makes of the same frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import numpy as np

from tickplant.books.updates import NONE, Updates
from tickplant.feeds.venues.columns import walked_updates
from tickplant.feeds.venues.contract import Frame
from tickplant.formats.compiled.reader import Rows
from tickplant.formats.compiled.shapes import (
    Absent,
    Exact,
    Field,
    Ladder,
    Name,
    Number,
    Seconds,
    Shape,
    Table,
    Whole,
)
from tickplant.model.events import ASK, BID, BOOK

_LEVEL: Final = (
    b'["', Number("price", above_0=True), b'","', Number("size"), b'","', Seconds("time"), b'"]',
)  # fmt: skip
_ASKS, _BIDS = Ladder("asks", _LEVEL, {"side": ASK}), Ladder("bids", _LEVEL, {"side": BID})
_CHECKSUM = Whole("checksum", (1 << 32) - 1, quoted=True)

_BOOK = Table(
    BOOK,
    wholes=("id", "asks", "bids", "checksum", "snapshot"),
    level_wholes=("side", "time"),
    level_numbers=("price", "size"),
)


def shapes_of(channel: str) -> tuple[Shape, ...]:
    """Return the shapes of messages of a channel: one side or two, in one part or two; a whole."""

    def shape(
        fields: Mapping[str, Field],
        parts: int,
        told: Mapping[str, int],
        missing: Mapping[str, int] = MappingProxyType({}),
    ) -> Shape:
        ends: dict[str, Field] = {str(parts + 1): Exact(channel), str(parts + 2): Name()}
        every = {"0": Whole("id"), **fields, **ends}
        return Shape(_BOOK, b',"book-', every, missing=missing, set=told)

    one: dict[str, Field] = {"1.a": _ASKS, "1.b": _BIDS, "1.c": _CHECKSUM}
    two: dict[str, Field] = {
        "1.a": _ASKS, "1.b": Absent(), "1.c": Absent(),
        "2.a": Absent(), "2.b": _BIDS, "2.c": _CHECKSUM,
    }  # fmt: skip
    whole: dict[str, Field] = {
        "1.as": _ASKS, "1.bs": _BIDS, "1.a": Absent(), "1.b": Absent(), "1.c": Absent(),
    }  # fmt: skip
    return (
        shape(one, 1, {"snapshot": 0}, missing={"asks": 0, "bids": 0}),
        shape(two, 2, {"snapshot": 0}),
        shape(whole, 1, {"snapshot": 1, "checksum": NONE}),
    )


def make_books(rows: Rows, frames: Sequence[Frame]) -> Updates:
    """Return messages about books: of the time of their youngest level, else when they came."""
    counts = rows.whole("asks") + rows.whole("bids")
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    some = counts > 0
    ts = np.empty(len(rows), np.int64)
    ts[some] = (
        np.maximum.reduceat(rows.level_whole("time"), offsets[:-1][some]) if some.any() else 0
    )
    for place in np.flatnonzero(~some).tolist():
        ts[place] = frames[rows.places[place]].ts_recv
    return walked_updates(rows, ts, offsets)
