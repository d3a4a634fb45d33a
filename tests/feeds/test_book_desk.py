"""The desk against a venue that keeps its books in dictionaries and sends them with faults."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from book_kit import (
    ASK,
    BID,
    Books,
    PlainBook,
    apply_plain,
    message,
    plain_of_rows,
    sides_of,
    updates,
)
from tickplant.books.updates import NONE
from tickplant.config import BookSettings
from tickplant.feeds.book_desk import WAITING_MAX, BookDesk, Delivered

T = 1_700_000_000_000_000_000
DAY = 86_400_000_000_000
Levels = list[tuple[int, float, float]]


@dataclass
class Venue:
    """The truth of one book: every state it was in, by number, and the messages between them."""

    states: list[PlainBook] = field(default_factory=lambda: [{BID: {}, ASK: {}}])
    sent: list[dict[str, Any]] = field(default_factory=list)

    def change(self, levels: Levels, width: int = 1) -> None:
        """Change the book; the message spans `width` numbers."""
        state = {side: dict(found) for side, found in self.states[-1].items()}
        apply_plain(state, levels)
        first = len(self.states)
        previous = self.sent[-1]["last"] if self.sent else 0
        self.states += [state] * width
        last = first + width - 1
        self.sent.append(
            message("X", levels, ts_event=T + last, first=first, last=last, previous=previous)
        )

    def snapshot(self, at: int = -1) -> dict[str, Any]:
        at %= len(self.states)
        levels = [(s, p, z) for s, found in self.states[at].items() for p, z in found.items()]
        return message("X", levels, ts_event=T + at, last=at, first=NONE, snapshot=True)


# Bids and asks never meet, so that a crossed book is always the desk's fault.
LEVEL = st.tuples(
    st.sampled_from([BID, ASK]), st.integers(1, 9), st.sampled_from([0.0, 1.0, 2.0, 3.0])
).map(lambda found: (found[0], 10.0 + found[1] * (1 if found[0] == ASK else -1), found[2]))
CHANGES = st.lists(
    st.tuples(st.lists(LEVEL, min_size=1, max_size=4), st.integers(1, 3)), min_size=1, max_size=25
)


def told(rows: Sequence[pa.RecordBatch]) -> PlainBook | None:
    """The book that a reader of the rows has."""
    return plain_of_rows(row for part in rows for row in part.to_pylist()).get("X")


def held(desk: BookDesk) -> PlainBook | None:
    book = desk.book("X")
    return None if book is None else sides_of(book.bids.top(), book.asks.top())


@given(changes=CHANGES, data=st.data())
@settings(max_examples=20, deadline=None)
@pytest.mark.parametrize("rule", ["binance-spot", "binance-futures", "deribit"])
def test_whatever_goes_wrong_on_the_way_what_is_told_is_right(
    rule: str, changes: list[tuple[Levels, int]], data: st.DataObject
) -> None:
    """Messages are lost, doubled, swapped; snapshots are late. The desk is right or says so."""
    venue, desk = Venue(), BookDesk(rule, "resubscribe" if rule == "deribit" else "http")
    read: Books = {}
    number = NONE
    wanted = bool(desk.begin(["X"], T).wanted)

    def check(found: Delivered) -> None:
        nonlocal wanted, number
        plain_of_rows(found.rows.to_pylist(), read)
        wanted = wanted or bool(found.wanted)
        number = found.rows.column("update")[-1].as_py() if found.rows.num_rows else number
        assert desk.intact("X") == (read.get("X") is not None)
        if desk.intact("X"):
            assert held(desk) == read["X"] == venue.states[number]

    waiting: list[dict[str, Any]] = []
    for levels, width in changes:
        venue.change(levels, width)
        fault = data.draw(st.sampled_from(["none"] * 6 + ["skip", "double", "swap", "cut"]))
        now = [venue.sent[-1]]
        if fault == "skip":
            now = []
        elif fault == "double":
            now *= 2
        elif fault == "swap":
            waiting += now
            now = []
        elif fault == "cut":
            check(desk.lose(["X"], T))
        check(desk.take(updates(*now, *waiting), T) if now or waiting else desk.due(T))
        waiting = [] if now else waiting
        if wanted and data.draw(st.booleans()):
            wanted = False
            # A snapshot by request may be older than what has come, but has all that did not.
            back = data.draw(st.integers(0, 4)) if rule != "deribit" else 0
            check(desk.take(updates(venue.snapshot(max(0, len(venue.states) - 1 - back))), T))
    venue.change([(BID, 5.0, 4.0)])
    check(desk.take(updates(venue.sent[-1]), T))
    check(desk.take(updates(venue.snapshot()), T))
    assert held(desk) == read["X"] == venue.states[-1]


@given(changes=CHANGES, depth=st.integers(0, 3), interval=st.sampled_from([0, 5]))
@settings(max_examples=15, deadline=None)
def test_what_is_kept_is_the_best_levels_at_the_rate(
    changes: list[tuple[Levels, int]], depth: int, interval: int
) -> None:
    venue = Venue()
    desk = BookDesk("deribit", "resubscribe", BookSettings(depth=depth, interval_ms=interval))
    rows = [desk.take(updates(venue.snapshot()), T).rows]
    now, told_at = T, T
    for levels, _ in changes:
        venue.change(levels)
        now += 2_000_000
        rows.append(desk.take(updates(venue.sent[-1]), now).rows)
        assert not rows[-1].num_rows or now >= told_at + interval * 1_000_000
        told_at = now if rows[-1].num_rows else told_at
        if not interval:
            assert told(rows) == best(venue.states[-1], depth)
    at = desk.due_at
    rows.append(desk.due(now + 10**9 if at is None else at).rows)
    assert told(rows) == best(venue.states[-1], depth)
    assert desk.due_at is None


def best(book: PlainBook, depth: int) -> PlainBook:
    bids = sorted(book[BID], reverse=True)[: depth or None]
    asks = sorted(book[ASK])[: depth or None]
    return {BID: {p: book[BID][p] for p in bids}, ASK: {p: book[ASK][p] for p in asks}}


def chained(*steps: Levels) -> list[dict[str, Any]]:
    venue = Venue()
    for levels in steps:
        venue.change(levels)
    return venue.sent


def taking(rule: str = "deribit", **more: Any) -> BookDesk:
    desk = BookDesk(rule, "resubscribe", BookSettings(**more))
    one = message("X", [(BID, 9.0, 1.0), (ASK, 11.0, 1.0)], ts_event=T, last=0, snapshot=True)
    desk.take(updates(one), T)
    return desk


def test_a_crossed_book_is_never_told() -> None:
    desk = taking()
    found = desk.take(updates(*chained([(BID, 11.0, 5.0)])), T)
    assert [row["action"] for row in found.rows.to_pylist()] == [2]
    assert (found.wanted, found.broken[0].reason) == (("X",), "crossed")
    assert not desk.intact("X")
    # Within an update it may cross: only what the whole of it leaves counts.
    desk = taking()
    found = desk.take(updates(*chained([(BID, 11.0, 5.0), (ASK, 11.0, 0.0), (ASK, 12.0, 1.0)])), T)
    assert (found.broken, desk.intact("X")) == ((), True)


@pytest.mark.parametrize(
    "level", [(BID, np.nan, 1.0), (ASK, 5.0, np.inf), (BID, 5.0, -1.0), (3, 5.0, 1.0)]
)
def test_a_level_that_no_book_can_hold_breaks_that_book_only(
    level: tuple[int, float, float],
) -> None:
    desk = taking()
    other = message("Y", [(BID, 1.0, 1.0)], ts_event=T, snapshot=True)
    found = desk.take(updates(other, message("X", [level], ts_event=T, previous=0, last=1)), T)
    assert [one.reason for one in found.broken] == ["malformed"]
    assert (desk.intact("X"), desk.intact("Y")) == (False, True)


def test_of_many_messages_that_wait_the_oldest_are_dropped_and_an_old_snapshot_refused() -> None:
    desk, venue = BookDesk("binance-spot", "http"), Venue()
    assert desk.begin(["X"], T).wanted == ("X",)
    assert desk.begin(["X"], T).wanted == ()  # it was asked for
    for step in range(WAITING_MAX + 50):
        venue.change([(BID, 1.0 + step % 7, 1.0 + step)])
    assert desk.take(updates(*venue.sent), T).wanted == ()
    found = desk.take(updates(venue.snapshot(20)), T)
    assert (found.wanted, found.rows.num_rows, desk.wanting()) == (("X",), 0, ["X"])
    found = desk.take(updates(venue.snapshot(60)), T)
    assert (found.wanted, held(desk)) == ((), venue.states[-1])
    late = desk.take(updates(venue.snapshot(70)), T)
    assert (late.rows.num_rows, desk.counts.dropped > 0) == (0, True)


def test_a_book_cut_to_its_depth_forgets_what_falls_out_and_checks_the_rest() -> None:
    def checked(bids: list[str], asks: list[str]) -> int:
        digits = "".join(f"{price}".replace(".", "") + "1000" for price in (*asks, *bids))
        return zlib.crc32(digits.encode())

    def send(levels: Levels, checksum: int, *, snapshot: bool = False) -> Delivered:
        one = updates(message("X", levels, ts_event=T, checksum=checksum, snapshot=snapshot))
        extra = {"decimals": np.array([[1, 3]], np.int8), "depth": 2}
        fields = {name: getattr(one, name) for name in one.__slots__} | extra
        return desk.take(type(one)(**fields), T)

    desk = BookDesk("kraken", "resubscribe")
    levels = [(BID, 9.5, 1.0), (BID, 9.0, 1.0), (ASK, 10.0, 1.0), (ASK, 10.5, 1.0)]
    rows = [send(levels, checked(["9.5", "9.0"], ["10.0", "10.5"]), snapshot=True).rows]
    found = send([(BID, 9.7, 1.0)], checked(["9.7", "9.5"], ["10.0", "10.5"]))
    rows.append(found.rows)
    assert (found.broken, held(desk)) == ((), told(rows))
    assert held(desk) == {BID: {9.7: 1.0, 9.5: 1.0}, ASK: {10.0: 1.0, 10.5: 1.0}}
    # 9.0 fell out of the book, so it does not come back where a better one is removed.
    found = send([(BID, 9.7, 0.0)], checked(["9.5", "9.0"], ["10.0", "10.5"]))
    assert [one.reason for one in found.broken] == ["checksum"]
    assert (desk.counts.broken["checksum"], found.wanted) == (1, ("X",))


def test_where_each_message_is_the_book_only_what_changed_is_told() -> None:
    desk = BookDesk("replace", "stream")
    levels = [(BID, 9.0, 1.0), (BID, 8.0, 2.0), (ASK, 11.0, 1.0)]
    rows = [desk.take(updates(message("X", levels, ts_event=T)), T).rows]
    levels = [(BID, 9.0, 1.0), (BID, 7.0, 2.0), (ASK, 11.0, 1.0)]
    rows.append(desk.take(updates(message("X", levels, ts_event=T + 1)), T).rows)
    assert [row["price"] for row in rows[1].to_pylist()] == [8.0, 7.0]
    assert told(rows) == held(desk)
    assert desk.take(updates(message("X", levels, ts_event=T + 2)), T).rows.num_rows == 0
    crossed = desk.take(updates(message("X", [(BID, 9.0, 1.0), (ASK, 9.0, 1.0)], ts_event=T)), T)
    assert (crossed.wanted, desk.intact("X")) == ((), False)
    rows.append(desk.take(updates(message("X", levels, ts_event=T + 3)), T).rows)
    assert told([*rows[:2], crossed.rows, rows[2]]) == held(desk)


def test_a_book_is_written_anew_after_so_many_rows_and_every_day() -> None:
    desk = taking(anew_rows=1_000)
    steps = [[(BID, 9.0, 1.0 + step)] for step in range(2_500)]
    actions = desk.take(updates(*chained(*steps)), T).rows.column("action").to_numpy()
    clears = np.flatnonzero(actions == 1)
    assert clears.tolist() == [1000, 2003]  # each snapshot is three rows, with the update in it
    desk = taking()
    early, late = chained([(BID, 9.0, 2.0)], [(BID, 9.0, 3.0)])
    late["ts_event"] = (T // DAY + 1) * DAY
    assert desk.take(updates(early), T + DAY).rows.column("action").to_pylist() == [0]
    assert desk.take(updates(late), T + DAY).rows.column("action").to_pylist() == [1, 0, 0]


def test_the_times_of_a_book_never_go_back_and_not_far_ahead_of_the_clock() -> None:
    desk = taking()
    sent = chained([(BID, 9.0, 2.0)], [(BID, 9.0, 3.0)], [(BID, 9.0, 4.0)])
    for one, ts in zip(sent, (T + 50, T + 20, T + DAY), strict=True):
        one["ts_event"] = ts
    times = desk.take(updates(*sent), T).rows.column("ts_event").to_pylist()
    assert times == [T + 50, T + 50, T + 30 * 10**9]


def test_a_book_that_was_unsubscribed_ends_and_one_that_is_lost_waits() -> None:
    desk = taking()
    lost = desk.lose(["X", "unknown"], T, "cut")
    assert [row["action"] for row in lost.rows.to_pylist()] == [2]
    assert (lost.broken[0].reason, lost.broken[0].detail, lost.wanted) == ("lost", "cut", ())
    assert desk.lose(["X"], T).rows.num_rows == 0
    assert desk.take(updates(*chained([(BID, 9.0, 2.0)])), T).wanted == ("X",)
    desk = taking()
    ended = desk.drop(["X"], T).rows.to_pylist()
    assert [row["action"] for row in ended] == [1, 2]
    assert (desk.wanting(), desk.counts.held) == ([], 0)


@pytest.mark.parametrize("rule", ["binance-spot", "binance-futures", "deribit"])
def test_what_comes_twice_or_late_changes_nothing_and_breaks_nothing(rule: str) -> None:
    venue, desk = Venue(), BookDesk(rule, "resubscribe" if rule == "deribit" else "http")
    desk.take(updates(venue.snapshot()), T)
    for size in range(1, 6):
        venue.change([(BID, 9.0, float(size))], width=2)
    desk.take(updates(*venue.sent), T)
    again = desk.take(updates(*venue.sent[1:], venue.sent[0]), T)
    assert (again.rows.num_rows, again.broken, desk.counts.dropped) == (0, (), 5)
    assert held(desk) == venue.states[-1]


def test_after_a_hole_among_those_that_wait_the_rest_waits_on() -> None:
    desk, venue = BookDesk("binance-spot", "http"), Venue()
    for size in range(1, 7):
        venue.change([(BID, 9.0, float(size))])
    missing = venue.sent[2]
    desk.take(updates(*(one for one in venue.sent if one is not missing)), T)
    found = desk.take(updates(venue.snapshot(1)), T)
    assert (found.wanted, [one.reason for one in found.broken]) == (("X",), ["gap"])
    assert [one.first for one in found.broken] == [one.last for one in found.broken] == [3]
    # A snapshot with what is missing, older than the last message: those that wait do the rest.
    assert desk.take(updates(venue.snapshot(4)), T).wanted == ()
    assert held(desk) == venue.states[-1]
