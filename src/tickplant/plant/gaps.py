"""Reading the gap ledger: the entries as a table, filtered, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.coverage import span
from tickplant.model.events import STATUSES
from tickplant.model.instruments import Registry
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.coverage import CoverageBook
from tickplant.plant.ledger import OPEN_END, REPAIRING

GAP_SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), nullable=False),
        pa.field("feed", pa.int16(), nullable=False),
        pa.field("instrument", pa.int32(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64()),
        pa.field("cause", pa.string(), nullable=False),
        pa.field("noticed", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("events", pa.int64()),
        pa.field("changed", pa.int64(), nullable=False),
        pa.field("detail", pa.string()),
    ]
)
"""Entries of the ledger, by `id`. `instrument` 0 is every one of the feed, `end` null while the
gap lasts, `changed` the number of the last row about it."""


class OpenGap(NamedTuple):
    """A gap that is open and over. `symbols` are (symbol, venue) of what the feed missed in it.

    Times are ns UTC.
    """

    id: int
    start: int
    end: int
    symbols: tuple[tuple[str, str], ...]


def open_gaps(book: CoverageBook, feed: int, registry: Registry) -> list[OpenGap]:
    """Return the gaps of a feed that are over and about which nothing was done, by id.

    Those that were being repaired count as open: nobody else repairs them.
    """
    with book.lock:
        rows = book.ledger.rows
        mine = rows[(rows["feed"] == feed) & (rows["status"] <= REPAIRING)]
        mine = mine[mine["end"] != OPEN_END].copy()
        wide = book.wide.get(feed)
        served = np.empty(0, np.int64) if wide is None else wide.served
        known = {} if wide is None else {n: wide.spans_subscribed(n) for n in served.tolist()}
    found = []
    for id, number, start, end in mine[["id", "instrument", "start", "end"]].tolist():
        missed = span(start, end)
        numbers = [number] if number else [
            other for other, subscribed in known.items() if len(subscribed.intersect(missed))
        ]  # fmt: skip
        instruments = [registry.number(one) for one in numbers]
        symbols = tuple((one.symbol, one.venue) for one in instruments)
        found.append(OpenGap(id, start, end, symbols))
    return found


@dataclass(frozen=True, slots=True)
class GapQuery:
    """Which entries: of a feed, that touch an instrument or a span, with a status; by id.

    `after` is the id that the page before ended with, 0 for none.
    """

    feed: int | None = None
    instrument: int | None = None
    start: int | None = None
    end: int | None = None
    status: str | None = None
    after: int = 0
    limit: int | None = None
    descending: bool = False


def select_gaps(book: CoverageBook, query: GapQuery) -> pa.Table:
    """Return the entries of a book's ledger that a query asks for."""
    with book.lock:
        ledger = book.ledger
        rows = ledger.rows.copy()
        here = np.flatnonzero(_wanted(rows, book, query))
        here = (here[::-1] if query.descending else here)[: query.limit]
        gaps = ledger.gaps(here)
    columns = {name: [getattr(gap, name) for gap in gaps] for name in GAP_SCHEMA.names}
    return pa.table(columns, schema=GAP_SCHEMA)


def _wanted(rows: NDArray[np.void], book: CoverageBook, query: GapQuery) -> NDArray[np.bool_]:
    low = INT64_MIN if query.start is None else query.start
    high = INT64_MAX if query.end is None else query.end
    wanted: NDArray[np.bool_] = (rows["start"] < high) & (
        (rows["end"] > low) | (rows["end"] == OPEN_END)
    )
    if query.after:
        ids = rows["id"]
        wanted &= ids < query.after if query.descending else ids > query.after
    if query.feed is not None:
        wanted &= rows["feed"] == query.feed
    if query.status is not None:
        wanted &= rows["status"] == STATUSES.index(query.status)
    if query.instrument is not None:
        number = np.array([query.instrument], np.int64)
        serving = [feed for feed, wide in book.wide.items() if number[0] in wide.served]
        whole = (rows["instrument"] == 0) & np.isin(rows["feed"], serving)
        wanted &= whole | (rows["instrument"] == number[0])
    return wanted
