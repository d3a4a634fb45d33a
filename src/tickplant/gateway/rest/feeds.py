"""`/v1/feeds/{id}` and its symbols: one feed closely, and what it is subscribed to, changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tickplant.gateway.doors import Door, Gate
from tickplant.gateway.keys.grants import ADMIN
from tickplant.gateway.rest.answers import answer_json
from tickplant.gateway.rest.bodies import decode_json, read_body
from tickplant.gateway.rest.params import text
from tickplant.model.errors import Complaint, InvalidBody, InvalidParameter, Stopping
from tickplant.plant.venue_feeds import VenueFeeds

_BODY_BYTES_MAX = 1 << 20
_ALLOWED = "an object with symbols, and channels if not those that it was configured with"


async def get_feed(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Answer one feed with each of its streams."""
    return answer_json(_feeds(gate).show(request.path_params["id"]))


async def post_symbols(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Subscribe a feed to more symbols; answered once that is kept."""
    given = decode_json(request, await read_body(request, _BODY_BYTES_MAX))
    if not isinstance(given, dict) or not {"symbols"} <= set(given) <= {"symbols", "channels"}:
        raise InvalidBody(f"body: must be {_ALLOWED}", [Complaint(("body",), _ALLOWED)])
    symbols = _texts("symbols", given["symbols"])
    channels = None if given.get("channels") is None else _texts("channels", given["channels"])
    name = request.path_params["id"]
    return answer_json(await _feeds(gate).subscribe(name, symbols, channels))


async def delete_symbols(request: Request, gate: Gate, query: Mapping[str, Any]) -> Response:
    """Unsubscribe a feed from symbols; what they brought stays."""
    symbols = _parts(query["symbols"])
    if not symbols:
        raise InvalidParameter("symbols", query["symbols"], "symbols with commas between")
    channels = _parts(query["channels"]) or None
    name = request.path_params["id"]
    return answer_json(await _feeds(gate).unsubscribe(name, symbols, channels))


def _feeds(gate: Gate) -> VenueFeeds:
    found = gate.plant.venue_feeds
    if found is None:
        raise Stopping("this plant runs no feeds now")
    return found


def _texts(name: str, given: Any) -> list[str]:
    if not isinstance(given, list) or not given or not all(isinstance(g, str) for g in given):
        raise InvalidParameter(name, given, f"a list of {name}, not empty", where="body")
    return given


def _parts(given: str | None) -> list[str]:
    return [part.strip() for part in (given or "").split(",") if part.strip()]


_PATH = {"id": "The feed's `id` in `/v1/feeds`."}
_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["symbols"],
                "additionalProperties": False,
                "properties": {"symbols": {**_NAMES, "maxItems": 5_000}, "channels": _NAMES},
            },
            "example": {"symbols": ["ETH-USDT"], "channels": ["trades", "quotes"]},
        }
    },
}
_SYMBOLS = text(
    "symbols",
    "Symbols, with commas between.",
    length=48_000,
    example="ETH-USDT,SOL-USDT",
    required=True,
)
_CHANNELS = text("channels", "Only these channels of them, with commas between.", example="book")

DOORS = (
    Door(
        method="GET",
        path="/v1/feeds/{id}",
        tag="Feeds",
        summary="One feed",
        doc="A feed with its connections and the state of each of its streams.",
        model="OneFeedModel",
        path_params=_PATH,
        refusals=(400, 404, 503),
        serve=get_feed,
    ),
    Door(
        method="POST",
        path="/v1/feeds/{id}/symbols",
        tag="Feeds",
        summary="Subscribe to more symbols",
        doc="Subscribes a venue's feed to more symbols while it runs; the others are not touched. "
        "It is kept over a restart. A symbol that the venue does not list is refused; whether the "
        "venue has taken a subscription, its `state` says.",
        model="OneFeedModel",
        path_params=_PATH,
        body=_BODY,
        refusals=(400, 404, 409, 413, 415, 422, 503),
        needs=ADMIN,
        serve=post_symbols,
    ),
    Door(
        method="DELETE",
        path="/v1/feeds/{id}/symbols",
        tag="Feeds",
        summary="Unsubscribe from symbols",
        doc="Ends subscriptions of a venue's feed while it runs; the others are not touched, and "
        "what was stored stays. It is kept over a restart.",
        model="OneFeedModel",
        path_params=_PATH,
        params=(_SYMBOLS, _CHANNELS),
        refusals=(400, 404, 409, 503),
        needs=ADMIN,
        serve=delete_symbols,
    ),
)
