"""Metric families made at a scrape: from a number, or from numbers by their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

Values = Mapping[Any, float]
"""A value by the tuple of its labels; `Any`, because a tuple's length is part of its type."""


def gauge(name: str, text: str, values: Values | float, *labels: str) -> Metric:
    """Return a gauge of ours."""
    return _filled(GaugeMetricFamily(f"tickplant_{name}", text, labels=labels), values)


def counter(name: str, text: str, values: Values | float, *labels: str) -> Metric:
    """Return a counter of ours; `name` without its end `_total`."""
    return _filled(CounterMetricFamily(f"tickplant_{name}_total", text, labels=labels), values)


def histogram(
    name: str, text: str, bounds: Sequence[float], counts: Sequence[int], total: float
) -> Metric:
    """Return a histogram; `counts` has one entry a bound, and one for what is above the last."""
    return histograms(name, text, bounds, {(): (counts, total)})


def histograms(
    name: str,
    text: str,
    bounds: Sequence[float],
    series: Mapping[Any, tuple[Sequence[int], float]],
    *labels: str,
) -> Metric:
    """Return histograms by the values of their labels, each its counts and its sum."""
    family = HistogramMetricFamily(name, text, labels=labels)
    names = [*map(floatToGoString, bounds), "+Inf"]
    for values, (counts, total) in series.items():
        buckets = list(zip(names, accumulate(counts), strict=True))
        family.add_metric(list(values), buckets, total)
    assert isinstance(family, Metric)
    return family


def keyed(values: Mapping[str, float]) -> Values:
    """Return values by one label."""
    return {(key,): value for key, value in dict(values).items()}


def _filled(family: Any, values: Values | float) -> Metric:
    for labels, value in ({(): values} if isinstance(values, int | float) else values).items():
        family.add_metric(list(labels), value)
    assert isinstance(family, Metric)
    return family
