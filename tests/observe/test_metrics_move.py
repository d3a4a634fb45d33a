"""Every metric that is declared is moved by what a plant does, or says why it cannot be.

Two plants: one is served and meets faults of its disks, the other has a venue's feed that is cut.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from book_kit import message, updates
from fault_kit import Rig, outcome, send, until
from log_kit import lines_of
from plant_kit import NOW, open_plant, submit
from prom_kit import judge
from stream_fakes import Served
from supervisor_kit import Scene, play, streams_of
from tickplant.client import Client
from tickplant.config import BookSettings
from tickplant.feeds.book_desk import BookDesk
from tickplant.feeds.contract import Sink
from tickplant.formats.parsed import incoming_batch
from tickplant.gateway.app import create_app
from tickplant.gateway.stream.open import open_subscription
from tickplant.gateway.stream.protocol import JSON, Subscribe
from tickplant.gateway.stream.subscription import TooSlowError
from tickplant.observe.metrics import Metrics
from tickplant.plant.feed_notes import Begun, Hole, Lost, Repair
from tickplant.plant.inbox import new_future
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Submission

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import dashboards  # noqa: E402
from dashboard_panels import BOARDS, FIVE_XX, OR_ZERO, WINDOW, Board  # noqa: E402

REFERENCE = ROOT / "docs" / "reference" / "metrics.md"
CONSTANT = {
    "tickplant_info": "the release",
    "tickplant_inbox_rows_max": "a setting",
    "tickplant_served_bytes_max": "a setting",
    "tickplant_served_instruments_max": "follows from settings",
    "tickplant_disk_needed_bytes": "follows from a setting",
    "tickplant_disk_size_bytes": "the machine's",
}
"""What nothing moves while a plant runs, and why."""

ELSEWHERE = {
    "tickplant_access_refused_total": "needs keys; the tests of the gateway's keys",
    "tickplant_store_damage": "tests/store/test_store_damage.py",
    "tickplant_trace_spans_total": "needs a collector; tests/observe/test_tracing.py",
}
"""What is moved in other tests; damage of the store is found when a folder is opened."""


class Seen:
    """The values that each series had, over the scrapes of several plants."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, ...], set[float]] = defaultdict(set)
        self._scrapes: list[tuple[Metrics, dict[str, float]]] = []

    def scrape(self, metrics: Metrics) -> None:
        found: dict[str, float] = {}
        self._scrapes.append((metrics, found))
        for family in text_string_to_metric_families(metrics.render()[0].decode()):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    labels = [f"{key}={value}" for key, value in sorted(sample.labels.items())]
                    self._values[name, sample.name, *labels].add(sample.value)
                    quoted = ",".join(f'{k}="{v}"' for k, v in sample.labels.items())
                    found[f"{sample.name}{{{quoted}}}"] = sample.value

    def histories(self) -> Iterator[tuple[str, str]]:
        """Yield each series of each plant with its samples, all scrapes of all plants at once."""
        plants = list(dict.fromkeys(metrics for metrics, _ in self._scrapes))
        for number, plant in enumerate(plants):
            mine = [found for metrics, found in self._scrapes if metrics is plant]
            mine = [{}] * (self.longest - len(mine)) + mine
            for series in dict.fromkeys(key for found in mine for key in found):
                head, _, labels = series.partition("{")
                values = (f"{found[series]:g}" if series in found else "_" for found in mine)
                rest = labels if labels == "}" else f",{labels}"
                yield f'{head}{{instance="plant-{number}"{rest}', " ".join(values)

    @property
    def longest(self) -> int:
        """Scrapes of the plant that was scraped most often."""
        return max(Counter(id(metrics) for metrics, _ in self._scrapes).values())

    def changed(self) -> set[str]:
        """Return the families of which a series had more than one value."""
        return {key[0] for key, values in self._values.items() if len(values) > 1}

    def moved(self) -> set[str]:
        """Return the families of which a series changed, or came with another value than 0."""
        came = {key[0] for key, values in self._values.items() if values - {0.0} and len(key) > 2}
        return came | self.changed()


def declared() -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", REFERENCE.read_text("utf-8"), re.M))


def run_now(work: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(work())
    return future


async def too_slow(plant: Plant) -> None:
    """Let the ring move past subscribers that do not read."""
    slow = []
    for channel in ("trades", "quotes"):
        asked = Subscribe(op="subscribe", channel=channel, symbols=["*"])
        one = (await open_subscription(1, asked, plant, JSON, run_now)).subscription
        one.step()
        slow.append(one)
    for _ in range(3):
        submit(plant, symbol=["A"] * 500, price=[1.0] * 500)
        submit(plant, "quotes", symbol=["A"] * 500, bid_price=[1.0] * 500, ask_price=[2.0] * 500)
    with pytest.raises(TooSlowError):
        slow[0].step()
    while not slow[1].caught_up or slow[1].more:
        slow[1].step()


def books(plant: Plant) -> None:
    """Bring a book that a desk finds crossed, and rows that cross one."""
    desk = BookDesk("coinbase-exchange", "resubscribe", BookSettings(),
                    lambda one: plant.metrics.book_broken("venue", one.reason))  # fmt: skip
    for levels in ([(1, 9.0, 1.0), (2, 10.0, 3.0)], [(1, 11.0, 1.0)]):
        one = message("X", levels, ts_event=plant.clock(), snapshot=len(levels) == 2)
        rows = desk.take(updates(one), plant.clock()).rows
        plant.submit(Submission("book", rows, feed="venue", venue="V")).result(20)
    submit(plant, "book", feed="other", symbol=["Y"] * 3, ts_event=[plant.clock()] * 3,
           action=[1, 0, 0], side=[0, 1, 2], price=[None, 5.0, 5.0],
           size=[None, 1.0, 1.0])  # fmt: skip


def gaps(plant: Plant) -> None:
    """Have a feed miss something and bring a part of it."""
    now = plant.clock()
    plant.tell(Begun("venue", start=now)).result(20)
    gap = plant.tell(Hole("venue", now - 10**9, now, "sequence")).result(20)
    assert gap is not None
    plant.tell(Repair("venue", gap, "repaired", events=3)).result(20)
    plant.tell(Lost("venue", "disconnect")).result(20)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    seen = Seen()
    serve(tmp_path_factory.mktemp("served"), seen)
    feed(tmp_path_factory.mktemp("fed"), seen)
    start(tmp_path_factory.mktemp("started"), seen)
    return seen


def serve(folder: Path, seen: Seen) -> None:
    rig = Rig(folder / "data", stream__ring_rows=1_000, stream__subscribers_max=1,
              store__trades_retention_days=1, backpressure__warning=0.01,
              backpressure__critical=0.02, backpressure__rise_s=0,
              backpressure__fall_s=0)  # fmt: skip
    plant = rig.plant
    rig.log.before = lambda operation: rig.journal_clock.pause(0.001)
    try:
        with Served(create_app(plant)) as served, Client(served.url) as client:
            seen.scrape(plant.metrics)
            talk(served, client, rig, seen)
            asyncio.run(too_slow(plant))
            seen.scrape(plant.metrics)
            client.candles("A", "1m").arrow()  # what is asked now is a rate of what was there
            hurt(rig, seen)
    finally:
        rig.log.refusing.clear()
        rig.store.refusing = False
        rig.close()
    seen.scrape(plant.metrics)


def talk(served: Served, client: Client, rig: Rig, seen: Seen) -> None:
    plant, now = rig.plant, rig.clock.now - 120 * 10**9
    row = {"symbol": "A", "ts_event": now, "price": 1.0, "size": 1.0, "id": "1"}
    client.post_trades([row, row, {**row, "price": -1.0}])
    with client.stream("candles", "A", interval="1m", from_=0) as bars:
        next(bars)
        client.post_trades([{**row, "ts_event": now + 61 * 10**9, "id": "2"}])
        next(bars)
        seen.scrape(plant.metrics)
        with connect(served.ws) as refused, pytest.raises(ConnectionClosed, match="1013"):
            refused.recv(20)
    client.post_quotes([{"symbol": "A", "bid_price": 1.0, "ask_price": 2.0, "bid_size": 1.0,
                         "ask_size": 3.0}])  # fmt: skip
    assert client.candles("A", "1m").arrow().num_rows == 2
    rig.clock.now += 90 * 10**9
    books(plant)
    gaps(plant)


def hurt(rig: Rig, seen: Seen) -> None:
    """Let rows wait, the log fill and the disks refuse what they are asked for."""
    plant, go = rig.plant, threading.Event()
    plant._inbox.call(go.wait, new_future())
    minutes = [rig.clock.now - 60 * 10**9 * (n % 1000) for n in range(16_000)]
    flood = incoming_batch("trades", symbol=["B"] * 16_000, ts_event=minutes, price=[1.0] * 16_000)
    waiting = [plant.submit(Submission("trades", flood)) for _ in range(4)]
    plant.backpressure.look()
    quotes = incoming_batch("quotes", symbol=["B"] * 9, bid_price=[1.0] * 9)
    assert plant.backpressure.shed(Submission("quotes", quotes, feed="live")).rows.num_rows == 1
    seen.scrape(plant.metrics)
    go.set()
    for one in waiting:
        one.result(20)
    plant.drain()
    plant.backpressure.look()
    rig.log.refuse("datasync")
    with lines_of("tickplant") as written:
        outcome(send(plant, ["A/3"]))
        seen.scrape(plant.metrics)
        rig.log.refusing.clear()
        for _ in range(20):
            logging.getLogger("tickplant").warning("the same over and over")
        written.close()
        logging.getLogger("tickplant").error("nobody hears")
    until(lambda: plant.readiness()[0])
    plant.store.checkpoint(plant.catalog.encode())
    submit(plant, symbol=["A"], price=[1.0])
    plant.store.checkpoint(plant.catalog.encode())
    plant.store.compact()
    plant.store.retain(rig.clock.now + 9 * 86_400 * 10**9)
    submit(plant, symbol=["A"], price=[1.0])
    rig.store.refusing = True
    rig.clock.now += 400 * 10**9
    until(lambda: plant.store.status().last_error)
    plant.list_feeds = lambda: [{}]  # a source that fails
    seen.scrape(plant.metrics)


def feed(folder: Path, seen: Seen) -> None:
    """Run a feed of a venue that is cut; it repairs one gap, fails at first, and gives one up."""

    async def act(scene: Scene) -> None:
        metrics, server = scene.plant.metrics, scene.server
        scene.plant.list_feeds = scene.runner.shown
        seen.scrape(metrics)
        await scene.until(lambda: scene.feed.board.counts(scene.loop.clock())["live"] == 2)
        await server.market(["A-USD"], 0.5, 5)
        seen.scrape(metrics)
        scene.runner.add(Failing())
        server.connections[1].cut()
        server.http_status, server.refuse_connects = 400, 3
        await server.market(["A-USD"], 0.5, 10)
        await scene.settle(5)
        seen.scrape(metrics)
        server.http_status = 200
        await scene.until(lambda: "repaired" in {gap["status"] for gap in scene.gaps()}, 300)
        scene.venue.history.since = scene.loop.clock()
        server.connections[2].cut()
        await scene.settle(30)
        seen.scrape(metrics)

    play(folder, streams_of("A-USD"), act)


class Failing:
    """A feed that brings an old trade and fails."""

    name, venue, kind, instruments = "failing", "V", "test", 1

    async def run(self, sink: Sink) -> None:
        rows = incoming_batch("trades", symbol=["F"], ts_event=[NOW - 10**9], price=[1.0])
        await sink.submit(Submission("trades", rows, feed=self.name, venue=self.venue))
        raise OSError("the source is gone")


def start(folder: Path, seen: Seen) -> None:
    """Start a plant whose clock goes on, so that the start takes a while."""
    ticks = itertools.count(NOW, 1_000_000)
    with open_plant(folder, lambda: next(ticks)) as plant:  # type: ignore[arg-type]
        seen.scrape(plant.metrics)


def test_every_declared_metric_is_moved(seen: Seen) -> None:
    left_out = set(CONSTANT) | set(ELSEWHERE)
    still = declared() - seen.moved() - left_out
    assert not still, " ".join(sorted(still))
    assert left_out <= declared()


def test_what_is_called_constant_is(seen: Seen) -> None:
    assert set(CONSTANT) & seen.changed() == set()


def what_moves(query: str) -> str:
    """Return the query without what hides that nothing moves; of faults there are none here."""
    bare = query if FIVE_XX in query else query.replace(OR_ZERO, "")
    return bare.replace(WINDOW, "5m")


def test_every_panel_of_every_dashboard_has_data(seen: Seen, tmp_path: Path) -> None:
    """The queries are asked of what the plants showed, by Prometheus' own engine."""
    last_s = (seen.longest - 1) * 15
    asked = [
        (board.title, panel.title, query)
        for board in BOARDS
        for panels in board.rows.values()
        for panel in panels
        for query in panel.queries.values()
    ]
    tests = [
        {
            "expr": f"count(({what_moves(query)}) > -1e300) > bool 0",
            "eval_time": f"{last_s}s",
            "exp_samples": [{"labels": "{}", "value": 1}],
        }
        for _, _, query in asked
    ]
    series = [{"series": name, "values": values} for name, values in seen.histories()]
    one = {"interval": "15s", "input_series": series, "promql_expr_test": tests}
    file = tmp_path / "panels.yml"
    file.write_text(json.dumps({"evaluation_interval": "15s", "tests": [one]}), "utf-8")
    ran = judge(file)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_dashboards_are_what_the_tool_writes(board: Board) -> None:
    written = (dashboards.FOLDER / f"{board.uid}.json").read_text("utf-8")
    assert written == dashboards.page(board), "run `python tools/dashboards.py`"


def test_the_dashboards_have_the_panels_that_were_promised() -> None:
    panels = {board.uid: sum(map(len, board.rows.values())) for board in BOARDS}
    assert panels == {
        "tickplant-operations": 24, "tickplant-market": 17, "tickplant-fx": 5,
        "tickplant-capacity": 11,
    }  # fmt: skip
