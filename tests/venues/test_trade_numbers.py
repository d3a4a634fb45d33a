"""Holes in the numbers of trades: within a connection, and where one takes over from another."""

from __future__ import annotations

import pytest

from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Numbered, Skipped, Stream
from tickplant.feeds.venues.numbers import TradeNumbers
from tickplant.feeds.venues.options import VenueOptions

BTC = Stream("BTC-USDT", "trades")
ETH = Stream("ETH-USDT", "trades")


def numbers(*trades: tuple[int, int], symbol: str = BTC.symbol) -> TradeNumbers:
    found = TradeNumbers()
    found.follow([symbol] * len(trades), *zip(*trades, strict=True))
    return found


def spans(holes: list[Skipped]) -> list[tuple[Stream, int | None, int | None, int, int]]:
    return [(*one.streams, one.first, one.last, one.start, one.end) for one in holes]


@pytest.mark.parametrize(
    ("old", "new", "missing"),
    [
        ([(7, 70), (10, 100)], [(12, 120), (13, 130)], [(11, 11, 99, 121)]),
        ([(10, 100)], [(13, 90)], [(11, 12, 89, 101)]),  # times need not rise with numbers
        ([(10, 100)], [(11, 110)], []),
        ([(14, 140)], [(12, 120), (13, 130)], []),  # the old one was faster
        ([(10, 100)], [(10, 100), (12, 120)], []),  # told by the new one itself
    ],
)  # fmt: skip
def test_the_first_number_is_judged_by_what_the_connection_before_had(old, new, missing) -> None:
    found = numbers(*new).take_over(numbers(*old).lasts())
    assert spans(found) == [(BTC, *hole) for hole in missing]


def test_a_stream_that_has_not_begun_is_judged_by_what_will_be_its_first() -> None:
    new = numbers((5, 50), symbol=ETH.symbol)
    assert new.take_over(numbers((10, 100)).lasts()) == []
    assert spans(new.follow(["BTC-USDT"], [12], [120])) == [(BTC, 11, 11, 99, 121)]
    assert new.lasts() == {BTC: (12, 120), ETH: (5, 50)}
    assert new.follow(["ETH-USDT"], [6], [60]) == []


def test_what_a_venue_says_to_be_the_last_counts_as_delivered_or_missing() -> None:
    new = TradeNumbers()
    assert new.reach("BTC-USDT", (11, 115)) == []  # whatever came before was not for it to deliver
    assert spans(new.take_over(numbers((10, 100)).lasts())) == [(BTC, 11, 11, 99, 116)]
    assert spans(new.reach("BTC-USDT", (12, 130))) == [(BTC, 12, 12, 114, 131)]
    assert new.reach("BTC-USDT", (12, 140)) == []


def test_a_symbol_that_was_forgotten_begins_anew() -> None:
    found = numbers((10, 100))
    found.forget("BTC-USDT")
    assert (found.lasts(), found.follow(["BTC-USDT"], [50], [500])) == ({}, [])


@pytest.mark.parametrize(
    ("name", "hands_over"),
    [
        ("binance", True),
        ("binance-futures", True),
        ("kraken", True),
        ("deribit", True),
        ("coinbase-exchange", True),
        ("coinbase", False),  # it numbers the messages of a connection
    ],
)
def test_venues_that_number_trades_hand_their_numbers_over(name: str, hands_over: bool) -> None:
    assert isinstance(make_venue(name, VenueOptions()).session([BTC]), Numbered) is hands_over
