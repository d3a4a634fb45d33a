"""The messages of Coinbase Exchange's WebSocket feed, as far as they are read.

Protocol: docs.cdp.coinbase.com, Exchange WebSocket channels. Types that are not known are to be
ignored.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec


class Change(msgspec.Struct, array_like=True, gc=False):
    """A price level; a size of 0 removes it."""

    side: Literal["buy", "sell"]
    price: float
    size: float


class Level(msgspec.Struct, array_like=True, gc=False):
    """A price level of a snapshot."""

    price: float
    size: float


class Update(msgspec.Struct, tag_field="type", tag="l2update", gc=False):
    """Changes of a book, of 50 ms together where subscribed to as `level2_batch`."""

    product_id: str
    time: str
    changes: list[Change]


class Snapshot(msgspec.Struct, tag_field="type", tag="snapshot", gc=False):
    """A whole book; older servers do not date it."""

    product_id: str
    bids: list[Level]
    asks: list[Level]
    time: str | None = None


class Match(msgspec.Struct, tag_field="type", tag="match", gc=False):
    """A trade; `trade_id` counts those of its product. `side` is the maker's."""

    product_id: str
    trade_id: int
    side: Literal["buy", "sell"]
    price: float
    size: float
    time: str


class LastMatch(Match, tag="last_match", gc=False):
    """The last trade before the subscription."""


class Ticker(msgspec.Struct, tag_field="type", tag="ticker", gc=False):
    """The best prices at a trade, None where there is none; older servers tell no sizes."""

    product_id: str
    time: str
    best_bid: float | None = None
    best_ask: float | None = None
    best_bid_size: float | None = None
    best_ask_size: float | None = None


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", gc=False):
    """Sent every second for each product, with the number of its last trade."""

    product_id: str
    time: str
    last_trade_id: int


class Subscribed(msgspec.Struct, gc=False):
    """The products of one channel."""

    name: str
    product_ids: list[str] = []


class Subscriptions(msgspec.Struct, tag_field="type", tag="subscriptions", gc=False):
    """Everything that the connection is subscribed to now."""

    channels: list[Subscribed]


class Error(msgspec.Struct, tag_field="type", tag="error", gc=False):
    """A request was refused, or the connection is at fault."""

    message: str = ""
    reason: str = ""


class Other(msgspec.Struct, gc=False):
    """A message of a type that is not read."""

    type: str


Known = Update | Snapshot | Match | LastMatch | Ticker | Heartbeat | Subscriptions | Error
AnyMessage = Known | Other

TYPES = (
    "l2update", "snapshot", "match", "last_match", "ticker", "heartbeat", "subscriptions", "error",
)  # fmt: skip

decode_known = msgspec.json.Decoder(Known, strict=False).decode
"""Decodes a message of a type that is read; prices and sizes stand in texts."""

_EMPTY = re.compile(rb':\s*""')
_decode_other = msgspec.json.Decoder(Other).decode


def decode(data: bytes) -> AnyMessage:
    """Return a message. Raises `msgspec.MsgspecError` for what is none."""
    known: Known
    try:
        known = decode_known(data)
        return known
    except msgspec.ValidationError:
        other: Other = _decode_other(data)
        if other.type == "ticker" and _EMPTY.search(data):  # a price that there is not
            known = decode_known(_EMPTY.sub(b":null", data))
            return known
        if other.type in TYPES:
            raise
        return other


class Product(msgspec.Struct):
    """A product as REST lists it."""

    id: str
    base_currency: str = ""
    quote_currency: str = ""
    quote_increment: float | None = None
    base_increment: float | None = None
    status: str = ""
    trading_disabled: bool = False


class PastTrade(msgspec.Struct):
    """A trade as REST gives it. `side` is the maker's."""

    trade_id: int
    side: Literal["buy", "sell"]
    price: float
    size: float
    time: str


class PastBook(msgspec.Struct):
    """A book as REST gives it at level 2; of a level the third value counts the orders."""

    bids: list[Level]
    asks: list[Level]
    time: str


decode_products = msgspec.json.Decoder(list[Product], strict=False).decode
decode_past_trades = msgspec.json.Decoder(list[PastTrade], strict=False).decode
decode_book = msgspec.json.Decoder(PastBook, strict=False).decode
