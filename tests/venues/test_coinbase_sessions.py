"""Sequence numbers and subscriptions of both of Coinbase's feeds, by hand-written frames."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tickplant.feeds.venues.coinbase import client as advanced
from tickplant.feeds.venues.coinbase_exchange import client as exchange
from tickplant.feeds.venues.contract import (
    Confirmed,
    Frame,
    Heartbeat,
    Received,
    Refused,
    Skipped,
    Stream,
)
from tickplant.feeds.venues.options import VenueOptions

BTC, ETH = "BTC-USD", "ETH-USD"
TRADES, BOOK, OTHER = Stream(BTC, "trades"), Stream(BTC, "book"), Stream(ETH, "book")
SECOND = 1_000_000_000
START = 1_775_572_800 * SECOND  # 2026-04-07T14:40:00Z


def at(second: int) -> str:
    return f"2026-04-07T14:40:{second:02d}.000000Z"


def advanced_frame(number: int, channel: str, *events: Any, second: int | None = None) -> Frame:
    time = at(number if second is None else second)
    told = {"channel": channel, "timestamp": time, "sequence_num": number, "events": events}
    return Frame(START, json.dumps(told).encode())


def levels(kind: str, product: str, *prices: int) -> dict[str, Any]:
    updates = [
        {"side": "bid", "event_time": at(0), "price_level": str(p), "new_quantity": "1"}
        for p in prices
    ]
    return {"type": kind, "product_id": product, "updates": updates}


def traded(number: int, second: int) -> dict[str, Any]:
    trade = {"trade_id": str(number), "product_id": BTC, "price": "1", "size": "2"}
    return {"type": "update", "trades": [trade | {"side": "BUY", "time": at(second)}]}


def told_books(received: Received) -> list[tuple[str, bool, int]]:
    books = received.books
    if books is None:
        return []
    return [
        (books.symbols[code], bool(snapshot), int(books.last[i]))
        for i, (code, snapshot) in enumerate(zip(books.code, books.snapshot, strict=True))
    ]


def test_a_hole_in_the_numbers_is_one_of_every_stream() -> None:
    session = advanced.make(VenueOptions()).session([TRADES, BOOK, OTHER])
    session.receive([advanced_frame(0, "l2_data", levels("snapshot", BTC, 10))])
    received = session.receive(
        [advanced_frame(1, "market_trades", traded(1, 1)), advanced_frame(4, "status")]
    )
    (said,) = received.said
    assert isinstance(said, Skipped)
    assert said.streams == (TRADES, BOOK, OTHER)
    assert (said.first, said.last) == (2, 3)
    assert (said.start, said.end) == (START + SECOND - SECOND // 2, START + 4 * SECOND)


def test_books_wait_for_a_snapshot_after_a_hole_each_for_its_own() -> None:
    session = advanced.make(VenueOptions()).session([BOOK, OTHER])
    begin = [levels("snapshot", BTC, 10), levels("snapshot", ETH, 20)]
    assert told_books(session.receive([advanced_frame(0, "l2_data", *begin)])) == [
        (BTC, True, 0),
        (ETH, True, -1),
    ]
    frames = [
        advanced_frame(2, "l2_data", levels("update", BTC, 11), second=1),
        advanced_frame(3, "l2_data", levels("update", ETH, 21), second=2),
        advanced_frame(4, "l2_data", levels("snapshot", BTC, 12), second=3),
        advanced_frame(5, "l2_data", levels("update", BTC, 13), second=4),
        advanced_frame(6, "l2_data", levels("update", ETH, 22), second=5),
    ]
    assert told_books(session.receive(frames)) == [(BTC, True, 4), (BTC, False, 5)]
    last = [advanced_frame(7, "l2_data", levels("snapshot", ETH, 23))]
    assert told_books(session.receive(last)) == [(ETH, True, 7)]


def test_what_comes_late_or_twice_is_no_news_to_books_but_its_trades_count() -> None:
    session = advanced.make(VenueOptions()).session([TRADES, BOOK])
    frames = [
        advanced_frame(0, "l2_data", levels("snapshot", BTC, 10)),
        advanced_frame(1, "l2_data", levels("update", BTC, 11)),
        advanced_frame(0, "l2_data", levels("snapshot", BTC, 10)),
        advanced_frame(1, "market_trades", traded(1, 1)),
        advanced_frame(2, "l2_data", levels("update", BTC, 12)),
    ]
    received = session.receive(frames)
    assert told_books(received) == [(BTC, True, 0), (BTC, False, 1), (BTC, False, 2)]
    assert received.rows["trades"].column("id").to_pylist() == ["1"]
    assert received.said == []


def test_trades_of_an_event_are_brought_into_the_order_they_were_made_in() -> None:
    session = advanced.make(VenueOptions()).session([TRADES])
    trades = [traded(number, 5)["trades"][0] for number in (12, 11, 10, 9)]
    event = {"type": "snapshot", "trades": trades}
    rows = session.receive([advanced_frame(0, "market_trades", event)]).rows["trades"]
    assert rows.column("id").to_pylist() == ["9", "10", "11", "12"]


def test_a_frame_that_cannot_be_read_is_a_hole_in_the_numbers() -> None:
    session = advanced.make(VenueOptions()).session([TRADES])
    frames = [
        advanced_frame(0, "market_trades", traded(1, 0)),
        Frame(START, b'{"channel":"market_trades","sequence_num":1,"events":['),
        advanced_frame(2, "market_trades", traded(3, 2)),
    ]
    received = session.receive(frames)
    assert [bad.frame for bad in received.bad] == [frames[1].data]
    assert [said.first for said in received.said] == [1]  # type: ignore[union-attr]
    assert received.rows["trades"].num_rows == 2


def test_ended_and_wanted_again_is_confirmed_in_that_order() -> None:
    session = advanced.make(VenueOptions()).session([])
    session.subscribe([BOOK])
    listed = {"subscriptions": {"level2": [BTC]}}
    assert session.receive([advanced_frame(0, "subscriptions", listed)]).said == [
        Confirmed((BOOK,))
    ]
    session.unsubscribe([BOOK])
    session.subscribe([BOOK])
    assert session.receive([advanced_frame(1, "subscriptions", listed)]).said == []
    empty: dict[str, Any] = {"subscriptions": {}}
    frames = [advanced_frame(2, "subscriptions", empty), advanced_frame(3, "subscriptions", listed)]
    assert session.receive(frames).said == [Confirmed((BOOK,), ends=True), Confirmed((BOOK,))]


@pytest.mark.parametrize("make", [advanced.make, exchange.make])
def test_an_error_refuses_the_oldest_request(make: Any) -> None:
    session = make(VenueOptions()).session([])
    session.subscribe([TRADES])
    session.subscribe([BOOK])
    error = Frame(START, b'{"type":"error","message":"Failed to subscribe","reason":"unknown"}')
    limit = Frame(START, b'{"type":"error","message":"rate limit exceeded"}')
    assert session.receive([error, limit]).said == [
        Refused((TRADES,), "Failed to subscribe: unknown"),
        Refused((BOOK,), "rate limit exceeded", passing=True),
    ]


# -- the older feed -----------------------------------------------------------------------------


def older(kind: str, second: int, **fields: Any) -> Frame:
    told = {"type": kind, "product_id": BTC, "time": at(second), **fields}
    return Frame(START + second * SECOND, json.dumps(told).encode())


def match(number: int, second: int, kind: str = "match") -> Frame:
    return older(kind, second, trade_id=number, side="sell", price="1", size="2")


def test_a_trade_out_of_turn_shows_a_hole_of_trades_and_book() -> None:
    session = exchange.make(VenueOptions()).session([TRADES, BOOK, OTHER])
    frames = [match(7, 1, "last_match"), match(8, 2), match(11, 5)]
    (said,) = session.receive(frames).said
    assert isinstance(said, Skipped)
    assert (said.streams, said.first, said.last) == ((TRADES, BOOK), 9, 10)
    assert (said.start, said.end) == (START + 2 * SECOND - 1, START + 5 * SECOND + 1)


def test_a_heartbeat_tells_of_a_trade_that_has_not_come_by_the_next_one() -> None:
    session = exchange.make(VenueOptions()).session([TRADES])
    frames = [match(7, 1), older("heartbeat", 2, last_trade_id=8, sequence=1)]
    assert session.receive(frames).said == [Heartbeat(START + 2 * SECOND - SECOND // 10)]
    frames = [match(8, 2), older("heartbeat", 3, last_trade_id=9, sequence=1)]
    assert len(session.receive(frames).said) == 1
    said, _ = session.receive([older("heartbeat", 4, last_trade_id=9, sequence=1)]).said
    assert isinstance(said, Skipped)
    assert (said.first, said.last, said.end) == (9, 9, START + 4 * SECOND + 1)
    assert len(session.receive([older("heartbeat", 5, last_trade_id=9, sequence=1)]).said) == 1


def test_a_frame_of_a_book_that_cannot_be_read_makes_that_book_doubtful() -> None:
    session = exchange.make(VenueOptions()).session([TRADES, BOOK, OTHER])
    bad = Frame(START, b'{"type":"l2update","product_id":"BTC-USD","changes":[["buy","x","1"]]}')
    (said,) = session.receive([bad]).said
    assert isinstance(said, Skipped)
    assert said.streams == (BOOK,)
    (said,) = session.receive([Frame(START, b"\xff\x00")]).said
    assert isinstance(said, Skipped)
    assert said.streams == (BOOK, OTHER)


def test_a_snapshot_without_a_time_has_that_of_its_receipt() -> None:
    session = exchange.make(VenueOptions()).session([BOOK])
    told = {"type": "snapshot", "product_id": BTC, "bids": [["1", "2"]], "asks": []}
    for time in ({}, {"time": None}, {"time": "0001-01-01T00:00:00Z"}):
        received = session.receive([Frame(START + 5, json.dumps(told | time).encode())])
        assert received.bad == []
        assert received.books.ts_event.tolist() == [START + 5]
    received = session.receive([Frame(START + 5, json.dumps(told | {"time": at(3)}).encode())])
    assert received.books.ts_event.tolist() == [START + 3 * SECOND]


@pytest.mark.parametrize("empty", ["", None, "0"])
def test_a_ticker_without_a_side_is_a_quote_of_one_side(empty: str | None) -> None:
    ticker = {"product_id": BTC, "best_bid": empty, "best_bid_quantity": empty}
    ticker |= {"best_ask": "2.5", "best_ask_quantity": "7"}
    event = {"type": "update", "tickers": [ticker, {"product_id": ETH, "best_bid": empty}]}
    frames = [advanced_frame(0, "ticker", event)]
    received = advanced.make(VenueOptions()).session([]).receive(frames)
    assert received.bad == []
    (row,) = received.rows["quotes"].to_pylist()
    assert (row["symbol"], row["bid_price"], row["bid_size"]) == (BTC, None, None)
    assert (row["ask_price"], row["ask_size"]) == (2.5, 7.0)
    told = {"best_bid": empty, "best_ask": "2.5", "best_bid_size": empty, "best_ask_size": "7"}
    received = exchange.make(VenueOptions()).session([]).receive([older("ticker", 1, **told)])
    assert received.bad == []
    (row,) = received.rows["quotes"].to_pylist()
    assert (row["bid_price"], row["bid_size"], row["ask_size"]) == (None, None, 7.0)
