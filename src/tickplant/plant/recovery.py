"""Start-up: the archive as its manifest says, then the log from where the archive ends.

    manifest ─► catalog ─┐
    archive  ─► store ───┼─► replay of the log after `seq_archived` ─► blocks ─► ready
    journal  ─► log ─────┘

Only what the archive lacks is replayed. A record that reaches over the archive's end is cut.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tickplant.log.contract import LogRecord
from tickplant.model.events import TABLES
from tickplant.plant.catalog import Catalog
from tickplant.plant.records import CATALOG_KIND, decode_rows
from tickplant.store.contract import Keys, Store

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a replay brought: rows by table, and the last number that was seen."""

    rows: dict[str, int]
    seq_last: int


def load_catalog(store: Store, catalog: Catalog) -> None:
    """Take in the catalog of the archive's manifest."""
    if store.catalog is not None:
        catalog.absorb(store.catalog)


def _archived_number_max(store: Store) -> int:
    """Return the highest instrument number of the archive, where its catalog is lost.

    Reads a column of the whole archive, which is why it is asked only then.
    """
    if store.catalog is not None or not store.seq_archived:
        return 0
    numbers = [store.scan(t, columns=["instrument"], amended=False)["instrument"] for t in TABLES]
    return max((pc.max(column).as_py() for column in numbers if len(column)), default=0)


def replay(records: Iterable[LogRecord], store: Store, catalog: Catalog) -> Recovered:
    """Append the rows that the archive lacks to the store, and take in the catalog's entries."""
    floor = store.seq_archived
    rows_by_table: dict[str, int] = {}
    seq_last = floor
    number_max = _archived_number_max(store)
    for record in records:
        if record.kind == CATALOG_KIND:
            catalog.absorb(record.payload)
            continue
        if record.seq_next - 1 <= floor:
            continue
        table, rows, keys = _after(floor, record)
        store.append(table, rows, keys)
        number_max = max(number_max, int(rows.column("instrument").to_numpy().max()))
        rows_by_table[table] = rows_by_table.get(table, 0) + len(rows)
        seq_last = record.seq_next - 1
    lost = catalog.fill_holes(number_max)
    if lost:
        _LOG.error("the names of %d instruments are lost; they are now DAMAGED:LOST-…", lost)
    if rows_by_table:
        _LOG.info("replayed %s from the journal", rows_by_table)
    return Recovered(rows_by_table, seq_last)


def _after(floor: int, record: LogRecord) -> tuple[str, pa.RecordBatch, Keys | None]:
    table, rows, keys = decode_rows(record)
    known = floor + 1 - record.seq_first
    if known <= 0:
        return table, rows, keys
    return table, rows.slice(known), None if keys is None else keys[known:]
