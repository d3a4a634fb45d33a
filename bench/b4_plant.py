"""B4, the whole plant: 300,000 ticks/s through everything, for a minute, to 50 subscribers.

A served plant takes ticks of 1,000 and of 5,000 instruments in open loop: validated, deduplicated
by their ids, durable (acknowledged after `fdatasync`), in candles of three intervals that are kept
up for all instruments, and streamed to 50 subscribers who share the instruments among them. One
message in a hundred is sent again with one bad row in it, so that deduplication and quarantine have
to find what they should. Plant, load and subscribers share the machine.

Counted is what was acknowledged. Then everything must agree, to the event: what is stored with what
was sent, one by one; what the subscribers got with what is stored, by count and by the sum of the
numbers; the plant's own metrics with all of them; candles of many instruments with a recompute.

    python -m bench.b4_plant [--instruments 1000] [--seconds 20] [--rate 300000] [--batch 3000]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import uvloop

from bench.harness import Comparison, Outcome, print_table
from tickplant.client.follow import stream_url
from tickplant.client.outbox import PATH
from tickplant.compose import open_history
from tickplant.loadtest.own import start_plant
from tickplant.loadtest.producer import Delivery, Message, deliver
from tickplant.loadtest.readback import from_folder
from tickplant.loadtest.report import percentiles_ms
from tickplant.loadtest.scenarios import choose
from tickplant.loadtest.ticks import VENUE, Sums, Ticks, symbols
from tickplant.loadtest.usage import Sample, look, look_on, usage
from tickplant.model.events import TRADES
from tickplant.model.times import NS_PER_S

INTERVALS = {"1s": NS_PER_S, "1m": 60 * NS_PER_S, "1h": 3_600 * NS_PER_S}
SETTINGS = (f"candles.served={','.join(INTERVALS)}", "candles.kept_s=0")
RATE = 300_000
SUBSCRIBERS = 50
AGAIN_EVERY = 100
"""Every so many messages, the last one is sent again with one bad row."""

COMPARED = 20
"""Instruments whose candles are compared with a recompute."""

LIMIT = "open loop; ack after fdatasync; plant, load and subscribers on the same machine"


@dataclass(frozen=True)
class Counts:
    """What one place says of the run: ticks stored, ticks that were there already, bad rows."""

    ticks: int
    duplicates: int
    rejected: int


class Load:
    """The ticks of a run and what has to come of them."""

    def __init__(
        self, instruments: int, rate: int, seconds: float, batch: int | None = None
    ) -> None:
        self.scenario = choose(
            "baseline", instruments=instruments, rate=rate, seconds=seconds, batch=batch
        )
        self.base = time.time_ns()
        self.ticks = Ticks(instruments, base=self.base)
        again = len(range(AGAIN_EVERY - 1, len(list(self.scenario.messages())), AGAIN_EVERY))
        batch = self.scenario.batch
        self.wanted = Counts(self.scenario.ticks, again * (batch - 1), again)

    def warm_up(self) -> Iterator[Message]:
        yield 0.0, lambda: self.ticks.every(self.base)

    def messages(self) -> Iterator[Message]:
        begun = time.time_ns()
        for number, (due_s, first, count) in enumerate(self.scenario.messages(), 1):
            make = partial(self._make, begun, first, count)
            yield due_s, make
            if number % AGAIN_EVERY == 0:
                yield due_s, partial(self._spoilt, make)

    def _make(self, begun: int, first: int, count: int) -> tuple[pa.RecordBatch, Sums]:
        at = begun + (first + np.arange(count)) * NS_PER_S // self.scenario.rate
        return self.ticks.make(self.scenario.instruments + first, at)

    def _spoilt(self, make: partial[tuple[pa.RecordBatch, Sums]]) -> tuple[pa.RecordBatch, Sums]:
        """Return a message again with a price that cannot be; it adds nothing to what is stored."""
        rows, _ = make()
        place = rows.schema.get_field_index("price")
        price = rows.column(place).to_numpy().copy()
        price[0] = -1.0
        return rows.set_column(place, rows.schema.field(place), pa.array(price)), Sums()


@contextmanager
def subscribed(url: str, instruments: int) -> Iterator[subprocess.Popen[str]]:
    """Start the subscribers; each instrument has one."""
    names = [f"{VENUE}:{name}" for name in symbols(instruments)]
    groups = [names[first::SUBSCRIBERS] for first in range(min(SUBSCRIBERS, instruments))]
    with subprocess.Popen(
        [sys.executable, "-m", "bench.subscribers", url],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent,
    ) as process:  # fmt: skip
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(groups) + "\n")
            process.stdin.flush()
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the subscribers could not subscribe")
            yield process
        finally:
            process.kill()


def counted(process: subprocess.Popen[str], wanted: int) -> dict[str, Any]:
    """Return what the subscribers have once they have so many events, or hear nothing more."""
    said, _ = process.communicate(f"{wanted}\n")
    return json.loads(said)


async def drive(url: str, load: Load, samples: list[Sample]) -> Delivery:
    """Send the load, looking at the plant's metrics meanwhile."""
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        samples.append(await look(http))
        looking = asyncio.create_task(look_on(http, samples))
        try:
            return await deliver(stream_url(url, PATH), load.messages(), headers={}, stall_s=60)
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking


def measured(url: str) -> dict[str, float]:
    """Return the plant's metrics as they are now."""

    async def once() -> Sample:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            return await look(http)

    return dict(asyncio.run(once()).values)


def whole(
    instruments: int, rate: int, seconds: float, batch: int | None = None
) -> tuple[float, dict[str, float]]:
    """Run the plant once; return the ticks/s that were acknowledged, and what else was measured."""
    load, samples = Load(instruments, rate, seconds, batch), list[Sample]()
    options = [word for setting in SETTINGS for word in ("--set", setting)]
    with start_plant(None, options) as plant:
        uvloop.run(deliver(stream_url(plant.url, PATH), load.warm_up(), headers={}))
        before = measured(plant.url)
        with subscribed(plant.url, instruments) as process:
            done = uvloop.run(drive(plant.url, load, samples))
            streamed = counted(process, load.wanted.ticks)
        after = measured(plant.url)
        check_counts(load, done, streamed, {k: after[k] - before.get(k, 0.0) for k in after})
        served = candles(plant.url, instruments)
        plant.stop()
        seq_sum = check_stored(load, plant.folder, done)
        if streamed["seq_sum"] != seq_sum:
            raise AssertionError("the subscribers got other events than those that are stored")
        wrong = mismatches(plant.folder, served)
    if wrong:
        raise AssertionError(f"{wrong} candles differ from a recompute")
    used = usage(samples)
    latency = percentiles_ms(done.latencies_s)
    return done.sums.rows / done.seconds, {
        "offered": rate,
        "ack p50 ms": latency["p50"],
        "ack p99 ms": latency["p99"],
        "to subscriber p50 ms": streamed["age_p50_ms"],
        "to subscriber p99 ms": streamed["age_p99_ms"],
        "cores of the plant": used.cores or 0.0,
        "plant us/tick": 1e6 * cpu_s(before, after) / load.wanted.ticks,
        "subscribers us/tick": 1e6 * streamed["cpu_s"] / load.wanted.ticks,
        "memory MiB at most": used.memory_mib_max or 0.0,
        "MiB/min in the second half": used.slope_mib_min or 0.0,
        "generator late p99 ms": percentiles_ms(done.lateness_s)["p99"],
        "seconds": done.seconds,
    }


def cpu_s(before: dict[str, float], after: dict[str, float]) -> float:
    return after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]


def check_counts(
    load: Load, done: Delivery, streamed: dict[str, Any], metrics: dict[str, float]
) -> None:
    """Compare what was sent with acknowledgements, subscribers and the plant's own metrics."""
    places = {
        "acknowledged": Counts(done.acknowledged, done.duplicates, done.rejected),
        "metrics": Counts(
            round(metrics["tickplant_events_accepted_total{trades}"]),
            round(metrics.get("tickplant_events_duplicates_total{trades}", 0)),
            round(metrics.get("tickplant_events_rejected_total", 0)),
        ),
    }
    for place, found in places.items():
        if found != load.wanted:
            raise AssertionError(f"{place}: {found}, sent were {load.wanted}")
    sent = round(metrics["tickplant_stream_events_sent_total"])
    got = streamed["events"]
    if not got == sent == load.wanted.ticks:
        raise AssertionError(
            f"{got} events came to the subscribers, {sent} were sent says the plant, "
            f"{load.wanted.ticks} were stored; besides: {streamed['others']}"
        )
    if streamed["out_of_order"]:
        raise AssertionError(f"{streamed['out_of_order']} frames were out of order")
    if metrics["tickplant_stream_frames_total"] != streamed["frames"]:
        raise AssertionError(f"{streamed['frames']} frames came, the plant counts others")


def check_stored(load: Load, folder: Path, done: Delivery) -> int:
    """Compare what is on disk with what was sent, tick by tick; return the sum of its numbers."""
    instruments = load.scenario.instruments
    found = from_folder(folder, base=load.base, count=load.wanted.ticks + instruments)
    _, warm_up = load.ticks.every(load.base)
    if found.doubled or found.missing or found.sums != done.sums + warm_up:
        raise AssertionError(f"stored is {found}, sent were {done.sums} and {warm_up}")
    rows = open_history(folder).store.scan(TRADES, columns=["seq", "id"])
    late = rows["id"].cast(pa.int64()).to_numpy() >= load.base + instruments
    return int(rows["seq"].to_numpy()[late].sum())


Bars = dict[tuple[str, str], list[tuple[Any, ...]]]


def candles(url: str, instruments: int) -> Bars:
    """Return the candles of some instruments as the plant answers them."""
    names = ("start", "open", "high", "low", "close", "volume", "count")
    found: Bars = {}
    with httpx.Client(base_url=url, timeout=60) as http:
        for symbol in symbols(instruments)[:: max(instruments // COMPARED, 1)]:
            for interval in INTERVALS:
                query = {"interval": interval, "limit": 10_000, "format": "arrow"}
                answer = http.get(f"/v1/candles/{VENUE}:{symbol}", params=query)
                table = pa.ipc.open_stream(answer.raise_for_status().content).read_all()
                start = table["start"].cast(pa.int64())
                table = table.select(names).set_column(0, "start", start)
                columns = (table[name].to_pylist() for name in names)
                found[symbol, interval] = list(zip(*columns, strict=True))
    return found


def mismatches(folder: Path, served: Bars) -> int:
    """Return how many answers differ from DuckDB's aggregation of the stored ticks."""
    import duckdb

    history = open_history(folder)
    wrong = 0
    for (symbol, interval), bars in served.items():
        number = history.registry.resolve(f"{VENUE}:{symbol}").number
        ticks = history.store.scan(TRADES, number, columns=["ts_event", "seq", "price", "size"])
        step = INTERVALS[interval]
        recomputed = duckdb.sql(
            f"select ts_event // {step} * {step} as start, arg_min(price, (ts_event, seq)), "
            "max(price), min(price), arg_max(price, (ts_event, seq)), sum(size), count(*) "
            "from ticks group by start order by start"
        ).fetchall()
        del ticks
        wrong += bars != recomputed
    return wrong


def run(
    *,
    instruments: Sequence[int] = (1_000, 5_000),
    rate: int = RATE,
    seconds: float = 60,
    batch: int | None = None,
) -> list[Comparison]:
    """Run B4 once for each number of instruments."""
    found = []
    for count in instruments:
        print(f"  B4: {count:,} instruments, {rate:,} ticks/s, {seconds:g} s …", file=sys.stderr)
        reached, extra = whole(count, rate, seconds, batch)
        outcome = Outcome("tickplant, the whole plant", LIMIT, [reached], extra)
        name = f"B4 whole plant, {count:,} instruments, {SUBSCRIBERS} subscribers, {seconds:g} s"
        target = ">= 300,000 ticks/s sustained, nothing lost, memory flat"
        found.append(Comparison(name, "ticks/s", [outcome], target))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.b4_plant", description=__doc__)
    parser.add_argument("--instruments", type=int, nargs="*", default=[1_000, 5_000])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--batch", type=int, help="ticks in a message (default: those of 10 ms)")
    given = parser.parse_args()
    for one in run(**vars(given)):
        print_table(one)
