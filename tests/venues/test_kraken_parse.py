"""Kraken's session: the example messages value by value, answers, numbers of trades, bad frames."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realdata import real
from tickplant.books.updates import NONE
from tickplant.feeds.venues.contract import (
    BadFrame,
    Confirmed,
    Frame,
    Heartbeat,
    Refused,
    Skipped,
    Stream,
)
from tickplant.feeds.venues.kraken.client import make
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError

TRADES, QUOTES, BOOK = (Stream("BTC-USD", channel) for channel in ("trades", "quotes", "book"))
PAIR = {"symbol": "BTC/USD", "price_precision": 1, "qty_precision": 8}
LISTED = {"channel": "instrument", "type": "snapshot", "data": {"assets": [], "pairs": [PAIR]}}


def frame(said: Any) -> Frame:
    return Frame(77, said if isinstance(said, bytes) else json.dumps(said).encode())


def session(*streams: Stream, **extra: Any) -> Any:
    made = make(VenueOptions(extra=extra)).session(streams)
    made.subscribe(streams)
    return made


def trade(number: int, ts: str = "2026-11-21T10:00:00.5Z", **fields: Any) -> dict[str, Any]:
    return {
        "symbol": "BTC/USD",
        "side": "buy",
        "price": 100.5,
        "qty": 0.25,
        "ord_type": "limit",
        "trade_id": number,
        "timestamp": ts,
        **fields,
    }


def trades(*data: dict[str, Any], kind: str = "update") -> Frame:
    return frame({"channel": "trade", "type": kind, "data": list(data)})


def ns(text: str) -> int:
    """The time that the examples write, by its digits."""
    seconds = {"2023-10-06T17:35:55": 1696613755, "2023-10-06T17:35:56": 1696613756}
    seconds["2022-12-25T09:30:59"] = 1671960659
    return seconds[text[:19]] * 10**9 + int(text[20:-1].ljust(9, "0"))


def example(name: str) -> tuple[bytes, list[dict[str, Any]]]:
    data = real(f"protocol-examples/kraken/{name}").read_bytes()
    return data, json.loads(data, parse_float=Decimal)["data"]


def test_trades_have_the_values_of_the_example() -> None:
    data, said = example("ws_trade_update.json")
    rows = session(TRADES).receive([frame(data)]).rows["trades"].to_pylist()
    assert rows == [
        {
            "symbol": "BTC-USD",
            "venue": None,
            "ts_event": ns(one["timestamp"]),
            "price": float(one["price"]),
            "size": float(one["qty"]),
            "side": {"buy": 1, "sell": 2}[one["side"]],
            "id": str(one["trade_id"]),
            "conditions": None,
            "exchange": None,
            "key": None,
        }
        for one in said
    ]
    assert len(rows) == 2


def test_the_ticker_is_a_quote_with_the_values_of_the_example() -> None:
    data, (said,) = example("ws_ticker_snapshot.json")
    (row,) = session(QUOTES).receive([frame(data)]).rows["quotes"].to_pylist()
    assert row == {
        "symbol": "BTC-USD",
        "venue": None,
        "ts_event": ns(said["timestamp"]),
        "bid_price": float(said["bid"]),
        "bid_size": float(said["bid_qty"]),
        "ask_price": float(said["ask"]),
        "ask_size": float(said["ask_qty"]),
        "exchange": None,
        "key": None,
    }


@pytest.mark.parametrize("name", ["ws_book_snapshot.json", "ws_book_update.json"])
def test_books_have_the_levels_and_checksum_of_the_example(name: str) -> None:
    data, (said,) = example(name)
    books = session(BOOK, depth=10).receive([frame(LISTED), frame(data)]).books
    levels = [(1, one) for one in said["bids"]] + [(2, one) for one in said["asks"]]
    assert books.symbols == ("BTC-USD",)
    assert books.code.tolist() == [0]
    assert books.ts_event.tolist() == [ns(said["timestamp"])]
    assert books.snapshot.tolist() == ["snapshot" in name]
    assert books.checksum.tolist() == [said["checksum"]]
    assert books.offsets.tolist() == [0, len(levels)]
    assert books.side.tolist() == [side for side, _ in levels]
    assert books.price.tolist() == [float(one["price"]) for _, one in levels]
    assert books.size.tolist() == [float(one["qty"]) for _, one in levels]
    assert books.decimals is None or books.depth == 10
    assert books.first.tolist() == books.last.tolist() == books.previous.tolist() == [NONE]


def test_decimals_come_with_the_messages_once_they_are_known() -> None:
    venue = make(VenueOptions())
    one, other = venue.session([]), venue.session([])
    book = {"symbol": "BTC/USD", "bids": [], "asks": [], "checksum": 0}
    update = frame({"channel": "book", "type": "update", "data": [book]})
    assert one.receive([update]).books.decimals.tolist() == [[NONE, NONE]]
    assert one.receive([update]).books.ts_event.tolist() == [77]
    one.receive([frame(LISTED)])
    assert other.receive([update]).books.decimals.tolist() == [[1, 8]]


def test_one_request_a_channel_asks_for_what_it_needs() -> None:
    made = make(VenueOptions(extra={"depth": 25})).session([])
    eth = Stream("ETH-USD", "trades")
    sent = [json.loads(one.data) for one in made.subscribe([TRADES, QUOTES, BOOK, eth])]
    assert [one["params"] for one in sent] == [
        {"channel": "instrument", "snapshot": True},
        {"channel": "trade", "symbol": ["BTC/USD", "ETH/USD"], "snapshot": True},
        {"channel": "ticker", "symbol": ["BTC/USD"], "event_trigger": "bbo", "snapshot": True},
        {"channel": "book", "symbol": ["BTC/USD"], "depth": 25, "snapshot": True},
    ]
    assert len({one["req_id"] for one in sent}) == 4
    (again,) = made.subscribe([Stream("XRP-USD", "book")])
    assert json.loads(again.data)["params"]["symbol"] == ["XRP/USD"]
    (ended,) = made.unsubscribe([BOOK])
    asked = json.loads(ended.data)
    assert asked["method"] == "unsubscribe"
    assert asked["params"] == {"channel": "book", "symbol": ["BTC/USD"], "depth": 25}


def answer(number: int, symbol: str | None = "BTC/USD", **fields: Any) -> Frame:
    said = {"method": "subscribe", "req_id": number, "success": "error" not in fields, **fields}
    if "error" in fields:
        return frame({**said, "symbol": symbol} if symbol else said)
    return frame({**said, "result": {"channel": "trade", "symbol": symbol, "snapshot": True}})


def test_each_symbol_is_confirmed_or_refused_on_its_own() -> None:
    eth = Stream("ETH-USD", "trades")
    made = session(TRADES, eth)
    said = made.receive([answer(1), answer(1, "ETH/USD", error="Currency pair not supported")])
    assert said.said == [
        Confirmed((TRADES,)),
        Refused((eth,), "Currency pair not supported", passing=False),
    ]
    assert made.receive([answer(1)]).said == []  # nobody waits for it any more


def test_an_error_names_the_symbol_only_and_the_request_says_the_channel() -> None:
    made = session(TRADES, QUOTES)
    assert made.receive([answer(2, error="EService:Unavailable")]).said == [
        Refused((QUOTES,), "EService:Unavailable", passing=True)
    ]
    assert made.receive([answer(1, None, error="Malformed request")]).said == [
        Refused((TRADES,), "Malformed request", passing=False)
    ]


def test_what_is_so_already_is_confirmed() -> None:
    made = session(TRADES)
    assert made.receive([answer(1, error="Already subscribed to trade")]).said == [
        Confirmed((TRADES,))
    ]
    made.unsubscribe([TRADES])
    gone = answer(2, method="unsubscribe", error="Subscription Not Found")
    assert made.receive([gone]).said == [Confirmed((TRADES,), ends=True)]


def test_an_answer_that_nobody_waits_for_refuses_nothing() -> None:
    """Without the list of instruments books are kept, though their checksums are not verified."""
    made = session(BOOK)
    assert made.receive([answer(1, None, error="Internal error")]).said == []
    assert made.receive([answer(99, "XRP/USD", error="Currency pair not supported")]).said == []


def test_too_many_messages_refuse_the_session_for_now() -> None:
    assert session(TRADES).receive([frame({"Error": "Exceeded msg rate"})]).said == [
        Refused((), "Exceeded msg rate", passing=True)
    ]


def test_heartbeats_are_signs_of_life_and_the_status_says_nothing() -> None:
    status = {"channel": "status", "type": "update", "data": [{"system": "online"}]}
    heard = session().receive([frame({"channel": "heartbeat"}), frame(status)])
    assert heard.said == [Heartbeat()]
    assert (heard.rows, heard.books, heard.bad) == ({}, None, [])
    assert session().receive([frame({"method": "pong", "req_id": 9})]).said == []


def test_missing_numbers_are_a_hole_between_the_times_around_them() -> None:
    made = session(TRADES)
    before = made.receive([trades(trade(5), trade(6, "2026-11-21T10:00:01Z"), kind="snapshot")])
    assert before.said == []
    after = made.receive([trades(trade(7)), trades(trade(10, "2026-11-21T10:00:02Z"))])
    at = 1795255200 * 10**9 + 500_000_000
    assert after.said == [
        Skipped((TRADES,), at - 1, at + 1_500_000_001, "trades 8 to 9 were not delivered", 8, 9)
    ]
    assert after.rows["trades"].column("id").to_pylist() == ["7", "10"]
    assert made.receive([trades(trade(9)), trades(trade(10)), trades(trade(11))]).said == []


def test_numbers_begin_anew_with_a_new_subscription() -> None:
    made = session(TRADES)
    made.receive([trades(trade(5))])
    made.unsubscribe([TRADES])
    made.receive([answer(2, method="unsubscribe")])
    assert made.receive([trades(trade(50), kind="snapshot")]).said == []


def test_symbols_are_numbered_each_on_its_own() -> None:
    made = session(TRADES)
    eth = trade(9_000, symbol="ETH/USD")
    assert made.receive([trades(trade(5), eth, trade(6)), trades(trade(7))]).said == []


BAD = [
    b"",
    b"nothing",
    b"[]",
    b"\xff\xfe",
    b'{"channel":"trade"}',
    b'{"channel":"unheard","data":[]}',
    b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD"}]}',
    b"{" * 100_000,
    json.dumps({"channel": "trade", "type": "update", "data": [trade(-1)]}).encode(),
    json.dumps({"channel": "trade", "type": "update", "data": [trade(2**63)]}).encode(),
    json.dumps({"channel": "trade", "type": "update", "data": [trade(1, "yesterday")]}).encode(),
    json.dumps({"channel": "trade", "type": "update", "data": [trade(1, side="up")]}).encode(),
]


@pytest.mark.parametrize("data", BAD)
def test_a_bad_frame_is_put_aside_alone(data: bytes) -> None:
    made = session(TRADES)
    heard = made.receive([trades(trade(1)), frame(data), trades(trade(2))])
    assert heard.rows["trades"].column("id").to_pylist() == ["1", "2"]
    assert heard.said == []
    (bad,) = heard.bad
    assert isinstance(bad, BadFrame)
    assert (bad.table, bad.frame) == ("trades", data)


@pytest.mark.parametrize("level", [{"price": 0, "qty": 1}, {"price": -1.5, "qty": 1}])
def test_a_level_that_cannot_be_is_put_aside_with_its_frame(level: dict[str, Any]) -> None:
    book = {"symbol": "BTC/USD", "bids": [level], "asks": [], "checksum": 0}
    heard = session(BOOK).receive([frame({"channel": "book", "type": "update", "data": [book]})])
    assert heard.books is None
    assert [bad.table for bad in heard.bad] == ["book"]


def test_a_side_without_orders_has_no_price() -> None:
    one = {"symbol": "BTC/USD", "bid": 0, "bid_qty": 0, "ask": 5.5, "ask_qty": 1}
    heard = session(QUOTES).receive(
        [frame({"channel": "ticker", "type": "update", "data": [{**one, "timestamp": None}]})]
    )
    (row,) = heard.rows["quotes"].to_pylist()
    assert (row["bid_price"], row["bid_size"], row["ask_price"]) == (None, None, 5.5)
    assert row["ts_event"] == 77


@pytest.mark.parametrize("depth", [0, 11, "26", "x", True, 25.0, ["25"]])
def test_depths_are_those_of_the_venue(depth: object) -> None:
    with pytest.raises(ConfigError, match="10, 25, 100, 500, 1000"):
        make(VenueOptions(extra={"depth": depth}))


def test_a_depth_may_be_a_text_as_the_command_line_gives_it() -> None:
    (asked,) = make(VenueOptions(extra={"depth": "500"})).session([]).unsubscribe([BOOK])
    assert json.loads(asked.data)["params"]["depth"] == 500


LEVEL = st.fixed_dictionaries({"price": st.floats() | st.integers(), "qty": st.floats()})
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
DATUM = st.fixed_dictionaries(
    {},
    optional={
        "symbol": st.sampled_from(["BTC/USD", "BTC", "/", ""]) | VALUE,
        "side": st.sampled_from(["buy", "sell"]) | VALUE,
        "trade_id": st.integers(0, 2**64) | VALUE,
        "timestamp": st.sampled_from(["2026-11-21T10:00:00Z", "2026"]) | VALUE,
        "bids": st.lists(LEVEL, max_size=3) | VALUE,
        "asks": st.lists(LEVEL, max_size=3) | VALUE,
        "checksum": st.integers(-1, 2**32) | VALUE,
        **dict.fromkeys(("price", "qty", "bid", "bid_qty", "ask", "ask_qty"), st.floats() | VALUE),
    },
)
MESSAGE = st.fixed_dictionaries(
    {},
    optional={
        "channel": st.sampled_from(["trade", "ticker", "book", "heartbeat", "instrument"]) | VALUE,
        "type": st.sampled_from(["snapshot", "update"]) | VALUE,
        "data": st.lists(DATUM, max_size=3) | VALUE,
        "method": st.sampled_from(["subscribe", "unsubscribe", "pong"]) | VALUE,
        "req_id": st.integers(0, 3) | VALUE,
        "success": st.booleans() | VALUE,
        "error": VALUE,
        "result": DATUM | VALUE,
    },
)


@settings(max_examples=30, deadline=None)
@given(st.lists(MESSAGE.map(lambda said: json.dumps(said).encode()) | st.binary(max_size=60)))
def test_whatever_is_sent_is_read_or_put_aside(sent: list[bytes]) -> None:
    made = session(TRADES, QUOTES, BOOK)
    good = trades(trade(1))
    heard = made.receive([*map(frame, sent), good])
    aside = [bad.frame for bad in heard.bad]
    assert set(aside) <= set(sent)
    assert heard.rows["trades"].column("id").to_pylist()[-1] == "1"
