"""`GET /health`, `/ready` and `/metrics`: for supervisors and Prometheus."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.keys.grants import OPEN
from tickplant.gateway.rest.answers import answer_json
from tickplant.plant.health import Probe, probe_all
from tickplant.plant.plant import Plant

PROBE_S_MAX = 2.0
"""A probe that takes longer is taken as failed, s."""

Probes = dict[str, Probe]


async def get_health(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer 200 where everything that the process depends on works, else 503."""
    probes = await _PROBES.ask(gate.plant)
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


class _Probes:
    """Asks the probes, one asking at a time, so that a disk that hangs holds one thread only."""

    def __init__(self) -> None:
        self._asked: weakref.WeakKeyDictionary[Plant, Future[Probes]] = weakref.WeakKeyDictionary()

    async def ask(self, plant: Plant) -> Probes:
        """Return the probes, or the one that says that they do not answer."""
        asked = self._asked.get(plant)
        if asked is None or asked.done():
            asked = self._asked[plant] = _on_thread(plant)
        waiting = asyncio.wrap_future(asked)
        done, _ = await asyncio.wait({waiting}, timeout=PROBE_S_MAX)
        if not done:
            return {"probes": (False, f"no answer within {PROBE_S_MAX:g} s: a disk hangs")}
        return waiting.result()


def _on_thread(plant: Plant) -> Future[Probes]:
    future: Future[Probes] = Future()

    def work() -> None:
        try:
            future.set_result(probe_all(plant))
        except Exception as fault:
            future.set_result({"probes": (False, f"{type(fault).__name__}: {fault}")})

    threading.Thread(target=work, name="health-probes", daemon=True).start()
    return future


_PROBES = _Probes()


DOORS = (
    Door(
        method="GET",
        path="/health",
        tag="Operate",
        summary="Is it healthy?",
        doc="The process answers, and the log, the store and the disk do what they must: 200, "
        "else 503 with the probe that failed; one that does not answer within 2 s has failed.",
        model="HealthModel",
        refusals=(400,),
        needs=OPEN,
        serve=get_health,
    ),
    Door(
        method="GET",
        path="/ready",
        tag="Operate",
        summary="Does it accept rows?",
        doc="200 where rows are accepted now, else 503 with the reason (recovering, stopping, "
        "the disk refuses).",
        model="ReadyModel",
        refusals=(400,),
        needs=OPEN,
        serve=get_ready,
    ),
    Door(
        method="GET",
        path="/metrics",
        tag="Operate",
        summary="Metrics",
        doc="Prometheus' text format.",
        media_type="text/plain",
        example="# TYPE tickplant_seq_last gauge\ntickplant_seq_last 5077.0\n",
        refusals=(400,),
        serve=get_metrics,
    ),
)
