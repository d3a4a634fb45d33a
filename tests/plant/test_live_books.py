"""Books of a plant: as they are, as they were, over restarts, and what is said when they break."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tickplant
from book_kit import ASK, BID, PlainBook, apply_plain, message, plain_of_rows, sides_of, updates
from plant_kit import NOW, WAIT_S, Clock, open_plant, submit
from tickplant.config import BookSettings
from tickplant.feeds.book_desk import BookDesk
from tickplant.formats.parsed import incoming_batch
from tickplant.plant.book_shown import read_measured
from tickplant.plant.books import BookView
from tickplant.plant.feed_notes import Begun, Finished, Lost
from tickplant.plant.market import tops
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Receipt, Submission
from tickplant.store.contract import AsOf

T = NOW - 10**12


def send(plant: Plant, rows: pa.RecordBatch, feed: str = "venue") -> Receipt:
    return plant.submit(Submission("book", rows, feed=feed, venue="V")).result(WAIT_S)


def book(plant: Plant, symbol: str = "X", as_of: int | None = None) -> BookView:
    instrument = plant.registry.resolve(symbol)
    return plant.history.order_book(instrument, 0, AsOf(seq_max=as_of))


def plain(view: BookView) -> PlainBook:
    return sides_of(view.bids, view.asks)


class Feed:
    """A desk whose rows go to a plant, and the state of the book after each of them."""

    def __init__(self, plant: Plant, **settings: Any) -> None:
        self.plant = plant
        self.desk = BookDesk("coinbase-exchange", "resubscribe", BookSettings(**settings))
        self.books: dict[str, PlainBook] = {}
        self.known: list[tuple[int, str, PlainBook]] = []
        self.ts = T

    def take(self, symbol: str, *levels: tuple[int, float, float], snapshot: bool = False) -> int:
        self.ts += 1_000
        one = message(symbol, levels, ts_event=self.ts, snapshot=snapshot)
        apply_plain(self.books.setdefault(symbol, {}), levels, snapshot=snapshot)
        last = send(self.plant, self.desk.take(updates(one), NOW).rows).seq_last
        assert last is not None
        kept = {side: dict(found) for side, found in self.books[symbol].items()}
        self.known.append((last, symbol, kept))
        return last


LADDER = [(BID, 10.0 - step, 1.0 + step) for step in range(5)]
LADDER += [(ASK, 11.0 + step, 2.0 + step) for step in range(5)]


def test_live_and_past_books_are_what_was_sent(tmp_path: Path) -> None:
    """At every number of two books: live, from blocks, from the archive, after a restart."""
    rng = random.Random(7)
    with open_plant(tmp_path) as plant:
        plant.tell(Begun("venue"))
        feed = Feed(plant, anew_rows=1_000)
        for symbol in "XY":
            feed.take(symbol, *LADDER, snapshot=True)
        for step in range(80):
            levels = [
                (side, price + (-1 if side == BID else 1) * rng.randrange(6), rng.randrange(3))
                for side, price in ((BID, 10.0), (ASK, 11.0))
            ]
            feed.take("XY"[step % 2], *((s, p, float(z)) for s, p, z in levels))
            if step == 40:
                plant.store.checkpoint(plant.catalog.encode())
        for symbol in "XY":
            view = book(plant, symbol)
            assert (view.state, plain(view)) == ("live", feed.books[symbol])
        for last, symbol, expected in feed.known[::7]:
            view = book(plant, symbol, last)
            assert (view.state, view.seq, plain(view)) == ("live", last, expected)
    with open_plant(tmp_path) as plant:
        for last, symbol, expected in feed.known[::11]:
            assert plain(book(plant, symbol, last)) == expected
        assert {(s, book(plant, s).state) for s in "XY"} == {("X", "stale"), ("Y", "stale")}
        assert plain(book(plant, "X")) == feed.books["X"]


def test_half_a_step_is_no_book(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        feed = Feed(plant)
        last = feed.take("X", *LADDER, snapshot=True)
        end = feed.take("X", (BID, 10.0, 0.0), (BID, 9.0, 0.0), (ASK, 10.5, 1.0))
        assert end == last + 3
        for seq in (last, last + 1, last + 2):
            assert plain(book(plant, as_of=seq)) == feed.known[0][2]
        assert plain(book(plant, as_of=end)) == feed.known[1][2]
        assert book(plant, as_of=last - 1).state == "none"  # half of the first snapshot


def test_a_feed_that_goes_takes_its_books_with_it_and_the_log_says_so(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        plant.tell(Begun("venue"))
        feed = Feed(plant)
        feed.take("X", *LADDER, snapshot=True)
        send(plant, feed.desk.lose(["X"], NOW).rows)
        assert book(plant).state == "rebuilding"
        whole = feed.take("X", *LADDER, snapshot=True)
        assert book(plant).state == "live"
        plant.tell(Lost("venue", "disconnect")).result(WAIT_S)
        view = book(plant)
        assert (view.state, plain(view)) == ("stale", feed.books["X"])  # the last right one
        assert plant.store.scan("book")["action"].to_pylist()[-1] == 2
        assert book(plant, as_of=whole).state == "live"
        plant.tell(Begun("venue"))
        plant.drain()
        assert book(plant).state == "rebuilding"
        feed.take("X", *LADDER, snapshot=True)
        assert (book(plant).state, plant.books.status().held["live"]) == ("live", 1)
        plant.tell(Finished("venue")).result(WAIT_S)
        assert book(plant).state == "stale"


def test_a_row_that_is_refused_leaves_no_wrong_book_behind(tmp_path: Path) -> None:
    with open_plant(tmp_path, checks__price_max=100.0) as plant:
        feed = Feed(plant)
        feed.take("X", *LADDER, snapshot=True)
        feed.take("Y", *LADDER, snapshot=True)
        rows = feed.desk.take(updates(message("X", [(ASK, 101.0, 1.0)], ts_event=T)), NOW).rows
        receipt = send(plant, rows)
        assert [one.reason for one in receipt.rejected] == ["price_too_large"]
        plant.drain()
        assert (book(plant).state, book(plant, "Y").state) == ("rebuilding", "live")


def test_rows_that_cross_a_book_make_it_lost(tmp_path: Path) -> None:
    """No desk sends such rows; whoever else does gets no crossed book shown as right."""
    with open_plant(tmp_path) as plant:
        submit(
            plant,
            "book",
            feed="other",
            symbol=["X", "X", "X"],
            ts_event=[T, T, T],
            action=[1, 0, 0],
            side=[0, 1, 2],
            price=[None, 5.0, 5.0],
            size=[None, 1.0, 1.0],
        )
        plant.drain()
        assert (book(plant).state, plant.books.status().crossed) == ("rebuilding", 1)


def test_a_book_is_that_of_the_feed_that_cleared_it_last(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        feed, other = Feed(plant), BookDesk("coinbase-exchange", "resubscribe")
        feed.take("X", *LADDER, snapshot=True)
        snapshot = message("X", [(BID, 1.0, 1.0)], ts_event=T + 10**6, snapshot=True)
        last = send(plant, other.take(updates(snapshot), NOW).rows, "other").seq_last
        feed.take("X", (BID, 9.5, 3.0))
        assert plain(book(plant)) == {BID: {1.0: 1.0}, ASK: {}}
        assert plain(book(plant, as_of=(last or 0) + 1)) == {BID: {1.0: 1.0}, ASK: {}}


def test_a_book_that_is_not_kept_any_more_is_none(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        feed = Feed(plant)
        last = feed.take("X", *LADDER, snapshot=True)
        send(plant, feed.desk.drop(["X"], NOW).rows)
        assert book(plant) == BookView(1, "none")
        assert book(plant, as_of=last).state == "live"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"action": 3}, "action_invalid"),
        ({"action": None}, "action_invalid"),
        ({"side": 0}, "level_missing"),
        ({"side": 7}, "side_invalid"),
        ({"price": None}, "level_missing"),
        ({"price": float("nan")}, "price_not_finite"),
        ({"price": -1.0}, "price_not_positive"),
        ({"size": None}, "level_missing"),
        ({"size": -2.0}, "size_negative"),
        ({"size": float("inf")}, "size_not_finite"),
        ({"orders": -1}, "orders_negative"),
        ({"flags": 1}, "flags_invalid"),
        ({"ts_event": 1_000}, "ts_too_old"),
    ],
)
def test_rows_of_books_are_checked(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    good = {"symbol": "X", "ts_event": T, "action": 0, "side": 1, "price": 5.0, "size": 1.0}
    with open_plant(tmp_path) as plant:
        rows = [good, good | change]
        names = {name for row in rows for name in row}
        columns = {name: [row.get(name) for row in rows] for name in names}
        receipt = send(plant, incoming_batch("book", **columns))
        assert (receipt.accepted, [one.reason for one in receipt.rejected]) == (1, [reason])
        assert plant.history.quarantine(table="book").num_rows == 1


def test_books_make_no_candles_and_move_no_watermark(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        Feed(plant).take("X", *LADDER, snapshot=True)
        one = plant.registry.resolve("X")
        assert plant.history.default_basis(one.number) == "mid"
        assert plant.history.watermark(one.number) < 0
        found = plant.history.latest([one])
        assert {name: places.tolist() for name, places in found.places.items()} == {
            "trade": [-1], "quote": [-1], "candle": [-1],
        }  # fmt: skip
        assert found.last.tolist() == [T + 1_000]  # but its book is known


def test_a_folder_reads_exports_and_queries_what_a_plant_kept(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        feed = Feed(plant)
        feed.take("X", *LADDER, snapshot=True)
        last = feed.take("X", (BID, 10.0, 0.0), (ASK, 10.75, 4.0))
        view, found = read_measured(plant.history, plant.registry.resolve("X"), 2, 500.0)
    with tickplant.open(tmp_path) as folder:
        known = folder.book("X", depth=2, bps=500.0, as_of=last)
        assert known["bids"] == [[9.0, 2.0], [8.0, 3.0]] == [list(one[:2]) for one in view.bids]
        assert known["mid"] == found.mid == 9.875
        assert known["imbalance"] == pytest.approx(14 / (14 + 18))
        assert known["depth_bps"] == {"bps": 500.0, "bid": 0.0, "ask": 0.0}
        assert folder.book("X")["state"] == "stale"
        rows = [row for part in folder.row_chunks("book", "X") for row in part.to_pylist()]
        codes = {"set": 0, "clear": 1, "lost": 2}
        sides = {"bid": BID, "ask": ASK, None: 0}
        coded = [r | {"action": codes[r["action"]], "side": sides[r["side"]]} for r in rows]
        assert plain_of_rows(coded[:-1])["X"] == feed.books["X"]
        asked = folder.sql("SELECT action, count(*) AS n FROM book GROUP BY 1 ORDER BY 1").arrow()
        assert asked.to_pylist() == [
            {"action": "clear", "n": 1},
            {"action": "lost", "n": 1},  # the plant was stopped
            {"action": "set", "n": 12},
        ]


def test_retention_drops_days_of_books_and_the_next_day_stands_alone(tmp_path: Path) -> None:
    day = 86_400 * 10**9
    clock = Clock(NOW)
    with open_plant(tmp_path, clock, store__book_retention_days=1) as plant:
        feed = Feed(plant)
        feed.ts = NOW - day
        feed.take("X", *LADDER, snapshot=True)
        feed.ts = NOW
        last = feed.take("X", (BID, 9.0, 7.0))
        plant.store.checkpoint(plant.catalog.encode())
        clock.now += day // 2
        plant.store.retain(clock.now)
        days = {ts // day for ts in plant.store.scan("book")["ts_event"].to_pylist()}
        assert days == {NOW // day}
        assert plain(book(plant, as_of=last)) == feed.books["X"]


def test_the_age_of_an_instrument_counts_its_book_everywhere(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        plant.tell(Begun("venue"))
        pushed = {"symbol": ["X", "Z"], "venue": ["V"] * 2, "ts_event": [T, T + 5_000]}
        submit(plant, **pushed, price=[1.0, 1.0], size=[1.0, 1.0])
        feed = Feed(plant)
        for symbol in "XY":
            feed.take(symbol, *LADDER, snapshot=True)
        plant.drain()
        chosen = [plant.registry.resolve(symbol) for symbol in "YXZ"]
        newest = [T + 2_000, T + 1_000, T + 5_000]
        assert plant.history.latest(chosen).last.tolist() == newest
        alone = [plant.history.latest([one]).last.item() for one in chosen]
        assert alone == newest
        ages = [top.age_s for top in tops(plant.history, chosen, NOW)]
        assert ages == [(NOW - ts) / 1e9 for ts in newest]
