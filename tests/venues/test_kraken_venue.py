"""Kraken's session against the fake venue, over real sockets: books, checksums, past trades."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from websockets.sync.client import ClientConnection, connect

from tickplant.feeds.book_desk import BookDesk
from tickplant.feeds.venues.contract import Confirmed, Frame, Refused, Skipped, Stream, VenueFault
from tickplant.feeds.venues.kraken.client import make
from tickplant.feeds.venues.options import VenueOptions
from venues.venue_kit import FakeVenue, book, fake_venue, quote, trade

BTC, DOGE = "BTC-USD", "DOGE-USD"
START = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def process() -> Iterator[FakeVenue]:
    with fake_venue("kraken") as venue:
        yield venue


@pytest.fixture
def venue(process: FakeVenue) -> FakeVenue:
    process.op("reset")
    process.op("clock", ts=START)
    return process


class Http:
    """Requests to the fake venue, as a venue makes them."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.paths: list[str] = []

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1
    ) -> bytes:
        self.paths.append(path)
        url = f"{self.base}{path}?{urlencode(params or {})}"
        return await asyncio.to_thread(lambda: urlopen(url, timeout=5).read())


class Plain:
    """A client without a supervisor: one connection, one session, one desk."""

    def __init__(self, venue: FakeVenue, socket: ClientConnection, depth: int) -> None:
        options = VenueOptions(f"{venue.url}/v2", venue.http_url, extra={"depth": depth})
        self.venue = make(options)
        self.session = self.venue.session([])
        self.desk = BookDesk.of_venue(self.venue)
        self.socket = socket
        self.rows: dict[str, list[dict[str, Any]]] = {"trades": [], "quotes": []}
        self.said: list[Any] = []
        self.broken: list[Any] = []

    def ask(self, method: str, *streams: Stream) -> None:
        for frame in getattr(self.session, method)(streams):
            self.socket.send(frame.data)

    def hear(self, until: Callable[[], bool]) -> None:
        """Take what comes, and ask for books anew, until so."""
        while not until():
            data = self.socket.recv(10)
            text = data.encode() if isinstance(data, str) else data
            got = self.session.receive([Frame(time.time_ns(), text)])
            assert got.bad == []
            self.said += got.said
            for table, rows in got.rows.items():
                self.rows[table] += rows.to_pylist()
            if got.books is not None:
                self._take(got.books)

    def _take(self, books: Any) -> None:
        delivered = self.desk.take(books, time.time_ns())
        self.broken += delivered.broken
        streams = [Stream(symbol, "book") for symbol in delivered.wanted]
        if streams:
            self.ask("unsubscribe", *streams)
            self.ask("subscribe", *streams)


@pytest.fixture
def client(venue: FakeVenue, request: pytest.FixtureRequest) -> Iterator[Plain]:
    with connect(f"{venue.url}/v2", compression=None) as socket:
        yield Plain(venue, socket, getattr(request, "param", 10))


def levels(client: Plain, symbol: str) -> tuple[list[Any], list[Any]] | None:
    book = client.desk.book(symbol)
    if book is None:
        return None
    return tuple([[x.price, x.size] for x in side.top()] for side in (book.bids, book.asks))


def true_levels(venue: FakeVenue, symbol: str, depth: int) -> tuple[list[Any], list[Any]]:
    told = venue.op("truth")["books"][symbol]
    return tuple([[float(p), float(q)] for p, q in told[side][:depth]] for side in ("bids", "asks"))


def same_book(client: Plain, venue: FakeVenue, symbol: str, depth: int = 10) -> Callable[[], bool]:
    wanted = true_levels(venue, symbol, depth)
    return lambda: levels(client, symbol) == wanted


def test_what_is_sent_arrives_as_it_is(venue: FakeVenue, client: Plain) -> None:
    venue.send(trade(BTC, "100.5", "0.25"), book(BTC, ("bid", "99.5", "2"), ("ask", 101, "3")))
    streams = [Stream(BTC, "trades"), Stream(BTC, "quotes"), Stream(BTC, "book")]
    client.ask("subscribe", *streams)
    venue.op("wait_for", subscriptions=3)
    venue.send(trade(BTC, "101", "0.00000001", side="sell"), quote(BTC))
    client.hear(lambda: bool(client.rows["quotes"]))
    assert client.said == [Confirmed((stream,)) for stream in streams]
    assert [
        [int(row["id"]), row["ts_event"] // 1000, row["price"], row["size"], row["side"]]
        for row in client.rows["trades"]
    ] == [
        [number, ts // 1000, float(price), float(size), {"buy": 1, "sell": 2}[side]]
        for number, ts, price, size, side in venue.op("truth")["trades"][BTC]
    ]
    (row,) = client.rows["quotes"]
    prices = [row[f"{side}_{what}"] for side in ("bid", "ask") for what in ("price", "size")]
    assert prices == [99.5, 2.0, 101.0, 3.0]
    assert levels(client, BTC) == ([[99.5, 2.0]], [[101.0, 3.0]])


@pytest.mark.parametrize("client", [10, 25], indirect=True)
def test_books_are_those_of_the_venue_to_their_depth(
    venue: FakeVenue, client: Plain, request: pytest.FixtureRequest
) -> None:
    depth = request.node.callspec.params["client"]
    venue.op("market", seed=7, steps=150)
    client.ask("subscribe", Stream(BTC, "book"), Stream(DOGE, "book"))
    venue.op("wait_for", subscriptions=2)
    venue.op("market", steps=300)
    client.hear(same_book(client, venue, BTC, depth))
    client.hear(same_book(client, venue, DOGE, depth))
    counts = client.desk.counts
    assert client.broken == []
    assert counts.unchecked == 0
    assert counts.messages > 50


@pytest.mark.parametrize("fault", ["corrupt_checksum", "skip"])
def test_a_book_whose_checksum_fails_is_made_anew_and_only_that(
    venue: FakeVenue, client: Plain, fault: str
) -> None:
    venue.op("market", seed=3, steps=200)
    client.ask("subscribe", Stream(BTC, "book"), Stream(DOGE, "book"))
    venue.op("wait_for", subscriptions=2)
    client.hear(same_book(client, venue, DOGE))
    venue.op(fault, symbol=BTC, channel="book")
    (bid, _), (ask, _) = (side[0] for side in true_levels(venue, BTC, 1))
    venue.send(book(BTC, ("bid", bid, "5")), book(BTC, ("ask", ask, "6")))
    client.hear(lambda: bool(client.broken) and client.desk.intact(BTC))
    assert [(one.symbol, one.reason) for one in client.broken] == [(BTC, "checksum")]
    venue.op("market", steps=50)
    client.hear(same_book(client, venue, BTC))
    client.hear(same_book(client, venue, DOGE))


def test_skipped_trades_are_told_by_their_numbers(venue: FakeVenue, client: Plain) -> None:
    client.ask("subscribe", Stream(BTC, "trades"))
    venue.op("wait_for", subscriptions=1)
    venue.send(trade(BTC, 100))
    venue.op("skip", n=2)
    venue.send(*(trade(BTC, 101 + n) for n in range(3)))
    client.hear(lambda: len(client.rows["trades"]) == 2)
    (skipped,) = (one for one in client.said if isinstance(one, Skipped))
    assert (skipped.streams, skipped.first, skipped.last) == ((Stream(BTC, "trades"),), 2, 3)


def test_a_refusal_names_its_stream(venue: FakeVenue, client: Plain) -> None:
    venue.op("refuse", what="subscribe", symbol=BTC, channel="book", reason="EService:Busy")
    client.ask("subscribe", Stream(BTC, "book"), Stream("NO-SUCH", "trades"))
    client.hear(lambda: len(client.said) == 2)
    assert client.said == [
        Refused((Stream(BTC, "book"),), "EService:Busy", passing=True),
        Refused((Stream("NO-SUCH", "trades"),), "Currency pair not supported NO/SUCH"),
    ]


async def past(venue: FakeVenue, symbol: str, start: int, end: int) -> list[dict[str, Any]]:
    client = make(VenueOptions(http_url=venue.http_url))
    rows: list[dict[str, Any]] = []
    async for batch in client.history.trades(Http(venue.http_url), symbol, start, end):
        assert batch.num_rows
        rows += batch.to_pylist()
    return rows


@pytest.mark.parametrize(("start", "end"), [(0, 2_500), (1, 2_499), (1_003, 1_004), (2_600, 9_999)])
async def test_past_trades_come_once_and_whole(venue: FakeVenue, start: int, end: int) -> None:
    """Five trades share each time, so that pages end between trades of one time."""
    events = [trade(DOGE, "0.1234567", n + 1, ts=START + (n // 5) * 1_000) for n in range(2_500)]
    await venue.ask("send", events=events, together=True)
    first, last = START + start // 5 * 1_000, START + end // 5 * 1_000
    rows = await past(venue, DOGE, first, last)
    wanted = [n for n in range(2_500) if first <= START + (n // 5) * 1_000 < last]
    assert [(row["id"], row["size"]) for row in rows] == [(str(n + 1), n + 1.0) for n in wanted]
    assert all(row["ts_event"] == START + (int(row["id"]) - 1) // 5 * 1_000 for row in rows)


async def test_a_page_of_one_time_does_not_stop_the_past(venue: FakeVenue) -> None:
    events = [trade(BTC, 100, ts=START) for _ in range(1_000)]
    events += [trade(BTC, 100, ts=START + 2_000_000_000)]
    await venue.ask("send", events=events, together=True)
    rows = await past(venue, BTC, START, START + 3_000_000_000)
    assert [int(row["id"]) for row in rows] == list(range(1, 1_002))


async def test_listings_tell_names_ticks_and_decimals(venue: FakeVenue) -> None:
    client = make(VenueOptions())
    http = Http(venue.http_url)
    listings = await client.listings(http)
    client.learn(listings)
    shown = {one.symbol: (one.native, one.tick_size, one.lot_size) for one in listings}
    assert shown[BTC] == ("BTC/USD", 0.1, 1e-8)
    assert shown[DOGE] == ("DOGE/USD", 1e-7, 1e-8)
    assert {one.kind for one in listings} == {"spot"}
    (only,) = client.session([]).subscribe([Stream(BTC, "book")])  # decimals are known
    assert "instrument" not in only.data


@pytest.mark.parametrize(
    "body", ['{"error":["EGeneral:Too many requests"]}', "<html>", '{"result":5}', '{"result":{}}']
)
async def test_an_error_with_status_200_is_one(venue: FakeVenue, body: str) -> None:
    await venue.ask("http", path="Trades", body=body, times=1, status=200)
    if "{}" in body:
        assert await past(venue, BTC, 0, 1) == []
        return
    with pytest.raises(VenueFault, match="kraken answered"):
        await past(venue, BTC, 0, 1)
