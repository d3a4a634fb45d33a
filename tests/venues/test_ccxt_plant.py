"""A real exchange class of ccxt under supervision, on a plant, against the fake venue's sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickplant.feeds.venues.ccxt_pro.client import CcxtVenue, make
from tickplant.feeds.venues.ccxt_pro.library import Library
from tickplant.feeds.venues.contract import Stream
from tickplant.feeds.venues.options import VenueOptions
from venues.venue_kit import FakeVenue, fake_venue, trade
from venues.venue_plant import VenueScene, venue_plant

BTC, ETH = "BTC-USD", "ETH-USD"
STREAMS = [Stream(s, c) for s in (BTC, ETH) for c in ("trades", "quotes", "book")]
DEPTH = 10


@pytest.fixture(scope="module")
def process() -> Iterator[FakeVenue]:
    with fake_venue("kraken") as venue:
        yield venue


@pytest.fixture
def venue(process: FakeVenue, monkeypatch: pytest.MonkeyPatch) -> CcxtVenue:
    """The library's Kraken, which asks as often as it likes."""
    made = Library.make

    def unthrottled(self: Library) -> object:
        exchange = made(self)
        exchange.enableRateLimit = False
        return exchange

    monkeypatch.setattr(Library, "make", unthrottled)
    process.op("reset")
    # A past that the library's history can begin in: it believes nothing that begins in a hole.
    process.op("clock", ts=time.time_ns() - 60_000_000_000)
    process.op("market", seed=5, steps=60)
    process.op("clock")
    extra = {"exchange": "kraken", "depth": DEPTH}
    return make(VenueOptions(process.url, process.http_url, extra=extra))


@pytest.fixture
def scene(process: FakeVenue, venue: CcxtVenue, tmp_path: Path) -> Iterator[VenueScene]:
    with venue_plant(tmp_path, process, venue, STREAMS) as scene:
        process.op("wait_for", subscriptions=6)
        yield scene


def test_what_the_library_says_is_stored_and_repaired_after_a_cut(scene: VenueScene) -> None:
    fake = scene.fake
    known = len(fake.op("truth")["trades"][BTC])
    fake.op("market", steps=100)
    scene.until(lambda: has_since(scene, known) and scene.has_book(BTC, DEPTH))
    scene.until(lambda: scene.has_book(ETH, DEPTH))
    fake.op("refuse", what="connect", times=1)
    fake.op("cut")
    fake.send(*(trade(BTC, 100, n + 1) for n in range(70)))
    fake.op("wait_for", subscriptions=6)
    fake.op("market", steps=50)
    scene.until(
        lambda: has_since(scene, known) and {g["status"] for g in scene.gaps()} == {"repaired"}
    )
    scene.until(lambda: scene.has_book(BTC, DEPTH) and scene.has_book(ETH, DEPTH))


def has_since(scene: VenueScene, known: int) -> bool:
    """Whether every trade after the first so many is stored once, with its values."""
    stored = [[row["id"], row["price"], row["size"]] for row in scene.trades(BTC)]
    wanted = scene.true_trades(BTC)[known:]
    return len({one[0] for one in stored}) == len(stored) and all(one in stored for one in wanted)
