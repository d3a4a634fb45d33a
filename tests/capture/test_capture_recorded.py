"""Traffic recorded years ago becomes a capture and is played through today's parsers."""

from __future__ import annotations

from pathlib import Path

import pytest

from plant_kit import Clock
from tickplant.feeds.capture.records import Header
from tickplant.feeds.capture.replay import CaptureFeed
from tickplant.feeds.capture.writer import CaptureWriter
from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Frame
from tickplant.plant.feed_notes import Note
from tickplant.plant.submission import Receipt, Submission
from venues.recordings import frames


class Kept:
    """A sink that keeps what it is handed."""

    def __init__(self) -> None:
        self.taken: list[Submission] = []
        self.notes: list[Note] = []

    async def submit(self, submission: Submission) -> None:
        self.taken.append(submission)

    async def deliver(self, submission: Submission) -> Receipt:
        raise AssertionError(submission)

    async def say(self, note: Note) -> int | None:
        self.notes.append(note)
        return None


async def play(path: Path) -> Kept:
    clock = Clock()

    async def sleep(seconds: float) -> None:
        raise AssertionError(seconds)

    feed = CaptureFeed([path], make_venue, clock=clock, sleep=sleep, speed=None)
    sink = Kept()
    await feed.run(sink)
    return sink


@pytest.mark.parametrize(("name", "venue"), [("COINBASE.ws.28.0", "coinbase-exchange")])
async def test_recordings_are_played_the_same_every_time(
    name: str, venue: str, tmp_path: Path
) -> None:
    heard = frames(name)[:3_000]
    header = Header(feed="old", venue=venue, streams=[])
    tap = CaptureWriter(tmp_path, header, clock=lambda: heard[0].ts)
    tap.opened(1, heard[0].ts, "wss://x")
    for place in range(0, len(heard), 50):
        tap.received(1, [Frame(one.ts, one.text.encode()) for one in heard[place : place + 50]])
    tap.close()
    (path,) = tap.paths
    first, again = await play(path), await play(path)
    assert [one.table for one in first.taken] == [one.table for one in again.taken]
    for one, other in zip(first.taken, again.taken, strict=True):
        assert one.rows.equals(other.rows)
        assert list(one.unreadable) == list(other.unreadable) == []
    matches = sum(one.text.count('"type":"match"') for one in heard)
    trades = sum(one.rows.num_rows for one in first.taken if one.table == "trades")
    assert trades >= matches > 10
    assert sum(one.rows.num_rows for one in first.taken if one.table == "book") > 1_000
