"""Books and what is measured of them, against dictionaries and against sums done by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_kit import ASK, BID, PlainBook, apply_plain, sides_of
from tickplant.books.book import Book, Level, Side
from tickplant.books.checksum import Precision, kraken_checksum
from tickplant.books.measures import Depth, Measures, measure, signal_of
from tickplant.books.thinning import Shown

PRICES = st.sampled_from([round(0.1 * step, 1) for step in range(1, 25)])
SIZES = st.sampled_from([0.0, 0.0, 1.0, 2.5, 7.0])
LEVELS = st.lists(st.tuples(st.sampled_from([BID, ASK]), PRICES, SIZES), max_size=60)


def plain(levels: list[tuple[int, float, float]]) -> PlainBook:
    made: PlainBook = {BID: {}, ASK: {}}
    apply_plain(made, levels)
    return made


def book_of(levels: list[tuple[int, float, float]]) -> Book:
    book = Book()
    book.apply(*(zip(*levels, strict=True) if levels else ([], [], [])))
    return book


@given(LEVELS, st.integers(0, 5))
def test_a_book_is_two_dictionaries_in_order(
    levels: list[tuple[int, float, float]], depth: int
) -> None:
    book, expected = book_of(levels), plain(levels)
    bids, asks = sorted(expected[BID].items(), reverse=True), sorted(expected[ASK].items())
    count = depth or 100
    assert [level[:2] for level in book.bids.top(depth)] == bids[:count]
    assert [level[:2] for level in book.asks.top(depth)] == asks[:count]
    assert (book.bids.best, book.asks.best) == (
        max(expected[BID], default=None),
        min(expected[ASK], default=None),
    )
    assert book.crossed == bool(bids and asks and bids[0][0] >= asks[0][0])
    assert len(book) == len(bids) + len(asks)
    assert [book.bids.size(price) for price, _ in bids] == [size for _, size in bids]
    gone = book.asks.cut(count := max(depth, 1))
    assert sorted(gone) == [price for price, _ in asks[count:]]
    assert [level[:2] for level in book.asks.top()] == asks[:count]


@given(LEVELS, LEVELS)
def test_a_snapshot_replaces_whatever_was_there(
    before: list[tuple[int, float, float]], levels: list[tuple[int, float, float]]
) -> None:
    book = book_of(before)
    book.replace(*(zip(*levels, strict=True) if levels else ([], [], [])))
    kept = {(side, price): size for side, price, size in levels}
    expected = plain([(side, price, size) for (side, price), size in kept.items()])
    assert sides_of(book.bids.top(), book.asks.top()) == expected


def test_orders_are_kept_by_level_and_go_with_it() -> None:
    side = Side(BID)
    side.set(9.0, 1.0, 4)
    side.set(8.0, 2.0)
    assert side.top() == [Level(9.0, 1.0, 4), Level(8.0, 2.0, None)]
    side.set(9.0, 0.0)
    side.set(9.0, 5.0)
    assert side.top(1) == [Level(9.0, 5.0, None)]


@given(LEVELS, LEVELS, st.integers(0, 4))
def test_what_changed_of_the_shown_part_brings_it_to_the_book(
    before: list[tuple[int, float, float]], more: list[tuple[int, float, float]], depth: int
) -> None:
    book, shown, told = book_of(before), Shown(depth), plain([])
    for levels in ([], more, []):
        book.apply(*(zip(*levels, strict=True) if levels else ([], [], [])))
        changes = [(side, level.price, level.size) for side, level in shown.change(book)]
        apply_plain(told, changes)
        assert told == sides_of(book.bids.top(depth), book.asks.top(depth))
    assert changes == []  # nothing is told twice


LADDER = st.lists(st.tuples(st.integers(1, 400), st.integers(1, 50)), max_size=12)


@given(LADDER, LADDER, st.sampled_from([1.0, 10.0, 500.0]))
def test_measures_are_the_formulas(
    below: list[tuple[int, int]], above: list[tuple[int, int]], bps: float
) -> None:
    bids = [Level(1000.0 - p, float(s)) for p, s in sorted(dict(below).items())]
    asks = [Level(1000.0 + p, float(s)) for p, s in sorted(dict(above).items())]
    found = measure(bids, asks, bps)
    if not bids or not asks:
        assert found == Measures()
        return
    bid, ask = Fraction(bids[0].price), Fraction(asks[0].price)
    mid = (bid + ask) / 2
    assert found.mid == mid
    assert found.spread == ask - bid
    assert found.spread_bps == pytest.approx(float((ask - bid) / mid * 10_000), rel=1e-12)
    top_bid = sum(Fraction(level.size) for level in bids[:5])
    top_ask = sum(Fraction(level.size) for level in asks[:5])
    assert found.imbalance == pytest.approx(float(top_bid / (top_bid + top_ask)), rel=1e-12)
    reach = mid * Fraction(bps) / 10_000
    assert found.depth == Depth(
        sum(level.size for level in bids if mid - Fraction(level.price) <= reach),
        sum(level.size for level in asks if Fraction(level.price) - mid <= reach),
    )
    assert measure(bids, asks).depth is None


def test_the_signal_is_neutral_on_its_borders() -> None:
    signals = [signal_of(value) for value in (0.0, 0.39, 0.4, 0.5, 0.6, 0.61, 1.0)]
    assert signals == ["SELL_PRESSURE"] * 2 + ["NEUTRAL"] * 3 + ["BUY_PRESSURE"] * 2


def test_the_checksum_is_that_of_the_venues_own_example() -> None:
    # The ten best levels of the example in the guide to the checksum of version 1.
    asks = [5005, 5010, 5015, 5020, 5025, 5030, 5035, 5040, 5045, 5050]
    bids = [5000, 4995, 4990, 4980, 4975, 4970, 4965, 4960, 4955, 4950]
    levels = [(ASK, price) for price in asks] + [(BID, price) for price in bids]
    book = book_of([(side, price / 1e5, 0.00000500) for side, price in levels])
    book.apply([BID, ASK], [0.04, 0.06], [1.0, 1.0])  # behind the ten best: without a say
    assert kraken_checksum(book, Precision(5, 8)) == 974947235
