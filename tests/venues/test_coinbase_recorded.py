"""The recorded feed of Coinbase Exchange, read here in plain Python, and by the session.

Every trade, quote and update of a book is compared with what stands in the frame, and every book
with a dictionary after each event.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from realdata import real
from tickplant.books.book import Book, Side
from tickplant.books.updates import Updates
from tickplant.config import BookSettings
from tickplant.feeds.book_desk import BookDesk
from tickplant.feeds.venues.coinbase_exchange.client import make
from tickplant.feeds.venues.contract import Confirmed, Frame, Received, Stream
from tickplant.feeds.venues.options import VenueOptions

CHANNELS = ("trades", "quotes", "book")


@cache
def recorded() -> tuple[tuple[int, str], ...]:
    """Every frame that came, with the time of its receipt."""
    found = []
    with gzip.open(real("frames/COINBASE.ws.28.0.gz"), "rt") as lines:
        for line in lines:
            seconds, colon, text = line.rstrip("\n").partition(": ")
            if colon and not line.startswith("wss:"):
                found.append((int(Decimal(seconds) * 10**9), text))
    return tuple(found)


def said(*types: str) -> Iterator[dict[str, Any]]:
    for received, text in recorded():
        spoken = json.loads(text)
        if spoken["type"] in types:
            yield spoken | {"received": received}


def products() -> list[str]:
    return sorted({spoken["product_id"] for spoken in said("snapshot")})


@cache
def heard(batch: int = 500) -> tuple[Received, ...]:
    session = make(VenueOptions()).session([])
    session.subscribe([Stream(product, channel) for product in products() for channel in CHANNELS])
    frames = [Frame(received, text.encode()) for received, text in recorded()]
    return tuple(session.receive(frames[i : i + batch]) for i in range(0, len(frames), batch))


def ns(text: str) -> int:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return int(moment.replace(microsecond=0).timestamp()) * 10**9 + moment.microsecond * 1000


def rows(table: str) -> list[dict[str, Any]]:
    return [row for one in heard() if table in one.rows for row in one.rows[table].to_pylist()]


def test_every_trade_is_the_one_in_its_frame() -> None:
    expected = [
        {
            "symbol": trade["product_id"],
            "venue": None,
            "ts_event": ns(trade["time"]),
            "price": float(Decimal(trade["price"])),
            "size": float(Decimal(trade["size"])),
            "side": 1 if trade["side"] == "sell" else 2,
            "id": str(trade["trade_id"]),
            "conditions": None,
            "exchange": None,
            "key": None,
        }
        for trade in said("match", "last_match")
    ]
    assert rows("trades") == expected


def test_the_side_of_a_trade_is_the_one_that_the_ticker_calls_the_takers() -> None:
    takers = {(one["product_id"], str(one["trade_id"])): one["side"] for one in said("ticker")}
    found = {(row["symbol"], row["id"]): (None, "buy", "sell")[row["side"]]
             for row in rows("trades")}  # fmt: skip
    both = takers.keys() & found.keys()
    assert len(both) > 100
    assert {key: takers[key] for key in both} == {key: found[key] for key in both}


def test_every_ticker_is_a_quote_without_sizes() -> None:
    expected = [
        {
            "symbol": one["product_id"],
            "venue": None,
            "ts_event": ns(one["time"]),
            "bid_price": float(Decimal(one["best_bid"])),
            "bid_size": None,
            "ask_price": float(Decimal(one["best_ask"])),
            "ask_size": None,
            "exchange": None,
            "key": None,
        }
        for one in said("ticker")
    ]
    assert rows("quotes") == expected


def _levels(spoken: dict[str, Any]) -> list[tuple[int, float, float]]:
    if spoken["type"] == "l2update":
        sides = {"buy": 1, "sell": 2}
        return [(sides[s], float(Decimal(p)), float(Decimal(q))) for s, p, q in spoken["changes"]]
    return [
        (side, float(Decimal(p)), float(Decimal(q)))
        for side, key in ((1, "bids"), (2, "asks"))
        for p, q in spoken[key]
    ]


def test_every_message_of_a_book_has_the_levels_of_its_frame() -> None:
    expected = [
        (
            spoken["product_id"],
            ns(spoken["time"]) if "time" in spoken else spoken["received"],
            spoken["type"] == "snapshot",
            _levels(spoken),
        )
        for spoken in said("snapshot", "l2update")
    ]
    found = []
    for received in heard():
        books = received.books
        if books is None:
            continue
        columns = (books.side.tolist(), books.price.tolist(), books.size.tolist())
        levels = list(zip(*columns, strict=True))
        for i in range(len(books)):
            first, last = books.offsets[i], books.offsets[i + 1]
            symbol, ts = books.symbols[books.code[i]], int(books.ts_event[i])
            found.append((symbol, ts, bool(books.snapshot[i]), levels[first:last]))
    assert found == expected


def test_every_subscription_is_confirmed_once_and_nothing_was_missing() -> None:
    found = [one for received in heard() for one in received.said]
    assert all(isinstance(one, Confirmed) and not one.ends for one in found)
    confirmed = [stream for one in found for stream in one.streams]  # type: ignore[union-attr]
    assert sorted(confirmed) == sorted(Stream(p, c) for p in products() for c in CHANNELS)
    assert [bad for received in heard() for bad in received.bad] == []


def _messages() -> Iterator[tuple[Updates, int, slice]]:
    for received in heard():
        if (books := received.books) is not None:
            for i in range(len(books)):
                yield books, i, slice(books.offsets[i], books.offsets[i + 1])


def test_books_equal_a_dictionary_after_every_event() -> None:
    """Touched levels, counts and best prices after each event; whole books after every 50th."""
    kept: dict[str, Book] = {product: Book() for product in products()}
    oracle: dict[str, dict[int, dict[float, float]]] = {}
    both = zip(said("snapshot", "l2update"), _messages(), strict=True)
    for number, (spoken, (books, i, at)) in enumerate(both):
        product, levels = spoken["product_id"], _levels(spoken)
        if spoken["type"] == "snapshot":
            oracle[product] = {1: {}, 2: {}}
        for code, price, size in levels:
            oracle[product][code][price] = size
            if size == 0:
                del oracle[product][code][price]
        book = kept[books.symbols[books.code[i]]]
        write = book.replace if books.snapshot[i] else book.apply
        write(books.side[at].tolist(), books.price[at].tolist(), books.size[at].tolist())
        for code in {one for one, _, _ in levels}:
            touched = [price for one, price, _ in levels if one == code]
            _compare(kept[product].side(code), oracle[product][code], touched, number % 50 == 0)
        assert not kept[product].crossed
    assert sorted(oracle) == products()


def _compare(side: Side, kept: dict[float, float], touched: list[float], whole: bool) -> None:
    assert len(side) == len(kept)
    assert [side.size(price) for price in touched] == [kept.get(price, 0.0) for price in touched]
    if whole:
        assert {level.price: level.size for level in side.top()} == kept


def test_the_desk_keeps_every_recorded_book_right() -> None:
    venue = make(VenueOptions())
    desk = BookDesk.of_venue(venue, BookSettings())
    for received in heard():
        if received.books is not None:
            assert desk.take(received.books, recorded()[-1][0]).broken == ()
    assert [product for product in products() if not desk.intact(product)] == []
    assert desk.counts.dropped == 0


def test_the_recorded_products_are_listings() -> None:
    with gzip.open(real("frames/COINBASE.0.gz"), "rt") as lines:
        _, _, answer = next(lines).partition(" -> ")
    body = answer.partition(": ")[2]
    listed = json.loads(body)
    found = make(VenueOptions()).read_listings(body.encode())
    assert len(found) == len(listed) > 100
    for listing, product in zip(found, listed, strict=True):
        assert (listing.symbol, listing.native) == (product["id"], product["id"])
        assert (listing.base, listing.quote) == (
            product["base_currency"],
            product["quote_currency"],
        )
        assert listing.tick_size == float(product["quote_increment"])
        assert listing.lot_size == float(product["base_increment"])
        active = product["status"] == "online" and not product["trading_disabled"]
        assert listing.status == ("active" if active else "inactive")
