"""Kite's packets: recorded ones field by field, any sequence against plain Python, and noise."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from datetime import datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realdata import real
from tickplant.books.updates import Updates
from tickplant.checks.batch import Bounds, check_batch
from tickplant.feeds.venues.contract import (
    CHANNELS,
    Confirmed,
    Frame,
    Heartbeat,
    Listing,
    Received,
    Refused,
    Stream,
)
from tickplant.feeds.venues.kite import parse as kite_parse
from tickplant.feeds.venues.kite.client import Kite, make
from tickplant.feeds.venues.kite.session import KiteSession
from tickplant.feeds.venues.options import Account, VenueOptions
from tickplant.model.errors import ConfigError
from venues import kite_packets as kp

NOW = 1_783_000_000 * 10**9
INFY, NIFTY, USDINR, GILT = 408_065, 256_265, 256 * 3906 + 3, 256 * 3906 + 6
FUTURE, STRANGER = 256 * 3906 + 2, 5_633
NAMES = {INFY: "INFY", NIFTY: "NSE:NIFTY_50", USDINR: "CDS:USDINR26NOVFUT",
         GILT: "BCD:USDINR26NOVFUT", FUTURE: "NFO:INFY26NOVFUT"}  # fmt: skip
OPTIONS = VenueOptions(accounts=(Account(key="key1", token="token1"),))


def venue(**extra: Any) -> Kite:
    made = make(VenueOptions(accounts=OPTIONS.accounts, extra=extra))
    made.learn(
        [
            Listing(symbol=name if ":" in name else f"NSE:{name}", native=str(token))
            for token, name in NAMES.items()
        ]
    )
    return made


def everything(names: Sequence[str] = tuple(NAMES.values())) -> list[Stream]:
    return [Stream(name, channel) for name in names for channel in CHANNELS]


def session(streams: Sequence[Stream] | None = None, **extra: Any) -> KiteSession:
    streams = everything() if streams is None else streams
    made = venue(**extra).session(streams)
    made.subscribe(streams)
    return made


def rows(received: Received, table: str, *columns: str) -> list[tuple[Any, ...]]:
    batch = received.rows.get(table)
    if batch is None:
        return []
    return list(zip(*(batch.column(name).to_pylist() for name in columns), strict=True))


def trades(received: Received) -> list[tuple[Any, ...]]:
    return rows(received, "trades", "symbol", "ts_event", "price", "size", "conditions")


QUOTES = ("symbol", "ts_event", "bid_price", "bid_size", "ask_price", "ask_size")


def books(updates: Updates | None) -> list[tuple[Any, ...]]:
    if updates is None:
        return []
    assert updates.snapshot.all()
    assert updates.orders is not None
    columns = (updates.side, updates.price, updates.size, updates.orders)
    levels = list(zip(*(column.tolist() for column in columns), strict=True))
    edges = updates.offsets.tolist()
    return [
        (updates.symbols[code], ts, levels[edges[at] : edges[at + 1]])
        for at, (code, ts) in enumerate(
            zip(updates.code.tolist(), updates.ts_event.tolist(), strict=True)
        )
    ]


# -- recorded packets --------------------------------------------------------------------------


def recorded(name: str) -> tuple[bytes, dict[str, Any]]:
    packet = base64.b64decode(real(f"kite/{name}.packet").read_bytes())
    return packet, json.loads(real(f"kite/{name}.json").read_text())


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def test_a_recorded_full_packet_is_what_stands_beside_it() -> None:
    packet, want = recorded("ticker_full")
    received = session(everything(["INFY"])).receive([Frame(NOW, kp.frame([packet]))])
    traded, at = seconds(want["last_trade_time"]), seconds(want["timestamp"])
    assert trades(received) == [
        ("INFY", traded, want["last_price"], float(want["last_quantity"]), None)
    ]
    (buy, *_), (sell, *_) = want["depth"]["buy"], want["depth"]["sell"]
    assert rows(received, "quotes", *QUOTES) == [
        ("INFY", at, buy["price"], buy["quantity"], sell["price"], sell["quantity"])
    ]
    levels = [
        (side, one["price"], float(one["quantity"]), one["orders"])
        for side, name in ((1, "buy"), (2, "sell"))
        for one in want["depth"][name]
    ]
    assert books(received.books) == [("INFY", at, levels)]
    stats = {
        "volume": want["volume"],
        "buy_quantity": want["buy_quantity"],
        "sell_quantity": want["sell_quantity"],
        "average_price": want["average_price"],
        **{f"day_{name}": value for name, value in want["ohlc"].items()},
    }  # and no open interest: a share has none, and Kite says 0
    (raw,) = kite_parse.parse([Frame(NOW, kp.frame([packet]))]).packets.values()
    interest = [raw.rows[f"open_interest{name}"][0] for name in ("", "_high", "_low")]
    assert interest == [want["oi"], want["oi_day_high"], want["oi_day_low"]]
    found = rows(received, "stats", "symbol", "ts_event", "name", "value")
    assert {name: value for *_, name, value in found} == stats
    assert {one[:2] for one in found} == {("INFY", at)}
    assert received.said[1] == Confirmed(tuple(everything(["INFY"])))
    assert not received.bad


def test_a_recorded_quote_packet_is_what_stands_beside_it() -> None:
    packet, want = recorded("ticker_quote")
    (found,) = kite_parse.parse([Frame(NOW, kp.frame([packet]))]).packets.values()
    one = {name: int(found.rows[name][0]) for name in found.rows.dtype.names}
    names = {"token": "instrument_token", "last": "last_price", "average": "average_price"}
    flat = {**want, **want["ohlc"]}
    for name, value in one.items():
        scale = 1 if isinstance(flat[names.get(name, name)], int) else 100
        if name in ("open", "high", "low", "close"):
            scale = 100
        assert value / scale == flat[names.get(name, name)], name
    made = session([Stream("INFY", "trades")])
    assert not trades(made.receive([Frame(NOW, kp.frame([packet]))]))  # nobody says when it was
    more = bytearray(packet)
    more[16:20] = struct.pack(">I", want["volume"] + 5)
    assert trades(made.receive([Frame(NOW + 7, kp.frame([bytes(more)]))])) == [
        ("INFY", NOW + 7, want["last_price"], 5.0, "several")
    ]


def test_a_last_price_is_a_trade_when_it_moves() -> None:
    want = json.loads(real("kite/ticker_ltp.json").read_text())["last_price"]
    made = session([Stream("INFY", "trades")], trades_mode="ltp")
    packets = [kp.ltp(INFY, last) for last in (157_000, round(want * 100), round(want * 100))]
    received = made.receive([Frame(NOW, kp.frame([packet])) for packet in packets])
    assert trades(received) == [("INFY", NOW, want, None, None)]
    assert received.said[1] == Confirmed((Stream("INFY", "trades"),))


# -- any packets -------------------------------------------------------------------------------

COUNTS = (0, 1, 7, 150, 200, 2**32 - 1)
PRICES = (0, 1, 99_995, 157_370, 2**31 - 1)
TIMES = (0, 1_625_461_887, 1_625_500_000, 1_625_600_000)


def some_packet(seed: int) -> bytes:
    random = Random(seed)
    token = random.choice([*NAMES, STRANGER])
    if token == NIFTY:
        fields = {name: random.choice(PRICES) for name in kp.INDEX[1:]}
        return kp.index(token, random.choice((None, *TIMES)), **fields)
    if random.random() < 0.1:
        return kp.ltp(token, random.choice(PRICES))
    counts = ("last_quantity", "volume", "buy_quantity", "sell_quantity")
    fields = {name: random.choice(COUNTS if name in counts else PRICES) for name in kp.QUOTE[1:]}
    if random.random() < 0.3:
        return kp.quote(token, **fields)
    fields |= {name: random.choice(TIMES if "time" in name else COUNTS) for name in kp.REST}
    sizes, units = (0, 1, 5), (0, 157_300, 157_305)
    depth = [(random.choice(sizes), random.choice(units), random.randrange(3)) for _ in range(10)]
    return kp.full(token, depth[: random.randrange(11)], **fields)


SEEDS = st.integers(0, 2**20)


LENGTHS = {"ltp": {8}, "quote": {28, 44}, "full": {32, 184}}


@pytest.mark.parametrize("mode", LENGTHS)
@given(batches=st.lists(st.lists(st.lists(SEEDS, max_size=8), max_size=3), max_size=4))
@settings(max_examples=25, deadline=None)
def test_packets_tell_what_plain_python_reads(mode: str, batches: list[list[list[int]]]) -> None:
    asked = everything() if mode == "full" else [Stream(name, "trades") for name in NAMES.values()]
    made = session(asked, trades_mode="quote" if mode == "full" else mode)
    told: dict[str, list[tuple[Any, ...]]] = {name: [] for name in CHANNELS}
    given_packets: list[tuple[bytes, int]] = []
    at = NOW
    for batch in batches:
        frames = []
        for seeds in batch:
            inside = [some_packet(seed) for seed in seeds]
            at += 1_000_003
            frames.append(Frame(at, kp.frame(inside)))
            given_packets += [(one, at) for one in inside if len(one) in LENGTHS[mode]]
        received = made.receive(frames)
        assert not received.bad
        told["trades"] += trades(received)
        told["quotes"] += rows(received, "quotes", *QUOTES)
        told["book"] += books(received.books)
        told["stats"] += rows(received, "stats", "symbol", "ts_event", "name", "value")
    want = kp.told(NAMES, given_packets)
    assert told["trades"] == want.trades
    assert told["quotes"] == want.quotes
    assert told["book"] == want.books
    assert told["stats"] == (want.stats if mode == "full" else [])


def test_rows_pass_the_checks_and_a_trade_that_comes_again_has_its_key() -> None:
    packet = kp.full(INFY, [(5, 157_340, 1)], last=157_370, last_quantity=7, volume=100,
                     last_trade_time=1_625_461_887, time=1_625_461_888)  # fmt: skip
    again = [session().receive([Frame(NOW, kp.frame([packet]))]) for _ in range(2)]
    keys = [received.rows["trades"].column("key").to_pylist() for received in again]
    assert keys[0] == keys[1]
    assert keys[0][0] is not None
    for table, batch in again[0].rows.items():
        checked = check_batch(table, batch, venue="NSE", bounds=Bounds(), now_ns=NOW)
        assert checked.accepted.all(), table
        assert {checked.spellings.names[code] for code in checked.codes} == {("INFY", "NSE")}


# -- noise -------------------------------------------------------------------------------------


CUT = st.builds(
    lambda seeds, cut: kp.frame([some_packet(seed) for seed in seeds])[:cut],
    st.lists(SEEDS, min_size=1, max_size=3),
    st.integers(0, 500),
)
TEXT = st.text(max_size=40).map(lambda text: b"{" + text.encode())


@given(frames=st.lists(st.binary(max_size=300) | CUT | TEXT, max_size=6))
@settings(max_examples=60, deadline=None)
def test_no_frame_breaks_a_session(frames: list[bytes]) -> None:
    made = session()
    received = made.receive([Frame(NOW, data) for data in frames])
    assert all(bad.frame in frames and bad.detail for bad in received.bad)
    good = kp.frame([kp.full(INFY, last=1, time=1_625_461_888, volume=5)])
    assert not made.receive([Frame(NOW, good)]).bad


def test_what_is_cut_off_is_kept_and_the_packets_before_it_are_taken() -> None:
    one = kp.full(INFY, [(5, 157_340, 1)], time=1_625_461_888)
    whole = kp.frame([one, kp.ltp(INFY, 5)])
    for data, said in (
        (whole[:-3], "packet 2 of 2 has 8 bytes and is cut off"),
        (whole[: -len(kp.ltp(1, 1)) - 1], "it ends before packet 2 of 2"),
        (kp.frame([one, b"x" * 17]), "packet 2 of 2 has 17 bytes, which no packet has"),
        (whole + b"!", "1 bytes are left behind its 2 packets"),
    ):
        received = session().receive([Frame(NOW, data)])
        assert len(rows(received, "quotes", "symbol")) == 1
        assert [(bad.detail, bad.frame) for bad in received.bad] == [(said, data)]


# -- requests, confirmations, messages ---------------------------------------------------------


def sent(outgoing: Sequence[Any]) -> list[tuple[str, Any]]:
    spoken = [json.loads(one.data) for one in outgoing]
    return [(one["a"], one["v"]) for one in spoken]


def test_modes_follow_the_channels() -> None:
    made = venue().session([])
    asked = made.subscribe([Stream("INFY", "trades"), Stream("NFO:INFY26NOVFUT", "stats")])
    assert sent(asked) == [
        ("subscribe", [INFY, FUTURE]), ("mode", ["full", [FUTURE]]), ("mode", ["quote", [INFY]]),
    ]  # fmt: skip
    assert sent(made.subscribe([Stream("INFY", "book")])) == [("mode", ["full", [INFY]])]
    assert sent(made.unsubscribe([Stream("INFY", "book")])) == [("mode", ["quote", [INFY]])]
    assert sent(made.unsubscribe([Stream("INFY", "trades")])) == [("unsubscribe", [INFY])]
    ends = [said for said in made.receive([Frame(NOW, b"\0")]).said if isinstance(said, Confirmed)]
    assert [(said.streams, said.ends) for said in ends] == [
        ((Stream("INFY", "book"),), True), ((Stream("INFY", "trades"),), True),
    ]  # fmt: skip


def test_the_first_packet_of_the_mode_confirms() -> None:
    streams = [Stream("INFY", "trades"), Stream("INFY", "book")]
    made = session(streams)
    for data in (b"\0", kp.frame([kp.quote(INFY, volume=1)]), kp.frame([kp.full(STRANGER)])):
        received = made.receive([Frame(NOW, data)])
        assert (received.said, dict(received.rows)) == ([Heartbeat()], {})
    confirmed = made.receive([Frame(NOW, kp.frame([kp.full(INFY)]))]).said[1:]
    assert confirmed == [Confirmed(tuple(streams))]


def test_what_cannot_be_had_is_refused() -> None:
    made = session([Stream("BSE:NOPE", "trades"), Stream("NSE:NIFTY_50", "book")])
    refused = [said for said in made.receive([Frame(NOW, b"\0")]).said if isinstance(said, Refused)]
    assert [(said.streams[0].symbol, said.passing) for said in refused] == [
        ("BSE:NOPE", False), ("NSE:NIFTY_50", False),
    ]  # fmt: skip
    assert "list of instruments" in refused[0].reason
    assert "an index has no book" in refused[1].reason


def test_messages_of_text() -> None:
    made = session([Stream("INFY", "trades")])
    frames = [b'{"type":"order","data":{"id":1}}', b'{"type":"message","data":"hello"}',
              b'{"type":"instruments_meta","data":{}}']  # fmt: skip
    received = made.receive([Frame(NOW, data) for data in frames])
    assert (list(received.said), list(received.bad)) == ([], [])
    error = Frame(NOW, b'{"type":"error","data":"too many"}')
    (said,) = made.receive([error]).said
    assert said == Refused((Stream("INFY", "trades"),), "too many", passing=True)
    (bad,) = made.receive([error]).bad
    assert (bad.reason, bad.detail) == ("venue_error", "too many")


# -- accounts and configuration ----------------------------------------------------------------


def test_secrets_are_in_the_address_alone() -> None:
    dial = venue().session([]).dial()
    assert dial.url == "wss://ws.kite.trade?api_key=key1&access_token=token1"
    assert dial.shown == "wss://ws.kite.trade (account 1)"
    for text in (repr(dial), repr(OPTIONS), repr(venue()._seats)):
        assert "key1" not in text
        assert "token1" not in text


def test_connections_spread_over_accounts_and_leave_one_that_is_refused() -> None:
    accounts = tuple(Account(key=f"k{n}", token=f"t{n}") for n in (1, 2))
    made = make(VenueOptions(accounts=accounts, extra={"connections_max": 2}))
    assert made.limits.connections_max == 4
    sessions = [made.session([]) for _ in range(4)]
    places = [one.dial().shown for one in sessions]
    assert places == [f"wss://ws.kite.trade (account {n})" for n in (1, 2, 1, 2)]
    sessions[0].ended(403)
    sessions[1].ended(None)
    moved = made.session([])  # there is room at both, and one was refused
    assert moved.dial().shown == "wss://ws.kite.trade (account 2)"
    again = made.session([])  # there is no room at the other
    assert again.dial().shown == "wss://ws.kite.trade (account 1)"
    for one in sessions:
        one.ended(None)
        one.ended(None)  # once is enough
    assert [seat.open for seat in made._seats.seats] == [1, 1]


@pytest.mark.parametrize(
    ("accounts", "extra", "named"),
    [
        ((), {}, "accounts"),
        ((Account(key="k"),), {}, "account 1"),
        (OPTIONS.accounts, {"exchange": 5}, "exchange"),
        (OPTIONS.accounts, {"trades_mode": "full"}, "trades_mode"),
        (OPTIONS.accounts, {"instruments": 1}, "instruments"),
        (OPTIONS.accounts, {"instruments_max": 3001}, "instruments_max"),
        (OPTIONS.accounts, {"connections_max": True}, "connections_max"),
    ],
)
def test_bad_configuration_is_refused(
    accounts: tuple[Account, ...], extra: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named) as fault:
        make(VenueOptions(accounts=accounts, extra=extra))
    assert "token1" not in str(fault.value)
