"""Deribit's session by hand-written frames: trades, holes, heartbeats, refusals, the login."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tickplant.feeds.venues.contract import (
    Confirmed,
    Frame,
    Heartbeat,
    Outgoing,
    Refused,
    Reply,
    Skipped,
    Stream,
)
from tickplant.feeds.venues.deribit.client import make
from tickplant.feeds.venues.deribit.parse import read_listings
from tickplant.feeds.venues.options import Account, VenueOptions
from tickplant.model.errors import ConfigError

NAME = "BTC-24SEP21-8000-P"
TRADES = Stream(NAME, "trades")


def frame(spoken: Any) -> Frame:
    return Frame(1, json.dumps({"jsonrpc": "2.0", **spoken}).encode())


def trade(seq: int, **fields: Any) -> dict[str, Any]:
    return {
        "trade_seq": seq,
        "trade_id": f"9{seq}",
        "timestamp": 1_626_993_000_000 + seq,
        "tick_direction": 1,
        "price": 0.0125,
        "mark_price": 0.0124,
        "iv": 98.3,
        "instrument_name": NAME,
        "index_price": 32201.67,
        "direction": "sell",
        "amount": 2.5,
        **fields,
    }


def notice(channel: str, data: Any) -> Frame:
    params = {"channel": channel, "data": data}
    return frame({"method": "subscription", "params": params})


def test_trades_have_the_takers_side_and_what_sets_them_apart() -> None:
    session = make(VenueOptions()).session([TRADES])
    said = [trade(1), trade(2, direction="buy", liquidation="T"), trade(3, block_trade_id="7")]
    rows = session.receive([notice(f"trades.{NAME}.100ms", said)]).rows["trades"].to_pylist()
    assert [(r["symbol"], r["price"], r["size"], r["side"], r["id"], r["ts_event"], r["conditions"])
            for r in rows] == [
        (NAME, 0.0125, 2.5, 2, "91", 1_626_993_000_001_000_000, None),
        (NAME, 0.0125, 2.5, 1, "92", 1_626_993_000_002_000_000, "liquidation"),
        (NAME, 0.0125, 2.5, 2, "93", 1_626_993_000_003_000_000, "block"),
    ]  # fmt: skip


def test_a_hole_in_the_numbers_of_trades_is_told() -> None:
    session = make(VenueOptions()).session([TRADES])
    frames = [notice(f"trades.{NAME}.100ms", [trade(seq)]) for seq in (5, 6, 9)]
    (said,) = session.receive(frames).said
    assert isinstance(said, Skipped)
    assert (said.streams, said.first, said.last) == ((TRADES,), 7, 8)
    assert said.start < 1_626_993_000_006_000_000
    assert said.end > 1_626_993_000_009_000_000


def test_a_heartbeat_that_asks_is_answered() -> None:
    session = make(VenueOptions()).session([])
    beat, reply = session.receive(
        [frame({"method": "heartbeat", "params": {"type": "test_request"}})]
    ).said
    assert beat == Heartbeat()
    assert isinstance(reply, Reply)
    assert json.loads(reply.frame.data)["method"] == "public/test"
    (answer,) = session.receive(
        [frame({"id": 1, "result": {"version": "1.2"}, "usIn": 5_000_000, "usOut": 5_000_100})]
    ).said
    assert answer == Heartbeat(5_000_100_000 - 200_000_000)


def test_what_the_venue_leaves_out_is_refused() -> None:
    other = Stream("BTC-PERPETUAL", "trades")
    session = make(VenueOptions()).session([])
    (asked,) = session.subscribe([TRADES, other])
    number = json.loads(asked.data)["id"]
    taken = [f"trades.{NAME}.100ms"]
    good, bad = session.receive([frame({"id": number, "result": taken})]).said
    assert good == Confirmed((TRADES,))
    assert isinstance(bad, Refused)
    assert bad.streams == (other,)
    assert not bad.passing


@pytest.mark.parametrize(("code", "passing"), [(10028, True), (13009, False)])
def test_an_error_refuses_its_request(code: int, passing: bool) -> None:
    session = make(VenueOptions()).session([])
    (asked,) = session.subscribe([TRADES])
    answer = {"id": json.loads(asked.data)["id"], "error": {"code": code, "message": "no"}}
    (said,) = session.receive([frame(answer)]).said
    assert said == Refused((TRADES,), f"no ({code})", passing)


def test_one_ticker_serves_quotes_and_statistics_until_both_have_ended() -> None:
    quotes, stats = Stream(NAME, "quotes"), Stream(NAME, "stats")
    session = make(VenueOptions()).session([])
    ((asked,), (kept,), (ended,)) = (
        session.subscribe([quotes, stats]),
        session.unsubscribe([stats]),
        session.unsubscribe([quotes]),
    )
    channels = [json.loads(one.data)["params"]["channels"] for one in (asked, kept, ended)]
    assert channels == [[f"ticker.{NAME}.100ms"], [], [f"ticker.{NAME}.100ms"]]


def test_an_account_logs_in_and_does_not_show() -> None:
    account = Account(key="my-key", secret="my-secret")
    venue = make(VenueOptions(accounts=(account,)))
    session = venue.session([])
    login, beats = (json.loads(one.data) for one in session.opening())
    assert login["params"]["client_secret"] == "my-secret"
    assert beats["method"] == "public/set_heartbeat"
    (asked,) = session.subscribe([TRADES])
    assert isinstance(asked, Outgoing)
    assert f"trades.{NAME}.raw" in str(asked.data)
    assert "my-secret" not in repr(session) + repr(venue) + repr(account)
    refused = {"id": 2, "error": {"code": 13004, "message": "invalid_credentials"}}
    (said,) = session.receive([frame(refused)]).said
    assert isinstance(said, Refused)
    assert said.streams == ()
    assert not said.passing
    with pytest.raises(ConfigError, match="secret"):
        make(VenueOptions(accounts=(Account(key="alone"),)))


def test_listings_of_options_have_expiry_strike_right_and_underlying() -> None:
    body = {
        "result": [
            {"instrument_name": NAME, "kind": "option", "base_currency": "BTC",
             "quote_currency": "BTC", "tick_size": 0.0001, "min_trade_amount": 0.1,
             "expiration_timestamp": 1_632_470_400_000, "settlement_period": "month",
             "strike": 8000.0, "option_type": "put", "is_active": True},
            {"instrument_name": "BTC-PERPETUAL", "kind": "future", "base_currency": "BTC",
             "quote_currency": "USD", "tick_size": 0.5, "min_trade_amount": 10.0,
             "expiration_timestamp": 32_503_708_800_000, "settlement_period": "perpetual",
             "is_active": False},
        ]
    }  # fmt: skip
    option, perpetual = read_listings(json.dumps(body).encode())
    assert (option.kind, option.expiry, option.strike, option.right, option.underlying) == (
        "option", "2021-09-24T08:00:00Z", 8000.0, "put", "BTC",
    )  # fmt: skip
    assert (perpetual.kind, perpetual.expiry, perpetual.status) == ("perpetual", None, "inactive")
    assert (perpetual.tick_size, perpetual.lot_size) == (0.5, 10.0)


def test_a_strike_with_a_point_is_spelled_with_a_small_d() -> None:
    venue = make(VenueOptions())
    assert venue.native("XRP_USDC-30JUN23-0D625-C") == "XRP_USDC-30JUN23-0d625-C"
    assert venue.native("BTC-24DEC21-50000-C") == "BTC-24DEC21-50000-C"
