"""Start-up: the archive as its manifest says, then the log from where the archive ends.

    manifest ─► catalog ─┐
    archive  ─► store ───┼─► replay of the log after `seq_archived` ─► blocks ─► ready
    journal  ─► log ─────┘

Only what the archive lacks is replayed. A record that reaches over the archive's end is cut. The
journal is read once: as it is checked, its records go on to the store.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from tickplant.log.contract import LogRecord
from tickplant.model.events import TABLES
from tickplant.plant.bulk import Bulk, Part
from tickplant.plant.catalog import Catalog
from tickplant.plant.records import CATALOG_KIND
from tickplant.store.contract import Store

_LOG = logging.getLogger(__name__)
BULK_BYTES = 16 << 20  # of records that are decoded together
DECODERS = 2


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


class Replay:
    """Takes the log's records in order; `finish` ends it. One use, one thread.

    `index_keys` says whether anybody will ask the store for keys.
    Rows go to the store some hundred thousand at a time. They are decoded on other threads, mostly
    outside of the interpreter's lock, while this one reads and checks what follows.
    """

    def __init__(self, store: Store, catalog: Catalog, *, index_keys: bool = True) -> None:
        self._index_keys = index_keys
        self._store = store
        self._catalog = catalog
        self._floor = self._seq_last = store.seq_archived
        self._number_max = _archived_number_max(store)
        self._rows: Counter[str] = Counter()
        self._bulk = Bulk()
        self._workers = ThreadPoolExecutor(DECODERS, "replay")
        self._decoding: deque[Future[list[Part]]] = deque()

    def take(self, records: Iterable[LogRecord]) -> None:
        """Take records that follow those before; what the archive has is left out."""
        for record in records:
            if record.kind == CATALOG_KIND:
                self._catalog.absorb(record.payload)
            elif record.seq_first + record.count - 1 > self._floor:
                self._bulk.add(record)
                self._seq_last = record.seq_first + record.count - 1
                if self._bulk.bytes >= BULK_BYTES:
                    self._hand_over(DECODERS)

    def finish(self) -> Recovered:
        """Bring the last rows to the store; see that every number has a name."""
        try:
            self._hand_over(0)
        finally:
            if self._index_keys:  # nobody waits for it: who asks before it is done, does it
                self._workers.submit(self._store.index_keys)
            self._workers.shutdown(wait=False)
        lost = self._catalog.fill_holes(self._number_max)
        if lost:
            _LOG.error("the names of %d instruments are lost; they are now DAMAGED:LOST-…", lost)
        if self._rows:
            _LOG.info("replayed %s from the journal", dict(self._rows))
        return Recovered(dict(self._rows), self._seq_last)

    def _hand_over(self, ahead: int) -> None:
        """Let what was collected be decoded; restore what is, until `ahead` bulks are under way."""
        if self._bulk.bytes:
            self._decoding.append(self._workers.submit(self._bulk.decode))
            self._bulk = Bulk()
        while len(self._decoding) > ahead:
            self._restore(self._decoding.popleft().result())

    def _restore(self, parts: list[Part]) -> None:
        self._store.restore(parts)
        for table, rows, _ in parts:
            fresh = rows.column("seq").to_numpy() > self._floor
            self._rows[table] += int(np.count_nonzero(fresh))
            highest = int(rows.column("instrument").to_numpy().max())
            self._number_max = max(self._number_max, highest)


def replay(records: Iterable[LogRecord], store: Store, catalog: Catalog) -> Recovered:
    """Append the rows that the archive lacks to a store that is only read, and take in names."""
    taking = Replay(store, catalog, index_keys=False)
    try:
        taking.take(records)
    finally:
        recovered = taking.finish()
    return recovered
