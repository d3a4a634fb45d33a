"""Binance spot and futures under supervision, on a plant, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from tickplant.feeds.venues.catalogue import make_venue
from tickplant.feeds.venues.contract import Stream, VenueFault
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.events import INCOMING
from venues.venue_kit import FakeVenue, fake_venue, stat, trade
from venues.venue_plant import VenueScene, venue_plant

DEPTH = 20
SYMBOLS = ["BTC-USDT", "SOL-USDT"]
NOW = 1_790_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


@pytest.fixture(scope="module")
def process() -> Iterator[FakeVenue]:
    with fake_venue("binance") as venue:
        yield venue


FUTURES = pytest.mark.parametrize("market", ["binance-futures"], indirect=True)


@pytest.fixture(params=["binance", "binance-futures"])
def market(request: pytest.FixtureRequest, process: FakeVenue) -> str:
    process.op("reset", options={"market": request.param.removeprefix("binance-")})
    return request.param


@pytest.fixture
def scene(market: str, process: FakeVenue, tmp_path: Path) -> Iterator[VenueScene]:
    process.op("market", seed=5, steps=60)
    venue = make_venue(market, VenueOptions(process.url, process.http_url))
    streams = [Stream(one, channel) for one in SYMBOLS for channel in venue.channels]
    with venue_plant(tmp_path, process, venue, streams) as scene:
        process.op("wait_for", subscriptions=len(streams))
        yield scene


def missing(scene: VenueScene) -> set[str]:
    """Trades since the feed began that are not there, or not as they were made."""
    found = set()
    for symbol in SYMBOLS:
        rows = scene.trades(symbol)
        stored = {row["id"]: [row["price"], row["size"]] for row in rows}
        true = {number: values for number, *values in scene.true_trades(symbol)}
        since = min(map(int, stored), default=0)
        found |= {f"{symbol} {n}" for n in true if int(n) >= since and stored.get(n) != true[n]}
        found |= {f"{symbol} not {n}" for n in stored.keys() - true.keys()}
        assert len(stored) == len(rows)
    return found


def is_right(scene: VenueScene) -> bool:
    books = all(scene.has_book(one, DEPTH) for one in SYMBOLS)
    return books and not missing(scene) and all(gap["status"] == "repaired" for gap in scene.gaps())


def begin(scene: VenueScene) -> None:
    scene.fake.send(*(trade(one, 100) for one in SYMBOLS))
    scene.fake.op("market", steps=60)
    scene.until(lambda: all(scene.trades(one) for one in SYMBOLS) and is_right(scene))


def test_a_cut_is_repaired_and_books_are_made_anew(scene: VenueScene, market: str) -> None:
    begin(scene)
    venue = scene.fake
    lines = venue.op("seen")["links"]
    assert {link["path"] for link in lines} == (
        {"/stream"} if market == "binance" else {"/public/stream", "/market/stream"}
    )
    venue.op("refuse", what="connect")
    venue.op("rate_limit", what="http", path="aggTrades")
    venue.op("cut")
    venue.send(*(trade(SYMBOLS[0], 100, n + 1) for n in range(1_100)))  # more than one page
    venue.op("market", steps=50)
    venue.op("wait_for", subscriptions=len(SYMBOLS) * (3 if market == "binance" else 4))
    begin(scene)
    assert {gap["cause"] for gap in scene.gaps()} == {"disconnect"}
    flags = {row["flags"] for row in scene.trades(SYMBOLS[0])}
    assert len(flags) == 2  # live, and backfilled


def test_what_was_skipped_is_brought_in_and_its_book_made_anew(scene: VenueScene) -> None:
    begin(scene)
    venue = scene.fake
    asked = sum("depth" in one["path"] for one in venue.op("seen")["requests"])
    venue.op("skip", n=2, symbol=SYMBOLS[0], channel="trades")
    venue.op("skip", n=1, symbol=SYMBOLS[0], channel="book")
    venue.send(*(trade(SYMBOLS[0], 100 + n) for n in range(4)))
    venue.op("market", steps=40)
    scene.until(lambda: scene.gaps() and is_right(scene))
    assert {gap["cause"] for gap in scene.gaps()} == {"sequence"}
    assert sum("depth" in one["path"] for one in venue.op("seen")["requests"]) > asked


@FUTURES
def test_doubles_and_late_ones_do_no_harm(scene: VenueScene) -> None:
    begin(scene)
    venue = scene.fake
    for fault in ("duplicate", "reorder"):
        for channel in ("trades", "quotes"):
            venue.op(fault, n=3, channel=channel)
        venue.op("market", steps=60)
        venue.op("raw", frame="{not of this world")
        venue.send(*(trade(one, 101) for one in SYMBOLS for _ in range(8)))
    scene.until(lambda: is_right(scene))


@FUTURES
def test_an_expiring_connection_is_replaced_without_a_gap(scene: VenueScene) -> None:
    begin(scene)
    venue = scene.fake
    before = len(venue.op("seen")["links"])
    venue.op("expire")
    venue.op("wait_for", connects=2 * before)
    venue.op("wait_for", connections=before, exactly=True)
    begin(scene)
    assert scene.gaps() == []


@FUTURES
def test_the_mark_price_is_stored(scene: VenueScene) -> None:
    begin(scene)
    venue = scene.fake
    venue.send(stat(SYMBOLS[0], "mark_price", "50000.5"), stat(SYMBOLS[0], "funding_rate", "1e-4"))
    number = scene.plant.registry.find(SYMBOLS[0], scene.feed.venue).number

    def told() -> set[tuple[str, float]]:
        rows = scene.plant.store.scan("stats", number).to_pylist()
        return {(row["name"], row["value"]) for row in rows}

    scene.until(lambda: told() == {("mark_price", 50000.5), ("funding_rate", 0.0001)})


# -- history by itself ----------------------------------------------------------------------------


class Http:
    """An `Http` without limits."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1
    ) -> bytes:
        answer = await self.client.get(path, params=dict(params or {}))
        if answer.status_code != 200:
            raise VenueFault(answer.text)
        return answer.content


async def test_past_trades_are_those_of_the_span_in_pages(market, process) -> None:
    """A trade a second from `NOW` on, but for a rest of some hours after 1,150."""
    at = [NOW + n * 10**9 + (n > 1_150) * 5 * HOUR_NS for n in range(1_200)]
    process.send(*(trade("BTC-USDT", 100, n + 1, ts=ts) for n, ts in enumerate(at)))
    venue = make_venue(market, VenueOptions(process.url, process.http_url))
    rest = at[1_150] + 10**9
    spans = [
        (at[0], at[-1] + 1),
        (at[5], at[5] + 1),
        (at[3], at[3]),
        (at[999], at[1_001]),
        (at[999] - 1, at[1_000] + 1),
        (rest, rest + HOUR_NS),
        (rest, at[1_160]),
        (at[-1] + 1, at[-1] + HOUR_NS),
    ]
    async with httpx.AsyncClient(base_url=process.http_url) as client:
        for start, end in spans:
            past = venue.history.trades(Http(client), "BTC-USDT", start, end)
            pages = [one async for one in past]
            rows = pa.Table.from_batches(pages, INCOMING["trades"]).to_pylist()
            wanted = [(n + 1, ts) for n, ts in enumerate(at) if start <= ts < end]
            assert [(int(row["id"]), row["ts_event"]) for row in rows] == wanted
            assert [row["size"] for row in rows] == [number for number, _ in wanted]


async def test_past_trades_of_an_unknown_symbol_are_a_fault(market, process) -> None:
    venue = make_venue(market, VenueOptions(process.url, process.http_url))
    async with httpx.AsyncClient(base_url=process.http_url) as client:
        with pytest.raises(VenueFault, match="Invalid symbol"):
            [one async for one in venue.history.trades(Http(client), "NO-SUCH", NOW, NOW + 1)]


async def test_listings_of_the_venue(market, process) -> None:
    venue = make_venue(market, VenueOptions(process.url, process.http_url))
    async with httpx.AsyncClient(base_url=process.http_url) as client:
        listed = await venue.listings(Http(client))
    assert [(one.symbol, one.native) for one in listed][:1] == [("BTC-USDT", "BTCUSDT")]
    assert (listed[0].tick_size, listed[0].lot_size) == (0.01, 0.00001)
    assert listed[0].kind == ("spot" if market == "binance" else "perpetual")
    venue.learn(listed)
    assert venue.native("SOL-USDT") == "SOLUSDT"
    reach = venue.history.trades_since(NOW)
    assert reach == (None if market == "binance" else NOW - 24 * HOUR_NS)
