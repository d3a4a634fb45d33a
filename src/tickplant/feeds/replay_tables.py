"""Reading stored tables for a replay: a chunk at a time, in event order; books from a whole one on.

TableReader  trades, quotes, stats: rows as they stand
BookReader   book: whole steps, of the feed whose CLEAR came last, none from before it
merged       what several readers have, cut so that it comes in the order of (ts_event, seq)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.books.updates import NONE
from tickplant.feeds.book_rows import BookRows
from tickplant.model.events import BOOK, BookAction
from tickplant.model.times import INT64_MAX
from tickplant.plant.book_history import replay_book
from tickplant.plant.history import History
from tickplant.store.contract import NOW, Cursor

CHUNK_ROWS = 250_000
STEP_ROWS = 20_000
"""Rows of a table that are sent at once when there is no pace to keep."""

PARTS_MAX = 32
"""In so many parts at most is cut what is sent at once, so that tables come in one order."""


class TableReader:
    """Reads one table in event order, a chunk at a time. One thread at a time."""

    def __init__(
        self,
        history: History,
        table: str,
        numbers: Sequence[int] | None,
        start: int | None,
        end: int | None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self.table = table
        self._scan = history.store.scan
        self._numbers = None if numbers is None else pa.array(sorted(numbers), pa.int32())
        self._one = numbers[0] if numbers is not None and len(numbers) == 1 else None
        self._start, self._end = start, end
        self._chunk_rows = chunk_rows
        self._after: Cursor | None = None
        self._ended = False
        self._rows: pa.Table | None = None
        self._ts: NDArray[np.int64] = np.empty(0, np.int64)

    def fill(self) -> None:
        """Read the next chunk where nothing is left of the last one."""
        while not len(self._ts) and not self._ended:
            rows = self._chunk(self._chunk_rows)
            if rows.num_rows:
                self._after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
            self._rows = self._chosen(rows).combine_chunks()
            self._ts = self._rows["ts_event"].to_numpy()

    def _chunk(self, limit: int) -> pa.Table:
        """Return the next rows of the table, of whatever instrument."""
        rows = self._scan(
            self.table, self._one, start=self._start, end=self._end, after=self._after, limit=limit
        )
        self._ended = rows.num_rows < limit
        return rows

    def _chosen(self, rows: pa.Table) -> pa.Table:
        """Return those of a chunk that are played."""
        if self._numbers is None:
            return rows
        return rows.filter(pc.is_in(rows["instrument"], self._numbers))

    @property
    def empty(self) -> bool:
        """Whether nothing is left of the chunk."""
        return not len(self._ts)

    def next_ts(self) -> int:
        """Return the time of the next row, a very late one where there is none."""
        return int(self._ts[0]) if len(self._ts) else INT64_MAX

    def step_ts(self) -> int:
        """Return the time up to which about `STEP_ROWS` rows of the chunk reach."""
        return int(self._ts[min(STEP_ROWS, len(self._ts)) - 1]) if len(self._ts) else INT64_MAX

    def last_ts(self) -> int:
        """Return the time up to which the chunk is all there is: later rows need the next one."""
        return INT64_MAX if self._ended or not len(self._ts) else int(self._ts[-1])

    def take(self, upto: int) -> pa.Table | None:
        """Take the rows of the chunk with `ts_event <= upto`, or None."""
        count = int(np.searchsorted(self._ts, upto, side="right"))
        if not count or self._rows is None:
            return None
        taken = self._rows.slice(0, count)
        self._rows, self._ts = self._rows.slice(count), self._ts[count:]
        return taken


class BookReader(TableReader):
    """Reads `book` so that what it returns makes books again.

    A chunk ends between two times, and so between two steps. Rows of a feed that does not tell the
    book, and those of before its last CLEAR, which may be dated later, are left out.
    """

    def __init__(
        self,
        history: History,
        numbers: Sequence[int] | None,
        start: int | None,
        end: int | None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        super().__init__(history, BOOK, numbers, start, end, chunk_rows)
        self._history = history
        self._clears: dict[int, tuple[int, int]] = {}  # the feed and the number of the last CLEAR

    def begun(self) -> pa.RecordBatch | None:
        """Return the books at the beginning of the range, as snapshots of that time; None for none.

        Rows of `INCOMING["book"]`, the instrument's number in place of its symbol.
        """
        if self._start is None:
            return None
        rows, store = BookRows(), self._history.store
        numbers = [one.number for one in self._history.registry]
        for number in numbers if self._numbers is None else self._numbers.to_pylist():
            held = replay_book(store, number, NOW, self._start)
            if held is None:
                continue
            self._clears[number] = held.feed, held.seq
            if held.whole:
                rows.step(str(number), self._start, NONE if held.update is None else held.update)
                rows.snapshot(held.book.bids.top(0), held.book.asks.top(0))
                rows.close()
        found = rows.take()
        return found if found.num_rows else None

    def _chunk(self, limit: int) -> pa.Table:
        while True:
            rows = super()._chunk(limit)
            ts = rows["ts_event"].to_numpy()
            if self._ended:
                return rows
            whole = int(np.searchsorted(ts, ts[-1]))
            if whole:
                return rows.slice(0, whole)
            limit *= 2  # all of it happened at once

    def _chosen(self, rows: pa.Table) -> pa.Table:
        rows = super()._chosen(rows)
        instrument = rows["instrument"].to_numpy()
        order = np.argsort(instrument, kind="stable")
        cuts = np.flatnonzero(np.diff(instrument[order])) + 1
        told = np.zeros(len(instrument), np.bool_)
        feed, seq = rows["feed"].to_numpy(), rows["seq"].to_numpy()
        clear = rows["action"].to_numpy() == BookAction.CLEAR
        for places in np.split(order, cuts) if len(order) else ():
            number = int(instrument[places[0]])
            told[places] = self._told(number, feed[places], seq[places], clear[places])
        return rows.filter(pa.array(told))

    def _told(
        self, number: int, feed: NDArray[np.int16], seq: NDArray[np.int64], clear: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Say which rows of an instrument tell its book."""
        last = np.maximum.accumulate(np.where(clear, np.arange(len(seq)), -1))
        owner, since = self._clears.get(number, (-1, INT64_MAX))
        owners = np.where(last >= 0, feed[last], owner)
        firsts = np.where(last >= 0, seq[last], since)
        self._clears[number] = int(owners[-1]), int(firsts[-1])
        told: NDArray[np.bool_] = (feed == owners) & (seq >= firsts)
        return told


def merged(taken: Sequence[tuple[str, pa.Table]]) -> Iterator[tuple[str, pa.Table]]:
    """Yield slices of tables in the order of (ts_event, seq) of all their rows together.

    Exactly so where that makes few parts; else the rows of each of `PARTS_MAX` spans of time come
    table by table, in the order of `taken`.
    """
    sizes = [rows.num_rows for _, rows in taken]
    if len(taken) < 2:
        yield from taken
        return
    ts = np.concatenate([rows["ts_event"].to_numpy() for _, rows in taken])
    seq = np.concatenate([rows["seq"].to_numpy() for _, rows in taken])
    order = np.lexsort((seq, ts))
    which = np.repeat(np.arange(len(taken)), sizes)[order]
    cuts = np.flatnonzero(np.diff(which)) + 1
    if len(cuts) >= PARTS_MAX:
        ordered = ts[order]
        even = ordered[np.arange(1, PARTS_MAX) * len(ordered) // PARTS_MAX]
        cuts = np.unique(np.searchsorted(ordered, even))
    done = [0] * len(taken)
    for part in np.split(which, cuts):
        counts = np.bincount(part, minlength=len(taken)).tolist()
        for place, count in enumerate(counts):
            if count:
                table, rows = taken[place]
                yield table, rows.slice(done[place], count)
                done[place] += count
