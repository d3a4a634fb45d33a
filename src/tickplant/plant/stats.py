"""Reading statistics: rows of some names, and the last value of each name.

A name is not a key of the store, so rows of other names are read and left out. The last value of a
name may lie anywhere; it is looked for from the newest row back, through a bounded number of rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tickplant.model.events import SCHEMAS, STATS
from tickplant.store.contract import AsOf, Cursor, Store

LOOK_BACK_ROWS = 200_000
"""Rows of an instrument among which the last value of each name is looked for, the newest ones."""

CHUNK_ROWS = 2_048
CHUNK_ROWS_MAX = 65_536


def read_stats(
    store: Store,
    instrument: int,
    names: Collection[str] | None,
    *,
    limit: int | None = None,
    after: Cursor | None = None,
    **query: Any,
) -> pa.Table:
    """Return rows of an instrument with one of these names (None: any), as `Store.scan` does."""
    if names is None:
        return store.scan(STATS, instrument, limit=limit, after=after, **query)
    wanted = pa.array(sorted(names), pa.string())
    chunk = None if limit is None else max(CHUNK_ROWS, limit)
    found = [SCHEMAS[STATS].empty_table()]
    left = limit
    while True:
        rows = store.scan(STATS, instrument, limit=chunk, after=after, **query)
        kept = rows.filter(pc.is_in(rows["name"], wanted)).slice(0, left)
        found.append(kept)
        left = None if left is None else left - kept.num_rows
        if chunk is None or rows.num_rows < chunk or not left:
            return pa.concat_tables(found)
        after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
        chunk = min(2 * chunk, max(chunk, CHUNK_ROWS_MAX))


def last_stats(
    store: Store, instruments: Iterable[int], names: Collection[str] | None, as_of: AsOf
) -> pa.Table:
    """Return the last row of each name of each instrument, in their order, then by name.

    Only of these names, unless None. Of each instrument the `LOOK_BACK_ROWS` newest rows are
    looked at: a name that is older than these is not found.
    """
    parts = [_last_of(store, instrument, names, as_of) for instrument in instruments]
    return pa.concat_tables([SCHEMAS[STATS].empty_table(), *parts])


def _last_of(store: Store, instrument: int, names: Collection[str] | None, as_of: AsOf) -> pa.Table:
    missing = None if names is None else set(names)
    last: dict[str, pa.Table] = {}
    after: Cursor | None = None
    left, chunk = LOOK_BACK_ROWS, CHUNK_ROWS
    while left > 0 and (missing is None or missing):
        size = min(chunk, left)
        rows = store.scan(STATS, instrument, descending=True, limit=size, after=after, as_of=as_of)
        for name, place in _firsts(rows).items():
            if name not in last and (missing is None or name in missing):
                last[name] = rows.slice(place, 1)
        if rows.num_rows < size:
            break
        missing = None if missing is None else missing - last.keys()
        after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
        left, chunk = left - size, min(4 * chunk, CHUNK_ROWS_MAX)
    empty = SCHEMAS[STATS].empty_table()
    return pa.concat_tables([empty, *(last[name] for name in sorted(last))])


def _firsts(rows: pa.Table) -> dict[str, int]:
    """Return the place of the first row of each name."""
    encoded = rows["name"].combine_chunks().dictionary_encode()
    codes = encoded.indices
    return {
        name: pc.index(codes, pa.scalar(code, codes.type)).as_py()
        for code, name in enumerate(encoded.dictionary.to_pylist())
    }
