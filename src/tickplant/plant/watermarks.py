"""The event-time watermark of each instrument: how far its event time has surely come.

That is its own last event time, of trades and quotes alike, or that of the feeds that serve it as
a whole, whichever is later. What is not known yet is looked up in the store when an event first
asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.model.events import MARKET_TABLES
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.arrays import distinct, looked_up
from tickplant.plant.coverage import CoverageBook, Measured, Numbers
from tickplant.plant.coverage_measure import Outline, measured, outlined
from tickplant.plant.newest import last_rows
from tickplant.store.contract import NOW, AsOf, Store

Ints = NDArray[np.int64]

NO_EVENT = INT64_MIN + 1
_UNKNOWN = INT64_MIN
_NO_OUTLINE = Outline(*(np.empty(0, np.int64),) * 4)


class Moved(NamedTuple):
    """Instruments of a batch, and others that it moved, with their watermarks before and after.

    Rising by number, each of shape (n,). The others are those of a feed that speaks for all its
    instruments at once. `before` is `NO_EVENT` where the batch has the first events of one.
    """

    numbers: Ints
    before: Ints
    after: Ints


class Regrown(NamedTuple):
    """Instruments of which more is covered between `lows` and `highs`, where bars were closed up to
    `marks`; shape (n,). A number may come again."""

    numbers: Ints
    lows: Ints
    highs: Ints
    marks: Ints


class Watermarks:
    """Kept up with every batch by one thread, which owns it; a `Coverage` of bars as they are now.

    `book` is kept by the same thread, which brings it up to a batch before `advance` is called.
    """

    def __init__(self, store: Store, book: CoverageBook | None = None) -> None:
        self._store = store
        self._book = CoverageBook() if book is None else book
        self._last = np.empty(0, dtype=np.int64)
        self._outline = _NO_OUTLINE
        self._outlined = np.empty(0, dtype=np.int64)
        self._regrown: list[Regrown] = []

    def of(self, numbers: NDArray[np.integer]) -> Ints:
        """Return the watermarks of instruments that `advance` has named, shape (n,)."""
        found: Ints = self._last[numbers]
        return found

    def forget(self) -> None:
        """Drop everything; it is looked up anew."""
        self._last = self._outlined = np.empty(0, dtype=np.int64)
        self._outline = _NO_OUTLINE

    def know(self, numbers: Ints) -> None:
        """Look up the watermarks of instruments that nobody has asked for yet."""
        self._grow(int(numbers[-1]) + 1)
        unknown = numbers[self._last[numbers] == _UNKNOWN]
        if len(unknown):
            self._look_up(unknown, NOW, None)

    def renew(self, numbers: Sequence[int]) -> None:
        """Look up the watermarks again of instruments, where they are known: they may have fallen,
        because a feed serves them no more."""
        found = np.unique(np.array(numbers, np.int64))
        found = found[looked_up(self._last, found, _UNKNOWN) != _UNKNOWN]
        if len(found):
            self._look_up(found, NOW, None)

    def advance(self, feed: int, instrument: NDArray[np.int32], ts: Ints, seq_first: int) -> Moved:
        """Move on to where a stored batch of one feed, which begins with `seq_first`, brings them.

        The batch may have no rows: a feed may say how far it is without an event.
        """
        wide = self._book.wide.get(feed)
        moved = wide is not None and wide.reach > wide.before
        if wide is not None and moved and wide.serves(instrument).all():
            numbers = wide.served
        else:
            numbers = distinct(instrument)
            if wide is not None and moved:
                numbers = distinct(np.concatenate([numbers, wide.served]))
        if not len(numbers):
            return Moved(numbers, numbers, numbers)
        self._grow(int(numbers[-1]) + 1)
        unknown = numbers[self._last[numbers] == _UNKNOWN]
        if len(unknown):
            self._look_up(unknown, AsOf(seq_max=seq_first - 1), feed)
        before = self._last[numbers]
        self._note_grown(feed, numbers, before)
        np.maximum.at(self._last, instrument, ts)
        after = np.maximum(self._last[numbers], self._book.watermarks(numbers))
        self._last[numbers] = after
        self._outlined[numbers] = _UNKNOWN
        return Moved(numbers, before, after)

    def _note_grown(self, feed: int, numbers: Ints, before: Ints) -> None:
        """Keep what is covered of bars that were closed, or lies before what was covered."""
        for grown in self._book.grown(feed, numbers, before):
            marks = np.where(grown.back, INT64_MAX, looked_up(self._last, grown.numbers, NO_EVENT))
            here = grown.lows < marks
            if here.any():
                self._regrown.append(Regrown(*(c[here] for c in (*grown[:3], marks))))

    def take_regrown(self) -> list[Regrown]:
        """Return where more is covered of bars that no event of a batch need have changed."""
        regrown, self._regrown = self._regrown, []
        return regrown

    def measure(self, grid: Grid, instrument: Numbers, starts: Ints, ends: Ints) -> Measured:
        """Return what is known of bars of instruments that `advance` has named, shape (n,).

        Costs a few array operations where no gap touches a bar and one feed covers it.
        """
        numbers, watermark = np.asarray(instrument, np.int64), self.of(instrument)
        stale = np.flatnonzero(self._outlined[numbers] != self._book.version)
        if stale.size:  # by the first grid that asks after a batch, not by the others
            self._draw(numbers[stale], watermark[stale])
        return measured(self._book, self._outline, numbers, watermark, grid, numbers, starts, ends)

    def _draw(self, numbers: Ints, watermarks: Ints) -> None:
        drawn = outlined(self._book, numbers, watermarks)
        for column, values in zip(self._outline, drawn, strict=True):
            column[numbers] = values
        self._outlined[numbers] = self._book.version

    def _grow(self, size: int) -> None:
        have = len(self._last)
        if size > have:
            more = np.full(2 * size - have, _UNKNOWN, dtype=np.int64)
            self._last = np.append(self._last, more)
            self._outlined = np.append(self._outlined, more)
            self._outline = Outline(*(np.append(column, more) for column in self._outline))

    def _look_up(self, numbers: Ints, known: AsOf, feed: int | None) -> None:
        self._outlined[numbers] = _UNKNOWN
        self._last[numbers] = np.maximum(self._book.watermarks(numbers, before=feed), NO_EVENT)
        for table in MARKET_TABLES:
            rows = last_rows(
                self._store,
                table,
                numbers,
                known,
                columns=("instrument", "ts_event"),
                amended=False,
            )
            np.maximum.at(self._last, rows["instrument"].to_numpy(), rows["ts_event"].to_numpy())


def measure(
    book: CoverageBook, watermark: Ints, grid: Grid, instrument: Numbers, starts: Ints, ends: Ints
) -> Measured:
    """Return what a book knows of bars whose instruments have these watermarks, shape (n,)."""
    numbers = np.asarray(instrument, np.int64)
    outline = outlined(book, numbers, watermark)
    places = np.arange(numbers.size)
    return measured(book, outline, places, watermark, grid, numbers, starts, ends)
