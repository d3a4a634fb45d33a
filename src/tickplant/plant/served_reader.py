"""Reading served bars: from memory, and from the store what memory does not have.

memory up to event s ──► all bars from `since` on ───────────────────┐
store as of s ─────────► older bars, and those that became unknown ──┴──► the bars as of s
                               └──► offered to memory, for the next reader
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import BoundedSemaphore

import numpy as np

from tickplant.candles.grid import Grid
from tickplant.candles.states import States, empty, merge
from tickplant.model.errors import Stopping
from tickplant.model.times import INT64_MIN
from tickplant.plant.bar_reader import BarReader
from tickplant.plant.inbox import Inbox, new_future
from tickplant.plant.served import Offer, Seen, ServedCandles
from tickplant.store.contract import AsOf

Offered = Callable[[Offer], object]

OFFERS_MAX = 64
"""Offers that wait at once; a bar that is offered in vain is built again by the next reader."""


class Offers:
    """Hands bars that readers built to the plant's thread. Any thread may call; none waits."""

    def __init__(self, inbox: Inbox, served: ServedCandles) -> None:
        self._inbox = inbox
        self._served = served
        self._room = BoundedSemaphore(OFFERS_MAX)

    def __call__(self, offer: Offer) -> None:
        """Hand bars over, unless too many wait."""
        if not self._room.acquire(blocking=False):
            return

        def take() -> None:
            self._room.release()
            self._served.take(offer)

        with suppress(Stopping):
            self._inbox.call(take, new_future())


@dataclass(frozen=True, slots=True)
class ServedReader:
    """Reads as `stored`, a reader of how things stand now, would. `offer` gets what it built."""

    stored: BarReader
    served: ServedCandles
    offer: Offered

    @property
    def grid(self) -> Grid:
        """The grid of the bars."""
        return self.stored.grid

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last event's time."""
        return self.stored.span

    def read(self, start: int | None, end: int | None, limit: int | None) -> States:
        """Return the bars whose start lies in `[floor(start), end)`, ascending.

        The first `limit` of them, or without `start` the newest `limit`.
        """
        stored = self.stored
        if stored.bounds(start, end, limit) is None:
            return empty()
        newest = limit if start is None and end is None else None
        seen = self.served.read(stored.grid, stored.basis, stored.instrument, newest)
        if seen is None:
            return stored.read(start, end, limit)
        return _Read(self, seen, start, end, limit).states()


@dataclass(slots=True)
class _Read:
    """One read; `start`, `end` and `limit` are what was asked for."""

    reader: ServedReader
    seen: Seen
    start: int | None
    end: int | None
    limit: int | None

    def states(self) -> States:
        held = self._held()
        known = held.count > 0
        if known.all() and self._is_whole(held):  # as with nearly every read
            return held
        older, since = empty(), self.seen.since
        if not self._is_whole(held):
            older, since = self._older(held)
        named = held.start[~known]
        rebuilt = self._stored().rebuilt(named.tolist()) if len(named) else empty()
        found = self._cut(merge([older, held.take(known), rebuilt]))
        if len(named) or since < self.seen.since:
            self._offer(merge([older, rebuilt]), since, named)
        if len(rebuilt) < len(named) and self.limit is not None:
            return self._stored().read(self.start, self.end, self.limit)
        return found

    def _held(self) -> States:
        """Return what memory has of what is wanted."""
        states, low = self.seen.states, self.seen.since
        if self.start is not None:
            low = max(low, self.reader.stored.grid.floor(self.start))
        starts = states.start  # rising
        first = int(np.searchsorted(starts, low)) if low > INT64_MIN else 0
        last = len(states) if self.end is None else int(np.searchsorted(starts, self.end))
        return self._cut(states.take(slice(first, max(first, last))))

    def _cut(self, states: States) -> States:
        if self.limit is None:
            return states
        newest = self.start is None
        return states.take(slice(-self.limit, None) if newest else slice(self.limit))

    def _is_whole(self, held: States) -> bool:
        since = self.seen.since
        if self.start is not None:
            return since <= self.reader.stored.grid.floor(self.start)
        return since == INT64_MIN or (self.limit is not None and len(held) >= self.limit)

    def _stored(self) -> BarReader:
        return replace(self.reader.stored, as_of=AsOf(seq_max=self.seen.seq))

    def _older(self, held: States) -> tuple[States, int]:
        """Return the bars before `since` that are wanted, and from where on none is missing."""
        since = self.seen.since
        end = since if self.end is None else min(self.end, since)
        left = self.limit
        if self.start is None and self.limit is not None:
            left = self.limit - len(held)
        older = self._stored().read(self.start, end, left)
        if end < since:
            return older, since
        if left is not None and len(older) >= left:
            return older, int(older.start[0]) if self.start is None and len(older) else since
        first = INT64_MIN if self.start is None else self.reader.stored.grid.floor(self.start)
        return older, min(first, since)

    def _offer(self, states: States, since: int, named: np.ndarray) -> None:
        stored, seen = self.reader.stored, self.seen
        kind = stored.grid, stored.basis
        self.reader.offer(
            Offer(kind, stored.instrument, states, since, seen.since, named, seen.seq)
        )
