"""Page tokens: where the next page begins, in which snapshot, and of which query.

A token is MessagePack and four bytes of CRC-32, base64url. It is no secret and grants nothing; the
checksum is there to tell a damaged token from a good one.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from tickplant.model.errors import InvalidParameter
from tickplant.store.contract import AsOf

_FREE = frozenset({"limit", "page_token", "format"})
_DAMAGED = "a next_page_token of an earlier answer, unchanged"
_FOREIGN = (
    "used only with the parameters of the page that it came from (limit and format may differ)"
)


class Token(msgspec.Struct, array_like=True, frozen=True):
    """A place in one query's rows.

    `place` is two integers whose meaning is the route's; `seq_max` and `ts_recv_max` are the
    snapshot that all pages of the query show.
    """

    query: int
    place: tuple[int, int]
    seq_max: int | None = None
    ts_recv_max: int | None = None

    @property
    def as_of(self) -> AsOf:
        """The snapshot."""
        return AsOf(self.seq_max, self.ts_recv_max)


def fingerprint(route: str, values: Mapping[str, Any]) -> int:
    """Return a number that stands for a query, without what may change between its pages."""
    kept = sorted((name, str(value)) for name, value in values.items() if name not in _FREE)
    return zlib.crc32(msgspec.msgpack.encode([route, kept]))


def encode_token(query: int, place: tuple[int, int], as_of: AsOf) -> str:
    """Return the token of the page that begins after (or at) `place`."""
    body = msgspec.msgpack.encode(Token(query, place, as_of.seq_max, as_of.ts_recv_max))
    checksum = zlib.crc32(body).to_bytes(4, "big")
    return base64.urlsafe_b64encode(body + checksum).decode().rstrip("=")


def decode_token(text: str, query: int) -> Token:
    """Return what a token says. Raises `InvalidParameter` for a damaged or a foreign one."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        body, checksum = raw[:-4], raw[-4:]
        if zlib.crc32(body).to_bytes(4, "big") != checksum:
            raise ValueError("checksum")
        token = msgspec.msgpack.decode(body, type=Token)
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InvalidParameter("page_token", text, _DAMAGED) from None
    if token.query != query:
        raise InvalidParameter("page_token", text, _FOREIGN)
    return token


def pin(as_of: AsOf, seq_last: int) -> AsOf:
    """Return the snapshot that ends at `seq_last` or earlier, so that later arrivals stay out."""
    seq_max = seq_last if as_of.seq_max is None else min(as_of.seq_max, seq_last)
    return AsOf(seq_max, as_of.ts_recv_max)
