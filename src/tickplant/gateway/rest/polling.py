"""`/prices/poll`: jobs that ask a provider for prices at an interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.keys.grants import ADMIN
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.bodies import decode_json, read_body
from tickplant.model.errors import Complaint, InvalidBody, Stopping
from tickplant.plant.polling import Polling

_BODY_BYTES_MAX = 1 << 18
_FIELDS = ("symbols", "interval", "provider")
_ALLOWED = "an object with symbols, interval and provider"


async def post_job(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Create a job; answered once it is kept."""
    given = decode_json(request, await read_body(request, _BODY_BYTES_MAX))
    if not isinstance(given, dict) or set(given) != set(_FIELDS):
        raise InvalidBody(f"body: must be {_ALLOWED}", [Complaint(("body",), _ALLOWED)])
    job = await _polling(gate).create(*(given[name] for name in _FIELDS))
    return answer_json(job, 202)


async def get_jobs(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer all jobs."""
    return answer_json({"jobs": _polling(gate).list()})


async def get_job(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer one job."""
    return answer_json(_polling(gate).show(request.path_params["job_id"]))


async def delete_job(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """End a job; what it brought stays."""
    return answer_json(await _polling(gate).cancel(request.path_params["job_id"]))


def _polling(gate: Gate) -> Polling:
    found = gate.plant.polling
    if found is None:
        raise Stopping("this plant runs no feeds now, so it cannot poll")
    return found


_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": list(_FIELDS),
                "additionalProperties": False,
                "properties": {
                    "symbols": {
                        "type": "array",
                        "items": {"type": "string"},
                        "minItems": 1,
                        "maxItems": 500,
                    },
                    "interval": {
                        "type": "number",
                        "minimum": 1,
                        "maximum": 86_400,
                        "description": "Seconds between two polls.",
                    },
                    "provider": {
                        "type": "string",
                        "description": "`yahoo`, or one that the configuration names.",
                    },
                },
            },
            "example": {"symbols": ["BTC-USD", "EURUSD"], "interval": 60, "provider": "yahoo"},
        }
    },
}
_PATH = {"job_id": "The id of a job."}
_TAG = "Feeds"

DOORS = (
    Door(
        method="POST",
        path="/prices/poll",
        tag=_TAG,
        summary="Poll prices",
        doc="Asks a provider for the prices of these symbols, now and at every interval, until the "
        "job is cancelled; it runs on after a restart. Asking for what a job does already answers "
        "with that job. A provider that is down is asked again after growing pauses, and what was "
        "missed is in the gap ledger.",
        model="PollJobModel",
        status=202,
        body=_BODY,
        refusals=(400, 413, 415, 422, 503),
        needs=ADMIN,
        serve=post_job,
    ),
    Door(
        method="GET",
        path="/prices/poll",
        tag=_TAG,
        summary="Polling jobs",
        doc="All polling jobs and how each is doing.",
        model="PollJobsModel",
        refusals=(400, 503),
        serve=get_jobs,
    ),
    Door(
        method="GET",
        path="/prices/poll/{job_id}",
        tag=_TAG,
        summary="One polling job",
        doc="One polling job and how it is doing.",
        model="PollJobModel",
        path_params=_PATH,
        refusals=(400, 404, 503),
        serve=get_job,
    ),
    Door(
        method="DELETE",
        path="/prices/poll/{job_id}",
        tag=_TAG,
        summary="Cancel a polling job",
        doc="Ends a polling job; the prices that it brought stay. Answers with the job as it was "
        "last.",
        model="PollJobModel",
        path_params=_PATH,
        refusals=(400, 404, 503),
        needs=ADMIN,
        serve=delete_job,
    ),
)
