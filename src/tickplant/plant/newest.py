"""The last row of each of many instruments.

Where a large part of all instruments is asked for, the newest rows of all of them are read
together, which answers for nearly every one in one scan; only the others are asked one by one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.model.events import SCHEMAS
from tickplant.store.contract import AsOf, Store

Ints = NDArray[np.int64]

MANY = 16
"""From so many instruments on, and one in as many of all, one scan of all beats one for each."""

NEWEST_ROWS = 200_000
"""Rows of a table that are read together, the newest ones."""


def are_many(numbers: Ints) -> bool:
    """Say whether these instruments, rising, are so large a part of all that all may be read.

    The highest of them stands for the number of all: a cheap guess that costs one scan where wrong.
    """
    return len(numbers) >= MANY and MANY * len(numbers) >= int(numbers[-1])


def last_rows(
    store: Store,
    table: str,
    numbers: Ints,
    as_of: AsOf,
    *,
    columns: Sequence[str] | None = None,
    amended: bool = True,
) -> pa.Table:
    """Return the last row, by event time, of each of these instruments, rising, that has one.

    In any order. `columns` must have `instrument` among them; `amended` is as in `Store.scan`.
    """

    def newest(instrument: int | None, limit: int) -> pa.Table:
        return store.scan(
            table, instrument, columns=columns, as_of=as_of, descending=True, limit=limit,
            amended=amended,
        )  # fmt: skip

    names = SCHEMAS[table].names if columns is None else columns
    parts = [pa.schema([SCHEMAS[table].field(name) for name in names]).empty_table()]
    missing = numbers
    if are_many(numbers):
        rows = newest(None, NEWEST_ROWS)
        # Newest first, so that the first row of each instrument is its last event.
        found, places = np.unique(rows["instrument"].to_numpy(), return_index=True)
        parts.append(rows.take(pa.array(places[np.isin(found, numbers)])))
        missing = np.setdiff1d(numbers, found) if rows.num_rows == NEWEST_ROWS else missing[:0]
    return pa.concat_tables([*parts, *(newest(number, 1) for number in missing.tolist())])
