"""What makes a feed faster is loaded once it runs, in a thread, and only where that is wanted."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plant_kit import open_plant
from supervisor_kit import streams_of
from tickplant.compose import build_feeds
from tickplant.feeds.runner import FeedRunner
from tickplant.feeds.supervisor.configured import parse_feed, read_feeds
from tickplant.feeds.supervisor.feed import VenueFeed, World
from tickplant.formats.compiled import loading
from toy_venue import ToyServer, ToyVenue


async def test_a_feed_prepares_in_a_thread_and_receives_meanwhile(tmp_path: Path) -> None:
    server, threads, release = ToyServer(time.time_ns), list[str](), threading.Event()
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def prepare() -> None:
        threads.append(threading.current_thread().name)
        loop.call_soon_threadsafe(asked.set)
        release.wait(20)

    world = World(time.time_ns, connector=server, open_client=server.client, prepare=prepare)
    with open_plant(tmp_path, time.time_ns, log__sync="none") as plant:  # type: ignore[arg-type]
        feed = VenueFeed("toy", ToyVenue(server), streams_of("A-USD"), world)
        runner = FeedRunner(
            [feed], plant.submit, clock=time.time_ns, tell=plant.tell, shown_of=plant.feed_facts
        )
        runner.start()
        try:
            await asyncio.wait_for(asked.wait(), 20)
            while feed.board.counts(time.time_ns())["live"] < 2:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        finally:
            release.set()
            await runner.stop()
    assert len(threads) == 1
    assert threads[0] != threading.main_thread().name


@pytest.mark.parametrize("compiled", [True, False])
def test_the_setting_says_whether_the_walk_is_loaded(tmp_path: Path, compiled: bool) -> None:
    table = parse_feed("binance:BTC-USDT")
    [plan] = read_feeds([table], {})
    with open_plant(tmp_path, time.time_ns, plant__compiled=compiled) as plant:  # type: ignore[arg-type]
        opened: Any = SimpleNamespace(folder=tmp_path, plant=plant, captures=[])
        [feed] = build_feeds(opened, [plan])
        assert isinstance(feed, VenueFeed)
        assert feed._world.prepare == (loading.FRAMES.prepare if compiled else None)
