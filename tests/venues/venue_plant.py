"""A plant with one feed of a venue, over real sockets to a fake one.

    with venue_plant(tmp_path, venue, "kraken", make(options), streams) as scene: …

The feed runs on an event loop of its own thread; pauses of the supervisor are a tenth as long.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plant_kit import open_plant
from tickplant.feeds.runner import FeedRunner
from tickplant.feeds.supervisor.feed import VenueFeed, World
from tickplant.feeds.supervisor.limits import SharedLimits
from tickplant.feeds.supervisor.tap import Tap
from tickplant.feeds.venues.contract import Stream, Venue
from tickplant.plant.plant import Plant
from venues.venue_kit import FakeVenue, VenueOpFailed

UNTIL_S = 20.0
HEARTBEAT_S = 0.3
FASTER = 10
RESTS_FASTER = 50
"""How much shorter a breaker rests, 60 s by itself."""


@dataclass
class VenueScene:
    plant: Plant
    feed: VenueFeed
    fake: FakeVenue

    def until(self, so: Callable[[], object]) -> None:
        """Wait until something is so of what the plant has taken."""
        end = time.monotonic() + UNTIL_S
        while True:
            self.plant.drain()
            if so():
                return
            assert time.monotonic() < end, self.feed.shown(time.time_ns())
            self._turn.wait(0.02)

    def __post_init__(self) -> None:
        self._turn = threading.Event()

    def trades(self, symbol: str) -> list[dict[str, Any]]:
        found = self.plant.registry.find(symbol, self.feed.venue)
        return [] if found is None else self.plant.history.trades(found).to_pylist()

    def true_trades(self, symbol: str, truth: dict[str, Any] | None = None) -> list[list[Any]]:
        """Number, price and size of the trades at the venue, as it says now unless it was asked."""
        told = (truth or self.fake.op("truth"))["trades"][symbol]
        return [[str(one[0]), float(one[2]), float(one[3])] for one in told]

    def has_trades(self, symbol: str) -> bool:
        """Whether the plant has the venue's trades, each once."""
        stored = [[row["id"], row["price"], row["size"]] for row in self.trades(symbol)]
        return sorted(stored) == sorted(self.true_trades(symbol))

    def has_book(self, symbol: str, depth: int, truth: dict[str, Any] | None = None) -> bool:
        """Whether the plant's book is live and the venue's, to this depth."""
        found = self.plant.registry.find(symbol, self.feed.venue)
        view = None if found is None else self.plant.books.view(found.number)
        if view is None or view.state != "live":
            return False
        true = (truth or self.fake.op("truth"))["books"][symbol]
        return all(
            [[level.price, level.size] for level in getattr(view, side)[:depth]]
            == [[float(p), float(q)] for p, q in true[side][:depth]]
            for side in ("bids", "asks")
        )

    def gaps(self) -> list[dict[str, Any]]:
        return self.plant.history.gaps().to_pylist()


async def _run(runner: FeedRunner, fake: FakeVenue, ended: asyncio.Event) -> None:
    runner.start()
    try:
        while not ended.is_set():
            with suppress(VenueOpFailed):
                await fake.ask("heartbeat")
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), HEARTBEAT_S)
    finally:
        await runner.stop()


@contextmanager
def venue_plant(
    folder: Path,
    fake: FakeVenue,
    venue: Venue,
    streams: Sequence[Stream],
    tap: Tap | None = None,
) -> Iterator[VenueScene]:
    with open_plant(folder, time.time_ns, log__sync="none") as plant:  # type: ignore[arg-type]

        async def find() -> Any:
            return plant.open_gaps("fake")

        def sleep(seconds: float) -> Any:
            return asyncio.sleep(seconds / FASTER)

        limits = SharedLimits(clock=lambda: time.time_ns() * RESTS_FASTER)
        world = World(
            time.time_ns, sleep, jitter=lambda: 0.5, limits=limits, find_gaps=find, tap=tap
        )
        feed = VenueFeed("fake", venue, streams, world)
        runner = FeedRunner(
            [feed], plant.submit, clock=time.time_ns, tell=plant.tell, shown_of=plant.feed_facts
        )
        loop, ended = asyncio.new_event_loop(), asyncio.Event()
        thread = threading.Thread(target=loop.run_until_complete, args=(_run(runner, fake, ended),))
        thread.start()
        try:
            yield VenueScene(plant, feed, fake)
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join(20)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
