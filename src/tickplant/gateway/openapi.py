"""The OpenAPI document, made from the doors."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tickplant.formats.encode import ARROW, CSV, MEDIA_TYPES, PARQUET
from tickplant.gateway.doors import Door
from tickplant.gateway.keys.grants import OPEN
from tickplant.gateway.rest import models
from tickplant.gateway.rest.problems import MEDIA_TYPE as PROBLEM_TYPE
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
_REF = "#/components/schemas/{model}"
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


def openapi_document(doors: Iterable[Door]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these doors."""
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
        "tags": [{"name": name} for name in dict.fromkeys(door.tag for door in listed)],
        "paths": paths,
        "components": {"schemas": _schemas(listed), "securitySchemes": _SCHEMES},
    }


def _schemas(doors: tuple[Door, ...]) -> dict[str, Any]:
    wanted: list[type[BaseModel]] = [models.Problem]
    for door in doors:
        wanted += [one for one in (door.model, *door.also.values(), door.fault) if one is not None]
    _, document = models_json_schema(
        [(model, "serialization") for model in dict.fromkeys(wanted)], ref_template=_REF
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
        "responses": _responses(door),
    }
    if door.needed != OPEN:
        shown["description"] += f" Needs the scope `{door.needed}`."
        # The first stands for a plant that asks for no key.
        shown["security"] = [_NONE, *({name: [door.needed]} for name in _SCHEMES)]
    if door.body is not None:
        shown["requestBody"] = dict(door.body)
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
            "schema": {"type": "integer", "minimum": 1} if name == "seq" else {"type": "string"},
            "example": 1043 if name == "seq" else "EURUSD",
        }
        for name, doc in door.path_params.items()
    ]


def _responses(door: Door) -> dict[str, Any]:
    done: dict[str, Any] = {"description": HTTPStatus(door.status).phrase}
    if door.status != HTTPStatus.NO_CONTENT:
        done["content"] = _content(door)
    if door.rows and any(param.name == "page_token" for param in door.params):
        done["headers"] = {
            "X-Next-Page-Token": {
                "description": "The next page's token, where there is one.",
                "schema": {"type": "string"},
            }
        }
    answers = {str(door.status): done}
    refusals = {*door.refusals, 500}
    if door.read:
        refusals.add(503)
    if door.needed != OPEN:
        refusals |= {401, 403, 429}  # the guards of keys and of foreign pages stand before it
    for status, model in door.also.items():
        content = {"application/json": _schema_of(model)}
        answers[str(status)] = {"description": HTTPStatus(status).phrase, "content": content}
    for status in sorted(refusals):
        answers[str(status)] = _refusal(door, status)
    if door.path in {"/health", "/ready"}:
        answers["503"] = {"description": "Not so; says why", "content": _content(door)}
    return answers


def _content(door: Door) -> dict[str, Any]:
    if door.model is None:
        return {door.media_type: {"schema": {"type": "string"}}}
    content: dict[str, Any] = {"application/json": _schema_of(door.model)}
    if door.rows:
        for form in (CSV, ARROW, PARQUET):
            schema = {"type": "string"} if form == CSV else {"type": "string", "format": "binary"}
            content[MEDIA_TYPES[form].partition(";")[0]] = {"schema": schema}
    return content


def _refusal(door: Door, status: int) -> dict[str, Any]:
    content = {PROBLEM_TYPE: _schema_of(models.Problem)}
    if door.fault is not None and status in door.refusals:
        content["application/json"] = _schema_of(door.fault)
    return {"description": HTTPStatus(status).phrase, "content": content}


def _schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(model=model.__name__)}}
