"""The channel `books` with `depth` or `rate_ms`: the best levels, conflated.

ring ──► instruments whose book has changed ──► once in `rate_ms` each: its best levels now
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tickplant.books.measures import IMBALANCE_LEVELS, measure
from tickplant.gateway.stream.frames import Frame
from tickplant.gateway.stream.replay import Chunk, Source
from tickplant.gateway.stream.subscription import TURN_ROWS, Subscription
from tickplant.model.events import BOOK
from tickplant.model.instruments import Instrument
from tickplant.plant.book_shown import read_measured, shown_book
from tickplant.plant.books import BookView
from tickplant.plant.hub import Lagged

TURN_BOOKS = 200
"""Books that a subscription sends in one turn, so that others get theirs."""


class BookTops(NamedTuple):
    """What is asked for: levels a side, and the least time between two events of a book, s."""

    depth: int
    rate_s: float


class BookTopSubscription(Subscription):
    """A subscription to the best levels of some books, at a rate of its own."""

    shares = False
    _timer: asyncio.TimerHandle | None = None
    _wake: Callable[[], object] | None = None

    def __init__(self, tops: BookTops, *given: Any, **named: Any) -> None:
        """Subscribe to `tops`; the rest is that of any subscription."""
        self._tops = tops
        self._sent: dict[int, BookView] = {}
        self._due: dict[int, float] = {}
        self._changed: set[int] = set()
        super().__init__(*given, **named)

    def join(self, wake: Callable[[], object]) -> None:
        """Have `wake` called when something is due."""
        self._wake = wake

    def close(self) -> None:
        """Ask for no wake-up any more."""
        super().close()
        if self._timer is not None:
            self._timer.cancel()

    def step(self, upto: int | None = None) -> list[Frame]:
        """Return the frames that are ready; see `Subscription.step`."""
        self.more = False
        if self._future is not None:
            return self._take_chunk() if self._future.done() else []
        self._note()
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = [number for number in self._changed if self._due.get(number, now) <= now]
        self.more = len(due) > TURN_BOOKS or self.cursor is None or self.cursor.behind > 0
        events = [event for number in due[:TURN_BOOKS] if (event := self._event(number, now))]
        self._set_timer(loop)
        return self._data(self._codec.bundle(events), self.seq)

    def _note(self) -> None:
        """Take from the ring which books have changed."""
        if self.cursor is None:
            self.cursor = self._plant.hub.tail()
        taken = self.cursor.take(TURN_ROWS)
        self.selection.grow()
        numbers = self.selection.numbers
        if isinstance(taken, Lagged):
            self._changed.update(one.number for one in self.selection.instruments())
            return
        for entry in taken:
            if entry.topic == BOOK:
                mine = entry.by_instrument.keys()
                self._changed.update(mine if numbers is None else mine & numbers)
        self.seq = max(self.seq, self.cursor.seq)

    def _event(self, number: int, now: float) -> bytes | None:
        """Return the book as it is, None where nothing is to be seen of its change."""
        self._changed.discard(number)
        depth, rate_s = self._tops
        view = self._view(number, max(depth, IMBALANCE_LEVELS))
        if view is None or not _differs(self._sent.get(number), view):
            return None
        self._sent[number] = view
        self._due[number] = now + rate_s
        instrument = self._plant.registry.number(number)
        found = measure(view.bids, view.asks)
        return self._codec.encode(shown_book(instrument, view.cut(depth), found))

    def _view(self, number: int, depth: int) -> BookView | None:
        books = self._plant.history.books
        return None if books is None else books.view(number, depth)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._changed and not self.more and self._wake is not None:
            at = min(self._due.get(number, 0.0) for number in self._changed)
            self._timer = loop.call_at(at, self._wake)


class TopReader:
    """The best levels of some books as they are now: what a subscription begins with.

    With `after` only of those that have changed since that number, or are not live: what a client
    needs that has the others.
    """

    def __init__(
        self,
        source: Source,
        instruments: Sequence[Instrument],
        upto: int,
        depth: int,
        *,
        after: int | None = None,
    ) -> None:
        self._source = source
        self._instruments = instruments
        self._upto = upto
        self._depth = depth
        self._after = after

    def next(self) -> Chunk:
        """Return them all at once; of all instruments only those that have a book in memory."""
        history, codec = self._source.history, self._source.codec
        wanted = self._instruments
        if self._source.numbers is None and history.books is not None:
            held = set(history.books.numbers())
            wanted = [one for one in wanted if one.number in held]
        read = ((one, *read_measured(history, one, self._depth)) for one in wanted)
        events = [codec.encode(shown_book(*found)) for found in read if self._is_news(found[1])]
        return Chunk(codec.bundle(events), self._upto, done=True)

    def _is_news(self, view: BookView) -> bool:
        return self._after is None or view.state != "live" or (view.seq or 0) > self._after


def _differs(sent: BookView | None, view: BookView) -> bool:
    return sent is None or (sent.state, sent.bids, sent.asks) != (view.state, view.bids, view.asks)
