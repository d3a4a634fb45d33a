"""Producers that register as a feed, so that coverage and `/v1/feeds` know them.

    hello ─► Begun ─► rows, alive, hole ─► end ─► Finished
                 └──► disconnect, stall ─► Lost, until it is back with what it sends next

One connection at a time speaks for a feed. A later one of the same producer takes it over, because
a producer notices before the plant that a connection is dead; one of another producer is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from tickplant.gateway.ingest.protocol import BadMessage, Hello, time_of
from tickplant.model.errors import Stopping
from tickplant.model.instruments import SYMBOL_ALLOWED, is_symbol
from tickplant.model.times import INT64_MIN, format_time
from tickplant.observe.rate import Rate
from tickplant.plant.feed_notes import Alive, Begun, Finished, Hole, Lost, Note
from tickplant.plant.submission import PUSH_FEED

ALIVE_EVERY_NS = 250_000_000
"""Heartbeats that bring a feed on by less event time than this are not passed on."""

FEEDS_MAX = 1_000
"""Most feeds that producers may register in one run of the plant; each is kept for ever."""


SHOWN_MAX = 80

Symbols = list[tuple[str, str]]
"""Pairs of symbol and venue."""


class FeedPlant(Protocol):
    """What feeds need of the plant."""

    clock: Callable[[], int]

    def tell(self, note: Note) -> Future[int | None]:
        """Take what a feed says besides rows."""
        ...

    def feeds(self) -> list[dict[str, Any]]:
        """Return the state of each feed."""
        ...

    def feed_facts(self, name: str) -> dict[str, Any]:
        """Return what is known of a feed's coverage."""
        ...


@dataclass(slots=True)
class PushedFeed:
    """One feed that a producer registered. Written on the event loop only; any thread reads."""

    name: str
    venue: str
    producer: str | None
    plant: FeedPlant
    leave: Callable[[], None]
    state: str = "connected"
    instruments: int = 0
    events: int = 0
    restarts: int = 0
    last_event: int | None = None
    lag_s: float | None = None
    error: str | None = None
    heard_at: int = 0
    beats: bool = False
    rate: Rate = field(default_factory=Rate)
    _told: int = INT64_MIN

    def begin(self, start: int | None, symbols: Symbols | None, *, resume: bool) -> None:
        """Say that the feed delivers from now on, from `start`, or from where it had come."""
        self.instruments = 0 if symbols is None else len(symbols)
        self.state, self.error = "connected", None
        self.beats, self._told = False, INT64_MIN
        self.heard_at = self.plant.clock()
        self._say(Begun(self.name, start, symbols, resume=resume))

    def note_rows(self, rows: pa.RecordBatch) -> None:
        """Count rows that were handed in."""
        now = self._hear()
        self.events += rows.num_rows
        self.rate.add(rows.num_rows, now)
        last = pc.max(rows.column("ts_event")).as_py() if rows.num_rows else None
        if last is not None:
            self.last_event = max(last, self.last_event or last)
            self.lag_s = (now - last) / 1e9

    def alive(self, ts: int) -> None:
        """Take a heartbeat: everything up to `ts` was sent."""
        self._hear()
        self.beats = True
        if ts >= self._told + ALIVE_EVERY_NS:
            self._told = ts
            self._say(Alive(self.name, ts))

    def miss(self, start: int, end: int, detail: str | None) -> None:
        """Take what the feed knows that it has missed."""
        self._hear()
        self._say(Hole(self.name, start, end, "sequence", detail=detail))

    def lose(self, cause: str, detail: str) -> None:
        """Say that the feed delivers nothing any more, until it is back."""
        if self.state == "connected":
            self.state, self.error = "waiting", detail
            self.restarts += 1
            self._say(Lost(self.name, cause, detail))

    def finish(self) -> None:
        """Say that the feed has come to its end."""
        self.state, self.error = "finished", None
        self._say(Finished(self.name))

    def check_stall(self, stall_s: float) -> None:
        """Lose a feed that has sent heartbeats and then nothing for too long."""
        silent_s = (self.plant.clock() - self.heard_at) / 1e9
        if stall_s and self.beats and silent_s >= stall_s:
            self.lose("stall", f"nothing was heard of it for {silent_s:g} s")

    def _hear(self) -> int:
        self.heard_at = self.plant.clock()
        if self.state == "waiting":
            self.state, self.error = "connected", None
        return self.heard_at

    def _say(self, note: Note) -> None:
        with suppress(Stopping):  # what is not told is a gap of the next run
            self.plant.tell(note)

    def shown(self, now: int) -> dict[str, Any]:
        """Return the feed as `/v1/feeds` shows it."""
        return {
            "id": self.name,
            "venue": self.venue,
            "kind": PUSH_FEED,
            "state": self.state,
            "instruments": self.instruments,
            "events": self.events,
            "events_per_s": round(self.rate.per_s(now), 3),
            "last_event": None if self.last_event is None else format_time(self.last_event),
            "lag": None if self.lag_s is None else round(self.lag_s, 6),
            "restarts": self.restarts,
            "error": self.error,
            **self.plant.feed_facts(self.name),
        }


class PushedFeeds:
    """The feeds that producers have registered. Belongs to one event loop; any thread reads."""

    def __init__(self, plant: FeedPlant) -> None:
        self._plant = plant
        self._feeds: dict[str, PushedFeed] = {}

    def shown(self) -> list[dict[str, Any]]:
        """Return every feed as `/v1/feeds` shows it."""
        now = self._plant.clock()
        return [feed.shown(now) for feed in list(self._feeds.values())]

    def join(self, hello: Hello, venue: str, leave: Callable[[], None]) -> PushedFeed:
        """Let a connection speak for a feed; `leave` is called when another takes it over.

        Raises `BadMessage` where the feed is another's.
        """
        name = hello.feed or ""
        symbols = None if hello.symbols is None else _named(hello.symbols, venue)
        start = None if hello.start is None else time_of(hello.start, "start")
        feed = self._feeds.get(name)
        if feed is None:
            self._check_new(name)
            feed = PushedFeed(name, venue, hello.producer, self._plant, leave)
        elif feed.state == "connected":
            if hello.producer is None or hello.producer != feed.producer:
                raise BadMessage(
                    "feed_taken", f"feed: {name} is sent by another producer at the moment"
                )
            feed.leave()
            feed.lose("disconnect", "its producer has made a new connection")
        feed.venue, feed.producer, feed.leave = venue, hello.producer, leave
        feed.begin(start, symbols, resume=hello.resume)
        self._feeds[name] = feed
        return feed

    def _check_new(self, name: str) -> None:
        taken = {PUSH_FEED, "import"} | {shown["id"] for shown in self._plant.feeds()}
        if name in taken:
            raise BadMessage("feed_taken", f"feed: {name} is the name of a feed of the plant")
        if len(self._feeds) >= FEEDS_MAX:
            raise BadMessage("too_many_feeds", f"feed: at most {FEEDS_MAX} may be registered")


def _named(symbols: list[str], venue: str) -> Symbols:
    """Return symbols with their venue; `VENUE:SYMBOL` names its own."""
    found = []
    for given in symbols:
        named, _, symbol = given.strip().upper().rpartition(":")
        if not is_symbol(symbol):
            detail = f"symbols: {given[:SHOWN_MAX]} is not allowed; allowed are {SYMBOL_ALLOWED}"
            raise BadMessage("bad_message", detail)
        found.append((symbol, named or venue))
    return found
