"""Request bodies: read with a bound while they stream in, and unpacked with the same bound."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from starlette.requests import Request

from tickplant.gateway.rest.problems import BodyTooLarge
from tickplant.model.errors import (
    Complaint,
    InvalidBody,
    Overloaded,
    UnsupportedMedia,
    shorten,
)

THREAD_BYTES = 64 * 1024
"""Larger bodies are unpacked and parsed in a thread, so that the event loop does not wait."""

MEMBERS_MAX = 10_000
"""Most members of a gzip body: each costs a copy of the rest of its piece."""

_GZIP = 16 + zlib.MAX_WBITS
_PIECE_BYTES = 64 * 1024


class BodyRoom:
    """Room for the bodies that are in memory at one time; belongs to one event loop."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.bytes_held = 0

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Give a function that takes room for some bytes, and give it all back at the end.

        The function raises `Overloaded` where there is no room left.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            self.take(size)
            held += size

        try:
            yield take
        finally:
            self.give_back(held)

    def take(self, size: int) -> None:
        """Take room until `give_back`. Raises `Overloaded` where there is none left."""
        if self.bytes_held + size > self._bytes_max:
            raise Overloaded(
                f"bodies of {self.bytes_held} bytes are being read; "
                f"at most {self._bytes_max} bytes may be"
            )
        self.bytes_held += size

    def give_back(self, size: int) -> None:
        """Give room back that was taken."""
        self.bytes_held -= size


async def read_body(
    request: Request, bytes_max: int, take: Callable[[int], None] = lambda size: None
) -> bytes:
    """Return the body, unpacked; `take` is told of bytes before they are kept.

    Raises `BodyTooLarge` as soon as more than `bytes_max` bytes are announced, have come, or come
    out of the packing; `UnsupportedMedia` for a coding other than gzip; `InvalidBody` for one that
    is damaged.
    """
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"identity", "gzip", "x-gzip", ""}:
        raise UnsupportedMedia(
            f"Content-Encoding: {shorten(coding)} is not read; allowed is gzip or identity",
            [Complaint(("header", "content-encoding"), "allowed is gzip or identity", coding)],
        )
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and (len(announced) > 18 or int(announced) > bytes_max):
        raise too_large(bytes_max)
    body = await _collect(request, bytes_max, take)
    if "gzip" not in coding:
        return body
    if len(body) > THREAD_BYTES // 4:
        unpacked = await asyncio.to_thread(gunzip, body, bytes_max)
    else:
        unpacked = gunzip(body, bytes_max)
    take(len(unpacked))
    return unpacked


async def _collect(request: Request, bytes_max: int, take: Callable[[int], None]) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > bytes_max:
            raise too_large(bytes_max)
        take(len(chunk))
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def gunzip(packed: bytes, bytes_max: int) -> bytes:
    """Return what gzip packed, of one or several members (RFC 1952)."""
    out: list[bytes] = []
    at, left, members = 0, bytes_max, 0
    view = memoryview(packed)
    try:
        while at < len(packed):
            members += 1
            if members > MEMBERS_MAX:
                raise zlib.error(f"it has more than {MEMBERS_MAX} members")
            member = zlib.decompressobj(_GZIP)
            while not member.eof:
                piece = view[at : at + _PIECE_BYTES]
                if not piece:
                    raise zlib.error("the stream ends early")
                out.append(member.decompress(piece, left + 1))
                left -= len(out[-1])
                if left < 0:
                    raise too_large(bytes_max)
                at += len(piece) - len(member.unused_data)
    except zlib.error as fault:
        raise InvalidBody(
            f"body: is not valid gzip ({fault})", [Complaint(("body",), "valid gzip")]
        ) from None
    return b"".join(out)


def too_large(bytes_max: int) -> BodyTooLarge:
    """Return the error that names the bound."""
    said = f"at most {bytes_max} bytes (server.body_mb_max = {bytes_max >> 20}), unpacked"
    return BodyTooLarge(
        f"body: is too large; allowed is {said}; send it in parts", [Complaint(("body",), said)]
    )


def decode_json(request: Request, body: bytes) -> Any:
    """Return what a body of JSON says. Raises `InvalidBody` or `UnsupportedMedia`."""
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if media.lower() != "application/json":
        raise UnsupportedMedia(
            f"Content-Type: {shorten(media)} is not read here; allowed is application/json",
            [Complaint(("header", "content-type"), "allowed is application/json", media)],
        )
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidBody(f"body: is not JSON ({fault})", [Complaint(("body",), "JSON")]) from None
