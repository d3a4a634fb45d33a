"""Fan-out in process: one ring of recent entries, every subscriber a cursor over it.

There are no queues for subscribers. Publishing appends to the ring and rings a bell; a subscriber
reads on from its own place whenever it likes. So a slow or stopped subscriber costs the others
nothing and the plant no memory: when the ring has moved past its place it is told how much it
missed (`Lagged`), and what follows from that is the subscriber's policy.

The plant's thread publishes. Cursors are taken and read on any thread, each on one at a time.
Wake-ups are for event loops: `Waker` calls its listeners on their loop, at most once a turn.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tickplant.plant.published import Published
from tickplant.plant.warm import Warm

PACE_S = 0.004
"""Least time between two wake-ups of a loop, s: a lone event leaves at once, a flood in batches."""

ENCODED_SHARE = 8
"""One part in this many of the ring, that which was asked for last, keeps its encoded rows."""


@dataclass(frozen=True, slots=True)
class Lagged:
    """The ring moved past a cursor, which now stands at the oldest entry left.

    `entries` and `rows` were skipped; they had sequence numbers up to `seq_last`.
    """

    entries: int
    rows: int
    seq_last: int


@dataclass(frozen=True, slots=True)
class HubStatus:
    """What an operator wants to know of the hub."""

    seq: int
    entries: int
    rows: int
    rows_published: int
    listeners: int


class Hub:
    """The ring. `ring_rows` bounds it; `seq` is the last number that existed before it began."""

    def __init__(self, ring_rows: int, *, seq: int = 0, pace_s: float = PACE_S) -> None:
        self._limit = ring_rows
        self._pace_s = pace_s
        self._lock = threading.Lock()
        self._entries: dict[int, Published] = {}
        self._first = 0  # position of the oldest entry
        self._next = 0  # position of the entry that is published next
        self._weight = 0
        self._warm = Warm(ring_rows // ENCODED_SHARE)
        self._rows = 0  # rows published since the beginning
        self._seq = seq
        self._seq_lost = seq  # the ring holds every entry with a number above this
        self._wakers: tuple[Waker, ...] = ()

    @property
    def seq(self) -> int:
        """The last sequence number that was published."""
        return self._seq

    @property
    def rows(self) -> int:
        """How many rows were published since the beginning."""
        return self._rows

    @property
    def end(self) -> int:
        """The position behind the last entry."""
        return self._next

    def publish(self, entry: Published) -> None:
        """Add an entry and wake the subscribers; costs microseconds whatever they do.

        For rows: in sequence order, after the store has them. One thread at a time.
        """
        with self._lock:
            self._append(entry)
            self._evict()
        for waker in self._wakers:
            waker.ring()

    def _append(self, entry: Published) -> None:
        self._seq = max(self._seq, entry.seq_last)
        entry.mark = self._seq
        entry.position = self._next
        entry.rows_before = self._rows
        entry.warm = self._warm
        self._entries[self._next] = entry
        self._next += 1
        self._rows += entry.count
        self._weight += entry.weight

    def _evict(self) -> None:
        while self._weight > self._limit and self._first < self._next - 1:
            old = self._entries.pop(self._first)
            self._warm.drop(old)
            self._weight -= old.weight
            self._seq_lost = old.mark
            self._first += 1

    def tail(self) -> Cursor:
        """Return a cursor behind the last entry: it sees what is published from now on."""
        with self._lock:
            return Cursor(self, self._next, self._rows, self._seq)

    def attach(self, after_seq: int) -> Cursor | None:
        """Return a cursor before the first entry with a number above `after_seq`.

        That entry may begin with rows up to `after_seq`, which the caller skips. None when the
        ring has already lost such entries: read more from the store first.
        """
        with self._lock:
            if after_seq < self._seq_lost:
                return None
            low, high = self._first, self._next
            while low < high:
                middle = (low + high) // 2
                if self._entries[middle].mark > after_seq:
                    high = middle
                else:
                    low = middle + 1
            return Cursor(self, low, self._rows_before(low), after_seq)

    def _rows_before(self, position: int) -> int:
        entry = self._entries.get(position)
        return self._rows if entry is None else entry.rows_before

    def read(
        self, cursor: Cursor, max_rows: int, upto: int | None = None
    ) -> list[Published] | Lagged:
        """Advance `cursor`; what `Cursor.take` does."""
        with self._lock:
            if cursor.position < self._first:
                return self._forward(cursor)
            taken: list[Published] = []
            rows = 0
            for position in range(cursor.position, self._next if upto is None else upto):
                entry = self._entries[position]
                rows += entry.count
                if taken and rows > max_rows:
                    break
                taken.append(entry)
            if taken:
                cursor.position += len(taken)
                cursor.rows_before = taken[-1].rows_before + taken[-1].count
                cursor.seq = max(cursor.seq, taken[-1].mark)
            return taken

    def _forward(self, cursor: Cursor) -> Lagged:
        oldest = self._entries[self._first]
        lagged = Lagged(
            self._first - cursor.position, oldest.rows_before - cursor.rows_before, self._seq_lost
        )
        cursor.position = self._first
        cursor.rows_before = oldest.rows_before
        cursor.seq = self._seq_lost
        return lagged

    def behind(self, cursor: Cursor) -> int:
        """Return how many rows `cursor` has not taken yet, those that it has lost included."""
        return self._rows - cursor.rows_before

    def waker(self, loop: asyncio.AbstractEventLoop) -> Waker:
        """Return the waker of this loop; the same one for every call. Call it on the loop."""
        with self._lock:
            for waker in self._wakers:
                if waker.loop is loop:
                    return waker
            alive = tuple(waker for waker in self._wakers if not waker.loop.is_closed())
            waker = Waker(loop, self._pace_s)
            self._wakers = (*alive, waker)
            return waker

    def status(self) -> HubStatus:
        """Return the present state, at no cost worth mentioning."""
        with self._lock:
            oldest = self._entries.get(self._first)
            rows = self._rows - (oldest.rows_before if oldest else self._rows)
            listeners = sum(len(waker) for waker in self._wakers)
            return HubStatus(self._seq, len(self._entries), rows, self._rows, listeners)


class Cursor:
    """A subscriber's place in the ring; made by `Hub.tail` and `Hub.attach`.

    `seq` is how far it has come: it has taken every entry with a number up to this.
    """

    __slots__ = ("hub", "position", "rows_before", "seq")

    def __init__(self, hub: Hub, position: int, rows_before: int, seq: int) -> None:
        self.hub = hub
        self.position = position
        self.rows_before = rows_before
        self.seq = seq

    def take(self, max_rows: int = 10_000, upto: int | None = None) -> list[Published] | Lagged:
        """Return the next entries, or `Lagged` once when some were lost; empty at the end.

        As many whole entries as have at most `max_rows` rows together, but always one if any; none
        from the position `upto` on, which is the `end` of some moment.
        """
        return self.hub.read(self, max_rows, upto)

    def copy(self) -> Cursor:
        """Return another cursor at the same place."""
        return Cursor(self.hub, self.position, self.rows_before, self.seq)

    def move_to(self, other: Cursor) -> None:
        """Go where another cursor stands."""
        self.position, self.rows_before, self.seq = other.position, other.rows_before, other.seq

    @property
    def behind(self) -> int:
        """How many rows are waiting for it."""
        return self.hub.behind(self)


class Waker:
    """Calls the listeners of one event loop when something was published.

    `ring` may be called on any thread and as often as one likes; the listeners are called on the
    loop, at most once a turn and once in `pace_s`, and never miss the last ring. One listener may
    stand for many subscribers, who `attend` and are counted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pace_s: float) -> None:
        self.loop = loop
        self._pace_s = pace_s
        self._listeners: set[Callable[[], object]] = set()
        self._attending = 0
        self._rung = False
        self._called_at = float("-inf")

    def __len__(self) -> int:
        return self._attending or len(self._listeners)

    def attend(self, more: int) -> None:
        """Count so many subscribers more, or fewer, that hear of it by a listener. On the loop."""
        self._attending += more

    def add(self, listener: Callable[[], object]) -> None:
        """Call `listener` at each wake-up from now on. On the loop."""
        self._listeners.add(listener)

    def discard(self, listener: Callable[[], object]) -> None:
        """Call it no more. On the loop."""
        self._listeners.discard(listener)

    def ring(self) -> None:
        """Ask for a wake-up. On any thread."""
        if self._rung or not self._listeners:
            return
        self._rung = True
        try:
            self.loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # the loop is closed, so nobody listens there any more
            self._listeners.clear()

    def _answer(self) -> None:
        rest = self._called_at + self._pace_s - self.loop.time()
        if rest > 0:
            self.loop.call_later(rest, self._call)
        else:
            self._call()

    def _call(self) -> None:
        self._called_at = self.loop.time()
        # Cleared before the listeners look, so that what is published while they do rings again.
        self._rung = False
        for listener in tuple(self._listeners):
            listener()
