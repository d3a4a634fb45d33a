"""Kraken under supervision, on a plant: what it sent is there, whatever broke."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tickplant.feeds.supervisor import habits, missed
from tickplant.feeds.venues.contract import Stream
from tickplant.feeds.venues.kraken.client import make
from tickplant.feeds.venues.options import VenueOptions
from venues.venue_kit import FakeVenue, book, fake_venue, trade
from venues.venue_plant import VenueScene, venue_plant

BTC, DOGE = "BTC-USD", "DOGE-USD"
STREAMS = [Stream(s, c) for s in (BTC, DOGE) for c in ("trades", "quotes", "book")]
DEPTH = 10


@pytest.fixture(scope="module")
def process() -> Iterator[FakeVenue]:
    with fake_venue("kraken") as venue:
        yield venue


@pytest.fixture
def scene(process: FakeVenue, tmp_path: Path) -> Iterator[VenueScene]:
    process.op("reset")
    process.op("market", seed=5, steps=60)
    options = VenueOptions(f"{process.url}/v2", process.http_url, extra={"depth": DEPTH})
    with venue_plant(tmp_path, process, make(options), STREAMS) as scene:
        process.op("wait_for", subscriptions=6)
        yield scene


def all_there(scene: VenueScene) -> bool:
    return all(scene.has_trades(one) and scene.has_book(one, DEPTH) for one in (BTC, DOGE))


def test_everything_arrives_and_is_repaired_after_a_cut(scene: VenueScene) -> None:
    venue = scene.fake
    venue.op("market", steps=100)
    scene.until(lambda: all_there(scene))
    venue.op("refuse", what="connect", times=1)
    venue.op("cut")
    venue.send(*(trade(BTC, 100, n + 1) for n in range(70)))  # more than a snapshot holds
    venue.op("wait_for", subscriptions=6)
    venue.op("market", steps=50)
    scene.until(lambda: all_there(scene) and {g["status"] for g in scene.gaps()} == {"repaired"})
    spans = [gap for gap in scene.gaps() if gap["end"] > gap["start"]]
    assert {gap["cause"] for gap in spans} == {"disconnect"}


def test_skipped_trades_are_brought_in_and_a_wrong_book_is_made_anew(scene: VenueScene) -> None:
    venue = scene.fake
    scene.until(lambda: all_there(scene))
    venue.send(trade(BTC, 100))
    venue.op("skip", n=2, symbol=BTC, channel="trades")
    venue.op("corrupt_checksum", symbol=DOGE, channel="book")
    bid = venue.op("truth")["books"][DOGE]["bids"][0][0]
    venue.send(*(trade(BTC, 100 + n) for n in range(3)), book(DOGE, ("bid", bid, "5")))
    scene.until(lambda: all_there(scene) and {g["status"] for g in scene.gaps()} == {"repaired"})
    assert [gap["cause"] for gap in scene.gaps()] == ["sequence"]


def test_subscriptions_that_the_venue_forgets_are_found_by_their_rhythm(
    scene: VenueScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(habits, "BEATS_MIN", 10)
    monkeypatch.setattr(habits, "REFRESH_BEATS", 2)
    monkeypatch.setattr(habits, "SILENT_MIN", 3)
    monkeypatch.setattr(habits, "ODDS_MAX", -5.0)
    monkeypatch.setattr(habits, "LONGER", 2)
    monkeypatch.setattr(missed, "LISTED_NS", 0)
    monkeypatch.setattr(missed, "MARGIN_NS", 50_000_000)
    venue, known = scene.fake, scene.feed.vigil.habits.known
    bid = venue.op("truth")["books"][BTC]["bids"][0][0]

    def go_on() -> bool:
        n = len(scene.trades(DOGE))
        venue.send(trade(BTC, 100), trade(DOGE, 100), book(BTC, ("bid", bid, str(n + 1))))
        return True

    scene.until(lambda: go_on() and known().sum() == len(STREAMS))
    for channel in ("trades", "book"):
        venue.op("forget", symbol=BTC, channel=channel)
    scene.until(lambda: go_on() and scene.gaps())
    scene.until(lambda: all_there(scene) and {g["status"] for g in scene.gaps()} == {"repaired"})
    [gap] = scene.gaps()
    assert gap["cause"] == "stall"
    assert gap["instrument"] == scene.plant.registry.find(BTC, "KRAKEN").number
    assert len(venue.op("seen")["links"]) == 1
