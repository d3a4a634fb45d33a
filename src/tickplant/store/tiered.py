"""The store of one machine: recent events in memory, all others in the Parquet archive.

    append ──► active runs ──► sealed runs ──► files of a day ──► one file a day ──► dropped
               appender        `Upkeep`, on the maintenance thread

A reader takes one immutable `View` of a table and works on it to the end; a writer replaces the
view as a whole under `_changed`. So a scan sees whole batches, and rows that move from memory to
the archive are seen exactly once. Lock order: `Archive.lock`, then `_changed`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.config import StoreSettings
from tickplant.model.errors import CorruptData, Stopping
from tickplant.model.events import SCHEMAS, TABLES, TRADES
from tickplant.model.times import INT64_MIN
from tickplant.store import lookup
from tickplant.store.amendments import Amendments
from tickplant.store.archive import Archive
from tickplant.store.arrivals import amendments_in, check_rows
from tickplant.store.blocks import Run
from tickplant.store.columns import Ints, ints
from tickplant.store.contract import NOW, AsOf, Cursor, Keys, StoreStatus, TableStatus
from tickplant.store.disk import Disk
from tickplant.store.gate import Gate
from tickplant.store.keys import HOT_KEY_BYTES, TableKeys
from tickplant.store.manifest import FileEntry, by_table
from tickplant.store.reader import FileCache
from tickplant.store.recovery import load_amendments, load_catalog, load_keys
from tickplant.store.replay import Replay, SeqReader
from tickplant.store.scan import make_query, scan_view
from tickplant.store.spans import Spans
from tickplant.store.upkeep import Upkeep
from tickplant.store.view import View

_Result = TypeVar("_Result")
_NOTHING: Ints = np.empty(0, dtype=np.int64)
MAINTENANCE_WAIT_S = 0.05


class TieredStore:
    """Implements `store.contract.Store`. One thread appends and asks `seen`; any thread scans."""

    def __init__(
        self,
        data: Path,
        settings: StoreSettings,
        *,
        clock: Callable[[], int],
        disk: Disk,
        read_only: bool = False,
    ) -> None:
        self.read_only = read_only
        self._clock = clock
        self._memory_max = settings.memory_mb << 20
        self._changed = threading.Condition()
        self._gate = Gate()
        self._waiting: list[tuple[str, pa.RecordBatch, Keys | None]] = []
        self._archive = Archive(data, clock=clock, disk=disk, read_only=read_only)
        self._cache = FileCache(self._archive.folder)
        self._replays = SeqReader(self._cache)
        self._faults: list[str] = []
        self._catalog = load_catalog(self._archive, self._faults)
        self._keys = load_keys(self._archive, self._faults)
        self._amendments = load_amendments(self._archive, self._cache, self._faults)
        self._views = {table: View() for table in TABLES}
        self._spans = {table: Spans() for table in TABLES}
        self._seq_last = self._seq_archived = self._archive.manifest.seq_archived
        self._bytes = 0
        self._maintained = False
        self._closed = False
        self._upkeep = Upkeep(self, settings, clock)
        self.install()

    @classmethod
    def open(
        cls,
        data: Path | str,
        settings: StoreSettings | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
        disk: Disk | None = None,
    ) -> TieredStore:
        """Open the store in a data folder that this process owns; makes the folder where it is new.

        Files that no manifest names are removed, damaged ones set apart and reported.
        """
        return cls(Path(data), settings or StoreSettings(), clock=clock, disk=disk or Disk())

    @classmethod
    def open_read_only(
        cls,
        data: Path | str,
        settings: StoreSettings | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> TieredStore:
        """Open the archive of a folder that another process or nobody owns; changes no file.

        Rows that are not archived yet may be appended from the journal; they stay in memory.
        """
        chosen = settings or StoreSettings()
        return cls(Path(data), chosen, clock=clock, disk=Disk(), read_only=True)

    # What the maintenance works on.

    @property
    def archive(self) -> Archive:
        """The archive folder."""
        return self._archive

    @property
    def cache(self) -> FileCache:
        """The parsed footers."""
        return self._cache

    @property
    def amendments(self) -> Amendments:
        """The index of corrections and cancels."""
        return self._amendments

    @property
    def keys(self) -> dict[str, TableKeys]:
        """The idempotency keys of each table."""
        return self._keys

    @property
    def views(self) -> dict[str, View]:
        """The present view of each table."""
        return self._views

    @property
    def memory_used(self) -> tuple[int, int]:
        """Bytes of events in memory, and their bound."""
        return self._bytes, self._memory_max

    def cut(self, choose: Callable[[dict[str, View]], int]) -> tuple[int, dict[str, list[Run]]]:
        """Seal what is active; return the boundary that `choose` finds and the runs up to it."""
        self._gate.wait()
        with self._changed:
            boundary = choose(self._views)
            if boundary == 0:  # no row is in memory
                boundary = self._seq_last
            for table, view in self._views.items():
                self._views[table] = view.with_tail(view.tail.split(boundary))
            runs = {
                table: [run for run in view.tail.sealed if run.seq[-1] <= boundary]
                for table, view in self._views.items()
            }
            for keys in self._keys.values():
                keys.freeze(boundary)
        return boundary, runs

    def install(
        self, archived: dict[str, list[Run]] | None = None, catalog: bytes | None = None
    ) -> None:
        """Show the manifest's files to readers, in the same instant without the archived runs."""
        with self._changed:
            files = by_table(self._archive.manifest.files)
            for table, view in self._views.items():
                runs = (archived or {}).get(table, [])
                moved = view.with_tail(view.tail.without(runs)) if runs else view
                if self.read_only:  # the owner has archived rows that came from its journal here
                    newer = moved.tail.after(self._archive.manifest.seq_archived)
                    moved = moved.with_tail(newer)
                self._views[table] = moved.with_files(files.get(table, []))
            self._bytes = sum(run.bytes for v in self._views.values() for run in v.tail.runs)
            self._bytes += sum(keys.bytes for keys in self._keys.values())
            self._bytes += sum(rows.nbytes for _, rows, _ in self._waiting)
            self._seq_archived = self._archive.manifest.seq_archived
            self._seq_last = max(self._seq_last, self._seq_archived)
            self._catalog = self._catalog if catalog is None else catalog
            self._changed.notify_all()
        for table, spans in self._spans.items():  # takes long, and nobody need wait for it
            spans.become(partial(self._runs_of, table))

    # The contract.

    @property
    def seq_archived(self) -> int:
        """Every event with `seq <= seq_archived` is in the archive."""
        return self._seq_archived

    @property
    def catalog(self) -> bytes | None:
        """The catalog as of the last archived batch, or None in an empty store."""
        return self._catalog

    def append(self, table: str, rows: pa.RecordBatch, keys: Keys | None = None) -> None:
        """Take stamped rows of one table; visible to scans on return.

        Calls are in sequence order over all tables: the rows of a call have higher numbers than
        those of every call before. Rows that are archived already are left out, so that a log may
        be replayed from anywhere before `seq_archived`. Raises `Stopping` when the store is closed.
        """
        with self._changed:
            if not self._gate.is_open:  # rows with lower numbers are still to come
                if self._closed:
                    raise Stopping("the store is closed")
                self._waiting.append((table, rows, keys))
                self._bytes += rows.nbytes
                return
        self._take([(table, rows, keys)], TableKeys.add)

    def restore(self, parts: Sequence[tuple[str, pa.RecordBatch, Keys | None]]) -> None:
        """Take (table, rows, keys) of several appends at once, as a replay of the log has them.

        The rows of a part are in sequence order; those of different tables may alternate. Otherwise
        as `append`. The keys cost their time when `index_keys` is called or `seen` first is.
        """
        self._take(parts, TableKeys.add_later)

    def expect_restore(self) -> None:
        """Hold whoever reads until `restoring` has ended; what is appended meanwhile waits."""
        self._gate.shut()

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Return the context in which one thread calls `restore`, any number of times.

        Its end lets the readers in; where it ends by an exception they are told so.
        """
        self._gate.enter()
        try:
            yield
            with self._changed:  # nothing may come between what waits and the open gate
                for table, rows, keys in self._waiting:
                    self._bytes -= rows.nbytes
                    self._take([(table, rows, keys)], TableKeys.add)
                self._waiting.clear()
                self._gate.open()
        except BaseException as fault:
            self._gate.fail(fault)
            raise

    def index_keys(self) -> None:
        """Prepare the look-up of the keys that `restore` took; any thread, once."""
        for keys in self._keys.values():
            while keys.index():
                pass

    def _take(
        self,
        parts: Sequence[tuple[str, pa.RecordBatch, Keys | None]],
        add_keys: Callable[[TableKeys, Keys, int], None],
    ) -> None:
        fresh = [self._not_archived(*part) for part in parts]
        fresh = [part for part in fresh if part[1].num_rows]
        if not fresh:
            return
        now = self._clock()
        upto = max(int(rows.column("seq")[-1].as_py()) for _, rows, _ in fresh)
        runs = [(table, Run.of(rows, now, upto), keys) for table, rows, keys in fresh]
        for table, run, keys in runs:
            check_rows(table, run, keys, self._seq_last)
            if table == TRADES:
                self._note_amendments(run.rows)
        with self._changed:
            if self._closed:
                raise Stopping("the store is closed")
            for table, run, keys in runs:
                if keys is not None:
                    add_keys(self._keys[table], keys, upto)
                    self._bytes += HOT_KEY_BYTES * len(keys)
                self._bytes += run.bytes
                self._views[table] = self._views[table].with_run(run)
                self._spans[table].note(run)
            self._seq_last = upto

    def _not_archived(
        self, table: str, rows: pa.RecordBatch, keys: Keys | None
    ) -> tuple[str, pa.RecordBatch, Keys | None]:
        """Leave out the rows at the start that are archived already."""
        archived = self._seq_archived
        if not rows.num_rows or rows.column("seq")[0].as_py() > archived:
            return table, rows, keys
        known = int(np.searchsorted(ints(rows, "seq"), archived, "right"))
        return table, rows.slice(known), None if keys is None else keys[known:]

    def _note_amendments(self, rows: pa.RecordBatch) -> None:
        if ints(rows, "ref_seq").any():
            found = amendments_in(
                rows,
                self._amendments,
                lambda instrument, seqs: self._guarded(
                    TRADES, lambda view: lookup.times_of(view, instrument, seqs, self._cache)
                ),
            )
            self._amendments.add(found)

    def _runs_of(self, table: str) -> Sequence[Run]:
        return self._views[table].tail.runs

    def wait_for_room(self, timeout_s: float) -> bool:
        """Say whether memory is below its bound; wait that long for it to be, s.

        Without maintenance nobody makes room, so there is none to wait for. Raises `Stopping` when
        the store is closed.
        """
        if self._bytes < self._memory_max:
            return True
        with self._changed:
            if timeout_s > 0 and not self._closed and self._bytes >= self._memory_max:
                self._changed.wait(timeout_s)
            if self._closed:
                raise Stopping("the store is closed")
            return self._bytes < self._memory_max or not self._maintained

    def seen(self, table: str, keys: Keys) -> NDArray[np.bool_]:
        """Say for each key, shape (n,), whether a stored row of the table has it."""
        self._gate.wait()
        return self._keys[table].seen(keys)

    def scan(
        self,
        table: str,
        instrument: int | None = None,
        *,
        start: int | None = None,
        end: int | None = None,
        columns: Sequence[str] | None = None,
        as_of: AsOf = NOW,
        after: Cursor | None = None,
        descending: bool = False,
        limit: int | None = None,
        amended: bool = True,
    ) -> pa.Table:
        """Return rows with `start <= ts_event < end`, by (ts_event, seq), of one instrument or all.

        With `amended=False` every row is returned as it was logged. `columns` are returned in the
        order asked for.
        """

        def read(view: View) -> pa.Table:
            hidden = _NOTHING
            if amended and table == TRADES:
                hidden = self._amendments.hidden(instrument, view.seq_last, as_of)
            query = make_query(
                table,
                instrument,
                start=start,
                end=end,
                columns=columns,
                as_of=as_of,
                after=after,
                descending=descending,
                limit=limit,
                hidden=hidden,
            )
            return scan_view(view, query, self._cache)

        return self._guarded(table, read)

    def scan_seq(
        self,
        table: str,
        after_seq: int,
        upto_seq: int,
        *,
        instruments: Sequence[int] | None = None,
        start: int | None = None,
        limit: int,
    ) -> pa.Table:
        """Return at most `limit` rows as logged, `after_seq < seq <= upto_seq`, by seq."""
        wanted = None if instruments is None else tuple(sorted(set(instruments)))
        replay = Replay(table, wanted, INT64_MIN if start is None else start)
        return self._guarded(
            table, lambda view: self._replays.read(view, replay, after_seq, upto_seq, limit)
        )

    def amendment_seqs(
        self, instrument: int, start: int | None, end: int | None, as_of: AsOf = NOW
    ) -> tuple[Ints, Ints]:
        """Return (`ts_event`, `seq`) of what touched amended trades in the span, both shape (n,).

        A correction touches the time of the row that it replaces and its own; a cancel the time of
        the row that it cancels.
        """
        self._gate.wait()
        return self._amendments.touched(instrument, start, end, as_of)

    def find_trade(self, seq: int) -> pa.Table:
        """Return the trade that `seq` names (an original's or a correction's) as it now stands.

        One row, or none where there is no such trade or it was cancelled.
        """
        self._gate.wait()
        last = self._amendments.last_of(self._amendments.root_of(seq))
        if last is None:
            return self._guarded(TRADES, lambda view: lookup.row_of(view, TRADES, seq, self._cache))
        if last.cancel:
            return SCHEMAS[TRADES].empty_table()
        at = last.ts_event
        rows = self.scan(TRADES, last.instrument, start=at, end=at + 1, amended=False)
        return rows.filter(pa.array(ints(rows, "seq") == last.seq))

    def generation(self, table: str) -> object:
        """Return another object after rows of a table went into the archive or out of it."""
        return self._views[table].files

    def span(self, table: str, instrument: int | None = None) -> tuple[int, int] | None:
        """Return the first and last `ts_event`, or None where there are no rows."""
        self._gate.wait()
        if instrument is None:
            return self._views[table].ts_span()
        files = self._views[table].files
        held = self._spans[table].of(instrument)  # before the view: rows move to the files

        def read(view: View) -> tuple[int, int] | None:
            keep = view.files is files  # else what is held may be of rows that are in files now
            return lookup.span_of(view, instrument, self._cache, held, keep=keep)

        return self._guarded(table, read)

    def run_maintenance(
        self,
        catalog: Callable[[], bytes],
        stop: Callable[[], bool],
        archived: Callable[[int], object] = lambda seq: None,
    ) -> None:
        """Seal, archive, compact and drop what is due, until `stop()`; the caller owns the thread.

        `archived` is told `seq_archived` whenever it has grown. A fault of the disk ends neither
        the thread nor the data: it is kept in the status, and the work is tried again after a
        while that grows to half a minute.
        """
        self._maintained = True
        told = -1
        try:
            while not (stop() or self._closed or self._gate.wait(MAINTENANCE_WAIT_S)):
                pass
            while not stop() and not self._closed:
                worked = self.maintain(catalog)
                if self._seq_archived > told:
                    told = self._seq_archived
                    archived(told)
                if not worked:
                    with self._changed:
                        self._changed.wait(MAINTENANCE_WAIT_S)
        finally:
            self._maintained = False
            with self._changed:
                self._changed.notify_all()

    def maintain(self, catalog: Callable[[], bytes]) -> bool:
        """Do one round of what is due; return whether there was anything."""
        return self._upkeep.step(catalog)

    def checkpoint(self, catalog: bytes) -> int:
        """Archive everything that is in memory and return `seq_archived`. Raises `OSError`."""
        self._upkeep.archive_all(lambda: catalog)
        return self._seq_archived

    def compact(self) -> int:
        """Merge the files of each table and day that has several; return how many were merged."""
        return self._upkeep.compact()

    def retain(self, now: int) -> int:
        """Drop the days that are older than their table's retention; return how many files."""
        return self._upkeep.retain(now)

    def refresh(self) -> None:
        """Look again at an archive that another process owns; what it has leaves memory."""
        with self._archive.lock:
            if self._archive.refresh():
                self.install()

    def status(self) -> StoreStatus:
        """Return the present state, at no cost worth mentioning."""
        views = dict(self._views)
        return StoreStatus(
            tables={table: _table_status(view) for table, view in views.items()},
            seq_archived=self._seq_archived,
            bytes_in_memory=self._bytes,
            damage=(*self._archive.manifest.damage, *self._faults, *self._damaged_keys()),
            last_error=self._upkeep.last_error,
            archive_runs=self._upkeep.archive_runs,
            files_compacted=self._upkeep.files_compacted,
            files_expired=self._upkeep.files_expired,
        )

    def _damaged_keys(self) -> Iterator[str]:
        for keys in self._keys.values():
            yield from (run.damage for run in keys.runs if run.damage is not None)

    def close(self) -> None:
        """Release files and threads; does not archive. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._cache.clear()
        self._replays.clear()

    # Damage.

    def _guarded(self, table: str, read: Callable[[View], _Result]) -> _Result:
        """Return `read(view)`; where a file is damaged or gone, without it.

        A file that is gone because it was replaced meanwhile costs a second look, nothing else.
        """
        self._gate.wait()
        while True:
            view = self._views[table]
            try:
                return read(view)
            except (CorruptData, FileNotFoundError) as fault:
                if not self.set_apart(view.files.entries, str(fault)):
                    raise

    def set_apart(self, entries: Iterable[FileEntry], why: str) -> bool:
        """Take the files among `entries` that `why` names out of the archive.

        Returns whether anything is different now, so that a reader may try again.
        """
        named = [entry for entry in entries if entry.path in why]
        with self._archive.lock:
            if self.read_only and self._archive.refresh():
                self.install()
                return True
            for entry in named:
                self._archive.quarantine(entry, why)
                self._cache.drop(entry.path)
            self._replays.clear()
            self.install()
        return bool(named)


def _table_status(view: View) -> TableStatus:
    span = view.ts_span() or (None, None)
    return TableStatus(
        rows_archived=view.files.rows,
        rows_in_memory=sum(len(run) for run in view.tail.runs),
        files=len(view.files),
        bytes=view.files.bytes,
        ts_min=span[0],
        ts_max=span[1],
        blocks=len(view.tail.runs),
    )
