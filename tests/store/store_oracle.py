"""Rows as plain Python dicts, and what a store must answer about them, in plain Python.

Shares no code with the store: lists, loops and sorting by tuple.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from tickplant.model.events import SCHEMAS

DAY = 86_400 * 10**9
Row = dict[str, Any]


def make_row(table: str, seq: int, instrument: int, ts_event: int, **fields: Any) -> Row:
    row = dict.fromkeys(SCHEMAS[table].names)
    row |= {
        "instrument": instrument,
        "ts_event": ts_event,
        "seq": seq,
        "ts_recv": fields.pop("ts_recv", 1_000_000 + seq * 10),
        "feed": 1,
        "flags": 0,
    }
    if table == "trades":
        row |= {"price": float(seq), "size": 1.5, "side": seq % 3, "ref_seq": 0, "id": f"t{seq}"}
    elif table == "quotes":
        row |= {"bid_price": float(seq), "ask_price": None if seq % 2 else seq + 1.0}
    else:
        row |= {"table": "trades", "reason": "why", "detail": "text", "row": "{}"}
    return row | fields


def make_batch(table: str, rows: list[Row]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[table])


def make_keys(numbers: list[int]) -> np.ndarray:
    return np.array([(n * 7919 % 13 if n else 0, n) for n in numbers], np.uint64).reshape(-1, 2)


def known(rows: list[Row], seq_max: int | None, ts_recv_max: int | None) -> list[Row]:
    return [
        row
        for row in rows
        if (seq_max is None or row["seq"] <= seq_max)
        and (ts_recv_max is None or row["ts_recv"] <= ts_recv_max)
    ]


def shown(rows: list[Row]) -> list[Row]:
    """Return the rows of known trades that show: each original or its last amendment."""
    last: dict[int, Row] = {}
    for row in sorted(rows, key=lambda r: r["seq"]):
        root = row.get("ref_seq") or row["seq"]
        last[root] = row
    return [row for row in last.values() if not row["flags"] & 16]


def scan(
    rows: list[Row],
    *,
    instrument: int | None = None,
    start: int | None = None,
    end: int | None = None,
    seq_max: int | None = None,
    ts_recv_max: int | None = None,
    after: tuple[int, int] | None = None,
    descending: bool = False,
    limit: int | None = None,
    amended: bool = True,
) -> list[Row]:
    found = known(rows, seq_max, ts_recv_max)
    if amended and rows and "ref_seq" in rows[0]:
        found = shown(found)
    found = [
        row
        for row in found
        if (instrument is None or row["instrument"] == instrument)
        and (start is None or row["ts_event"] >= start)
        and (end is None or row["ts_event"] < end)
    ]
    found.sort(key=lambda r: (r["ts_event"], r["seq"]), reverse=descending)
    if after is not None and descending:
        found = [row for row in found if (row["ts_event"], row["seq"]) < after]
    elif after is not None:
        found = [row for row in found if (row["ts_event"], row["seq"]) > after]
    return found if limit is None else found[:limit]


def scan_seq(
    rows: list[Row],
    after_seq: int,
    upto_seq: int,
    instruments: list[int] | None,
    start: int | None,
    limit: int,
) -> list[Row]:
    found = [
        row
        for row in rows
        if after_seq < row["seq"] <= upto_seq
        and (instruments is None or row["instrument"] in instruments)
        and (start is None or row["ts_event"] >= start)
    ]
    return sorted(found, key=lambda r: r["seq"])[:limit]


def touched(
    rows: list[Row], instrument: int, start: int, end: int, seq_max: int | None
) -> set[tuple[int, int]]:
    """Return (ts_event, seq) of what amendments touched, by walking each trade's history."""
    stands: dict[int, int] = {}
    found: set[tuple[int, int]] = set()
    for row in sorted(known(rows, seq_max, None), key=lambda r: r["seq"]):
        root = row["ref_seq"]
        if root and row["instrument"] == instrument:
            found.add((stands[root], row["seq"]))
            if not row["flags"] & 16:
                found.add((row["ts_event"], row["seq"]))
        stands[root or row["seq"]] = row["ts_event"]
    return {(ts, seq) for ts, seq in found if start <= ts < end}
