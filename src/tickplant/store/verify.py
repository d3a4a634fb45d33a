"""Reading a whole archive to see whether it is what was written; changes nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from tickplant.model.errors import CorruptData
from tickplant.model.times import utc_day
from tickplant.store import manifest as manifests
from tickplant.store.columns import ints, is_ordered
from tickplant.store.manifest import BlobEntry, FileEntry, Manifest
from tickplant.store.reader import ArchiveFile

_READ_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong: where, and what."""

    path: str
    what: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked and what was found. `damage` is what the store itself noted before."""

    files: int
    rows: int
    bytes: int
    findings: tuple[Finding, ...]
    damage: tuple[str, ...]


def verify_archive(data: Path) -> Verified:
    """Check the manifest, and of every file that it names the checksum, the order and the counts.

    Reads everything; safe beside a running plant, whose replaced files stay for a minute.
    """
    folder = data / manifests.ARCHIVE
    found, faults = manifests.load(folder)
    findings = [Finding(str(folder / manifests.NAME), fault) for fault in faults]
    manifest = found or Manifest()
    for blob in _blobs(manifest):
        findings += [Finding(blob.path, what) for what in _check_bytes(folder, blob)]
    for entry in manifest.files:
        wrong = list(_check_bytes(folder, entry))
        wrong = wrong or list(_check_rows(folder, entry, manifest.seq_archived))
        findings += [Finding(entry.path, what) for what in wrong]
    findings += [Finding(a, f"has sequence numbers of {b} too") for a, b in _overlaps(manifest)]
    return Verified(
        files=len(manifest.files),
        rows=sum(entry.rows for entry in manifest.files),
        bytes=sum(entry.bytes for entry in manifest.files),
        findings=tuple(findings),
        damage=manifest.damage,
    )


def _blobs(manifest: Manifest) -> list[BlobEntry]:
    keys = [blob for runs in manifest.keys.values() for blob in runs]
    others = (manifest.catalog, manifest.catalog_copy, manifest.amendments)
    return keys + [blob for blob in others if blob is not None]


def _check_bytes(folder: Path, entry: FileEntry | BlobEntry) -> Iterator[str]:
    crc32 = size = 0
    try:
        with (folder / entry.path).open("rb") as file:
            while data := file.read(_READ_BYTES):
                crc32 = zlib.crc32(data, crc32)
                size += len(data)
    except OSError as fault:
        yield f"cannot be read ({fault.strerror})"
        return
    if size != entry.bytes:
        yield f"has {size} bytes instead of {entry.bytes}"
    elif crc32 != entry.crc32:
        yield "the checksum does not hold"


def _check_rows(folder: Path, entry: FileEntry, seq_archived: int) -> Iterator[str]:
    try:
        file = ArchiveFile(folder / entry.path, entry)
        rows = file.read_rows(0, entry.rows, ("instrument", "ts_event", "seq"))
    except (CorruptData, OSError, ValueError, KeyError) as fault:
        yield f"cannot be read ({fault})"
        return
    instrument, ts, seq = (ints(rows, name) for name in ("instrument", "ts_event", "seq"))
    if not is_ordered((instrument, ts, seq)):
        yield "the rows are not in the order (instrument, ts_event, seq)"
    if (int(seq.min()), int(seq.max())) != (entry.seq_min, entry.seq_max):
        yield f"seq runs from {seq.min()} to {seq.max()}, not as the manifest says"
    if entry.seq_max > seq_archived:
        yield f"seq runs to {entry.seq_max}, but only {seq_archived} are archived"
    if (int(ts.min()), int(ts.max())) != (entry.ts_min, entry.ts_max):
        yield f"ts_event runs from {ts.min()} to {ts.max()}, not as the manifest says"
    if {utc_day(entry.ts_min), utc_day(entry.ts_max)} != {entry.day}:
        yield f"has rows of other days than {entry.day}"
    if len(np.unique(seq)) != len(seq):
        yield "a sequence number is there twice"


def _overlaps(manifest: Manifest) -> Iterator[tuple[str, str]]:
    ordered = sorted(manifest.files, key=lambda e: (e.table, e.day, e.seq_min))
    for a, b in pairwise(ordered):
        if (a.table, a.day) == (b.table, b.day) and b.seq_min <= a.seq_max:
            yield b.path, a.path
