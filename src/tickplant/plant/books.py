"""The books of a running plant, kept by its thread, looked at by any.

    stored rows of `book` ──► LiveBooks ──► view: levels and state ──► GET /v1/books, the stream

A book is `live` when every row since its CLEAR came in this run and its feed is there; `rebuilding`
when something of it was missed and its feed is there to bring it again; `stale` when its feed is
not, or when it is of an earlier run; `none` when there never was one. What a book shows while it is
not live is its last right state, and since when that is so. A feed that goes makes the plant write
LOST rows for its books: so log, stream and history tell the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.books.book import Level
from tickplant.books.steps import Replayed, columns_of, marks_of, replay, runs_of
from tickplant.model.events import BOOK, SCHEMAS, BookAction
from tickplant.model.times import INT64_MIN

State = Literal["live", "stale", "rebuilding", "none"]
STATES: tuple[State, ...] = ("live", "stale", "rebuilding", "none")


@dataclass(frozen=True, slots=True)
class BookView:
    """A book at one moment; levels the best first. Without a book the times are None, `seq` too."""

    instrument: int
    state: State
    ts_event: int | None = None
    ts_recv: int | None = None
    seq: int | None = None
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    def cut(self, depth: int) -> BookView:
        """Return the view with at most `depth` levels a side."""
        return replace(self, bids=self.bids[:depth], asks=self.asks[:depth])

    @classmethod
    def of(cls, instrument: int, held: Replayed, depth: int, *, there: bool) -> BookView:
        """Return the view of a book of which some feed, that is there or not, brought rows."""
        times = (held.ts_event, held.ts_recv, held.seq)
        bids, asks = held.book.bids.top(depth), held.book.asks.top(depth)
        return cls(instrument, _state(held, there=there), *times, tuple(bids), tuple(asks))


def _state(held: Replayed, *, there: bool) -> State:
    if not there:
        return "stale"
    return "live" if held.whole else "rebuilding"


@dataclass(frozen=True, slots=True)
class BookStatus:
    """How many books there are by state, and how often what happened in this run."""

    held: dict[str, int]
    levels: int
    lost: int
    cleared: int
    crossed: int


class LiveBooks:
    """Books by instrument. One thread applies; any thread looks, and waits for one step at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, Replayed] = {}
        self._feeds: set[int] = set()
        self._lost = self._cleared = self._crossed = 0

    # -- the plant's thread ------------------------------------------------------------------------

    def apply(self, rows: pa.RecordBatch) -> list[int]:
        """Take stored rows; return the instruments whose book they left crossed: not right."""
        columns = columns_of(rows)
        action = rows.column("action").to_numpy()
        marks = marks_of(action)
        clears = np.flatnonzero(action == BookAction.CLEAR).tolist()
        self._cleared += len(clears)
        self._feeds.update(columns.feed[place] for place in clears)
        self._lost += int(np.count_nonzero(action == BookAction.LOST))
        places = marks.tolist()
        crossed: list[int] = []
        at = 0
        for number, start, end in runs_of(rows.column("instrument").to_numpy()):
            upto = at
            while upto < len(places) and places[upto] < end:
                upto += 1
            with self._lock:
                held = self._held.get(number)
                if held is None:
                    held = self._held[number] = Replayed()
                replay(held, columns, start, end, places[at:upto])
                if held.whole and held.book.crossed:
                    crossed.append(number)
                elif held.ended:
                    del self._held[number]
            at = upto
        self._crossed += len(crossed)
        return crossed

    def note_feed(self, feed: int, *, there: bool) -> list[int]:
        """Note that a feed is there, or is not any more; return its books that are now lost."""
        if there:
            self._feeds.add(feed)
            return []
        self._feeds.discard(feed)
        return [number for number, held in self._held.items() if held.whole and held.feed == feed]

    def whole(self) -> list[int]:
        """Return the instruments whose books are right."""
        return [number for number, held in self._held.items() if held.whole]

    def discard(self, numbers: Iterable[int]) -> None:
        """Hold these books no more."""
        with self._lock:
            for number in numbers:
                self._held.pop(number, None)

    def lost_rows(self, numbers: Iterable[int], seq: int, now: int) -> pa.RecordBatch | None:
        """Return stamped rows that say that these books are lost; None where none of them is."""
        lost = [(n, held) for n in numbers if (held := self._held.get(n)) and held.whole]
        if not lost:
            return None
        schema = SCHEMAS[BOOK]
        columns: dict[str, list[Any]] = {
            "instrument": [number for number, _ in lost],
            "ts_event": [held.ts_event for _, held in lost],
            "seq": list(range(seq, seq + len(lost))),
            "ts_recv": [now] * len(lost),
            "feed": [held.feed for _, held in lost],
            "action": [int(BookAction.LOST)] * len(lost),
        }
        filled = {"flags": 0, "side": 0}
        arrays = [
            pa.array(columns.get(f.name, [filled.get(f.name)] * len(lost)), f.type) for f in schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    # -- any thread --------------------------------------------------------------------------------

    def time_of(self, number: int) -> int | None:
        """Return up to which event time the book of an instrument is known, None for none."""
        with self._lock:
            held = self._held.get(number)
        return None if held is None else held.ts_event

    def times(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return up to which event time the books of instruments are known.

        `INT64_MIN` where none is held.
        """
        with self._lock:
            held = self._held
            times = [
                INT64_MIN if (one := held.get(number)) is None or one.ts_event is None
                else one.ts_event
                for number in numbers.tolist()
            ]  # fmt: skip
        return np.array(times, np.int64)

    def view(self, number: int, depth: int = 0) -> BookView | None:
        """Return the best `depth` levels a side of a book, 0 is all; None where none is held."""
        with self._lock:
            held = self._held.get(number)
            if held is None or not held.seq:
                return None
            return BookView.of(number, held, depth, there=held.feed in self._feeds)

    def numbers(self) -> list[int]:
        """Return the instruments that have a book."""
        with self._lock:
            return [number for number, held in self._held.items() if held.seq]

    def status(self) -> BookStatus:
        """Return the numbers that metrics show."""
        counts: dict[str, int] = dict.fromkeys(STATES[:-1], 0)
        levels = 0
        with self._lock:
            for held in self._held.values():
                if held.seq:
                    counts[_state(held, there=held.feed in self._feeds)] += 1
                    levels += len(held.book)
            return BookStatus(counts, levels, self._lost, self._cleared, self._crossed)
