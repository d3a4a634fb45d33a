"""Check rows of order books: a known action, and a level for one that sets it.

Reason codes besides those of prices and sizes: `action_invalid`, `level_missing` (a SET without a
side, price or size), `orders_negative`, `flags_invalid`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.bounds import Bounds
from tickplant.checks.findings import Bools, Findings, check_price, check_sides, check_size, fixed
from tickplant.model.events import BookAction, Flag

_ACTIONS = ", ".join(f"{action.value} ({action.name.lower()})" for action in BookAction)


def check_book(findings: Findings, rows: pa.RecordBatch, bounds: Bounds) -> None:
    """Check the columns of a batch of `INCOMING["book"]` that only books have."""
    action = _ints(rows.column("action"), -1)
    findings.add(
        (action < 0) | (action > max(BookAction)),
        "action_invalid",
        lambda p: f"action: {action[p]} is not allowed; allowed is {_ACTIONS}",
    )
    check_sides(findings, rows.column("side"))
    missing = (action == BookAction.SET) & (
        (_ints(rows.column("side"), 0) == 0) | _nulls(rows, "price") | _nulls(rows, "size")
    )
    findings.add(missing, "level_missing", fixed("side, price, size: all are needed of a level"))
    check_price(findings, "price", rows.column("price"), bounds)
    check_size(findings, "size", rows.column("size"), bounds)
    orders = _ints(rows.column("orders"), 0)
    findings.add(
        orders < 0,
        "orders_negative",
        lambda p: f"orders: {orders[p]} is not allowed; allowed is a whole number from 0",
    )
    flags = _ints(rows.column("flags"), 0)
    findings.add(
        (flags & ~int(Flag.SNAPSHOT)) != 0,
        "flags_invalid",
        lambda p: f"flags: {flags[p]} is not allowed; allowed is {int(Flag.SNAPSHOT)} (snapshot)",
    )


def _ints(column: pa.Array, missing: int) -> NDArray[np.int64]:
    if column.null_count == len(column):
        return np.full(len(column), missing, np.int64)
    filled = pc.fill_null(column, missing) if column.null_count else column
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _nulls(rows: pa.RecordBatch, name: str) -> Bools:
    column = rows.column(name)
    if not column.null_count:
        return np.zeros(len(column), np.bool_)
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))
