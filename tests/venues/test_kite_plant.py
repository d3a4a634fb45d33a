"""Kite under supervision, on a plant: packets over sockets, accounts, connections, what is lost."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tickplant.feeds.venues.contract import CHANNELS, Stream
from tickplant.feeds.venues.kite.client import make
from tickplant.feeds.venues.options import Account, VenueOptions
from venues import kite_packets as kp
from venues.venue_kit import FakeVenue, fake_venue, stat, trade
from venues.venue_plant import VenueScene, venue_plant

INFY, TCS, FUTURE, INDEX = "NSE:INFY", "NSE:TCS", "NFO:INFY26NOVFUT", "NSE:NIFTY_50"
STREAMS = [Stream(symbol, channel) for symbol in (INFY, TCS, FUTURE) for channel in CHANNELS]
STREAMS += [Stream(INDEX, "trades"), Stream(INDEX, "stats")]
TWO = {"key1": "token1", "key2": "token2"}


@pytest.fixture(scope="module")
def process() -> Iterator[FakeVenue]:
    with fake_venue("kite") as venue:
        yield venue


def options(fake: FakeVenue, accounts: dict[str, str], **extra: Any) -> VenueOptions:
    known = tuple(Account(key=key, token=token) for key, token in accounts.items())
    return VenueOptions(fake.url, fake.http_url, known, extra)


@pytest.fixture
def scene(process: FakeVenue, tmp_path: Path) -> Iterator[VenueScene]:
    process.op("reset")
    with venue_plant(
        tmp_path, process, make(options(process, {"key1": "token1"})), STREAMS
    ) as scene:
        scene.until(lambda: scene.feed.shown(0)["streams"]["refused"] == 0 and is_live(scene))
        yield scene


def is_live(scene: VenueScene) -> bool:
    return all(one.state == "live" for one in scene.feed.board.streams.values())


def rows(scene: VenueScene, table: str, name: str) -> list[dict[str, Any]]:
    venue, _, symbol = name.partition(":")
    found = scene.plant.registry.find(symbol, venue)
    return [] if found is None else getattr(scene.plant.history, table)(found).to_pylist()


def traded(scene: VenueScene, name: str) -> list[tuple[float, float]]:
    return [(row["price"], row["size"]) for row in rows(scene, "trades", name)]


def true_trades(scene: VenueScene, name: str) -> list[tuple[float, float]]:
    return [(price, size) for _, price, size in scene.true_trades(name)]


def told(scene: VenueScene, name: str, what: str) -> list[float]:
    return [row["value"] for row in rows(scene, "stats", name) if row["name"] == what]


def has_book(scene: VenueScene, name: str) -> bool:
    venue, _, symbol = name.partition(":")
    found = scene.plant.registry.find(symbol, venue)
    view = None if found is None else scene.plant.books.view(found.number)
    true = scene.fake.op("truth")["books"][name]
    return view is not None and all(
        [[level.price, level.size] for level in getattr(view, side)]
        == [[float(p), float(q)] for p, q in true[side][:5]]
        for side in ("bids", "asks")
    )


def test_what_the_venue_tells_is_stored_under_its_exchange(scene: VenueScene) -> None:
    venue, traders = scene.fake, (INFY, TCS, FUTURE)
    venue.op("market", seed=3, steps=90, symbols=list(traders))
    venue.send(stat(FUTURE, "open_interest", 4_000), stat(FUTURE, "open_interest", 4_400))
    venue.send(*(trade(INDEX, price) for price in (26_000.05, 26_000.05, 26_010)))
    scene.until(lambda: len(rows(scene, "trades", INDEX)) == 2)
    scene.until(lambda: all(traded(scene, one) == true_trades(scene, one) for one in traders))
    scene.until(lambda: all(has_book(scene, one) for one in traders))
    assert all(len(true_trades(scene, one)) > 3 for one in traders)
    volume = sum(size for _, size in true_trades(scene, INFY))
    scene.until(lambda: told(scene, INFY, "volume")[-1] == volume)
    scene.until(lambda: told(scene, FUTURE, "open_interest") == [0, 4_000, 4_400])
    assert told(scene, INFY, "open_interest") == []
    assert [row["price"] for row in rows(scene, "trades", INDEX)] == [26_000.05, 26_010.0]
    bid, ask = (scene.fake.op("truth")["books"][TCS][side][0] for side in ("bids", "asks"))
    last = rows(scene, "quotes", TCS)[-1]
    assert [last["bid_price"], last["ask_price"]] == [float(bid[0]), float(ask[0])]
    future = scene.plant.registry.resolve(FUTURE)
    assert (future.kind, future.expiry) == ("future", "2026-11-26T10:00:00Z")


def test_what_is_missed_is_unrepairable_and_the_last_trade_is_not_doubled(
    scene: VenueScene,
) -> None:
    venue = scene.fake
    venue.send(trade(INFY, 1_500, 3), trade(INFY, 1_501, 4))
    scene.until(lambda: traded(scene, INFY) == [(1_500.0, 3.0), (1_501.0, 4.0)])
    venue.op("cut")
    venue.op("wait_for", connects=2)
    scene.until(lambda: is_live(scene))
    venue.send(trade(INFY, 1_502, 5))
    scene.until(lambda: len(traded(scene, INFY)) == 3)
    assert traded(scene, INFY) == [(1_500.0, 3.0), (1_501.0, 4.0), (1_502.0, 5.0)]
    scene.until(lambda: {gap["status"] for gap in scene.gaps()} == {"unrepairable"})
    assert {gap["cause"] for gap in scene.gaps()} == {"disconnect"}
    assert all("history" in gap["detail"] for gap in scene.gaps())


def test_a_frame_that_cannot_be_read_is_kept_as_base64(scene: VenueScene) -> None:
    bad = kp.frame([kp.quote(408_065, volume=1)])[:-5]
    scene.fake.op("raw", base64=base64.b64encode(bad).decode())
    scene.until(lambda: scene.plant.history.quarantine().num_rows)
    (row,) = scene.plant.history.quarantine().to_pylist()
    assert base64.b64decode(json.loads(row["row"])["frame_base64"]) == bad
    assert (row["table"], row["reason"]) == ("trades", "frame_unreadable")


# -- accounts ----------------------------------------------------------------------------------


def many(count: int) -> list[dict[str, Any]]:
    return [
        {"symbol": f"NSE:S{n}", "native": str(256 * n + 1), "base": f"S{n}", "quote": "INR",
         "tick": "0.05", "lot": "1", "kind": "EQ"}
        for n in range(1, count + 1)
    ]  # fmt: skip


def streams(told: Sequence[dict[str, Any]]) -> list[Stream]:
    return [Stream(one["symbol"], channel) for one in told for channel in ("trades", "quotes")]


def carried(fake: FakeVenue) -> list[tuple[str, set[str]]]:
    """The key and the symbols of each open connection."""
    return [
        (link["query"]["api_key"], {symbol for symbol, _ in link["streams"]})
        for link in fake.op("seen")["links"]
        if link["open"]
    ]


def test_instruments_spread_over_connections_and_accounts(
    process: FakeVenue, tmp_path: Path
) -> None:
    all_of = many(45)
    process.op("reset", instruments=all_of, options={"accounts": TWO})
    venue = make(options(process, TWO, instruments_max=7, connections_max=3))
    with venue_plant(tmp_path, process, venue, streams(all_of)) as scene:
        scene.until(lambda: scene.feed.board.counts(0)["live"] == 2 * 42)
        links = carried(process)
        assert sorted(key for key, _ in links) == ["key1"] * 3 + ["key2"] * 3
        assert [len(symbols) for _, symbols in links] == [7] * 6
        assert len(set().union(*(symbols for _, symbols in links))) == 42
        left = [one for one in scene.feed.board.streams.values() if one.state == "refused"]
        assert len(left) == 2 * 3
        assert {one.reason for one in left} == {"the venue allows 6 connections of 7"}
        process.send(*(trade(one["symbol"], 100, 2) for one in all_of))
        scene.until(lambda: sum(bool(traded(scene, one["symbol"])) for one in all_of) == 42)


def test_an_account_that_is_refused_is_reported_and_left(
    process: FakeVenue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    all_of = many(9)
    process.op("reset", instruments=all_of, options={"accounts": TWO, "lasts": {"key2": 1}})
    venue = make(options(process, TWO, instruments_max=3, connections_max=3))
    with venue_plant(tmp_path, process, venue, streams(all_of)) as scene:
        scene.until(lambda: is_live(scene))
        links = process.op("seen")["links"]
        assert sorted(link["query"]["api_key"] for link in links) == ["key1", "key1", "key2"]
        (second,) = (link["link"] for link in links if link["query"]["api_key"] == "key2")
        process.op("cut", link=second)
        process.op("wait_for", connects=5)  # the refused attempt, and the one that moved
        scene.until(lambda: is_live(scene))
        assert [key for key, _ in carried(process)] == ["key1"] * 3
        assert set().union(*(symbols for _, symbols in carried(process))) == {
            one["symbol"] for one in all_of
        }
        shown = json.dumps([scene.feed.shown(0), scene.feed.shown_streams(0)])
    assert "(account 2) refused the connection with HTTP status 403" in caplog.text
    for secret in ("key1", "key2", "token1", "token2"):
        assert secret not in caplog.text + shown
