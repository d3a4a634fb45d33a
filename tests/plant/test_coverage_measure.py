"""How much of thousands of bars is covered, against what is known of one instrument at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.plant.coverage import CoverageBook
from tickplant.plant.coverage_keeper import stamp
from tickplant.plant.watermarks import NO_EVENT, Watermarks, measure

SECOND = 10**9
BASE = 1_709_562_000 * SECOND  # 2024-03-04 14:20 UTC, ten minutes before New York opens
GRIDS = (
    Grid(parse_interval("1s")),
    Grid(parse_interval("7m")),
    Grid(parse_interval("1h")),
    Grid(parse_interval("1d"), "America/New_York", "17:00"),
    Grid.of(parse_interval("10m"), calendar="XNYS"),
)
NUMBERS = np.arange(1, 4)
WIDE, OWN = (1, 2), (3, 4)

minute = st.integers(0, 60)
number = st.sampled_from(NUMBERS.tolist())
events = st.lists(st.tuples(number, minute), min_size=1, max_size=4)
step = st.one_of(
    st.tuples(st.just("events"), st.sampled_from(WIDE + OWN), events),
    st.tuples(st.just("end"), st.sampled_from(OWN)),
    st.tuples(st.just("end wide"), st.sampled_from(WIDE)),
    st.tuples(st.just("begin"), st.sampled_from(WIDE), minute),
    st.tuples(st.just("subscribe"), st.sampled_from(WIDE), number, minute),
    st.tuples(st.just("unsubscribe"), st.sampled_from(WIDE), number, minute),
    st.tuples(st.just("lost"), st.sampled_from(WIDE)),
    st.tuples(st.just("cover"), number, minute, st.integers(1, 20)),
    st.tuples(st.just("gap"), st.sampled_from(WIDE + OWN), st.sampled_from((0, 0, 1, 2)), minute,
              st.integers(0, 9)),
    st.tuples(st.just("change"), st.integers(0, 9), st.none() | minute,
              st.sampled_from([None, "repaired", "open"])),
)  # fmt: skip


class Book:
    """A book that takes steps, as the plant's thread would bring it up."""

    def __init__(self, start: int = BASE) -> None:
        self.book = CoverageBook()
        self.last = dict.fromkeys(NUMBERS.tolist(), NO_EVENT)
        self.seq = 0
        self.gaps: list[int] = []
        self.take("begin", 1, 0, start=start)

    def take(self, kind: str, feed: int, instrument: int = 0, **values: Any) -> None:
        self.seq += 1
        row = {"feed": feed, "kind": kind, "instrument": instrument, **values}
        self.book.take(stamp([row], self.seq, BASE))

    def move(self, given_step: tuple[Any, ...]) -> None:
        name, *rest = given_step
        wide = self.book.wide.get(rest[0])
        session = wide is not None and wide.began is not None
        match name:
            case "events" if rest[0] in OWN or session:
                self.note(rest[0], rest[1])
            case "end":
                self.take("end", rest[0])
            case "end wide" if wide is not None and session:
                self.take("end", rest[0], end=wide.reach)
            case "begin" if not session:
                self.take("begin", rest[0], start=at(rest[1]))
            case "subscribe" if session:
                self.take("begin", rest[0], rest[1], start=at(rest[2]))
            case "unsubscribe" if session:
                self.take("end", rest[0], rest[1], end=at(rest[2]))
            case "lost" if (
                wide is not None and session and self.book.ledger.lasting(rest[0]) is None
            ):
                self.gap(rest[0], 0, wide.reach, None)
            case "cover":
                end = at(rest[1] + rest[2])
                self.take("cover", 3, rest[0], start=at(rest[1]), end=end)
            case "gap":
                self.gap(rest[0], rest[1], at(rest[2]), at(rest[2] + rest[3]))
            case "change" if self.gaps:
                id, end, status = self.gaps[rest[0] % len(self.gaps)], rest[1], rest[2]
                values = {"end": None if end is None else at(end), "status": status}
                self.take("change", 1, ref_seq=id, **values)

    def gap(self, feed: int, instrument: int, start: int, end: int | None) -> None:
        self.take("gap", feed, instrument, start=start, end=end, cause="stall", status="open")
        self.gaps.append(self.seq)

    def note(self, feed: int, rows: list[tuple[int, int]]) -> None:
        for instrument, when in rows:
            if feed in WIDE and not self.book.wide[feed].serves(np.array([instrument]))[0]:
                self.take("begin", feed, instrument, start=self.book.wide[feed].began)
            self.last[instrument] = max(self.last[instrument], at(when) + instrument)
        numbers = np.array([instrument for instrument, _ in rows], np.int64)
        self.book.note(feed, numbers, np.array([at(when) + n for n, when in rows], np.int64))


def at(when: int) -> int:
    return BASE + when * 60 * SECOND


@settings(max_examples=150, deadline=None)
@example(25, [("events", 3, [(1, 5), (1, 20)]), ("events", 1, [(1, 40)])])
@given(minute, st.lists(step, min_size=1, max_size=14))
def test_many_bars_are_measured_as_one_instrument_after_the_other(
    first: int,
    steps: list[tuple[Any, ...]],
) -> None:
    made = Book(at(first))
    live = Watermarks(None, made.book)  # type: ignore[arg-type]  # nothing has to be looked up
    for left, given_step in zip(range(len(steps))[::-1], steps, strict=True):
        made.move(given_step)
        if left < 3:
            agree(made, live)


def agree(made: Book, live: Watermarks) -> None:
    own = np.array([made.last[number] for number in NUMBERS.tolist()], np.int64)
    marks = np.maximum(own, made.book.watermarks(NUMBERS))
    live._grow(len(NUMBERS) + 1)
    live._last[NUMBERS] = marks
    for grid in GRIDS:
        starts = grid.range(BASE - 1800 * SECOND, BASE + 4200 * SECOND)[:: 90 if grid is GRIDS[0]
                                                                       else 1]  # fmt: skip
        bars, numbers = np.tile(starts, len(NUMBERS)), np.repeat(NUMBERS, len(starts))
        ends = grid.ends(bars)
        found = measure(made.book, np.repeat(marks, len(starts)), grid, numbers, bars, ends)
        again = live.measure(grid, numbers, bars, ends)
        for number in NUMBERS.tolist():
            mine = numbers == number
            alone = made.book.of(number, made.last[number])
            wanted = alone.measure(grid, numbers[mine], bars[mine], ends[mine])
            for one in (found, again):
                assert one.watermark[mine].tolist() == wanted.watermark.tolist()
                assert one.fraction[mine].tolist() == wanted.fraction.tolist()
                assert one.revision[mine].tolist() == wanted.revision.tolist()


@pytest.mark.parametrize("feeds", [(1,), (3,), (1, 3), (3, 4)])
def test_a_day_of_restarts_is_measured_to_the_nanosecond(feeds: tuple[int, ...]) -> None:
    made = Book()
    for hour in range(3):
        for feed in feeds:
            made.move(("begin", feed, 10 * hour)) if feed in WIDE else None
            made.move(("events", feed, [(1, 10 * hour + feed), (1, 10 * hour + 5 + feed)]))
            made.move(("end wide" if feed in WIDE else "end", feed))
    minutes = {minute for hour in range(3) for feed in feeds for minute in
               range(10 * hour + (0 if feed in WIDE else feed), 10 * hour + 5 + feed)}  # fmt: skip
    end = BASE + 3600 * SECOND
    one = np.array([1]), np.array([BASE]), np.array([end])
    got = measure(made.book, np.array([end]), GRIDS[2], *one).fraction[0]
    assert got == pytest.approx(len(minutes) / 60, abs=1e-9)
