"""The OpenAPI document, made from the doors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from tickplant.gateway.described import model_of
from tickplant.gateway.doors import Door
from tickplant.gateway.keys.grants import OPEN
from tickplant.gateway.links import links_of
from tickplant.gateway.openapi_answers import HEADERS, REF, answers_of
from tickplant.gateway.rest.params import TIME_EXAMPLE, TIME_SCHEMA
from tickplant.version import VERSION

_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `tickplant keys create`, or a JSON Web Token, where the plant "
        "asks for one.",
    },
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_NONE: dict[str, list[str]] = {}
_NAME = {"type": "string", "pattern": r"^[^/]+$"}
_PATH_PARAMETERS: Mapping[str, tuple[Mapping[str, Any], Any]] = {
    "symbol": (_NAME, "EURUSD"),
    "seq": ({"type": "integer", "minimum": 1}, 1043),
    "time": (TIME_SCHEMA, TIME_EXAMPLE),
    "id": (_NAME, "binance"),
    "job_id": (_NAME, "5f0c9e21a7d4"),
}
"""Schema and example of the parameters in paths."""

_ABOUT = (
    "A market data plant: ticks in, durable, exact candles out.\n\n"
    "**Times** in: RFC 3339 with a zone, or integer nanoseconds since 1970; out: RFC 3339 UTC. "
    "Ranges are `[start, end)`.\n\n"
    "**Symbols** in any case; `VENUE:SYMBOL` picks one where several venues have it.\n\n"
    "**Rows** as JSON, CSV, Arrow IPC stream or Parquet, by `Accept` or `?format=`; "
    "`next_page_token` (in the other formats the header `X-Next-Page-Token`) goes back in as "
    "`page_token`.\n\n"
    "**Errors** are RFC 9457 problems on every route.\n\n"
    "**Stream**: WebSocket at `/v1/stream`.\n\n"
    "**Keys**: with `auth.required` every route but `/health` and `/ready` needs a key with its "
    "scope (401, 403); with `limits` a caller who asks too often is told to wait (429)."
)


def openapi_document(doors: Iterable[Door], prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these doors, which lie under `prefix`."""
    listed = tuple(doors)
    paths: dict[str, dict[str, Any]] = {}
    for door in listed:
        paths.setdefault(door.path, {})[door.method.lower()] = _operation(door)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tickplant",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": prefix or "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(door.tag for door in listed)],
        "paths": paths,
        "components": {
            "schemas": _schemas(listed),
            "headers": dict(HEADERS),
            "securitySchemes": _SCHEMES,
        },
    }


def _schemas(doors: tuple[Door, ...]) -> dict[str, Any]:
    wanted = ["Problem"]
    for door in doors:
        wanted += [one for one in (door.model, *door.also.values(), door.fault) if one is not None]
    _, document = models_json_schema(
        [(model_of(name), "serialization") for name in dict.fromkeys(wanted)], ref_template=REF
    )
    schemas: dict[str, Any] = document["$defs"]
    return schemas


def _operation(door: Door) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "operationId": _operation_id(door),
        "tags": [door.tag],
        "summary": door.summary,
        "description": door.doc,
        "parameters": [*_path_parameters(door), *(param.openapi() for param in door.params)],
        "responses": answers_of(door),
    }
    if door.needed != OPEN:
        shown["description"] += f" Needs the scope `{door.needed}`."
        # The first stands for a plant that asks for no key.
        shown["security"] = [_NONE, *({name: [door.needed]} for name in _SCHEMES)]
    if door.body is not None:
        shown["requestBody"] = dict(door.body)
    if links := links_of(shown["operationId"]):
        shown["responses"][str(door.status)]["links"] = links
    return shown


def _operation_id(door: Door) -> str:
    words = door.path.replace("/v1/", "/").replace("{", "").replace("}", "")
    return "_".join([door.method.lower(), *(word for word in words.split("/") if word)])


def _path_parameters(door: Door) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": doc,
            "schema": dict(_PATH_PARAMETERS[name][0]),
            "example": _PATH_PARAMETERS[name][1],
        }
        for name, doc in door.path_params.items()
    ]
