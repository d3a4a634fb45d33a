"""The channel `books` of a whole plant: a snapshot, then every step, or the best levels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from book_kit import ASK, BID, PlainBook, apply_plain, message, sides_of, updates
from stream_fakes import Served
from tickplant.client import Client
from tickplant.compose import OpenPlant
from tickplant.config import Settings, StreamSettings
from tickplant.feeds.book_desk import BookDesk
from tickplant.gateway.app import create_app
from tickplant.model.errors import UserError
from tickplant.plant.feed_notes import Begun, Lost
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Submission

T = 1_715_040_000_000_000_000


class Market:
    """A feed of books of one plant, and what its books are."""

    def __init__(self, plant: Plant, client: Client) -> None:
        self.plant = plant
        self.client = client
        self.desk = BookDesk("coinbase", "resubscribe")
        self.plain: dict[str, PlainBook] = {}
        self.last = 0
        plant.tell(Begun("venue"))

    def send(self, symbol: str, *levels: tuple[int, float, float], snapshot: bool = False) -> int:
        self.last += 1
        one = message(symbol, levels, ts_event=T + self.last, last=self.last, snapshot=snapshot)
        apply_plain(self.plain.setdefault(symbol, {}), levels, snapshot=snapshot)
        return self.submit(self.desk.take(updates(one), T).rows)

    def submit(self, rows: Any) -> int:
        receipt = self.plant.submit(Submission("book", rows, feed="venue", venue="V")).result(10)
        assert receipt.seq_last is not None
        return receipt.seq_last


@contextmanager
def market(folder: Path, **stream: Any) -> Iterator[Market]:
    settings = Settings(data=str(folder), stream=StreamSettings(**stream))
    with (
        OpenPlant(settings) as opened,
        Served(create_app(opened.plant)) as served,
        Client(served.url) as client,
    ):
        yield Market(opened.plant, client)


def take_step(books: dict[str, PlainBook | None], event: dict[str, Any]) -> None:
    """Keep a book from events, as a client would."""
    levels = [(BID, *one) for one in event["bids"]] + [(ASK, *one) for one in event["asks"]]
    if event["action"] == "lost":
        books[event["symbol"]] = None
        return
    book = books.get(event["symbol"])
    if event["action"] == "snapshot" or book is None:
        assert event["action"] == "snapshot"
        book = books[event["symbol"]] = {}
    apply_plain(book, levels, snapshot=event["action"] == "snapshot")


def test_a_snapshot_then_every_step_keeps_the_book(tmp_path: Path) -> None:
    with market(tmp_path) as venue:
        venue.send("X", (BID, 9.0, 1.0), (ASK, 11.0, 2.0), snapshot=True)
        venue.send("X", (BID, 9.5, 4.0))
        with venue.client.stream("books", "X") as stream:
            books: dict[str, PlainBook | None] = {}
            first = next(stream)
            assert (first["action"], first["state"]) == ("snapshot", "live")
            take_step(books, first)
            assert books["X"] == venue.plain["X"]
            steps = [((BID, 9.0, 0.0), (ASK, 10.5, 1.0)), ((ASK, 11.0, 7.0),), ((BID, 9.5, 5.0),)]
            for step in steps:
                seq = venue.send("X", *step)
                event = next(stream)
                assert (event["action"], event["seq"]) == ("update", seq)
                assert len(event["bids"]) + len(event["asks"]) == len(step)
                take_step(books, event)
                assert books["X"] == venue.plain["X"]


def test_a_book_that_breaks_says_lost_and_comes_anew(tmp_path: Path) -> None:
    with market(tmp_path) as venue:
        venue.send("X", (BID, 9.0, 1.0), (ASK, 11.0, 2.0), snapshot=True)
        with venue.client.stream("books", "*") as stream:
            assert next(stream)["state"] == "live"
            venue.submit(venue.desk.lose(["X"], T).rows)
            assert next(stream)["action"] == "lost"
            assert venue.client.book("X")["state"] == "rebuilding"
            venue.send("X", (BID, 8.0, 1.0), (ASK, 12.0, 2.0), snapshot=True)
            anew = next(stream)
            assert anew["action"] == "snapshot"
            assert sides_of(anew["bids"], anew["asks"]) == venue.plain["X"]
            venue.plant.tell(Lost("venue", "disconnect"))
            assert next(stream)["action"] == "lost"
        assert venue.client.book("X")["state"] == "stale"
        with venue.client.stream("books", "X") as stream:
            again = next(stream)
            assert (again["action"], again["state"]) == ("snapshot", "stale")


def test_steps_from_a_number_and_from_a_time(tmp_path: Path) -> None:
    with market(tmp_path) as venue:
        venue.send("X", (BID, 9.0, 1.0), (ASK, 11.0, 2.0), snapshot=True)
        kept = venue.send("X", (BID, 9.5, 4.0))
        middle = {side: dict(levels) for side, levels in venue.plain["X"].items()}
        last = venue.send("X", (BID, 9.0, 0.0), (ASK, 10.5, 1.0))
        with venue.client.stream("books", "X", from_=kept) as stream:
            event = next(stream)
            assert (event["action"], event["seq"], event["bids"]) == ("update", last, [[9.0, 0.0]])
        with venue.client.stream("books", "X", from_=T + 3) as stream:
            then, event = next(stream), next(stream)
            assert (then["action"], then["seq"]) == ("snapshot", kept)
            assert sides_of(then["bids"], then["asks"]) == middle
            assert event["seq"] == last


def test_a_step_is_not_cut_where_history_is_read_in_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickplant.gateway.stream.books.CHUNK_ROWS", 3)
    with market(tmp_path, ring_rows=1_000) as venue:
        levels = [(BID, 100.0 - place, 1.0) for place in range(10)]
        venue.send("X", *levels, (ASK, 101.0, 1.0), snapshot=True)
        for place in range(60):  # each costs the ring twenty rows besides its own
            venue.send("X", (BID, 99.0, 2.0 + place), (ASK, 101.0, 3.0 + place))
        with venue.client.stream("books", "X", from_=0) as stream:
            books: dict[str, PlainBook | None] = {}
            events = [next(stream) for _ in range(61)]
            for event in events:
                take_step(books, event)
        assert [len(e["bids"]) for e in events] == [10] + [1] * 60
        assert books["X"] == venue.plain["X"]


def test_the_best_levels_are_conflated(tmp_path: Path) -> None:
    with market(tmp_path) as venue:
        venue.send("X", (BID, 9.0, 1.0), (BID, 8.0, 1.0), (ASK, 11.0, 3.0), snapshot=True)
        with venue.client.stream("books", "X", depth=1, rate_ms=20) as stream:
            first = next(stream)
            assert (first["bids"], first["asks"], first["mid"]) == ([[9.0, 1.0]], [[11.0, 3.0]], 10)
            assert first["signal"] == "NEUTRAL"  # of two bids and one ask, not of one each
            for size in range(2, 40):
                venue.send("X", (BID, 9.0, float(size)))
            heard = 0
            while (event := next(stream))["bids"] != [[9.0, 39.0]]:
                heard += 1
            assert heard < 38
            assert event["state"] == "live"


def test_best_levels_resume_with_the_books_that_have_changed_since(tmp_path: Path) -> None:
    with market(tmp_path) as venue:
        for symbol in ("X", "Y", "Z"):
            seq = venue.send(symbol, (BID, 9.0, 1.0), (ASK, 11.0, 3.0), snapshot=True)
        venue.send("Y", (BID, 9.0, 5.0))
        with venue.client.stream("books", "*", depth=1, from_=seq) as stream:
            first = next(stream)
            assert (first["symbol"], first["bids"]) == ("Y", [[9.0, 5.0]])
            venue.send("X", (BID, 9.0, 7.0))
            then = next(stream)
            assert (then["symbol"], then["bids"]) == ("X", [[9.0, 7.0]])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 0}, "depth: 0 is not allowed"),
        ({"rate_ms": -1}, "rate_ms: -1"),
        ({"depth": 5, "from_": "2024-01-01T00:00:00Z"}, "from: allowed with depth and rate_ms is"),
    ],
)
def test_what_is_refused(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with market(tmp_path) as venue:
        venue.send("X", (BID, 9.0, 1.0), snapshot=True)
        with (
            pytest.raises(UserError, match=said),
            venue.client.stream("books", "X", **options) as s,
        ):
            next(s)
        with pytest.raises(UserError, match="depth"), venue.client.stream("trades", depth=3) as s:
            next(s)
