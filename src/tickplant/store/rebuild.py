"""Making a manifest anew from the files of an archive, when both copies of it are damaged."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tickplant.model.events import TABLES, TRADES
from tickplant.store.manifest import BlobEntry, FileEntry, Manifest
from tickplant.store.writer import INDEX_KEY, FileIndex, read_tail

_SEAL = re.compile(r"sealed-(\d+)-(\d+)\.txt\Z")
_NAME = re.compile(r"(-?\d+)-(-?\d+)-(\d+)\.parquet\Z")


def rebuild(folder: Path) -> tuple[Manifest, list[FileEntry]]:
    """Return a manifest of the readable files, and those that are of an unfinished archive run.

    Of files of one table and day whose sequence ranges overlap the one with the highest number is
    taken: it was made of the others. What a crash left of an archive run lies beyond the last seal.
    It does not count as archived: other files of that run may be missing, and the journal still
    has all of its rows. The amendments are left to the caller to find in the rows.
    """
    found = [
        (int(match[3]), path)
        for path in folder.glob("*/*/*.parquet")
        if (match := _NAME.match(path.name)) and path.parent.parent.name in TABLES
    ]
    sealed, number_sealed, seal = _last_seal(folder)
    taken: list[FileEntry] = []
    unfinished: list[FileEntry] = []
    for number, path in sorted(found, reverse=True):
        entry = _describe(folder, path)
        if entry is None or any(_overlap(entry, other) for other in taken):
            continue
        if seal is not None and entry.seq_max > sealed and number > number_sealed:
            unfinished.append(entry)
        else:
            taken.append(entry)
    numbers = [number for number, _ in found] + [_number(p) for p in folder.rglob("*-*.*")]
    manifest = Manifest(
        number_next=max(numbers, default=0) + 1,
        seq_archived=max((entry.seq_max for entry in taken), default=0),
        catalog=_newest_catalog(folder),
        keys={table: _keys(folder, table) for table in TABLES},
        sealed=None if seal is None else _blob(folder, seal),
        files=(*taken, *unfinished),
    )
    return manifest, unfinished


def _last_seal(folder: Path) -> tuple[int, int, Path | None]:
    """Return up to which event the last complete archive run came, the seal's number, its path."""
    found = ((path, _SEAL.match(path.name)) for path in folder.glob("sealed-*.txt"))
    seals = [(int(match[1]), int(match[2]), path) for path, match in found if match]
    return max(seals, default=(0, 0, None))


def _overlap(a: FileEntry, b: FileEntry) -> bool:
    same = (a.table, a.day) == (b.table, b.day)
    return same and a.seq_min <= b.seq_max and b.seq_min <= a.seq_max


def _describe(folder: Path, path: Path) -> FileEntry | None:
    try:
        metadata = pq.read_metadata(path)
        index = FileIndex.decode(metadata.metadata[INDEX_KEY])
        table = path.parent.parent.name
        amendments = 0
        if table == TRADES:
            column = pq.read_table(path, columns=["ref_seq"]).column("ref_seq")
            amendments = int(np.count_nonzero(column.to_numpy()))
        data, tail = path.read_bytes(), read_tail(path)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return None
    return FileEntry(
        table=table,
        day=path.parent.name,
        path=path.relative_to(folder).as_posix(),
        rows=metadata.num_rows,
        bytes=len(data),
        crc32=zlib.crc32(data),
        tail_bytes=len(tail),
        tail_crc32=zlib.crc32(tail),
        seq_min=int(index.group_seq_min.min()),
        seq_max=int(index.group_seq_max.max()),
        ts_min=int(index.ts_min.min()),
        ts_max=int(index.ts_max.max()),
        amendments=amendments,
    )


def _number(path: Path) -> int:
    match = re.search(r"(\d+)\.\w+\Z", path.name)
    return int(match[1]) if match else 0


def _blob(folder: Path, path: Path, count: int = 0) -> BlobEntry:
    data = path.read_bytes()
    name = path.relative_to(folder).as_posix()
    return BlobEntry(path=name, bytes=len(data), crc32=zlib.crc32(data), count=count)


def _newest_catalog(folder: Path) -> BlobEntry | None:
    found = sorted(folder.glob("catalog-*.json"), key=_number)
    return _blob(folder, found[-1]) if found else None


def _keys(folder: Path, table: str) -> tuple[BlobEntry, ...]:
    # A key that is in two runs does no harm, so runs that were merged already may come back.
    found = sorted((folder / "keys" / table).glob("*.npy"), key=_number)
    return tuple(_blob(folder, path, (path.stat().st_size - 128) // 16) for path in found)
