"""Finding rows by their sequence number alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tickplant.model.events import SCHEMAS
from tickplant.store.columns import Ints, ints
from tickplant.store.reader import ArchiveFile, FileCache
from tickplant.store.view import FileSet, Span, View


def times_of(view: View, instrument: int, seqs: Ints, cache: FileCache) -> dict[int, int]:
    """Return the `ts_event` of those of `seqs` (ascending) that are rows of the instrument."""
    found: dict[int, int] = {}
    for run in view.tail.runs:
        at = np.searchsorted(run.seq, seqs)
        at = at[(at < len(run)) & (run.seq[np.minimum(at, len(run) - 1)] == seqs)]
        found.update(zip(run.seq[at].tolist(), run.ts[at].tolist(), strict=True))
    if len(found) == len(seqs):
        return found
    for entry in view.files.within_seq(int(seqs[0]) - 1, int(seqs[-1])):
        file = cache.get(entry)
        first, end = file.rows_of(instrument)
        for group in _groups_with(file, seqs, first, end):
            rows = file.read_groups([group], ["seq", "ts_event"])
            match = np.isin(ints(rows, "seq"), seqs)
            seq, ts = ints(rows, "seq")[match], ints(rows, "ts_event")[match]
            found.update(zip(seq.tolist(), ts.tolist(), strict=True))
    return found


def row_of(view: View, table: str, seq: int, cache: FileCache) -> pa.Table:
    """Return the row with this seq as it was logged, or no row.

    Reads the column `seq` of every row group whose range has it: the instrument is not known.
    """
    names = SCHEMAS[table].names
    for run in reversed(view.tail.runs):
        low, high = run.between(seq - 1, seq)
        if low < high:
            return run.take(np.arange(low, high), names)
    for entry in view.files.within_seq(seq - 1, seq):
        file = cache.get(entry)
        for group in _groups_with(file, np.array([seq]), 0, entry.rows):
            at = np.flatnonzero(ints(file.read_groups([group], ["seq"]), "seq") == seq)
            if len(at):
                return file.read_groups([group], names).slice(int(at[0]), 1)
    return SCHEMAS[table].empty_table()


def _groups_with(file: ArchiveFile, seqs: Ints, first: int, end: int) -> list[int]:
    if first == end:
        return []
    groups = np.array(file.groups_of(first, end))
    low = np.searchsorted(seqs, file.index.group_seq_min[groups], "left")
    high = np.searchsorted(seqs, file.index.group_seq_max[groups], "right")
    return [int(group) for group in groups[low < high]]


def span_of(
    view: View, instrument: int, cache: FileCache, held: Span | None, *, keep: bool
) -> Span | None:
    """Return the first and last `ts_event` of an instrument, or None where it has no rows.

    `held` is what the rows in memory say. Opens files from both ends only as far as they can still
    widen the span, and none the next time if that may be kept: where `held` is of the rows that
    were beside these very files.
    """
    files = view.files
    if not files.entries:
        return held
    known, span = files.known_span(instrument)
    if not known:
        span = _archived_span(files, instrument, cache, held)
        if keep:
            files.keep_span(instrument, span)
    if span is None or held is None:
        return span or held
    return min(span[0], held[0]), max(span[1], held[1])


def _archived_span(
    files: FileSet, instrument: int, cache: FileCache, held: Span | None
) -> Span | None:
    low, high = (None, None) if held is None else held
    for entry in files.by_first:
        if low is not None and entry.ts_min >= low:
            break
        bounds = _bounds(cache.get(entry), instrument)
        if bounds is not None:
            low = bounds[0] if low is None else min(low, bounds[0])
    for entry in files.by_last:
        if high is not None and entry.ts_max <= high:
            break
        bounds = _bounds(cache.get(entry), instrument)
        if bounds is not None:
            high = bounds[1] if high is None else max(high, bounds[1])
    return None if low is None or high is None else (low, high)


def _bounds(file: ArchiveFile, instrument: int) -> tuple[int, int] | None:
    index = file.index
    at = int(np.searchsorted(index.instrument, instrument))
    if at == len(index.instrument) or index.instrument[at] != instrument:
        return None
    return int(index.ts_min[at]), int(index.ts_max[at])
