"""The AsyncAPI 3 document, made of the message models of the sockets."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tickplant.gateway.asyncapi import examples, ingest, seeds, stream
from tickplant.gateway.ingest import protocol as ingest_protocol
from tickplant.gateway.keys.rules import SOCKETS
from tickplant.gateway.rest.models import BookModel
from tickplant.gateway.stream import protocol as stream_protocol
from tickplant.plant.published import CHANNELS
from tickplant.version import VERSION

Struct = type[msgspec.Struct]
_SCHEMA = "#/components/schemas/{name}"
_ABOUT = (
    "What is said over the plant's WebSockets. Frames are JSON text; `/v1/stream` and `/v1/ingest` "
    "speak the same messages as MessagePack with the subprotocol `msgpack`. Where the plant asks "
    "for keys, one is shown as `Authorization: Bearer KEY`, as `X-API-Key`, or by a browser as the "
    "subprotocol `tickplant.key.KEY`; a socket without one is closed with 1008."
)
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "httpApiKey", "in": "header", "name": "X-API-Key"},
}


@dataclass(frozen=True, slots=True)
class Socket:
    """A WebSocket: what it hears from its clients, and what it says to them."""

    name: str
    address: str
    doc: str
    hears: Mapping[str, Struct]
    says: Mapping[str, Struct]
    examples: Mapping[str, Mapping[str, Any]]
    query: Mapping[str, str]


def _named(structs: Iterable[Struct]) -> dict[str, Struct]:
    return {struct.__name__: struct for struct in structs}


_SYMBOL = {"symbol": "Only these, with commas between; all where there is none."}
_BARS = "Bars of every {name}, each whenever it changes."
ALL = (
    Socket(
        "stream",
        "/v1/stream",
        "Trades, quotes, statistics, books, candles and notices, from now or from any time.",
        _named((stream_protocol.Subscribe, stream_protocol.Unsubscribe, stream_protocol.Ping)),
        _named(stream.SAID),
        examples.STREAM,
        {},
    ),
    Socket(
        "ingest",
        "/v1/ingest",
        "Rows of any table; each message is acknowledged when its rows are on disk.",
        {
            **_named((ingest_protocol.Hello, ingest.RowsSent, ingest_protocol.Alive)),
            **_named((ingest_protocol.Hole, ingest_protocol.End, ingest_protocol.Ping)),
        },
        _named(ingest.SAID),
        examples.INGEST,
        {"strict": "`true` refuses a message as a whole where one of its rows is bad."},
    ),
    Socket(
        "ticker",
        "/ws",
        "Ticks of the symbols that a client subscribes to, in the words of a ticker.",
        _named((seeds.Action,)),
        _named(seeds.TICKER),
        examples.SEEDS,
        {},
    ),
    Socket(
        "ticks",
        "/ws/ticks",
        "Ticks, one a frame.",
        _named((seeds.Action,)),
        _named(seeds.TICKS),
        examples.SEEDS,
        _SYMBOL,
    ),
    *(
        Socket(
            f"bars_{name}",
            f"/ws/ohlc/{name}",
            _BARS.format(name=name),
            _named((seeds.Action,)),
            _named(seeds.BARS),
            examples.SEEDS,
            _SYMBOL,
        )
        for name in ("minute", "hour", "day")
    ),
)
"""Every WebSocket there is."""


def asyncapi_document(prefix: str = "") -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the sockets, which lie under `prefix`."""
    components: dict[str, Any] = {"schemas": {}, "messages": {}}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for socket in ALL:
        channels[socket.name] = _channel(socket, components)
        operations |= _operations(socket)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tickplant's sockets",
            "version": VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "plant": {
                "host": "127.0.0.1:8000",
                "protocol": "ws",
                "pathname": prefix or "/",
                "description": "Where the plant listens; `wss` where it speaks TLS.",
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {**components, "securitySchemes": _SECURITY},
    }


def _channel(socket: Socket, components: dict[str, Any]) -> dict[str, Any]:
    messages = {}
    for name, struct in {**socket.hears, **socket.says}.items():
        key = f"{socket.name}_{name}"
        components["messages"][key] = _message(name, struct, socket, components["schemas"])
        messages[name] = {"$ref": f"#/components/messages/{key}"}
    channel: dict[str, Any] = {
        "address": socket.address,
        "description": f"{socket.doc} Needs the scope `{SOCKETS[socket.address]}`.",
        "servers": [{"$ref": "#/servers/plant"}],
        "messages": messages,
    }
    if socket.query:
        fields = {
            name: {"type": "string", "description": doc} for name, doc in socket.query.items()
        }
        channel["bindings"] = {
            "ws": {"method": "GET", "query": {"type": "object", "properties": fields}}
        }
    return channel


def _operations(socket: Socket) -> dict[str, Any]:
    """Return what the plant does with a socket: it receives what clients send, and sends."""
    made = {}
    for action, names in (("receive", socket.hears), ("send", socket.says)):
        made[f"{action}_{socket.name}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{socket.name}"},
            "messages": [{"$ref": f"#/channels/{socket.name}/messages/{name}"} for name in names],
        }
    return made


def _message(name: str, struct: Struct, socket: Socket, schemas: dict[str, Any]) -> dict[str, Any]:
    doc = inspect.cleandoc(struct.__doc__ or "")
    return {
        "name": name,
        "summary": doc.partition("\n\n")[0].replace("\n", " "),
        "description": doc,
        "contentType": "application/json",
        "payload": _payload(struct, f"{socket.name}_{name}", schemas),
        "examples": [{"name": name, "payload": dict(socket.examples[name])}],
    }


def _payload(struct: Struct, name: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a message, and add it and those that it is made of to `schemas`."""
    _, parts = msgspec.json.schema_components([struct], ref_template=_SCHEMA)
    own = struct.__name__
    schemas |= {part: schema for part, schema in parts.items() if part != own}
    schema = parts[own]
    _say_op(schema, struct)
    if struct is stream.Books:
        _add_tops(schema, schemas)
    schemas[name] = schema
    return {"$ref": _SCHEMA.format(name=name)}


def _say_op(schema: dict[str, Any], struct: Struct) -> None:
    """Narrow what a message is told by, and its channel: its model takes any text."""
    fields = schema["properties"]
    if fields.get("op", {}).get("type") == "string":
        fields["op"] = {"const": struct.__name__.lower()}
    if struct is stream_protocol.Subscribe:
        fields["channel"] = {"enum": list(CHANNELS)}


def _add_tops(schema: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Let events of books be whole books, too, as `depth` or `rate_ms` asks for."""
    model = BookModel.model_json_schema(ref_template=_SCHEMA.replace("{name}", "{model}"))
    schemas |= model.pop("$defs", {})
    schemas["BookModel"] = model
    events = schema["properties"]["events"]
    events["items"] = {"anyOf": [events["items"], {"$ref": _SCHEMA.format(name="BookModel")}]}
