"""Books of Binance, spot and futures, as recorded: rebuilt, and compared after every event.

The oracle reads the files itself, in plain Python, and keeps dictionaries by the recipe of the
venue's documentation. What the desk keeps, and what a reader of its rows has, must equal them.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from book_kit import ASK, BID, Books, PlainBook, apply_plain, plain_of_rows
from realdata import real
from tickplant.feeds.book_desk import BookDesk
from tickplant.feeds.venues.binance import client as spot
from tickplant.feeds.venues.binance_futures import client as futures
from tickplant.feeds.venues.contract import Frame, Stream
from tickplant.feeds.venues.options import VenueOptions

_ASKED = re.compile(r"https://\S+/depth\?symbol=(\w+)&limit=\d+ -> ([0-9.]+): (.*)")


class Event(NamedTuple):
    at: Decimal
    text: str
    said: dict[str, Any]
    snapshot_of: str | None


def recorded(name: str) -> list[Event]:
    """What came about books, messages and snapshots, in the order of its coming."""
    events = []
    with gzip.open(real(f"frames/{name}.ws.1.0.gz"), "rt") as lines:
        for line in lines:
            at, _, text = line.rstrip("\n").partition(": ")
            if at[:1].isdigit() and "depthUpdate" in text:
                events.append(Event(Decimal(at), text, json.loads(text)["data"], None))
    with gzip.open(real(f"frames/{name}.http.0.0.gz"), "rt") as lines:
        for line in lines:
            if asked := _ASKED.match(line):
                symbol, at, text = asked.groups()
                events.append(Event(Decimal(at), text, json.loads(text), symbol))
    return sorted(events, key=lambda event: event.at)


class Recipe:
    """One book by the recipe that the venue documents, message by message."""

    def __init__(self, futures: bool) -> None:
        self.futures = futures
        self.book: PlainBook | None = None
        self.last = 0
        self.first = True
        self.waiting: list[dict[str, Any]] = []

    def snapshot(self, said: Mapping[str, Any]) -> None:
        self.book, self.last = {BID: {}, ASK: {}}, said["lastUpdateId"]
        self._set(said["bids"], said["asks"])
        for one in self.waiting:
            self.update(one)

    def update(self, said: dict[str, Any]) -> None:
        if self.book is None:
            self.waiting.append(said)
        elif said["u"] > self.last:
            follows = (said["pu"] if self.futures else said["U"] - 1) == self.last
            spans = said["U"] <= self.last + (not self.futures) <= said["u"]
            assert follows or (self.first and spans)
            self.first, self.last = False, said["u"]
            self._set(said["b"], said["a"])

    def _set(self, bids: list[Any], asks: list[Any]) -> None:
        assert self.book is not None
        for side, levels in ((BID, bids), (ASK, asks)):
            apply_plain(self.book, [(side, float(p), float(z)) for p, z in levels])


class Answers:
    """Answers a request with what was recorded."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def get(self, path: str, params: Any = None, *, weight: int = 1) -> bytes:
        return self.text.encode()


@pytest.mark.parametrize("name", ["BINANCE", "BINANCE_FUTURES"])
def test_a_recorded_book_equals_its_oracle_after_every_event(name: str) -> None:
    events = recorded(name)
    venue = (futures if name.endswith("FUTURES") else spot).make(VenueOptions())
    natives = sorted({event.snapshot_of for event in events if event.snapshot_of})
    streams = [Stream(native, "book") for native in natives]
    session = venue.session(streams)
    session.subscribe(streams)
    desk = BookDesk.of_venue(venue)
    wanted = set(desk.begin(natives, 0).wanted)
    assert wanted == set(natives)
    oracle = {native: Recipe(name.endswith("FUTURES")) for native in natives}
    read: Books = {}
    compared = 0
    for event in events:
        now = int(event.at * 10**9)
        native = event.snapshot_of or event.said["s"]
        if event.snapshot_of:
            oracle[native].snapshot(event.said)
            updates = asyncio.run(venue.book_snapshot(Answers(event.text), native))
        else:
            oracle[native].update(event.said)
            updates = session.receive([Frame(now, event.text.encode())]).books
        assert updates is not None
        found = desk.take(updates, now)
        assert not found.broken
        plain_of_rows(found.rows.to_pylist(), read)
        expected, book = oracle[native].book, desk.book(native)
        if expected is None:
            assert book is None
            continue
        compared += 1
        assert book is not None
        assert read[native] == expected
        for side, kept in ((BID, book.bids), (ASK, book.asks)):
            assert {price: size for price, (size, _) in kept.best_by_price().items()} == expected[
                side
            ]
    assert compared > len(events) // 2
    assert all(desk.intact(native) for native in natives)
