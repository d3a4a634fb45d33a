"""The page of the metrics: every family that a plant's registry gives, read from the registry."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from pages.text import code, head, table
from tickplant.log.contract import LogStatus
from tickplant.model.events import TABLES
from tickplant.observe import seed_names
from tickplant.observe.metrics import Metrics
from tickplant.observe.outward import Top
from tickplant.observe.scraped import NUMBERS
from tickplant.plant.books import BookStatus
from tickplant.plant.coverage_status import CoverageStatus
from tickplant.plant.hub import HubStatus
from tickplant.plant.pressure import Measure
from tickplant.plant.served import ServedStatus
from tickplant.store.contract import StoreStatus, TableStatus

_INTRO = """
`GET /metrics` answers in the text format of Prometheus. Counters only grow while the plant runs;
gauges are read from their owner at the scrape, at no cost worth mentioning. A histogram has the
series `_bucket`, `_sum` and `_count`. The families
`process_…` and `python_…` of the client library are there too.
"""


def page() -> str:
    """Return the page."""
    rows = [
        (code(name), kind, ", ".join(map(code, labels)), text)
        for name, kind, labels, text in sorted(families())
    ]
    shown = table(("metric", "type", "labels", "meaning"), rows)
    return f"{head('Metrics', 'src/tickplant/observe', _INTRO)}\n{shown}"


def families() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Yield name, type, labels and meaning of each of our own families."""
    metrics = _moved()
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        if not name.startswith("tickplant_") and name not in seed_names.NAMES:
            continue
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        yield name, family.type, tuple(sorted(labels)), family.documentation


def _moved() -> Metrics:
    """Return metrics in which every family has a sample, so that its labels show."""
    metrics = Metrics()
    rows = SimpleNamespace(num_rows=1)
    submission: Any = SimpleNamespace(table="trades", feed="push")
    batch = SimpleNamespace(table="trades", rows=rows)
    reject = SimpleNamespace(reason="price_missing")
    metrics.accepted(submission, SimpleNamespace(batches=(batch,), duplicates=1, rejects=(reject,)))
    metrics.acknowledged(1)
    metrics.failed(OSError(), 1)
    metrics.appended(1)
    metrics.logged("trades", 1)
    metrics.shed("quotes", "venue", "conflate", 1)
    metrics.flushed(1)
    metrics.candles_published("1m", "trade", "events", 1, 1)
    metrics.book_broken("venue", "gap")
    metrics.answered("GET", "/health", 200, 0.001)
    metrics.fsync_observer()(0.001)
    metrics.stream.sent("trades", 1)
    metrics.stream.dropped("quotes", "conflate", 1)
    metrics.stream.disconnected("slow")
    measures = {"inbox": Measure(1.0, 1.0, "rows")}
    pressure = SimpleNamespace(level=0, measures=measures, changes={"healthy": 1})
    log = LogStatus("ok", None, 1, 1, 1, 1, 0, 1, 0.001, ())
    tables = dict.fromkeys(TABLES, TableStatus(1, 1, 1, 1, 0, 1))
    line = {"line": 0, "state": "live", "failed": 0}
    repairs = dict.fromkeys(("repaired", "events", "failed", "unrepairable"), 1)
    feed = {
        "id": "venue", "state": "connected", "events": 1, "lag": 0.1, "restarts": 1, "gaps_open": 1,
        "connections": [line], "streams": {"live": 1}, "breaker": "closed", "repairs": repairs,
    }  # fmt: skip
    metrics.watch(
        log=lambda: log,
        store=lambda: StoreStatus(tables, 1, 1, (), None),
        hub=lambda: HubStatus(1, 1, 1, 1, 1),
        feeds=lambda: [feed],
        coverage=lambda: CoverageStatus({"restart": 1}, 1, 1.0, 1, {"venue": 1.0}),
        served=lambda: ServedStatus(1, 1, 1, 1, 1),
        books=lambda: BookStatus({"live": 1}, 1, 1, 1, 1),
        probes=lambda: {"log": (True, "ok")},
        disk=lambda: (1, 1, 1),
        market=lambda: [Top("BTC-USDT", "BINANCE", 1.0, 1.0, 0.5, 1.0)],
        backpressure=lambda: pressure,
        spans=lambda: SimpleNamespace(exported=1, failed=0, dropped=0),
        numbers=dict.fromkeys(NUMBERS, lambda: 1.0),
    )
    # A source that really fails would hide its families, so one failure is put down as such.
    metrics._scraped._errors["log"] += 1
    return metrics
