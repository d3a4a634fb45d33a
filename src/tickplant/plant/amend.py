"""Corrections and cancels: events that amend a trade that is stored already.

The amended trade stays in the log; the event names it by `ref_seq`, always the original's number.
What was known before is still there for `as_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tickplant.checks.batch import Bounds, check_batch
from tickplant.model.errors import Complaint, InvalidBody, NotFound
from tickplant.model.events import INCOMING, SCHEMAS, TRADES, Flag
from tickplant.plant.batch import Batch
from tickplant.store.contract import Store

AMENDABLE = ("price", "size", "side", "conditions", "ts_event")


@dataclass(frozen=True, slots=True)
class Amendment:
    """What is asked: `changes` of the trade that `seq` names, or its cancel where they are None.

    The values are those of a column: `side` is its code, `ts_event` nanoseconds.
    """

    instrument: int
    seq: int
    changes: Mapping[str, Any] | None


def amend(
    wanted: Amendment, store: Store, bounds: Bounds, feed: int, seq_next: int, now: int
) -> tuple[Batch, list[int]]:
    """Return the event that amends a trade, and the event times whose bars it touches.

    Raises `NotFound` where the instrument has no such trade or it was cancelled, `InvalidBody`
    where a change is not allowed.
    """
    found = store.find_trade(wanted.seq).to_pylist()
    if not found or found[0]["instrument"] != wanted.instrument:
        raise NotFound(
            f"seq: {wanted.seq} names no trade of this symbol, or one that was cancelled",
            [Complaint(("path", "seq"), "the seq of a trade of this symbol", wanted.seq)],
        )
    old = found[0]
    changes = {} if wanted.changes is None else dict(wanted.changes)
    flag = Flag.CANCEL if wanted.changes is None else Flag.CORRECTION
    row = old | changes
    if changes:
        _check(row, changes, bounds, now)
    row |= {
        "seq": seq_next,
        "ts_recv": now,
        "feed": feed,
        "flags": (old["flags"] & Flag.SYNTHETIC) | flag,
        "ref_seq": old["ref_seq"] or old["seq"],
    }
    batch = pa.RecordBatch.from_pylist([row], schema=SCHEMAS[TRADES])
    return Batch(TRADES, batch, None), sorted({old["ts_event"], row["ts_event"]})


def _check(row: dict[str, Any], changes: Mapping[str, Any], bounds: Bounds, now: int) -> None:
    barred = set(changes) - set(AMENDABLE)
    if barred:
        name = min(barred)
        raise InvalidBody(
            f"{name}: cannot be amended; what can is {', '.join(AMENDABLE)}",
            [Complaint(("body", name), f"what can be amended is {', '.join(AMENDABLE)}", name)],
        )
    schema = INCOMING[TRADES]
    incoming = {name: row.get(name) for name in schema.names} | {"symbol": "X", "venue": "X"}
    rows = pa.RecordBatch.from_pylist([incoming], schema=schema)
    checked = check_batch(TRADES, rows, venue="X", bounds=bounds, now_ns=now)
    if not checked.accepted[0]:
        reject = checked.refused(rows)[0]
        field = reject.detail.partition(":")[0]
        raise InvalidBody(
            reject.detail, [Complaint(("body", field), reject.detail, row.get(field))]
        )
