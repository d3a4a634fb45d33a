"""The format of a segment: one preallocated file that holds a run of records.

    file name      NNNNNNNN-FFFFFFFFFFFFFFFFFFFF.seg
                   N: the segment's number, which only grows; F: the first sequence number in it
    segment        header (64 bytes), record, record, …, then zeros to the allocated end while it
                   is written to, an end mark (16 bytes) once it is closed
    segment header magic 8s, crc u32, version u32, number u64, seq_first i64, ordinal u64,
                   created_ns i64, allocated u64, zeros
    record         header (48 bytes), payload, zeros up to a multiple of 8 bytes
    record header  magic u32, crc u32, length u32, count u32, seq_first i64, ordinal u64,
                   place u32, batch u32, segment u32, kind u16, zero u16
    end mark       magic u32, crc u32, place u32, segment u32

All integers are little-endian; both crc are CRC-32 (zlib) of everything behind them, payload
included and padding not. A file that is shorter than allocated and has no end mark was cut.

`ordinal` numbers the records of the whole journal without a hole, records without sequence
numbers included: it shows what is missing and what is there twice. A segment whose header says
ordinal N supersedes every record from N on in the segments before it: so a batch that was
rewritten to a new segment after a failed sync is read once, even where the old file could not be
cut. `place` is the record's own offset in units of 8 bytes and `segment` its segment's number,
so that a copy of a record inside a payload is never taken for one. `batch` is the place where the
write that carried the record began: whatever is before it was durable by then.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

from tickplant.log.disk import Buffer

VERSION = 1
SEGMENT_MAGIC = b"tpjournl"
RECORD_MAGIC = 0x31_4A_50_54  # "TPJ1" in the file
RECORD_MAGIC_BYTES = RECORD_MAGIC.to_bytes(4, "little")
END_MAGIC = 0x45_4A_50_54  # "TPJE" in the file
END_BYTES = 16
SEGMENT_HEADER_BYTES = 64
RECORD_HEADER = struct.Struct("<IIIIqQIIIHH")
RECORD_HEADER_BYTES = RECORD_HEADER.size
PAYLOAD_BYTES_MAX = (1 << 32) - 1
ALIGN = 8

_BODY = struct.Struct("<IIqQIIIHH")
_PAIR = struct.Struct("<II")
_SEGMENT = struct.Struct("<IQqQqQ")
_SEGMENT_BODY_BYTES = SEGMENT_HEADER_BYTES - len(SEGMENT_MAGIC) - 4
_NAME = re.compile(r"(\d{8,})-(\d{20})\.seg\Z")
_PADDING = tuple(bytes(n) for n in range(ALIGN))

assert RECORD_HEADER_BYTES == 48
assert _SEGMENT.size <= _SEGMENT_BODY_BYTES


class SegmentHeader(NamedTuple):
    """What a segment says of itself."""

    version: int
    number: int
    seq_first: int
    ordinal: int
    created_ns: int
    allocated: int


def segment_name(number: int, seq_first: int) -> str:
    """Return the file name of a segment."""
    return f"{number:08d}-{seq_first:020d}.seg"


def parse_name(name: str) -> tuple[int, int] | None:
    """Return (number, first seq) of a segment's file name, or None where it is no such name."""
    match = _NAME.match(name)
    return (int(match[1]), int(match[2])) if match else None


def encode_segment_header(
    number: int, seq_first: int, ordinal: int, created_ns: int, allocated: int
) -> bytes:
    """Return the 64 bytes that a segment begins with."""
    body = _SEGMENT.pack(VERSION, number, seq_first, ordinal, created_ns, allocated)
    body = body.ljust(_SEGMENT_BODY_BYTES, b"\0")
    return SEGMENT_MAGIC + zlib.crc32(body).to_bytes(4, "little") + body


def parse_segment_header(data: bytes) -> SegmentHeader | None:
    """Return the header, or None where its checksum, magic or version does not hold."""
    start = len(SEGMENT_MAGIC) + 4
    body = data[start:SEGMENT_HEADER_BYTES]
    if len(body) != _SEGMENT_BODY_BYTES or data[: len(SEGMENT_MAGIC)] != SEGMENT_MAGIC:
        return None
    if zlib.crc32(body) != int.from_bytes(data[len(SEGMENT_MAGIC) : start], "little"):
        return None
    header = SegmentHeader(*_SEGMENT.unpack_from(body))
    return header if header.version == VERSION else None


def record_size(length: int) -> int:
    """Return the bytes that a record with a payload of `length` bytes takes in a segment."""
    return (RECORD_HEADER_BYTES + length + ALIGN - 1) & -ALIGN


def padding(length: int) -> bytes:
    """Return the zeros that follow a payload of `length` bytes."""
    return _PADDING[-length % ALIGN]


def encode_end(segment: int, offset: int) -> bytes:
    """Return the 16 bytes that follow the last record of a closed segment, at `offset`."""
    body = _PAIR.pack(offset // ALIGN, segment & 0xFFFF_FFFF)
    return _PAIR.pack(END_MAGIC, zlib.crc32(body)) + body


def encode_record_header(
    *,
    kind: int,
    seq_first: int,
    count: int,
    payload: Buffer,
    ordinal: int,
    segment: int,
    offset: int,
    batch: int,
) -> bytes:
    """Return the 48 bytes before a payload that goes to `offset` in a write from `batch` on."""
    body = _BODY.pack(
        len(payload),
        count,
        seq_first,
        ordinal,
        offset // ALIGN,
        batch // ALIGN,
        segment & 0xFFFF_FFFF,
        kind,
        0,
    )
    crc = zlib.crc32(payload, zlib.crc32(body))
    return _PAIR.pack(RECORD_MAGIC, crc) + body
