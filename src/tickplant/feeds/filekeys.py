"""Idempotency keys of rows that have no identity of their own.

A row's key is the hash of its content and its ordinal among the identical rows of its file: the
first, the second, … So the same file twice adds nothing, nor do its rows in another order or an
overlapping file; identical rows of one file are all kept, as they may well be different trades.

    chunk ─► content hash of each row ─► ordinal within the chunk + how many came before ─► key

How many came before is looked up in the sorted hashes of the earlier chunks whose range of times
overlaps, so a sorted file hardly looks anything up. Chunks that overlap much are merged, always
two of like size, which keeps their number logarithmic; hashes beyond `memory_rows` rest in a
temporary file. Ordinals use 64 bits of the hash, keys all 128.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.checks.keys import Lanes, scramble, text_lanes, word_lanes
from tickplant.model.events import INCOMING

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int32]

MEMORY_ROWS = 8_000_000
_KEY_BYTES = 20
_OVERLAP_MIN = 0.1
_LIKE_SIZE = 2


@dataclass(frozen=True, slots=True)
class _Run:
    """Distinct hashes of some rows, ascending, how often each came, and their range of times."""

    first: int
    last: int
    hashes: Hashes
    counts: Counts

    def overlap(self, other: _Run) -> float:
        """Return the common range of times as a share of the narrower one; negative for none."""
        common = min(self.last, other.last) - max(self.first, other.first)
        narrower = min(self.last - self.first, other.last - other.first)
        return common / narrower if narrower else float(common >= 0) or -1.0


class Occurrences:
    """Numbers identical rows of one file, across its chunks. One thread uses it."""

    def __init__(self, memory_rows: int = MEMORY_ROWS) -> None:
        self._memory_rows = memory_rows
        self._runs: list[_Run] = []
        self._in_memory = 0

    def number(self, ts: NDArray[np.int64], hashes: Hashes) -> Counts:
        """Return each row's ordinal among the identical rows so far, from 0; shapes (n,)."""
        if not len(hashes):
            return np.zeros(0, np.int32)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        counts = np.diff(starts, append=len(ordered)).astype(np.int32)
        run = _Run(int(ts.min()), int(ts.max()), ordered[starts], counts)
        base = self._earlier(run) - starts.astype(np.int32)
        ordinals = np.empty(len(hashes), np.int32)
        ordinals[order] = np.arange(len(hashes), dtype=np.int32) + np.repeat(base, counts)
        self._keep(run)
        return ordinals

    def _earlier(self, run: _Run) -> Counts:
        found = np.zeros(len(run.hashes), np.int32)
        for other in self._runs:
            if other.last < run.first or other.first > run.last:
                continue
            places = np.searchsorted(other.hashes, run.hashes)
            places[places == len(other.hashes)] = 0
            same = other.hashes[places] == run.hashes
            found[same] += other.counts[places[same]]
        return found

    def _keep(self, run: _Run) -> None:
        while self._runs:
            last = self._runs[-1]
            unlike = len(last.hashes) > _LIKE_SIZE * len(run.hashes)
            if unlike or last.overlap(run) < _OVERLAP_MIN:
                break
            self._runs.pop()
            self._in_memory -= _held(last)
            run = _merged(last, run)
        self._in_memory += _held(run)
        self._runs.append(run)
        if self._in_memory > self._memory_rows:
            self._runs = [_spilled(each) for each in self._runs]
            self._in_memory = 0


def _held(run: _Run) -> int:
    return 0 if isinstance(run.hashes, np.memmap) else len(run.hashes)


def _merged(one: _Run, two: _Run) -> _Run:
    hashes = np.concatenate((one.hashes, two.hashes))
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
    counts = np.add.reduceat(np.concatenate((one.counts, two.counts))[order], starts)
    first, last = min(one.first, two.first), max(one.last, two.last)
    return _Run(first, last, hashes[starts], counts.astype(np.int32))


def _spilled(run: _Run) -> _Run:
    if _held(run) == 0:
        return run
    arrays = []
    for array in (run.hashes, run.counts):
        with tempfile.TemporaryFile() as file:
            array.tofile(file)
            file.flush()
            # The mapping outlives the file object, and the file its name.
            arrays.append(np.memmap(file, array.dtype, "r"))
    return _Run(run.first, run.last, arrays[0], arrays[1])


def content_lanes(table: str, rows: pa.RecordBatch, venue: str) -> Lanes:
    """Return 128 bits that identify the content of each row of `INCOMING[table]`.

    Symbol and venue count in upper case and `venue` for a missing one; of numbers, null, NaN and 0
    are one, because an absent quote is written in all three ways. Key and id do not count.
    """
    lanes = np.zeros((2, rows.num_rows), np.uint64)
    for field in INCOMING[table]:
        column = rows.column(field.name)
        if field.name in ("key", "id"):
            continue
        if field.name == "venue":
            column = pc.fill_null(column, venue)
        if column.null_count == len(column):
            continue
        if pa.types.is_string(field.type):
            lanes += _string_lanes(field.name, column)
        else:
            lanes += word_lanes(field.name, _words(column))
    return scramble(lanes)


def _string_lanes(name: str, column: pa.Array) -> Lanes:
    encoded = column.dictionary_encode()
    texts = encoded.dictionary
    if name in ("symbol", "venue"):
        texts = pc.utf8_trim_whitespace(pc.utf8_upper(texts))
    lanes = np.concatenate((text_lanes(name, texts), np.zeros((2, 1), np.uint64)), axis=1)
    return lanes[:, pc.fill_null(encoded.indices, len(texts)).to_numpy()]


def _words(column: pa.Array) -> NDArray[np.uint64]:
    if pa.types.is_floating(column.type):
        values = column.to_numpy(zero_copy_only=False) + 0.0
        return np.where(np.isnan(values), 0.0, values).view(np.uint64)
    integers: NDArray[np.int64] = pc.fill_null(column, 0).to_numpy().astype(np.int64)
    return integers.view(np.uint64)


def keyed(table: str, rows: pa.RecordBatch, venue: str, seen: Occurrences) -> pa.RecordBatch:
    """Return the rows with a key for each that has neither key nor id; `ts_event` is not null."""
    own = rows.column("key").is_valid()
    if "id" in rows.schema.names:
        own = pc.or_(own, rows.column("id").is_valid())
    bare = np.flatnonzero(~own.to_numpy(zero_copy_only=False))
    if not len(bare):
        return rows
    chosen = rows if len(bare) == rows.num_rows else rows.take(pa.array(bare))
    lanes = content_lanes(table, chosen, venue)
    ordinals = seen.number(chosen.column("ts_event").to_numpy(), lanes[0])
    keys = _key_array(lanes, ordinals)
    if chosen is not rows:
        keys = pc.replace_with_mask(rows.column("key"), pc.invert(own), keys)
    return rows.set_column(rows.schema.get_field_index("key"), INCOMING[table].field("key"), keys)


def _key_array(lanes: Lanes, ordinals: Counts) -> pa.Array:
    count = len(ordinals)
    data = np.empty((count, _KEY_BYTES), np.uint8)
    data[:, :16] = np.ascontiguousarray(lanes.T).view(np.uint8)
    data[:, 16:] = ordinals.astype("<i4").view(np.uint8).reshape(count, 4)
    offsets = np.arange(0, (count + 1) * _KEY_BYTES, _KEY_BYTES, dtype=np.int32)
    return pa.Array.from_buffers(
        pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
