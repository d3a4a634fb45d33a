"""Metrics under the names that other systems' dashboards ask for; all are sums of ours.

They have no labels, so that they cost few series: `ticks_ingested_total` are trades and quotes that
were stored, `websocket_connections_active` open connections of the stream,
`http_request_duration_seconds` all requests, `ohlc_query_duration_seconds` those for candles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tickplant.observe.families import histogram
from tickplant.observe.streamed import StreamCounts
from tickplant.observe.tallies import Counts, Spreads

NAMES = (
    "ticks_ingested_total",
    "websocket_connections_active",
    "http_request_duration_seconds",
    "ohlc_query_duration_seconds",
)
"""All of them."""

_TICKS = ("trades", "quotes")


def is_ohlc(route: str) -> bool:
    """Say whether a route answers candles."""
    return "/candles" in route or "/ohlc" in route


class SeedNames(Collector):
    """The collector that a registry asks."""

    def __init__(self, accepted: Counts, requests: Spreads, stream: StreamCounts) -> None:
        self._accepted = accepted
        self._requests = requests
        self._stream = stream

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry then does not collect just to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        counted = self._accepted.values().items()
        ticks = sum(count for (table, _), count in counted if table in _TICKS)
        yield CounterMetricFamily(NAMES[0], "Trades and quotes stored.", ticks)
        open_now = self._stream.subscribers
        yield GaugeMetricFamily(NAMES[1], "Open connections of the stream.", open_now)
        yield self._summed(NAMES[2], "From request to answer.", lambda route: True)
        yield self._summed(NAMES[3], "From request to answer, for candles.", is_ohlc)

    def _summed(self, name: str, text: str, wanted: Callable[[str], bool]) -> Metric:
        """Return the histograms of these routes as one."""
        found = [read for route, read in self._requests.read().items() if wanted(route)]
        none = [0] * (len(self._requests.bounds) + 1)
        columns = zip(none, *(counts for counts, _ in found), strict=True)
        total = sum(total for _, total in found)
        return histogram(name, text, self._requests.bounds, list(map(sum, columns)), total)
