"""Trades to measure with: the same seed, the same rows."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa

from tickplant.formats.parsed import incoming_batch
from tickplant.model.times import NS_PER_DAY, NS_PER_MS, format_times

START = 1_700_006_400 * 1_000_000_000  # 2023-11-15T00:00:00Z


def symbols(count: int) -> list[str]:
    return [f"SYM{number:05d}" for number in range(count)]


def trade_columns(
    rows: int, instruments: int, *, seed: int = 1, first: int = 0, ids: bool = True
) -> dict[str, pa.Array]:
    """Columns of `rows` trades that follow the `first` trades of the same stream."""
    random = np.random.default_rng(seed + first)
    names = pa.array(symbols(instruments))
    chosen = random.integers(0, instruments, rows)
    price = np.round(100 + random.standard_normal(rows).cumsum() * 0.01, 2)
    columns = {
        "symbol": names.take(pa.array(chosen)),
        "ts_event": pa.array(START + (first + np.arange(rows, dtype=np.int64)) * NS_PER_MS // 100),
        "price": pa.array(np.maximum(price, 0.01)),
        "size": pa.array(random.integers(1, 500, rows).astype(float)),
        "side": pa.array(random.integers(1, 3, rows).astype(np.int8)),
    }
    if ids:
        columns["id"] = pa.array(np.char.add("t", np.arange(first, first + rows).astype(str)))
    return columns


def trade_batches(
    batches: int, rows: int, instruments: int, *, ids: bool = True
) -> list[pa.RecordBatch]:
    return [
        incoming_batch("trades", **trade_columns(rows, instruments, first=n * rows, ids=ids))
        for n in range(batches)
    ]


def arrow_body(batch: pa.RecordBatch) -> bytes:
    """The batch as an Arrow stream of its columns that hold anything."""
    names = [name for name in batch.schema.names if batch.column(name).null_count < len(batch)]
    slim = pa.RecordBatch.from_arrays([batch.column(n) for n in names], names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, slim.schema) as writer:
        writer.write_batch(slim)
    return sink.getvalue().to_pybytes()


def json_rows(batch: pa.RecordBatch) -> list[dict[str, object]]:
    times = format_times(batch.column("ts_event").to_numpy())
    names = ("symbol", "price", "size", "id")
    columns = [batch.column(name).to_pylist() for name in names]
    side = ["buy" if code == 1 else "sell" for code in batch.column("side").to_pylist()]
    return [
        {"ts_event": ts, "side": s, **dict(zip(names, values, strict=True))}
        for ts, s, *values in zip(times, side, *columns, strict=True)
    ]


def json_body(batch: pa.RecordBatch) -> bytes:
    return msgspec.json.encode(json_rows(batch))


def ndjson_body(batch: pa.RecordBatch) -> bytes:
    return b"\n".join(msgspec.json.encode(row) for row in json_rows(batch)) + b"\n"


def within_a_day(rows: int) -> bool:
    return rows * NS_PER_MS // 100 < NS_PER_DAY
