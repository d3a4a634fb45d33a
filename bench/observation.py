"""What observation costs ingest: all metrics, logs and scrapes against none, in processor time.

    python -m bench.observation [--pairs 150] [--rows 10000]

Two served plants run side by side and take the same trades over HTTP, as Arrow bodies of 1,000 with
ids, one after the other, each acknowledged after `fdatasync`: so every body is a flush of its own,
which is when counting costs most. One plant is as it is served, logs as JSON; the other counts and
logs nothing. They take turns (A B B A) in short loads, so that both of a pair meet the same
machine, and what is compared is the processor time of the plants, not the clock. Prints the median
of the pairs with its quartiles; on a machine that others use, their spread is wider than what is
looked for. So it also prints what bends least: the counting of one body by itself, least of many
rounds, beside the least that a body costs the other plant, and a scrape, once in 15 s beside
300,000 rows/s. The rows of both are counted in the end.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import httpx
import msgspec

from bench.harness import Comparison, Outcome, print_table
from bench.ticks import arrow_body, trade_batches

ROWS = 1_000
INSTRUMENTS = 1_000
SCRAPES = 20
SCRAPE_EVERY_S = 15
COUNTED = 100
RATE = 300_000
UNOBSERVED = "--unobserved"
WARM_UP = 10
"""Loads of each plant that are not counted."""


def serve_unobserved(arguments: Sequence[str]) -> int:
    """Serve a plant whose metrics count nothing and whose loggers say nothing."""
    from tickplant import compose
    from tickplant.cli import main
    from tickplant.observe.metrics import Metrics

    def nothing(*_: Any, **__: Any) -> None:
        return None

    kept = {"watch", "render"}
    counting = [n for n, v in vars(Metrics).items() if isinstance(v, FunctionType) and n[0] != "_"]
    names = dict.fromkeys(set(counting) - kept, nothing)
    names["fsync_observer"] = lambda _: nothing
    compose.Metrics = type("Unobserved", (Metrics,), names)
    logging.disable(logging.CRITICAL)
    return main(arguments)


@dataclass(frozen=True)
class Plant:
    """A served plant; `pid` is its process."""

    url: str
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time of all its threads, s, by Linux' clock of a process."""
        return time.clock_gettime_ns((~self.pid << 3) | 2) / 1e9


@contextmanager
def serving(*, observed: bool) -> Iterator[Plant]:
    folder = tempfile.mkdtemp(prefix="tickplant-bench-")
    entry = ["-m", "tickplant"] if observed else ["-m", "bench.observation", UNOBSERVED]
    serve = ["serve", "--json", "--feed", "none", "--port", "0", "--data", folder]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, *entry, *serve, "--log-format", "json"],
            stdout=subprocess.PIPE, stderr=log, cwd=Path(__file__).parent.parent,
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout is not None
            first = msgspec.json.decode(process.stdout.readline())
            yield Plant(first["url"], process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            shutil.rmtree(folder, ignore_errors=True)


class Sender:
    """Sends bodies to one plant; counts what was accepted."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.accepted = 0
        headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
        self._http = httpx.Client(base_url=plant.url, headers=headers, timeout=60)

    def load(self, bodies: Sequence[bytes]) -> float:
        """Send the bodies; return the plant's processor time a row, ns."""
        before = self.plant.cpu_s()
        for body in bodies:
            answer = self._http.post("/v1/trades", content=body)
            self.accepted += answer.raise_for_status().json()["accepted"]
        return (self.plant.cpu_s() - before) / (len(bodies) * ROWS) * 1e9

    def scrape_s(self) -> float:
        """Return the processor time of one scrape, s, the median of some."""
        used = []
        for _ in range(SCRAPES):
            before = self.plant.cpu_s()
            found = self._http.get("/metrics").content
            used.append(self.plant.cpu_s() - before)
            assert b"tickplant_events_accepted_total" in found
        return statistics.median(used)

    def check(self) -> None:
        tables = self._http.get("/v1/status").json()["store"]["tables"]
        if tables["trades"]["rows"] != self.accepted:
            raise AssertionError(f"{tables['trades']['rows']} stored, {self.accepted} accepted")


@dataclass(frozen=True)
class Found:
    """Both sides in ns a row, what each pair differs by, and a scrape's processor time, s."""

    comparison: Comparison
    more: list[float]
    scrape_s: float


def counting_s() -> float:
    """Return the time of all that is counted of one body that is a flush of its own, s."""
    from tickplant.observe.metrics import Metrics

    metrics = Metrics()
    synced = metrics.fsync_observer()
    body = SimpleNamespace(table="trades", feed="push")
    batch = SimpleNamespace(table="trades", rows=SimpleNamespace(num_rows=ROWS))
    accepted = SimpleNamespace(batches=[batch], duplicates=0, rejects=[])

    def count() -> None:
        metrics.accepted(body, accepted)
        metrics.appended(10**5)
        metrics.logged("trades", 60_000)
        synced(1e-3)
        metrics.flushed(10**6)
        metrics.acknowledged(10**6)
        metrics.answered("POST", "/v1/trades", 201, 3e-3)

    return min(timeit.repeat(count, number=COUNTED, repeat=COUNTED)) / COUNTED


def run(*, pairs: int = 150, rows: int = 10_000) -> Found:
    """Load both plants in turn; the first loads, which warm them up, do not count."""
    each = max(rows // ROWS, 1)
    bodies = [arrow_body(b) for b in trade_batches(each * (pairs + WARM_UP), ROWS, INSTRUMENTS)]
    with ExitStack() as stack:
        plants = [stack.enter_context(serving(observed=observed)) for observed in (True, False)]
        sides = [Sender(plant) for plant in plants]
        used: list[list[float]] = [[], []]
        for turn in range(pairs + WARM_UP):
            part = bodies[turn * each : (turn + 1) * each]
            for place in (0, 1) if turn % 2 else (1, 0):
                used[place].append(sides[place].load(part))
        scrape_s = sides[0].scrape_s()
        for side in sides:
            side.check()
    on, off = (side[WARM_UP:] for side in used)
    outcomes = [
        Outcome("observed", "metrics and JSON logs", on, {"ms a scrape": 1e3 * scrape_s}),
        Outcome("not observed", "counts and logs nothing", off, {}),
    ]
    name = f"Cost of observation, {INSTRUMENTS:,} instruments over HTTP, a body at a time"
    comparison = Comparison(name, "CPU ns/row", outcomes, "<= 3 % of ingest", "lower")
    return Found(comparison, [a / b - 1 for a, b in zip(on, off, strict=True)], scrape_s)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.observation", description=__doc__)
    parser.add_argument("--pairs", type=int, default=150, help="pairs of loads (default 150)")
    parser.add_argument("--rows", type=int, default=10_000, help="rows of each load")
    found = run(**vars(parser.parse_args()))
    print_table(found.comparison)
    low, middle, high = statistics.quantiles(found.more, n=4)
    off = found.comparison.outcomes[1].rates
    rows_s = statistics.median(off) * RATE * SCRAPE_EVERY_S / 1e9
    alone, body_s = counting_s(), min(off) * ROWS / 1e9
    print(
        f"\nobserved over not observed, {len(found.more)} pairs: {middle:+.1%} (median), "
        f"{low:+.1%} to {high:+.1%} (quartiles); a scrape each {SCRAPE_EVERY_S} s adds "
        f"{found.scrape_s / rows_s:.2%} at {RATE:,} rows/s; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
        f"the least of each side: {min(found.comparison.outcomes[0].rates) / min(off) - 1:+.1%}; "
        f"counting alone: {1e6 * alone:.0f} us a body, {alone / body_s:.2%} of the least that "
        "one costs"
    )


if __name__ == "__main__":
    if UNOBSERVED in sys.argv[1:2]:
        sys.exit(serve_unobserved(sys.argv[2:]))
    main()
