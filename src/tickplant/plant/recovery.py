"""Start-up: the archive as its manifest says, then the log from where the archive ends.

    manifest ─► catalog ◄─ names ─┐
    archive  ─► store             ├─ journal, checked ─► ready
                  ▲               │
                  └──── rows, read again and decoded ◄┘   readers wait for the end of it

The journal is checked record by record before anything else, which also finds the names in it. Its
rows are then decoded while the plant accepts already: who reads waits until all are back, so that
nobody is shown less than was acknowledged. Where little is to be replayed, or where a record is
damaged that may have held a name, they are brought back first.

Only what the archive lacks is replayed. A record that reaches over the archive's end is cut.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
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

OnRecords = Callable[[Sequence[LogRecord]], object]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a replay brought: rows by table, the last number and the highest instrument's."""

    rows: dict[str, int]
    seq_last: int
    number_max: int


def load_catalog(store: Store, catalog: Catalog) -> None:
    """Take in the catalog of the archive's manifest."""
    if store.catalog is not None:
        catalog.absorb(store.catalog)


def take_names(catalog: Catalog) -> OnRecords:
    """Return what takes in the names in records of the log; other records are passed over."""

    def take(records: Iterable[LogRecord]) -> None:
        for record in records:
            if record.kind == CATALOG_KIND:
                catalog.absorb(record.payload)

    return take


def fill_holes(store: Store, catalog: Catalog, number_max: int) -> None:
    """See that every number of an instrument up to the highest one has a name; say what is lost."""
    lost = catalog.fill_holes(max(number_max, _archived_number_max(store)))
    if lost:
        _LOG.error("the names of %d instruments are lost; they are now DAMAGED:LOST-…", lost)


def _archived_number_max(store: Store) -> int:
    """Return the highest instrument number of the archive, where its catalog is lost.

    Reads a column of the whole archive, which is why it is asked only then.
    """
    if store.catalog is not None or not store.seq_archived:
        return 0
    numbers = [store.scan(t, columns=["instrument"], amended=False)["instrument"] for t in TABLES]
    return max((pc.max(column).as_py() for column in numbers if len(column)), default=0)


class Replay:
    """Takes the log's records in order until `finish`, then `close`. One use, one thread.

    Rows go to the store some hundred thousand at a time. They are decoded on other threads, mostly
    outside of the interpreter's lock, while this one reads and checks what follows.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._floor = self._seq_last = store.seq_archived
        self._number_max = 0
        self._rows: Counter[str] = Counter()
        self._bulk = Bulk()
        self._workers = ThreadPoolExecutor(DECODERS, "replay")
        self._decoding: deque[Future[list[Part]]] = deque()

    def take(self, records: Iterable[LogRecord]) -> None:
        """Take records that follow those before; names, and what the archive has, are left out."""
        for record in records:
            last = record.seq_first + record.count - 1
            if record.kind != CATALOG_KIND and last > self._floor:
                self._bulk.add(record)
                self._seq_last = last
                if self._bulk.bytes >= BULK_BYTES:
                    self._hand_over(DECODERS)

    def finish(self) -> Recovered:
        """Bring the last rows to the store."""
        self._hand_over(0)
        if self._rows:
            rows = ", ".join(f"{count:,} rows of {table}" for table, count in self._rows.items())
            _LOG.info("replayed from the journal: %s", rows)
        return Recovered(dict(self._rows), self._seq_last, self._number_max)

    def close(self) -> None:
        """End the decoding threads."""
        self._workers.shutdown(wait=False, cancel_futures=True)

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
    taking, names = Replay(store), take_names(catalog)
    try:
        for record in records:
            names((record,))
            taking.take((record,))
        recovered = taking.finish()
    finally:
        taking.close()
    fill_holes(store, catalog, recovered.number_max)
    return recovered


def restore(store: Store, read: Callable[[int, OnRecords], object]) -> Recovered:
    """Bring to the store what `read(from_seq, on_records)` finds, then let its readers in.

    The store expects it. Raises what reading and decoding raise, which readers are told as well.
    """
    with store.restoring():
        taking = Replay(store)
        try:
            read(store.seq_archived + 1, taking.take)
            recovered = taking.finish()
        finally:
            taking.close()
    store.index_keys()  # nobody waits for it: who asks before it is done, does it
    return recovered
