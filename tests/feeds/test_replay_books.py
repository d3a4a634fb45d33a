"""Replay of every table: books that are books again, statistics, and all of it in order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from book_kit import Books, plain_of_rows, sides_of
from cli_kit import BASE, SECOND
from plant_kit import WAIT_S, Clock, open_plant, submit
from tickplant.books.book import Level
from tickplant.compose import open_history
from tickplant.feeds.book_rows import BookRows
from tickplant.feeds.replay import ReplayFeed
from tickplant.feeds.replay_tables import PARTS_MAX
from tickplant.model.events import BID, BOOK, BookAction, Flag
from tickplant.plant.feed_notes import Note
from tickplant.plant.history import History
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Submission

MS = 1_000_000
SYMBOLS = ("AAA", "BBB", "CCC")
LEVELS = [Level(10.0 - n, 1.0 + n) for n in range(3)], [Level(11.0 + n, 2.0) for n in range(3)]


class Writer:
    """Stores steps of books as a feed does."""

    def __init__(self, plant: Plant, feed: str = "first") -> None:
        self.plant, self.feed, self.update = plant, feed, 0

    def send(self, rows: BookRows) -> None:
        made = Submission(BOOK, rows.take(), feed=self.feed, venue="V", flags=Flag.SYNTHETIC)
        assert self.plant.submit(made).result(WAIT_S).rejected == ()

    def clear(self, symbol: str, ts: int, levels: Any = LEVELS) -> None:
        rows = BookRows()
        self.update += 1
        rows.step(symbol, ts, self.update)
        rows.snapshot(*levels)
        rows.close()
        self.send(rows)

    def change(self, symbol: str, ts: int, *levels: tuple[int, float, float]) -> None:
        rows = BookRows()
        self.update += 1
        rows.step(symbol, ts, self.update)
        rows.levels(*([level[n] for level in levels] for n in range(3)), None)
        rows.close()
        self.send(rows)

    def lose(self, symbol: str, ts: int) -> None:
        rows = BookRows()
        rows.lost(symbol, ts)
        self.send(rows)


class Sink:
    def __init__(self, plant: Plant | None = None) -> None:
        self.plant = plant
        self.sent: list[Submission] = []
        self.now, self.at = 0, []

    async def submit(self, submission: Submission) -> None:
        self.sent.append(submission)
        self.at += [self.now] * submission.rows.num_rows
        if self.plant is not None:
            assert self.plant.submit(submission).result(WAIT_S).rejected == ()

    async def say(self, note: Note) -> None: ...

    async def sleep(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def rows(self, table: str | None = None) -> list[dict[str, Any]]:
        return [
            {**row, "table": one.table, "submission": one.flags}
            for one in self.sent for row in one.rows.to_pylist()
            if table in (None, one.table)
        ]  # fmt: skip


async def played(history: History, sink: Sink, speed: float | None = None, **how: Any) -> Sink:
    feed = ReplayFeed(history, clock=lambda: sink.now, sleep=sink.sleep, speed=speed, **how)
    await feed.run(sink)
    assert feed.done.is_set()
    assert feed.rows == len(sink.rows())
    return sink


def stored(history: History) -> list[dict[str, Any]]:
    """Return the rows of all tables by time and number, as the oracle has them."""
    found = []
    for table in ("trades", "quotes", "book", "stats"):
        rows = history.store.scan(table).to_pylist()
        names = {i.number: i.symbol for i in history.registry}
        found += [{**row, "table": table, "symbol": names[row["instrument"]]} for row in rows]
    return sorted(found, key=lambda row: (row["ts_event"], row["seq"]))


def mixed(plant: Plant) -> None:
    writer = Writer(plant)
    writer.clear("AAA", BASE)
    submit(plant, "stats", symbol=["AAA"], ts_event=[BASE + 5], name=["open_interest"], value=[7.0])
    writer.change("AAA", BASE + 10 * MS, (1, 10.0, 0.0), (2, 11.0, 4.0))
    submit(plant, symbol=["AAA"], ts_event=[BASE + 10 * MS], price=[11.0], id=["t"])
    submit(plant, "quotes", symbol=["BBB"], ts_event=[BASE + 4 * MS], bid_price=[1.0])
    writer.change("AAA", BASE + 10 * MS, (1, 10.5, 3.0))
    submit(plant, "stats", symbol=["BBB"], ts_event=[BASE + SECOND], name=["volume"], value=[9.0])
    writer.lose("AAA", BASE + 2 * SECOND)


@pytest.mark.parametrize("speed", [None, 5.0])
async def test_every_table_is_played_in_the_order_of_times_and_numbers(
    tmp_path: Path, speed: float | None
) -> None:
    with open_plant(tmp_path, Clock(BASE + 600 * SECOND)) as plant:
        mixed(plant)
    history = open_history(tmp_path)
    sink = await played(history, Sink(), speed)
    names = ("table", "symbol", "ts_event", "price", "size", "action", "side", "update", "value")
    expected = [{name: row.get(name) for name in names} for row in stored(history)]
    assert [{name: row.get(name) for name in names} for row in sink.rows()] == expected
    if speed is not None:
        for at, row in zip(sink.at, expected, strict=True):
            late = at - (row["ts_event"] - BASE) / speed
            assert -1 <= late <= 0.05 * SECOND + 1
    books = sink.rows("book")
    assert {row["submission"] for row in books} == {Flag.SYNTHETIC}
    assert [row["flags"] for row in books] == [int(Flag.SNAPSHOT)] * 7 + [0] * 4


def random_books(writer: Writer, random: Random, steps: int) -> None:
    ts, whole = BASE, set()
    for _ in range(steps):
        ts += random.choice([0, 0, 1, MS])
        symbol = random.choice(SYMBOLS)
        if symbol not in whole or random.random() < 0.05:
            writer.clear(symbol, ts)
            whole.add(symbol)
        elif random.random() < 0.05:
            writer.lose(symbol, ts)
            whole.discard(symbol)
        else:
            prices = random.sample(range(1, 10), random.randint(1, 4))
            levels = [(BID, float(price), float(random.randint(0, 3))) for price in prices]
            writer.change(symbol, ts, *levels)


async def test_books_are_books_again_wherever_chunks_and_the_range_begin(tmp_path: Path) -> None:
    random = Random(11)
    with open_plant(tmp_path / "a", Clock(BASE + 600 * SECOND)) as plant:
        random_books(Writer(plant), random, 60)
    history = open_history(tmp_path / "a")
    rows = stored(history)
    true = last_right(rows)
    assert set(true) == set(SYMBOLS)
    times = sorted({row["ts_event"] for row in rows})
    for chunk_rows, start in [(1, None), (7, None), (10**6, None), *((5, t) for t in times[1::4])]:
        sink = await played(history, Sink(), chunk_rows=chunk_rows, start=start, tables=[BOOK])
        before = plain_of_rows([row for row in rows if start and row["ts_event"] < start])
        whole = {symbol: book for symbol, book in before.items() if book is not None}
        if whole:
            assert plain_of_rows(sink.sent[0].rows.to_pylist()) == whole
        found = last_right(sink.rows())
        assert found == {symbol: true[symbol] for symbol in found}
        assert set(found) >= set(whole) | {row["symbol"] for row in rows if row["action"] == 1
                                           and row["ts_event"] >= (start or 0)}  # fmt: skip
        steps: dict[Any, set[int]] = {}
        for place, one in enumerate(sink.sent):
            for row in one.rows.to_pylist():
                if row["update"] is not None and row["ts_event"] != start:
                    steps.setdefault((row["symbol"], row["update"]), set()).add(place)
        assert all(len(places) == 1 for places in steps.values())
    with open_plant(tmp_path / "b", Clock(BASE + 600 * SECOND)) as plant:
        await played(history, Sink(plant))
        for symbol, book in true.items():
            view = plant.books.view(plant.registry.resolve(symbol).number)
            assert view is not None
            assert sides_of(view.bids, view.asks) == book


def last_right(rows: Iterable[dict[str, Any]]) -> Books:
    """Return each book as it last was right: a plant that stops writes that it is lost."""
    return plain_of_rows(row for row in rows if row["action"] != BookAction.LOST)


async def test_another_feeds_rows_and_those_of_before_a_clear_are_left_out(tmp_path: Path) -> None:
    """A feed that was started again dates its first snapshot before what was said before."""
    with open_plant(tmp_path, Clock(BASE + 600 * SECOND)) as plant:
        first, other = Writer(plant), Writer(plant, "other")
        other.change("AAA", BASE - 5, (1, 3.0, 1.0))  # of a book that nobody has cleared
        first.clear("AAA", BASE)
        other.change("AAA", BASE + 1, (1, 4.0, 1.0))
        first.change("AAA", BASE + 9, (1, 5.0, 1.0))
        first.clear("AAA", BASE + 5)
        first.change("AAA", BASE + 7, (1, 6.0, 1.0))
    sink = await played(open_history(tmp_path), Sink())
    book = last_right(sink.rows())["AAA"]
    assert book is not None
    assert set(book[BID]) == {10.0, 9.0, 8.0, 6.0}
    assert not any(row["price"] in (3.0, 4.0, 5.0) for row in sink.rows())


async def test_what_is_sent_at_once_comes_in_a_bounded_number_of_parts(tmp_path: Path) -> None:
    count = 600
    times = [BASE + n * MS for n in range(count)]
    with open_plant(tmp_path, Clock(BASE + 600 * SECOND)) as plant:
        submit(plant, symbol=["AAA"] * count, ts_event=times, price=[1.0] * count)
        submit(plant, "quotes", symbol=["AAA"] * count, ts_event=times, bid_price=[1.0] * count)
    sink = await played(open_history(tmp_path), Sink())
    assert len(sink.sent) <= 2 * PARTS_MAX
    assert len(sink.rows()) == 2 * count
    widest = count * MS / PARTS_MAX
    latest = BASE
    for row in sink.rows():
        assert row["ts_event"] > latest - 2 * widest
        latest = max(latest, row["ts_event"])
    for table in ("trades", "quotes"):
        assert [row["ts_event"] for row in sink.rows(table)] == times


async def test_a_range_without_events_sends_no_books_of_before_it(tmp_path: Path) -> None:
    with open_plant(tmp_path, Clock(BASE + 600 * SECOND)) as plant:
        mixed(plant)
    sink = await played(open_history(tmp_path), Sink(), start=BASE + 900 * SECOND, loop=True)
    assert sink.sent == []
