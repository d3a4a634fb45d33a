"""The plant: one thread that owns the flow of a tick.

    submit ─► inbox ─► accept (check, resolve, dedupe, number) ─► log.append ─► store ─► hub ─► live
                                                                     │
                              receipt ◄── durable (group commit) ◄───┘

State first, then publish: whoever is told of a row can already read it. Subscribers are served
without waiting for the disk; producers are answered after it. What waits in the inbox is accepted
together, up to `plant.batch_rows_max` rows, so that a lone tick is not delayed and a flood is not
slowed. Every wait for a disk has an end: who waits longer than `log.ack_timeout_s` is told to
retry.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

import pyarrow as pa

from tickplant.candles.grid import Grid
from tickplant.config import Settings
from tickplant.log.contract import DurableCallback, Log, LogRecord
from tickplant.model.errors import Overloaded, PassingError, Stopping, TickplantError
from tickplant.model.events import BOOK, COVERAGE, MARKET_TABLES, Flag
from tickplant.model.threads import stand_behind
from tickplant.model.times import NS_PER_S
from tickplant.observe.metrics import Metrics
from tickplant.observe.tracing import Steps, Tracer, current
from tickplant.plant.accept import Accepted, Acceptor
from tickplant.plant.acknowledgement import Acknowledgement
from tickplant.plant.amend import Amendment, amend
from tickplant.plant.backpressure import Backpressure
from tickplant.plant.batch import Batch
from tickplant.plant.books import LiveBooks
from tickplant.plant.catalog import Catalog
from tickplant.plant.coverage import CoverageBook
from tickplant.plant.coverage_keeper import CoverageKeeper, Row, stamp
from tickplant.plant.coverage_status import feed_facts, notices
from tickplant.plant.feed_notes import Begun, Finished, Judged, Known, Lost, Note
from tickplant.plant.gaps import OpenGap, open_gaps
from tickplant.plant.history import History
from tickplant.plant.hub import Hub
from tickplant.plant.inbox import (
    Called,
    Inbox,
    Item,
    Stop,
    Submitted,
    belonging,
    new_future,
    refuse,
    settle,
)
from tickplant.plant.live import LiveCandles, Updates, Watched
from tickplant.plant.polling import Polling
from tickplant.plant.published import CandleKey, Published
from tickplant.plant.records import catalog_record, encode_rows
from tickplant.plant.served import ServedCandles
from tickplant.plant.served_reader import Offers
from tickplant.plant.serving import read_served
from tickplant.plant.submission import Receipt, Reject, Submission
from tickplant.plant.venue_feeds import VenueFeeds
from tickplant.plant.watched import watch_plant
from tickplant.store.contract import Store

_LOG = logging.getLogger(__name__)
JOIN_S_MAX = 30.0
ROOM_WAIT_S = 0.05  # how often a wait for memory looks whether somebody has waited too long
LOAD_AGAIN = 256  # batches that wait for what is known of the feeds before it is read once more
BEGIN_WAIT_S = 0.2  # between attempts to make the beginning of a run durable


class _Apart(Exception):
    """The log has rows that the store could not take; only a restart brings them together."""


class Plant:
    """Accepts, stores, publishes. Every public method may be called from any thread.

    `bring_back` restores to the store what it expects; it is called once, on a thread of its own.
    """

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
        bring_back: Callable[[], object] | None = None,
        began: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        tracer: Tracer | None = None,
    ) -> None:
        self.settings = settings
        self.tracer = tracer
        self.clock = clock
        self.hub = hub
        self.metrics = metrics
        self.store = store
        self.log = log
        self.catalog = catalog
        self.registry = catalog.registry
        self.seq_last = log.seq_next - 1
        lateness_ns = round(settings.coverage.lateness_s * NS_PER_S)
        self.coverage = CoverageKeeper(
            store,
            catalog,
            self._log_coverage,
            self.seq_last,
            lateness_ns=lateness_ns,
            alive_ns=round(settings.coverage.alive_s * NS_PER_S),
        )
        self.history = History(
            store,
            catalog.registry,
            lambda: self.seq_last,
            self._book,
            lateness_ns,
            trade_rules=settings.conditions,
        )
        self.started_at = clock()
        self._began = self.started_at if began is None else began
        self._recovered: int | None = None
        self.list_feeds: Callable[[], list[dict[str, Any]]] = list
        self.polling: Polling | None = None
        self.venue_feeds: VenueFeeds | None = None
        self.last_commit: int | None = None
        self.list_pushed: Callable[[], list[dict[str, Any]]] = list
        self._acceptor = Acceptor(catalog, store, settings.checks)
        self._inbox = Inbox(settings.plant.inbox_rows_max)
        self.served = ServedCandles(
            store, read_served(settings.candles), self.history.rules, self._nudge
        )
        self.history.serve(self.served, Offers(self._inbox, self.served))
        self.books = self.history.books = LiveBooks()
        self._candles = LiveCandles(store, self.coverage.book, self.history.rules, self.served)
        self._working: list[Item] = []
        self._state = "starting"
        self._fault: str | None = None
        self._bring_back = bring_back
        self._begun = threading.Event()
        self._stop_lock = threading.Lock()
        self._stop_maintenance = threading.Event()
        self.backpressure = Backpressure(self, monotonic)
        watch_plant(metrics, self)
        self._threads = [
            threading.Thread(target=self._run, name="plant", daemon=True),
            threading.Thread(target=self._maintain, name="store-maintenance", daemon=True),
            threading.Thread(target=self._restore, name="restore", daemon=True),
        ]

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to accept; returns when the plant does, or when the log refuses for now."""
        for thread in self._threads:
            thread.start()
        self.backpressure.start()
        self._begun.wait()

    def stop(self) -> None:
        """Finish what waits, make it durable, archive it, release everything.

        Idempotent; a second caller waits for the first. What cannot be finished ends in
        `Stopping` or `LogUnavailable`.
        """
        with self._stop_lock:
            if self._state == "stopped":
                return
            self.backpressure.stop()
            self._state = "stopping"
            self._inbox.close(self._fault or "the plant is stopping")
            flow, maintenance, restore = self._threads
            _join(flow)
            self._stop_maintenance.set()  # not before: it makes room for what waits
            _join(maintenance)
            self.log.close()  # whoever waits for the log is told that there is none
            _join(flow)
            _join(restore)
            if any(thread.is_alive() for thread in self._threads):
                _LOG.error("a thread did not end; the journal keeps what the archive lacks")
            else:
                self._archive_all()
            self.store.close()
            self._state = "stopped"
            self._refuse_rest(Stopping("the plant is stopped"))

    def _archive_all(self) -> None:
        try:
            self.store.checkpoint(self.catalog.encode())
        except Exception:
            _LOG.exception("the last archive run failed; the journal keeps what it lacks")

    # -- what others ask of it ---------------------------------------------------------------------

    def submit(self, submission: Submission) -> Future[Receipt]:
        """Hand rows in; the future is done when they are durable and can be read.

        Raises `Stopping` or `Overloaded` at once. The future may end in `LogUnavailable` or
        `Stopping` (whether the rows were stored is then unknown; sending them again with ids is
        safe), in `Overloaded` where there is no room, or, for a strict submission with bad rows,
        in `InvalidBody`. It cannot be cancelled.
        """
        try:
            self._check_running()
            self.backpressure.admit()
            trace = None if self.tracer is None else current()
            return self._inbox.submit(submission, self.clock(), trace)
        except TickplantError as fault:
            self.metrics.failed(fault, len(submission.rows))
            raise

    def amend(self, instrument: int, seq: int, changes: Mapping[str, Any] | None) -> Future[int]:
        """Correct a trade, or cancel it when `changes` is None; the future gives the event's seq.

        `changes` may have price, size, side, conditions and ts_event. Ends in `NotFound` where the
        instrument has no such trade or it was cancelled, in `UserError` for a bad change.
        """
        self._check_running()
        future: Future[int] = new_future()
        self._inbox.call(lambda: self._amend(Amendment(instrument, seq, changes), future), future)
        return future

    def watch_candles(self, grid: Grid, basis: str) -> None:
        """Begin to publish candle updates of this kind; returns when they are."""
        self._call(lambda: self._watch(Watched(grid, basis))).result()

    def unwatch_candles(self, grid: Grid, basis: str) -> None:
        """Undo one `watch_candles`."""
        self._call(lambda: self._candles.unwatch(Watched(grid, basis)))

    def _watch(self, what: Watched) -> None:
        self._load_coverage()
        self._candles.watch(what)

    def _book(self) -> CoverageBook:
        """Return what is known of the feeds now, once it is."""
        if not self.coverage.loaded and self._state == "running":
            if threading.current_thread() is self._threads[0]:
                self._load_coverage()
            else:
                self._call(self._load_coverage).result()
        return self.coverage.book

    def drain(self) -> None:
        """Wait until everything that was handed in before is accepted and published."""
        self._call(lambda: None).result()

    def feeds(self) -> list[dict[str, Any]]:
        """Return the state of each feed."""
        return [*self.list_feeds(), *self.list_pushed()]

    @property
    def run(self) -> int:
        """The number of this run of the plant."""
        return self.catalog.run

    def run_base(self, run: int) -> int | None:
        """Return up to which number the events of earlier runs were there when a run began.

        None for no such run. Where a later run found fewer, because some were damaged meanwhile,
        it is that run's number.
        """
        return self.catalog.run_base(run)

    def feed_name(self, number: int) -> str:
        """Return the name of a feed by its number."""
        return self.catalog.feed_name(number)

    def readiness(self) -> tuple[bool, str]:
        """Say whether the plant accepts rows now, and why not."""
        if self._fault is not None:
            return False, self._fault
        log = self.log.status()
        if log.state != "ok" and self._state in ("starting", "running"):
            return False, f"the log is {log.state}: {log.reason}"
        if self._state != "running":
            return False, f"the plant is {self._state}"
        store = self.store.status()
        if store.last_error is not None and not self.store.wait_for_room(0):
            return False, f"memory is full and the archive refuses: {store.last_error}"
        return True, "accepting"

    @property
    def recovery_s(self) -> float:
        """How long the start took until all that is stored could be read, or takes by now, s."""
        return ((self._recovered or self.clock()) - self._began) / NS_PER_S

    @property
    def restored(self) -> bool:
        """Whether all that is stored can be read without waiting for the start to end."""
        return self._recovered is not None

    def status(self) -> dict[str, Any]:
        """Return what an operator asks first: how much, how fresh, how durable."""
        from tickplant.plant.status import plant_status  # noqa: PLC0415 - it reads our own parts

        return plant_status(self)

    @property
    def waiting_rows(self) -> int:
        """Rows that wait to be accepted."""
        return self._inbox.rows

    @property
    def load_level(self) -> str:
        """How hard pressed it is: `healthy`, `warning`, `critical` or `overload`."""
        return self.backpressure.level.word

    @property
    def state(self) -> str:
        """`starting`, `running`, `stopping` or `stopped`."""
        return self._state

    def _check_running(self) -> None:
        if self._fault is not None:
            raise Stopping(self._fault)
        if self._state != "running":
            raise Stopping(self.readiness()[1])

    def _call(self, act: Callable[[], object]) -> Future[Any]:
        self._check_running()
        done = new_future()
        self._inbox.call(lambda: settle(done, act()), done)
        return done

    # -- the plant's thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._begin()
            if self._bring_back is None:
                self._guard(self._load_coverage, [])
                self._serve()
                self._recovered = self.clock()
            while self._work(self._inbox.take(self.backpressure.batch_rows_max)):
                self._fold()
        except BaseException as fault:
            self._fault = f"the plant's thread ended: {fault!r}"
            _LOG.exception("the plant's thread ended; nothing is accepted any more")
            self._inbox.close(self._fault)
        finally:
            self._begun.set()
            self._refuse_rest(Stopping(self._fault or "the plant is stopping"))

    def _begin(self) -> None:
        """Make the number of this run durable, before anybody is told of anything under it.

        A run whose number a crash could take back would share it with the next one, and then a
        subscriber that resumes would be told that it has seen what it has not.
        """
        appended = False
        while not self._inbox.closed:
            done = new_future()

            def answer(fault: BaseException | None, done: Future[None] = done) -> None:
                refuse(done, fault) if fault else settle(done, None)

            try:
                if appended:
                    self.log.append((), answer)
                else:
                    self._append((), answer)
                    appended = True
                done.result()
            except PassingError as fault:
                _LOG.warning("the plant cannot begin yet: %s", fault)
                self._begun.set()
                self._stop_maintenance.wait(BEGIN_WAIT_S)
            else:
                if self._state == "starting":
                    self._state = "running"
                self._begun.set()
                return

    def _work(self, items: list[Item]) -> bool:
        self._working = items
        for group in _grouped(items):
            first = group[0]
            if isinstance(first, Stop):
                self._working = []
                self._guard(self._end_coverage, [])
                return False
            if isinstance(first, Called):
                self._guard(first.act, [first.future])
            else:
                submitted = [item for item in group if isinstance(item, Submitted)]
                futures = [item.future for item in submitted]
                self._guard(partial(self._accept_or_refuse, submitted), futures)
                self._inbox.release(submitted)
        self._working = []
        return True

    def _guard(self, act: Callable[[], object], futures: list[Future[Any]]) -> None:
        """Run one piece of work; what it raises goes to those who wait for it."""
        try:
            act()
        except _Apart:
            raise
        except Exception as fault:
            if not isinstance(fault, TickplantError):
                _LOG.exception("a batch could not be accepted", extra=belonging(self._working))
            for future in futures:
                refuse(future, fault)

    def _accept_or_refuse(self, submitted: list[Submitted]) -> None:
        number = self.backpressure.unanswered.begin()
        try:
            self._accept(submitted, number)
        except Exception as fault:
            self.backpressure.unanswered.end(number)
            waiting = [item for item in submitted if not item.future.done()]
            self.metrics.failed(fault, sum(item.rows for item in waiting))
            raise

    def _refuse_rest(self, fault: TickplantError) -> None:
        """End every future that no thread will end: what was in work and what waits."""
        if self._fault is not None:
            for item in self._working:
                if not isinstance(item, Stop):
                    refuse(item.future, fault)
        for item in self._inbox.rest():
            refuse(item.future, fault)

    def _with_room(self, submitted: list[Submitted]) -> list[Submitted]:
        """Hold producers back while memory is full; return those that did not wait too long."""
        patience_ns = self.settings.log.ack_timeout_s * NS_PER_S
        while submitted and not self.store.wait_for_room(ROOM_WAIT_S):
            why = self.store.status().last_error
            stuck = why is not None and self._inbox.closed
            limit = self.clock() - patience_ns
            for item in submitted:
                if stuck or item.at <= limit:
                    fault = Overloaded(f"memory is full; the archive: {why or 'slow'}")
                    self.metrics.failed(fault, item.rows)
                    refuse(item.future, fault)
            submitted = [item for item in submitted if not item.future.done()]
        return submitted

    def _accept(self, submitted: list[Submitted], number: int) -> None:
        submitted = self._with_room(submitted)
        if not submitted:
            self.backpressure.unanswered.end(number)
            return
        submissions = [item.submission for item in submitted]
        steps = None if self.tracer is None else self._traced(submitted)
        accepted = self._acceptor.accept(submissions, self.seq_last + 1, self.clock())
        if steps is not None:
            rows = sum(item.rows for item in submitted)
            steps.done("validate", rows=rows, submissions=len(submitted))
        acknowledgement = self._acknowledge(submitted, accepted, number, steps)
        self._store(accepted.batches, acknowledgement, steps=steps)
        self.metrics.accepted(submissions[0], accepted)
        if accepted.rejects and submissions[0].table == BOOK:
            self._lose_books(self._numbers_of(accepted.rejects, submissions[0].venue))

    def _traced(self, submitted: list[Submitted]) -> Steps | None:
        """Return where to note the steps of those among them that are traced, if any."""
        mine = [(item.trace, item.at) for item in submitted if item.trace is not None]
        if not mine:
            return None
        steps = Steps([trace for trace, _ in mine], self.clock)
        steps.waited(at for _, at in mine)
        return steps

    def _acknowledge(
        self,
        submitted: list[Submitted],
        accepted: Accepted,
        number: int,
        steps: Steps | None = None,
    ) -> Acknowledgement:
        taken = self.clock()

        def answer(fault: BaseException | None) -> None:
            self.backpressure.unanswered.end(number)
            if steps is not None:
                steps.acked()
            for item, outcome in zip(submitted, accepted.outcomes, strict=True):
                if isinstance(outcome, Exception):
                    refuse(item.future, outcome)
                elif fault is not None:
                    self.metrics.failed(fault, item.rows)
                    refuse(item.future, fault)
                else:
                    settle(item.future, outcome)
            now = self.clock()
            if fault is None and any(batch.table in MARKET_TABLES for batch in accepted.batches):
                self.last_commit = now
            self.metrics.acknowledged(now - submitted[0].at)
            self.metrics.flushed(now - taken)

        return Acknowledgement(answer)

    def _amend(self, amendment: Amendment, future: Future[int]) -> None:
        if not self.store.wait_for_room(0):
            raise Overloaded("memory is full until the archive has taken some of it")
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
                settle(future, batch.seq_last)
            else:
                refuse(future, fault)

        amended = (amendment.instrument, times)
        self._store((batch,), Acknowledgement(answer), amended=amended)

    def _store(
        self,
        batches: tuple[Batch, ...],
        acknowledgement: Acknowledgement,
        amended: tuple[int, list[int]] | None = None,
        steps: Steps | None = None,
    ) -> None:
        """Log, apply, publish: in this order, and nothing of it where the log refuses."""
        self._append(batches, acknowledgement.durable, steps)
        crossed: list[int] = []
        for batch in batches:
            try:
                self.store.append(batch.table, batch.rows, batch.keys)
            except BaseException as fault:
                raise _Apart(f"seq {batch.seq_last} is logged but not stored: {fault!r}") from fault
            self.seq_last = batch.seq_last
            if batch.table == BOOK:
                crossed = self.books.apply(batch.rows)
            if amended is not None:
                self.served.amend(*amended, batch.seq_last)
            else:
                self.served.note(batch.table, batch.rows)
        if amended is None:
            self._cover(batches)
        acknowledgement.readable()
        for batch in batches:
            self.hub.publish(Published.of_rows(batch.table, batch.rows))
        covered = self._publish_covered()
        for batch in batches:
            cause = "events"
            if amended is not None:
                cause = "amendment"
                feed = batch.rows.column("feed")[0].as_py()
                update = partial(self._candles.amend, feed, *amended, batch.seq_last)
            else:
                update = partial(self._candles.apply, batch.table, batch.rows)
            self._publish_candles(update, batch.seq_last, cause)
        self._publish_revised(covered)
        self._publish_candles(self._candles.regrown, self.seq_last)
        self._lose_books(crossed)
        if steps is not None:
            steps.done("apply")

    def _serve(self) -> None:
        """Keep the served candles from now on."""
        self.served.begin(self.seq_last)

    def _nudge(self) -> None:
        """Let the plant's thread look at what it owes even if nothing comes in."""
        with suppress(Stopping):
            self._inbox.call(lambda: None, new_future())

    def _fold(self) -> None:
        """Bring the served candles up to the rows that they lag behind, if there are enough."""
        if not self.served.is_due(idle=not self._inbox.rows):
            return
        try:
            self.served.fold()
        except Exception:
            _LOG.exception("the served candles begin anew")
            self._candles.forget()

    def _publish_candles(
        self, update: Callable[[], Updates], seq: int, cause: str = "coverage"
    ) -> None:
        """Publish the bars that what is stored up to `seq` changed.

        Bars that cannot be built, because a file cannot be read, cost their update and no more:
        the rows are stored, and what is watched is built anew from them at the next change.
        """
        try:
            updates = update()
        except Exception:
            _LOG.exception("candles could not be brought up to seq %d", seq)
            self._candles.forget()
            return
        for what, rows in updates:
            key = CandleKey.of(what.grid, what.basis)
            self.hub.publish(Published.of_candles(key, rows, seq))
            over = len(rows) - rows.column("state").to_pylist().count("forming")
            interval = str(what.grid.interval)
            self.metrics.candles_published(interval, what.basis, cause, len(rows), over)

    # -- coverage ----------------------------------------------------------------------------------

    def tell(self, note: Note) -> Future[int | None]:
        """Hand in what a feed says besides rows, in order with them.

        The future gives the id of the gap that was made, if any. Raises `Stopping`; ends in
        `NotFound` for a gap that is not the feed's.
        """
        self._check_running()
        future: Future[int | None] = new_future()
        self._inbox.call(lambda: settle(future, self._take_note(note)), future)
        return future

    def feed_facts(self, name: str) -> dict[str, Any]:
        """Return what is known of a feed's coverage: how far it is, since when, open gaps."""
        return feed_facts(self.coverage.book, self.catalog.feeds.get(name))

    def open_gaps(self, name: str) -> list[OpenGap]:
        """Return the gaps of a feed that are over and not dealt with; see `gaps.open_gaps`."""
        feed = self.catalog.feeds.get(name)
        return [] if feed is None else open_gaps(self.coverage.book, feed, self.registry)

    def _take_note(self, note: Note) -> int | None:
        if isinstance(note, Judged):
            notice = {"op": "feed", "feed": note.feed, **note.facts}
            self.hub.publish(Published.of_status(notice, self.seq_last))
            return None
        if isinstance(note, Known):
            return self.catalog.describe(note.instruments)
        self.coverage.book.mark()
        try:
            return self.coverage.take_note(note)
        finally:
            self._publish_revised(self._publish_covered())
            self._publish_candles(self._candles.regrown, self.seq_last)
            self._note_books(note)

    def _cover(self, batches: tuple[Batch, ...]) -> None:
        """Let the book take what was stored."""
        if self.coverage.waiting % LOAD_AGAIN == LOAD_AGAIN - 1 and self._bring_back is None:
            # What is known of the feeds could not be read when it should have been.
            self._guard(self._load_coverage, [])
        self.coverage.book.mark()
        for batch in batches:
            if batch.table in MARKET_TABLES:
                self.coverage.take_events(
                    batch.rows.column("feed")[0].as_py(),
                    batch.rows.column("instrument").to_numpy(),
                    batch.rows.column("ts_event").to_numpy(),
                    batch.seq_last,
                    brought=_is_brought(batch.rows),
                )

    def _log_coverage(self, rows: list[Row]) -> pa.RecordBatch:
        """Number, log and store rows of coverage; nobody waits for the disk."""
        batch = Batch(COVERAGE, stamp(rows, self.seq_last + 1, self.clock()), None)
        self._append((batch,), lambda fault: None)
        try:
            self.store.append(COVERAGE, batch.rows)
        except BaseException as fault:
            raise _Apart(f"seq {batch.seq_last} is logged but not stored: {fault!r}") from fault
        self.seq_last = batch.seq_last
        return batch.rows

    def _publish_covered(self) -> list[pa.RecordBatch]:
        """Publish the rows of coverage that were written and notices of the gaps among them."""
        written = self.coverage.take_written()
        for rows in written:
            self.hub.publish(Published.of_rows(COVERAGE, rows))
            for notice, seq in notices(self.coverage.book, rows, self.catalog):
                self.hub.publish(Published.of_status(notice, seq))
        return written

    def _publish_revised(self, covered: list[pa.RecordBatch]) -> None:
        """Publish the bars of which what is covered has changed."""
        for rows in covered:
            seq = rows.column("seq")[-1].as_py()
            self._publish_candles(partial(self._candles.cover, rows), seq)

    def _load_coverage(self) -> None:
        self.coverage.load()
        self._publish_covered()

    def _end_coverage(self) -> None:
        self._lose_books(self.books.whole())
        self.coverage.load()
        self.coverage.close(self.seq_last)
        self._publish_covered()

    # -- books -------------------------------------------------------------------------------------

    def _note_books(self, note: Note) -> None:
        """Lose the books of a feed that goes; those of single instruments it loses itself."""
        gone = isinstance(note, Finished) or (isinstance(note, Lost) and note.symbols is None)
        if gone or isinstance(note, Begun):
            feed = self.catalog.feed_number(note.feed)
            self._lose_books(self.books.note_feed(feed, there=not gone))

    def _lose_books(self, numbers: Sequence[int]) -> None:
        """Write down, and tell, that the books of these instruments are not right any more.

        Where the log refuses they are held no more, which shows the same until they come anew.
        """
        rows = self.books.lost_rows(numbers, self.seq_last + 1, self.clock()) if numbers else None
        if rows is None:
            return
        batch = Batch(BOOK, rows, None)
        try:
            self._append((batch,), lambda fault: None)
        except PassingError:
            self.books.discard(numbers)
            return
        try:
            self.store.append(BOOK, rows)
        except BaseException as fault:
            raise _Apart(f"seq {batch.seq_last} is logged but not stored: {fault!r}") from fault
        self.seq_last = batch.seq_last
        self.books.apply(rows)
        self.hub.publish(Published.of_rows(BOOK, rows))

    def _numbers_of(self, rejects: Sequence[Reject], venue: str) -> list[int]:
        """Return the instruments whose rows were refused: their books lack something now."""
        found = (self.registry.find((one.symbol or "").strip().upper(), venue) for one in rejects)
        return sorted({one.number for one in found if one is not None})

    def _append(
        self,
        batches: tuple[Batch, ...],
        on_durable: DurableCallback,
        steps: Steps | None = None,
    ) -> None:
        if steps is not None:
            on_durable = steps.durable(on_durable)
        entries = self.catalog.take_new()
        records: list[LogRecord] = []
        if entries is not None:
            records.append(catalog_record(self.seq_last + 1, entries))
        records.extend(encode_rows(batch.table, batch.rows, batch.keys) for batch in batches)
        began = self.clock()
        try:
            self.log.append(records, on_durable)
            self.metrics.appended(self.clock() - began)
            if steps is not None:
                steps.done("log append")
            for batch, record in zip(batches, records[len(records) - len(batches) :], strict=True):
                self.metrics.logged(batch.table, len(record.payload))
        except BaseException:
            if entries is not None:
                self.catalog.give_back(entries)
            raise

    # -- the thread that brings back what a run before left in the journal -------------------------

    def _restore(self) -> None:
        try:
            if self._bring_back is not None:
                self._bring_back()
                with suppress(Stopping):
                    self._inbox.call(self._load_coverage, new_future())
                    self._inbox.call(self._serve, new_future())
                self._recovered = self.clock()
        except BaseException as fault:
            self._fault = f"the journal's rows could not be restored: {fault!r}"
            _LOG.exception("the journal's rows could not be restored; restart the plant")
            self._inbox.close(self._fault)
        finally:
            self._bring_back = None  # it holds the journal's places

    # -- the maintenance thread --------------------------------------------------------------------

    def _maintain(self) -> None:
        stand_behind()
        try:
            self.store.run_maintenance(
                self.catalog.encode, self._stop_maintenance.is_set, self.log.trim
            )
        except BaseException as fault:
            self._fault = f"the store's maintenance ended: {fault!r}"
            _LOG.exception("the store's maintenance ended")


def _is_brought(rows: pa.RecordBatch) -> bool:
    """Say whether rows of one batch, not none, came later to repair a gap: all have the flag."""
    return bool(rows.column("flags")[0].as_py() & Flag.BACKFILLED)


def _join(thread: threading.Thread) -> None:
    if thread.ident is not None:  # it was started
        thread.join(JOIN_S_MAX)


def _grouped(items: list[Item]) -> Iterator[list[Item]]:
    """Yield runs of items that are accepted together: one table, feed, venue and flags."""
    group: list[Item] = []
    for item in items:
        if group and not _together(group[0], item):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _together(one: Item, other: Item) -> bool:
    if not isinstance(one, Submitted) or not isinstance(other, Submitted):
        return False
    a, b = one.submission, other.submission
    return not (a.strict or b.strict) and (a.table, a.feed, a.venue, a.flags) == (
        b.table,
        b.feed,
        b.venue,
        b.flags,
    )
