"""Whether what the process depends on works: the one answer of `/health`, metrics and seeds.

    log    makes rows durable
    store  archives what is in memory
    disk   has room for the segments that the log allocates ahead

Health is about what the plant stands on, readiness (`Plant.readiness`) about whether it accepts
rows now: a plant that recovers or stops is healthy, and not ready.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tickplant.model.times import NS_PER_S, format_time
from tickplant.observe.freshness import INGESTION_INTERVALS_MAX, ingestion_alive

if TYPE_CHECKING:
    from tickplant.plant.plant import Plant

SEGMENTS_FREE_MIN = 2
"""The log allocates a segment ahead, so with less room than this the next one may fail."""

Probe = tuple[bool, str]


def probe_all(plant: Plant) -> dict[str, Probe]:
    """Ask the log, the store and the disk; blocks."""
    return {"log": _probe_log(plant), "store": _probe_store(plant), "disk": _probe_disk(plant)}


def _probe_log(plant: Plant) -> Probe:
    status = plant.log.status()
    return status.state == "ok", status.state if status.reason is None else status.reason


def _probe_store(plant: Plant) -> Probe:
    fault = plant.history.store.status().last_error
    return fault is None, "ok" if fault is None else fault


def _probe_disk(plant: Plant) -> Probe:
    free, needed, _ = disk_room(plant)
    return free >= needed, f"{free >> 20} MiB free, {needed >> 20} MiB needed"


def disk_room(plant: Plant) -> tuple[int, int, int]:
    """Return the bytes that are free on the data's disk, that must be, and that it has in all."""
    folder = Path(plant.settings.data).absolute()
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return usage.free, SEGMENTS_FREE_MIN * plant.settings.log.segment_mb << 20, usage.total


def ingestion(plant: Plant, now: int) -> dict[str, Any]:
    """Return whether rows are being stored: the heartbeat is the last durable commit of rows."""
    heartbeat, interval_s = plant.last_commit, plant.settings.plant.ingestion_interval_s
    age_s = None if heartbeat is None else (now - heartbeat) / NS_PER_S
    alive = ingestion_alive(age_s, interval_s)
    return {
        "ingestion_status": "alive" if alive else "dead",
        "ingestion_alive": alive,
        "stale_threshold_seconds": INGESTION_INTERVALS_MAX * interval_s,
        "last_successful_ingestion": None if heartbeat is None else format_time(heartbeat),
        "seconds_since_last_heartbeat": None if age_s is None else round(age_s, 6),
    }
