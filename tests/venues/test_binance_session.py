"""A session of Binance: what it asks for, what it makes of answers, what it misses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tickplant.feeds.venues.binance import client as spot
from tickplant.feeds.venues.binance_futures import client as futures
from tickplant.feeds.venues.contract import Confirmed, Frame, Leaving, Refused, Skipped, Stream
from tickplant.feeds.venues.options import Account, VenueOptions
from tickplant.model.errors import ConfigError

BTC = Stream("BTC-USDT", "trades")
BOOK = Stream("BTC-USDT", "book")


def frame(value: Any, ts: int = 7) -> Frame:
    return Frame(ts, json.dumps(value, separators=(",", ":")).encode())


def trade(number: int, ms: int, native: str = "BTCUSDT", **more: Any) -> Frame:
    data = {"e": "aggTrade", "s": native, "a": number, "p": "1.5", "q": "2", "T": ms, "m": False}
    return frame({"stream": f"{native.lower()}@aggTrade", "data": data | more})


def quote(native: str = "BTCUSDT", **more: Any) -> Frame:
    data = {"u": 1, "s": native, "b": "1.5", "B": "2", "a": "1.6", "A": "3"} | more
    return frame({"stream": f"{native.lower()}@bookTicker", "data": data}, ts=99)


def session(*streams: Stream):
    return spot.make(VenueOptions()).session(streams or [BTC])


def test_subscriptions_are_asked_for_and_confirmed_by_number() -> None:
    by = session()
    [asked] = by.subscribe([BTC, BOOK])
    wanted = {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade", "btcusdt@depth@100ms"], "id": 1}
    assert json.loads(asked.data) == wanted
    [ended] = by.unsubscribe([BOOK])
    assert json.loads(ended.data) == {
        "method": "UNSUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 2,
    }  # fmt: skip
    received = by.receive([frame({"result": None, "id": 2}), frame({"result": None, "id": 1})])
    assert received.said == [Confirmed((BOOK,), ends=True), Confirmed((BTC, BOOK))]
    assert by.receive([frame({"result": None, "id": 1})]).said == []


def test_many_streams_are_asked_for_in_many_requests() -> None:
    by = session()
    asked = by.subscribe([Stream(f"X{n}-USDT", "trades") for n in range(250)])
    assert [len(json.loads(one.data)["params"]) for one in asked] == [100, 100, 50]


@pytest.mark.parametrize(
    ("answer", "passing"),
    [
        ({"error": {"code": 2, "msg": "Invalid request"}, "id": 1}, False),
        ({"error": {"code": 3, "msg": "Too many requests"}, "id": 1}, True),
        ({"code": 2, "msg": "Invalid request", "id": 1}, False),
    ],
)
def test_a_refusal_names_what_was_asked_for(answer, passing) -> None:
    by = session()
    by.subscribe([BTC])
    [said] = by.receive([frame(answer)]).said
    assert isinstance(said, Refused)
    assert (said.streams, said.passing) == ((BTC,), passing)
    assert "(code" in said.reason


def test_the_notice_of_a_shutdown_is_passed_on() -> None:
    notice = {"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1}}
    [said] = session().receive([frame(notice)]).said
    assert isinstance(said, Leaving)


def test_missing_numbers_of_trades_are_told_with_the_time_around_them() -> None:
    by = session(BTC, Stream("ETH-USDT", "trades"))
    received = by.receive([trade(5, 100), trade(1, 100, "ETHUSDT"), trade(6, 101), trade(9, 103)])
    [hole] = received.said
    assert isinstance(hole, Skipped)
    assert (hole.streams, hole.first, hole.last) == ((BTC,), 7, 8)
    # In milliseconds what is missing may lie at the very times of its neighbours.
    assert (hole.start, hole.end) == (101_000_000 - 1, 103_000_000 + 1)
    assert received.rows["trades"].column("id").to_pylist() == ["5", "1", "6", "9"]
    # Across calls; late ones and doubles neither make a hole nor hide one.
    assert by.receive([trade(8, 102), trade(9, 103), trade(10, 104)]).said == []
    [hole] = by.receive([trade(12, 104)]).said
    assert (hole.first, hole.last) == (11, 11)


def test_a_symbol_that_was_ended_begins_anew() -> None:
    by = session()
    by.receive([trade(5, 100)])
    by.unsubscribe([BTC])
    by.receive([frame({"result": None, "id": 1})])
    by.subscribe([BTC])
    assert by.receive([trade(50, 100)]).said == []


def test_a_side_without_orders_is_null() -> None:
    rows = session().receive([quote(a="0.00000000", A="0.00000000"), quote()]).rows["quotes"]
    assert rows.column("ask_price").to_pylist() == [None, 1.6]
    assert rows.column("ask_size").to_pylist() == [None, 3.0]
    assert rows.column("bid_price").to_pylist() == [1.5, 1.5]


def test_a_quote_without_a_time_has_that_of_its_receipt() -> None:
    rows = session().receive([quote(), quote(T=123)]).rows["quotes"]
    assert rows.column("ts_event").to_pylist() == [99, 123_000_000]


def test_what_is_written_in_another_way_keeps_its_place() -> None:
    data = json.loads(trade(6, 101).data)
    odd = Frame(7, json.dumps({"data": data["data"], "stream": data["stream"]}, indent=1).encode())
    received = session().receive([trade(5, 100), odd, trade(7, 102)])
    assert received.rows["trades"].column("id").to_pylist() == ["5", "6", "7"]
    assert not received.bad
    assert not received.said


@pytest.mark.parametrize(
    ("bad", "table"),
    [
        (trade(7, 101, p="much"), "trades"),
        (trade(7, 101, a="seven"), "trades"),
        (trade(7, -1), "trades"),
        (trade(7, 1 << 62), "trades"),
        (trade(7, 1 << 70), "trades"),
        (trade(7, 101, "DOGEUSDT"), "trades"),
        (quote(b=None), "quotes"),
        (Frame(7, b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"'), "book"),
        (Frame(7, b"\xff\xfe"), "trades"),
        (Frame(7, b""), "trades"),
        (Frame(7, b"[1,2]"), "trades"),
    ],
)
def test_a_bad_frame_is_set_aside_alone_and_as_it_came(bad, table) -> None:
    good = [trade(5, 100), quote(), trade(6, 100)]
    received = session(BTC, BOOK).receive([good[0], bad, *good[1:]])
    [found] = received.bad
    assert (found.frame, found.table, found.reason) == (bad.data, table, "frame_unreadable")
    assert found.detail
    assert received.rows["trades"].column("id").to_pylist() == ["5", "6"]
    assert received.rows["quotes"].num_rows == 1


def test_the_mark_price_tells_statistics() -> None:
    venue = futures.make(VenueOptions())
    by = venue.session([Stream("BTC-USDT", "stats")])
    data = {"e": "markPriceUpdate", "E": 5, "s": "BTCUSDT", "p": "11794.15", "i": "11784.62",
            "P": "", "r": "0.00038167", "T": 1562306400000}  # fmt: skip
    rows = by.receive([frame({"stream": "btcusdt@markPrice@1s", "data": data})]).rows["stats"]
    assert rows.select(["symbol", "ts_event", "name", "value"]).to_pylist() == [
        {"symbol": "BTC-USDT", "ts_event": 5_000_000, "name": name, "value": value}
        for name, value in (
            ("mark_price", 11794.15), ("index_price", 11784.62), ("funding_rate", 0.00038167),
        )
    ]  # fmt: skip


def test_addresses_by_channel_and_by_configuration() -> None:
    assert session().dial().url == "wss://stream.binance.com:9443/stream"
    venue = futures.make(VenueOptions())
    dialled = {channel: venue.session([Stream("A-B", channel)]).dial().url for channel in
               venue.channels}  # fmt: skip
    assert dialled == {
        "trades": "wss://fstream.binance.com/market/stream",
        "stats": "wss://fstream.binance.com/market/stream",
        "quotes": "wss://fstream.binance.com/public/stream",
        "book": "wss://fstream.binance.com/public/stream",
    }
    local = spot.make(VenueOptions(url="ws://127.0.0.1:1/", http_url="http://127.0.0.1:2"))
    assert local.session([BTC]).dial().url == "ws://127.0.0.1:1/stream"
    assert local.http_url == "http://127.0.0.1:2"


def test_symbols_by_rule() -> None:
    venue = futures.make(VenueOptions())
    assert venue.native("btc-usdt") == "BTCUSDT"
    assert venue.native("BTC-USDT-270326") == "BTCUSDT_270326"


def test_an_account_is_of_no_use() -> None:
    with pytest.raises(ConfigError, match="account"):
        spot.make(VenueOptions(accounts=(Account(key="k"),)))
