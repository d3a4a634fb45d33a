"""The example messages of Coinbase Advanced Trade, read by hand and by the session."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from realdata import real
from tickplant.books.updates import NONE
from tickplant.feeds.venues.coinbase.client import make
from tickplant.feeds.venues.contract import Confirmed, Frame, Heartbeat, Stream
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.errors import ConfigError

FOLDER = "protocol-examples/coinbase/"


def frame(name: str) -> Frame:
    return Frame(1, real(FOLDER + name).read_bytes())


def ns(text: str) -> int:
    whole = datetime.fromisoformat(text.replace("Z", "+00:00")).replace(microsecond=0)
    fraction = text.partition(".")[2].rstrip("Z")
    return int(whole.timestamp()) * 10**9 + int(fraction.ljust(9, "0") or 0)


def session(*streams: Stream) -> Any:
    made = make(VenueOptions()).session(streams)
    made.subscribe(streams)
    return made


def test_trades_have_the_aggressors_side_and_the_values_of_the_example() -> None:
    said = json.loads(frame("ws_market_trades.json").data)
    rows = session().receive([frame("ws_market_trades.json")]).rows["trades"].to_pylist()
    expected = [
        {
            "symbol": trade["product_id"],
            "venue": None,
            "ts_event": ns(trade["time"]),
            "price": float(Decimal(trade["price"])),
            "size": float(Decimal(trade["size"])),
            "side": {"BUY": 2, "SELL": 1}[trade["side"]],
            "id": trade["trade_id"],
            "conditions": None,
            "exchange": None,
            "key": None,
        }
        for event in said["events"]
        for trade in event["trades"]
    ]
    assert rows == expected


def test_the_ticker_is_a_quote_at_the_time_of_its_message() -> None:
    said = json.loads(frame("ws_ticker.json").data)
    (row,) = session().receive([frame("ws_ticker.json")]).rows["quotes"].to_pylist()
    (ticker,) = said["events"][0]["tickers"]
    assert row == {
        "symbol": ticker["product_id"],
        "venue": None,
        "ts_event": ns(said["timestamp"]),
        "bid_price": float(ticker["best_bid"]),
        "bid_size": float(ticker["best_bid_quantity"]),
        "ask_price": float(ticker["best_ask"]),
        "ask_size": float(ticker["best_ask_quantity"]),
        "exchange": None,
        "key": None,
    }


@pytest.mark.parametrize("name", ["ws_l2_data_snapshot.json", "ws_l2_data_update.json"])
def test_books_have_the_levels_of_the_example(name: str) -> None:
    said = json.loads(frame(name).data)
    books = session().receive([frame(name)]).books
    (event,) = said["events"]
    levels = [
        ({"bid": 1, "offer": 2}[u["side"]], float(u["price_level"]), float(u["new_quantity"]))
        for u in event["updates"]
    ]
    found = list(zip(books.side.tolist(), books.price.tolist(), books.size.tolist(), strict=True))
    assert found == levels
    assert books.symbols == (event["product_id"],)
    assert books.ts_event.tolist() == [ns(said["timestamp"])]
    assert books.snapshot.tolist() == [event["type"] == "snapshot"]
    assert books.last.tolist() == [said["sequence_num"]]
    assert books.previous.tolist() == books.checksum.tolist() == [NONE]
    assert books.offsets.tolist() == [0, len(levels)]


def test_subscriptions_confirm_what_was_asked_for() -> None:
    asked = [Stream("BTC-USD", "book"), Stream("BTC-USD", "trades"), Stream("ADA-USD", "trades")]
    received = session(*asked).receive([frame("ws_subscriptions.json")])
    confirmed = [stream for said in received.said for stream in said.streams]
    assert all(isinstance(said, Confirmed) for said in received.said)
    assert sorted(confirmed) == sorted(asked[:2])


def test_a_heartbeat_vouches_for_what_cannot_be_in_a_batch_any_more() -> None:
    (said,) = session().receive([frame("ws_heartbeats.json")]).said
    time = json.loads(frame("ws_heartbeats.json").data)["timestamp"]
    assert said == Heartbeat(ns(time) - 500_000_000)


def test_a_channel_that_is_not_read_is_ignored() -> None:
    received = session().receive([frame("ws_candles.json")])
    assert (received.rows, received.books, list(received.said), received.bad) == ({}, None, [], [])


def test_an_account_is_refused_as_it_would_not_be_used() -> None:
    from tickplant.feeds.venues.options import Account

    with pytest.raises(ConfigError, match="account"):
        make(VenueOptions(accounts=(Account(key="k"),)))
