"""Replay: order, pace under a simulated clock, flags, chunks, loops."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cli_kit import BASE, SECOND, fill
from plant_kit import Clock, open_plant, submit
from tickplant.compose import open_history
from tickplant.feeds.replay import ReplayFeed
from tickplant.model.errors import LogUnavailable
from tickplant.model.events import INCOMING
from tickplant.plant.feed_notes import Alive, Begun, Note
from tickplant.plant.history import History
from tickplant.plant.submission import Submission


class Wall:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0
        self.slept: list[float] = []

    def __call__(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += int(seconds * SECOND)


class Sink:
    def __init__(self, wall: Wall, stop_after: int | None = None) -> None:
        self.wall = wall
        self.sent: list[tuple[int, Submission]] = []
        self.notes: list[Note] = []

    async def submit(self, submission: Submission) -> None:
        assert submission.rows.schema == INCOMING[submission.table]
        self.sent.append((self.wall.now, submission))

    async def say(self, note: Note) -> None:
        self.notes.append(note)

    def rows(self, *names: str) -> list[tuple[Any, ...]]:
        return [
            (at, s.table, s.flags, *(row[name] for name in names))
            for at, s in self.sent
            for row in s.rows.to_pylist()
        ]


class CutSink(Sink):
    """Refuses the third submission."""

    async def submit(self, submission: Submission) -> None:
        self.count = getattr(self, "count", 0) + 1
        if self.count == 3:
            raise LogUnavailable("the disk is full")
        await super().submit(submission)


@asynccontextmanager
async def stored(path: Path) -> AsyncIterator[History]:
    with open_plant(path, Clock(BASE + 600 * SECOND)) as plant:
        fill(plant)
    yield open_history(path)


async def test_events_come_in_order_at_their_distances(tmp_path: Path) -> None:
    async with stored(tmp_path) as history:
        wall = Wall()
        sink = Sink(wall)
        feed = ReplayFeed(history, clock=wall, sleep=wall.sleep, speed=2.0)
        await feed.run(sink)
    found = sink.rows("symbol", "venue", "ts_event")
    times = [row[-1] for row in found]
    assert times == sorted(times)
    assert len(found) == feed.rows == 7
    for at, *_, ts_event in found:
        due = (ts_event - BASE) / 2.0
        assert -1 <= at - due <= 0.05 * SECOND + 1  # never early, at most a period late
    assert {row[3:5] for row in found} == {("EURUSD", "ORIGIN"), ("AAPL", "ORIGIN")}
    assert feed.done.is_set()
    assert max(wall.slept) <= 1.0
    alive = [note.ts for note in sink.notes if isinstance(note, Alive)]
    assert alive == sorted(alive)
    assert all(later - ts <= 2 * SECOND + 1 for ts, later in pairwise(alive))


async def test_a_replay_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    async with stored(tmp_path) as history:
        wall = Wall()
        whole, cut = Sink(wall), CutSink(wall)
        await ReplayFeed(history, clock=wall, sleep=wall.sleep).run(whole)
        feed = ReplayFeed(history, clock=wall, sleep=wall.sleep)
        with pytest.raises(LogUnavailable):
            await feed.run(cut)
        wall.now += 3_600 * SECOND
        await feed.run(cut)
    rows = [row[1:] for row in cut.rows("ts_event", "symbol")]
    expected = [row[1:] for row in whole.rows("ts_event", "symbol")]
    assert rows == expected[:2] + expected[3:]  # what was refused is the plant's to note as lost
    first, again = (note for note in cut.notes if isinstance(note, Begun))
    assert (first.start, again.start) == (expected[0][2], expected[3][2])
    assert feed.done.is_set()


async def test_values_and_flags_are_kept_and_amendments_applied(tmp_path: Path) -> None:
    async with stored(tmp_path) as history:
        wall = Wall()
        sink = Sink(wall)
        await ReplayFeed(history, clock=wall, sleep=wall.sleep, speed=None).run(sink)
    trades = [s for _, s in sink.sent if s.table == "trades"]
    assert {s.flags for s in trades} == {1}
    rows = [row for s in trades for row in s.rows.to_pylist()]
    found = [(row["id"], row["price"], row["size"], row["side"], row["key"]) for row in rows]
    assert found == [
        ("a", 1.5, 10.0, 1, None),
        ("e", 100.0, 3.0, 1, None),
        ("b", 1.25, None, 2, None),
        ("c", 1.625, 5.0, 0, None),
        ("d", 2.0, 1.0, 1, None),
    ]
    assert wall.slept == []


async def test_chunks_of_one_row_change_nothing_but_the_work(tmp_path: Path) -> None:
    async with stored(tmp_path) as history:
        played = []
        for chunk_rows in (1, 2, 1_000):
            wall = Wall()
            sink = Sink(wall)
            await ReplayFeed(
                history, clock=wall, sleep=wall.sleep, speed=None, chunk_rows=chunk_rows
            ).run(sink)
            played.append([row[1:] for row in sink.rows("ts_event", "symbol")])
    by_time = [sorted(rows, key=lambda row: row[2]) for rows in played]
    assert by_time[0] == by_time[1] == by_time[2]
    assert len(by_time[0]) == 7


async def test_a_range_an_instrument_a_table(tmp_path: Path) -> None:
    async with stored(tmp_path) as history:
        number = history.registry.resolve("EURUSD").number
        wall = Wall()
        sink = Sink(wall)
        await ReplayFeed(
            history, clock=wall, sleep=wall.sleep, speed=None, numbers=[number],
            tables=["trades"], start=BASE + SECOND, end=BASE + 125 * SECOND,
        ).run(sink)  # fmt: skip
    assert [row[3:] for row in sink.rows("symbol", "id")] == [("EURUSD", "b"), ("EURUSD", "c")]


async def test_a_loop_makes_new_ids_each_time(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    class Thrice(Sink):
        async def submit(self, submission: Submission) -> None:
            await super().submit(submission)
            if feed.passes == 2:
                raise Enough

    async with stored(tmp_path) as history:
        wall = Wall()
        sink = Thrice(wall)
        feed = ReplayFeed(
            history, clock=wall, sleep=wall.sleep, speed=None, loop=True, tables=["trades"]
        )
        with suppress(Enough):
            await feed.run(sink)
    ids = [row[3] for row in sink.rows("id")]
    assert len(ids) == len(set(ids)) == 15
    assert ids[:2] == ["a", "e"]
    assert ids[5:7] == ["a~2", "e~2"]


async def test_an_empty_range_ends_even_in_a_loop(tmp_path: Path) -> None:
    async with stored(tmp_path) as history:
        wall = Wall()
        feed = ReplayFeed(
            history, clock=wall, sleep=wall.sleep, start=BASE + 900 * SECOND, loop=True
        )
        await feed.run(Sink(wall))
    assert feed.done.is_set()
    assert feed.rows == 0


async def test_it_waits_for_the_first_subscriber(tmp_path: Path) -> None:
    async with stored(tmp_path) as history:
        wall = Wall()
        sink = Sink(wall)

        async def arrives() -> None:
            assert sink.sent == []
            wall.now = 77 * SECOND

        await ReplayFeed(
            history, clock=wall, sleep=wall.sleep, wait=arrives, tables=["quotes"]
        ).run(sink)
    assert sink.sent[0][0] == 77 * SECOND


async def test_rows_of_different_flags_keep_their_order_by_instrument(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(BASE + 600 * SECOND)) as plant:
        for number in range(6):
            submit(
                plant, symbol=["A", "B"], ts_event=[BASE, BASE], price=[1.0 + number, 9.0],
                flags=number % 2,
            )  # fmt: skip
    wall = Wall()
    sink = Sink(wall)
    await ReplayFeed(open_history(tmp_path), clock=wall, sleep=wall.sleep, speed=None).run(sink)
    played = [(row[2], row[4]) for row in sink.rows("symbol", "price") if row[3] == "A"]
    assert played == [(n % 2, 1.0 + n) for n in range(6)]
