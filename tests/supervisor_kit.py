"""A plant and a feed of the toy venue on it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plant_kit import open_plant
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.feeds.runner import FeedRunner
from tickplant.feeds.supervisor.feed import VenueFeed, World
from tickplant.feeds.supervisor.limits import SharedLimits
from tickplant.feeds.venues.contract import Stream
from tickplant.plant.feed_notes import Judged, Note
from tickplant.plant.plant import Plant
from toy_venue import ToyHistory, ToyServer, ToyVenue
from virtual_time import NOW, VirtualLoop, run_virtual

WAIT_S = 20


class Asked:
    """What the plant was asked for and has not answered."""

    def __init__(self) -> None:
        self.futures: set[Future[Any]] = set()

    def note(self, future: Future[Any]) -> Future[Any]:
        self.futures.add(future)
        future.add_done_callback(self.futures.discard)
        return future

    def wait(self) -> None:
        wait(tuple(self.futures), WAIT_S)


@dataclass
class Scene:
    loop: VirtualLoop
    plant: Plant
    server: ToyServer
    venue: ToyVenue
    feed: VenueFeed
    runner: FeedRunner
    world: World

    def shown(self, symbol: str, channel: str) -> dict[str, Any]:
        streams = self.feed.shown_streams(self.loop.clock())
        return next(s for s in streams if (s["symbol"], s["channel"]) == (symbol, channel))

    def gaps(self) -> list[dict[str, Any]]:
        """Return the ledger: id, symbol (None for the feed), start, end, cause, status, events."""
        rows = self.plant.history.gaps().to_pylist()
        names = {i.number: i.symbol for i in self.plant.registry}
        return [{**row, "symbol": names.get(row["instrument"])} for row in rows]

    def stored(self, symbol: str) -> list[dict[str, Any]]:
        found = self.plant.registry.find(symbol, "TOY")
        return [] if found is None else self.plant.history.trades(found).to_pylist()

    def states(self, symbol: str, interval: str) -> list[str]:
        """Return the states of the bars of a symbol."""
        return [bar["state"] for bar in self.bars(symbol, interval)]

    def bars(self, symbol: str, interval: str) -> list[dict[str, Any]]:
        found = self.plant.registry.find(symbol, "TOY")
        assert found is not None
        grid = Grid(parse_interval(interval))
        table = self.plant.history.candles(found, grid, fill="previous", start=NOW).table
        return table.to_pylist()

    async def settle(self, seconds: float = 0.5) -> None:
        await asyncio.sleep(seconds)
        self.plant.drain()  # no time passes meanwhile

    async def until(self, condition: Callable[[], object], seconds: float = 600.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - virtual time has no event to offer
                await asyncio.sleep(0.05)


@contextmanager
def shared_folder(folder: Path) -> Iterator[tuple[Plant, list[VirtualLoop]]]:
    loops: list[VirtualLoop] = []

    def clock() -> int:
        return loops[0].clock() if loops else NOW

    with open_plant(folder, clock, log__sync="none") as plant:  # type: ignore[arg-type]
        yield plant, loops


def play(
    folder: Path,
    streams: Sequence[Stream],
    act: Callable[[Scene], Coroutine[Any, Any, Any]],
    *,
    jitter: Callable[[], float] = lambda: 0.5,
    history: bool = True,
    begin_s: float = 0.0,
    tap: Any = None,
    notices: bool = False,
    tracer: Any = None,
    **facts: Any,
) -> Any:
    """Open a plant, run a feed of these streams, act, stop; return what `act` returned.

    With `notices` return what the feed said of its judgement.
    """
    asked, judged = Asked(), []
    with shared_folder(folder) as (plant, loops):

        async def main(loop: VirtualLoop) -> Any:
            loop.jumping.now = begin_s
            loops.append(loop)
            server = ToyServer(loop.clock)
            venue = ToyVenue(server, **facts)
            if history:
                venue.history = ToyHistory(server)

            async def find() -> Any:
                return plant.open_gaps("toy")

            world = World(
                loop.clock, jitter=jitter, connector=server, open_client=server.client,
                limits=SharedLimits(clock=loop.clock), find_gaps=find, tap=tap, tracer=tracer,
            )  # fmt: skip
            plant.tracer = tracer
            feed = VenueFeed("toy", venue, streams, world)

            def tell(note: Note) -> Future[int | None]:
                if isinstance(note, Judged):
                    judged.append(note.facts)
                return asked.note(plant.tell(note))

            runner = FeedRunner(
                [feed], lambda s: asked.note(plant.submit(s)), clock=loop.clock,
                tell=tell, shown_of=plant.feed_facts,
                jitter=jitter, stall_s=30.0,
            )  # fmt: skip
            runner.start()
            beating = asyncio.create_task(server.beat_always())
            try:
                return await act(Scene(loop, plant, server, venue, feed, runner, world))
            finally:
                beating.cancel()
                await runner.stop()

        returned = run_virtual(main, asked.wait)
    return judged if notices else returned


def streams_of(*symbols: str, channels: Sequence[str] = ("trades", "quotes")) -> list[Stream]:
    return [Stream(symbol, channel) for symbol in symbols for channel in channels]  # type: ignore[arg-type]
