"""Many bars of many instruments in little memory: packed states in pages of a shared pool.

A page holds `PAGE` bars of one instrument, each in one run of memory, so that one instrument's
bars are read with one gather and bars of thousands of instruments are added with one scatter. The
pool has a bound in bytes. Where it would be passed, every instrument keeps half as many pages from
then on and the oldest ones are given back, so that short memory shortens all alike.

    table[row] ──► page ──► PAGE bars: start │ prices, times, numbers, packed sums
                   ring of pages by row, in the order of arrival, which is nearly that of time
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from tickplant.candles import exact
from tickplant.candles.runs import COLUMNS, INSTRUMENT, START, VOLUME
from tickplant.model.times import INT64_MIN

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Lock = AbstractContextManager[bool]
RaiseFloor = Callable[[Ints, Ints], None]

PAGE = 16
"""Bars of a page: few, as an instrument with one bar a day takes a page as well."""

_FREE = -1
_NO_BAR = INT64_MIN
_PLAIN = slice(START + 1, VOLUME)
_LOW = np.int64((1 << exact.BITS) - 1)


def packed_width(height: int) -> int:
    """Return how many int64 a bar takes whose state has `height` of them."""
    return height - (START + 1) - (COLUMNS - VOLUME) // 2


def packable(block: Ints) -> Flags:
    """Say which states, shape (n,), can be packed: whose sums have a top digit of 32 bits.

    That is every sum below 2^95 in magnitude.
    """
    tops = block[VOLUME + exact.DIGITS - 1 : COLUMNS : exact.DIGITS]
    small: Flags = (tops == tops.astype(np.int32)).all(axis=0)
    return small


def pack(block: Ints) -> Ints:
    """Return states as bars, shape (n, packed_width), without instrument and start."""
    plain = VOLUME - (START + 1)
    sums = (COLUMNS - VOLUME) // 2
    out = np.empty((block.shape[1], packed_width(block.shape[0])), np.int64)
    out[:, :plain] = block[_PLAIN].T
    digits = block[VOLUME:COLUMNS]
    out[:, plain : plain + sums] = (digits[0::2] | digits[1::2] << exact.BITS).T
    out[:, plain + sums :] = block[COLUMNS:].T
    return out


def unpack(bars: Ints, instrument: int | Ints, starts: Ints, room: int = 0) -> Ints:
    """Return bars, shape (n, packed_width), as states, shape (height, n + room).

    What is behind the first n is for the caller to fill.
    """
    plain = VOLUME - (START + 1)
    sums = (COLUMNS - VOLUME) // 2
    columns, count = bars.T, len(bars)
    whole = np.empty((len(columns) + START + 1 + sums, count + room), np.int64)
    block = whole[:, :count]
    block[INSTRUMENT], block[START] = instrument, starts
    # Line by line: up to 500 elements NumPy keeps Python's lock, which is long in coming back where
    # others want it, and reads of so many bars are done in one go.
    for line, column in zip(block[_PLAIN], columns[:plain], strict=True):
        line[:] = column
    for k, pair in enumerate(columns[plain : plain + sums]):
        low, high = block[VOLUME + 2 * k], block[VOLUME + 2 * k + 1]
        np.bitwise_and(pair, _LOW, out=low)
        np.right_shift(pair, exact.BITS, out=high)
        if (2 * k + 2) % exact.DIGITS:  # the top digit has the sign
            np.bitwise_and(high, _LOW, out=high)
    block[COLUMNS:] = columns[plain + sums :]
    return whole


class Pool:
    """Memory for pages of bars of one height.

    `lock`, one that its holder may take again, is held by whoever changes or reads bars. The
    memory is reserved at once and taken from the system page by page as it is used.
    """

    def __init__(self, bytes_max: int, height: int = COLUMNS, lock: Lock | None = None) -> None:
        width = packed_width(height)
        self.lock = RLock() if lock is None else lock
        self.page_bytes = PAGE * (width + 1) * 8
        self._pages_max = max(bytes_max // self.page_bytes, 1)
        self.starts = np.empty((self._pages_max, PAGE), np.int64)
        self.bars = np.empty((self._pages_max, PAGE, width), np.int64)
        self._fresh = 0  # pages from here on were never used
        self._free: list[int] = []
        self._rings: list[Rings] = []

    @property
    def bytes_used(self) -> int:
        """Bytes of the pages that are in use."""
        return (self._fresh - len(self._free)) * self.page_bytes

    @property
    def bytes_max(self) -> int:
        """The bound."""
        return self._pages_max * self.page_bytes

    def add(self, rings: Rings) -> None:
        """Let the pages of these rings be shortened where memory is short."""
        self._rings.append(rings)

    def remove(self, rings: Rings) -> None:
        """Forget rings that nobody uses any more."""
        self._rings = [other for other in self._rings if other is not rings]

    def take(self, count: int) -> Ints:
        """Return `count` pages, or as many as can be had."""
        while self._left() < count:
            halved = [rings.halve() for rings in self._rings]
            if not any(halved):
                break
        again = self._free[len(self._free) - min(count, len(self._free)) :]
        del self._free[len(self._free) - len(again) :]
        more = min(count - len(again), self._pages_max - self._fresh)
        fresh = np.arange(self._fresh, self._fresh + more)
        self._fresh += more
        return np.concatenate([np.array(again, np.int64), fresh])

    def _left(self) -> int:
        return self._pages_max - self._fresh + len(self._free)

    def give(self, pages: Ints) -> None:
        """Take pages back."""
        self._free += pages.tolist()


def _pages_of(bars_max: int) -> int:
    return -(-bars_max // PAGE) + 1  # the oldest and the newest page are not full


def table_bytes(bars_max: int) -> int:
    """Return how many bytes a row takes in the table of pages."""
    return 4 * _pages_of(bars_max) + 16


class Rings:
    """The older bars of the rows of one grid, at most about `bars_max` of each.

    Bars of a row lie in the order in which they came. Whoever calls holds the pool's lock;
    `raise_floor` is told what leaves, so that nobody takes it for a time without events.
    """

    def __init__(self, pool: Pool, bars_max: int, raise_floor: RaiseFloor) -> None:
        self._pool = pool
        self._raise_floor = raise_floor
        self._span = _pages_of(bars_max)
        self._keep = self._span
        self._table = np.empty((0, self._span), np.int32)
        self._first = np.empty(0, np.int64)
        self._next = np.empty(0, np.int64)
        self._last = np.empty(0, np.int64)
        self._ordered = np.empty(0, np.bool_)
        pool.add(self)

    @property
    def bars_max(self) -> int:
        """Bars of an instrument that are surely kept; falls when memory is short."""
        return (self._keep - 1) * PAGE

    def grow(self, rows: int) -> None:
        """Make room in the table for so many rows."""
        more = rows - len(self._first)
        if more > 0:
            table = np.full((more, self._span), _FREE, np.int32)
            self._table = np.vstack([self._table, table])
            self._first = np.append(self._first, np.zeros(more, np.int64))
            self._next = np.append(self._next, np.zeros(more, np.int64))
            self._last = np.append(self._last, np.full(more, _NO_BAR))
            self._ordered = np.append(self._ordered, np.ones(more, np.bool_))

    def append(self, rows: Ints, starts: Ints, bars: Ints) -> None:
        """Add one bar to each of these rows, each row once."""
        at = self._next[rows]
        turning = np.flatnonzero(at % PAGE == 0)
        if turning.size:
            kept = self._turn(rows[turning], starts[turning])
            if not kept.all():
                keep = np.ones(rows.size, np.bool_)
                keep[turning[~kept]] = False
                rows, starts, bars, at = rows[keep], starts[keep], bars[keep], at[keep]
        page, slot = self._page(rows, at), at % PAGE
        self._pool.starts[page, slot] = starts
        self._pool.bars[page, slot] = bars
        self._next[rows] = at + 1
        self._ordered[rows] &= starts > self._last[rows]
        self._last[rows] = starts

    def _turn(self, rows: Ints, starts: Ints) -> Flags:
        """Give each row a new page; say which rows have one now."""
        self._drop(rows[self._full(rows)], 1)
        pages = self._pool.take(rows.size)
        self._drop(rows[self._full(rows)], 1)  # memory may just have become short
        kept = np.arange(rows.size) < pages.size
        # Nobody can keep less than a page: those that come too late keep nothing.
        self._raise_floor(rows[~kept], starts[~kept])
        at = self._next[rows[kept]]
        self._table[rows[kept], at // PAGE % self._span] = pages
        return kept

    def _full(self, rows: Ints) -> Flags:
        full: Flags = (self._next[rows] - self._first[rows]) // PAGE >= self._keep
        return full

    def halve(self) -> bool:
        """Keep half as many pages of each row from now on; say whether any came free."""
        if self._keep == 1:
            return False
        self._keep = max(self._keep // 2, 1)
        held = -(-self._next // PAGE) - self._first // PAGE
        over = np.flatnonzero(held > self._keep)
        for count in np.unique(held[over] - self._keep).tolist():
            self._drop(over[held[over] - self._keep == count], count)
        return True

    def _drop(self, rows: Ints, count: int) -> None:
        """Give back the `count` oldest pages of rows, which have as many."""
        for _ in range(count if rows.size else 0):
            first = self._first[rows]
            page = self._page(rows, first)
            starts = self._pool.starts[page]
            begun = first[:, None] + np.arange(PAGE) < self._next[rows][:, None]
            self._raise_floor(rows, np.where(begun, starts, _NO_BAR).max(axis=1))
            self._pool.give(page)
            self._first[rows] = first + PAGE

    def _page(self, rows: Ints, at: Ints) -> Ints:
        pages: Ints = self._table[rows, at // PAGE % self._span].astype(np.int64)
        return pages

    def find(self, rows: Ints, starts: Ints) -> Ints:
        """Return the place of each bar (for `at` and `replace`), or -1; shape (n,).

        Looks at the newest page first, where nearly all late rows have their bar.
        """
        places = np.full(rows.size, _FREE, np.int64)
        left = np.arange(rows.size)
        back = 0
        while left.size:
            last = (self._next[rows[left]] - 1) // PAGE - back
            left = left[last >= self._first[rows[left]] // PAGE]
            if not left.size:
                break
            mine = rows[left]
            base = ((self._next[mine] - 1) // PAGE - back) * PAGE
            page = self._page(mine, base)
            begun = base[:, None] + np.arange(PAGE) < self._next[mine][:, None]
            match = (self._pool.starts[page] == starts[left][:, None]) & begun
            found = match.any(axis=1)
            places[left[found]] = (page * PAGE + match.argmax(axis=1))[found]
            left = left[~found]
            back += 1
        return places

    def at(self, places: Ints) -> Ints:
        """Return the bars at these places, shape (n, width)."""
        bars: Ints = self._pool.bars[places // PAGE, places % PAGE]
        return bars

    def replace(self, places: Ints, bars: Ints) -> None:
        """Put other bars at these places."""
        self._pool.bars[places // PAGE, places % PAGE] = bars

    def read(self, row: int, newest: int | None = None) -> tuple[Ints, Ints, bool]:
        """Return copies of (starts, bars) of one row, in the order in which they came.

        And whether that is surely the order of their starts, which rise: then only the `newest`.
        """
        if row >= len(self._first):
            return np.empty(0, np.int64), np.empty((0, self._pool.bars.shape[2]), np.int64), True
        first, end = int(self._first[row]), int(self._next[row])
        ordered = bool(self._ordered[row])
        if newest is not None and ordered:
            first = max(first, end - newest)
        begun = first % PAGE  # within the first page
        pages = self._table[row, np.arange(first // PAGE, -(-end // PAGE)) % self._span]
        cut = slice(begun, begun + end - first)
        starts = self._pool.starts[pages].reshape(-1)[cut]
        bars = self._pool.bars[pages].reshape(-1, self._pool.bars.shape[2])[cut]
        if not ordered and (starts[1:] > starts[:-1]).all():  # those out of order have gone
            self._ordered[row] = ordered = True
        return starts, bars, ordered

    def rewrite(self, row: int, starts: Ints, bars: Ints) -> None:
        """Replace all bars of a row by these, rising; of too many the newest are kept."""
        self._pool.give(self._held(row))
        self._first[row] = self._next[row] = 0
        pages = self._pool.take(min(-(-len(starts) // PAGE), self._keep))
        self._pool.give(pages[self._keep :])
        pages = pages[: self._keep]
        count = min(len(starts), len(pages) * PAGE)
        gone = len(starts) - count
        if gone:
            self._raise_floor(np.array([row]), starts[gone - 1 : gone])
        at = np.arange(count)
        self._table[row, : len(pages)] = pages
        self._pool.starts[pages[at // PAGE], at % PAGE] = starts[gone:]
        self._pool.bars[pages[at // PAGE], at % PAGE] = bars[gone:]
        self._next[row] = count
        self._ordered[row] = True
        self._last[row] = starts[-1] if len(starts) else _NO_BAR

    def _held(self, row: int) -> Ints:
        first, end = int(self._first[row]), int(self._next[row])
        numbers = np.arange(first // PAGE, -(-end // PAGE)) % self._span
        pages: Ints = self._table[row, numbers].astype(np.int64)
        return pages

    def close(self) -> None:
        """Give all pages back."""
        with self._pool.lock:
            self._pool.remove(self)
            for row in range(len(self._first)):
                self._pool.give(self._held(row))
            self._first[:] = self._next[:] = 0
