"""The work of the maintenance thread: archive runs, compaction, retention, removing garbage.

Every piece writes new files, commits one manifest and then shows it to readers; it holds the
archive's lock meanwhile, so pieces never overlap. A piece that fails leaves everything as it was.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Protocol

import numpy as np

from tickplant.config import StoreSettings
from tickplant.model.errors import CorruptData
from tickplant.model.events import TABLES, TRADES
from tickplant.model.times import INT64_MIN, NS_PER_S
from tickplant.store.amendments import Amendments
from tickplant.store.archive import Archive
from tickplant.store.archiving import choose_boundary, write_runs
from tickplant.store.blocks import Run
from tickplant.store.compaction import Group, merge_files, plan_compaction
from tickplant.store.keys import HotKeys, KeyRun, TableKeys, merge_keys, plan_merge
from tickplant.store.manifest import BlobEntry
from tickplant.store.reader import FileCache
from tickplant.store.retention import days_kept, expired, first_days
from tickplant.store.view import View
from tickplant.store.writer import write_file

BACKOFF_S_MIN = 1.0
BACKOFF_S_MAX = 30.0
TIDY_EVERY_S = 5.0  # how often compaction, retention and garbage are looked at
DAY_FILES_MAX = 16  # a day with more files is compacted without waiting for it to rest

Catalog = Callable[[], bytes]


class Keeper(Protocol):
    """What the upkeep needs of the store."""

    @property
    def archive(self) -> Archive:
        """The archive folder."""
        ...

    @property
    def cache(self) -> FileCache:
        """The parsed footers."""
        ...

    @property
    def amendments(self) -> Amendments:
        """The index of corrections and cancels."""
        ...

    @property
    def keys(self) -> dict[str, TableKeys]:
        """The idempotency keys of each table."""
        ...

    @property
    def views(self) -> dict[str, View]:
        """The present view of each table."""
        ...

    @property
    def memory_used(self) -> tuple[int, int]:
        """Bytes of events in memory, and their bound."""
        ...

    def cut(self, choose: Callable[[dict[str, View]], int]) -> tuple[int, dict[str, list[Run]]]:
        """Return the boundary that `choose` finds and the runs up to it, sealed."""
        ...

    def install(
        self, archived: dict[str, list[Run]] | None = None, catalog: bytes | None = None
    ) -> None:
        """Show the files of the manifest to readers, and no more the archived runs."""
        ...

    def set_apart(self, entries: Group, why: str) -> bool:
        """Take the files that `why` names out of the archive."""
        ...


class Upkeep:
    """Decides what is due and does it. `step` belongs to one thread, the rest to any."""

    def __init__(self, store: Keeper, settings: StoreSettings, clock: Callable[[], int]) -> None:
        self.last_error: str | None = None
        self.archive_runs = self.files_compacted = self.files_expired = 0
        self._store = store
        self._settings = settings
        self._clock = clock
        self._kept = days_kept(settings)
        self._backoff_s = BACKOFF_S_MIN
        self._retry_at = 0
        self._tidy_at = 0
        self._failed = False
        self._grown_at: dict[tuple[str, str], int] = {}
        self._opened_at = clock()

    def step(self, catalog: Catalog) -> bool:
        """Do what is due; return whether there was anything. A fault of the disk is kept."""
        worked = self._sort_one() or self._filter_one()
        if self._clock() < self._retry_at:
            return worked
        try:
            failed_before = self._failed
            if failed_before:
                self._store.archive.sweep()
            if self._archive_due():
                worked |= self._archive_run(catalog)
            elif self._clock() >= self._tidy_at:
                self._tidy_at = self._clock() + int(TIDY_EVERY_S * NS_PER_S)
                worked |= self._tidy()
        except (OSError, MemoryError) as fault:
            self.last_error = f"{type(fault).__name__}: {fault}"
            self._failed = True
            self._retry_at = self._clock() + int(self._backoff_s * NS_PER_S)
            self._backoff_s = min(self._backoff_s * 2, BACKOFF_S_MAX)
            return worked
        if failed_before:
            self._failed, self.last_error = False, None
        self._backoff_s = BACKOFF_S_MIN
        return worked

    def _sort_one(self) -> bool:
        for view in self._store.views.values():
            for run in view.tail.sealed:
                if not run.indexed:
                    run.event_order()
                    return True
        return False

    def _filter_one(self) -> bool:
        """Read a run of keys that was not asked for yet: this makes its filter and checks it."""
        for keys in self._store.keys.values():
            for run in keys.runs:
                if run.make_filter():
                    return True
        return False

    def _archive_due(self) -> bool:
        used, bound = self._store.memory_used
        now = self._clock()
        for view in self._store.views.values():
            runs = view.tail.runs
            if not runs:
                continue
            rows = sum(len(run) for run in runs)
            age_s = (now - runs[0].born) / NS_PER_S
            if rows >= self._settings.block_rows or age_s >= self._settings.block_age_s:
                return True
        return used * 2 >= bound

    # Archive runs.

    def archive_all(self, catalog: Catalog) -> None:
        """Archive until nothing is left that was in memory when this began."""
        if self._store.archive.read_only:
            raise ValueError("a store that was opened read-only cannot archive")
        with self._store.archive.lock:
            first = True
            while first or any(view.tail.runs for view in self._store.views.values()):
                if not self._archive_run(catalog) and not first:
                    break
                first = False

    def _archive_run(self, catalog: Catalog) -> bool:
        store, archive = self._store, self._store.archive
        with archive.lock:
            boundary, runs = store.cut(choose_boundary)
            text = catalog()
            files = [
                entry
                for table, parts in runs.items()
                if parts
                for entry in write_runs(archive, table, parts)
            ]
            replaced: list[str] = []
            names, names_again = self._write_catalog(text, replaced)
            keys, key_runs, frozen = self._write_keys(replaced)
            archive.swap(
                added=files,
                seq_archived=max(boundary, archive.manifest.seq_archived),
                catalog=names,
                catalog_copy=names_again,
                amendments=self._write_amendments(boundary, replaced),
                keys=keys,
                sealed=self._seal(boundary, replaced),
                replaced=replaced,
            )
            for table in TABLES:
                store.keys[table].install(key_runs[table], frozen[table])
            store.install(runs, text)
            now = self._clock()
            self._grown_at.update(((entry.table, entry.day), now) for entry in files)
        self.last_error = None
        self.archive_runs += bool(files)
        return bool(files)

    def _seal(self, boundary: int, replaced: list[str]) -> BlobEntry | None:
        """Note on the disk that every event up to the boundary is in a file."""
        archive = self._store.archive
        old = archive.manifest.sealed
        if boundary <= archive.manifest.seq_archived:
            return old
        if old is not None:
            replaced.append(old.path)
        return archive.write_blob(f"sealed-{boundary}-{archive.number()}.txt", b"%d\n" % boundary)

    def _write_catalog(self, text: bytes, replaced: list[str]) -> list[BlobEntry]:
        """Return the blobs of the catalog and of its copy, written where they are not there yet."""
        archive, made = self._store.archive, []
        for old in (archive.manifest.catalog, archive.manifest.catalog_copy):
            if old is not None and self._holds(old, text):
                made.append(old)
                continue
            if old is not None:
                replaced.append(old.path)
            made.append(archive.write_blob(f"catalog-{archive.number()}.json", text))
        return made

    def _holds(self, blob: BlobEntry, text: bytes) -> bool:
        try:
            return self._store.archive.read_blob(blob) == text
        except CorruptData:
            return False

    def _write_amendments(self, boundary: int, replaced: list[str]) -> BlobEntry | None:
        archive = self._store.archive
        old = archive.manifest.amendments
        records = self._store.amendments.records(boundary)
        if len(records) == (0 if old is None else old.count):
            return old
        if old is not None:
            replaced.append(old.path)
        data = io.BytesIO()
        np.save(data, records)
        name = f"amendments-{archive.number()}.npy"
        return archive.write_blob(name, data.getvalue(), len(records))

    def _write_keys(
        self, replaced: list[str]
    ) -> tuple[
        dict[str, tuple[BlobEntry, ...]], dict[str, list[KeyRun]], dict[str, tuple[HotKeys, ...]]
    ]:
        entries: dict[str, tuple[BlobEntry, ...]] = {}
        runs: dict[str, list[KeyRun]] = {}
        frozen: dict[str, tuple[HotKeys, ...]] = {}
        for table, keys in self._store.keys.items():
            frozen[table] = keys.frozen
            runs[table] = list(keys.runs)
            live = {run.path for run in keys.runs}
            # A run that was damaged when the store was opened is in the manifest but not loaded.
            held = [b for b in self._store.archive.manifest.keys.get(table, ()) if b.path in live]
            if keys.frozen:
                first = plan_merge(
                    [len(run) for run in runs[table]], sum(k.count for k in keys.frozen)
                )
                old = [run.keys for run in runs[table][first:]]
                made = merge_keys(old, [part.all() for part in keys.frozen])
                replaced += [blob.path for blob in held[first:]]
                held = [*held[:first], self._write_run(table, made)]
                fresh = KeyRun.open(self._store.archive.folder, held[-1])
                fresh.make_filter()
                runs[table] = [*runs[table][:first], fresh]
            entries[table] = tuple(held)
        return entries, runs, frozen

    def _write_run(
        self, table: str, keys: np.ndarray[tuple[int, int], np.dtype[np.uint64]]
    ) -> BlobEntry:
        archive = self._store.archive
        data = io.BytesIO()
        np.save(data, keys)
        name = f"keys/{table}/{archive.number()}.npy"
        return archive.write_blob(name, data.getvalue(), int(keys.shape[1]))

    # Tidying.

    def _tidy(self) -> bool:
        merged = self.compact(only_due=True)
        dropped = self.retain(self._clock())
        return bool(merged + dropped + self._store.archive.collect())

    def compact(self, *, only_due: bool = False) -> int:
        """Merge files of one table and day; return how many were merged."""
        merged = 0
        with self._store.archive.lock:
            for group in plan_compaction(self._store.archive.manifest.files):
                if not only_due or self._is_due(group):
                    merged += self._compact_group(group)
        return merged

    def _is_due(self, group: Group) -> bool:
        if len(group) > DAY_FILES_MAX:
            return True
        grown_at = self._grown_at.get((group[0].table, group[0].day), self._opened_at)
        return self._clock() - grown_at >= self._settings.compact_after_s * NS_PER_S

    def _compact_group(self, group: Group) -> int:
        store, archive = self._store, self._store.archive
        table, day = group[0].table, group[0].day
        try:
            files = [store.cache.get(entry) for entry in group]
            made = write_file(
                archive.disk, archive.folder, table, day, archive.number(), merge_files(files)
            )
        except (CorruptData, FileNotFoundError) as fault:
            store.set_apart(group, str(fault))
            return 0
        if made.rows != sum(entry.rows for entry in group):
            raise AssertionError(f"{made.path} has {made.rows} rows after compaction")
        archive.swap(added=[made], removed=group)
        store.install()
        for entry in group:
            store.cache.drop(entry.path)
        self.files_compacted += len(group)
        return len(group)

    def retain(self, now: int) -> int:
        """Drop the files of days that are older than their table is kept; return how many."""
        archive = self._store.archive
        firsts = first_days(self._kept, now)
        with archive.lock:
            gone = expired(archive.manifest.files, firsts)
            if gone:
                archive.swap(removed=gone)
                self._store.install()
                oldest = firsts.get(TRADES, INT64_MIN)
                self._store.amendments.expire(oldest, archive.manifest.seq_archived)
        self.files_expired += len(gone)
        return len(gone)
