"""Past trades of both of Coinbase's APIs and Deribit's: any span, with pages of any length.

The dialects of the fake venues answer in memory.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import VenueFault
from tickplant.feeds.venues.options import VenueOptions
from venues.dialect import Request
from venues.venue_truth import Truth

NAMES = ("coinbase", "coinbase-exchange", "deribit")
START = 1_775_572_800_000_000_000
MS, SECOND = 1_000_000, 1_000_000_000
PAGE = 7


class Http:
    """A dialect's answers, in pages of at most `PAGE` trades."""

    def __init__(self, name: str, ages_ms: list[int]) -> None:
        self.module = import_module(f"venues.dialect_{name.replace('-', '_')}")
        self.truth = Truth(self.module.INSTRUMENTS)
        self.symbol = self.module.INSTRUMENTS[0].symbol
        self.requests = 0
        for ms in sorted(ages_ms):
            spoken = {"kind": "trade", "symbol": self.symbol, "price": 100 + ms, "size": 1}
            self.truth.apply(spoken | {"ts": START + ms * MS, "side": ("buy", "sell")[ms % 2]})

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1
    ) -> bytes:
        self.requests += 1
        assert self.requests < 1_000
        dialect = self.module.make(self.truth, None, {})
        answer = dialect.http(Request(path, dict(params or {})))
        assert answer.status == 200, answer
        return json.dumps(answer.body).encode()

    def expected(self, start: int, end: int) -> list[list[Any]]:
        sides = {"buy": 1, "sell": 2}
        return [
            [str(one.id), one.ts, float(one.price), float(one.size), sides[one.side]]
            for one in self.truth.trades[self.symbol]
            if start <= one.ts < end
        ]


@pytest.fixture(autouse=True, scope="module")
def _short_pages() -> Any:
    patch = pytest.MonkeyPatch()
    for name in NAMES:
        module = name.replace("-", "_")
        patch.setattr(import_module(f"tickplant.feeds.venues.{module}.history"), "PAGE", PAGE)
        patch.setattr(import_module(f"venues.dialect_{module}"), "PAGE", PAGE)
    yield
    patch.undo()


def fetched(name: str, http: Http, start: int, end: int) -> list[list[Any]]:
    history = make_venue(name, VenueOptions()).history
    assert history is not None

    async def fetch() -> list[list[Any]]:
        found: list[list[Any]] = []
        async for rows in history.trades(http, http.symbol, start, end):
            assert rows.num_rows
            columns = [rows.column(n) for n in ("id", "ts_event", "price", "size", "side")]
            found += [list(row) for row in zip(*(c.to_pylist() for c in columns), strict=True)]
        return found

    return asyncio.run(fetch())


def too_dense(name: str, ages_ms: list[int]) -> bool:
    """Whether more trades share what the venue counts time in than a page holds."""
    unit = {"coinbase": 1_000, "deribit": 1, "coinbase-exchange": 0}[name]
    return bool(unit) and max(Counter(ms // unit for ms in ages_ms).values(), default=0) >= PAGE - 1


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=30, deadline=None)
@given(
    ages_ms=st.lists(st.integers(0, 40_000), max_size=60),
    start=st.integers(-1_000, 41_000),
    length=st.integers(0, 42_000),
    offset=st.sampled_from([0, 1, 999_999]),
)
def test_any_span_is_given_back_whole(
    name: str, ages_ms: list[int], start: int, length: int, offset: int
) -> None:
    http = Http(name, ages_ms)
    first, last = START + start * MS + offset, START + (start + length) * MS + offset
    try:
        found = fetched(name, http, first, last)
    except VenueFault:
        assert too_dense(name, ages_ms)
    else:
        assert found == http.expected(first, last)


@pytest.mark.parametrize("name", ["coinbase", "deribit"])
def test_more_trades_at_once_than_a_page_holds_are_a_fault_and_not_a_part(name: str) -> None:
    http = Http(name, [500] * (PAGE + 1))
    with pytest.raises(VenueFault, match="more than 7 trades in a"):
        fetched(name, http, START, START + SECOND)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_cannot_be_read_is_a_fault(name: str) -> None:
    class Wrong(Http):
        async def get(self, *args: Any, **kwargs: Any) -> bytes:
            return b'{"trades":[{"trade_id":"1"}],"result":[]}'

    with pytest.raises(VenueFault, match="cannot be read"):
        fetched(name, Wrong(name, []), START, START + SECOND)


@pytest.mark.parametrize("name", NAMES)
def test_listings_and_books_of_rest_are_those_of_the_venue(name: str) -> None:
    http, venue = Http(name, []), make_venue(name, VenueOptions())
    levels = [["bid", "99.5", "2"], ["bid", "99", "1"], ["ask", "101", "3"]]
    http.truth.apply({"kind": "book", "symbol": http.symbol, "ts": START, "levels": levels})
    listings = asyncio.run(venue.listings(http))
    assert [one.symbol for one in listings] == [one.symbol for one in http.module.INSTRUMENTS]
    venue.learn(listings)
    for listing, one in zip(listings, http.module.INSTRUMENTS, strict=True):
        assert (venue.native(one.symbol), listing.status) == (one.native, "active")
        assert (listing.tick_size, listing.lot_size) == (float(one.tick), float(one.lot))
    updates = asyncio.run(venue.book_snapshot(http, http.symbol))
    columns = (updates.side.tolist(), updates.price.tolist(), updates.size.tolist())
    told = list(zip(*columns, strict=True))
    assert told == [(1, 99.5, 2.0), (1, 99.0, 1.0), (2, 101.0, 3.0)]
    assert updates.symbols == (http.symbol,)
    assert updates.snapshot.tolist() == [True]
