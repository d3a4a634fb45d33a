"""Rows over the ingest socket and as Influx lines: `python -m bench.push [--batches N]`.

A served plant takes trades of 100 instruments, with ids, in batches of 1,000: from one producer as
Arrow over `WS /v1/ingest` (a window of 64), and as bodies of Influx lines over 8 connections. Every
batch is acknowledged after `fdatasync`; the rows are counted in the end. Beside the wall time
stands the CPU time of the serving process, which says more where other work runs on the machine.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa

from bench.served import serving
from bench.ticks import trade_batches
from tickplant.client import Client

ROWS = 1_000


def _cpu_s(url: str) -> float:
    """CPU seconds that the plant at `url` has used."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("process_cpu_seconds_total ")]
    return float(found[0].split()[1]) if found else float("nan")


def _check(url: str, wanted: int) -> None:
    stored = httpx.get(f"{url}/v1/status").json()["seq_last"]
    if stored < wanted:
        raise AssertionError(f"{stored} rows are stored, {wanted} were sent")


def _show(name: str, rows: int, wall_s: float, cpu_s: float) -> None:
    print(f"{name}: {rows / wall_s:,.0f} rows/s by the clock, {1e9 * cpu_s / rows:,.0f} ns/row of "
          f"the plant's CPU ({rows / cpu_s:,.0f} rows/s a core), {rows:,} rows")  # fmt: skip


def socket_arrow(batches: list[pa.RecordBatch]) -> None:
    with serving() as (url, _, _), Client(url) as client:
        with client.ingest() as producer:
            producer.send("trades", batches[0])
            producer.flush()
            before, began, mine = _cpu_s(url), time.perf_counter(), time.process_time()
            for batch in batches[1:]:
                producer.send("trades", batch)
            accepted = producer.flush().accepted
            wall_s, mine = time.perf_counter() - began, time.process_time() - mine
            cpu_s = _cpu_s(url) - before
        rows = ROWS * (len(batches) - 1)
        assert accepted == rows, (accepted, rows)
        _check(url, rows + ROWS)
        _show("WS Arrow", rows, wall_s, cpu_s)
        print(f"  the producer's own CPU: {1e9 * mine / rows:,.0f} ns/row")


def influx(batches: list[pa.RecordBatch]) -> None:
    bodies = [_lines(batch) for batch in batches]
    with serving() as (url, _, _), httpx.Client() as client, ThreadPoolExecutor(8) as senders:
        before, began = _cpu_s(url), time.perf_counter()
        answers = senders.map(lambda body: client.post(f"{url}/write", content=body), bodies)
        assert {answer.status_code for answer in answers} == {204}
        wall_s, cpu_s = time.perf_counter() - began, _cpu_s(url) - before
        _check(url, ROWS * len(batches))
        _show("Influx lines", ROWS * len(batches), wall_s, cpu_s)


def _lines(batch: pa.RecordBatch) -> bytes:
    return b"".join(
        f'trades,symbol={row["symbol"]} price={row["price"]},size={row["size"]},id="{row["id"]}" '
        f"{row['ts_event']}\n".encode()
        for row in batch.to_pylist()
    )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--batches", type=int, default=1_500)
    count = options.parse_args().batches
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {Path.cwd().name}")
    made = trade_batches(count, ROWS, 100)
    socket_arrow(made)
    influx(made[: count // 5])
