"""The manifest: which files are the archive. Replaced as a whole, so it is old or new, never mixed.

`archive/MANIFEST.json` holds one JSON object: `crc32` of the text of `manifest`, and `manifest`.
It is written to a temporary file, synced, renamed, and its folder is synced. A second copy,
`MANIFEST.backup.json`, is written the same way afterwards; it serves when the first is damaged.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tickplant.model.errors import CorruptData, FatalError
from tickplant.store.disk import Disk

FORMAT = 1
ARCHIVE = "archive"
DAMAGED = "damaged"
NAME = "MANIFEST.json"
BACKUP = "MANIFEST.backup.json"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One Parquet file of a table and UTC day. `path` is relative to the archive folder.

    `tail_bytes` and `tail_crc32` cover the Parquet footer, which pages' own checksums do not.
    """

    table: str
    day: str
    path: str
    rows: int
    bytes: int
    crc32: int
    tail_bytes: int
    tail_crc32: int
    seq_min: int
    seq_max: int
    ts_min: int
    ts_max: int
    amendments: int = 0


class BlobEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file that is not Parquet: the catalog, the amendments, a run of keys."""

    path: str
    bytes: int
    crc32: int
    count: int = 0


class Garbage(msgspec.Struct, frozen=True, kw_only=True):
    """A replaced file that a reader may still have open; `since` is when it was replaced, in ns."""

    path: str
    since: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The whole archive at one moment. `number_next` makes the names of new files unique.

    `catalog_copy` serves when `catalog` is damaged: without it no row would have a symbol. `sealed`
    is written when all files of an archive run are: its name tells a rebuild how far that came.
    """

    format: int = FORMAT
    generation: int = 0
    number_next: int = 1
    seq_archived: int = 0
    catalog: BlobEntry | None = None
    catalog_copy: BlobEntry | None = None
    amendments: BlobEntry | None = None
    sealed: BlobEntry | None = None
    keys: dict[str, tuple[BlobEntry, ...]] = {}
    files: tuple[FileEntry, ...] = ()
    garbage: tuple[Garbage, ...] = ()
    damage: tuple[str, ...] = ()

    def paths(self) -> set[str]:
        """Return the path of every file that is live, garbage left out."""
        blobs = [run for runs in self.keys.values() for run in runs]
        single = (self.catalog, self.catalog_copy, self.amendments, self.sealed)
        blobs += [blob for blob in single if blob is not None]
        return {entry.path for entry in self.files} | {blob.path for blob in blobs}


class _Version(msgspec.Struct):
    format: int = FORMAT


class _Envelope(msgspec.Struct):
    crc32: int
    manifest: msgspec.Raw


def encode(manifest: Manifest) -> bytes:
    """Return the text of a manifest file."""
    body = msgspec.json.encode(manifest)
    return msgspec.json.encode(_Envelope(zlib.crc32(body), msgspec.Raw(body)))


def decode(data: bytes, path: str) -> Manifest:
    """Return the manifest; raises `CorruptData` where the checksum or the shape does not hold.

    Raises `FatalError` for a manifest of a later release, whatever its shape: to take it for
    damaged would mean to begin a new archive in its place.
    """
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        body = bytes(envelope.manifest)
        if zlib.crc32(body) != envelope.crc32:
            raise CorruptData(path, 0, "the checksum of the manifest does not hold")
        version = msgspec.json.decode(body, type=_Version).format
        if version > FORMAT:
            raise FatalError(
                f"{path} has format {version}, newer than this program's {FORMAT}; "
                "use the release that wrote it, or a later one"
            )
        return msgspec.json.decode(body, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise CorruptData(path, 0, f"the manifest cannot be read ({fault})") from fault


def save(disk: Disk, folder: Path, manifest: Manifest) -> None:
    """Replace the manifest durably, then its backup."""
    data = encode(manifest)
    for name in (NAME, BACKUP):
        temporary = folder / (name + ".new")
        disk.write_file(temporary, data)
        disk.replace(temporary, folder / name)
        disk.sync_folder(folder)


def load(folder: Path) -> tuple[Manifest | None, list[str]]:
    """Return the newest manifest that is whole and the faults found on the way.

    None with no faults means that there is no archive yet; None with faults that none is whole.
    """
    faults: list[str] = []
    for name in (NAME, BACKUP):
        path = folder / name
        try:
            return decode(path.read_bytes(), str(path)), faults
        except FileNotFoundError:
            if faults or (folder / BACKUP).exists():
                faults.append(f"{path} is missing")
        except CorruptData as fault:
            faults.append(str(fault))
        except OSError as fault:
            faults.append(f"{path} cannot be read ({fault.strerror or fault})")
    return None, faults


def by_table(files: Iterable[FileEntry]) -> dict[str, list[FileEntry]]:
    """Return the entries of each table."""
    groups: dict[str, list[FileEntry]] = {}
    for entry in files:
        groups.setdefault(entry.table, []).append(entry)
    return groups
