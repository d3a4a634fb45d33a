"""Both of Coinbase's feeds and Deribit's under supervision, on a plant, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Stream
from tickplant.feeds.venues.options import VenueOptions
from venues.venue_kit import FakeVenue, fake_venue, trade
from venues.venue_plant import VenueScene, venue_plant

DEPTH = 20
PATHS = {"coinbase": "", "coinbase-exchange": "", "deribit": "/ws/api/v2"}


def module(name: str) -> str:
    return name.replace("-", "_")


@pytest.fixture(scope="module", params=PATHS)
def process(request: pytest.FixtureRequest) -> Iterator[tuple[str, FakeVenue]]:
    with fake_venue(module(request.param)) as venue:
        yield request.param, venue


@pytest.fixture
def symbols(process: tuple[str, FakeVenue]) -> list[str]:
    dialect = import_module(f"venues.dialect_{module(process[0])}")
    return [one.symbol for one in dialect.INSTRUMENTS[::2]]


@pytest.fixture
def scene(
    process: tuple[str, FakeVenue], symbols: list[str], tmp_path: Path
) -> Iterator[VenueScene]:
    name, fake = process
    fake.op("reset")
    fake.op("market", seed=5, steps=60)
    venue = make_venue(name, VenueOptions(fake.url + PATHS[name], fake.http_url))
    streams = [Stream(one, c) for one in symbols for c in ("trades", "quotes", "book")]
    with venue_plant(tmp_path, fake, venue, streams) as scene:
        # Deribit's channel of quotes carries statistics, too.
        fake.op("wait_for", subscriptions=8 if name == "deribit" else 6)
        yield scene


def all_there(scene: VenueScene, symbols: list[str]) -> bool:
    return all(scene.has_trades(one) and scene.has_book(one, DEPTH) for one in symbols)


def test_a_cut_is_repaired_and_books_are_made_anew(scene: VenueScene, symbols: list[str]) -> None:
    venue = scene.fake
    venue.op("market", steps=100)
    scene.until(lambda: all(scene.has_book(one, DEPTH) for one in symbols))
    venue.op("refuse", what="connect", times=1)
    venue.op("cut")
    venue.send(*(trade(symbols[0], 100, n + 1) for n in range(130)))  # more than a snapshot holds
    venue.op("market", steps=50)
    venue.op("wait_for", subscriptions=6)
    venue.op("market", steps=50)
    scene.until(
        lambda: (
            all(scene.has_book(one, DEPTH) for one in symbols)
            and missing(scene, symbols) == set()
            and {gap["status"] for gap in scene.gaps()} == {"repaired"}
        )
    )
    assert {gap["cause"] for gap in scene.gaps()} == {"disconnect"}


def missing(scene: VenueScene, symbols: list[str]) -> set[str]:
    """Trades since the feed began that are not there, or not as they were made."""
    found = set()
    for symbol in symbols:
        stored = {row["id"]: [row["price"], row["size"]] for row in scene.trades(symbol)}
        true = {number: values for number, *values in scene.true_trades(symbol)}
        since = min(map(int, stored), default=1)
        found |= {
            f"{symbol} {n}" for n, v in true.items() if int(n) >= since and stored.get(n) != v
        }
        found |= {f"{symbol} not {n}" for n in stored.keys() - true.keys()}
    return found


def test_what_was_skipped_is_brought_in_and_its_book_made_anew(
    scene: VenueScene, symbols: list[str], process: tuple[str, FakeVenue]
) -> None:
    venue, symbol = scene.fake, symbols[0]
    venue.send(trade(symbol, 100))
    scene.until(lambda: scene.trades(symbol) and scene.has_book(symbol, DEPTH))
    venue.op("skip", n=2, symbol=symbol, channel="trades")
    if process[0] != "coinbase-exchange":  # whose updates of books have no numbers
        venue.op("skip", n=1, symbol=symbol, channel="book")
    venue.send(*(trade(symbol, 100 + n) for n in range(4)))
    venue.op("market", steps=40)
    scene.until(
        lambda: (
            scene.gaps()
            and all(scene.has_book(one, DEPTH) for one in symbols)
            and missing(scene, symbols) == set()
            and {gap["status"] for gap in scene.gaps()} == {"repaired"}
        )
    )
    assert {gap["cause"] for gap in scene.gaps()} == {"sequence"}
    asked = [frame for frame in map(str, venue.op("seen")["frames"]) if "unsubscribe" in frame]
    assert any(symbol in frame for frame in asked)
