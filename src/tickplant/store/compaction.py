"""Merging the files of a day, in bounded memory, so that a day is one file.

A day of more than `FILE_ROWS_MAX` rows becomes several files with neighbouring sequence ranges:
that bounds what a merge rewrites, and keeps replay by sequence from rereading a huge file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tickplant.model.events import SCHEMAS
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.store.columns import Ints, ints
from tickplant.store.manifest import FileEntry
from tickplant.store.reader import ArchiveFile

FILE_ROWS_MAX = 16_000_000
CHUNK_ROWS = 1_000_000

Group = tuple[FileEntry, ...]


def plan_compaction(files: Sequence[FileEntry]) -> list[Group]:
    """Return the groups of files to merge: same table and day, neighbours in sequence."""
    days: dict[tuple[str, str], list[FileEntry]] = {}
    for entry in files:
        days.setdefault((entry.table, entry.day), []).append(entry)
    groups: list[Group] = []
    for entries in days.values():
        group: list[FileEntry] = []
        for entry in sorted(entries, key=lambda e: e.seq_min):
            if group and sum(e.rows for e in group) + entry.rows > FILE_ROWS_MAX:
                groups.append(tuple(group))
                group = []
            group.append(entry)
        groups.append(tuple(group))
    return [group for group in groups if len(group) > 1]


def merge_files(files: Sequence[ArchiveFile]) -> Iterator[pa.Table]:
    """Yield all rows of the files, by (instrument, ts_event, seq), in chunks of bounded size."""
    columns = SCHEMAS[files[0].entry.table].names
    instruments = np.unique(np.concatenate([file.index.instrument for file in files]))
    counts = sum(_counts(file, instruments) for file in files)
    assert isinstance(counts, np.ndarray)
    first = 0
    while first < len(instruments):
        rows = np.cumsum(counts[first:])
        end = first + max(int(np.searchsorted(rows, CHUNK_ROWS, "right")), 1)
        low, high = int(instruments[first]), int(instruments[end - 1])
        for start, stop in _time_cuts(files, low) if rows[0] > CHUNK_ROWS else _ALL:
            parts = [_read(file, low, high, start, stop, columns) for file in files]
            merged = _merge(parts)
            if merged.num_rows:
                yield merged
        first = end


_ALL = ((INT64_MIN, INT64_MAX),)


def _counts(file: ArchiveFile, instruments: Ints) -> Ints:
    counts = np.zeros(len(instruments), dtype=np.int64)
    counts[np.searchsorted(instruments, file.index.instrument)] = file.index.count
    return counts


def _time_cuts(files: Sequence[ArchiveFile], instrument: int) -> Iterator[tuple[int, int]]:
    """Yield spans of time [start, end) that hold about `CHUNK_ROWS` rows of one instrument."""
    ends: list[tuple[int, int]] = []
    for file in files:
        groups = file.groups_of(*file.rows_of(instrument))
        times, rows = file.index.group_ts_max, file.index.group_rows
        ends += [(int(times[g]), int(rows[g])) for g in groups]
    start, held = INT64_MIN, 0
    for ts_max, rows_in in sorted(ends):
        held += rows_in
        if held >= CHUNK_ROWS and ts_max > start:
            yield start, ts_max
            start, held = ts_max, 0
    yield start, INT64_MAX


def _read(
    file: ArchiveFile, low: int, high: int, start: int, end: int, columns: Sequence[str]
) -> pa.Table:
    index = file.index
    first = int(index.offset[np.searchsorted(index.instrument, low, "left")])
    last = int(index.offset[np.searchsorted(index.instrument, high, "right")])
    if first < last and (start, end) != _ALL[0]:
        groups = np.array(file.groups_of(first, last))
        touched = groups[(index.group_ts_max[groups] >= start) & (index.group_ts_min[groups] < end)]
        if len(touched) == 0:
            return SCHEMAS[file.entry.table].empty_table()
        first = max(first, int(index.group_offset[touched[0]]))
        last = min(last, int(index.group_offset[touched[-1] + 1]))
    if first >= last:
        return SCHEMAS[file.entry.table].empty_table()
    rows = file.read_rows(first, last, columns)
    if (start, end) == _ALL[0]:
        return rows
    cut = np.searchsorted(ints(rows, "ts_event"), (start, end)).tolist()
    return rows.slice(cut[0], cut[1] - cut[0])


def _merge(parts: Sequence[pa.Table]) -> pa.Table:
    held = [part for part in parts if part.num_rows]
    if len(held) <= 1:
        return held[0] if held else parts[0]
    rows = pa.concat_tables(held).combine_chunks()
    keys = (ints(rows, "seq"), ints(rows, "ts_event"), ints(rows, "instrument"))
    return rows.take(pa.array(np.lexsort(keys)))
