"""Where a plant's metrics are read at a scrape."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from tickplant.model.times import NS_PER_S
from tickplant.observe.metrics import Metrics
from tickplant.observe.outward import Top
from tickplant.plant.coverage_status import coverage_status
from tickplant.plant.health import disk_room, ingestion, probe_all
from tickplant.plant.market import tops

if TYPE_CHECKING:
    from tickplant.plant.plant import Plant

MARKET_MAX = 100
"""Instruments that the market's gauges show, those registered first: five series each."""


def watch_plant(metrics: Metrics, plant: Plant) -> None:
    """Let `metrics` read this plant; nothing is read before the first scrape."""
    settings, tracer = plant.settings.plant, plant.tracer
    metrics.watch(
        log=plant.log.status,
        store=plant.store.status,
        hub=plant.hub.status,
        feeds=plant.feeds,
        coverage=lambda: coverage_status(plant.coverage.book, plant.feed_name, plant.clock()),
        served=plant.served.status,
        books=plant.books.status,
        probes=partial(probe_all, plant),
        disk=partial(disk_room, plant),
        market=partial(_market, plant),
        backpressure=lambda: plant.backpressure.pressure,
        spans=None if tracer is None else lambda: tracer.counts,
        numbers={
            "ready": lambda: plant.readiness()[0],
            "instruments": lambda: len(plant.registry),
            "inbox_rows": lambda: plant.waiting_rows,
            "inbox_rows_max": lambda: settings.inbox_rows_max,
            "batch_rows_max": lambda: plant.backpressure.batch_rows_max,
            "seq_last": lambda: plant.seq_last,
            "ingestion_alive": lambda: ingestion(plant, plant.clock())["ingestion_alive"],
            "last_commit_timestamp_seconds": lambda: (plant.last_commit or 0) / NS_PER_S,
            "recovery_seconds": lambda: plant.recovery_s,
        },
    )


def _market(plant: Plant) -> list[Top]:
    """Return the tops of the first instruments; none while a read would wait for the start."""
    if not plant.restored or plant.state != "running":
        return []
    return tops(plant.history, list(islice(plant.registry, MARKET_MAX)), plant.clock())
