"""What Binance sent in 2021, and its present examples, value by value against plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from realdata import real
from tickplant.books.updates import Updates
from tickplant.feeds.venues.binance import client as spot
from tickplant.feeds.venues.binance_futures import client as futures
from tickplant.feeds.venues.contract import Frame, Received, Stream
from tickplant.feeds.venues.options import VenueOptions
from tickplant.model.events import INCOMING
from venues.recordings import Heard, answers, frames

MARKETS = {
    "BINANCE": (spot, {"NKNUSDT": "NKN-USDT", "BLZETH": "BLZ-ETH", "LRCBTC": "LRC-BTC",
                       "RUNEEUR": "RUNE-EUR"}),
    "BINANCE_FUTURES": (futures, {"SUSHIUSDT": "SUSHI-USDT", "AKROUSDT": "AKRO-USDT",
                                  "KEEPUSDT": "KEEP-USDT", "CTKUSDT": "CTK-USDT"}),
}  # fmt: skip


class Bodies:
    """An `Http` that answers by a part of what is asked for."""

    def __init__(self, bodies: Mapping[str, str]) -> None:
        self.bodies, self.asked = bodies, []

    async def get(self, path: str, params: Any = None, *, weight: int = 1) -> bytes:
        self.asked.append((path, dict(params or {}), weight))
        asked = f"{path}?{params}"
        return next(body for part, body in self.bodies.items() if part in asked).encode()


def number(text: str) -> float:
    return float(Decimal(text))


def session(market: str):
    module, names = MARKETS[market]
    venue = module.make(VenueOptions())
    streams = [Stream(symbol, channel) for symbol in names.values() for channel in venue.channels]
    return venue.session(streams)


def read(market: str, heard: list[Heard], size: int) -> list[Received]:
    by = session(market)
    sent = [Frame(one.ts, one.text.encode()) for one in heard]
    return [by.receive(sent[at : at + size]) for at in range(0, len(sent), size)]


def rows(received: list[Received], table: str) -> list[dict[str, Any]]:
    batches = [one.rows[table] for one in received if table in one.rows]
    assert all(batch.schema == INCOMING[table] for batch in batches)
    return pa.Table.from_batches(batches, INCOMING[table]).to_pylist()


def said(updates: Updates | None) -> list[tuple[Any, ...]]:
    """Every message about books as plain values."""
    found = []
    for at in range(0 if updates is None else len(updates)):
        levels = slice(*updates.offsets[at : at + 2].tolist())
        found.append((
            updates.symbols[updates.code[at]], int(updates.ts_event[at]), int(updates.first[at]),
            int(updates.last[at]), int(updates.previous[at]), bool(updates.snapshot[at]),
            list(zip(updates.side[levels].tolist(), updates.price[levels].tolist(),
                     updates.size[levels].tolist(), strict=True)),
        ))  # fmt: skip
    return found


def events(heard: list[Heard], kind: str) -> list[tuple[int, dict[str, Any]]]:
    found = [(one.ts, json.loads(one.text)) for one in heard]
    return [(ts, got["data"]) for ts, got in found if f"@{kind}" in got["stream"]]


def ladder(data: dict[str, Any]) -> list[tuple[int, float, float]]:
    return [
        (side, number(price), number(size))
        for side, key in ((1, "b"), (2, "a"))
        for price, size in data[key]
    ]


@pytest.mark.parametrize("market", MARKETS)
@pytest.mark.parametrize("size", [3, 200, 5_000])
def test_recorded_frames_value_by_value(market, size) -> None:
    heard, names = frames(f"{market}.ws.1.0"), MARKETS[market][1]
    received = read(market, heard, size)
    assert not any(one.bad or one.said for one in received)
    nothing = {"venue": None, "key": None, "exchange": None}

    assert rows(received, "trades") == [
        nothing
        | {
            "symbol": names[data["s"]],
            "ts_event": data["T"] * 1_000_000,
            "price": number(data["p"]),
            "size": number(data["q"]),
            "side": 2 if data["m"] else 1,
            "id": str(data["a"]),
            "conditions": None,
        }
        for _, data in events(heard, "aggTrade")
    ]
    assert rows(received, "quotes") == [
        nothing
        | {
            "symbol": names[data["s"]],
            "ts_event": data["T"] * 1_000_000 if "T" in data else ts,
            "bid_price": number(data["b"]),
            "bid_size": number(data["B"]),
            "ask_price": number(data["a"]),
            "ask_size": number(data["A"]),
        }
        for ts, data in events(heard, "bookTicker")
    ]
    assert [one for got in received for one in said(got.books)] == [
        (
            names[data["s"]],
            data.get("T", data["E"]) * 1_000_000,
            data["U"],
            data["u"],
            data.get("pu", -1),
            False,
            ladder(data),
        )
        for _, data in events(heard, "depth")
    ]


@pytest.mark.parametrize("market", MARKETS)
async def test_recorded_snapshots_value_by_value(market) -> None:
    module, names = MARKETS[market]
    venue = module.make(VenueOptions())
    recorded = answers(f"{market}.http.0.0")
    assert len(recorded) >= 4
    for url, heard in recorded:
        plain = json.loads(heard.text)
        native = url.partition("symbol=")[2].partition("&")[0]
        http = Bodies({native: heard.text})
        updates = await venue.book_snapshot(http, names[native])
        assert http.asked[0][0] == url.partition(".com")[2].partition("?")[0]
        [(symbol, ts, first, last, previous, snapshot, levels)] = said(updates)
        assert (symbol, last, snapshot) == (names[native], plain["lastUpdateId"], True)
        assert (first, previous) == (last, -1)
        assert levels == ladder({"b": plain["bids"], "a": plain["asks"]})
        assert len(levels) > 500
        if "T" in plain:
            assert ts == plain["T"] * 1_000_000


async def test_the_recorded_listing_value_by_value() -> None:
    [(_, heard)] = answers("BINANCE.0")
    plain = json.loads(heard.text)["symbols"]
    listed = await spot.make(VenueOptions()).listings(Bodies({"exchangeInfo": heard.text}))
    assert len(listed) == len(plain) > 1_000
    for got, wanted in zip(listed, plain, strict=True):
        steps = {one["filterType"]: one for one in wanted["filters"]}
        assert got.symbol == f"{wanted['baseAsset']}-{wanted['quoteAsset']}"
        assert (got.native, got.kind, got.expiry) == (wanted["symbol"], "spot", None)
        assert (got.base, got.quote) == (wanted["baseAsset"], wanted["quoteAsset"])
        assert got.tick_size == number(steps["PRICE_FILTER"]["tickSize"])
        assert got.lot_size == number(steps["LOT_SIZE"]["stepSize"])
        assert got.status == ("active" if wanted["status"] == "TRADING" else "inactive")


def test_present_examples_value_by_value() -> None:
    """The examples stand for themselves: they are put into a combined stream's envelope."""

    def frame(name: str, stream: str) -> tuple[dict[str, Any], Frame]:
        data = json.loads(real(f"protocol-examples/binance/{name}.json").read_text())
        text = json.dumps({"stream": f"{data['s'].lower()}@{stream}", "data": data})
        return data, Frame(5, text.encode())

    trade, one = frame("agg_trade_stream", "aggTrade")
    quote, two = frame("book_ticker_stream", "bookTicker")
    depth, three = frame("depth_update_stream", "depth@100ms")
    by = futures.make(VenueOptions()).session([
        Stream("BTC-USDT", "trades"), Stream("BNB-USDT", "quotes"),
    ])  # fmt: skip
    received = by.receive([one, two, three])
    assert not received.bad
    [traded] = received.rows["trades"].to_pylist()
    assert (traded["symbol"], traded["ts_event"]) == ("BTC-USDT", trade["T"] * 1_000_000)
    assert (traded["price"], traded["size"]) == (number(trade["p"]), number(trade["q"]))
    assert (traded["id"], traded["side"]) == (str(trade["a"]), 2)
    [quoted] = received.rows["quotes"].to_pylist()
    assert (quoted["symbol"], quoted["ts_event"]) == ("BNB-USDT", quote["T"] * 1_000_000)
    assert quoted["bid_price"] == number(quote["b"])
    assert quoted["bid_size"] == number(quote["B"])
    assert quoted["ask_price"] == number(quote["a"])
    assert quoted["ask_size"] == number(quote["A"])
    ts = depth["T"] * 1_000_000
    assert said(received.books) == [("BTC-USDT", ts, 157, 160, 149, False, ladder(depth))]


async def test_the_example_of_a_book_over_http() -> None:
    body = real("protocol-examples/binance/depth_response.json").read_text()
    updates = await spot.Binance(spot.SPOT, VenueOptions(), clock=lambda: 77).book_snapshot(
        Bodies({"depth": body}), "BTC-USDT"
    )
    assert said(updates) == [
        ("BTC-USDT", 77, 1027024, 1027024, -1, True, [(1, 4.0, 431.0), (2, 4.000002, 12.0)])
    ]
