"""`GET /health`, `/ready` and `/metrics`: for supervisors and Prometheus."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.rest import models
from tickplant.gateway.rest.answers import answer_json
from tickplant.plant.plant import Plant

_SEGMENTS_FREE_MIN = 2
"""The log allocates a segment ahead, so with less room than this the next one may fail."""

Probe = tuple[bool, str]


async def get_health(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer 200 where everything that the process depends on works, else 503."""
    probes = await asyncio.to_thread(probe_all, gate.plant)
    ok = all(probe[0] for probe in probes.values())
    checks = {name: {"ok": good, "detail": detail} for name, (good, detail) in probes.items()}
    status = "ok" if ok else "failing"
    return answer_json({"status": status, "checks": checks}, 200 if ok else 503)


async def get_ready(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer 200 where rows are accepted now, else 503 with the reason."""
    ready, reason = gate.plant.readiness()
    headers = {} if ready else {"Retry-After": "1"}
    return answer_json({"ready": ready, "reason": reason}, 200 if ready else 503, headers)


async def get_metrics(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer the metrics in Prometheus' text format."""
    text, content_type = await asyncio.to_thread(gate.plant.metrics.render)
    return Response(text, 200, {"Content-Type": content_type, "Cache-Control": "no-store"})


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
    folder = Path(plant.settings.data).absolute()
    while not folder.exists():
        folder = folder.parent
    needed = _SEGMENTS_FREE_MIN * plant.settings.log.segment_mb
    free = shutil.disk_usage(folder).free >> 20
    return free >= needed, f"{free} MiB free, {needed} MiB needed"


DOORS = (
    Door(
        method="GET",
        path="/health",
        tag="Operate",
        summary="Is it healthy?",
        doc="The process answers, and the log, the store and the disk do what they must: 200, "
        "else 503 with the probe that failed.",
        model=models.HealthModel,
        refusals=(400,),
        serve=get_health,
    ),
    Door(
        method="GET",
        path="/ready",
        tag="Operate",
        summary="Does it accept rows?",
        doc="200 where rows are accepted now, else 503 with the reason (recovering, stopping, "
        "the disk refuses).",
        model=models.ReadyModel,
        refusals=(400,),
        serve=get_ready,
    ),
    Door(
        method="GET",
        path="/metrics",
        tag="Operate",
        summary="Metrics",
        doc="Prometheus' text format.",
        media_type="text/plain",
        refusals=(400,),
        serve=get_metrics,
    ),
)
