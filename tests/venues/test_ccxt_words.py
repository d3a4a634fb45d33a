"""The words between us and ccxt, and what its faults end: by an exchange that follows a script."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ccxt import pro
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.feeds.supervisor.configured import parse_feed, read_feeds
from tickplant.feeds.venues.ccxt_pro import connector, names, watchers
from tickplant.feeds.venues.ccxt_pro.client import make
from tickplant.feeds.venues.ccxt_pro.connector import CcxtConnection
from tickplant.feeds.venues.ccxt_pro.history import CcxtHistory
from tickplant.feeds.venues.ccxt_pro.session import CcxtSession
from tickplant.feeds.venues.contract import (
    Confirmed,
    Frame,
    Outgoing,
    Refused,
    Skipped,
    Stream,
    VenueFault,
)
from tickplant.feeds.venues.options import VenueOptions
from tickplant.feeds.venues.transport import ConnectionLost
from tickplant.model.errors import ConfigError, NotInstalled

BTC = "BTC/USD"
TRADES, QUOTES, BOOK = (Stream("BTC-USD", channel) for channel in ("trades", "quotes", "book"))
MS = 1_000_000


def heard(*said: Any) -> Any:
    frames = [
        Frame(77, one if isinstance(one, bytes) else json.dumps(one).encode()) for one in said
    ]
    return CcxtSession("ccxt://x").receive(frames)


def test_trades_are_rows_with_their_numbers() -> None:
    data = [
        {"price": 100.5, "amount": 0.25, "timestamp": 1_700_000_000_123, "side": "sell", "id": "a"},
        {"price": 101.0, "amount": None, "timestamp": None, "side": None, "id": None},
    ]
    rows = heard({"op": "trades", "symbol": BTC, "data": data}).rows["trades"].to_pylist()
    shown = ("symbol", "ts_event", "price", "size", "side", "id")
    assert [[row[name] for name in shown] for row in rows] == [
        ["BTC-USD", 1_700_000_000_123 * MS, 100.5, 0.25, 2, "a"],
        ["BTC-USD", 77, 101.0, None, 0, None],
    ]


def test_a_quote_may_lack_a_side() -> None:
    quote = {"op": "quote", "symbol": "BTC/USDT:USDT", "bid": 0, "ask": 5.5, "ask_size": 2}
    (row,) = heard({**quote, "timestamp": 5}).rows["quotes"].to_pylist()
    assert (row["symbol"], row["ts_event"], row["bid_price"]) == ("BTC-USDT.USDT", 5 * MS, None)
    assert (row["ask_price"], row["ask_size"]) == (5.5, 2.0)


def test_books_are_whole_with_every_message() -> None:
    said = {"op": "book", "symbol": BTC, "bids": [[2, 1], [1, 5]], "asks": [[3, 4]]}
    books = heard({**said, "timestamp": None}, {**said, "bids": []}).books
    assert books.snapshot.tolist() == [True, True]
    assert books.offsets.tolist() == [0, 3, 4]
    assert books.side.tolist() == [1, 1, 2, 2]
    assert books.price.tolist() == [2, 1, 3, 3]
    assert books.size.tolist() == [1, 5, 4, 4]
    assert books.ts_event.tolist() == [77, 77]


def test_what_was_asked_for_is_confirmed_refused_and_ended() -> None:
    named = {"channel": "book", "symbol": BTC}
    refused = {"op": "refused", **named, "reason": "BadSymbol: none", "passing": False}
    assert heard({"op": "watching", **named}, refused, {"op": "unwatched", **named}).said == [
        Confirmed((BOOK,)),
        Refused((BOOK,), "BadSymbol: none"),
        Confirmed((BOOK,), ends=True),
    ]


def test_more_trades_than_the_library_keeps_may_be_a_hole() -> None:
    session = CcxtSession("ccxt://x")

    def trades(ms: int) -> dict[str, Any]:
        return {"op": "trades", "symbol": BTC, "data": [{"price": 1, "timestamp": ms}]}

    session.receive([Frame(1, json.dumps(trades(5)).encode())])
    overrun = {"op": "overrun", "symbol": BTC}
    found = session.receive([Frame(1, json.dumps(one).encode()) for one in (overrun, trades(9))])
    (skipped,) = found.said
    assert isinstance(skipped, Skipped)
    assert (skipped.streams, skipped.start, skipped.end) == ((TRADES,), 5 * MS, 9 * MS)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"[]",
        b'{"op":"trades","symbol":"BTC/USD","data":[{"price":null}]}',
        b'{"op":"trades","symbol":"BTC/USD","data":[{"price":1,"timestamp":-5}]}',
        b'{"op":"trades","symbol":"BTC/USD","data":[{"price":1,"timestamp":99999999999999999}]}',
    ],
)
def test_a_bad_frame_is_put_aside_alone(bad: bytes) -> None:
    good = {"op": "trades", "symbol": BTC, "data": [{"price": 1}]}
    found = heard(good, bad, good)
    assert found.rows["trades"].num_rows == 2
    assert [one.frame for one in found.bad] == [bad]


VALUE = st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.lists(st.floats())
SAID = st.fixed_dictionaries(
    {"op": st.sampled_from(["trades", "quote", "book", "watching", "refused", "overrun", "?"])},
    optional={
        "symbol": st.sampled_from([BTC, "", ":/"]) | VALUE,
        "channel": st.sampled_from(["trades", "book"]) | VALUE,
        "data": st.lists(st.dictionaries(st.sampled_from(["price", "timestamp", "id"]), VALUE)),
        "bids": st.lists(st.lists(st.floats(), min_size=2, max_size=2)) | VALUE,
        "asks": VALUE,
        "bid": VALUE,
        "timestamp": VALUE,
    },
)


@settings(max_examples=40, deadline=None)
@given(st.lists(SAID.map(lambda said: json.dumps(said).encode()) | st.binary(max_size=9)))
def test_whatever_is_said_is_read_or_put_aside(said: list[bytes]) -> None:
    found = heard(*said, {"op": "trades", "symbol": BTC, "data": [{"price": 7}]})
    assert {one.frame for one in found.bad} <= set(said)
    assert found.rows["trades"].column("price").to_pylist()[-1] == 7


@pytest.mark.parametrize(
    ("native", "ours"),
    [
        ("BTC/USD", "BTC-USD"),
        ("BTC/USDT:USDT", "BTC-USDT.USDT"),
        ("BTC/USD:BTC-261225-60000-C", "BTC-USD.BTC-261225-60000-C"),
    ],
)
def test_symbols_go_there_and_back(native: str, ours: str) -> None:
    assert names.canonical(native) == ours
    assert names.native(ours) == native


# -- an exchange that follows a script --------------------------------------------------------


class Script:
    """An exchange whose watch methods return, or raise, one after the other, then wait."""

    id = "script"

    def __init__(self, *steps: Any, **has: bool) -> None:
        self.has = {"watchTrades": True, "watchTicker": True, "watchOrderBook": True, **has}
        self.steps = list(steps)
        self.asked: list[Any] = []
        self.ended: list[Any] = []
        self.clients: dict[str, Any] = {}
        self.closed = False

    async def watch_trades(self, *args: Any) -> Any:
        self.asked.append(args)
        if not self.steps:
            await asyncio.Event().wait()
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    watch_ticker = watch_order_book = watch_bids_asks = watch_trades

    async def un_watch_trades(self, symbol: str) -> None:
        self.ended.append(symbol)

    async def close(self) -> None:
        self.closed = True


class Pauses:
    """A sleep that ends when it is told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        await self.gate.wait()


def connection(script: Script, sleep: Any = None, depth: int | None = None) -> CcxtConnection:
    return CcxtConnection(script, pro, depth, lambda: 77, sleep or Pauses())


def ask(op: str, channel: str = "trades") -> Outgoing:
    return Outgoing(json.dumps({"op": op, "channel": channel, "symbol": BTC}))


async def fetched(link: CcxtConnection, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found += [json.loads(frame.data) for frame in await link.receive()]
    return found


ONE = [{"price": 1.0, "amount": 2.0, "timestamp": 5, "side": "buy", "id": 9, "info": {}}]


async def test_the_first_news_confirm_a_stream() -> None:
    script = Script(ONE, ONE)
    link = connection(script)
    await link.send(ask("watch"))
    first, *news = await fetched(link, 3)
    assert first == {"op": "watching", "channel": "trades", "symbol": BTC}
    assert [one["data"][0]["id"] for one in news] == ["9", "9"]
    await link.close()
    assert script.closed
    with pytest.raises(ConnectionLost):
        await link.receive()


async def test_a_quiet_stream_is_in_force_after_a_while_over_an_open_socket() -> None:
    script, pauses = Script(), Pauses()
    script.clients["x"] = SimpleNamespace(isConnected=True, closed=lambda: False)
    link = connection(script, pauses)
    await link.send(ask("watch"))
    pauses.gate.set()
    assert [one["op"] for one in await fetched(link, 1)] == ["watching"]
    await link.close()


@pytest.mark.parametrize(
    ("fault", "passing"),
    [
        (pro.BadSymbol("no BTC/USD"), False),
        (pro.AuthenticationError("who"), False),
        (pro.NotSupported("not this"), False),
        (pro.ExchangeError("?"), True),
        (pro.ChecksumError("wrong"), True),
        (KeyError("a bug"), True),
    ],
)
async def test_a_fault_of_a_stream_refuses_that_one(fault: Exception, passing: bool) -> None:
    link = connection(Script(fault))
    await link.send(ask("watch"))
    (said,) = await fetched(link, 1)
    assert (said["op"], said["passing"]) == ("refused", passing)
    assert type(fault).__name__ in said["reason"]
    await link.close()


@pytest.mark.parametrize("fault", [pro.NetworkError("gone https://user:key@host/x"), None])
async def test_a_fault_of_the_network_ends_the_connection(fault: Exception | None) -> None:
    link = connection(Script(ONE, fault or asyncio.CancelledError()))
    await link.send(ask("watch"))
    assert [one["op"] for one in await fetched(link, 2)] == ["watching", "trades"]
    with pytest.raises(ConnectionLost) as lost:
        await link.receive()
    assert "key" not in str(lost.value)
    with pytest.raises(ConnectionLost):
        await link.send(ask("watch"))
    await link.close()


async def test_an_ended_stream_brings_nothing_more() -> None:
    script = Script(ONE)
    link = connection(script)
    await link.send(ask("watch"))
    await fetched(link, 2)
    await link.send(ask("unwatch"))
    assert await fetched(link, 1) == [{"op": "unwatched", "channel": "trades", "symbol": BTC}]
    assert script.ended == [BTC]
    await link.close()


async def test_frames_that_nobody_fetches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "FRAMES_MAX", 3)
    script = Script(*[ONE] * 9)
    link = connection(script)
    await link.send(ask("watch"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(script.steps) == 9 - 3  # one is on its way, the stream is held back
    assert len(await fetched(link, 10)) == 10
    await link.close()


async def test_a_book_is_copied_and_cut_to_its_depth() -> None:
    live = {"bids": [[2.0, 1.0, 3], [1.0, 5.0, 1]], "asks": [[3.0, 4.0]], "timestamp": 5}
    script = Script(live)
    link = connection(script, depth=1)
    await link.send(ask("watch", "book"))
    _, book = await fetched(link, 2)
    live["bids"][0][1] = 99.0
    assert (book["bids"], book["asks"]) == ([[2.0, 1.0]], [[3.0, 4.0]])
    assert script.asked[0] == (BTC, 1)
    await link.close()


async def test_quotes_come_from_bids_and_asks_where_there_are_any() -> None:
    ticker = {"symbol": BTC, "bid": 1.0, "bidVolume": 2.0, "ask": 3.0, "askVolume": 4.0}
    script = Script({BTC: ticker}, watchBidsAsks=True)
    link = connection(script)
    await link.send(ask("watch", "quotes"))
    _, quote = await fetched(link, 2)
    assert script.asked[0] == ([BTC],)
    assert [quote[name] for name in ("bid", "bid_size", "ask", "ask_size")] == [1, 2, 3, 4]
    await link.close()


async def test_a_full_memory_of_the_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "TRADES_KEPT", 2)
    link = connection(Script(ONE * 2))
    await link.send(ask("watch"))
    assert [one["op"] for one in await fetched(link, 3)] == ["watching", "overrun", "trades"]
    await link.close()


# -- configuration ----------------------------------------------------------------------------


def options(**extra: Any) -> VenueOptions:
    return VenueOptions(extra=extra)


def test_an_unknown_exchange_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="nearest are bitstamp"):
        make(options(exchange="bitstmp"))
    with pytest.raises(ConfigError, match="exchange: None is none of"):
        make(options())


def test_an_exchange_without_methods_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickplant.feeds.venues.ccxt_pro.client.method_of", lambda *_: None)
    with pytest.raises(ConfigError, match="bitstamp has no method of ccxt to watch it by"):
        make(options(exchange="bitstamp"))


@pytest.mark.parametrize("depth", [0, True, "five", "0", 2.5])
def test_a_depth_is_a_whole_number(depth: object) -> None:
    with pytest.raises(ConfigError, match="depth"):
        make(options(exchange="kraken", depth=depth))


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ccxt.pro", None)
    with pytest.raises(NotInstalled, match=r"tickplant\[ccxt\]"):
        make(options(exchange="kraken"))


def test_the_command_line_names_the_exchange_before_its_symbols() -> None:
    for text in (
        "ccxt:okx:BTC-USDT,ETH-USDT;depth=5",
        "ccxt:BTC-USDT,ETH-USDT;exchange=okx;depth=5",
    ):
        (plan,) = read_feeds([parse_feed(text)], {})
        assert plan.options.extra == {"exchange": "okx", "depth": "5"}
        assert {stream.symbol for stream in plan.streams} == {"BTC-USDT", "ETH-USDT"}
        assert make(plan.options).name == "OKX"


def test_an_exchange_tells_what_it_has() -> None:
    venue = make(VenueOptions("ws://127.0.0.1:1", "http://127.0.0.1:2", extra={"exchange": "okx"}))
    assert (venue.name, venue.channels) == ("OKX", ("trades", "quotes", "book"))
    assert venue.http_url == "http://127.0.0.1:2"
    assert venue.native("BTC-USDT.USDT") == "BTC/USDT:USDT"
    shown = venue.session([]).subscribe([Stream("BTC-USDT.USDT", "book")])
    assert json.loads(shown[0].data)["symbol"] == "BTC/USDT:USDT"


# -- past trades ------------------------------------------------------------------------------


class Past:
    """A library whose exchange answers with pages of trades: (number, ms)."""

    errors = pro
    name = "past"

    def __init__(self, *pages: Sequence[tuple[Any, int | None]] | Exception) -> None:
        self.pages = list(pages)
        self.since: list[int] = []

    def opened(self) -> Any:
        return self

    async def __aenter__(self) -> Any:
        return SimpleNamespace(id="past", fetch_trades=self.fetch)

    async def __aexit__(self, *_: object) -> None:
        return None

    async def load(self, exchange: Any) -> None:
        return None

    def native(self, symbol: str) -> str:
        return names.native(symbol)

    async def fetch(self, symbol: str, since: int) -> list[dict[str, Any]]:
        assert symbol == BTC
        self.since.append(since)
        page = self.pages.pop(0) if self.pages else []
        if isinstance(page, Exception):
            raise page
        return [{"price": 1.0, "id": number, "timestamp": ms} for number, ms in page]


async def past(library: Past, start: int, end: int) -> list[str]:
    found: list[str] = []
    async for batch in CcxtHistory(library).trades(None, "BTC-USD", start * MS, end * MS):  # type: ignore[arg-type]
        found += batch.column("id").to_pylist()
    return found


async def test_past_trades_are_joined_by_their_numbers() -> None:
    library = Past(
        [(1, 1000), (2, 2000)], [(2, 2000), (4, 2500), (3, 2000)], [(4, 2500), (5, 3000)]
    )
    assert await past(library, 1500, 3000) == ["2", "3", "4"]
    assert library.since == [1500 - 600_000, 2000, 2500]


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ([[]], "from before"),
        ([[(1, 1600)]], "from before"),
        ([[(None, 1000)]], "without numbers"),
        ([[(1, None)]], "without numbers"),
        ([[(1, 1000), (2, 1600)], [(9, 2000)]], "between two answers"),
        ([pro.RateLimitExceeded("slow")], "RateLimitExceeded"),
    ],
)
async def test_past_trades_that_may_not_be_all_are_a_fault(pages: list[Any], why: str) -> None:
    with pytest.raises(VenueFault, match=why):
        await past(Past(*pages), 1500, 3000)
