"""What ingest costs by stage, in CPU time of one thread: figures that a busy machine bends least.

    python -m bench.stages [--batches 480] [--rounds 5]

Parsing of bodies of 1,000 rows, one at a time and 16 that wait together; then accepting (checks,
names, keys, numbers), encoding for the log and storing, 16,000 rows at a time, as the plant's
thread does under load. The symbols are registered before. Prints ns a row, the least of the rounds;
every stage's rows are counted.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence

import pyarrow as pa

from bench.b1_ingest import MEDIA, ROWS
from bench.ticks import symbols, trade_batches
from tickplant.config import load
from tickplant.formats.compiled import loading
from tickplant.formats.parse import parse_body, parse_together
from tickplant.plant.accept import Acceptor
from tickplant.plant.catalog import Catalog
from tickplant.plant.records import encode_rows
from tickplant.plant.submission import Submission
from tickplant.store.tiered import TieredStore

TOGETHER = 16

WAYS: dict[str, Callable[[], None]] = {"": loading.ROWS.unload}
"""How bodies of JSON are read, and what brings it about."""
if loading.is_installed():
    WAYS[", compiled"] = loading.ROWS.load


def groups(items: Sequence[pa.RecordBatch]) -> list[Sequence[pa.RecordBatch]]:
    return [items[first : first + TOGETHER] for first in range(0, len(items), TOGETHER)]


def parsing(batches: Sequence[pa.RecordBatch]) -> dict[str, float]:
    """CPU seconds to parse the batches in each format, one by one and together."""
    found: dict[str, float] = {}
    for name, (media, encode) in MEDIA.items():
        bodies = [encode(batch) for batch in batches]
        for way, prepare in WAYS.items() if name != "Arrow" else (("", loading.ROWS.unload),):
            prepare()
            found[f"parse {name}{way}"] = timed(lambda b=bodies, m=media: alone(m, b), len(batches))
            if name != "Arrow":
                found[f"parse {name}{way}, {TOGETHER} together"] = timed(
                    lambda b=bodies, m=media: together(m, b), len(batches)
                )
    loading.ROWS.unload()
    return found


def alone(media: str, bodies: Sequence[bytes]) -> int:
    return sum(parse_body("trades", media, body).rows.num_rows for body in bodies)


def together(media: str, bodies: Sequence[bytes]) -> int:
    found = (parse_together("trades", media, group) for group in groups(bodies))
    return sum(parsed.rows.num_rows for group in found for parsed in group)


def timed(work: Callable[[], int], batches: int) -> float:
    begun = time.thread_time()
    rows = work()
    seconds = time.thread_time() - begun
    if rows != batches * ROWS:
        raise AssertionError(f"{rows} rows came out, {batches * ROWS} went in")
    return seconds


def taking_in(batches: Sequence[pa.RecordBatch], instruments: int) -> dict[str, float]:
    """CPU seconds to accept, encode and store the batches."""
    folder = tempfile.mkdtemp(prefix="tickplant-bench-")
    settings = load(flags={"data": folder})
    store = TieredStore.open(folder, settings.store)
    catalog = Catalog()
    for symbol in symbols(instruments):
        catalog.add_instrument(symbol, "ORIGIN")
    acceptor = Acceptor(catalog, store, settings.checks)
    found = {"accept": 0.0, "encode": 0.0, "store": 0.0}
    seq = 1
    for group in groups(batches):
        submissions = [Submission("trades", batch) for batch in group]
        marks = [time.thread_time()]
        (batch,) = acceptor.accept(submissions, seq, time.time_ns()).batches
        marks.append(time.thread_time())
        encode_rows(batch.table, batch.rows, batch.keys)
        marks.append(time.thread_time())
        store.append(batch.table, batch.rows, batch.keys)
        marks.append(time.thread_time())
        seq = batch.seq_last + 1
        for name, begun, ended in zip(found, marks, marks[1:], strict=False):
            found[name] += ended - begun
    stored = store.scan("trades", columns=["seq"]).num_rows
    store.close()
    shutil.rmtree(folder, ignore_errors=True)
    if stored != len(batches) * ROWS:
        raise AssertionError(f"{stored} rows are stored, {len(batches) * ROWS} were sent")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    parser.add_argument("--batches", type=int, default=480, help="batches of 1,000 rows")
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the least counts")
    options = parser.parse_args()
    for instruments in (100, 5_000):
        for ids in (False, True):
            batches = trade_batches(options.batches, ROWS, instruments, ids=ids)
            rounds = [taking_in(batches, instruments) for _ in range(options.rounds)]
            if ids and instruments == 100:
                for done in rounds:
                    done.update(parsing(batches))
            print(f"{instruments} instruments, {'ids' if ids else 'no ids'}, CPU ns a row:")
            for name in rounds[0]:
                least = min(done[name] for done in rounds)
                print(f"  {name:<28}{least / len(batches) / ROWS * 1e9:>8.0f}")


if __name__ == "__main__":
    main()
