"""What a capture is: gzipped lines of JSON, a header and then what went over the wire, in order.

    {"capture":1,"feed":"kraken","venue":"kraken","streams":[["BTC-USD","trades"]],…}
    [ns, connection, "opened", "wss://…"]            an address without what may be secret
    [ns, connection, "sent", "…"]                    null: not kept, because it may hold a secret
    [ns, connection, "received", "…"]                a frame; binary ones are {"base64":"…"}
    [ns, connection, "more", "…"]                    a frame that was handled together with the last
    [ns, 0, "answered", {"path":…,"params":…,"status":…,"body":…}]
    [ns, connection, "closed", "why"]
    [ns, 0, "lost", n]                               n records that the disk was too slow for

Every file has the header, so that each can be read by itself. A file that ends in the midst of a
record, as after a crash, is read up to there.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tickplant.model.errors import UserError

VERSION = 1
SUFFIX = ".capture.gz"
OPENED, SENT, RECEIVED, MORE = "opened", "sent", "received", "more"
ANSWERED, CLOSED, LOST = "answered", "closed", "lost"

_GZIP = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 256 * 1024
_LINE_BYTES_MAX = 256 << 20
_SECRET_PARAMS = ("key", "secret", "token", "sign", "password", "auth")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Of which feed a capture is, as it was configured, without any secret."""

    capture: int = VERSION
    tickplant: str = ""
    feed: str = ""
    venue: str = ""
    streams: list[tuple[str, str]] = []
    options: dict[str, Any] = {}
    accounts: int = 0
    began: int = 0
    part: int = 1


class Record(NamedTuple):
    """One thing that happened. `data` is bytes for frames, None for a frame that was not kept."""

    ts: int
    connection: int
    kind: str
    data: Any


def encode_record(record: Record) -> bytes:
    """Return a record as a line."""
    data = record.data
    if record.kind == ANSWERED:
        data = {**data, "body": _shown(data["body"])}
    elif isinstance(data, bytes):
        data = _shown(data)
    return msgspec.json.encode((record.ts, record.connection, record.kind, data)) + b"\n"


def answer_data(path: str, params: Mapping[str, str], status: int, body: bytes) -> dict[str, Any]:
    """Return an answer over HTTP as it is kept: parameters that may be secret are left out."""
    kept = {
        name: value
        for name, value in params.items()
        if not any(part in name.lower() for part in _SECRET_PARAMS)
    }
    return {"path": path, "params": kept, "status": status, "body": body}


def _shown(data: bytes) -> str | dict[str, str]:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": b64encode(data).decode()}


def _kept(shown: Any) -> bytes:
    return b64decode(shown["base64"]) if isinstance(shown, dict) else str(shown).encode()


def read_header(path: Path) -> Header:
    """Return what a capture is of. Raises `UserError` where the file is none."""
    for line in _lines(path):
        return _header(path, line)
    raise UserError(f"{path}: it is no capture: it is empty, or damaged from the start")


def read_records(paths: Iterable[Path]) -> Iterator[Record]:
    """Yield the records of files, one after the other; a torn end is the end of its file."""
    for path in paths:
        lines = _lines(path)
        first = next(lines, None)
        if first is None:
            continue
        _header(path, first)
        for line in lines:
            try:
                yield _record(line)
            except (msgspec.MsgspecError, ValueError, TypeError, KeyError):
                break  # what follows what cannot be read is not to be trusted


def _header(path: Path, line: bytes) -> Header:
    try:
        header = msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UserError(f"{path}: it is no capture: it does not begin with a header") from None
    if header.capture != VERSION or not header.venue:
        raise UserError(f"{path}: a capture of version {header.capture} is not read here")
    return header


def _record(line: bytes) -> Record:
    ts, connection, kind, data = msgspec.json.decode(line)
    if kind in (RECEIVED, MORE) or (kind == SENT and data is not None):
        data = _kept(data)
    elif kind == ANSWERED:
        data = {**data, "body": _kept(data["body"])}
    return Record(int(ts), int(connection), str(kind), data)


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of a file up to where it is torn or damaged."""
    rest = b""
    for piece in _pieces(path):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
        if len(rest) > _LINE_BYTES_MAX:
            return


def _pieces(path: Path) -> Iterator[bytes]:
    """Yield what a gzipped file holds, of one member or several."""
    unpacker = zlib.decompressobj(_GZIP)
    with path.open("rb") as file:
        while packed := file.read(_PIECE_BYTES):
            while packed:
                try:
                    yield unpacker.decompress(packed, _PIECE_BYTES)
                except zlib.error:
                    return
                packed = unpacker.unconsumed_tail
                if unpacker.eof:
                    packed = unpacker.unused_data
                    unpacker = zlib.decompressobj(_GZIP)
