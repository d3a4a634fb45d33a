"""A whole plant under load: it goes up and comes down, and what it leaves out is in the ledger.

The disk is held and floods are made; time passes only where the test says so.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fault_kit import Rig, check, outcome, send, until
from log_kit import lines_of
from plant_kit import NOW
from tickplant.feeds.contract import Sink
from tickplant.feeds.runner import FeedRunner
from tickplant.formats.parsed import incoming_batch
from tickplant.gateway.app import create_app
from tickplant.model.errors import Overloaded
from tickplant.model.events import Flag
from tickplant.model.rejects import Reject
from tickplant.plant.feed_notes import Begun
from tickplant.plant.plant import Plant
from tickplant.plant.shedding import SYMBOLS_MAX, Shedding, newest
from tickplant.plant.submission import Submission

WORDS = ["healthy", "warning", "critical", "overload"]


class Loaded:
    """A plant whose disk can be held, and seconds that pass when they are told to."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.s = 0.0
        self.go, self.held = threading.Event(), threading.Event()
        self.go.set()
        self.rig = Rig(folder, pressure_s=lambda: self.s, **options)
        self.rig.log.before = self._hold
        self.plant: Plant = self.rig.plant

    def _hold(self, operation: str) -> None:
        if operation == "datasync" and not self.go.is_set():
            self.held.set()
            assert self.go.wait(20)

    def hold_disk(self) -> None:
        self.held.clear()
        self.go.clear()

    def passes(self, *seconds: float) -> str:
        """Look before and after each piece of time; return the level at the end."""
        for piece in seconds:
            self.plant.backpressure.look()
            self.s += piece
        self.plant.backpressure.look()
        return self.plant.load_level

    def close(self) -> None:
        self.go.set()
        self.rig.close()


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Loaded]:
    made = Loaded(tmp_path / "data")
    yield made
    made.close()


def samples(plant: Plant, name: str) -> dict[tuple[str, ...], float]:
    text = plant.metrics.render()[0].decode()
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"tickplant_{name}"
    }


def gaps(plant: Plant) -> list[dict[str, Any]]:
    plant.drain()
    rows = plant.store.scan("coverage", amended=False).sort_by("seq").to_pylist()
    return [row for row in rows if row["kind"] == "gap"]


def test_a_slow_disk_takes_it_up_and_lets_it_down(loaded: Loaded, tmp_path: Path) -> None:
    plant, told = loaded.plant, {"A/1"}
    assert outcome(send(plant, ["A/1"])).accepted == 1
    assert loaded.passes(1.0) == "healthy"
    loaded.hold_disk()
    flying = send(plant, ["A/2", "B/1"])
    assert loaded.held.wait(20)
    until(lambda: not plant.waiting_rows)
    with lines_of("tickplant.plant.backpressure") as written:
        levels = [loaded.passes(*pieces) for pieces in ((1.0,), (1.625, 1.0), (0.5, 1.0), (1.0,))]
    assert levels == WORDS
    assert written.getvalue().count('"backpressure is ') == 3
    assert "ack: " in written.getvalue()
    with pytest.raises(Overloaded, match=r"overloaded: ack is at 1\d\d% of its bound") as refused:
        send(plant, ["A/3"])
    assert refused.value.retry_after_s == 1.0
    assert plant.status()["backpressure"]["level"] == "overload"
    assert plant.status()["backpressure"]["refuses"]
    assert samples(plant, "backpressure_level") == {(): 3.0}
    assert samples(plant, "backpressure_share")["ack",] > 1
    assert samples(plant, "events_failed_total")["Overloaded",] == 1
    assert plant.backpressure.batch_rows_max == 4 * plant.settings.plant.batch_rows_max
    assert plant.backpressure.poll_stretch == 8

    loaded.go.set()
    assert outcome(flying).accepted == 2
    told |= {"A/2", "B/1"}
    assert loaded.passes(0.1) == "overload"
    assert outcome(send(plant, ["A/3"])).accepted == 1  # relieved, though the level still holds
    assert loaded.passes(4.8) == "overload"
    assert loaded.passes(0.3) == "healthy"
    assert samples(plant, "backpressure_changes_total") == {
        ("healthy",): 1, ("warning",): 1, ("critical",): 1, ("overload",): 1,
    }  # fmt: skip
    check(plant, told | {"A/3"}, told | {"A/3"})
    crashed = loaded.rig.crash(tmp_path / "crashed")
    check(crashed.plant, told | {"A/3"}, told | {"A/3"})
    crashed.close()


def test_a_flood_is_refused_before_the_bound_and_what_was_taken_is_there(tmp_path: Path) -> None:
    loaded = Loaded(tmp_path / "data", plant__inbox_rows_max=1_000)
    plant, busy = loaded.plant, threading.Event()
    waiting = plant._call(lambda: busy.wait(20))  # the plant's thread has something else to do
    ids = [f"S{n % 7}/{n}" for n in range(960)]
    flying = [send(plant, ids[at : at + 60]) for at in range(0, 960, 60)]
    assert loaded.passes(1.0) == "overload"
    assert plant.backpressure.shown()["cause"] == "inbox"
    with pytest.raises(Overloaded, match="inbox is at 96%"):
        send(plant, ["X/1"])
    busy.set()
    waiting.result(20)
    assert sum(outcome(one).accepted for one in flying) == 960
    until(lambda: not plant.waiting_rows and not len(plant.backpressure.unanswered))
    assert loaded.passes(5.0) == "healthy"
    assert outcome(send(plant, ["X/1"])).accepted == 1
    check(plant, {*ids, "X/1"}, {*ids, "X/1"})
    loaded.close()


async def test_over_http_an_overload_is_503_and_when_to_retry(loaded: Loaded) -> None:
    loaded.hold_disk()
    flying = send(loaded.plant, ["A/1"])
    until(loaded.held.is_set)
    loaded.s += 5
    assert loaded.passes(1.0) == "overload"
    transport = httpx.ASGITransport(create_app(loaded.plant))
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as http:
        answer = await http.post("/v1/trades", json=[{"symbol": "D", "price": 1}])
        assert (answer.status_code, answer.json()["title"]) == (503, "Overloaded")
        assert answer.headers["Retry-After"] == "1"
        status = (await http.get("/v1/status")).json()["backpressure"]
        assert (status["level"], status["cause"]) == ("overload", "ack")
        loaded.go.set()
        await asyncio.to_thread(outcome, flying)
        loaded.passes(0.1)
        answer = await http.post("/v1/trades", json=[{"symbol": "D", "price": 1}])
        assert answer.status_code == 201


def quotes(count: int, first: int = 0, **options: Any) -> Submission:
    rows = incoming_batch(
        "quotes",
        symbol=[f"Q{n % 3}" for n in range(count)],
        ts_event=[NOW + (first + n) * 1_000 for n in range(count)],
        bid_price=[float(first + n + 1) for n in range(count)],
    )
    return Submission("quotes", rows, feed="live", venue="V", **options)


def one_trade(id: str) -> Submission:
    rows = incoming_batch("trades", symbol=["Q0"], ts_event=[NOW], price=[1.0], id=[id])
    return Submission("trades", rows, feed="live", venue="V")


class LiveFeed:
    """A live feed that hands over what the test gives it."""

    name, venue, kind, instruments, sheds = "live", "V", "venue", 3, True

    def __init__(self) -> None:
        self.given: asyncio.Queue[Submission] = asyncio.Queue()
        self.taken = 0

    async def run(self, sink: Sink) -> None:
        await sink.say(Begun(self.name, NOW - 1))
        while True:
            await sink.submit(await self.given.get())
            self.taken += 1


def stored_quotes(plant: Plant) -> list[float]:
    return sorted(plant.store.scan("quotes", columns=["bid_price"])["bid_price"].to_pylist())


async def test_of_live_quotes_the_newest_then_none_are_kept_and_the_ledger_says_so(
    loaded: Loaded,
) -> None:
    plant, feed = loaded.plant, LiveFeed()
    runner = FeedRunner(
        [feed], plant.submit, clock=plant.clock, tell=plant.tell, shed=plant.backpressure.shed,
        sleep=lambda s: asyncio.sleep(0.001),
    )  # fmt: skip
    runner.start()

    async def take(*given: Submission) -> None:
        wanted = feed.taken + len(given)
        for one in given:
            feed.given.put_nowait(one)
        async with asyncio.timeout(10):
            while feed.taken < wanted:  # noqa: ASYNC110 - the feed has no event to offer
                await asyncio.sleep(0.001)

    def idle() -> bool:
        return not plant.waiting_rows and not len(plant.backpressure.unanswered)

    await take(quotes(9))
    loaded.hold_disk()
    await take(one_trade("T-1"))
    await asyncio.to_thread(until, loaded.held.is_set)
    await asyncio.to_thread(plant.drain)  # what is held is the trade, not what was said before it
    assert loaded.passes(3.0, 1.0, 0.5, 0.5) == "critical"
    await take(quotes(9, first=9), one_trade("T-2"))
    await asyncio.to_thread(plant.drain)
    assert stored_quotes(plant) == [*map(float, range(1, 10)), 16.0, 17.0, 18.0]
    assert loaded.passes(1.0) == "overload"
    await take(quotes(9, first=18))
    feed.given.put_nowait(one_trade("T-3"))  # it has to wait, and is not lost
    loaded.go.set()
    await asyncio.to_thread(until, idle)
    assert loaded.passes(0.1) == "overload"
    async with asyncio.timeout(10):
        while feed.taken < 6:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    await asyncio.to_thread(until, idle)
    assert loaded.passes(5.0) == "healthy"
    await take(quotes(9, first=27))
    found = [gap for gap in await asyncio.to_thread(gaps, plant) if gap["cause"] == "overload"]
    await runner.stop()
    # What is stored and what the ledger has make what came.
    assert stored_quotes(plant) == [*map(float, (*range(1, 10), 16, 17, 18, *range(28, 37)))]
    assert len(plant.store.scan("trades", columns=["id"])) == 3
    assert sum(int(gap["detail"].split()[0]) for gap in found) % 15 == 0
    assert {plant.registry.number(gap["instrument"]).symbol for gap in found} == {"Q0", "Q1", "Q2"}
    for missed in (9, 14, 18, 26):
        at = NOW + missed * 1_000
        mine = [gap for gap in found if gap["start"] <= at < gap["end"]]
        assert f"Q{missed % 3}" in {plant.registry.number(gap["instrument"]).symbol for gap in mine}
    assert samples(plant, "events_shed_total") == {
        ("live", "conflate", "quotes"): 6, ("live", "drop", "quotes"): 9,
    }  # fmt: skip
    assert plant.status()["backpressure"]["shed"] == {"conflate": 6, "drop": 9}


def shedding(counted: list[tuple[str, str, str, int]]) -> Shedding:
    return Shedding(lambda: NOW, lambda *given: counted.append(given))


@pytest.mark.parametrize(
    "given",
    [
        one_trade("T-1"),
        quotes(9, flags=Flag.BACKFILLED),
        quotes(0),
        Submission("book", quotes(9).rows, feed="live"),
    ],
)
@pytest.mark.parametrize("policy", ["conflate", "drop", None])
def test_what_must_not_be_left_out_is_not(given: Submission, policy: str | None) -> None:
    counted: list[tuple[str, str, str, int]] = []
    own = shedding(counted)
    assert own.apply(given, policy) is given
    assert not counted
    assert not own.take_holes()


def test_a_hole_of_many_instruments_is_one_of_the_feed() -> None:
    own = shedding([])
    count = SYMBOLS_MAX + 1
    rows = incoming_batch("quotes", symbol=[f"S{n}" for n in range(count)], bid_price=[1.0] * count)
    assert own.apply(Submission("quotes", rows, feed="live"), "drop") is None
    (hole,) = own.take_holes()
    assert (hole.symbols, hole.start, hole.end, hole.cause) == (None, NOW, NOW + 1, "overload")
    assert hole.detail is not None
    assert hole.detail.startswith(f"{count} quotes ")
    assert not own.take_holes()


def test_rows_that_could_not_be_read_go_on_without_the_quotes() -> None:
    bad = Reject(9, "price", "not a number", "{}")
    left = shedding([]).apply(quotes(4, unreadable=[bad]), "drop")
    assert left is not None
    assert (left.rows.num_rows, left.unreadable) == (0, [bad])
    kept = shedding([]).apply(quotes(4, unreadable=[bad]), "conflate")
    assert kept is not None
    assert kept.indexes == [1, 2, 3]


def test_shedding_can_be_turned_off(tmp_path: Path) -> None:
    loaded = Loaded(tmp_path / "data", backpressure__shed_quotes=False, backpressure__rise_s=0)
    loaded.hold_disk()
    flying = send(loaded.plant, ["A/1"])
    until(loaded.held.is_set)
    assert loaded.passes(9.0) == "overload"
    given = quotes(9)
    assert loaded.plant.backpressure.shed(given) is given
    loaded.go.set()
    outcome(flying)
    loaded.close()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "X"]),
                          st.none() | st.integers(0, 5)), min_size=1, max_size=30))  # fmt: skip
def test_the_newest_of_each_instrument(rows: list[tuple[int, str | None, int | None]]) -> None:
    batch = incoming_batch(
        "quotes",
        symbol=[f"S{symbol}" for symbol, _, _ in rows],
        venue=[venue for _, venue, _ in rows],
        ts_event=[ts for _, _, ts in rows],
        bid_price=[1.0] * len(rows),
    )
    best: dict[tuple[int, str | None], tuple[float, int]] = {}
    for place, (symbol, venue, ts) in enumerate(rows):
        key = float("inf") if ts is None else float(ts)
        if (symbol, venue) not in best or key >= best[symbol, venue][0]:
            best[symbol, venue] = key, place
    assert newest(batch).tolist() == sorted(place for _, place in best.values())
