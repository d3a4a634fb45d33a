"""Reading a view in sequence order, in windows that are cached.

The archive is sorted by instrument, so the rows of a span of sequence numbers are spread over a
whole file. A window of about a million rows is therefore read at once and kept, and the small
pieces that a replay asks for are cut from it. Sequence numbers are dense, so a window of that many
numbers never holds more rows.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.model.events import SCHEMAS
from tickplant.model.times import INT64_MIN
from tickplant.store.columns import Ints, ints
from tickplant.store.manifest import FileEntry
from tickplant.store.reader import ArchiveFile, FileCache
from tickplant.store.view import View

WINDOW_ROWS = 1_000_000
WINDOWS_CACHED_MAX = 3


@dataclass(frozen=True, slots=True)
class _Window:
    """All matching archived rows with `after < seq <= upto`, by seq."""

    after: int
    upto: int
    rows: pa.Table
    seq: Ints


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay asks for; the same for all its calls. `instruments` ascend; None means all."""

    table: str
    instruments: tuple[int, ...] | None
    start: int


class SeqReader:
    """Answers `scan_seq`. Safe for several threads; each replay's last window is kept."""

    def __init__(self, cache: FileCache) -> None:
        self._cache = cache
        self._windows: OrderedDict[tuple[Replay, int], _Window] = OrderedDict()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget the windows: files were dropped."""
        with self._lock:
            self._windows.clear()

    def read(
        self, view: View, replay: Replay, after_seq: int, upto_seq: int, limit: int
    ) -> pa.Table:
        """Return at most `limit` rows with `after_seq < seq <= upto_seq`, by seq."""
        parts: list[pa.Table] = []
        left = limit
        archived = max((entry.seq_max for entry in view.files.entries), default=0)
        while left > 0 and after_seq < min(upto_seq, archived):
            window = self._window(view, replay, after_seq, archived)
            low, high = np.searchsorted(window.seq, (after_seq, upto_seq), "right").tolist()
            parts.append(window.rows.slice(low, min(high - low, left)))
            left -= parts[-1].num_rows
            after_seq = window.upto
        if left > 0:
            parts += _read_tail(view, replay, after_seq, upto_seq, left)
        parts = [part for part in parts if part.num_rows]
        if not parts:
            return SCHEMAS[replay.table].empty_table()
        return pa.concat_tables(parts).slice(0, limit)

    def _window(self, view: View, replay: Replay, after_seq: int, archived: int) -> _Window:
        # Archived rows never change, so a window stays right while only files are added or merged.
        with self._lock:
            for key, window in reversed(self._windows.items()):
                if key[0] == replay and window.after <= after_seq < window.upto:
                    self._windows.move_to_end(key)
                    return window
        window = self._load(view, replay, after_seq, archived)
        with self._lock:
            self._windows[replay, after_seq] = window
            while len(self._windows) > WINDOWS_CACHED_MAX:
                self._windows.popitem(last=False)
        return window

    def _load(self, view: View, replay: Replay, after_seq: int, archived: int) -> _Window:
        files = view.files.within_seq(after_seq, archived)
        upto = self._window_end(files, after_seq, archived)
        parts = [SCHEMAS[replay.table].empty_table()]
        for entry in files:
            if entry.seq_min <= upto:
                parts += _read_file(self._cache.get(entry), replay, after_seq, upto)
        rows = pa.concat_tables(parts).combine_chunks()
        seq = ints(rows, "seq")
        if len(seq) > 1 and (seq[1:] < seq[:-1]).any():
            order = np.argsort(seq)
            rows, seq = rows.take(pa.array(order)), seq[order]
        return _Window(after_seq, upto, rows, seq)

    def _window_end(self, files: Sequence[FileEntry], after_seq: int, archived: int) -> int:
        total = 0
        for entry in files:
            total += entry.rows
            if total > WINDOW_ROWS:
                return min(archived, max(after_seq + WINDOW_ROWS, entry.seq_min - 1))
        return archived


def _read_file(file: ArchiveFile, replay: Replay, after_seq: int, upto: int) -> list[pa.Table]:
    index = file.index
    spans = [(0, file.entry.rows)]
    if replay.instruments is not None:
        spans = [file.rows_of(instrument) for instrument in replay.instruments]
    parts: list[pa.Table] = []
    done = -1  # several small instruments share a row group, which is read once
    for first, end in spans:
        if first == end:
            continue
        for group in file.groups_of(first, end):
            apart = (
                group <= done
                or index.group_seq_min[group] > upto
                or index.group_seq_max[group] <= after_seq
                or index.group_ts_max[group] < replay.start
            )
            done = max(done, group)
            if not apart:
                rows = file.read_groups([group], SCHEMAS[replay.table].names)
                parts.append(_match(rows, replay, after_seq, upto))
    return parts


def _match(rows: pa.Table, replay: Replay, after_seq: int, upto: int) -> pa.Table:
    seq = ints(rows, "seq")
    mask = (seq > after_seq) & (seq <= upto)
    mask &= _wanted(replay, ints(rows, "instrument"), ints(rows, "ts_event"))
    return rows if mask.all() else rows.filter(pa.array(mask))


def _wanted(replay: Replay, instrument: NDArray[np.int32], ts: Ints) -> NDArray[np.bool_]:
    mask = np.ones(len(ts), dtype=bool)
    if replay.instruments is not None:
        mask &= np.isin(instrument, replay.instruments)
    if replay.start > INT64_MIN:
        mask &= ts >= replay.start
    return mask


def _read_tail(
    view: View, replay: Replay, after_seq: int, upto_seq: int, limit: int
) -> list[pa.Table]:
    parts: list[pa.Table] = []
    for run in view.tail.runs:
        low, high = run.between(after_seq, upto_seq)
        if low == high:
            continue
        found = _wanted(replay, run.instrument[low:high], run.ts[low:high])
        rows = pa.Table.from_batches([run.rows.slice(low, high - low)])
        parts.append(rows if found.all() else rows.filter(pa.array(found)))
        limit -= parts[-1].num_rows
        if limit <= 0:
            break
    return parts
