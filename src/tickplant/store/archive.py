"""The archive folder: which files are in it, and the one way to change that.

    data/
      archive/
        MANIFEST.json, MANIFEST.backup.json
        <table>/<UTC day>/<first seq>-<last seq>-<number>.parquet
        keys/<table>/<number>.npy      amendments-<number>.npy      catalog-<number>.json
      damaged/                         what a checksum showed to be wrong

New files are written and synced first, under names that were never used; then the manifest that
names them replaces the old one. Whatever is killed and whenever, the manifest on disk names
complete files only. What it does not name is removed when the folder is opened. A replaced file
stays for `GRACE_NS`, because readers in this and in other processes may still be at it.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from tickplant.model.errors import CorruptData
from tickplant.model.times import NS_PER_S
from tickplant.store import manifest as manifests
from tickplant.store.disk import Disk
from tickplant.store.manifest import BlobEntry, FileEntry, Garbage, Manifest
from tickplant.store.rebuild import rebuild

GRACE_NS = 60 * NS_PER_S
DAMAGE_KEPT_MAX = 100
UNFINISHED = "of an archive run that a crash ended, whose rows the journal has"


class Archive:
    """The owner of the manifest. Changes are made under `lock`; any thread reads `manifest`."""

    def __init__(
        self, data: Path, *, clock: Callable[[], int], disk: Disk, read_only: bool = False
    ) -> None:
        self.folder = data / manifests.ARCHIVE
        self.lock = threading.RLock()
        self.read_only = read_only
        self.disk = disk
        self._damaged = data / manifests.DAMAGED
        self._clock = clock
        self._number = 0
        self._generation_seen = 0
        self.manifest = Manifest()
        self._open()

    def _open(self) -> None:
        found, faults = manifests.load(self.folder)
        if found is None and not faults and any(self.folder.glob("*/*/*.parquet")):
            faults.append(f"{self.folder / manifests.NAME} is missing, and so is its backup")
        unfinished: list[FileEntry] = []
        if found is None and faults:
            found, unfinished = rebuild(self.folder)
            faults.append(f"the manifest was made anew from {len(found.files)} files")
        self.manifest = found or Manifest()
        self._number = self.manifest.number_next
        self._generation_seen = self.manifest.generation
        missing = [entry for entry in self.manifest.files if not self._is_whole(entry)]
        if self.read_only:
            whys = {entry.path: "missing or of another length" for entry in missing}
            whys |= {entry.path: UNFINISHED for entry in unfinished}
            self._drop_in_memory(whys, faults)
            return
        self.disk.make_folder(self.folder)
        # No reader of this process is at the replaced files any more, so their grace is over.
        self.manifest = msgspec.structs.replace(self.manifest, garbage=())
        self.sweep()
        if faults:
            self._commit_or_remember(damage=faults)
        elif found is None:
            with suppress(OSError):  # from now on a folder without a manifest has lost it
                self.commit()
        for entry in missing:
            self.quarantine(entry, "missing or of another length than it was written")
        for entry in unfinished:
            self.quarantine(entry, UNFINISHED)

    def _commit_or_remember(self, *, damage: Iterable[str], **changes: Any) -> None:
        """Commit; where the disk refuses, hold the changes in memory, for the next commit to write.

        What is damaged is so whether it can be written down or not, and the rest has to be read.
        """
        try:
            self.commit(damage=damage, **changes)
        except OSError as fault:
            said = (*self.manifest.damage, *damage, f"this could not be written down yet ({fault})")
            self.manifest = msgspec.structs.replace(self.manifest, damage=said, **changes)

    def _is_whole(self, entry: FileEntry) -> bool:
        try:
            return (self.folder / entry.path).stat().st_size == entry.bytes
        except FileNotFoundError:
            return False

    def _drop_in_memory(self, whys: Mapping[str, str], faults: Iterable[str]) -> None:
        said = [*faults, *(f"{path}: {why}" for path, why in sorted(whys.items()))]
        self.manifest = msgspec.structs.replace(
            self.manifest,
            files=tuple(e for e in self.manifest.files if e.path not in whys),
            damage=(*self.manifest.damage, *said),
        )

    def sweep(self) -> None:
        """Remove what no manifest names: leftovers of a crash or of a piece of work that failed.

        After a failed commit the manifest on disk may be the new one already, so what either names
        is kept.
        """
        with self.lock:
            seen, _ = manifests.load(self.folder)
            live = {manifests.NAME, manifests.BACKUP}
            for known in (self.manifest, seen or self.manifest):
                live |= known.paths() | {item.path for item in known.garbage}
                # What is damaged and could not be set apart is not removed either.
                live |= {note.partition(":")[0] for note in known.damage}
            for path in sorted(self.folder.rglob("*"), reverse=True):
                if path.is_dir():
                    self.disk.remove_folder(path)
                elif path.relative_to(self.folder).as_posix() not in live:
                    self.disk.remove(path)

    def refresh(self) -> bool:
        """Look again at a folder that another process owns; return whether it changed."""
        found, _ = manifests.load(self.folder)
        if found is None or found.generation == self._generation_seen:
            return False
        self._open()
        return True

    def number(self) -> int:
        """Return a number for the name of a new file, never given before."""
        with self.lock:
            self._number += 1
            return self._number - 1

    def commit(self, *, damage: Iterable[str] = (), **changes: Any) -> None:
        """Replace the manifest by one with other fields; `damage` is added to what is known.

        Raises `OSError`. The disk then holds the old manifest or the new one, both of which name
        complete files only; this object still holds the old one.
        """
        with self.lock:
            old = self.manifest
            new = msgspec.structs.replace(
                old,
                generation=old.generation + 1,
                number_next=self._number,
                damage=(*old.damage, *damage)[-DAMAGE_KEPT_MAX:],
                **changes,
            )
            manifests.save(self.disk, self.folder, new)
            self.manifest = new

    def swap(
        self,
        *,
        added: Iterable[FileEntry] = (),
        removed: Iterable[FileEntry] = (),
        replaced: Iterable[str] = (),
        **changes: Any,
    ) -> None:
        """Commit with files added and others `removed`; these and `replaced` become garbage."""
        with self.lock:
            gone = {entry.path for entry in removed}
            kept = [entry for entry in self.manifest.files if entry.path not in gone]
            garbage = self.with_garbage([*sorted(gone), *replaced])
            self.commit(files=(*kept, *added), garbage=garbage, **changes)

    def with_garbage(self, paths: Iterable[str]) -> tuple[Garbage, ...]:
        """Return the garbage with these paths in addition."""
        now = self._clock()
        return (*self.manifest.garbage, *(Garbage(path=path, since=now) for path in paths))

    def collect(self) -> int:
        """Remove replaced files whose grace is over; return how many."""
        with self.lock:
            limit = self._clock() - GRACE_NS
            due = [item for item in self.manifest.garbage if item.since <= limit]
            for item in due:
                self.disk.remove(self.folder / item.path)
                self.disk.remove_folder((self.folder / item.path).parent)
            if due:
                self.commit(garbage=tuple(i for i in self.manifest.garbage if i.since > limit))
            return len(due)

    def quarantine(self, entry: FileEntry, why: str) -> None:
        """Take a damaged file out of the archive; its bytes are kept in `damaged/`."""
        with self.lock:
            if entry not in self.manifest.files:
                return
            said = (
                f"{entry.path}: {why}; {entry.rows} rows of {entry.table} with seq {entry.seq_min} "
                f"to {entry.seq_max} are out of the archive"
            )
            files = tuple(e for e in self.manifest.files if e.path != entry.path)
            if self.read_only:
                self._drop_in_memory({entry.path: why}, [])
                return
            source = self.folder / entry.path
            with suppress(OSError):  # then it stays where it is
                if source.exists():
                    self.disk.make_folder(self._damaged)
                    self.disk.replace(source, self._damaged / entry.path.replace("/", "_"))
            self._commit_or_remember(files=files, damage=[said])

    def write_blob(self, path: str, data: bytes, count: int = 0) -> BlobEntry:
        """Write a file that is not Parquet durably; the caller names it in the next commit."""
        target = self.folder / path
        self.disk.make_folder(target.parent)
        crc32 = self.disk.write_file(target, data)
        self.disk.sync_folder(target.parent)
        return BlobEntry(path=path, bytes=len(data), crc32=crc32, count=count)

    def read_blob(self, blob: BlobEntry) -> bytes:
        """Return what `write_blob` wrote; raises `CorruptData` where it is not that any more."""
        path = self.folder / blob.path
        try:
            data = path.read_bytes()
        except OSError as fault:
            raise CorruptData(str(path), 0, str(fault)) from fault
        if len(data) != blob.bytes or zlib.crc32(data) != blob.crc32:
            raise CorruptData(str(path), 0, "the checksum does not hold")
        return data
