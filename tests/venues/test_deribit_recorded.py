"""The recorded options of Deribit, read in plain Python, and by the session, value by value."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from realdata import real
from tickplant.config import BookSettings
from tickplant.feeds.book_desk import BookDesk
from tickplant.feeds.venues.contract import CHANNELS, Confirmed, Frame, Received, Stream
from tickplant.feeds.venues.deribit.client import make
from tickplant.feeds.venues.options import Account, VenueOptions

RAW = VenueOptions(accounts=(Account(key="k", secret="s"),))


@cache
def recorded() -> tuple[tuple[int, str], ...]:
    found = []
    with gzip.open(real("frames/DERIBIT.ws.1.0.gz"), "rt") as lines:
        for line in lines:
            seconds, colon, text = line.rstrip("\n").partition(": ")
            if colon and not line.startswith("wss:"):
                found.append((int(Decimal(seconds) * 10**9), text))
    return tuple(found)


def told(kind: str) -> Iterator[dict[str, Any]]:
    for _, text in recorded():
        spoken = json.loads(text)
        if spoken.get("params", {}).get("channel", "").startswith(f"{kind}."):
            yield spoken["params"]["data"]


def symbols() -> list[str]:
    return sorted({one["instrument_name"] for one in told("ticker")})


@cache
def heard(batch: int = 20) -> tuple[Received, ...]:
    session = make(RAW).session([])
    # The recording's only request has the number 0, ours begin with 10: its answer is not ours.
    session.subscribe([Stream(symbol, channel) for symbol in symbols() for channel in CHANNELS])
    frames = [Frame(received, text.encode()) for received, text in recorded()]
    return tuple(session.receive(frames[i : i + batch]) for i in range(0, len(frames), batch))


def rows(table: str) -> list[dict[str, Any]]:
    return [row for one in heard() if table in one.rows for row in one.rows[table].to_pylist()]


def test_every_ticker_with_a_price_is_a_quote() -> None:
    expected = [
        {
            "symbol": one["instrument_name"],
            "venue": None,
            "ts_event": one["timestamp"] * 1_000_000,
            "bid_price": one["best_bid_price"] or None,
            "bid_size": one["best_bid_amount"] if one["best_bid_price"] else None,
            "ask_price": one["best_ask_price"] or None,
            "ask_size": one["best_ask_amount"] if one["best_ask_price"] else None,
            "exchange": None,
            "key": None,
        }
        for one in told("ticker")
        if one["best_bid_price"] or one["best_ask_price"]
    ]
    assert rows("quotes") == expected


def test_statistics_are_told_where_they_changed() -> None:
    names = ("open_interest", "mark_price", "mark_iv", "bid_iv", "ask_iv", "index_price",
             "underlying_price", "settlement_price")  # fmt: skip
    last: dict[tuple[str, str], float] = {}
    expected = []
    for one in told("ticker"):
        values = {name: one[name] for name in names}
        values |= {name: one["greeks"][name] for name in ("delta", "gamma", "theta", "vega", "rho")}
        for name, value in values.items():
            if last.get((one["instrument_name"], name)) != value:
                last[one["instrument_name"], name] = value
                expected.append((one["instrument_name"], one["timestamp"] * 10**6, name, value))
    found = [(r["symbol"], r["ts_event"], r["name"], float(r["value"])) for r in rows("stats")]
    assert found == expected


def test_every_message_of_a_book_has_the_levels_and_numbers_of_its_frame() -> None:
    expected = [
        (
            one["instrument_name"],
            one["timestamp"] * 1_000_000,
            one["type"] == "snapshot",
            one["change_id"],
            one.get("prev_change_id", -1),
            [
                (side, price, 0.0 if action == "delete" else amount)
                for side, key in ((1, "bids"), (2, "asks"))
                for action, price, amount in one[key]
            ],
        )
        for one in told("book")
    ]
    found = []
    for books in (received.books for received in heard()):
        for i in range(len(books) if books is not None else 0):
            at = slice(books.offsets[i], books.offsets[i + 1])
            columns = (books.side[at].tolist(), books.price[at].tolist(), books.size[at].tolist())
            numbers = (int(books.last[i]), int(books.previous[i]))
            symbol, ts = books.symbols[books.code[i]], int(books.ts_event[i])
            levels = list(zip(*columns, strict=True))
            found.append((symbol, ts, bool(books.snapshot[i]), *numbers, levels))
    assert found == expected


def test_the_desk_follows_every_recorded_book() -> None:
    venue = make(RAW)
    session, desk = venue.session([]), BookDesk.of_venue(venue, BookSettings())
    oracle: dict[str, dict[str, dict[float, float]]] = {}
    for received, text in recorded():
        books = session.receive([Frame(received, text.encode())]).books
        if books is None:
            continue
        one = json.loads(text)["params"]["data"]
        if one["type"] == "snapshot":
            oracle[one["instrument_name"]] = {"bids": {}, "asks": {}}
        for key, kept in oracle[one["instrument_name"]].items():
            for action, price, amount in one[key]:
                kept[price] = amount
                if action == "delete":
                    del kept[price]
        assert desk.take(books, received).broken == ()
        book = desk.book(one["instrument_name"])
        assert book is not None
        for side, key in ((book.bids, "bids"), (book.asks, "asks")):
            found = {level.price: level.size for level in side.top()}
            assert found == oracle[one["instrument_name"]][key]
    assert sorted(oracle) == symbols()


def test_the_recorded_request_is_the_one_that_we_would_send() -> None:
    with gzip.open(real("frames/DERIBIT.ws.1.0.gz"), "rt") as lines:
        sent = next(line for line in lines if " <- " in line).partition(": ")[2]
    asked = json.loads(sent)
    streams = [Stream(symbol, channel) for symbol in symbols() for channel in CHANNELS]
    session = make(RAW).session(streams)
    (frame,) = session.subscribe(streams)
    ours = json.loads(frame.data)
    assert (ours["method"], ours["jsonrpc"]) == (asked["method"], asked["jsonrpc"])
    assert sorted(ours["params"]["channels"]) == sorted(asked["params"]["channels"])
    answer = next(text for _, text in recorded() if '"id":0' in text)
    answer = answer.replace('"id":0', f'"id":{ours["id"]}')
    (confirmed,) = session.receive([Frame(1, answer.encode())]).said
    assert isinstance(confirmed, Confirmed)
    assert sorted(confirmed.streams) == sorted(streams)
