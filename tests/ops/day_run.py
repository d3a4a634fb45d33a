"""A day in ten minutes: `make day`.

    PYTHONPATH=tests python tests/ops/day_run.py [--factor 10] [--write]

A served plant takes made-up ticks from two feeds and answers queries while faults are switched on
and off, one after the other. A Prometheus scrapes it and evaluates the plant's own rules, in a time
that passes `factor` times as fast: so much shorter are their spans and how long a state must last,
while the thresholds stay. Each fault must make its alerts fire, and resolve when it is over, and no
other alert may fire. Prints a table; with --write it goes into docs/concepts/day.md. Ends with 1
where an alert did not do what it should.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]
for folder in (ROOT / "tools", Path(__file__).parent):
    sys.path.insert(0, str(folder))

import alerts  # noqa: E402
import load  # noqa: E402
from alert_rules import EVERY_S, GROUPS  # noqa: E402
from day_faults import (  # noqa: E402
    Clock,
    Disks,
    Mortal,
    SlowLog,
    SlowStore,
    subscribe_and_read_nothing,
)
from day_watch import Firing, Log, Phase, Row, judge  # noqa: E402

from tickplant.cli import server  # noqa: E402
from tickplant.compose import OpenPlant, World, build_synthetic  # noqa: E402
from tickplant.config import load as load_settings  # noqa: E402
from tickplant.plant import health  # noqa: E402
from tickplant.plant.feed_notes import Repair  # noqa: E402
from tickplant.plant.plant import Plant  # noqa: E402

PAGE = ROOT / "docs" / "concepts" / "day.md"
RATE = 300
INSTRUMENTS = 20
STEP_S = 20
SYNC_S = 0.8
LOOK_S = 0.5
QUERY_S = 0.2
SETTINGS = {
    "log.segment_mb": 4,
    "store.block_age_s": 5.0,
    "stream.ring_rows": 2_000,
}
"""Small and quick: an archive run each five seconds, and a ring that a stuck subscriber loses."""


@dataclass(frozen=True)
class Fault:
    """One fault: how long it lasts in a time that is not scaled, s, and what it brings about."""

    name: str
    what: str
    lasts_s: float
    wanted: frozenset[str]
    begin: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]
    also: frozenset[str] = frozenset()
    lasting: frozenset[str] = frozenset()
    least_s: float = 0.0  # of the run, where the plant's own pauses matter


class Day:
    """The plant's world and the faults in it."""

    def __init__(self, url: Callable[[], str]) -> None:
        self.disks, self.clock = Disks(), Clock()
        self.feeds = [
            Mortal(
                build_synthetic(
                    f"feed-{number}",
                    load_settings(
                        flags={"synthetic.rate": RATE, "synthetic.seed": number,
                               "synthetic.venue": f"V{number}",
                               "synthetic.instruments": INSTRUMENTS,
                               "synthetic.quote_share": 0.5},
                    ).synthetic,
                )
            )
            for number in (1, 2)
        ]  # fmt: skip
        self._url = url
        self._stuck: list[Any] = []

    def faults(self) -> list[Fault]:
        """Return the faults in the order of the day."""
        return [
            Fault("feed dead", "one of two feeds loses its source", 1_200,
                  frozenset({"FeedDown", "GapOpenTooLong"}), self._kill_feed, self._revive_feed),
            Fault("disk slow", f"every sync of the log takes {SYNC_S:g} s", 480,
                  frozenset({"LogFsyncSlow", "HighTickProcessingLatency",
                             "CriticalTickProcessingLatency", "HighBatchFlushLatency"}),
                  self._slow, self._fast),
            Fault("subscriber stuck", "one subscribes to all trades and reads nothing", 420,
                  frozenset({"SlowSubscribersDisconnected"}), self._stick, self._unstick,
                  least_s=60.0),
            Fault("clock stepped", f"the plant's clock is {STEP_S} s ahead of the venues'", 420,
                  frozenset({"HighFeedLag"}), self._step, self._step_back),
            Fault("disk full", "log and archive are refused with ENOSPC, nothing is free", 480,
                  frozenset({"LogUnavailable", "TickProcessorDown", "NoTicksProcessed",
                             "DiskNearlyFull", "ArchiveFailing"}),
                  self._fill, self._empty,
                  frozenset({"FeedDown", "NoActiveAccounts", "HighTickProcessingErrorRate",
                             "BackpressureCritical", "BackpressureOverload"}),
                  frozenset({"DamageFound"})),
        ]  # fmt: skip

    async def _kill_feed(self) -> None:
        self.feeds[0].kill(dead=True)

    async def _revive_feed(self) -> None:
        self.feeds[0].kill(dead=False)

    async def _slow(self) -> None:
        self.disks.sync_s = SYNC_S

    async def _fast(self) -> None:
        self.disks.sync_s = 0.0

    async def _fill(self) -> None:
        self.disks.full = True

    async def _empty(self) -> None:
        self.disks.full = False

    async def _stick(self) -> None:
        host, _, port = self._url().rpartition("/")[2].partition(":")
        self._stuck.append(await subscribe_and_read_nothing(host, int(port)))

    async def _unstick(self) -> None:
        for one in self._stuck:
            one.close()

    async def _step(self) -> None:
        self.clock.stepped_ns = STEP_S * 10**9

    async def _step_back(self) -> None:
        self.clock.stepped_ns = 0


async def ask_on(http: httpx.AsyncClient) -> None:
    """Ask for candles now and then, as somebody always does."""
    while True:
        with suppress(httpx.HTTPError):
            await http.get("/v1/latest", params={"symbols": "*"})
        await asyncio.sleep(QUERY_S)


async def look_on(http: httpx.AsyncClient, began: float, log: Log) -> None:
    """Note which alerts fire, twice a second."""
    while True:
        with suppress(httpx.HTTPError):
            found = (await http.get("/api/v1/alerts")).json()["data"]["alerts"]
            names = {one["labels"]["alertname"] for one in found if one["state"] == "firing"}
            log.look(time.monotonic() - began, names)
        await asyncio.sleep(LOOK_S)


async def live(
    day: Day, plant: str, store: str, factor: float, log: Log, mend: Callable[[], None]
) -> list[Phase]:
    """Switch the faults on and off; return when each was there."""
    phases: list[Phase] = []
    began = time.monotonic()
    async with (
        httpx.AsyncClient(base_url=plant, timeout=30) as questions,
        httpx.AsyncClient(base_url=store, timeout=30) as rules,
    ):
        tasks = [asyncio.create_task(ask_on(questions)),
                 asyncio.create_task(look_on(rules, began, log))]  # fmt: skip
        try:
            await asyncio.sleep(REST_S / factor)
            for fault in day.faults():
                begin = time.monotonic() - began
                print(f"{begin:6.0f} s  {fault.name} …", flush=True)
                await fault.begin()
                await asyncio.sleep(max(fault.lasts_s / factor, fault.least_s))
                await fault.end()
                end = time.monotonic() - began
                phases.append(
                    Phase(fault.name, begin, end, fault.wanted, fault.also, fault.lasting)
                )
                await asyncio.sleep(FEED_PAUSE_S)
                await asyncio.to_thread(mend)
                await asyncio.sleep(REST_S / factor)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return phases


REST_S = 300
"""Time between faults, as long as the longest span of a rule."""

FEED_PAUSE_S = 32.0
"""How long a feed that has failed may wait before it is started again; not scaled."""


def repair(plant: Plant, feeds: list[Mortal]) -> None:
    """Say of every gap that is over that it is repaired, as feeds with a history do."""
    for feed in feeds:
        for gap in plant.open_gaps(feed.name):
            plant.tell(Repair(feed.name, gap.id, "repaired", 0)).result(FEED_PAUSE_S)


def run(factor: float, where: str | None = None) -> tuple[list[Fault], list[Row], list[Firing]]:
    """Live through the day; return its faults, what their alerts did, and what nothing wanted."""
    log, phases, urls = Log(), list[Phase](), list[str]()
    day = Day(lambda: urls[0])
    with tempfile.TemporaryDirectory(prefix="tickplant-day-", dir=where) as name:
        # What the plant says of its faults is what it should say; the table is what is wanted.
        logging.basicConfig(filename=f"{name}/plant.log", level=logging.INFO)
        settings = load_settings(flags={"data": f"{name}/data", **SETTINGS})
        world = World(log_disk=SlowLog(day.disks), store_disk=SlowStore(day.disks))
        # What the plant is told of the room on its disk is told by the same disk.
        health.shutil = SimpleNamespace(disk_usage=day.disks.usage)

        async def until(_: Any) -> None:
            # Prometheus starts in a thread of its own: it waits for an answer of this very loop.
            rules = alerts.page(factor)
            opening = load.prometheus(Path(name) / "prometheus", urls[0], EVERY_S / factor, rules)
            store = await asyncio.to_thread(opening.__enter__)
            try:
                mend = partial(repair, opened.plant, day.feeds)
                phases.extend(await live(day, urls[0], store, factor, log, mend))
            finally:
                await asyncio.to_thread(opening.__exit__, None, None, None)

        with (
            server.open_socket("127.0.0.1", 0) as bound,
            OpenPlant(settings, clock=day.clock, world=world) as opened,
        ):
            server.serve(opened, bound, day.feeds, on_ready=urls.append, until=until)
    rows, stray = judge(phases, log)
    return day.faults(), rows, stray


def table(faults: list[Fault], rows: list[Row]) -> str:
    """Return the table of a day."""
    lasting = {
        alert.name: alert.lasting or "at once" for group in GROUPS.values() for alert in group
    }
    about = {fault.name: fault.what for fault in faults}
    lines = [
        "| fault | alert | must last | fired after | resolved after |",
        "| - | - | - | - | - |",
    ]
    shown: set[str] = set()
    for row in rows:
        fault = "" if row.fault in shown else f"**{row.fault}**: {about[row.fault]}"
        shown.add(row.fault)
        lines.append(
            f"| {fault} | [{row.alert}](../runbooks/{row.alert}.md) | {lasting[row.alert]} "
            f"| {_seconds(row.fired_s)} | {_resolved(row)} |"
        )
    return "\n".join(lines) + "\n"


def _resolved(row: Row) -> str:
    return "at the next start" if row.lasting and row.ok else _seconds(row.resolved_s)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} s"


def page(factor: float, faults: list[Fault], rows: list[Row], note: str = "") -> str:
    """Return the page of the documentation."""
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    return (
        "# A day in ten minutes\n\n"
        "<!-- Written by `make day ARGS=--write` from a run; do not edit. -->\n\n"
        "A served plant takes made-up ticks and answers queries while faults are switched on and "
        "off, one after the other, and a Prometheus scrapes it and evaluates "
        f"[its rules](observability.md#alerts) in a time that passes {factor:g} times as fast: the "
        "spans of the rules and how long a state must last are so much shorter, the thresholds are "
        "what they are. The seconds of the table are those of the run; between faults there were "
        f"{FEED_PAUSE_S + REST_S / factor:.0f} s of rest, in which the feeds said that they had "
        "repaired what they had missed. No other alert fired.\n\n"
        f"{table(faults, rows)}\n"
        f"Run on {datetime.now(UTC):%Y-%m-%d}, {cores} cores, load {busy:.1f}{note}. A feed that "
        "has lost its source waits up to 30 s before it is started again, and a subscriber that "
        "reads nothing is cut off after as long; neither is scaled, so the alerts on them come and "
        "go later than a rule alone would say.\n"
    )


def main() -> int:
    """Run the day; return the exit code."""
    parser = argparse.ArgumentParser(prog="make day", description=__doc__)
    parser.add_argument("--factor", type=float, default=10.0, help="how fast time passes (10)")
    parser.add_argument("--write", action="store_true", help="write docs/concepts/day.md")
    parser.add_argument("--folder", help="where the plant's data lies (a temporary folder)")
    parser.add_argument("--note", default="", help="what the page says of the machine, besides")
    options = parser.parse_args()
    faults, rows, stray = run(options.factor, options.folder)
    print(table(faults, rows))
    for firing in stray:
        print(f"nothing wanted this: {json.dumps(firing.__dict__)}", file=sys.stderr)
    good = not stray and all(row.ok for row in rows)
    if options.write and good:
        PAGE.write_text(page(options.factor, faults, rows, options.note), "utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
