"""`GET /v1/feeds` and `GET /v1/status`: what is connected, how fresh, how much."""

from __future__ import annotations

from starlette.responses import Response

from tickplant.gateway.doors import Call, Door
from tickplant.gateway.rest.answers import answer_json


def read_feeds(call: Call) -> Response:
    """Answer the state of every feed."""
    return answer_json({"feeds": call.plant.feeds()})


def read_status(call: Call) -> Response:
    """Answer the state of the plant."""
    return answer_json(call.plant.status())


DOORS = (
    Door(
        method="GET",
        path="/v1/feeds",
        tag="Operate",
        summary="Feeds",
        doc="Every feed with its state, its rate and its last event.",
        model="FeedsModel",
        read=read_feeds,
    ),
    Door(
        method="GET",
        path="/v1/status",
        tag="Operate",
        summary="State of the plant",
        doc="Sequence numbers, rows and bytes, the log, the store, the stream and the feeds.",
        model="StatusModel",
        read=read_status,
    ),
)
