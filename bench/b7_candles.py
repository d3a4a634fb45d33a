"""B7, candles from history: one symbol-day of 1-minute bars out of an archive of many ticks.

Every side reads the same Parquet files and the bars of all sides are compared before a figure is
printed. The peers are told the files of the day that is asked for (DuckDB 2.0 does not skip files
by a time in nanoseconds with a zone, which would make the comparison too easy for us) and the same
condition on instrument and time; DuckDB keeps its connection and its cache of file footers.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.harness import Comparison, Done, Side, compare
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import open_history
from tickplant.config import StoreSettings
from tickplant.model.events import SCHEMAS, TRADES
from tickplant.model.times import NS_PER_DAY, NS_PER_MINUTE, utc_day
from tickplant.plant.catalog import Catalog
from tickplant.plant.history import History
from tickplant.store.tiered import TieredStore

DAY_0 = 1_699_920_000 * 10**9  # 2023-11-14T00:00:00Z
QUERIES = 20
"""Symbol-days that one round asks for, each of another symbol and day."""

Bars = list[tuple[int, float, float, float, float, float, int]]
Files = dict[str, list[str]]


def fill_archive(folder: Path, *, symbols: int, days: int, ticks: int) -> int:
    """Write `ticks` trades a symbol and day; return how many there are."""
    catalog = Catalog()
    for number in range(symbols):
        catalog.add_instrument(f"SYM{number:05d}", "BENCH")
    store = TieredStore.open(folder, StoreSettings())
    seq = 1
    for day in range(days):
        batch, seq = _day(day, symbols, ticks, seq)
        for first in range(0, len(batch), 65_536):
            store.append(TRADES, batch.slice(first, 65_536))
            if first % (100 * 65_536) == 0:
                store.checkpoint(catalog.encode())
        store.checkpoint(catalog.encode())
    store.compact()
    store.close()
    return seq - 1


def archived_files(folder: Path) -> Files:
    """The files of each day that the manifest names; replaced ones are left for a while."""
    store = TieredStore.open_read_only(folder)
    files: Files = {}
    for entry in store.archive.manifest.files:
        files.setdefault(entry.day, []).append(str(store.archive.folder / entry.path))
    store.close()
    return files


def _day(day: int, symbols: int, ticks: int, seq: int) -> tuple[pa.RecordBatch, int]:
    random = np.random.default_rng(day)
    rows = symbols * ticks
    ts = DAY_0 + day * NS_PER_DAY + np.sort(random.integers(0, NS_PER_DAY, rows))
    instrument = random.integers(1, symbols + 1, rows).astype(np.int32)
    price = np.round(100 + instrument + random.standard_normal(rows), 2)
    columns = {
        "instrument": instrument,
        "ts_event": ts,
        "seq": np.arange(seq, seq + rows),
        "ts_recv": ts + 1_000_000,
        "feed": np.ones(rows, np.int16),
        "flags": np.zeros(rows, np.int32),
        "price": price,
        "size": random.integers(1, 500, rows).astype(float),
        "side": random.integers(1, 3, rows).astype(np.int8),
        "ref_seq": np.zeros(rows, np.int64),
    }
    arrays = [
        pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type)
        for f in SCHEMAS[TRADES]
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[TRADES]), seq + rows


def ours(history: History, symbol: int, start: int) -> Bars:
    instrument = history.registry.number(symbol)
    grid = Grid(parse_interval("1m"))
    bars = history.candles(instrument, grid, basis="trade", start=start, end=start + NS_PER_DAY)
    names = ("start", "open", "high", "low", "close", "volume", "count")
    return list(zip(*(bars.table[name].to_numpy().tolist() for name in names), strict=True))


class Duck:
    def __init__(self, files: Files) -> None:
        import duckdb

        self.connection = duckdb.connect()
        self.connection.execute("set enable_object_cache = true")
        self.files = files
        self.query = (
            f"select epoch_ns(ts_event) // {NS_PER_MINUTE} * {NS_PER_MINUTE} as bucket, "
            "arg_min(price, seq), max(price), min(price), arg_max(price, seq), sum(size), count(*) "
            "from read_parquet({files}) where instrument = ? and ts_event >= "
            "make_timestamp_ns(?)::timestamptz_ns and "
            "ts_event < make_timestamp_ns(?)::timestamptz_ns "
            "group by bucket order by bucket"
        )
        self.connection.execute("set timezone = 'UTC'")

    def bars(self, symbol: int, start: int) -> Bars:
        query = self.query.format(files=self.files[utc_day(start)])
        return self.connection.execute(query, [symbol, start, start + NS_PER_DAY]).fetchall()


class Polars:
    def __init__(self, files: Files) -> None:
        self.files = files

    def bars(self, symbol: int, start: int) -> Bars:
        import polars as pl

        ts = pl.col("ts_event").dt.epoch("ns")
        frame = (
            pl.scan_parquet(self.files[utc_day(start)])
            .filter(
                (pl.col("instrument") == symbol)
                & (pl.col("ts_event") >= pl.lit(start).cast(pl.Datetime("ns", "UTC")))
                & (pl.col("ts_event") < pl.lit(start + NS_PER_DAY).cast(pl.Datetime("ns", "UTC")))
            )
            .sort("seq")
            .group_by((ts // NS_PER_MINUTE * NS_PER_MINUTE).alias("bucket"))
            .agg(
                pl.col("price").first().alias("open"),
                pl.col("price").max().alias("high"),
                pl.col("price").min().alias("low"),
                pl.col("price").last().alias("close"),
                pl.col("size").sum().alias("volume"),
                pl.len().alias("count"),
            )
            .sort("bucket")
            .collect()
        )
        return frame.rows()


def run(
    *, symbols: int = 100, days: int = 10, ticks: int = 100_000, rounds: int = 5
) -> list[Comparison]:
    """Run the single-symbol part of B7 on `symbols * days * ticks` ticks."""
    folder = Path(tempfile.mkdtemp(prefix="tickplant-bench-"))
    try:
        begun = time.perf_counter()
        rows = fill_archive(folder, symbols=symbols, days=days, ticks=ticks)
        print(f"B7: {rows:,} ticks archived in {time.perf_counter() - begun:.0f} s")
        history = open_history(folder)
        files = archived_files(folder)
        duck, polars = Duck(files), Polars(files)
        asked = [(1 + 7 * n % symbols, DAY_0 + n % days * NS_PER_DAY) for n in range(QUERIES)]
        sources: dict[str, Callable[[int, int], Bars]] = {
            "tickplant": lambda symbol, start: ours(history, symbol, start),
            "DuckDB": duck.bars,
            "Polars": polars.bars,
        }
        wanted = [duck.bars(*query) for query in asked]
        sides = [
            Side(name, lambda read=read: _ask(read, asked, wanted))
            for name, read in sources.items()
        ]
        found = compare(
            f"B7 one symbol-day of 1m candles out of {rows / 1e6:,.0f} M ticks",
            sides,
            rounds=rounds,
            unit="queries/s",
            target=">= 5x the best (issue 2: faster than DuckDB)",
        )
        history.store.close()
        return [found]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ask(
    read: Callable[[int, int], Bars], asked: list[tuple[int, int]], wanted: list[Bars]
) -> Done:
    begun = time.perf_counter()
    answers = [read(*query) for query in asked]
    seconds = time.perf_counter() - begun
    for answer, right in zip(answers, wanted, strict=True):
        if [tuple(bar) for bar in answer] != [tuple(bar) for bar in right]:
            raise AssertionError("the sides do not agree on the bars")
    return Done(len(asked), seconds, {"ms a query": 1e3 * seconds / len(asked)})
