"""Metrics that are read from their owners when somebody scrapes.

    scrape ──► Scraped.collect ──► status() of log, store, hub, feeds ──► metric families

A source that fails must not hide the others: its metrics are left out and
`tickplant_scrape_errors_total` says so.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tickplant.observe.streamed import StreamCounts
from tickplant.version import VERSION

_LOG = logging.getLogger(__name__)

NUMBERS = {
    "ready": "1 while the plant accepts rows.",
    "instruments": "Instruments that are registered.",
    "inbox_rows": "Rows that wait to be accepted.",
    "seq_last": "The last sequence number that was given.",
}
"""Single numbers that `Metrics.watch(numbers=…)` may name, and what they mean."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to read; None is left out."""

    log: Callable[[], Any] | None = None
    store: Callable[[], Any] | None = None
    hub: Callable[[], Any] | None = None
    feeds: Callable[[], Sequence[Mapping[str, Any]]] | None = None
    coverage: Callable[[], Any] | None = None
    served: Callable[[], Any] | None = None
    books: Callable[[], Any] | None = None
    numbers: Mapping[str, Callable[[], float]] = field(default_factory=dict)


class Scraped(Collector):
    """The collector that a registry asks."""

    def __init__(self, stream: StreamCounts) -> None:
        self.sources = Sources()
        self._stream = stream
        self._errors: Counter[str] = Counter()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry then does not collect just to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every family whose source answers."""
        yield _gauge("info", "The release that runs.", {(VERSION,): 1.0}, "version")
        yield from _stream(self._stream)
        for name, read, shape in (
            ("log", self.sources.log, _log),
            ("store", self.sources.store, _store),
            ("hub", self.sources.hub, _hub),
            ("feeds", self.sources.feeds, _feeds),
            ("coverage", self.sources.coverage, _coverage),
            ("served", self.sources.served, _served),
            ("books", self.sources.books, _books),
        ):
            if read is not None:
                yield from self._read(name, read, shape)
        for name, read_number in self.sources.numbers.items():
            yield from self._read(name, read_number, _number(name))
        yield _counter("scrape_errors", "Sources that failed.", _keyed(self._errors), "source")

    def _read(
        self, name: str, read: Callable[[], Any], shape: Callable[[Any], Iterable[Metric]]
    ) -> list[Metric]:
        try:
            return list(shape(read()))
        except Exception:
            self._errors[name] += 1
            _LOG.exception("the metrics of %s could not be read", name)
            return []


Values = Mapping[Any, float]
"""A value by the tuple of its labels; `Any`, because a tuple's length is part of its type."""


def _gauge(name: str, text: str, values: Values | float, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(f"tickplant_{name}", text, labels=labels), values)


def _counter(name: str, text: str, values: Values | float, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(f"tickplant_{name}_total", text, labels=labels), values)


def _filled(family: Any, values: Values | float) -> Metric:
    for labels, value in ({(): values} if isinstance(values, int | float) else values).items():
        family.add_metric(list(labels), value)
    assert isinstance(family, Metric)
    return family


def _keyed(values: Mapping[str, float]) -> Values:
    return {(key,): value for key, value in dict(values).items()}


def _number(name: str) -> Callable[[float], list[Metric]]:
    return lambda value: [_gauge(name, NUMBERS[name], float(value))]


def _log(status: Any) -> Iterator[Metric]:
    yield _gauge("log_up", "1 while the log makes rows durable.", float(status.state == "ok"))
    yield _gauge("log_seq_durable", "The last number that is on disk.", status.seq_durable)
    yield _gauge("log_seq_appended", "The last number that was handed in.", status.seq_appended)
    yield _gauge("log_segments", "Journal segments.", status.segments)
    yield _gauge("log_bytes", "Bytes of the journal.", status.bytes)
    yield _gauge("log_pending_bytes", "Bytes that wait for the disk.", status.pending_bytes)
    yield _counter("log_fsyncs", "Syncs of the journal.", status.fsyncs)
    yield _gauge("log_fsync_seconds_max", "Longest sync since the start.", status.fsync_s_max)
    yield _gauge("log_damage", "Damaged places that were found.", len(status.damage))


def _store(status: Any) -> Iterator[Metric]:
    tables = status.tables
    rows = {(name, "archive"): float(table.rows_archived) for name, table in tables.items()}
    rows |= {(name, "memory"): float(table.rows_in_memory) for name, table in tables.items()}
    yield _gauge("store_rows", "Rows that are kept, by place.", rows, "table", "place")
    yield _gauge(
        "store_files", "Archive files.", _keyed({n: t.files for n, t in tables.items()}), "table"
    )
    yield _gauge(
        "store_bytes", "Archive bytes.", _keyed({n: t.bytes for n, t in tables.items()}), "table"
    )
    yield _gauge("store_memory_bytes", "Bytes of events in memory.", status.bytes_in_memory)
    yield _gauge("store_seq_archived", "Archived up to this number.", status.seq_archived)
    yield _gauge("store_up", "0 while archiving fails.", float(status.last_error is None))
    yield _gauge("store_damage", "Damaged files that were found.", len(status.damage))


def _hub(status: Any) -> Iterator[Metric]:
    yield _gauge("hub_rows", "Recent rows that are kept for subscribers.", status.rows)
    yield _counter("hub_rows_published", "Rows published, candles too.", status.rows_published)


_FEED_UP = {"connected": 1.0}


def _feeds(feeds: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    up = {feed["id"]: _FEED_UP.get(feed["state"], 0.0) for feed in feeds}
    yield _gauge("feed_up", "1 while the feed is connected.", _keyed(up), "feed")
    events = {feed["id"]: float(feed["events"]) for feed in feeds}
    yield _counter("feed_events", "Rows that the feed submitted.", _keyed(events), "feed")
    lags = {feed["id"]: feed["lag"] for feed in feeds if feed.get("lag") is not None}
    yield _gauge("feed_lag_seconds", "Age of the last event on arrival.", _keyed(lags), "feed")
    yield from _venue_feeds([feed for feed in feeds if "connections" in feed])


def _venue_feeds(feeds: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield what is judged of the connections and streams of venues' feeds."""
    lines = [
        (feed["id"], str(line["line"]), line) for feed in feeds for line in feed["connections"]
    ]
    up = {(id, number): float(line["state"] == "live") for id, number, line in lines}
    yield _gauge("connection_up", "1 while the connection is live.", up, "feed", "line")
    failed = {(id, number): float(line["failed"]) for id, number, line in lines}
    ends = "Times that the connection ended or could not be made."
    yield _counter("connection_failures", ends, failed, "feed", "line")
    streams = {
        (feed["id"], state): float(count)
        for feed in feeds
        for state, count in feed["streams"].items()
    }
    yield _gauge(
        "feed_streams", "Subscriptions by what is judged of them.", streams, "feed", "state"
    )
    repairs = {feed["id"]: feed["repairs"] for feed in feeds if "repairs" in feed}
    for name, text in (
        ("repaired", "Gaps that the feed has repaired."),
        ("failed", "Attempts to repair a gap that failed."),
        ("unrepairable", "Gaps that the feed has given up."),
    ):
        counts = _keyed({id: float(found[name]) for id, found in repairs.items()})
        yield _counter(f"feed_repairs_{name}", text, counts, "feed")


def _coverage(status: Any) -> Iterator[Metric]:
    yield _counter("gaps", "Entries of the gap ledger, by cause.", _keyed(status.gaps), "cause")
    yield _gauge("gaps_open", "Gaps that are neither repaired nor given up.", status.gaps_open)
    yield _gauge(
        "uncovered_seconds", "Event time of gaps that are over, unrepaired.", status.uncovered_s
    )
    yield _gauge("events_repaired", "Events that repairs of gaps brought.", status.events_repaired)
    lags = _keyed(status.lags_s)
    yield _gauge("watermark_lag_seconds", "Age of the feed's watermark.", lags, "feed")


def _served(status: Any) -> Iterator[Metric]:
    yield _gauge("served_kinds", "Kinds of candles that are kept in memory.", status.kinds)
    yield _gauge("served_bytes", "Bytes of older candles in memory.", status.bytes)
    yield _gauge("served_bytes_max", "The bound of that memory.", status.bytes_max)
    yield _gauge(
        "served_instruments_max", "Instruments that memory has room for.", status.instruments_max
    )
    yield _gauge("served_batches", "Batches that readers of candles look through.", status.batches)


def _books(status: Any) -> Iterator[Metric]:
    held = _keyed(status.held)
    yield _gauge("books", "Order books that are held, by state.", held, "state")
    yield _gauge("book_levels", "Price levels of all books.", status.levels)
    yield _counter("book_snapshots", "Snapshots that books began anew with.", status.cleared)
    yield _counter("books_lost", "Times that a book was not right any more.", status.lost)
    yield _counter("books_crossed", "Books that were stored crossed.", status.crossed)


def _stream(counts: StreamCounts) -> Iterator[Metric]:
    yield _gauge("stream_subscribers", "Open connections of the stream.", counts.subscribers)
    yield _counter("stream_frames", "Frames of data sent.", counts.frames)
    sent = _keyed(counts.sent_events)
    yield _counter("stream_events_sent", "Events sent, each receiver's.", sent, "channel")
    dropped = {key: float(value) for key, value in dict(counts.dropped_events).items()}
    yield _counter(
        "stream_events_dropped",
        "Events that slow subscribers missed.",
        dropped,
        "channel",
        "policy",
    )
