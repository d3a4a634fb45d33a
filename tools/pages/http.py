"""The page of the HTTP API, made from the same OpenAPI document that the plant serves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pages.text import anchor, code, flow, head, table
from tickplant.gateway.app import BODIES_AT_ONCE, DOORS
from tickplant.gateway.openapi import openapi_document
from tickplant.gateway.rest.params import LIMIT_DEFAULT, LIMIT_MAX

Json = Mapping[str, Any]

_INTRO = f"""
The plant serves its own copy of this as OpenAPI 3.1 at `/openapi.json` and as a page to try things
on at `/docs`; neither needs the internet.

- **Times** go in as RFC 3339 with a zone or as integer nanoseconds since 1970 UTC; a time without
  a zone is refused with 400. They come out as RFC 3339 UTC with `Z` and as many fractional digits
  as needed. Ranges are `[start, end)`.
- **Symbols** are taken in any case. `VENUE:SYMBOL` picks one where several venues have it; a bare
  symbol that several venues have is 400 with the choices.
- **Rows** come as JSON, CSV, Arrow IPC stream or Parquet, by `?format=json|csv|arrow|parquet` or by
  the `Accept` header. In Arrow and Parquet the times are timestamps in ns, UTC.
- **Pages** hold `limit` rows ({LIMIT_DEFAULT:,} by default, at most {LIMIT_MAX:,}).
  `next_page_token` is null at the end; in the other formats it is the header `X-Next-Page-Token`.
  It goes back in as `page_token` with the same other parameters. The first page pins what the later
  ones show, so rows that arrive in between neither shift nor double anything.
- **Parameters** that a route does not know are refused with 400 and the nearest that it knows.
- **Errors** are problems after RFC 9457 on every route; see [errors](errors.md).
- **Headers.** Every answer has `X-Request-Id` (the client's own where it sent a decent one, else a
  new one; a 500 is logged under it) and `X-Response-Time-Ms`. `HEAD` and `OPTIONS` work on every
  route.
- **Bodies** may be packed with `Content-Encoding: gzip`. A body of more than `server.body_mb_max`
  MiB, unpacked, is 413; where bodies of {BODIES_AT_ONCE} times that are in memory already, it is
  503.

The stream, `WS /v1/stream`, has [a page of its own](stream.md).
"""


def page() -> str:
    """Return the page."""
    document = openapi_document(DOORS)
    parts = [head("HTTP API", "the OpenAPI document in src/tickplant/gateway", _INTRO)]
    tags = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags[operation["tags"][0]].append((method.upper(), path, operation))
    parts.append(_overview(tags))
    for tag, operations in tags.items():
        parts.append(f"## {tag}\n")
        parts += [_operation(*operation) for operation in operations]
    parts.append("## Shapes\n\nThe JSON objects that the answers above are made of.\n")
    schemas = document["components"]["schemas"]
    parts += [_schema(name, schemas[name]) for name in sorted(schemas)]
    return "\n".join(parts)


def _overview(tags: Mapping[str, list[tuple[str, str, Json]]]) -> str:
    rows = [
        (f"[`{method} {path}`](#{anchor(f'{method} {path}')})", operation["summary"])
        for operations in tags.values()
        for method, path, operation in operations
    ]
    return table(("route", "what it is for"), rows)


def _operation(method: str, path: str, operation: Json) -> str:
    parts = [f"### {method} {path}\n\n{flow(operation['description'])}\n"]
    if operation["parameters"]:
        rows = [_parameter(one) for one in operation["parameters"]]
        parts.append(table(("parameter", "in", "allowed", "default", "meaning"), rows))
    if "requestBody" in operation:
        parts.append(_body(operation["requestBody"]))
    parts.append(_answers(operation["responses"]))
    return "\n".join(parts)


def _parameter(one: Json) -> tuple[str, ...]:
    schema = one["schema"]
    default = "required" if one["required"] else _shown(schema.get("default"))
    return code(one["name"]), one["in"], _type(schema), default, one["description"]


def _shown(value: Any) -> str:
    return "" if value is None else code(value)


def _body(body: Json) -> str:
    names = ", ".join(map(code, body["content"]))
    content = body["content"].get("application/json")
    if content is None:
        return f"Body: {names}.\n"
    schema = content["schema"]
    ways = schema.get("anyOf") or schema.get("oneOf") or [schema]
    row = ways[0].get("items", ways[0])
    shapes = _shapes(ways)
    needed = set(row.get("required", ()))
    rows = [
        (code(name), _type(field), "yes" if name in needed else "", field.get("description", ""))
        for name, field in row["properties"].items()
    ]
    examples = [one["value"] for one in content.get("examples", {}).values()]
    example = json.dumps([*examples, content.get("example")][0])
    return (
        f"Body: {names}.{shapes}\n\n"
        + table(("field", "type", "needed", "meaning"), rows)
        + f"\nFor example:\n\n```json\n{example}\n```\n"
    )


def _shapes(ways: list[Json]) -> str:
    """Return in words how rows may be written in a body; nothing for an object of fields."""
    words = {"object": "one object", "array": "a list of objects"}
    told = [words[ways[0]["type"]]]
    for way in ways[1:]:
        key = next(iter(way.get("properties", ())), None)
        told.append("a list of them" if key is None else f'`{{"{key}": [...]}}`')
    if len(ways) == 1 and ways[0]["type"] == "object":
        return ""
    *first, last = told
    return f" JSON is {', '.join(first)} or {last}." if first else f" JSON is {last}."


def _answers(responses: Json) -> str:
    lines = []
    for status, answer in responses.items():
        content = answer.get("content", {})
        shapes = ", ".join(_shape(media, one["schema"]) for media, one in content.items())
        said = answer["description"]
        lines.append((status, f"{said}: {shapes}" if shapes else said))
    return table(("status", "answer"), lines)


def _shape(media: str, schema: Json) -> str:
    name = schema.get("$ref", "").rpartition("/")[2]
    return f"[{name}](#{anchor(name)})" if name else code(media)


def _schema(name: str, schema: Json) -> str:
    needed = set(schema.get("required", ()))
    rows = [
        (
            code(field),
            _type(one),
            "" if field in needed else "may be left out",
            one.get("description", ""),
        )
        for field, one in schema.get("properties", {}).items()
    ]
    about = flow(schema.get("description", ""))
    return f"### {name}\n\n{about}\n\n{table(('field', 'type', '', 'meaning'), rows)}"


def _type(schema: Json) -> str:
    return " or ".join(dict.fromkeys(_types(schema)))


def _types(schema: Json) -> Iterator[str]:
    if "$ref" in schema:
        yield _shape("", schema)
    elif "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _types(one)
    elif "enum" in schema:
        yield from (code(_word(value)) for value in schema["enum"])
    elif "const" in schema:
        yield code(schema["const"])
    elif isinstance(schema.get("type"), list):
        for kind in schema["type"]:
            yield from _types({**schema, "type": kind})
    else:
        yield _simple(schema)


def _word(value: object) -> object:
    return "null" if value is None else value


def _simple(schema: Json) -> str:
    kind = schema.get("type", "any")
    if kind == "array":
        inner = schema.get("items", {})
        return f"list of {_type(inner)}" if inner else "list"
    if "pattern" in schema:
        return code(schema["pattern"])
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None:
        return f"{kind} from {low}" + ("" if high is None else f" to {high}")
    if kind == "string" and "maxLength" in schema:
        return f"string of at most {schema['maxLength']}"
    return str(kind)
