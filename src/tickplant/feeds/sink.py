"""The sink between a feed and the plant: bounded, and honest about what failed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager

import pyarrow.compute as pc

from tickplant.feeds.contract import Clock, FeedState, Sleep
from tickplant.model.errors import PassingError, Stopping
from tickplant.model.events import Flag
from tickplant.model.times import INT64_MIN
from tickplant.plant.feed_notes import Alive, Begun, Hole, Judged, Known, Note, Repair
from tickplant.plant.submission import Receipt, Submission

_LOG = logging.getLogger(__name__)

Submit = Callable[[Submission], Future[Receipt]]
Tell = Callable[[Note], Future[int | None]]
Shed = Callable[[Submission], Submission | None]

ALIVE_EVERY_NS = 250_000_000
"""Heartbeats that bring a feed on by less event time than this are not passed on."""

ROWS_UNDER_WAY_MAX = 200_000
"""Rows of one feed that may wait for the disk: more than half a second at 300,000 events a second,
a hundred times what a healthy disk lets wait."""


class PlantSink:
    """A `Sink` of one feed and one run of it. Lives on the feed's event loop.

    Up to `rows_max` rows are under way at once; then `submit` waits (policy `block`). A plant that
    refuses for now is asked again after the time it names: nothing was taken, so nothing doubles.
    `tell` takes what the feed says; `shed` leaves out what need not be submitted now, of rows that
    nobody waits for a receipt of. With `begins` a feed that says nothing begins with what it
    hands over first; without, only when it says so.
    """

    def __init__(
        self,
        submit: Submit,
        state: FeedState,
        *,
        clock: Clock,
        sleep: Sleep,
        tell: Tell | None = None,
        shed: Shed | None = None,
        rows_max: int = ROWS_UNDER_WAY_MAX,
        begins: bool = True,
    ) -> None:
        self._submit = submit
        self._tell = tell
        self._shed = shed
        self._begun = not begins
        self._told_alive = INT64_MIN
        self._alive_at: int | None = None
        self._held_back = 0
        self._closed = False
        self._state = state
        self._clock = clock
        self._sleep = sleep
        self._rows_max = rows_max
        self._rows = 0
        self._room = asyncio.Event()
        self._failed: BaseException | None = None

    @property
    def silent_since(self) -> int | None:
        """When the feed was last heard of, by the clock; None where it may be silent.

        It may for as long as it has sent no heartbeat, and while the plant holds it back.
        """
        return None if self._held_back else self._alive_at

    async def submit(self, submission: Submission) -> None:
        """Hand rows to the plant; see `contract.Sink.submit`."""
        left = submission if self._shed is None else self._shed(submission)
        if left is None:
            self._check_open()
            await self._begin()
        else:
            await self._submit_one(left)

    async def deliver(self, submission: Submission) -> Receipt:
        """Hand rows to the plant and return the receipt; see `contract.Sink.deliver`."""
        future = await self._submit_one(submission)
        return await asyncio.wrap_future(future)

    async def _submit_one(self, submission: Submission) -> Future[Receipt]:
        self._check_open()
        rows = submission.rows.num_rows
        with self._holding_back():
            while self._failed is None and self._rows and self._rows + rows > self._rows_max:
                self._room.clear()
                await self._room.wait()
            if self._failed is not None:
                raise self._failed
            await self._begin()
            future = await self._hand_over(submission)
        self._rows += rows
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: _call(loop, lambda: self._settle(rows, done)))
        is_live = rows and not submission.flags & Flag.BACKFILLED
        last = pc.max(submission.rows.column("ts_event")).as_py() if is_live else None
        self._state.note(rows, last, self._clock())
        return future

    async def say(self, note: Note) -> int | None:
        """Say something besides rows; see `contract.Sink.say`."""
        self._check_open()
        if isinstance(note, Begun):
            self._begun = True
        elif not isinstance(note, Judged | Known):  # those say nothing of what is delivered
            await self._begin()
        if isinstance(note, Alive):
            self._alive_at = self._clock()
            if note.ts < self._told_alive + ALIVE_EVERY_NS:
                return None
            self._told_alive = note.ts
        return await self._pass_on(note)

    def close(self) -> None:
        """Take nothing any more: the run is over, though it may not have noticed yet."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise Stopping(f"this run of the feed {self._state.name} is over")

    async def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            await self._pass_on(Begun(self._state.name))

    async def _pass_on(self, note: Note) -> int | None:
        if self._tell is None:
            return None
        try:
            future = self._tell(note)
        except Stopping:
            return None  # what is not told is a gap of the next run
        if isinstance(note, Hole | Repair):
            with self._holding_back():
                return await asyncio.wrap_future(future)
        future.add_done_callback(_see)
        return None

    @contextmanager
    def _holding_back(self) -> Iterator[None]:
        """Count the time in here as the plant's: the feed is heard of when it ends."""
        self._held_back += 1
        try:
            yield
        finally:
            self._held_back -= 1
            if self._alive_at is not None:
                self._alive_at = self._clock()

    async def _hand_over(self, submission: Submission) -> Future[Receipt]:
        while True:
            try:
                return self._submit(submission)
            except PassingError as fault:
                self._state.error = fault.detail
                await self._sleep(fault.retry_after_s)

    def _settle(self, rows: int, done: Future[Receipt]) -> None:
        self._rows -= rows
        self._failed = self._failed or (CancelledError() if done.cancelled() else done.exception())
        self._room.set()


def _see(done: Future[int | None]) -> None:
    if not done.cancelled() and (fault := done.exception()) is not None:
        _LOG.warning("what a feed said was not taken: %s", fault)


def _call(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(act)
    except RuntimeError:  # the loop was closed before the disk answered; nobody waits any more
        _LOG.debug("a batch became durable after its feed had ended")
