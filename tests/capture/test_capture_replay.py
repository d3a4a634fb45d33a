"""What was captured of a live run is played to the same events, as often as one likes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from plant_kit import WAIT_S, Clock, open_plant
from tickplant.feeds.capture.records import Header, read_records
from tickplant.feeds.capture.replay import CaptureFeed
from tickplant.feeds.capture.writer import CaptureWriter, Limits
from tickplant.feeds.contract import FeedState
from tickplant.feeds.sink import PlantSink
from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Stream
from tickplant.feeds.venues.options import VenueOptions
from tickplant.plant.plant import Plant
from venues.venue_kit import FakeVenue, fake_venue
from venues.venue_plant import venue_plant

CASES: dict[str, tuple[Sequence[str], dict[str, Any], str, int]] = {
    "kraken": (("BTC-USD", "DOGE-USD"), {"depth": 10}, "/v2", 6),
    "binance": (("BTC-USDT", "SOL-USDT"), {}, "", 6),
}
SAME = ("ts_event", "flags", "price", "size", "side", "id", "bid_price", "ask_price", "action",
        "update")  # fmt: skip


def events(plant: Plant, table: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table by instrument, without what each plant gives them."""
    rows = plant.store.scan(table).sort_by("seq")
    names = [name for name in SAME if name in rows.column_names]
    symbols = {one.number: one.name for one in plant.registry}
    columns = [rows[name].to_pylist() for name in names]
    found = zip([symbols[n] for n in rows["instrument"].to_pylist()], *columns, strict=True)
    return sorted(found, key=lambda row: row[0])  # stable: each instrument's in order


def play(paths: Sequence[Path], folder: Path, speed: float | None = None) -> dict[str, Any]:
    """Play a capture into a plant; return its events by table."""
    clock = Clock(time.time_ns())

    async def run(plant: Plant) -> int:
        async def sleep(seconds: float) -> None:
            clock.now += round(seconds * 1e9)
            await asyncio.sleep(0)

        feed = CaptureFeed(paths, make_venue, clock=clock, sleep=sleep, speed=speed)
        state = FeedState(feed.name, feed.venue, feed.kind)
        sink = PlantSink(plant.submit, state, clock=clock, sleep=sleep, tell=plant.tell)
        await asyncio.wait_for(feed.run(sink), WAIT_S)
        assert feed.done.is_set()
        return feed.rows

    with open_plant(folder, clock) as plant:
        rows = asyncio.run(run(plant))
        plant.drain()
        found = {table: events(plant, table) for table in ("trades", "quotes", "book")}
        assert rows >= sum(map(len, found.values())) > 100
        return found


@pytest.mark.parametrize("dialect", list(CASES))
def test_a_capture_is_played_to_the_events_of_the_run_that_it_recorded(
    dialect: str, tmp_path: Path
) -> None:
    with fake_venue(dialect) as process:
        live, paths = record(dialect, process, tmp_path)
    first, second = play(paths, tmp_path / "1"), play(paths, tmp_path / "2", speed=50.0)
    assert first == second
    for table, rows in live.items():
        assert rows
        for symbol in {row[0] for row in rows}:
            # The live run was looked at before it ended, so the capture may know more.
            # Binance does not date its snapshots: the live run did by its clock, a little later.
            dated = table != "book" or dialect != "binance"
            mine = [row if dated else row[2:] for row in rows if row[0] == symbol]
            played = [row if dated else row[2:] for row in first[table] if row[0] == symbol]
            assert played[: len(mine)] == mine, (table, symbol)
    kinds = {one.kind for one in read_records(paths)}
    assert kinds >= {"opened", "sent", "received", "closed"}


Events = dict[str, list[tuple[Any, ...]]]


def record(dialect: str, process: FakeVenue, tmp_path: Path) -> tuple[Events, list[Path]]:
    """Run a feed on a plant, and return its events and what was captured."""
    symbols, extra, path, count = CASES[dialect]
    streams = [Stream(s, c) for s in symbols for c in ("trades", "quotes", "book")]
    options = VenueOptions(f"{process.url}{path}", process.http_url, extra=extra)
    header = Header(
        feed="fake",
        venue=dialect,
        streams=[(one.symbol, one.channel) for one in streams],
        options=extra,
    )
    limits = Limits(file_mb_max=0.003, flush_s=0.01)
    tap = CaptureWriter(tmp_path / "kept", header, clock=time.time_ns, limits=limits)
    process.op("market", seed=5, steps=60)
    venue = make_venue(dialect, options)
    with venue_plant(tmp_path / "live", process, venue, streams, tap) as scene:
        process.op("wait_for", subscriptions=count)
        for _ in range(4):
            process.op("market", steps=40)
            scene.until(lambda: all(scene.has_book(one, 10) for one in symbols))
        live = {table: events(scene.plant, table) for table in ("trades", "quotes", "book")}
    tap.close()
    assert (tap.failed, tap.dropped) == (None, 0)
    assert len(tap.paths) > 1
    return live, tap.paths
