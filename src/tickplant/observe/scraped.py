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

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tickplant.observe import outward, parts
from tickplant.observe.families import counter, gauge, keyed
from tickplant.observe.logs import COUNTS
from tickplant.observe.outward import Top
from tickplant.observe.streamed import StreamCounts
from tickplant.version import VERSION

_LOG = logging.getLogger(__name__)

NUMBERS = {
    "ready": "1 while the plant accepts rows.",
    "instruments": "Instruments that are registered.",
    "inbox_rows": "Rows that wait to be accepted.",
    "inbox_rows_max": "The bound of the rows that wait.",
    "batch_rows_max": "Most rows that are accepted in one go.",
    "seq_last": "The last sequence number that was given.",
    "ingestion_alive": "1 while rows became durable of late, as `/status/ingestion` says.",
    "last_commit_timestamp_seconds": "When rows last became durable, Unix time; 0 before.",
    "recovery_seconds": "How long the start took or takes, until all was readable again.",
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
    probes: Callable[[], Mapping[str, tuple[bool, str]]] | None = None
    disk: Callable[[], tuple[int, int, int]] | None = None
    market: Callable[[], Sequence[Top]] | None = None
    backpressure: Callable[[], Any] | None = None
    spans: Callable[[], Any] | None = None
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
        yield gauge("info", "The release that runs.", {(VERSION,): 1.0}, "version")
        yield from outward.stream(self._stream)
        yield from parts.lines(COUNTS)
        for name, read, shape in (
            ("log", self.sources.log, parts.log),
            ("store", self.sources.store, parts.store),
            ("hub", self.sources.hub, parts.hub),
            ("feeds", self.sources.feeds, outward.feeds),
            ("coverage", self.sources.coverage, parts.coverage),
            ("served", self.sources.served, parts.served),
            ("books", self.sources.books, parts.books),
            ("probes", self.sources.probes, parts.probes),
            ("disk", self.sources.disk, parts.disk),
            ("market", self.sources.market, outward.market),
            ("backpressure", self.sources.backpressure, parts.backpressure),
            ("spans", self.sources.spans, parts.spans),
        ):
            if read is not None:
                self._errors[name] += 0  # there before it counts: a rate sees the first step, too
                yield from self._read(name, read, shape)
        for name, read_number in self.sources.numbers.items():
            yield from self._read(name, read_number, _number(name))
        yield counter("scrape_errors", "Sources that failed.", keyed(self._errors), "source")

    def _read(
        self, name: str, read: Callable[[], Any], shape: Callable[[Any], Iterable[Metric]]
    ) -> list[Metric]:
        try:
            return list(shape(read()))
        except Exception:
            self._errors[name] += 1
            _LOG.exception("the metrics of %s could not be read", name)
            return []


def _number(name: str) -> Callable[[float], list[Metric]]:
    return lambda value: [gauge(name, NUMBERS[name], float(value))]
