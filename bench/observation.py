"""What observation costs ingest: all metrics, logs and scrapes against none, in processor time.

    python -m bench.observation [--pairs 30] [--rows 50000]

Two served plants run side by side and take the same trades over HTTP, as Arrow bodies of 1,000 with
ids, acknowledged after `fdatasync`. One is as it is served, logs as JSON, and is scraped once every
300,000 rows: a second at that rate, where Prometheus asks every fifteen. The other counts and logs
nothing and is never asked. They take turns (A B B A), so that each pair of loads meets the same
machine, and what is compared is the processor time of the plants, not the clock. Prints the median
of the pairs with its quartiles. The rows of both are counted in the end.
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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import httpx
import msgspec

from bench.harness import Comparison, Outcome, print_table
from bench.ticks import arrow_body, trade_batches

ROWS = 1_000
INSTRUMENTS = 1_000
SENDERS = 4
ROWS_A_SCRAPE = 300_000
UNOBSERVED = "--unobserved"
WARM_UP = 3
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
    """Sends bodies to one plant over a few connections; counts what was accepted."""

    def __init__(self, plant: Plant, *, scrapes: bool) -> None:
        self.plant = plant
        self.accepted = self.scraped = 0
        self._scrapes = scrapes
        headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
        self._http = httpx.Client(base_url=plant.url, headers=headers, timeout=60)
        self._pool = ThreadPoolExecutor(SENDERS)

    def load(self, bodies: Sequence[bytes]) -> float:
        """Send the bodies; return the plant's processor time a row, ns."""
        before = self.plant.cpu_s()
        self.accepted += sum(self._pool.map(self._post, bodies))
        while self._scrapes and self.scraped < self.accepted // ROWS_A_SCRAPE:
            assert b"tickplant_events_accepted_total" in self._http.get("/metrics").content
            self.scraped += 1
        return (self.plant.cpu_s() - before) / (len(bodies) * ROWS) * 1e9

    def _post(self, body: bytes) -> int:
        answer = self._http.post("/v1/trades", content=body)
        return int(answer.raise_for_status().json()["accepted"])

    def check(self) -> None:
        tables = self._http.get("/v1/status").json()["store"]["tables"]
        if tables["trades"]["rows"] != self.accepted:
            raise AssertionError(f"{tables['trades']['rows']} stored, {self.accepted} accepted")


def run(*, pairs: int = 30, rows: int = 50_000) -> tuple[Comparison, list[float]]:
    """Return both sides in ns a row, and of each pair how much the observed plant used more."""
    each = max(rows // ROWS, 1)
    bodies = [arrow_body(b) for b in trade_batches(each * (pairs + WARM_UP), ROWS, INSTRUMENTS)]
    with ExitStack() as stack:
        plants = [stack.enter_context(serving(observed=observed)) for observed in (True, False)]
        sides = [Sender(plant, scrapes=not place) for place, plant in enumerate(plants)]
        used: list[list[float]] = [[], []]
        for turn in range(pairs + WARM_UP):
            part = bodies[turn * each : (turn + 1) * each]
            for place in (0, 1) if turn % 2 else (1, 0):
                used[place].append(sides[place].load(part))
        for side in sides:
            side.check()
    used = [side[WARM_UP:] for side in used]
    more = [on / off - 1 for on, off in zip(*used, strict=True)]
    outcomes = [
        Outcome("observed", "metrics, JSON logs, scraped once in 300,000 rows", used[0], {}),
        Outcome("not observed", "counts and logs nothing, never scraped", used[1], {}),
    ]
    name = f"Cost of observation, {INSTRUMENTS:,} instruments over HTTP"
    return Comparison(name, "CPU ns/row", outcomes, "<= 3 % of ingest", "lower"), more


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.observation", description=__doc__)
    parser.add_argument("--pairs", type=int, default=30, help="pairs of loads (default 30)")
    parser.add_argument("--rows", type=int, default=50_000, help="rows of each load")
    comparison, more = run(**vars(parser.parse_args()))
    print_table(comparison)
    low, middle, high = statistics.quantiles(more, n=4)
    total = sum(comparison.outcomes[0].rates) / sum(comparison.outcomes[1].rates) - 1
    print(
        f"\nobserved over not observed, {len(more)} pairs: {middle:+.1%} (median), "
        f"{low:+.1%} to {high:+.1%} (quartiles); of the sums {total:+.1%}; "
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    if UNOBSERVED in sys.argv[1:2]:
        sys.exit(serve_unobserved(sys.argv[2:]))
    main()
