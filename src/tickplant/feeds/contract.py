"""What a feed must do, what it hands its rows to, and what is shown of it.

    feed.run(sink) ──► sink.submit(Submission) ──► plant
                  └──► sink.say(Note)      ──────┘

A feed is one source of events. It parses what its source says to columns and submits them; it
does not check, deduplicate or number them. What it knows besides, it says: that it is alive, what
it is subscribed to, what it has missed and brought in later (`plant.feed_notes`). The runner owns
the task in which a feed runs, starts it again when it fails, and keeps its `FeedState`.

    connected  ──► say(Begun), or nothing: then it begins with the first row
    heartbeat  ──► say(Alive(ts)): every event up to ts was submitted
    a hole     ──► say(Hole) ─► id; Repair(id, "repairing"), rows, Repair(id, "repaired")
    cut        ──► raise; the runner says Lost; it is back with what it says or submits next
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from tickplant.model.times import format_time
from tickplant.observe.rate import Rate
from tickplant.plant.feed_notes import Note
from tickplant.plant.submission import Receipt, Submission

Clock = Callable[[], int]
"""Nanoseconds since the epoch, UTC."""

Sleep = Callable[[float], Awaitable[Any]]
"""`asyncio.sleep`, or what stands for it under a simulated clock. Seconds."""

State = Literal["starting", "connected", "waiting", "finished", "stopped"]
"""`waiting` is the pause before a failed feed is started again; `finished` ended by itself."""


class Sink(Protocol):
    """Where a feed puts its rows."""

    async def submit(self, submission: Submission) -> None:
        """Hand rows over; returns when they are taken and there is room for more.

        Taken is not yet durable: a feed does not wait for the disk. Waits, and so holds the feed
        back, while too much is under way. Raises what became of an earlier submission when that
        one failed; the feed lets it pass, and its owner starts it again.
        """
        ...

    async def deliver(self, submission: Submission) -> Receipt:
        """Hand rows over as `submit` does and return, once they are durable, what became of them.

        Raises what became of them where that is a fault.
        """
        ...

    async def say(self, note: Note) -> int | None:
        """Say something besides rows, in order with them; the id of a gap that it makes, if any.

        Cheap: heartbeats may come as often as one likes.
        """
        ...


class Feed(Protocol):
    """One source of events."""

    @property
    def name(self) -> str:
        """What events are marked with and `/v1/feeds` calls it; unique in a plant."""
        ...

    @property
    def venue(self) -> str:
        """The venue of rows that name none."""
        ...

    @property
    def kind(self) -> str:
        """The sort of source, such as `synthetic`."""
        ...

    @property
    def instruments(self) -> int:
        """How many instruments it is subscribed to."""
        ...

    async def run(self, sink: Sink) -> None:
        """Submit events until cancelled, or until the source has ended for good.

        Raises when the source fails; may be called again after that and then carries on. A
        `CancelledError` passes through.
        """
        ...


@dataclass(slots=True)
class FeedState:
    """What is known of a feed. Written by its owner only; any thread reads.

    `lag_s` is how old the last event was when it was submitted. `error` is the last fault, kept
    until rows flow again.
    """

    name: str
    venue: str
    kind: str
    state: State = "starting"
    instruments: int = 0
    events: int = 0
    restarts: int = 0
    last_event: int | None = None
    lag_s: float | None = None
    error: str | None = None
    rate: Rate = field(default_factory=Rate)

    def note(self, rows: int, last_event: int | None, now: int) -> None:
        """Count `rows` events submitted at `now`; the youngest happened at `last_event`."""
        self.events += rows
        self.rate.add(rows, now)
        if last_event is not None:
            self.last_event = max(last_event, self.last_event or last_event)
            self.lag_s = (now - last_event) / 1e9
        if self.state != "connected" or self.error is not None:
            self.state, self.error = "connected", None

    def shown(self, now: int) -> dict[str, Any]:
        """Return the feed as `/v1/feeds` shows it; times as text, `lag` in seconds."""
        return {
            "id": self.name,
            "venue": self.venue,
            "kind": self.kind,
            "state": self.state,
            "instruments": self.instruments,
            "events": self.events,
            "events_per_s": round(self.rate.per_s(now), 3),
            "last_event": None if self.last_event is None else format_time(self.last_event),
            "lag": None if self.lag_s is None else round(self.lag_s, 6),
            "restarts": self.restarts,
            "error": self.error,
        }
