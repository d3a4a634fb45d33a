"""The owner of every feed's task: starts it, sees it fail, starts it again, stops it in time.

    starting ──► connected ──► (fault) ──► waiting ──► connected …
                     └───────► finished (a source that has an end)       stop() ──► stopped

A feed that fails has missed what comes until it is back, and the plant is told so: `Lost`, because
it was cut, because the plant or it could not keep up, or because it stalled. It stalls when it has
sent heartbeats and then, for `stall_s` of the clock, neither a row nor a heartbeat; the time that
the plant makes it wait does not count. A feed that watches over itself, or is asked at an interval
of its own, is `self_watched` and does not stall here. Feeds may be added and removed at any time.

The pause before the n-th start in a row is `backoff_s * 2**n`, capped, and between half of that
and all of it by chance, so that many feeds that failed together do not come back together. A feed
that ran for longer than the cap before it failed begins again with the shortest pause.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from tickplant.feeds.contract import Clock, Feed, FeedState, Sleep
from tickplant.feeds.sink import PlantSink, Shed, Submit, Tell
from tickplant.model.errors import PassingError, Stopping
from tickplant.observe.context import bind
from tickplant.plant.feed_notes import Finished, Lost, Note

_LOG = logging.getLogger(__name__)

CLOSE_S_MAX = 10.0
"""How long the run of a feed that has stalled may take to end."""


class Stalled(Exception):
    """A feed that sends heartbeats has sent nothing for too long."""


class FeedRunner:
    """Runs feeds as tasks of the running event loop. `states` may be read by any thread.

    `tell` takes what is to be said of a feed, `shown_of` adds what the plant knows of it; both may
    be left out. `shed` leaves out rows of feeds with `sheds`, whose next quote takes the place of
    the one before. `jitter` returns a number from 0 to 1; without `stall_s` no feed stalls.
    """

    def __init__(
        self,
        feeds: Sequence[Feed],
        submit: Submit,
        *,
        clock: Clock,
        tell: Tell | None = None,
        shown_of: Callable[[str], dict[str, Any]] | None = None,
        shed: Shed | None = None,
        stall_s: float | None = None,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        backoff_s: float = 0.5,
        backoff_s_max: float = 30.0,
    ) -> None:
        names = [feed.name for feed in feeds]
        assert len(set(names)) == len(names), f"feeds need names of their own: {names}"
        self._feeds = {feed.name: feed for feed in feeds}
        self._submit = submit
        self._tell = tell
        self._shown_of = shown_of
        self._shed = shed
        self._stall_s = stall_s
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._backoff_s = backoff_s
        self._backoff_s_max = backoff_s_max
        self._tasks: dict[asyncio.Task[None], FeedState] = {}
        self._running = False
        self.states = tuple(map(_state_of, feeds))

    def shown(self) -> list[dict[str, Any]]:
        """Return every feed as `/v1/feeds` shows it."""
        now = self._clock()
        shown_of = self._shown_of or (lambda name: {})
        return [
            {**state.shown(now), **shown_of(state.name), **_own(self._feeds.get(state.name), now)}
            for state in self.states
        ]

    def find(self, name: str) -> Feed | None:
        """Return the feed of this name."""
        return self._feeds.get(name)

    def start(self) -> None:
        """Start every feed; needs a running event loop."""
        self._running = True
        for state in self.states:
            self._start(self._feeds[state.name], state)

    def add(self, feed: Feed) -> None:
        """Own one more feed; it starts at once where the others run. On the event loop."""
        assert feed.name not in self._feeds, f"there is a feed {feed.name} already"
        state = _state_of(feed)
        self._feeds[feed.name] = feed
        self.states = (*self.states, state)
        if self._running:
            self._start(feed, state)

    async def remove(self, name: str, timeout_s: float = 5.0) -> None:
        """Stop a feed and forget it: it has come to its end. On the event loop."""
        tasks = [task for task, state in self._tasks.items() if state.name == name]
        for task in tasks:
            task.cancel()
        if tasks and (await asyncio.wait(tasks, timeout=timeout_s))[1]:
            _LOG.error("feed %s did not stop within %g s", name, timeout_s)
        self._say(Finished(name))
        del self._feeds[name]
        self.states = tuple(state for state in self.states if state.name != name)

    def _start(self, feed: Feed, state: FeedState) -> None:
        task = asyncio.create_task(self._own(feed, state), name=f"feed {feed.name}")
        task.add_done_callback(self._ended)
        self._tasks[task] = state

    async def stop(self, timeout_s: float = 5.0) -> list[str]:
        """Cancel every feed; return the names of those that had not ended after `timeout_s`."""
        tasks = dict(self._tasks)
        for task in tasks:
            task.cancel()
        pending = (await asyncio.wait(tasks, timeout=timeout_s))[1] if tasks else set()
        for task, state in tasks.items():
            if task not in pending:
                state.state = "stopped"
        late = [tasks[task].name for task in pending]
        if late:
            _LOG.error("feeds that did not stop within %g s: %s", timeout_s, ", ".join(late))
        return late

    async def _own(self, feed: Feed, state: FeedState) -> None:
        bind(feed=feed.name)
        failures = 0
        while True:
            began = self._clock()
            sink = PlantSink(
                self._submit, state, clock=self._clock, sleep=self._sleep, tell=self._tell,
                begins=not getattr(feed, "supervised", False),
                shed=self._shed if getattr(feed, "sheds", False) else None,
            )  # fmt: skip
            try:
                await self._attend(feed, sink)
            except Exception as fault:
                self._say(Lost(feed.name, _cause(fault), f"{type(fault).__name__}: {fault}"))
                if (self._clock() - began) / 1e9 > self._backoff_s_max:
                    failures = 0
                pause_s = self._pause_s(failures)
                failures += 1
                self._note_failure(state, fault, pause_s)
                await self._sleep(pause_s)
            else:
                self._say(Finished(feed.name))
                state.state = "finished"
                return

    async def _attend(self, feed: Feed, sink: PlantSink) -> None:
        """Run a feed; raises `Stalled` where it falls silent."""
        if self._stall_s is None or getattr(feed, "self_watched", False):
            await feed.run(sink)
            return
        running = asyncio.create_task(feed.run(sink), name=f"run of {feed.name}")
        try:
            while not running.done():
                await self._wait(running, self._stall_s)
                since = sink.silent_since
                silent_s = 0.0 if since is None else (self._clock() - since) / 1e9
                if silent_s >= self._stall_s and not running.done():
                    raise Stalled(f"nothing was heard of it for {silent_s:g} s")
            await running
        finally:
            await self._end(running, sink)

    async def _end(self, running: asyncio.Task[None], sink: PlantSink) -> None:
        """End a run; one that will not end (a handshake that hangs) is left alone, and unheard."""
        sink.close()
        running.cancel()
        await asyncio.wait({running}, timeout=CLOSE_S_MAX)
        if not running.done():
            _LOG.error("the %s did not end within %g s", running.get_name(), CLOSE_S_MAX)
        running.add_done_callback(_see)

    async def _wait(self, running: asyncio.Task[None], seconds: float) -> None:
        """Wait until the task is done, or this long."""
        pause = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({running, pause}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()

    def _say(self, note: Note) -> None:
        if self._tell is not None:
            with suppress(Stopping):
                self._tell(note)

    def _pause_s(self, failures: int) -> float:
        # The exponent is capped too: a feed may fail for weeks, and 2.0**1024 overflows.
        longest = min(self._backoff_s * 2.0 ** min(failures, 30), self._backoff_s_max)
        return longest * (0.5 + 0.5 * self._jitter())

    def _note_failure(self, state: FeedState, fault: Exception, pause_s: float) -> None:
        state.state = "waiting"
        state.restarts += 1
        state.error = f"{type(fault).__name__}: {fault}"
        _LOG.warning(
            "feed %s failed and starts again in %.1f s", state.name, pause_s, exc_info=fault
        )

    def _ended(self, task: asyncio.Task[None]) -> None:
        """See a task end; one that ended with a fault here ended by a bug of ours."""
        state = self._tasks.pop(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            state.state, state.error = "stopped", f"{type(fault).__name__}: {fault}"
            _LOG.critical("feed %s ended for good", state.name, exc_info=fault)


def _state_of(feed: Feed) -> FeedState:
    return FeedState(feed.name, feed.venue, feed.kind, instruments=feed.instruments)


def _own(feed: Feed | None, now: int) -> dict[str, Any]:
    """Return what a feed shows of itself, where it does."""
    shown = getattr(feed, "shown", None)
    found: dict[str, Any] = {} if shown is None else shown(now)
    return found


def _see(done: asyncio.Task[None]) -> None:
    """Look at what a task raised: while it is ended that changes nothing any more."""
    if not done.cancelled():
        done.exception()


def _cause(fault: Exception) -> str:
    """Return the cause of the gap that a fault of a feed makes."""
    if isinstance(fault, Stalled):
        return "stall"
    # What passes is the plant's: it is overloaded, its disk refuses, or it took rows and lost them.
    return "overload" if isinstance(fault, PassingError | CancelledError) else "disconnect"
