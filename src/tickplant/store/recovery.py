"""Loading at the start what lies beside the Parquet files: catalog, keys, amendments."""

from __future__ import annotations

import io

import numpy as np

from tickplant.model.errors import CorruptData
from tickplant.model.events import SCHEMAS, TABLES, TRADES
from tickplant.store.amendments import RECORD, Amendments
from tickplant.store.archive import Archive
from tickplant.store.arrivals import amendments_in
from tickplant.store.columns import Ints, ints
from tickplant.store.keys import KeyRun, TableKeys
from tickplant.store.lookup import times_of
from tickplant.store.reader import FileCache
from tickplant.store.view import FileSet, View


def load_catalog(archive: Archive, faults: list[str]) -> bytes | None:
    """Return the catalog, from its copy where it is damaged; None where there is neither."""
    manifest = archive.manifest
    for blob in (manifest.catalog, manifest.catalog_copy):
        if blob is None:
            continue
        try:
            return archive.read_blob(blob)
        except CorruptData as fault:
            faults.append(str(fault))
    if manifest.catalog is not None:
        faults.append("the names of instruments are lost unless the log still has them")
    return None


def load_keys(archive: Archive, faults: list[str]) -> dict[str, TableKeys]:
    """Return the keys of each table; a run that is gone is left out, its duplicates may pass."""
    tables = {}
    for table in TABLES:
        runs = []
        for blob in archive.manifest.keys.get(table, ()):
            try:
                runs.append(KeyRun.open(archive.folder, blob))
            except (OSError, ValueError) as fault:
                faults.append(f"{blob.path}: {fault}; {blob.count} idempotency keys are lost")
        tables[table] = TableKeys(runs)
    return tables


def load_amendments(archive: Archive, cache: FileCache, faults: list[str]) -> Amendments:
    """Return the amendments of archived rows, from their file or else from the rows themselves."""
    found = Amendments()
    blob = archive.manifest.amendments
    if blob is not None:
        try:
            found.load(np.load(io.BytesIO(archive.read_blob(blob))).astype(RECORD))
            return found
        except (CorruptData, ValueError) as fault:
            faults.append(f"{fault}; read again from the trades")
    _collect(archive, cache, found, faults)
    return found


def _collect(archive: Archive, cache: FileCache, found: Amendments, faults: list[str]) -> None:
    entries = [entry for entry in archive.manifest.files if entry.table == TRADES]
    view = View(files=FileSet(entries))

    def find(instrument: int, seqs: Ints) -> dict[int, int]:
        return times_of(view, instrument, seqs, cache)

    for entry in sorted(entries, key=lambda e: e.seq_min):
        if not entry.amendments:
            continue
        try:
            rows = cache.get(entry).read_rows(0, entry.rows, SCHEMAS[TRADES].names)
            rows = rows.filter(ints(rows, "ref_seq") != 0).sort_by("seq").combine_chunks()
            found.add(amendments_in(rows.to_batches()[0], found, find))
        except (CorruptData, OSError) as fault:
            faults.append(str(fault))
