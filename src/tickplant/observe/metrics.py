"""The plant's metrics. One `Metrics` a plant, passed in; nothing here is global.

Two sorts. What happens is counted when it happens, a batch at a time (`accepted`, `acknowledged`,
`answered`, …). What merely is (bytes, segments, rows, subscribers) is read from its owner when
somebody scrapes; `watch` says from where, and `observe.scraped` does it.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from tickplant.observe.outward import Top
from tickplant.observe.scraped import Scraped, Sources
from tickplant.observe.seed_names import SeedNames
from tickplant.observe.streamed import StreamCounts
from tickplant.observe.tallies import Counts, Notes, Spread, Spreads

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_ROWS = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)


class _Rows(Protocol):
    @property
    def num_rows(self) -> int: ...


class _Submission(Protocol):
    @property
    def table(self) -> str: ...
    @property
    def feed(self) -> str: ...


class _Batch(Protocol):
    @property
    def table(self) -> str: ...
    @property
    def rows(self) -> _Rows: ...


class _Reject(Protocol):
    @property
    def reason(self) -> str: ...


class _Accepted(Protocol):
    @property
    def batches(self) -> Sequence[_Batch]: ...
    @property
    def duplicates(self) -> int: ...
    @property
    def rejects(self) -> Sequence[_Reject]: ...


class Metrics:
    """What one plant counts. Any thread may call any method; each costs less than one microsecond.

    `stream` is counted without locks by the thread that sends; see `StreamCounts`. `notes` are what
    was not counted yet; a scrape does.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stream = StreamCounts()
        self.notes = Notes()
        self.registry.register(self.notes)  # first: what is noted is counted before it is read
        self._note = self.notes.put
        self._scraped = Scraped(self.stream)
        self.registry.register(self._scraped)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._accepted = self._counter("events_accepted", "Rows stored.", "table", "feed")
        self._bytes = self._counter("events_bytes", "Bytes of rows as the log has them.", "table")
        self._failed = self._counter(
            "events_failed", "Rows that were handed in and not taken, by the error.", "error"
        )
        self._rejected = self._counter("events_rejected", "Rows refused.", "reason")
        self._duplicates = self._counter(
            "events_duplicates", "Rows that were stored already.", "table", "feed"
        )
        self._shed = self._counter(
            "events_shed",
            "Rows of live feeds that were left out under load, by policy.",
            "table",
            "feed",
            "policy",
        )
        self._batch_rows = self._histogram(
            "batch_rows", "Rows of a table that were accepted in one go.", _ROWS
        )
        self._ack = self._histogram(
            "ack_seconds", "From submission to durable, the slowest of each batch.", _SECONDS
        )
        self._flush = self._histogram("flush_seconds", "From accepted to durable.", _SECONDS)
        self._append = self._histogram(
            "log_append_seconds", "How long the log took to take a batch.", _SECONDS
        )
        self._candles = self._counter(
            "candle_updates", "Candles published, a change each.", "interval", "basis", "cause"
        )
        self._closed = self._counter(
            "candles_closed", "Updates of candles that are over.", "interval", "basis"
        )
        self._rebuilds = self._counter(
            "book_rebuilds", "Order books that a feed had to make anew.", "feed", "reason"
        )
        self._requests = self._counter(
            "http_requests", "Requests answered.", "method", "route", "status"
        )
        self._request_s = self._histograms(
            "http_request_seconds", "From request to answer, by route.", _SECONDS, "route"
        )
        self.registry.register(SeedNames(self._accepted, self._request_s, self.stream))

        self._refused = self._counter(
            "access_refused",
            "Requests and connections refused, or cut off, for want of a key, a scope or a rate.",
            "reason",
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counts:
        made = Counts(name, text, *labels)
        self.registry.register(made)
        return made

    def _histogram(self, name: str, text: str, bounds: Sequence[float]) -> Spread:
        return self._histograms(name, text, bounds).of()

    def _histograms(
        self, name: str, text: str, bounds: Sequence[float], label: str | None = None
    ) -> Spreads:
        made = Spreads(name, text, bounds, label)
        self.registry.register(made)
        return made

    def accepted(self, submission: _Submission, accepted: _Accepted) -> None:
        """Count what became of submissions of one table and feed that were accepted together."""
        table, feed = submission.table, submission.feed
        for batch in accepted.batches:
            if batch.table == table:
                self._note(self._accepted, (table, feed), batch.rows.num_rows)
                self._note(self._batch_rows, batch.rows.num_rows)
        if accepted.duplicates:
            self._note(self._duplicates, (table, feed), accepted.duplicates)
        if accepted.rejects:
            for reason, count in Tally(r.reason for r in accepted.rejects).items():
                self._note(self._rejected, (reason,), count)

    def acknowledged(self, waited_ns: int) -> None:
        """Note how long the first submission of a batch waited until it was on disk."""
        self._note(self._ack, waited_ns / 1e9)

    def failed(self, fault: BaseException, rows: int) -> None:
        """Count rows whose producer was told of a fault instead of what became of them."""
        self._note(self._failed, (type(fault).__name__,), rows)

    def shed(self, table: str, feed: str, policy: str, rows: int) -> None:
        """Count rows that were left out because the plant was hard pressed."""
        self._note(self._shed, (table, feed, policy), rows)

    def logged(self, table: str, size: int) -> None:
        """Count the bytes of a batch that the log took."""
        self._note(self._bytes, (table,), size)

    def appended(self, took_ns: int) -> None:
        """Note how long the log took to take a batch; it holds back while too much waits."""
        self._note(self._append, took_ns / 1e9)

    def flushed(self, took_ns: int) -> None:
        """Note how long a batch that was accepted took to become durable."""
        self._note(self._flush, took_ns / 1e9)

    def candles_published(
        self, interval: str, basis: str, cause: str, candles: int, closed: int
    ) -> None:
        """Count candles that were published because something in them changed.

        `cause` is `events`, `amendment` (a correction or a cancel) or `coverage` (a gap, a repair);
        `closed` of them are over.
        """
        self._note(self._candles, (interval, basis, cause), candles)
        if closed:
            self._note(self._closed, (interval, basis), closed)

    def book_broken(self, feed: str, reason: str) -> None:
        """Count a book that was right and is made anew, because of a gap, a checksum, …"""
        self._note(self._rebuilds, (feed, reason), 1)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note an answered request. `route` is the template (`/v1/trades/{symbol}`), not the path.

        Every value of a label is a time series of its own for as long as the plant runs.
        """
        self._note(self._requests, (method, route, status), 1)
        self._note(self._request_s, route, seconds)

    def refused(self, reason: str) -> None:
        """Count who was not let in: `key`, `scope`, `rate`, or `cut` for a key that ended."""
        self._note(self._refused, (reason,), 1)

    def fsync_observer(self) -> Callable[[float], None]:
        """Declare the latency of the log's fsync; return what the log calls with each, seconds.

        Declared only when asked for, because a metric that nothing moves is not shown.
        """
        synced = self._histogram("log_fsync_seconds", "Duration of a sync of the log.", _SECONDS)
        return partial(self._note, synced)

    def watch(
        self,
        *,
        log: Callable[[], Any] | None = None,
        store: Callable[[], Any] | None = None,
        hub: Callable[[], Any] | None = None,
        feeds: Callable[[], Sequence[Mapping[str, Any]]] | None = None,
        coverage: Callable[[], Any] | None = None,
        served: Callable[[], Any] | None = None,
        books: Callable[[], Any] | None = None,
        probes: Callable[[], Mapping[str, tuple[bool, str]]] | None = None,
        disk: Callable[[], tuple[int, int, int]] | None = None,
        market: Callable[[], Sequence[Top]] | None = None,
        backpressure: Callable[[], Any] | None = None,
        spans: Callable[[], Any] | None = None,
        numbers: Mapping[str, Callable[[], float]] | None = None,
    ) -> None:
        """Say where to read at a scrape: functions that return the status of each part.

        `LogStatus`, `StoreStatus`, `HubStatus`, what `/v1/feeds` shows, `CoverageStatus`,
        `ServedStatus`, `BookStatus`, the probes of `/health`, the room on the disk (free, needed,
        size), the tops of some instruments, how hard pressed the plant is, what became of spans,
        and single numbers by the names in `scraped.NUMBERS`.
        A later call replaces the earlier one.
        """
        self._scraped.sources = Sources(
            log,
            store,
            hub,
            feeds,
            coverage,
            served,
            books,
            probes,
            disk,
            market,
            backpressure,
            spans,
            dict(numbers or {}),
        )

    def render(self) -> tuple[bytes, str]:
        """Return the metrics in Prometheus text and the content type to send them with."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
