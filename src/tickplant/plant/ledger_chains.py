"""The entries of the ledger that are about one instrument of one feed, found without a search.

Each entry knows the one before it of the same feed and instrument, so that a restart of thousands
of instruments adds one entry to each chain at the cost of a few array operations:

    last entry of an instrument ──► the one before ──► … ──► its first
    reach: the furthest end of this one and of all before it, where a walk may stop
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tickplant.candles.coverage import Ints
from tickplant.model.times import INT64_MIN
from tickplant.plant.arrays import grown, highest_so_far, looked_up

_NONE = -1
_NO_PLACES = np.empty(0, np.int64)


class Chains:
    """Chains of places. One thread changes them, under the lock of their owner."""

    def __init__(self) -> None:
        self._before = np.empty(0, np.int64)
        self._reach = np.empty(0, np.int64)
        self._last: dict[int, Ints] = {}

    def add(self, place: int, feeds: Ints, numbers: Ints, hulls: Ints) -> None:
        """Take new entries, at places from `place` on; shape (n,), not none."""
        size = place + len(feeds)
        self._before = grown(self._before, size, _NONE)
        self._reach = grown(self._reach, size, INT64_MIN)
        for feed in np.unique(feeds).tolist():
            mine = np.flatnonzero(feeds == feed)
            self._add(feed, mine + place, numbers[mine], hulls[mine])

    def _add(self, feed: int, places: Ints, numbers: Ints, hulls: Ints) -> None:
        last = grown(self._last.get(feed, np.empty(0, np.int64)), int(numbers.max()) + 1, _NONE)
        order = np.argsort(numbers, kind="stable")
        places, numbers, hulls = places[order], numbers[order], hulls[order]
        first = np.append(True, numbers[1:] != numbers[:-1])
        before = np.where(first, last[numbers], np.append(_NONE, places[:-1]))
        self._before[places] = before
        known = first & (before != _NONE)
        hulls[known] = np.maximum(hulls[known], self._reach[before[known]])
        self._reach[places] = highest_so_far(numbers, hulls)
        ends = np.append(first[1:], True)
        last[numbers[ends]] = places[ends]
        self._last[feed] = last

    def extend(self, feeds: Ints, numbers: Ints, places: Ints, hulls: Ints) -> None:
        """Take it that entries reach further now; shape (n,)."""
        at = self.last_of_each(feeds, numbers)
        while at.size:
            np.maximum.at(self._reach, at, hulls)
            on = at != places
            at, places, hulls = self._before[at[on]], places[on], hulls[on]

    def last_of_each(self, feeds: Ints, numbers: Ints) -> Ints:
        """Return the place of the last entry of each pair, which has one; shape (n,)."""
        found = np.empty(numbers.shape, np.int64)
        for feed in np.unique(feeds).tolist():
            mine = feeds == feed
            found[mine] = self._last[feed][numbers[mine]]
        return found

    def last(self, feed: int, numbers: Ints) -> Ints:
        """Return the place of the last entry of each instrument of a feed, -1 for none."""
        last = self._last.get(feed)
        if last is None:
            return np.full(numbers.shape, _NONE, np.int64)
        return looked_up(last, numbers, _NONE)

    def reach(self, feed: int, numbers: Ints) -> Ints:
        """Return how far the entries of each instrument of a feed reach, very early for none."""
        if feed not in self._last:
            return np.full(numbers.shape, INT64_MIN, np.int64)
        last = self.last(feed, numbers)
        found: Ints = np.where(last == _NONE, INT64_MIN, self._reach[last])
        return found

    def of(self, feed: int, number: int) -> Ints:
        """Return the places of the entries of one instrument of a feed, rising."""
        last = self._last.get(feed)
        at = _NONE if last is None or number >= last.size else last.item(number)
        if at == _NONE:
            return _NO_PLACES
        found = []
        while at != _NONE:
            found.append(at)
            at = self._before.item(at)
        return np.array(found[::-1], np.int64)

    def walk(self, feed: int, numbers: Ints, since: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Yield (place in `numbers`, place of an entry), of a step back in each chain.

        An instrument is left where no entry before reaches beyond its `since`, shape (n,).
        """
        at = self.last(feed, numbers)
        which = np.flatnonzero(at != _NONE)
        at = at[which]
        while at.size:
            on = np.flatnonzero(self._reach[at] > since[which])
            which, at = which[on], at[on]
            if at.size:
                yield which, at
            at = self._before[at]
            on = np.flatnonzero(at != _NONE)
            which, at = which[on], at[on]
