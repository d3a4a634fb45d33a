"""Turning runs in memory into files: cut, sort, write; committing is the caller's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from tickplant.model.times import NS_PER_DAY, utc_day
from tickplant.store.archive import Archive
from tickplant.store.blocks import Run
from tickplant.store.columns import ints
from tickplant.store.manifest import FileEntry
from tickplant.store.view import View
from tickplant.store.writer import write_file

ROWS_MAX = 4_000_000  # most rows of one archive run: bounds the memory that sorting takes


def choose_boundary(views: Mapping[str, View]) -> int:
    """Return the seq up to which to archive now: everything, or the oldest runs of all tables.

    Every run knows where its append ended, and appends are in sequence order over all tables; so a
    boundary never divides the rows of an append, nor its keys. 0 where no row is in memory.
    """
    runs = sorted(
        (run for view in views.values() for run in view.tail.runs), key=lambda run: run.upto
    )
    rows, boundary = 0, 0
    for run in runs:
        if rows and rows + len(run) > ROWS_MAX:
            break
        rows += len(run)
        boundary = run.upto
    return boundary


def write_runs(archive: Archive, table: str, runs: Sequence[Run]) -> list[FileEntry]:
    """Write runs of one table, a file a day; durable on return, in no manifest yet."""
    written = []
    for day, rows in split_days(pa.Table.from_batches([run.rows for run in runs])):
        written.append(
            write_file(archive.disk, archive.folder, table, day, archive.number(), [rows])
        )
    return written


def split_days(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield (UTC day, its rows by (instrument, ts_event, seq)) of rows in sequence order."""
    rows = rows.combine_chunks()
    ts = ints(rows, "ts_event")
    day = ts // NS_PER_DAY
    order = np.lexsort((ts, ints(rows, "instrument"), day))
    day = day[order]
    cuts = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist(), len(day)]
    for first, end in pairwise(cuts):
        yield utc_day(int(day[first]) * NS_PER_DAY), rows.take(pa.array(order[first:end]))
