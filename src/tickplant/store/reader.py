"""Reading the archive's Parquet files: one footer parsed once, then only the row groups asked for.

A file is read with plain reads, not through a memory map: a map of a file that someone truncates
would kill the process. Every page carries a checksum that is verified on reading, the footer is
checked against the manifest, so a scan either returns what was written or finds the damage.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tickplant.model.at_once import about_to_wait
from tickplant.model.errors import CorruptData
from tickplant.model.events import SCHEMAS
from tickplant.store.columns import subschema
from tickplant.store.manifest import FileEntry
from tickplant.store.writer import INDEX_KEY, TIMES, FileIndex, read_tail

FILES_CACHED_MAX = 512


class ArchiveFile:
    """One file, its footer parsed. Safe for several threads: each read has a reader to itself."""

    def __init__(self, path: Path, entry: FileEntry) -> None:
        self.entry = entry
        self._path = path
        self._schema = SCHEMAS[entry.table]
        self._idle: list[pq.ParquetFile] = []
        self._check_tail()
        self._metadata = pq.read_metadata(path)
        self._columns = {
            self._metadata.schema.column(i).path: i for i in range(self._metadata.num_columns)
        }
        self.index = FileIndex.decode(self._metadata.metadata[INDEX_KEY])
        if self.index.offset[-1] != entry.rows or self._metadata.num_rows != entry.rows:
            raise CorruptData(str(path), 0, f"{self._metadata.num_rows} rows, not {entry.rows}")

    def _check_tail(self) -> None:
        size = self._path.stat().st_size
        if size != self.entry.bytes:
            raise CorruptData(str(self._path), size, f"{size} bytes instead of {self.entry.bytes}")
        tail = read_tail(self._path)
        if (len(tail), zlib.crc32(tail)) != (self.entry.tail_bytes, self.entry.tail_crc32):
            raise CorruptData(str(self._path), size - len(tail), "the footer's checksum is wrong")

    def rows_of(self, instrument: int) -> tuple[int, int]:
        """Return the rows [first, end) of an instrument; an empty range where it has none."""
        index = self.index
        at = int(np.searchsorted(index.instrument, instrument))
        if at == len(index.instrument) or index.instrument[at] != instrument:
            return 0, 0
        return int(index.offset[at]), int(index.offset[at + 1])

    def groups_of(self, first: int, end: int) -> range:
        """Return the numbers of the row groups that hold the rows [first, end)."""
        offset = self.index.group_offset
        low = int(np.searchsorted(offset, first, "right")) - 1
        return range(low, int(np.searchsorted(offset, end, "left")))

    def read_rows(self, first: int, end: int, columns: Sequence[str]) -> pa.Table:
        """Return the rows [first, end) in memory form, in the order of the file."""
        groups = self.groups_of(first, end)
        rows = self.read_groups(groups, columns)
        offset = first - int(self.index.group_offset[groups.start])
        return rows.slice(offset, end - first) if rows.num_rows != end - first else rows

    def read_groups(self, groups: Sequence[int], columns: Sequence[str]) -> pa.Table:
        """Return whole row groups in memory form; raises `CorruptData` where they are damaged."""
        about_to_wait()
        reader = self._take_reader()
        try:
            numbers = [self._columns[name] for name in columns]
            raw = reader.reader.read_row_groups(
                list(groups), column_indices=numbers, use_threads=False
            )
        except (OSError, pa.ArrowException) as fault:
            if isinstance(fault, FileNotFoundError):
                raise
            raise CorruptData(str(self._path), 0, str(fault)) from fault
        self._idle.append(reader)
        arrays = [
            raw.column(name).cast(pa.int64()) if name in TIMES else raw.column(name)
            for name in columns
        ]
        return pa.Table.from_arrays(arrays, schema=subschema(self._schema, columns))

    def _take_reader(self) -> pq.ParquetFile:
        # list.pop and list.append are atomic, so no lock is needed to share the idle readers.
        try:
            return self._idle.pop()
        except IndexError:
            return pq.ParquetFile(
                self._path, metadata=self._metadata, page_checksum_verification=True
            )

    def release(self) -> None:
        """Close the idle readers."""
        while self._idle:
            self._idle.pop().close()


class FileCache:
    """Parsed footers of the files used last, bounded. Safe for several threads."""

    def __init__(self, archive: Path, files_max: int = FILES_CACHED_MAX) -> None:
        self._archive = archive
        self._files_max = files_max
        self._files: OrderedDict[str, ArchiveFile] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, entry: FileEntry) -> ArchiveFile:
        """Return the opened file; raises `CorruptData` or `FileNotFoundError`."""
        with self._lock:
            found = self._files.get(entry.path)
            if found is not None:
                self._files.move_to_end(entry.path)
                return found
        about_to_wait()
        try:
            opened = ArchiveFile(self._archive / entry.path, entry)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as fault:
            raise CorruptData(str(self._archive / entry.path), 0, str(fault)) from fault
        with self._lock:
            self._files[entry.path] = opened
            while len(self._files) > self._files_max:
                self._files.popitem(last=False)
        return opened

    def drop(self, path: str) -> None:
        """Forget one file."""
        with self._lock:
            self._files.pop(path, None)

    def clear(self) -> None:
        """Forget all files."""
        with self._lock:
            self._files.clear()
