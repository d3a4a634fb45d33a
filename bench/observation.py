"""What observation costs ingest, in processor time: all metrics, scrapes and logs against none.

    python -m bench.observation [--pairs 2500] [--scrape-every 5] [--seed 1] [--same]

One served plant takes trades over HTTP, as Arrow bodies of 1,000 with ids, one after the other,
each acknowledged after `fdatasync`: so every body is a flush of its own, on caches that other work
has filled meanwhile, which is when counting costs most. Its observation is switched on for one body
of each pair and off for the other, by the toss of a coin which comes first; `bench.switched` says
what off is without. Both bodies of a pair meet the same process and, within some 10 ms, the same
machine, and what is compared is the processor time of all threads of the plant from one moment at
which it has nothing to do to the next. Printed is the median of the pairs' ratios with a 95 %
interval by bootstrap.

What a body notes is counted with that of some fifty others in one go, which a median of bodies does
not see, so that it is measured by itself and added: the counting of as many notes as are counted at
once, on caches that were filled before with other things. A scrape is measured by itself, too, all
through the run, and added as the share that it takes of a core that ingest fills: the processor
time of one over the seconds from one to the next.

With `--same` observation is on for both bodies of a pair: what comes out then is what the
measurement itself is off by, and its interval must hold 0.

Verified in the end: the plant has the rows that it acknowledged, and its own metrics have counted
the rows and requests of the bodies that were observed, and no others.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import httpx
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.harness import Comparison, Outcome, print_table
from bench.ticks import arrow_body, trade_columns
from tickplant.formats.parsed import incoming_batch
from tickplant.model.times import NS_PER_MS
from tickplant.observe.metrics import Metrics
from tickplant.observe.tallies import NOTES_MAX

ROWS = 1_000
INSTRUMENTS = 1_000
WARM_UP = 50
"""Pairs that are not counted, in which threads, tables and caches come to be."""

PAIRS_A_SCRAPE = 50
RESAMPLES = 2_000
COUNTINGS = 200
IDLE_S = 0.001
"""A plant whose processor time stands still for so long has nothing to do."""

NOTES_A_BODY = 9
BODIES_A_COUNTING = (NOTES_MAX - 1) // NOTES_A_BODY
OTHER_BYTES = 4 << 20
TARGET = 0.03


class Plant:
    """A served plant whose observation can be switched; `accepted` are rows it acknowledged."""

    def __init__(self, url: str, pid: int, acknowledged: int) -> None:
        self.accepted = 0
        self._pid = pid
        self._clock = (~pid << 3) | 2  # Linux' clock of the processor time of a process
        self._acknowledged = acknowledged
        headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=60)

    def switch(self, *, on: bool) -> None:
        os.kill(self._pid, signal.SIGUSR1 if on else signal.SIGUSR2)
        os.read(self._acknowledged, 1)

    def idle_ns(self) -> int:
        """Wait until the plant has nothing to do; return the processor time that it used, ns."""
        used = time.clock_gettime_ns(self._clock)
        while True:
            time.sleep(IDLE_S)
            before, used = used, time.clock_gettime_ns(self._clock)
            if used == before and self._sleeps():
                return used

    def _sleeps(self) -> bool:
        """Say whether each thread waits for something; one that waits for a processor does not."""
        threads = Path(f"/proc/{self._pid}/task").glob("*/stat")
        return all(thread.read_bytes().rpartition(b")")[2][1:2] == b"S" for thread in threads)

    def push(self, body: bytes) -> int:
        """Return the processor time that a body took, ns."""
        before = self.idle_ns()
        answer = self._http.post("/v1/trades", content=body)
        self.accepted += answer.raise_for_status().json()["accepted"]
        return self.idle_ns() - before

    def scrape_ns(self) -> int:
        """Return the processor time that a scrape took, ns."""
        before = self.idle_ns()
        self.scrape()
        return self.idle_ns() - before

    def scrape(self) -> str:
        return self._http.get("/metrics").raise_for_status().text

    def stored(self) -> int:
        return int(self._http.get("/v1/status").json()["store"]["tables"]["trades"]["rows"])


@contextmanager
def serving() -> Iterator[Plant]:
    folder = tempfile.mkdtemp(prefix="tickplant-bench-")
    acknowledged, tell = os.pipe()
    serve = ["serve", "--json", "--feed", "none", "--port", "0", "--data", folder]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", "bench.switched", str(tell), *serve, "--log-format", "json"],
            stdout=subprocess.PIPE, stderr=log, cwd=Path(__file__).parent.parent, pass_fds=[tell],
        ) as process,
    ):  # fmt: skip
        os.close(tell)
        try:
            assert process.stdout is not None
            first = msgspec.json.decode(process.stdout.readline())
            yield Plant(first["url"], process.pid, acknowledged)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            os.close(acknowledged)
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Taken:
    """Processor times in ns: of the bodies of each pair, by whether observed, and of scrapes."""

    on: list[int] = field(default_factory=list)
    off: list[int] = field(default_factory=list)
    scrapes: list[int] = field(default_factory=list)


def bodies() -> Iterator[bytes]:
    """Yield the same trades again and again, each time under ids and at times of their own."""
    batch = incoming_batch("trades", **trade_columns(ROWS, INSTRUMENTS))
    ids, times = (batch.schema.get_field_index(name) for name in ("id", "ts_event"))
    for number in count(1):
        named = pa.array(range(number * ROWS, (number + 1) * ROWS)).cast(pa.string())
        later = pc.add(batch.column(times), number * NS_PER_MS)
        yield arrow_body(
            batch.set_column(ids, batch.schema.field(ids), named.cast(batch.schema.field(ids).type))
            .set_column(times, batch.schema.field(times), later)
        )  # fmt: skip


def take(plant: Plant, pairs: int, coin: random.Random, *, same: bool) -> Taken:
    """Push the pairs, after some to warm up; check what the plant stored and what it counted."""
    taken, body, observed = Taken(), bodies(), 0
    for number in range(WARM_UP + pairs):
        first = coin.random() < 0.5
        used = {}
        for on in (first, not first):
            plant.switch(on=on or same)
            observed += on or same
            used[on] = plant.push(next(body))
        if number >= WARM_UP:
            taken.on.append(used[True])
            taken.off.append(used[False])
            if number % PAIRS_A_SCRAPE == 0:
                plant.switch(on=True)
                taken.scrapes.append(plant.scrape_ns())
    check(plant, observed)
    return taken


def check(plant: Plant, observed: int) -> None:
    """Compare what was acknowledged, what is stored, and what was counted while it was on."""
    plant.switch(on=True)
    shown = plant.scrape()
    rows = counted(shown, r'tickplant_events_accepted_total\{.*table="trades".*\}')
    requests = counted(shown, r'tickplant_http_requests_total\{.*route="/v1/trades",status="201"\}')
    found = {"stored": plant.stored(), "rows": rows, "requests": requests}
    wanted = {"stored": plant.accepted, "rows": observed * ROWS, "requests": observed}
    if found != wanted:
        raise AssertionError(f"{found}, and it should be {wanted}")


def counted(shown: str, series: str) -> int:
    found = re.search(rf"^{series} (\S+)$", shown, re.M)
    return 0 if found is None else int(float(found[1]))


def counting_ns() -> list[float]:
    """Return how long it took, many times, to count what a body had noted, ns a body."""
    metrics, other = Metrics(), np.zeros(OTHER_BYTES, np.int8)
    synced = metrics.fsync_observer()
    body = SimpleNamespace(table="trades", feed="push")
    batch = SimpleNamespace(table="trades", rows=SimpleNamespace(num_rows=ROWS))
    accepted = SimpleNamespace(batches=[batch], duplicates=0, rejects=[])
    took = []
    for _ in range(COUNTINGS):
        for _ in range(BODIES_A_COUNTING):
            metrics.accepted(body, accepted)
            metrics.appended(10**5)
            metrics.logged("trades", 60_000)
            synced(1e-3)
            metrics.flushed(10**6)
            metrics.acknowledged(10**6)
            metrics.answered("POST", "/v1/trades", 201, 3e-3)
        other[::64] += 1
        began = time.thread_time_ns()
        metrics.notes.count()
        took.append((time.thread_time_ns() - began) / BODIES_A_COUNTING)
    rows = counted(metrics.render()[0].decode(), r"tickplant_batch_rows_sum")
    if rows != COUNTINGS * BODIES_A_COUNTING * ROWS:
        raise AssertionError(f"{rows} rows were counted")
    return took


@dataclass(frozen=True)
class Share:
    """A part of what ingest costs, with its 95 % interval."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:+.2%} ({self.low:+.2%} to {self.high:+.2%})"


def share(middle: float, resampled: np.ndarray) -> Share:
    low, high = np.percentile(resampled, [2.5, 97.5]).tolist()
    return Share(middle, low, high)


def shares(taken: Taken, counting: list[float], scrape_every_s: float, seed: int) -> list[Share]:
    """Return what observing a body adds, counting its notes, a scrape, and all of it."""
    dice = np.random.default_rng(seed)
    parts = [
        np.array(taken.on) / np.array(taken.off) - 1,
        np.array(counting) / np.median(taken.off),
        np.array(taken.scrapes) / 1e9 / scrape_every_s,
    ]
    middles = [float(np.median(part)) for part in parts]
    medians = [
        np.array([np.median(dice.choice(part, len(part))) for _ in range(RESAMPLES)])
        for part in parts
    ]
    found = list(map(share, middles, medians))
    return [*found, share(sum(middles), np.sum(medians, axis=0))]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.observation", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--pairs", type=int, default=2_500, help="pairs of bodies (default 2500)")
    parser.add_argument("--scrape-every", type=float, default=5.0, help="seconds (default 5)")
    parser.add_argument("--seed", type=int, default=1, help="of the coin and the resampling")
    parser.add_argument("--same", action="store_true", help="observe both bodies of each pair")
    given = parser.parse_args()
    with serving() as plant:
        taken = take(plant, given.pairs, random.Random(given.seed), same=given.same)
    note = "metrics, envelope, log lines"
    outcomes = [
        Outcome("observed", note, [used / ROWS for used in taken.on], {}),
        Outcome("observed as well" if given.same else "not observed", "",
                [used / ROWS for used in taken.off], {}),
    ]  # fmt: skip
    name = f"Cost of observation, {INSTRUMENTS:,} instruments over HTTP, a body at a time"
    print_table(Comparison(name, "CPU ns/row", outcomes, f"<= {TARGET:.0%} of ingest", "lower"))
    counting = counting_ns()
    pushed, count_up, scraped, all_of_it = shares(taken, counting, given.scrape_every, given.seed)
    scrape_ms, counting_us = (
        statistics.median(taken.scrapes) / 1e6,
        statistics.median(counting) / 1e3,
    )
    print(
        f"\n{len(taken.on)} pairs; medians with 95 % intervals:\n"
        f"  on the path of a body                         {pushed}\n"
        f"  counting what it noted, {counting_us:6.1f} us             {count_up}\n"
        f"  a scrape each {given.scrape_every:4g} s, {scrape_ms:6.1f} ms, of a core  {scraped}\n"
        f"  together                                      {all_of_it}\n"
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
