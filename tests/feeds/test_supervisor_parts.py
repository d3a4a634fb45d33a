"""The parts of the supervisor, each by itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import serve

from tickplant.feeds.supervisor.allot import allot
from tickplant.feeds.supervisor.backoff import Backoff
from tickplant.feeds.supervisor.configured import parse_feed, read_feeds
from tickplant.feeds.supervisor.http import LimitedHttp
from tickplant.feeds.supervisor.kept import KeptStreams
from tickplant.feeds.supervisor.limits import SharedLimits, Slots, Window
from tickplant.feeds.supervisor.link import Link, Wiring
from tickplant.feeds.supervisor.overlap import Overlap
from tickplant.feeds.supervisor.pulse import Offset, Pulse
from tickplant.feeds.supervisor.repair import Repairer
from tickplant.feeds.supervisor.resume import Resumed
from tickplant.feeds.supervisor.rhythm import BEATS_MIN, Rhythm
from tickplant.feeds.supervisor.tap import shown_url
from tickplant.feeds.supervisor.websocket import WebSocketConnector
from tickplant.feeds.venues.catalogue import KNOWN
from tickplant.feeds.venues.contract import (
    Dial,
    Limits,
    Outgoing,
    OutOfReach,
    Rate,
    Stream,
    VenueFault,
)
from tickplant.feeds.venues.numbers import TradeNumbers
from tickplant.feeds.venues.transport import ConnectionLost
from tickplant.formats.parsed import incoming_batch
from tickplant.model.errors import ConfigError, InvalidParameter
from tickplant.plant.gaps import OpenGap
from toy_venue import ToyServer, ToyVenue
from virtual_time import NOW, VirtualLoop, run_virtual

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
FEW = settings(max_examples=40, deadline=None)


# -- limits and pauses ------------------------------------------------------------------------


@FEW
@given(
    st.lists(st.tuples(st.integers(1, 7), st.sampled_from([0.0, 0.1, 0.9, 3.0])), max_size=25),
    st.integers(1, 6),
)
def test_no_span_of_a_window_has_more_than_is_allowed(
    takes: list[tuple[int, float]], most: int
) -> None:
    async def act(loop: VirtualLoop) -> list[tuple[float, int]]:
        window, taken = Window(Rate(most, 1.0)), []
        for units, pause_s in takes:
            await window.take(units)
            taken.append((loop.time(), min(units, most)))
            await asyncio.sleep(pause_s)
        return taken

    taken = run_virtual(act)
    for at, _ in taken:
        assert sum(units for when, units in taken if at <= when < at + 1.0) <= most
    idle = sum(pause_s for _, pause_s in takes)
    units = sum(min(units, most) for units, _ in takes)
    assert not taken or taken[-1][0] <= idle + 2.01 * units / most + 1.0


def test_a_window_that_is_closed_lets_nothing_through_and_an_open_one_all() -> None:
    async def act(loop: VirtualLoop) -> list[float]:
        times = []
        window = Window(None)
        for _ in range(100):
            await window.take(1_000)
        window.close_for(7.0)
        times.append(loop.time())
        await window.take()
        return [*times, loop.time()]

    assert run_virtual(act) == [0.0, 7.0]


def test_slots_are_given_in_turn() -> None:
    async def act(loop: VirtualLoop) -> None:
        slots = Slots(1)
        await slots.take()
        assert not slots.try_take()
        waiting = asyncio.create_task(slots.take())
        await asyncio.sleep(1)
        assert not waiting.done()
        slots.give()
        await asyncio.wait_for(waiting, 1)
        assert slots.taken == 1

    run_virtual(act)


def test_pauses_double_up_to_a_cap_and_begin_anew() -> None:
    pauses = Backoff(0.5, 4.0, jitter=lambda: 0.0)
    assert [pauses.next_s() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0]
    assert pauses.next_s(60.0) == 60.0
    pauses.failures = 5_000
    assert pauses.next_s() == 2.0
    pauses.succeeded()
    assert pauses.next_s() == 0.25


# -- who carries what -------------------------------------------------------------------------


streams_drawn = st.lists(
    st.builds(
        Stream,
        st.sampled_from([f"S{n}" for n in range(9)]),
        st.sampled_from(["trades", "quotes", "book"]),
    ),
    unique=True,
)
limits_drawn = st.builds(
    Limits,
    streams_max=st.one_of(st.none(), st.integers(1, 6)),
    symbols_max=st.one_of(st.none(), st.integers(1, 4)),
    connections_max=st.one_of(st.none(), st.integers(1, 4)),
)


@FEW
@given(streams_drawn, streams_drawn, limits_drawn, st.booleans())
def test_every_stream_has_one_place_within_the_limits(
    first: list[Stream], second: list[Stream], limits: Limits, routed: bool
) -> None:
    routes = {"book": "a", "quotes": "a", "trades": "b"} if routed else None
    lines: dict[int, set[Stream]] = {}
    for streams in (first, [stream for stream in second if stream not in first]):
        given, left = allot(streams, lines, limits, routes)  # type: ignore[arg-type]
        for number, mine in given.items():
            lines.setdefault(number, set()).update(mine)
        placed = [stream for mine in given.values() for stream in mine]
        assert sorted([*placed, *left]) == sorted(streams)
        if limits.connections_max is None:
            assert not left
    for mine in lines.values():
        assert len(mine) <= (limits.streams_max or math.inf)
        assert len({stream.symbol for stream in mine}) <= (limits.symbols_max or math.inf)
        assert routes is None or len({routes[stream.channel] for stream in mine}) == 1
    assert len(lines) <= (limits.connections_max or math.inf)


def test_streams_of_a_symbol_stay_together_and_lines_fill_up() -> None:
    streams = [Stream(s, c) for s in ("A", "B", "C") for c in ("trades", "quotes")]  # type: ignore[arg-type]
    given, left = allot(streams, {1: {Stream("Z", "trades")}}, Limits(streams_max=3))
    assert [{s.symbol for s in mine} for mine in given.values()] == [{"A"}, {"B"}, {"C"}]
    assert sorted(given) == [1, 2, 3]
    assert not left


# -- signs of life ----------------------------------------------------------------------------


@FEW
@given(
    st.integers(-5 * SECOND, 60 * SECOND),
    st.lists(st.integers(0, 2 * SECOND), min_size=1, max_size=20),
)
def test_nothing_is_claimed_that_was_not_delivered(offset: int, latencies: list[int]) -> None:
    known = Offset()
    pulse, now = Pulse(known, NOW), NOW
    for latency in latencies:  # our clock is ahead of the venue's by `offset`
        happened = now
        now += latency
        pulse.event(happened, now + offset)
        assert pulse.proven is not None
        assert pulse.proven <= happened
        asked, now = now, now + latency
        pulse.answered(asked + offset, now + offset)
        assert pulse.proven <= asked
        assert known.venue_time(now + offset) <= now
    assert known.lag == offset + min(latencies)


def test_a_lag_of_long_ago_and_a_wrong_time_do_not_count() -> None:
    known = Offset()
    known.note(NOW, NOW + 5)
    known.note(NOW + 100 * SECOND, NOW + 100 * SECOND + 40)
    assert known.lag == 5
    known.note(NOW + 200 * SECOND, NOW + 200 * SECOND + 50)
    assert known.lag == 40
    known.note(NOW + 3_000 * SECOND, NOW + 200 * SECOND)
    assert known.lag == 40


def test_a_silence_is_odd_where_it_is_loud_and_not_where_it_is_quiet() -> None:
    rhythm, monday = Rhythm(), 19_675 * 24 * HOUR
    assert rhythm.log_odds(monday, monday + HOUR) == 0.0
    for week in range(2):
        start = monday + week * 7 * 24 * HOUR
        for second in range(3_600):  # half of the beats of this hour are loud
            if second % 2:
                rhythm.heard(start + second * SECOND)
        for second in range(0, 3_600, 600):  # hardly any of the next
            rhythm.heard(start + HOUR + second * SECOND)
        rhythm.interrupted()
    later = monday + 14 * 24 * HOUR
    loud = rhythm.log_odds(later + 60 * SECOND, later + 100 * SECOND)
    assert loud == pytest.approx(40 * math.log(0.5), rel=0.02)
    quiet = rhythm.log_odds(later + HOUR, later + HOUR + 40 * SECOND)
    assert -0.2 < quiet < 0
    unknown = rhythm.log_odds(later + 30 * HOUR, later + 30 * HOUR + 40 * SECOND)
    assert unknown == pytest.approx(quiet, rel=0.2)  # as the quietest that is known


def test_little_that_is_known_is_no_habit() -> None:
    rhythm = Rhythm()
    for second in range(BEATS_MIN - 1):
        rhythm.heard(NOW + second * SECOND)
    assert rhythm.log_odds(NOW + HOUR, NOW + 2 * HOUR) == 0.0


# -- a connection -----------------------------------------------------------------------------


class Deaf:
    """A `LinkOwner` whom nothing concerns."""

    async def received(self, link: Link, received: object, at: int) -> None: ...

    async def unconfirmed(self, link: Link, streams: object) -> None: ...

    async def progressed(self, link: Link) -> None: ...


@pytest.mark.parametrize("pauses", [(0.3, 0.3), (0.3, 1.0, 0.0), (0.3, 0.3, 1.0, 0.2)])
def test_what_is_renewed_again_while_messages_wait_is_subscribed_to_in_the_end(
    pauses: tuple[float, ...],
) -> None:
    """Else a book that broke twice in a moment would stay broken for ever."""
    stream = Stream("A-USD", "trades")

    async def act(loop: VirtualLoop) -> None:
        server = ToyServer(loop.clock)
        limits = Limits(messages=Rate(1, 1.0))
        venue = ToyVenue(server, limits=limits)
        shared = SharedLimits(clock=loop.clock).of(venue.name, limits)
        wiring = Wiring(venue, server, shared, loop.clock, asyncio.sleep)
        link = Link(wiring, 0, [stream], Deaf(), Rhythm())
        running = asyncio.create_task(link.run())
        beating = asyncio.create_task(server.beat_always())
        await asyncio.sleep(5)
        for pause_s in pauses:
            link.renew([stream])
            await asyncio.sleep(pause_s)
            assert pause_s == 0.0 or not link.ready
        await asyncio.sleep(10)
        assert server.connections[1].streams == {stream}
        assert link.ready
        for task in (running, beating):
            task.cancel()
        await asyncio.gather(running, beating, return_exceptions=True)

    run_virtual(act)


# -- overlap ----------------------------------------------------------------------------------


def quotes(*rows: tuple[str, int, float]) -> pa.RecordBatch:
    symbols, times, bids = zip(*rows, strict=True)
    return incoming_batch("quotes", symbol=symbols, ts_event=times, bid_price=bids)


@FEW
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=40))
def test_of_two_connections_each_row_counts_once(turns: list[tuple[bool, int]]) -> None:
    truth = [("A", 10 * n, float(n)) for n in range(12)]
    overlap, places, kept = Overlap(1, 2), {1: 0, 2: 0}, []
    for is_new, count in [*turns, (True, 12), (False, 12)]:
        connection = 2 if is_new else 1
        rows = truth[places[connection] : places[connection] + count]
        places[connection] += len(rows)
        if rows:
            found = overlap.filtered(connection, "quotes", quotes(*rows))
            kept += found.column("ts_event").to_pylist()
    assert sorted(kept) == [ts for _, ts, _ in truth]


def test_a_row_that_comes_twice_over_one_connection_is_two_rows() -> None:
    overlap, row = Overlap(1, 2), ("A", 5, 1.0)
    assert overlap.filtered(1, "quotes", quotes(row, row)).num_rows == 2
    assert overlap.filtered(2, "quotes", quotes(row, row)).num_rows == 0


# -- HTTP -------------------------------------------------------------------------------------


def asking(
    answers: list[Any], act: Callable[[LimitedHttp], Coroutine[Any, Any, Any]]
) -> tuple[Any, float, int]:
    """Return what `act` returned or the fault it raised, the seconds it took, and requests."""
    asked: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        await asyncio.sleep(9.0 if "slow" in str(request.url) else 0.0)
        found = answers.pop(0) if answers else (200, {})
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found[0], headers=found[1], content=b"body")

    async def main(loop: VirtualLoop) -> tuple[Any, float, int]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            window = Window(Rate(100, 60.0))
            http = LimitedHttp(
                client, "https://venue.test/api?key=hidden", window, clock=loop.clock,
                sleep=asyncio.sleep, backoff=lambda: Backoff(jitter=lambda: 1.0),
            )  # fmt: skip
            try:
                found: Any = await act(http)
            except VenueFault as fault:
                found = str(fault)
            return found, loop.time(), len(asked)

    found: tuple[Any, float, int] = run_virtual(main)
    return found


def test_a_request_is_tried_again_where_that_may_help() -> None:
    async def get(http: LimitedHttp) -> bytes:
        return await http.get("/trades", {"key": "hidden"})

    assert asking([(503, {}), httpx.ConnectError("x")], get) == (b"body", 1.5, 3)
    assert asking([(429, {"Retry-After": "30"})], get) == (b"body", 30.0, 2)
    said, took_s, asked = asking([(404, {})], get)
    assert (said, took_s, asked) == ("https://venue.test/api/trades: HTTP status 404", 0.0, 1)
    said, _, asked = asking([(500, {})] * 9, get)
    assert (said, asked) == ("https://venue.test/api/trades: HTTP status 500", 4)


def test_a_provider_that_is_down_is_left_alone_for_a_while() -> None:
    async def ask(http: LimitedHttp) -> list[str]:
        said = []
        for _ in range(4):
            try:
                await http.get("/trades")
            except VenueFault as fault:
                said.append(str(fault))
        await asyncio.sleep(60)
        assert await http.get("/trades") == b"body"
        return said

    said, _, asked = asking([(500, {})] * 10, ask)
    assert "10 requests failed in a row; the next is tried in" in said[-1]
    assert asked == 11


def test_a_provider_that_has_rested_is_tried_by_one_request_at_a_time() -> None:
    async def ask(http: LimitedHttp) -> list[str]:
        for _ in range(3):
            with pytest.raises(VenueFault):
                await http.get("/trades")
        await asyncio.sleep(60)
        trying = asyncio.create_task(http.get("/trades", {"slow": "1"}))
        await asyncio.sleep(1)
        with pytest.raises(VenueFault, match="failed in a row"):
            await http.get("/trades")
        trying.cancel()
        await asyncio.wait({trying})
        # What was cancelled has shown nothing, and holds nobody up.
        return [(await http.get("/trades")).decode() for _ in range(2)]

    said, took_s, asked = asking([(500, {})] * 10, ask)
    assert (said, asked) == (["body"] * 2, 13)
    assert took_s < 80.0


def test_too_many_requests_open_no_breaker() -> None:
    async def ask(http: LimitedHttp) -> bytes:
        for _ in range(3):
            with pytest.raises(VenueFault, match="too many requests"):
                await http.get("/trades")
        return await http.get("/trades")

    assert asking([(429, {"Retry-After": "1"})] * 12, ask)[::2] == (b"body", 13)


def test_requests_keep_to_the_weight() -> None:
    async def ask(http: LimitedHttp) -> None:
        for _ in range(5):
            await http.get("/trades", weight=50)

    _, took_s, asked = asking([], ask)
    assert asked == 5
    assert 120.0 <= took_s < 121.0


# -- repair -----------------------------------------------------------------------------------


class Told:
    """A sink that remembers what is said of gaps: status and detail."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str | None]] = []

    async def say(self, note: Any) -> None:
        self.said.append((note.status, note.detail))


class Short:
    """A history that gives nothing, for the reasons that are listed, the last for ever."""

    def __init__(self, *faults: VenueFault) -> None:
        self.faults = list(faults)
        self.asked: list[int] = []

    def trades_since(self, now: int) -> None:
        return None

    async def trades(self, http: Any, symbol: str, start: int, end: int) -> Any:
        self.asked.append(start)
        raise self.faults.pop(0) if len(self.faults) > 1 else self.faults[0]
        yield


def repairing(history: Short, seconds: float) -> list[tuple[str, str | None]]:
    """Return what is said of a gap within so long."""

    async def main(loop: VirtualLoop) -> list[tuple[str, str | None]]:
        sink, open_gaps = Told(), [OpenGap(7, NOW - SECOND, NOW, (("A-USD", "TOY"),))]

        async def find() -> list[OpenGap]:
            over = bool(sink.said) and sink.said[-1][0] == "unrepairable"
            return [] if over else open_gaps

        repairer = Repairer(
            "toy", "TOY", sink, find, history, object(), has_trades=lambda symbol: True,
            clock=loop.clock, sleep=asyncio.sleep, jitter=lambda: 1.0,
        )  # fmt: skip
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await repairer.run()
        return sink.said

    found: list[tuple[str, str | None]] = run_virtual(main)
    return found


def test_a_gap_that_a_history_falls_short_of_again_and_again_is_given_up() -> None:
    history = Short(OutOfReach("nothing from before it"))
    said = repairing(history, 7_200.0)
    assert len(history.asked) == 8
    assert said[1] == ("open", "nothing from before it; tried once, again later")
    assert said[-1] == ("unrepairable", "nothing from before it; tried 8 times")


def test_a_gap_is_not_given_up_because_a_venue_is_down() -> None:
    down = VenueFault("no answer")
    history = Short(*[OutOfReach("nothing from before it")] * 7, down)
    assert repairing(history, 20_000.0)[-1][0] in ("open", "repairing")
    assert len(history.asked) > 25  # every quarter of an hour


# -- reconnects -------------------------------------------------------------------------------


class NumberedLink:
    """A link as far as numbers go: those of one stream."""

    def __init__(self, *trades: tuple[int, int]) -> None:
        self.numbers = TradeNumbers()
        for number, ts in trades:
            self.numbers.follow([A.symbol], [number], [ts])
        self.lasts = self.numbers.lasts
        self.take_over = self.numbers.take_over


A = Stream("A-USD", "trades")


def found(resumed: Resumed, start: int, end: int, *trades: tuple[int, int]) -> list[Any]:
    """Return what is said to be missing when a gap was repaired, with these trades in it."""
    columns = (np.array(column, np.int64) for column in zip(*trades, strict=True))
    return [(hole.first, hole.last, hole.start, hole.end)
            for _, hole in resumed.repaired(A, start, end, *columns)]  # fmt: skip


def resumed_at(began: int, *trades: tuple[int, int]) -> tuple[Resumed, NumberedLink]:
    resumed, new = Resumed(), NumberedLink(*trades)
    resumed.ended(NumberedLink((7, 90), (8, 99)))  # type: ignore[arg-type]
    resumed.confirmed(new, [A], began)  # type: ignore[arg-type]
    return resumed, new


def test_the_first_number_behind_a_reconnect_follows_those_in_the_gap_or_not() -> None:
    trades = (8, 99), (9, 120), (10, 130), (11, 160), (12, 170)
    assert found(resumed_at(150, (11, 160))[0], 100, 150, *trades) == []
    assert found(resumed_at(150, (12, 170))[0], 100, 150, *trades) == [(11, 11, 149, 171)]
    assert found(resumed_at(150, (11, 145))[0], 100, 150, *trades) == []  # a clock that is off
    # Before there is a first one, the next is judged.
    resumed, new = resumed_at(150)
    assert found(resumed, 100, 150, *trades) == []
    [hole] = new.numbers.follow([A.symbol], [12], [170])
    assert (hole.first, hole.last) == (11, 11)


def test_only_the_gap_that_a_reconnect_ended_judges_it() -> None:
    resumed, _ = resumed_at(150, (12, 170))
    assert found(resumed, 165, 180, (12, 170)) == []  # a hole behind it is repaired first
    assert found(resumed, 100, 150, (9, 120), (10, 130)) == [(11, 11, 149, 171)]
    assert found(resumed, 100, 150, (9, 120), (10, 130)) == []  # once


def test_a_connection_that_brought_nothing_hands_on_what_the_one_before_had() -> None:
    resumed, silent = resumed_at(150)
    resumed.ended(silent)  # type: ignore[arg-type]
    resumed.confirmed(NumberedLink((13, 300)), [A], 250)  # type: ignore[arg-type]
    assert found(resumed, 100, 150, (9, 120), (10, 130)) == []
    assert found(resumed, 200, 250, (11, 210)) == [(12, 12, 249, 301)]
    resumed.dropped([A])
    assert found(resumed, 200, 250, (11, 210)) == []


# -- configuration ----------------------------------------------------------------------------


def test_a_text_of_the_command_line_and_a_table_say_the_same() -> None:
    text = "kraken:btc-usd, ETH-USD;channels=trades,book;name=k;url=ws://127.0.0.1:1"
    table = {
        "venue": "kraken", "symbols": ["BTC-USD", "ETH-USD"], "channels": ["trades", "book"],
        "name": "k", "url": "ws://127.0.0.1:1",
    }  # fmt: skip
    [plan] = read_feeds([parse_feed(text)], {})
    assert read_feeds([table], {}) == [plan]
    assert plan.streams == tuple(
        Stream(s, c) for s in ("BTC-USD", "ETH-USD") for c in ("trades", "book")
    )


def test_feeds_without_a_name_get_one_each() -> None:
    table = {"venue": "binance"}
    plans = read_feeds([table, table, {**table, "name": "b"}], {}, taken=["binance"])
    assert [plan.name for plan in plans] == ["binance-2", "binance-3", "b"]
    assert plans[0].channels == KNOWN["binance"].channels


def test_secrets_come_from_the_environment_and_are_never_shown() -> None:
    table = {
        "venue": "kite", "key": "env:KITE_KEY", "token": "direct-token",
        "accounts": [{"key": "second-key", "token": "env:KITE_TOKEN"}],
    }  # fmt: skip
    [plan] = read_feeds([table], {"KITE_KEY": "first-key", "KITE_TOKEN": "second-token"})
    keys = [(account.key, account.token) for account in plan.options.accounts]
    assert keys == [("first-key", "direct-token"), ("second-key", "second-token")]
    for secret in ("first-key", "direct-token", "second-key", "second-token"):
        assert secret not in repr(plan)
    assert shown_url("wss://me:pass@h.test:9/p?token=x") == "wss://h.test:9/p"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"venue": "binanc"}, "feeds[1].venue: binanc is not known; the nearest is binance;"),
        ({}, "feeds[1].venue: is needed; known are binance,"),
        ({"venue": "binance", "chanels": []}, "chanels: no such key of a feed of binance; the nea"),
        ({"venue": "binance", "channels": ["trade"]}, "trade is not allowed; allowed is trades,"),
        ({"venue": "binance", "channels": []}, "channels: [] is not allowed"),
        ({"venue": "binance", "symbols": "BTC"}, "symbols: BTC is not allowed; allowed is a list"),
        ({"venue": "binance", "symbols": ["a b"]}, "symbols: a b is not allowed"),
        ({"venue": "binance", "name": "a b"}, "name: a b is not allowed"),
        ({"venue": "binance", "name": "taken"}, "a name that no other feed has"),
        ({"venue": "binance", "url": "ftp://h"}, "url: ftp://h is not allowed"),
        ({"venue": "binance", "http_url": "http://h:x?secret=1"}, "http_url: "),
        ({"venue": "ccxt"}, "exchange: is needed for a feed of ccxt"),
        ({"venue": "kite", "key": "env:NOWHERE"}, "the environment variable NOWHERE is not set"),
        ({"venue": "kite", "accounts": [{"tokn": "x"}]}, "tokn: no such key; the nearest is token"),
        ({"venue": "kite", "accounts": {}}, "accounts: is not allowed; allowed is a list of tab"),
        ({"venue": "kite", "key": 5}, "key: must be a text"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_feeds([table], {}, taken=["taken"])
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["binance", ":BTC", "binance:BTC;secret-thing", "binance:BTC;venue=x"]
)
def test_a_text_that_cannot_be_read_is_refused_without_its_secrets(text: str) -> None:
    with pytest.raises(InvalidParameter, match="VENUE:SYMBOL") as refused:
        parse_feed(text)
    assert "secret" not in str(refused.value)


def test_changed_subscriptions_are_kept_as_a_difference(tmp_path: Path) -> None:
    a, b, c = (Stream(s, "trades") for s in ("A", "B", "C"))
    KeptStreams(tmp_path).keep("one", [a, b], [a, c])
    kept = KeptStreams(tmp_path)
    assert kept.apply("one", [a, b]) == [a, c]
    assert kept.apply("one", [a, b, Stream("D", "trades")])[-2:] == [Stream("D", "trades"), c]
    assert kept.apply("other", [a]) == [a]
    kept.keep("one", [a, b], [a, b])
    assert (tmp_path / "feeds.json").read_text() == "{}"
    (tmp_path / "feeds.json").write_text('{"one": {"added": [["X", "nonsense"], 5], "removed": 7}}')
    assert KeptStreams(tmp_path).apply("one", [a]) == [a]
    (tmp_path / "feeds.json").write_text("no json")
    assert KeptStreams(tmp_path).apply("one", [a]) == [a]


# -- sockets ----------------------------------------------------------------------------------


async def test_frames_come_together_and_a_pong_counts_behind_those_before_it() -> None:
    async def talk(socket: Any) -> None:
        async for word in socket:
            for number in range(int(word)):
                await socket.send(f"{number}")

    clock = iter(range(1, 1_000_000))
    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connector = WebSocketConnector(clock=lambda: next(clock))
        connection = await connector.connect(Dial(f"ws://127.0.0.1:{port}/?token=hidden"))
        await connection.send(Outgoing("50"))
        found: list[bytes] = []
        while len(found) < 50:
            found += [frame.data for frame in await connection.receive()]
        assert found == [str(n).encode() for n in range(50)]
        assert connection.answered is None
        await connection.ping()
        while connection.answered is None:
            assert await connection.receive() == []
        server.close()
        with pytest.raises(ConnectionLost, match="the venue closed with code 1001"):
            await connection.receive()
        await connection.close()


async def test_a_refused_connection_tells_its_status_and_no_secret() -> None:
    async def talk(socket: Any) -> None: ...

    def refuse(connection: Any, request: Any) -> Any:
        response = connection.respond(429, "later")
        response.headers["Retry-After"] = "7"
        return response

    async with serve(talk, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionLost) as lost:
            await WebSocketConnector().connect(Dial(f"ws://127.0.0.1:{port}/s?token=hidden"))
    assert (lost.value.status, lost.value.retry_after_s) == (429, 7.0)
    assert "hidden" not in str(lost.value)
    with pytest.raises(ConnectionLost, match="no connection to ws://"):
        await WebSocketConnector().connect(Dial(f"ws://127.0.0.1:{port}/s?token=hidden"))
