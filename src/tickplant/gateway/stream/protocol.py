"""Messages of the stream, both ways, and their two wire formats.

JSON text frames, or MessagePack binary frames where the client asked for the subprotocol `msgpack`.
A message that cannot be taken is answered with an `error` of a code and, where it could be read,
the `id` of the message; the connection stays open.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tickplant.formats.pens import JsonPen, MsgpackPen
from tickplant.formats.pieces import Pen
from tickplant.gateway.stream.frames import Frame
from tickplant.model.errors import shorten
from tickplant.plant.encoded import Events

Id = int | str

MSGPACK = "msgpack"
EVENTS_BYTES_MAX = 256 * 1024
"""Most bytes of events in one frame: well below the 1 MiB that client libraries take by default."""


class ProtocolError(Exception):
    """A message that is answered with `error`. `extra` are further fields of the answer."""

    def __init__(self, code: str, message: str, id: Id | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = id
        self.extra = extra


class Subscribe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Begin to send. Without `id` the server gives one."""

    op: str
    channel: str
    id: Id | None = None
    symbols: list[str] | str | None = None
    venue: str | None = None
    kind: str | None = None
    from_: int | str | None = msgspec.field(name="from", default=None)
    run: int | None = None
    snapshot: bool = False
    interval: str | None = None
    basis: str | None = None
    timezone: str | None = None
    day_start: str | None = None
    calendar: str | None = None
    session: str | None = None
    name: list[str] | str | None = None
    period: int | None = None
    fast: int | None = None
    slow: int | None = None
    signal: int | None = None
    deviations: float | None = None
    source: str | None = None
    depth: int | None = None
    rate_ms: float | None = None


class Unsubscribe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send no more."""

    op: str
    id: Id


class Ping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask whether anyone is there."""

    op: str
    id: Id | None = None


Message = Subscribe | Unsubscribe | Ping
_KINDS: dict[str, type[Message]] = {
    "subscribe": Subscribe,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
}


class TradeEvent(msgspec.Struct, gc=False):
    """A trade on the wire; `corrects` is the `seq` of the trade that it amends."""

    symbol: str
    venue: str
    ts_event: str
    ts_recv: str
    seq: int
    price: float
    size: float | None
    side: str | None
    id: str | None
    conditions: str | None
    exchange: str | None
    flags: list[str]
    corrects: int | UnsetType = UNSET


class QuoteEvent(msgspec.Struct, gc=False):
    """A quote on the wire; a side that is missing is null."""

    symbol: str
    venue: str
    ts_event: str
    ts_recv: str
    seq: int
    bid_price: float | None
    bid_size: float | None
    ask_price: float | None
    ask_size: float | None
    exchange: str | None
    flags: list[str]


class StatEvent(msgspec.Struct, gc=False):
    """A statistic on the wire."""

    symbol: str
    venue: str
    ts_event: str
    ts_recv: str
    seq: int
    name: str
    value: float
    flags: list[str]


class BookEvent(msgspec.Struct, gc=False):
    """A step of a book on the wire: a snapshot, the levels that changed, or that it is lost.

    A level is [price, size] or [price, size, orders]; a size of 0 removes it. `state` is there in
    the snapshots with which a subscription begins.
    """

    symbol: str
    venue: str
    ts_event: str | None
    ts_recv: str | None
    seq: int | None
    action: str
    update: int | None
    bids: list[list[Any]]
    asks: list[list[Any]]
    state: str | UnsetType = UNSET


class CandleEvent(msgspec.Struct, gc=False):
    """A bar on the wire. `calendar` and `session` are left out where there is no calendar, `day`
    and `index` are there for bars by count, volume or value."""

    symbol: str
    venue: str
    interval: str
    basis: str
    timezone: str
    day_start: str
    start: str
    end: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    vwap: float | None
    count: int
    revision: int | None
    state: str
    coverage: float
    calendar: str | UnsetType = UNSET
    session: str | UnsetType = UNSET
    spread_min: float | UnsetType | None = UNSET
    spread_max: float | UnsetType | None = UNSET
    spread_mean: float | UnsetType | None = UNSET
    spread_bps: float | UnsetType | None = UNSET
    day: str | UnsetType = UNSET
    index: int | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Codec:
    """A wire format. `encode` makes the bytes of one value, `pen` those of many by columns.

    `open` makes what stands before so many events of a frame: `(id, channel, seq, count)`;
    `separator` stands between them (encoded events have it behind each), `close` behind them.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    pen: Pen
    open: Callable[[Id, str, int | None, int], bytes]
    separator: bytes
    close: bytes
    text: bool

    def message(self, op: str, **fields: Any) -> Frame:
        """Return a message other than data; fields that are None are left out."""
        return self.notice(
            {"op": op, **{name: value for name, value in fields.items() if value is not None}}
        )

    def notice(self, message: Mapping[str, Any]) -> Frame:
        """Return a message as it stands, with its nulls."""
        return Frame((self.encode(message),), text=self.text)

    def error(self, fault: ProtocolError) -> Frame:
        """Return the answer to a message that could not be taken."""
        return self.message(
            "error", id=fault.id, code=fault.code, message=fault.message, **fault.extra
        )

    def bundle(self, events: Sequence[bytes]) -> Events:
        """Return events that were encoded one by one, for a frame."""
        return Events.of(events, self.separator)

    def data(self, id: Id, channel: str, events: Events, seq: int | None = None) -> list[Frame]:
        """Return data frames of encoded events, in order, none of them too large.

        The last one says up to which number the subscription is complete, where that is known.
        """
        count = len(events)
        if not count:
            return []
        text = events.text
        if len(text) <= EVENTS_BYTES_MAX or count == 1:
            body = text[: -len(self.separator)] if self.separator else text
            return [Frame((self.open(id, channel, seq, count), body, self.close), text=self.text)]
        first, last = events.halves()
        return [*self.data(id, channel, first), *self.data(id, channel, last, seq)]


def _head(id: Id, channel: str, seq: int | None) -> dict[str, Any]:
    head: dict[str, Any] = {"op": "data", "id": id, "channel": channel}
    return head if seq is None else {**head, "seq": seq}


HEADS = 64
"""Heads of frames that are kept; groups with symbols of their own mostly have the same."""


@lru_cache(HEADS)
def _json_head(id: Id, channel: str, seq: int | None) -> bytes:
    return msgspec.json.encode({**_head(id, channel, seq), "events": []})[:-2]


@lru_cache(HEADS)
def _msgpack_head(id: Id, channel: str, seq: int | None) -> bytes:
    # The last byte is the placeholder 0; an array header of four length bytes takes its place.
    return msgspec.msgpack.encode({**_head(id, channel, seq), "events": 0})[:-1]


def _open_json(id: Id, channel: str, seq: int | None, count: int) -> bytes:
    return _json_head(id, channel, seq)


def _open_msgpack(id: Id, channel: str, seq: int | None, count: int) -> bytes:
    return _msgpack_head(id, channel, seq) + struct.pack(">BI", 0xDD, count)


JSON = Codec(
    "json", msgspec.json.Encoder().encode, msgspec.json.decode, JsonPen(), _open_json, b",", b"]}",
    text=True,
)  # fmt: skip
PACKED = Codec(
    MSGPACK, msgspec.msgpack.Encoder().encode, msgspec.msgpack.decode, MsgpackPen(), _open_msgpack,
    b"", b"", text=False,
)  # fmt: skip


def decode(data: str | bytes, codec: Codec) -> Message:
    """Return the message in a frame. Raises `ProtocolError`, with its id where there is one."""
    body = _body(data, codec)
    id = body.get("id")
    if isinstance(id, bool) or not isinstance(id, int | str | None):
        raise ProtocolError(
            "bad_message", f"id: {shorten(id)} is not allowed; allowed is an integer or a text"
        )
    if isinstance(id, str) and len(id) > 64:
        raise ProtocolError("bad_message", "id: allowed are at most 64 characters")
    op = body.get("op")
    kind = _KINDS.get(op) if isinstance(op, str) else None
    if kind is None:
        raise ProtocolError(
            "unknown_op", f"op: {shorten(op)} is not allowed; allowed is {', '.join(_KINDS)}", id
        )
    try:
        return msgspec.convert(body, kind)
    except msgspec.ValidationError as fault:
        raise ProtocolError("bad_message", f"{op}: {fault}", id) from None


def _body(data: str | bytes, codec: Codec) -> dict[str, Any]:
    if isinstance(data, str):
        codec, code = JSON, "bad_json"
    elif codec.text:
        raise ProtocolError(
            "bad_frame",
            f"binary frames are only taken with the subprotocol {MSGPACK}; send JSON text",
        )
    else:
        code = "bad_msgpack"
    try:
        body = codec.decode(data.encode() if isinstance(data, str) else data)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise ProtocolError(code, f"the frame cannot be read: {fault}") from None
    if not isinstance(body, dict):
        raise ProtocolError("bad_message", "a message is an object with the field op")
    return body
