"""A reader of a plant in a process of its own: it follows the plant's log and answers from memory.

    journal of the plant ─► tail ─► names, rows ─► store (read-only), coverage, served candles
                                                     ▲
    query ─► what the log has by now is taken ───────┘─► history

It holds what the plant holds and runs the same code on it, so that its answers are the plant's. The
plant does not know of it. Whatever was acknowledged before a query came is in its answer, because a
query first takes what the log has.

Three threads: queries and a follower take records under one lock, each in its turn; a third one
folds rows into the served candles, which may take some milliseconds and holds nobody up.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from tickplant.config import Settings
from tickplant.log.contract import LogRecord
from tickplant.model.at_once import about_to_lock
from tickplant.model.errors import Stopping
from tickplant.model.events import COVERAGE, MARKET_TABLES, TRADES
from tickplant.model.times import NS_PER_S
from tickplant.observe.metrics import Metrics
from tickplant.plant.bulk import Bulk
from tickplant.plant.catalog import Catalog
from tickplant.plant.coverage import CoverageBook
from tickplant.plant.coverage_reader import read_book
from tickplant.plant.coverage_status import feed_facts
from tickplant.plant.history import History
from tickplant.plant.records import CATALOG_KIND, decode_rows
from tickplant.plant.served import Offer, ServedCandles
from tickplant.plant.served_reader import OFFERS_MAX
from tickplant.plant.serving import read_served
from tickplant.store.contract import Store

_LOG = logging.getLogger(__name__)

FOLLOW_S = 0.01
"""Between looks at the log while nobody asks, s."""

REFRESH_ROUNDS = 100
"""Looks at the log between two at the archive, which takes rows out of memory."""

JOIN_S_MAX = 10.0


class Tail(Protocol):
    """The log of the plant, from where the archive ends."""

    def waiting(self) -> bool:
        """Say whether `poll` would have something to do; any thread."""
        ...

    def poll(self) -> list[LogRecord]:
        """Return records that follow those before, none where there is nothing new."""
        ...

    def close(self) -> None:
        """Release the files."""
        ...


class FollowedStore(Store, Protocol):
    """A store over an archive that another process owns."""

    def refresh(self) -> None:
        """Look again at the archive; what it has leaves memory."""
        ...


class Follower:
    """Reads what a plant stores. `catch_up` before each read; any thread may call anything.

    The store is open read-only; `tail` begins behind what its archive has.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Callable[[], int],
        store: FollowedStore,
        catalog: Catalog,
        tail: Tail,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.catalog = catalog
        self.registry = catalog.registry
        self.metrics = metrics
        self.seq_last = store.seq_archived
        self._tail = tail
        self._lateness_ns = round(settings.coverage.lateness_s * NS_PER_S)
        self._coverage = CoverageBook(self._lateness_ns)
        self.history = History(
            store,
            catalog.registry,
            lambda: self.seq_last,
            lambda: self._coverage,
            self._lateness_ns,
            trade_rules=settings.conditions,
        )
        self.served = ServedCandles(store, read_served(settings.candles), self.history.rules)
        self._offers: deque[Offer] = deque(maxlen=OFFERS_MAX)
        self.history.serve(self.served, self._offers.append)
        self._taking = threading.Lock()
        self._folding = threading.Lock()
        self._stopping = threading.Event()
        self._fault: BaseException | None = None
        self._taken = 0
        self._threads = [
            threading.Thread(target=self._guarded, args=(act,), name=name, daemon=True)
            for act, name in ((self._follow, "follow"), (self._fold, "fold"))
        ]

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take what is there, then follow. Raises what reading the log raises.

        Served candles are made of what the log has; those of the archive are left for readers.
        """
        self.served.begin(self.seq_last)
        while self._take(covering=False):
            if self.served.is_due(idle=False):
                self.served.fold()
        self._coverage.become(self._read_book())
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads and release the files. Idempotent."""
        self._stopping.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_S_MAX)
        self._tail.close()
        self.store.close()

    def readiness(self) -> tuple[bool, str]:
        """Say whether reads are answered now, and why not."""
        if self._fault is not None:
            return False, f"the plant's log cannot be followed: {self._fault}"
        return not self._stopping.is_set(), "following"

    def catch_up(self) -> None:
        """Take everything that the log has by now. Raises `Stopping` where it cannot be read."""
        if self._fault is not None:
            raise Stopping(self.readiness()[1])
        # In this order: what another thread has polled, but not applied yet, is under the lock.
        if self._tail.waiting() or self._taking.locked():
            about_to_lock(self._taking)
            with self._taking:
                self._take()

    def feed_name(self, number: int) -> str:
        """Return the name of a feed by its number."""
        return self.catalog.feed_name(number)

    def feeds(self) -> list[dict[str, Any]]:
        """Return what is known of each feed's coverage."""
        return [
            {"name": name, **feed_facts(self._coverage, number)}
            for name, number in self.catalog.feeds.items()
        ]

    def status(self) -> dict[str, Any]:
        """Return how far the plant's log was followed."""
        ready, reason = self.readiness()
        return {
            "role": "reader",
            "ready": ready,
            "reason": reason,
            "seq_last": self.seq_last,
            "instruments": len(self.registry),
        }

    # -- taking records --------------------------------------------------------------------------

    def _take(self, *, covering: bool = True) -> bool:
        """Take what the log has by now; say whether there was anything.

        Without `covering` coverage is left to be read from the store.
        """
        records = self._tail.poll()
        self._taken += len(records)
        for table, rows in self._decoded(records):
            self.store.append(table, rows)
            self.seq_last = rows.column("seq")[-1].as_py()
            if table in MARKET_TABLES:
                for part in _pieces(table, rows):
                    self._take_events(table, part, covering)
            elif table == COVERAGE and covering:
                self._take_coverage(rows)
        return bool(records)

    def _decoded(self, records: list[LogRecord]) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield the rows of records, neighbours of one kind together, and take in names."""
        for kind, group in groupby(records, key=lambda record: record.kind):
            if kind == CATALOG_KIND:
                for record in group:
                    self.catalog.absorb(record.payload)
                continue
            alike = list(group)
            if len(alike) == 1:
                yield decode_rows(alike[0])[:2]
                continue
            bulk = Bulk()
            for record in alike:
                bulk.add(record)
            for table, rows, _ in bulk.decode():
                yield table, rows

    def _take_events(self, table: str, rows: pa.RecordBatch, covering: bool) -> None:
        """Take rows of which either none or all are amendments."""
        if table == TRADES and rows.column("ref_seq")[0].as_py():
            with self._folding:  # a fold must not bring back what becomes unknown
                self._amend(rows)
            return
        self.served.note(table, rows)
        if covering:
            self._cover(rows)

    def _cover(self, rows: pa.RecordBatch) -> None:
        feeds, numbers = rows.column("feed").to_numpy(), rows.column("instrument").to_numpy()
        ts = rows.column("ts_event").to_numpy()
        for feed in np.unique(feeds).tolist():
            mine = feeds == feed
            self._coverage.mark()
            self._coverage.note(feed, numbers[mine], ts[mine])

    def _amend(self, rows: pa.RecordBatch) -> None:
        columns = (rows.column(name).to_pylist() for name in ("instrument", "seq"))
        for number, seq in zip(*columns, strict=True):
            times, seqs = self.store.amendment_seqs(number, None, None)
            self.served.amend(number, np.unique(times[seqs == seq]).tolist(), seq)

    def _take_coverage(self, rows: pa.RecordBatch) -> None:
        """Take rows of coverage; where sessions or gaps change, everything is read anew.

        A session begins with an event that stands before its row, and was taken without it.
        """
        if set(rows.column("kind").to_pylist()) <= {"reach"}:
            self._coverage.take(rows)
        else:
            self._coverage.become(self._read_book())

    def _read_book(self) -> CoverageBook:
        return read_book(self.store, self.seq_last, lateness_ns=self._lateness_ns)

    # -- threads ---------------------------------------------------------------------------------

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as fault:
            self._fault = fault
            _LOG.exception("the plant's log is not followed any more")

    def _follow(self) -> None:
        rounds = 0
        while not self._stopping.wait(FOLLOW_S):
            with self._taking:
                self._take()
            rounds += 1
            if rounds % REFRESH_ROUNDS == 0:
                self.store.refresh()

    def _fold(self) -> None:
        taken = self._taken
        while not self._stopping.wait(FOLLOW_S):
            idle, taken = taken == self._taken, self._taken
            try:
                with self._folding:
                    self._fold_in(idle=idle)
            except Exception:
                _LOG.exception("the served candles begin anew")
                with self._taking, self._folding:
                    self.served.begin()

    def _fold_in(self, *, idle: bool) -> None:
        while self._offers:
            self.served.take(self._offers.popleft())
        if self.served.is_due(idle=idle):
            self.served.fold()


def _pieces(table: str, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order, cut so that no part has both original rows and amendments."""
    if table != TRADES:
        yield rows
        return
    amends = rows.column("ref_seq").to_numpy() != 0
    cuts = [0, *(np.flatnonzero(amends[1:] != amends[:-1]) + 1).tolist(), len(amends)]
    for first, end in pairwise(cuts):
        yield rows.slice(first, end - first)
