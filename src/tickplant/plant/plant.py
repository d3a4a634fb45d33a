"""The plant: one thread that owns the flow of a tick.

    submit ─► inbox ─► accept (check, resolve, dedupe, number) ─► log.append ─► store ─► live ─► hub
                                                                     │
                              receipt ◄── durable (group commit) ◄───┘

State first, then publish: whoever is told of a row can already read it. Subscribers are served
without waiting for the disk; producers are answered after it. The inbox is bounded in rows; beyond
the bound `submit` raises `Overloaded`. What waits in the inbox is accepted together, up to
`plant.batch_rows_max` rows, so that a lone tick is not delayed and a flood is not slowed.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from tickplant.candles.grid import Grid
from tickplant.config import Settings
from tickplant.log.contract import DurableCallback, Log, LogRecord
from tickplant.model.errors import Overloaded, Stopping, TickplantError
from tickplant.observe.metrics import Metrics
from tickplant.plant.acknowledgement import Acknowledgement
from tickplant.plant.accept import Accepted, Acceptor
from tickplant.plant.amend import Amendment, amend
from tickplant.plant.batch import Batch
from tickplant.plant.catalog import Catalog
from tickplant.plant.history import History
from tickplant.plant.hub import Hub
from tickplant.plant.live import LiveCandles, Watched
from tickplant.plant.published import CandleKey, Published
from tickplant.plant.records import catalog_record, encode_rows
from tickplant.plant.submission import Receipt, Submission
from tickplant.store.contract import Store

_LOG = logging.getLogger(__name__)
JOIN_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class _Submitted:
    submission: Submission
    future: Future[Receipt]
    rows: int
    at: int


@dataclass(frozen=True, slots=True)
class _Called:
    """Something else that must run on the plant's thread."""

    act: Callable[[], object]
    future: Future[Any]


class _Stop:
    """The last thing in the inbox."""


_Item = _Submitted | _Called | _Stop


class Plant:
    """Accepts, stores, publishes. Every public method may be called from any thread."""

    def __init__(
        self,
        *,
        settings: Settings,
        clock: Callable[[], int],
        log: Log,
        store: Store,
        catalog: Catalog,
        hub: Hub,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.hub = hub
        self.metrics = metrics
        self.store = store
        self.log = log
        self.catalog = catalog
        self.registry = catalog.registry
        self.seq_last = log.seq_next - 1
        self.history = History(store, catalog.registry, lambda: self.seq_last)
        self.started_at = clock()
        self.list_feeds: Callable[[], list[dict[str, Any]]] = list
        self._acceptor = Acceptor(catalog, store, settings.checks)
        self._candles = LiveCandles(store)
        self._inbox: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._waiting_rows = 0
        self._waiting_lock = threading.Lock()
        self._state = "starting"
        self._fault: str | None = None
        self._stop_maintenance = threading.Event()
        metrics.watch(
            log=log.status,
            store=store.status,
            hub=hub.status,
            feeds=self.feeds,
            numbers={
                "ready": lambda: self.readiness()[0],
                "instruments": lambda: len(self.registry),
                "inbox_rows": lambda: self._waiting_rows,
                "seq_last": lambda: self.seq_last,
            },
        )
        self._threads = [
            threading.Thread(target=self._run, name="plant", daemon=True),
            threading.Thread(target=self._maintain, name="store-maintenance", daemon=True),
        ]

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to accept."""
        self._state = "running"
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what waits, make it durable, archive it, release everything. Idempotent."""
        if self._state in ("stopped", "stopping"):
            return
        running = self._state == "running"
        self._state = "stopping"
        if running:
            self._inbox.put(_Stop())
            self._threads[0].join(JOIN_S_MAX)
            self._stop_maintenance.set()
            self._threads[1].join(JOIN_S_MAX)
        self.log.close()
        self._archive_all()
        self.store.close()
        self._state = "stopped"

    def _archive_all(self) -> None:
        try:
            self.store.checkpoint(self.catalog.encode())
        except Exception:
            _LOG.exception("the last archive run failed; the journal keeps what it lacks")

    # -- what others ask of it ---------------------------------------------------------------------

    def submit(self, submission: Submission) -> Future[Receipt]:
        """Hand rows in; the future is done when they are durable and can be read.

        Raises `Stopping` or `Overloaded` at once; the future may end in `LogUnavailable`
        (whether the rows were stored is then unknown; sending them again with ids is safe) or, for
        a strict submission with bad rows, in `InvalidBody`.
        """
        self._check_running()
        rows = max(len(submission.rows), 1)
        bound = self.settings.plant.inbox_rows_max
        with self._waiting_lock:
            if self._waiting_rows and self._waiting_rows + rows > bound:
                raise Overloaded(
                    f"{self._waiting_rows} rows wait to be accepted; at most {bound} may"
                )
            self._waiting_rows += rows
        item = _Submitted(submission, Future(), rows, self.clock())
        self._inbox.put(item)
        return item.future

    def amend(self, instrument: int, seq: int, changes: Mapping[str, Any] | None) -> Future[int]:
        """Correct a trade, or cancel it when `changes` is None; the future gives the event's seq.

        `changes` may have price, size, side, conditions and ts_event. Ends in `NotFound` where the
        instrument has no such trade or it was cancelled, in `UserError` for a bad change.
        """
        future: Future[int] = Future()
        self._call(lambda: self._amend(Amendment(instrument, seq, changes), future), future)
        return future

    def watch_candles(self, grid: Grid, basis: str) -> None:
        """Begin to publish candle updates of this kind; returns when they are."""
        self._call(lambda: self._candles.watch(Watched(grid, basis))).result()

    def unwatch_candles(self, grid: Grid, basis: str) -> None:
        """Undo one `watch_candles`."""
        self._call(lambda: self._candles.unwatch(Watched(grid, basis)))

    def drain(self) -> None:
        """Wait until everything that was handed in before is accepted and published."""
        self._call(lambda: None).result()

    def feeds(self) -> list[dict[str, Any]]:
        """Return the state of each feed."""
        return self.list_feeds()

    @property
    def run(self) -> int:
        """The number of this run of the plant."""
        return self.catalog.run

    def run_base(self, run: int) -> int | None:
        """Return the last sequence number that existed when a run began, None for no such run."""
        return self.catalog.runs.get(run)

    def feed_name(self, number: int) -> str:
        """Return the name of a feed by its number."""
        return self.catalog.feed_name(number)

    def readiness(self) -> tuple[bool, str]:
        """Say whether the plant accepts rows now, and why not."""
        if self._fault is not None:
            return False, self._fault
        if self._state != "running":
            return False, f"the plant is {self._state}"
        log = self.log.status()
        if log.state != "ok":
            return False, f"the log is {log.state}: {log.reason}"
        return True, "accepting"

    def status(self) -> dict[str, Any]:
        """Return what an operator asks first: how much, how fresh, how durable."""
        from tickplant.plant.status import plant_status  # noqa: PLC0415 - it reads our own parts

        return plant_status(self)

    @property
    def waiting_rows(self) -> int:
        """Rows that wait to be accepted."""
        return self._waiting_rows

    @property
    def state(self) -> str:
        """`starting`, `running`, `stopping` or `stopped`."""
        return self._state

    def _check_running(self) -> None:
        if self._state != "running" or self._fault is not None:
            raise Stopping(self._fault or f"the plant is {self._state}")

    def _call(self, act: Callable[[], object], future: Future[Any] | None = None) -> Future[Any]:
        self._check_running()
        done: Future[Any] = Future() if future is None else future
        wrapped = act if future is not None else lambda: done.set_result(act())
        self._inbox.put(_Called(wrapped, done))
        return done

    # -- the plant's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._work(self._take()):
                pass
        except BaseException as fault:
            self._fault = f"the plant's thread ended: {fault!r}"
            _LOG.exception("the plant's thread ended; nothing is accepted any more")
            self._refuse_waiting()

    def _take(self) -> list[_Item]:
        """Return what waits, at least one item, at most about `batch_rows_max` rows."""
        items = [self._inbox.get()]
        rows = getattr(items[0], "rows", 0)
        while rows < self.settings.plant.batch_rows_max:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                break
            items.append(item)
            rows += getattr(item, "rows", 0)
        return items

    def _work(self, items: list[_Item]) -> bool:
        for group in _grouped(items):
            first = group[0]
            if isinstance(first, _Stop):
                return False
            if isinstance(first, _Called):
                self._guard(first.act, [first.future])
            else:
                submitted = [item for item in group if isinstance(item, _Submitted)]
                futures = [item.future for item in submitted]
                self._guard(partial(self._accept, submitted), futures)
                self._release(submitted)
        return True

    def _guard(self, act: Callable[[], object], futures: list[Future[Any]]) -> None:
        """Run one piece of work; what it raises goes to those who wait for it."""
        try:
            act()
        except Exception as fault:
            if not isinstance(fault, TickplantError):
                _LOG.exception("a batch could not be accepted")
            for future in futures:
                if not future.done():
                    future.set_exception(fault)

    def _release(self, submitted: list[_Submitted]) -> None:
        with self._waiting_lock:
            self._waiting_rows -= sum(item.rows for item in submitted)

    def _refuse_waiting(self) -> None:
        while True:
            try:
                item = self._inbox.get_nowait()
            except queue.Empty:
                return
            if not isinstance(item, _Stop):
                item.future.set_exception(Stopping(str(self._fault)))

    def _accept(self, submitted: list[_Submitted]) -> None:
        submissions = [item.submission for item in submitted]
        accepted = self._acceptor.accept(submissions, self.seq_last + 1, self.clock())
        self._store(accepted.batches, self._acknowledge(submitted, accepted))
        self.metrics.accepted(submissions[0], accepted)

    def _acknowledge(self, submitted: list[_Submitted], accepted: Accepted) -> Acknowledgement:
        def answer(fault: BaseException | None) -> None:
            for item, outcome in zip(submitted, accepted.outcomes, strict=True):
                if isinstance(outcome, Exception):
                    item.future.set_exception(outcome)
                elif fault is not None:
                    item.future.set_exception(fault)
                else:
                    item.future.set_result(outcome)
            self.metrics.acknowledged(self.clock() - submitted[0].at)

        return Acknowledgement(answer)

    def _amend(self, amendment: Amendment, future: Future[int]) -> None:
        batch, times = amend(
            amendment,
            self.store,
            self._acceptor.bounds,
            self.catalog.feed_number("push"),
            self.seq_last + 1,
            self.clock(),
        )

        def answer(fault: BaseException | None) -> None:
            if fault is None:
                future.set_result(batch.seq_last)
            else:
                future.set_exception(fault)

        amended = (amendment.instrument, times)
        self._store((batch,), Acknowledgement(answer), amended=amended)

    def _store(
        self,
        batches: tuple[Batch, ...],
        acknowledgement: Acknowledgement,
        amended: tuple[int, list[int]] | None = None,
    ) -> None:
        """Log, apply, publish: in this order, and nothing of it where the log refuses."""
        self._append(batches, acknowledgement.durable)
        for batch in batches:
            self.store.append(batch.table, batch.rows, batch.keys)
            self.seq_last = batch.seq_last
        acknowledgement.readable()
        for batch in batches:
            if amended is not None:
                updates = self._candles.amend(*amended, batch.seq_last)
            else:
                updates = self._candles.apply(batch.table, batch.rows)
            self.hub.publish(Published.of_rows(batch.table, batch.rows))
            for what, rows in updates:
                self.hub.publish(Published.of_candles(_key(what), rows, batch.seq_last))
                self.metrics.candles_published(str(what.grid.interval), what.basis, len(rows))

    def _append(self, batches: tuple[Batch, ...], on_durable: DurableCallback) -> None:
        entries = self.catalog.take_new()
        records: list[LogRecord] = []
        if entries is not None:
            records.append(catalog_record(self.seq_last + 1, entries))
        records.extend(encode_rows(batch.table, batch.rows, batch.keys) for batch in batches)
        try:
            self.log.append(records, on_durable)
        except BaseException:
            if entries is not None:
                self.catalog.give_back(entries)
            raise

    # -- the maintenance thread --------------------------------------------------------------------

    def _maintain(self) -> None:
        try:
            self.store.run_maintenance(
                self.catalog.encode, self._stop_maintenance.is_set, self.log.trim
            )
        except BaseException as fault:
            self._fault = f"the store's maintenance ended: {fault!r}"
            _LOG.exception("the store's maintenance ended")


def _key(what: Watched) -> CandleKey:
    grid = what.grid
    return CandleKey(str(grid.interval), what.basis, grid.timezone, grid.day_start)


def _grouped(items: list[_Item]) -> Iterator[list[_Item]]:
    """Yield runs of items that are accepted together: one table, feed, venue and flags."""
    group: list[_Item] = []
    for item in items:
        if group and not _together(group[0], item):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _together(one: _Item, other: _Item) -> bool:
    if not isinstance(one, _Submitted) or not isinstance(other, _Submitted):
        return False
    a, b = one.submission, other.submission
    return not (a.strict or b.strict) and (a.table, a.feed, a.venue, a.flags) == (
        b.table,
        b.feed,
        b.venue,
        b.flags,
    )
