"""Reading a view in event order: files and memory merged, never more than a limit needs.

The parts of a view are units with known bounds in time: a file, a row group, a run in memory.
Without a limit every unit is read and the results are merged. With one, units are read from the
end that is asked for; a file is opened into its row groups only when its turn comes, and reading
stops as soon as enough rows lie before everything that was not read yet.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.model.at_once import about_to_wait
from tickplant.model.events import SCHEMAS
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.store.blocks import Run
from tickplant.store.columns import Ints, ints, subschema
from tickplant.store.contract import NOW, AsOf, Cursor
from tickplant.store.manifest import FileEntry
from tickplant.store.reader import ArchiveFile, FileCache
from tickplant.store.view import View

UNITS_AT_ONCE = 24
"""Of more files and runs in memory a read takes long, even where it is for a few rows."""


@dataclass(frozen=True, slots=True)
class Query:
    """What to read. `hidden` are the sorted seqs that do not show."""

    table: str
    instrument: int | None
    start: int
    end: int
    columns: tuple[str, ...]
    as_of: AsOf
    after: Cursor | None
    descending: bool
    limit: int | None
    hidden: Ints

    @property
    def columns_read(self) -> tuple[str, ...]:
        """The columns that are asked for or needed to filter and to merge."""
        needed = ["ts_event", "seq"]
        if self.as_of.ts_recv_max is not None:
            needed.append("ts_recv")
        return tuple(dict.fromkeys((*self.columns, *needed)))


def make_query(
    table: str,
    instrument: int | None,
    *,
    start: int | None,
    end: int | None,
    columns: Sequence[str] | None,
    as_of: AsOf = NOW,
    after: Cursor | None,
    descending: bool,
    limit: int | None,
    hidden: Ints,
) -> Query:
    """Return a query whose bounds are numbers, narrowed to what can follow `after`."""
    low = INT64_MIN if start is None else start
    high = INT64_MAX if end is None else end
    if after is not None and descending:
        high = min(high, after.ts_event + 1)
    elif after is not None:
        low = max(low, after.ts_event)
    names = tuple(SCHEMAS[table].names if columns is None else columns)
    return Query(table, instrument, low, high, names, as_of, after, descending, limit, hidden)


class _FileUnit:
    """A file that was not opened yet."""

    def __init__(self, entry: FileEntry, cache: FileCache) -> None:
        self.ts_min, self.ts_max = entry.ts_min, entry.ts_max
        self._entry = entry
        self._cache = cache

    def parts(self, query: Query) -> Iterator[_GroupUnit]:
        """Yield the row groups that may have rows for the query."""
        file = self._cache.get(self._entry)
        first, end = 0, self._entry.rows
        if query.instrument is not None:
            first, end = file.rows_of(query.instrument)
        if first == end:
            return
        groups = np.array(file.groups_of(first, end))
        index = file.index
        match = (index.group_ts_max[groups] >= query.start) & (
            index.group_ts_min[groups] < query.end
        )
        if query.as_of.seq_max is not None:
            match &= index.group_seq_min[groups] <= query.as_of.seq_max
        for group in groups[match].tolist():
            low, high = int(index.group_offset[group]), int(index.group_offset[group + 1])
            yield _GroupUnit(file, max(first, low), min(end, high), group, group)

    def load(self, query: Query) -> pa.Table:
        """Return everything of the file that matches, neighbouring row groups read at once."""
        parts = list(self.parts(query))
        joined: list[_GroupUnit] = []
        for part in parts:
            if joined and joined[-1].last_group + 1 == part.first_group:
                joined[-1] = joined[-1].join(part)
            else:
                joined.append(part)
        return merge([part.load(query) for part in joined], query)


class _GroupUnit:
    """Neighbouring rows of neighbouring row groups of a file."""

    def __init__(
        self, file: ArchiveFile, first: int, end: int, first_group: int, last_group: int
    ) -> None:
        self._file, self._first, self._end = file, first, end
        self.first_group, self.last_group = first_group, last_group
        groups = slice(first_group, last_group + 1)
        self.ts_min = int(file.index.group_ts_min[groups].min())
        self.ts_max = int(file.index.group_ts_max[groups].max())

    def join(self, following: _GroupUnit) -> _GroupUnit:
        """Return both as one."""
        return _GroupUnit(
            self._file, self._first, following._end, self.first_group, following.last_group
        )

    def load(self, query: Query) -> pa.Table:
        """Return the rows that match, in order."""
        rows = self._file.read_rows(self._first, self._end, query.columns_read)
        if query.instrument is None:
            rows = _sort(rows, query)
        elif self.ts_min < query.start or self.ts_max >= query.end:
            low, high = np.searchsorted(ints(rows, "ts_event"), (query.start, query.end))
            rows = rows.slice(low, high - low)
        return _filter(rows, query)


class _RunUnit:
    """A run in memory."""

    def __init__(self, run: Run) -> None:
        self.ts_min, self.ts_max = run.ts_min, run.ts_max
        self._run = run

    def load(self, query: Query) -> pa.Table:
        """Return the rows that match, in order."""
        found = self._run.find(query.instrument, query.start, query.end)
        if len(found) == 0:
            return _empty(query)
        if query.limit is not None and not len(query.hidden) and query.as_of == NOW:
            found = self._nearest(found, query)
        return _filter(self._run.take(found, query.columns_read), query)

    def _nearest(self, found: Ints, query: Query) -> Ints:
        # Without filters by row, no more than `limit` rows of a run can be wanted. Rows of the
        # cursor's own time are kept in addition, because some of them may precede it.
        assert query.limit is not None
        ts = self._run.ts
        if query.after is not None:
            same = int(np.count_nonzero(ts[found] == query.after.ts_event))
        else:
            same = 0
        count = query.limit + same
        return found[-count:] if query.descending else found[:count]


_Unit = _FileUnit | _GroupUnit | _RunUnit


def scan_view(view: View, query: Query, cache: FileCache) -> pa.Table:
    """Return the query's rows of a view, in its order.

    Raises `CorruptData` or `FileNotFoundError` for a file that is damaged or gone.
    """
    units: list[_Unit] = [
        _FileUnit(entry, cache)
        for entry in view.files.within(query.start, query.end, query.as_of.seq_max)
    ]
    units += [
        _RunUnit(run)
        for run in view.tail.runs
        if run.ts_max >= query.start and run.ts_min < query.end
    ]
    if query.limit is None or len(units) > UNITS_AT_ONCE:
        about_to_wait()
    if query.limit is None:
        rows = merge([unit.load(query) for unit in units], query)
    else:
        rows = _read_enough(units, query, query.limit)
    return _finish(rows, query)


def _read_enough(units: list[_Unit], query: Query, limit: int) -> pa.Table:
    heap = [(_distance(unit, query), i, unit) for i, unit in enumerate(units)]
    heapq.heapify(heap)
    number = len(heap)
    held: list[pa.Table] = []
    while heap:
        distance, _, unit = heapq.heappop(heap)
        if _count_before(held, distance, query) >= limit:
            break
        if isinstance(unit, _FileUnit):
            for part in unit.parts(query):
                number += 1
                heapq.heappush(heap, (_distance(part, query), number, part))
            continue
        loaded = unit.load(query)
        if loaded.num_rows:
            held.append(loaded)
    rows = merge(held, query)
    first = max(rows.num_rows - limit, 0) if query.descending else 0
    return rows.slice(first, limit)


def _distance(unit: _Unit, query: Query) -> int:
    # The nearest time of a unit as seen from the end where reading begins.
    return -unit.ts_max if query.descending else unit.ts_min


def _count_before(held: list[pa.Table], distance: int, query: Query) -> int:
    count = 0
    for rows in held:
        ts = ints(rows, "ts_event")
        if query.descending:
            count += len(ts) - int(np.searchsorted(ts, -distance, "right"))
        else:
            count += int(np.searchsorted(ts, distance, "left"))
    return count


def _empty(query: Query) -> pa.Table:
    return _empty_table(query.table, query.columns_read)


@lru_cache(maxsize=256)
def _empty_table(table: str, columns: tuple[str, ...]) -> pa.Table:
    return subschema(SCHEMAS[table], columns).empty_table()


def _sort(rows: pa.Table, query: Query) -> pa.Table:
    ts, seq = ints(rows, "ts_event"), ints(rows, "seq")
    match = np.flatnonzero((ts >= query.start) & (ts < query.end))
    order = match[np.lexsort((seq[match], ts[match]))]
    return rows.take(pa.array(order))


def _filter(rows: pa.Table, query: Query) -> pa.Table:
    """Apply the cursor, `as_of` and what is hidden to rows in order."""
    if query.after is not None:
        rows = _beyond(rows, query.after, query.descending)
    as_of = query.as_of
    masks: list[NDArray[np.bool_]] = []
    if as_of.seq_max is not None:
        masks.append(ints(rows, "seq") <= as_of.seq_max)
    if as_of.ts_recv_max is not None:
        masks.append(ints(rows, "ts_recv") <= as_of.ts_recv_max)
    if len(query.hidden):
        masks.append(~_is_in(ints(rows, "seq"), query.hidden))
    if not masks:
        return rows
    mask = np.logical_and.reduce(masks)
    return rows if mask.all() else rows.filter(pa.array(mask))


def _is_in(values: Ints, wanted: Ints) -> NDArray[np.bool_]:
    at = np.searchsorted(wanted, values)
    at[at == len(wanted)] = 0
    match: NDArray[np.bool_] = wanted[at] == values
    return match


def _beyond(rows: pa.Table, after: Cursor, descending: bool) -> pa.Table:
    ts, seq = ints(rows, "ts_event"), ints(rows, "seq")
    low, high = (
        np.searchsorted(ts, after.ts_event, "left"),
        np.searchsorted(ts, after.ts_event, "right"),
    )
    if descending:
        return rows.slice(0, int(low + np.searchsorted(seq[low:high], after.seq, "left")))
    return rows.slice(int(low + np.searchsorted(seq[low:high], after.seq, "right")))


def merge(tables: list[pa.Table], query: Query) -> pa.Table:
    """Return ordered tables as one in order; nothing is sorted where they do not overlap."""
    tables = [rows for rows in tables if rows.num_rows]
    if len(tables) <= 1:
        return tables[0] if tables else _empty(query)
    bounds = [_bounds(rows) for rows in tables]
    by_start = sorted(range(len(tables)), key=bounds.__getitem__)
    tables = [tables[i] for i in by_start]
    bounds = [bounds[i] for i in by_start]
    joined = pa.concat_tables(tables)
    if all(a[1] <= b[0] for a, b in pairwise(bounds)):
        return joined
    ts = np.concatenate([ints(rows, "ts_event") for rows in tables])
    seq = np.concatenate([ints(rows, "seq") for rows in tables])
    return joined.combine_chunks().take(pa.array(np.lexsort((seq, ts))))


def _bounds(rows: pa.Table) -> tuple[tuple[int, int], tuple[int, int]]:
    ts, seq = ints(rows, "ts_event"), ints(rows, "seq")
    return (int(ts[0]), int(seq[0])), (int(ts[-1]), int(seq[-1]))


def _finish(rows: pa.Table, query: Query) -> pa.Table:
    rows = rows.select(list(query.columns))
    if query.descending and rows.num_rows > 1:
        rows = rows.combine_chunks().take(pa.array(np.arange(rows.num_rows - 1, -1, -1)))
    return rows
