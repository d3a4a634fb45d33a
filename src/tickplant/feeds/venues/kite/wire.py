"""What goes over a connection to Zerodha Kite Connect, version 3: requests and binary packets.

A frame is text (JSON, begins with `{`), a heartbeat of one byte, or packets: how many there are
(uint16), then the length (uint16) and the bytes of each. All numbers are big-endian. Prices are
whole numbers of a unit that the segment gives, the lowest byte of the instrument's token; times
are seconds since 1970, UTC. See https://kite.trade/docs/connect/v3/websocket/.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal
from urllib.parse import urlencode

import msgspec
import numpy as np
from numpy.typing import NDArray

from tickplant.feeds.venues.contract import Dial, Outgoing
from tickplant.feeds.venues.options import Account

URL = "wss://ws.kite.trade"
HTTP_URL = "https://api.kite.trade"
HEADERS = {"X-Kite-Version": "3"}

Mode = Literal["ltp", "quote", "full"]
MODES: tuple[Mode, ...] = ("ltp", "quote", "full")
"""How much of an instrument is sent, each more than the one before."""

_LEVEL = [("quantity", ">u4"), ("price", ">i4"), ("orders", ">u2"), ("unused", "V2")]
_QUOTE = [
    ("token", ">u4"),
    ("last", ">i4"),
    ("last_quantity", ">u4"),
    ("average", ">i4"),
    ("volume", ">u4"),
    ("buy_quantity", ">u4"),
    ("sell_quantity", ">u4"),
    ("open", ">i4"),
    ("high", ">i4"),
    ("low", ">i4"),
    ("close", ">i4"),
]
_INDEX = [
    ("token", ">u4"),
    ("last", ">i4"),
    ("high", ">i4"),
    ("low", ">i4"),
    ("open", ">i4"),
    ("close", ">i4"),
    ("change", ">i4"),
]

LEVELS = 5
LEVEL = np.dtype(_LEVEL)
LTP = np.dtype([("token", ">u4"), ("last", ">i4")])
INDEX = np.dtype(_INDEX)
INDEX_FULL = np.dtype([*_INDEX, ("time", ">u4")])
QUOTE = np.dtype(_QUOTE)
FULL = np.dtype(
    [
        *_QUOTE,
        ("last_trade_time", ">u4"),
        ("open_interest", ">u4"),
        ("open_interest_high", ">u4"),
        ("open_interest_low", ">u4"),
        ("time", ">u4"),
        ("bids", LEVEL, (LEVELS,)),
        ("asks", LEVEL, (LEVELS,)),
    ]
)

KINDS: dict[Mode, tuple[np.dtype[np.void], ...]] = {
    "ltp": (LTP,),
    "quote": (QUOTE, INDEX),
    "full": (FULL, INDEX_FULL),
}
"""The packets of each mode: of an instrument, and of an index where that has others."""

PACKETS = {kind.itemsize: kind for kind in (LTP, INDEX, INDEX_FULL, QUOTE, FULL)}
"""The layout of a packet by its length: 8, 28, 32, 44 or 184 bytes."""

# Segments, by the lowest byte of a token.
NSE, NFO, CDS, BSE, BFO, BCD, MCX, MCXSX, INDICES = range(1, 10)

WITH_OPEN_INTEREST = (NFO, CDS, BFO, BCD, MCX, MCXSX)

_UNITS = np.full(256, 100.0)
_UNITS[CDS] = 1e7
_UNITS[BCD] = 1e4


def segments(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the segment of each instrument."""
    return tokens & 0xFF


def units(tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return by what the prices of each instrument are divided."""
    return _UNITS[segments(tokens)]


def dial(url: str, account: Account, place: int) -> Dial:
    """Return where an account, the `place`-th from 1, connects; only its place is shown."""
    query = urlencode({"api_key": account.key or "", "access_token": account.token or ""})
    mark = "&" if "?" in url else "?"
    return Dial(f"{url}{mark}{query}", dict(HEADERS), f"{url.partition('?')[0]} (account {place})")


def subscribe(tokens: Iterable[int]) -> Outgoing:
    """Return the request to send these instruments."""
    return _request("subscribe", sorted(tokens))


def unsubscribe(tokens: Iterable[int]) -> Outgoing:
    """Return the request to send them no more."""
    return _request("unsubscribe", sorted(tokens))


def set_mode(mode: Mode, tokens: Iterable[int]) -> Outgoing:
    """Return the request to send so much of them."""
    return _request("mode", [mode, sorted(tokens)])


def _request(action: str, value: Sequence[object]) -> Outgoing:
    return Outgoing(msgspec.json.encode({"a": action, "v": value}).decode())


class Message(msgspec.Struct):
    """A text frame: `order` (an update of one of our orders), `message`, `error`, and others."""

    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")

    def text(self) -> str:
        """Return what it says, as text."""
        try:
            return msgspec.json.decode(self.data, type=str)
        except msgspec.DecodeError:
            return bytes(self.data).decode(errors="replace")


decode_message = msgspec.json.Decoder(Message).decode
