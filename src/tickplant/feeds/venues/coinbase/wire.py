"""The messages of Coinbase Advanced Trade's market data feed, as far as they are read.

Every message of a connection has the next `sequence_num`, whatever its channel. What is subscribed
to as `level2` comes as `l2_data`. Protocol: docs.cdp.coinbase.com, Advanced Trade WebSocket;
channels and messages that are not known are to be ignored.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec


class Level(msgspec.Struct, gc=False):
    """A price level; a `new_quantity` of 0 removes it."""

    side: Literal["bid", "offer"]
    price_level: float
    new_quantity: float


class BookEvent(msgspec.Struct, gc=False):
    """What happened in the book of one product."""

    type: Literal["snapshot", "update"]
    product_id: str
    updates: list[Level] = []


class Trade(msgspec.Struct, gc=False):
    """A trade. `side` is the maker's: the aggressor is the other one."""

    trade_id: str
    product_id: str
    price: float
    size: float
    side: str
    time: str


class TradeEvent(msgspec.Struct, gc=False):
    """Trades; those of a snapshot are the last ones before the subscription."""

    trades: list[Trade] = []


class Ticker(msgspec.Struct, gc=False):
    """The best prices at a trade; None where there is none."""

    product_id: str
    best_bid: float | None = None
    best_bid_quantity: float | None = None
    best_ask: float | None = None
    best_ask_quantity: float | None = None


class TickerEvent(msgspec.Struct, gc=False):
    """Tickers."""

    tickers: list[Ticker] = []


class SubscriptionEvent(msgspec.Struct, gc=False):
    """What the connection is subscribed to: products by channel."""

    subscriptions: dict[str, list[str]] = {}


class Message(msgspec.Struct, tag_field="channel", gc=False):
    """What all messages have."""

    timestamp: str
    sequence_num: int


class BookMessage(Message, tag="l2_data", gc=False):
    """Of the channel `level2`."""

    events: list[BookEvent] = []


class TradesMessage(Message, tag="market_trades", gc=False):
    """Trades of the last 250 ms."""

    events: list[TradeEvent] = []


class TickerMessage(Message, tag="ticker", gc=False):
    """Sent at every trade."""

    events: list[TickerEvent] = []


class HeartbeatMessage(Message, tag="heartbeats", gc=False):
    """Sent every second."""


class SubscriptionsMessage(Message, tag="subscriptions", gc=False):
    """The answer to every request that was taken."""

    events: list[SubscriptionEvent] = []


class OtherMessage(msgspec.Struct, gc=False):
    """A message that is not read: of another channel, or an error."""

    channel: str | None = None
    sequence_num: int | None = None
    timestamp: str | None = None
    type: str | None = None
    message: str | None = None
    reason: str | None = None


Known = BookMessage | TradesMessage | TickerMessage | HeartbeatMessage | SubscriptionsMessage
AnyMessage = Known | OtherMessage

CHANNELS = ("l2_data", "market_trades", "ticker", "heartbeats", "subscriptions")

decode_known = msgspec.json.Decoder(Known, strict=False).decode
"""Decodes a message of a channel that is read; numbers stand in texts."""

_EMPTY = re.compile(rb':\s*""')
_decode_other = msgspec.json.Decoder(OtherMessage).decode


def decode(data: bytes) -> AnyMessage:
    """Return a message. Raises `msgspec.MsgspecError` for what is none."""
    known: Known
    try:
        known = decode_known(data)
        return known
    except msgspec.ValidationError:
        other = _decode_other(data)
        if other.channel == "ticker" and _EMPTY.search(data):  # a price that there is not
            known = decode_known(_EMPTY.sub(b":null", data))
            return known
        if other.channel in CHANNELS or (other.channel is None and other.type is None):
            raise
        if other.timestamp is None:
            other.sequence_num = None  # an error, which is not numbered
        return other


class Product(msgspec.Struct):
    """A product as REST lists it. `price_increment` is missing in older answers."""

    product_id: str
    base_increment: str = ""
    quote_increment: str = ""
    price_increment: str = ""
    base_currency_id: str = ""
    quote_currency_id: str = ""
    product_type: str = "SPOT"
    status: str = ""
    is_disabled: bool = False
    trading_disabled: bool = False
    future_product_details: dict[str, object] | None = None


class Products(msgspec.Struct):
    """The answer to the request of all products."""

    products: list[Product]


class PastTrades(msgspec.Struct):
    """The answer to the request of past trades, the newest first."""

    trades: list[Trade]


class BookLevel(msgspec.Struct):
    """A level as REST gives it."""

    price: float
    size: float


class PriceBook(msgspec.Struct):
    """A book as REST gives it."""

    product_id: str
    time: str
    bids: list[BookLevel] = []
    asks: list[BookLevel] = []


class ProductBook(msgspec.Struct):
    """The answer to the request of a book."""

    pricebook: PriceBook


decode_products = msgspec.json.Decoder(Products, strict=False).decode
decode_past_trades = msgspec.json.Decoder(PastTrades, strict=False).decode
decode_product_book = msgspec.json.Decoder(ProductBook, strict=False).decode
