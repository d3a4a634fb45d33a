"""Messages of the ingest socket, both ways, and its three wire formats.

JSON text frames always; with the subprotocol `msgpack` the same messages as MessagePack in binary
frames, with `arrow` rows as Arrow IPC streams in binary frames, whose schema has `seq` and `table`
in its metadata. A message whose number can be read is answered under it, and a bad one closes
nothing; a frame that cannot be read at all ends the connection, because its producer could not
tell which of its messages was refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

import msgspec
import pyarrow as pa

from tickplant.formats.parse_arrow import parse_arrow
from tickplant.formats.parse_json import parse_json
from tickplant.formats.parse_msgpack import parse_msgpack
from tickplant.formats.parsed import Parsed
from tickplant.formats.values import FIELDS
from tickplant.model.errors import UserError, shorten
from tickplant.model.instruments import VENUE_ALLOWED, is_venue
from tickplant.model.times import parse_time

Frame = str | bytes

ARROW, MSGPACK = "arrow", "msgpack"
SUBPROTOCOLS = (ARROW, MSGPACK)
TABLES = tuple(FIELDS)
"""The tables that producers may send rows of."""

SEQ_MAX = 2**63 - 1
NAME_MAX = 64
SYMBOLS_MAX = 50_000

NOT_ALLOWED, UNSUPPORTED, UNREADABLE, TOO_LARGE = 1008, 1003, 1007, 1009
RESTART, TRY_LATER, FAILED = 1012, 1013, 1011


class BadMessage(Exception):
    """A message that is answered with `error`; `seq` is its number, None for one without."""

    def __init__(self, code: str, message: str, seq: int | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.seq = seq
        self.extra = extra


@dataclass(slots=True)
class Closing(Exception):
    """The connection is to be closed with this code and reason."""

    code: int
    reason: str


class Hello(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Say who sends: a `producer` whose numbers name its messages, a `feed` that covers.

    `start` is from when on the feed delivers everything; with `resume` that is where it had come.
    """

    op: str
    producer: str | None = None
    feed: str | None = None
    venue: str | None = None
    symbols: list[str] | None = None
    start: int | str | None = None
    resume: bool = False


class Alive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything up to `ts` (None is now) was sent."""

    op: str
    ts: int | str | None = None


class Hole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The feed knows that it has missed a span."""

    op: str
    start: int | str
    end: int | str
    detail: str | None = None


class End(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The feed has come to its end: what comes after is not missed."""

    op: str


class Ping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ask whether anyone is there."""

    op: str
    id: int | str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table under the producer's number."""

    seq: int
    table: str
    parsed: Parsed


Message = Hello | Rows | Alive | Hole | End | Ping

_KINDS: dict[str, type[Hello] | type[Alive] | type[Hole] | type[End] | type[Ping]] = {
    "hello": Hello,
    "alive": Alive,
    "hole": Hole,
    "end": End,
    "ping": Ping,
}
_OPS = ("rows", *_KINDS)


class _Envelope(msgspec.Struct, gc=False):
    """What every message has, and rows as they stand, so that they are parsed by columns."""

    op: Any = None
    seq: Any = None
    table: Any = None
    rows: msgspec.Raw = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class Codec:
    """How messages are read and written in one wire format."""

    name: str
    decode: Callable[[bytes], Any]
    open: Callable[[bytes], _Envelope]
    parse: Callable[[str, bytes], Parsed]
    pack: Callable[[Any], Frame]

    def message(self, op: str, **fields: Any) -> Frame:
        """Return a message; fields that are None stay, as null."""
        return self.pack({"op": op, **fields})

    def error(self, fault: BadMessage) -> Frame:
        """Return the answer to a message that was not taken."""
        return self.message(
            "error", seq=fault.seq, code=fault.code, message=fault.message, **fault.extra
        )


JSON_CODEC = Codec(
    "json",
    msgspec.json.decode,
    msgspec.json.Decoder(_Envelope).decode,
    parse_json,
    lambda message: msgspec.json.encode(message).decode(),
)
MSGPACK_CODEC = Codec(
    MSGPACK,
    msgspec.msgpack.decode,
    msgspec.msgpack.Decoder(_Envelope).decode,
    parse_msgpack,
    msgspec.msgpack.encode,
)


def codec_of(subprotocol: str | None) -> Codec:
    """Return the codec in which the connection is answered."""
    return MSGPACK_CODEC if subprotocol == MSGPACK else JSON_CODEC


def read_message(data: Frame, subprotocol: str | None) -> Message:
    """Return the message in a frame, its rows as columns; any thread may call it.

    Raises `BadMessage` for one that is to be refused, `Closing` where the frame cannot be read.
    """
    if isinstance(data, str):
        return _read_plain(data.encode(), JSON_CODEC)
    if subprotocol == MSGPACK:
        return _read_plain(data, MSGPACK_CODEC)
    if subprotocol == ARROW:
        return _read_arrow(data)
    allowed = " or ".join(SUBPROTOCOLS)
    raise Closing(UNSUPPORTED, f"binary frames need the subprotocol {allowed}; send JSON text")


def _read_plain(data: bytes, codec: Codec) -> Message:
    try:
        envelope = codec.open(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise Closing(UNREADABLE, f"the frame is no message in {codec.name}: {fault}") from None
    kind = _KINDS.get(envelope.op) if isinstance(envelope.op, str) else None
    if kind is not None:
        return _read_control(data, codec, envelope.op, kind)
    if envelope.op != "rows":
        allowed = ", ".join(_OPS)
        detail = f"op: {shorten(envelope.op)} is not allowed; allowed is {allowed}"
        raise BadMessage("unknown_op", detail, envelope.seq if _is_seq(envelope.seq) else None)
    seq = _seq_of(envelope.seq)
    table = _table_of(envelope.table, seq)
    rows = bytes(envelope.rows)
    if not rows:
        raise BadMessage("bad_message", "rows: they are missing; allowed is a list of rows", seq)
    return _parsed(codec.parse, seq, table, rows)


def _read_control(data: bytes, codec: Codec, op: str, kind: type[Any]) -> Message:
    try:
        found: Message = msgspec.convert(codec.decode(data), kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as fault:
        raise BadMessage("bad_message", f"{op}: {fault}") from None
    return found


def _read_arrow(data: bytes) -> Message:
    try:
        with pa.ipc.open_stream(data) as reader:
            said = reader.schema.metadata or {}
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as fault:
        raise Closing(UNREADABLE, f"the frame is no Arrow IPC stream: {fault}") from None
    seq = said.get(b"seq", b"")
    number = _seq_of(int(seq) if seq.isdigit() and len(seq) < NAME_MAX else seq.decode("latin-1"))
    table = _table_of(said.get(b"table", b"").decode("latin-1"), number)
    return _parsed(parse_arrow, number, table, data)


def _parsed(parse: Callable[[str, bytes], Parsed], seq: int, table: str, body: bytes) -> Message:
    try:
        return Rows(seq, table, parse(table, body))
    except UserError as fault:
        raise BadMessage("bad_rows", fault.detail, seq) from None


def _is_seq(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SEQ_MAX


def _seq_of(value: object) -> int:
    if not _is_seq(value):
        allowed = "a whole number from 0 on, in every message with rows"
        raise Closing(UNREADABLE, f"seq: {shorten(value, 20)} is not allowed; allowed is {allowed}")
    return value


def _table_of(value: object, seq: int) -> str:
    if not isinstance(value, str) or value not in TABLES:
        allowed = ", ".join(TABLES)
        detail = f"table: {shorten(value)} is not allowed; allowed is {allowed}"
        raise BadMessage("bad_table", detail, seq)
    return value


def time_of(value: int | str, name: str) -> int:
    """Return a time of a message, ns UTC; raises `BadMessage`."""
    try:
        return parse_time(value, name)
    except UserError as fault:
        raise BadMessage("bad_message", fault.detail) from None


def check_hello(hello: Hello) -> None:
    """Raise `BadMessage` for names that are not allowed."""
    for field in ("producer", "feed"):
        name = getattr(hello, field)
        if name is not None and not (0 < len(name) <= NAME_MAX and name.isprintable()):
            allowed = f"a text of 1 to {NAME_MAX} characters"
            raise _refused(field, name, allowed)
    if hello.venue is not None and not is_venue(hello.venue):
        raise _refused("venue", hello.venue, VENUE_ALLOWED)
    if hello.symbols is not None and len(hello.symbols) > SYMBOLS_MAX:
        raise _refused("symbols", len(hello.symbols), f"at most {SYMBOLS_MAX}")
    about_feed = hello.symbols is not None or hello.start is not None or hello.resume
    if hello.feed is None and about_feed:
        detail = "feed: it is missing; symbols, start and resume are about a feed"
        raise BadMessage("bad_message", detail)


def _refused(name: str, value: object, allowed: str) -> BadMessage:
    return BadMessage(
        "bad_message", f"{name}: {shorten(value)} is not allowed; allowed is {allowed}"
    )
