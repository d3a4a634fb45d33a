"""How long a plant takes to be back: `python -m bench.restart [--gb 1.0] [--rounds 3]`.

A journal of realistic rows is written, none of it archived, as `kill -9` would leave it; then it is
opened, from the start of the process to the answer of `/ready`, and within a process. Trades with
ids (so with idempotency keys) and quotes alternate, in batches of 1,000 rows and of 50.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.harness import Comparison, Done, Side, compare, report
from bench.served import free_port, wait_ready
from bench.ticks import START, symbols, trade_columns
from tickplant.config import CheckSettings, LogSettings
from tickplant.formats.parsed import incoming_batch
from tickplant.log.contract import LogRecord
from tickplant.log.journal import Journal
from tickplant.plant.accept import Acceptor
from tickplant.plant.batch import Batch
from tickplant.plant.catalog import Catalog
from tickplant.plant.folder import JOURNAL
from tickplant.plant.records import catalog_record, encode_rows
from tickplant.plant.submission import Submission

INSTRUMENTS = 500
TEMPLATES = 40
OPEN_ALONE = """
import sys, time
from tickplant.compose import OpenPlant
from tickplant.config import load
began = time.perf_counter()
opened = OpenPlant(load(flags={"data": sys.argv[1]}))
print(time.perf_counter() - began, opened.plant.seq_last, flush=True)
import os
os._exit(0)
"""


class _NothingSeen:
    @staticmethod
    def seen(_: str, keys: np.ndarray) -> np.ndarray:
        return np.zeros(len(keys), dtype=np.bool_)


def _batches(rows: int, catalog: Catalog) -> list[Batch]:
    acceptor = Acceptor(catalog, _NothingSeen(), CheckSettings())  # type: ignore[arg-type]
    made: list[Batch] = []
    for number in range(TEMPLATES):
        trades = trade_columns(rows, INSTRUMENTS, first=number * rows)
        price = trades["price"].to_numpy()
        quotes = {name: trades[name] for name in ("symbol", "ts_event")}
        quotes |= {"bid_price": price, "ask_price": price + 0.01}
        quotes |= {"bid_size": trades["size"], "ask_size": trades["size"]}
        for table, columns in (("trades", trades), ("quotes", quotes)):
            submission = Submission(table, incoming_batch(table, **columns))
            made += acceptor.accept([submission], 1, START + 10**12).batches
    return made


def records(rows: int, size: int) -> Iterator[LogRecord]:
    """Yield about `size` bytes of records: batches again and again, each with keys of its own."""
    catalog, random = Catalog(), np.random.default_rng(1)
    for symbol in symbols(INSTRUMENTS):
        catalog.add_instrument(symbol, "ORIGIN")
    catalog.begin_run(0)
    batches = _batches(rows, catalog)
    names = catalog.take_new()
    assert names is not None
    yield catalog_record(1, names)
    templates = []
    for batch in batches:
        record = encode_rows(batch.table, batch.rows, batch.keys)
        payload = bytes(record.payload)
        keys = b"" if batch.keys is None else np.ascontiguousarray(batch.keys).tobytes()
        templates.append((record, payload, payload.rfind(keys) if keys else 0, len(keys)))
    seq = 1
    while size > 0:
        for record, payload, at, length in templates:
            fresh = bytearray(payload)
            fresh[at : at + length] = random.bytes(length)
            yield LogRecord(record.kind, seq, record.count, memoryview(fresh))
            seq += record.count
            size -= len(fresh)


def build(folder: Path, rows: int, size: int) -> int:
    """Write the journal; return its last number."""
    journal = Journal(folder / JOURNAL, LogSettings(sync="none"), prepare_ahead=False)
    part: list[LogRecord] = []
    for record in records(rows, size):
        part.append(record)
        if len(part) == 256:
            journal.append(part)
            part = []
    journal.append(part)
    journal.close()
    return journal.seq_next - 1


def open_alone(folder: Path, last: int) -> Done:
    done = subprocess.run(
        [sys.executable, "-c", OPEN_ALONE, str(folder)], capture_output=True, text=True, check=True
    )
    took, seq = done.stdout.split()
    assert int(seq) == last, f"{seq} instead of {last}"
    return Done(last, float(took), {"s": float(took)})


def serve(folder: Path, last: int) -> Done:
    port = free_port()
    command = [sys.executable, "-m", "tickplant", "serve", "--feed", "none"]
    command += ["--data", str(folder), "--port", str(port)]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_ready(f"http://127.0.0.1:{port}", process)
        took = time.perf_counter() - began
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return Done(last, took, {"s": took})


def run(gb: float, rounds: int) -> list[Comparison]:
    found = []
    for rows in (1_000, 50):
        folder = Path(tempfile.mkdtemp(prefix="tickplant-restart-"))
        kept = folder.with_name(folder.name + "-kept")
        try:
            last = build(kept, rows, int(gb * 1e9))
            size = sum(file.stat().st_size for file in (kept / JOURNAL).iterdir())

            def again(folder: Path = folder, kept: Path = kept) -> None:
                # A start changes the folder, and an archive run would make the next one easier.
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(kept, folder)

            def alone(again=again, folder=folder, last=last) -> Done:  # noqa: ANN001
                again()
                return open_alone(folder, last)

            def whole(again=again, folder=folder, last=last) -> Done:  # noqa: ANN001
                again()
                return serve(folder, last)

            found.append(
                compare(
                    f"restart on {size / 1e9:.2f} GB, batches of {rows:,} rows, {last:,} rows",
                    [Side("process start to /ready", whole), Side("OpenPlant alone", alone)],
                    rounds=rounds,
                    target="less than 2 s a GB",
                )
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(kept, ignore_errors=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0, help="size of the journal, GB")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    report(run(options.gb, options.rounds), f"restart-{options.gb:g}gb")


if __name__ == "__main__":
    main()
