"""The fake venues: what is so, they send; what they are told to break, breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from venues.venue_kit import FakeVenue, VenueOpFailed, book, fake_venue, quote, trade

BTC = "BTC-USDT"


@pytest.fixture(scope="module")
def process() -> Iterator[FakeVenue]:
    with fake_venue("binance") as venue:
        yield venue


@pytest.fixture
def venue(process: FakeVenue) -> FakeVenue:
    process.op("reset")
    process.op("clock", ts=1_700_000_000_000_000_000)
    return process


@pytest.fixture
def client(venue: FakeVenue) -> Iterator[ClientConnection]:
    names = "/".join(f"btcusdt@{kind}" for kind in ("aggTrade", "bookTicker", "depth@100ms"))
    with connect(f"{venue.url}/stream?streams={names}", compression=None) as client:
        venue.op("wait_for", subscriptions=3)
        yield client


def ids(client: ClientConnection, count: int) -> list[int]:
    return [json.loads(client.recv(5))["data"]["a"] for _ in range(count)]


def get(venue: FakeVenue, path: str) -> dict | list:
    with urlopen(f"{venue.http_url}{path}", timeout=5) as answer:
        return json.load(answer)


def test_events_arrive_as_the_truth_has_them(venue, client) -> None:
    levels = ("bid", "99.5", "2"), ("ask", "100.5", "3"), ("bid", "99", "1")
    venue.send(book(BTC, *levels), quote(BTC), trade(BTC, "100.5", "0.25", side="sell"))
    change, best, sold = (json.loads(client.recv(5))["data"] for _ in range(3))
    assert (change["U"], change["u"]) == (1, 3)
    assert change["b"] == [["99.50000000", "2.00000000"], ["99.00000000", "1.00000000"]]
    assert (best["b"], best["A"]) == ("99.50000000", "3.00000000")
    assert (sold["a"], sold["p"], sold["q"], sold["m"]) == (1, "100.50000000", "0.25000000", True)
    truth = venue.op("truth")
    assert truth["books"][BTC]["bids"] == [["99.5", "2"], ["99", "1"]]
    assert {(s["channel"], *s["marks"]) for s in truth["sent"] if s["channel"] != "quotes"} == {
        ("book", 3),
        ("trades", 1),
    }


@pytest.mark.parametrize(
    ("fault", "arrived"),
    [
        ({"op": "skip", "n": 2}, [3, 4, 5]),
        ({"op": "duplicate"}, [1, 1, 2, 3, 4, 5]),
        ({"op": "reorder"}, [2, 1, 3, 4, 5]),
        ({"op": "skip", "channel": "book"}, [1, 2, 3, 4, 5]),
        ({"op": "skip", "link": 99}, [1, 2, 3, 4, 5]),
    ],
)
def test_faults_strike_the_next_messages(venue, client, fault, arrived) -> None:
    venue.op(**fault)
    venue.send(*(trade(BTC, 100 + n) for n in range(5)))
    assert ids(client, len(arrived)) == arrived


@pytest.mark.parametrize(("keep", "arrived"), [(True, [1, 2]), (False, [2])])
def test_a_stall_keeps_the_socket_and_only_if_told_the_frames(venue, client, keep, arrived) -> None:
    venue.op("stall", keep=keep)
    venue.send(trade(BTC, 100))
    venue.op("ping")
    with pytest.raises(TimeoutError):
        client.recv(0)
    venue.op("resume")
    venue.send(trade(BTC, 101))
    assert ids(client, len(arrived)) == arrived


def test_a_cut_ends_the_connection_and_the_next_is_refused_as_told(venue, client) -> None:
    venue.op("refuse", what="connect", status=503)
    venue.op("cut")
    with pytest.raises(ConnectionClosed):
        client.recv(5)
    with pytest.raises(InvalidStatus, match="503"):
        connect(f"{venue.url}/stream")
    with connect(f"{venue.url}/stream") as again:
        venue.op("wait_for", connections=1, exactly=True)
        again.send('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":7}')
        assert json.loads(again.recv(5)) == {"result": None, "id": 7}
        venue.op("wait_for", subscriptions=1, symbol=BTC, channel="trades")
        venue.op("refuse", what="subscribe", symbol="ETH-USDT", reason="no")
        again.send('{"method":"SUBSCRIBE","params":["ethusdt@aggTrade"],"id":8}')
        assert json.loads(again.recv(5))["error"]["msg"] == "no"
    assert [link["open"] for link in venue.op("seen")["links"]][:2] == [False, False]


def test_expiry_is_announced_before_the_cut(venue, client) -> None:
    venue.op("expire", cut=True, code=1001)
    assert json.loads(client.recv(5))["data"]["e"] == "serverShutdown"
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(5)
    assert closed.value.rcvd.code == 1001


def test_too_many_messages_close_a_connection(venue, client) -> None:
    venue.op("rate_limit", what="message")
    client.send("{}")
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(5)
    assert closed.value.rcvd.code == 1008


def test_http_answers_from_the_same_truth(venue) -> None:
    venue.send(*(trade(BTC, 100 + n) for n in range(5)), book(BTC, ("bid", 99, 1)))
    path = "/api/v3/aggTrades?symbol=BTCUSDT&fromId=2&limit=3"
    assert [row["a"] for row in get(venue, path)] == [2, 3, 4]
    assert get(venue, "/api/v3/depth?symbol=BTCUSDT") == {
        "lastUpdateId": 1,
        "bids": [["99.00000000", "1.00000000"]],
        "asks": [],
    }


def test_http_fails_as_told(venue) -> None:
    venue.op("rate_limit", what="http", retry_after=7)
    with pytest.raises(HTTPError) as limited:
        get(venue, "/api/v3/exchangeInfo")
    with limited.value as answer:
        assert (answer.code, answer.headers["Retry-After"]) == (429, "7")
    venue.op("history_off")
    with pytest.raises(HTTPError) as off:
        get(venue, "/api/v3/aggTrades?symbol=BTCUSDT")
    off.value.close()
    assert off.value.code == 503
    venue.op("history_on")
    assert get(venue, "/api/v3/aggTrades?symbol=BTCUSDT") == []
    assert venue.op("seen")["requests"][0]["path"] == "/api/v3/exchangeInfo"


def test_a_random_market_never_crosses_and_repeats_by_seed(venue, client) -> None:
    shown = []
    for _ in range(2):
        venue.op("reset")
        venue.op("clock", ts=1_700_000_000_000_000_000)
        venue.op("market", seed=5, steps=200)
        shown.append(venue.op("truth"))
        for one in shown[-1]["books"].values():
            assert Decimal(one["bids"][0][0]) < Decimal(one["asks"][0][0])
    assert shown[0] == shown[1]
    assert len(shown[0]["trades"][BTC]) > 10


def test_what_does_not_come_is_said(venue) -> None:
    with pytest.raises(VenueOpFailed, match="connections: 0, waited for 1"):
        venue.op("wait_for", connections=1, s_max=0.01)
    with pytest.raises(VenueOpFailed, match="no such op"):
        venue.op("dance")
