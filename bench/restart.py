"""How long a plant takes to be back: `python -m bench.restart [--gb 1.0] [--rounds 5]`.

A journal of realistic rows is written, none of it archived, as `kill -9` would leave it; then a
plant is started on it, again and again. Trades with ids (so with idempotency keys) and quotes
alternate, in batches of 1,000 rows and of 50. Times count from the start of the process: until
`/ready` answers 200, until a row is accepted and durable, and until a read of all rows is answered,
which waits for the last of them to be back in memory. Beside them stand the least that a start can
cost: imports, reading the bytes, their checksums. CPU time says more than wall time where other
work runs on the machine. Every start checks the sequence number and the number of rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np

from bench.harness import RESULTS, machine
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
WINDOW_BYTES = 4 << 20
IMPORTS = "import tickplant.cli.server, tickplant.compose"
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
"""A plant is compiled when it is installed; here it is when it is started to warm up."""


@dataclass(frozen=True)
class Start:
    """One start: seconds of wall time since the process began, and of CPU until ready."""

    ready: float
    accepted: float
    readable: float
    cpu: float


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


def start(folder: Path, last: int) -> Start:
    """Start a plant on the folder, write a row, read, and kill it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "tickplant", "serve", "--feed", "none"]
    command += ["--data", str(folder), "--port", str(port)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT
    )
    try:
        wait_ready(url, process)
        ready, cpu = time.perf_counter() - began, _cpu_s(process.pid)
        row = {"symbol": symbols(1)[0], "price": 1.0, "ts_event": "2020-01-01T00:00:00Z"}
        answer = httpx.post(f"{url}/v1/trades", json=[row], timeout=60)
        accepted = time.perf_counter() - began
        assert answer.json()["seq_first"] == last + 1, answer.text
        read = f"{url}/v1/trades/{row['symbol']}"
        answer = httpx.get(read, params={"limit": 1}, timeout=60)
        readable = time.perf_counter() - began
        assert answer.status_code == 200, answer.text
        tables = httpx.get(f"{url}/v1/status", timeout=60).json()["store"]["tables"]
        assert sum(table["rows"] for table in tables.values()) == last + 1
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return Start(ready, accepted, readable, cpu)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def floors(folder: Path) -> dict[str, float]:
    """Return the CPU seconds that a start cannot do without."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", IMPORTS], check=True, env=ENVIRONMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {"imports": sum(after[:2]) - sum(before[:2])}
    began = time.process_time()
    window, size = b"", 0
    for path in sorted((folder / JOURNAL).iterdir()):
        with path.open("rb", buffering=0) as file:
            while window := file.read(WINDOW_BYTES):
                size += len(window)
    found["reading"] = time.process_time() - began
    window = bytes(WINDOW_BYTES)
    began = time.process_time()
    for _ in range(size // WINDOW_BYTES):
        zlib.crc32(window)
    found["checksums"] = time.process_time() - began
    return found


def run(gb: float, rounds: int) -> list[dict[str, object]]:
    """Measure both journals, print a table of each, return what was measured."""
    found: list[dict[str, object]] = []
    for rows in (1_000, 50):
        folder = Path(tempfile.mkdtemp(prefix="tickplant-restart-"))
        kept = folder.with_name(folder.name + "-kept")
        try:
            last = build(kept, rows, int(gb * 1e9))
            size = sum(file.stat().st_size for file in (kept / JOURNAL).iterdir())
            starts = []
            for number in range(rounds + 1):
                # A start changes the folder, and an archive run would make the next one easier.
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(kept, folder)
                made = start(folder, last)
                starts += [made] if number else []  # the first one warms up
            name = f"{size / 1e9:.2f} GB in batches of {rows:,} rows, {last:,} rows"
            least = floors(kept)
            show(name, starts, least)
            found.append({"name": name, "starts": list(map(asdict, starts)), "floors": least})
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(kept, ignore_errors=True)
    return found


def show(name: str, starts: list[Start], least: dict[str, float]) -> None:
    """Print one journal's table."""
    print(f"\n{name}   target: ready in less than 2 s")
    print(
        f"  {'seconds from the start of the process':<44}{'median':>9}{'least':>9}{'greatest':>9}"
    )
    for label, values in (
        ("until /ready answers 200", [s.ready for s in starts]),
        ("until a row is accepted and durable", [s.accepted for s in starts]),
        ("until a read of all rows is answered", [s.readable for s in starts]),
        ("CPU time until ready", [s.cpu for s in starts]),
    ):
        middle = statistics.median(values)
        print(f"  {label:<44}{middle:>9.2f}{min(values):>9.2f}{max(values):>9.2f}")
    print(
        "  at least: " + ", ".join(f"{key} {value:.2f}" for key, value in least.items()) + " s CPU"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--gb", type=float, default=1.0, help="size of the journal, GB")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    tree = {"machine": machine(), "restarts": run(options.gb, options.rounds)}
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"restart-{options.gb:g}gb.json"
    path.write_text(json.dumps(tree, indent=2) + "\n", "utf-8")
    print(f"\nresults: {path}")


if __name__ == "__main__":
    main()
