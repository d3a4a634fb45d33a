"""Kraken as it was recorded (version 1): every value, and every checksum, by another reading."""

from __future__ import annotations

import gzip
import heapq
import json
import zlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realdata import real
from tickplant.books.updates import NONE
from tickplant.feeds.book_desk import BookDesk
from tickplant.feeds.venues.contract import Confirmed, Frame, Heartbeat, Refused, Stream
from tickplant.feeds.venues.kraken.legacy import LegacyParser

ASSETS = {"XBT": "BTC", "XDG": "DOGE"}


class Line(NamedTuple):
    frame: Frame
    said: Any


def ns(seconds: str) -> int:
    return int(Decimal(seconds) * 10**9)


def recorded(number: int) -> list[Line]:
    """The frames that came, in order, and what they say with every number as it is written."""
    lines = []
    with gzip.open(real(f"frames/KRAKEN.ws.{number}.0.gz"), "rt") as file:
        for line in file:
            if line[0].isdigit():
                at, _, text = line.rstrip("\n").partition(": ")
                said = json.loads(text, parse_float=Decimal)
                lines.append(Line(Frame(ns(at), text.encode()), said))
    return lines


def symbol(pair: str) -> str:
    return "-".join(ASSETS.get(asset, asset) for asset in pair.split("/"))


def market(lines: list[Line]) -> list[Line]:
    return [line for line in lines if isinstance(line.said, list)]


def batches(lines: list[Line], size: int) -> Iterator[list[Frame]]:
    for start in range(0, len(lines), size):
        yield [line.frame for line in lines[start : start + size]]


def test_recorded_trades_are_read_value_by_value() -> None:
    lines = recorded(48)
    parser = LegacyParser()
    heard = [parser.receive(frames) for frames in batches(lines, 7)]
    rows = [row for one in heard if one.rows for row in one.rows["trades"].to_pylist()]
    expected = [
        {
            "symbol": symbol(line.said[-1]),
            "venue": None,
            "ts_event": ns(trade[2]),
            "price": float(trade[0]),
            "size": float(trade[1]),
            "side": {"b": 1, "s": 2}[trade[3]],
            "id": None,
            "conditions": None,
            "exchange": None,
            "key": None,
        }
        for line in market(lines)
        for trade in line.said[1]
    ]
    assert rows == expected
    assert expected
    assert not any(one.bad for one in heard)


def test_recorded_tickers_are_quotes_value_by_value() -> None:
    lines = recorded(49)
    heard = LegacyParser().receive([line.frame for line in lines])
    expected = [
        {
            "symbol": symbol(line.said[-1]),
            "venue": None,
            "ts_event": line.frame.ts_recv,
            "bid_price": float(line.said[1]["b"][0]),
            "bid_size": float(line.said[1]["b"][2]),
            "ask_price": float(line.said[1]["a"][0]),
            "ask_size": float(line.said[1]["a"][2]),
            "exchange": None,
            "key": None,
        }
        for line in market(lines)
    ]
    assert heard.rows["quotes"].to_pylist() == expected
    assert expected


def test_what_is_no_market_data_is_confirmed_and_heard() -> None:
    lines = recorded(50)
    events = [line.said["event"] for line in lines if isinstance(line.said, dict)]
    heard = LegacyParser().receive([line.frame for line in lines])
    pairs = [line.said["pair"] for line in lines if "subscription" in line.said]
    assert [one for one in heard.said if isinstance(one, Confirmed)] == [
        Confirmed((Stream(symbol(pair), "book"),)) for pair in pairs
    ]
    assert heard.said.count(Heartbeat()) == events.count("heartbeat") > 0
    assert heard.bad == []


class Oracle:
    """A book as the venue's guide keeps it: a dictionary a side, of the texts by their price."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[float, tuple[str, str]]] = {"a": {}, "b": {}}

    def take(self, part: dict[str, Any]) -> None:
        for key, side in (("as", "a"), ("bs", "b")):
            if key in part:
                self.sides[side] = {float(one[0]): (one[0], one[1]) for one in part[key]}
        for side in ("a", "b"):
            for price, size, *_ in part.get(side, ()):
                if float(size):
                    self.sides[side][float(price)] = price, size
                else:
                    self.sides[side].pop(float(price), None)
            while len(self.sides[side]) > 1000:
                del self.sides[side][(max if side == "a" else min)(self.sides[side])]

    def best(self, side: str, count: int) -> list[tuple[str, str]]:
        nearest = heapq.nsmallest if side == "a" else heapq.nlargest
        return [self.sides[side][price] for price in nearest(count, self.sides[side])]

    def checksum(self) -> int:
        best = [*self.best("a", 10), *self.best("b", 10)]
        digits = (text.replace(".", "").lstrip("0") for level in best for text in level)
        return zlib.crc32("".join(digits).encode())


def test_recorded_books_are_read_value_by_value_and_every_checksum_holds() -> None:
    lines = recorded(50)
    parser, desk = LegacyParser(1000), BookDesk("kraken-v1", "resubscribe")
    oracles: dict[str, Oracle] = {}
    verified = 0
    said = iter(market(lines))
    for frames in batches(lines, 500):
        books = parser.receive(frames).books
        assert books is not None
        assert books.depth == 1000
        for place in range(len(books)):
            line = next(said)
            parts = [part for part in line.said if isinstance(part, dict)]
            check_levels(books, place, line, parts)
            oracle = oracles.setdefault(symbol(line.said[-1]), Oracle())
            for part in parts:
                oracle.take(part)
            if books.checksum[place] != NONE:
                assert oracle.checksum() == books.checksum[place]
                verified += 1
        desk.take(books, frames[-1].ts_recv)
    assert next(said, None) is None
    counts = desk.counts
    assert (counts.unchecked, sum(counts.broken.values())) == (0, 0)
    assert verified == sum("c" in part for x in market(lines) for part in x.said[1:3]) > 4_000
    for name, oracle in oracles.items():
        book = desk.book(name)
        assert book is not None
        for side, kept in (("a", book.asks), ("b", book.bids)):
            levels = [(level.price, level.size) for level in kept.top()]
            assert levels == [
                (float(price), float(size)) for price, size in oracle.best(side, 1000)
            ]


def check_levels(books: Any, place: int, line: Line, parts: list[dict[str, Any]]) -> None:
    """One message, value by value: asks first, as the venue writes them."""
    levels = [
        (side, level)
        for keys, side in ((("as", "a"), 2), (("bs", "b"), 1))
        for part in parts
        for key in keys
        for level in part.get(key, ())
    ]
    start, end = books.offsets[place : place + 2]
    assert books.symbols[books.code[place]] == symbol(line.said[-1])
    assert books.side[start:end].tolist() == [side for side, _ in levels]
    assert books.price[start:end].tolist() == [float(level[0]) for _, level in levels]
    assert books.size[start:end].tolist() == [float(level[1]) for _, level in levels]
    assert books.ts_event[place] == max(ns(level[2]) for _, level in levels)
    assert books.snapshot[place] == any("as" in part for part in parts)
    checksums = [int(part["c"]) for part in parts if "c" in part]
    assert books.checksum[place] == (checksums or [NONE])[0]


GOOD = b'[1,[["5.5","2","1618678142.557535","s","l",""]],"trade","XBT/USD"]'
BAD = [
    b"",
    b"[]",
    b"[1,2,3]",
    b'[1,2,3,"XBT/USD"]',
    b'[1,[["5.5"]],"trade","XBT/USD"]',
    b'[1,[["5.5","x","1618678142.5","s","l",""]],"trade","XBT/USD"]',
    b'[1,[["5.5","2","noon","s","l",""]],"trade","XBT/USD"]',
    b'[1,[["5.5","2","1618678142.5","up","l",""]],"trade","XBT/USD"]',
    b'[1,{"a":["1",2,"3"]},"ticker","XBT/USD"]',
    b'[1,{"a":[["1","inf","5.5"]]},"book-1000","XBT/USD"]',
    b'[1,{"a":[["1","2","5.5"]],"c":"-5"},"book-1000","XBT/USD"]',
    b'[1,{"a":["1","2","5.5"]},"book-1000","XBT/USD"]',
    b'[1,{"a":[]},"book-10","XBT/USD"]',
    b'[1,["1","2"],"spread","XBT/USD"]',
    b'{"no":"event"}',
]


@pytest.mark.parametrize("data", BAD)
def test_a_bad_frame_is_put_aside_alone(data: bytes) -> None:
    heard = LegacyParser().receive([Frame(1, GOOD), Frame(2, data), Frame(3, GOOD)])
    assert heard.rows["trades"].num_rows == 2
    assert [bad.frame for bad in heard.bad] == [data]


def test_a_refused_subscription_says_why() -> None:
    said = {"event": "subscriptionStatus", "pair": "XBT/EUR", "status": "error"}
    said |= {"channelName": "trade", "errorMessage": "Currency pair not supported"}
    heard = LegacyParser().receive([Frame(1, json.dumps(said).encode())])
    assert heard.said == [Refused((Stream("BTC-EUR", "trades"),), "Currency pair not supported")]


def test_the_best_prices_are_a_quote_at_their_time() -> None:
    frame = b'[1,["5.5","5.6","1618678142.557535","2.5","3.5"],"spread","XBT/USD"]'
    (row,) = LegacyParser().receive([Frame(1, frame)]).rows["quotes"].to_pylist()
    prices = [row[f"{side}_{what}"] for side in ("bid", "ask") for what in ("price", "size")]
    assert prices == [5.5, 2.5, 5.6, 3.5]
    assert row["ts_event"] == 1618678142_557535000


TEXT = st.sampled_from(["1.5", "0", "-1", "x", "1618678142.5", "s", "b", "nan"]) | st.text(
    max_size=5
)
LEVELS = st.lists(st.lists(TEXT, max_size=5) | TEXT | st.integers(), max_size=3)
PART = st.dictionaries(st.sampled_from(["a", "b", "as", "bs", "c"]), LEVELS | TEXT, max_size=3)
NAME = st.sampled_from(["trade", "ticker", "spread", "book-1000", "book-10"]) | TEXT


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.lists(PART | LEVELS, max_size=3), NAME), max_size=6))
def test_whatever_is_sent_is_read_or_put_aside(sent: list[tuple[list[Any], str]]) -> None:
    frames = [json.dumps([1, *parts, name, "XBT/USD"]).encode() for parts, name in sent]
    heard = LegacyParser().receive([*(Frame(1, data) for data in frames), Frame(2, GOOD)])
    assert {bad.frame for bad in heard.bad} <= set(frames)
    assert heard.rows["trades"].column("price").to_pylist()[-1] == 5.5


@pytest.mark.parametrize(
    "frame", [b'[1,{},{"a":[]},"book-1000"]', b'[1,{"c":"-1"},"book-1000","A/B"]']
)
def test_a_book_without_its_channel_or_with_no_checksum_is_set_aside_alone(frame: bytes) -> None:
    good = b'[1,{"a":[["1.5","2.25","1618678142.557535"]],"c":"7"},"book-1000","A/B"]'
    received = LegacyParser().receive([Frame(1, good), Frame(2, frame), Frame(3, good)])
    assert [bad.frame for bad in received.bad] == [frame]
    assert received.books is not None
    assert received.books.ts_event.tolist() == [1_618_678_142_557_535_000] * 2
