"""The messages of Kraken's WebSocket API, version 2, and of its REST API, as the venue writes them.

    {"channel":"trade","type":"snapshot"|"update","data":[{…,"trade_id":4665846,…},…]}
    {"channel":"ticker",…}   {"channel":"book",…}   {"channel":"instrument",…}
    {"channel":"heartbeat"}  {"channel":"status",…}
    {"method":"subscribe","success":true|false,"req_id":3,…}       an answer, one for each symbol

Unknown fields are let pass. Numbers are JSON numbers written with all their digits; as float64 they
keep up to 15 of them, so rounding to the decimals of the pair gives back what was written.

Sources: docs.kraken.com, Spot WebSocket v2 (trade, ticker, book, instrument, heartbeat, status) and
Spot REST (AssetPairs, Trades).
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct, field

Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Crc = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Places = Annotated[int, Meta(ge=0, le=30)]
Kind = Literal["snapshot", "update"]


class Level(Struct, gc=False):
    """A price level: what lies there now, 0 where nothing does any more."""

    price: float
    qty: float


class BookData(Struct, gc=False):
    """Levels of one book that have changed, or all of it; and the CRC32 of it behind them.

    The levels are read later, those of many messages at once.
    """

    symbol: str
    bids: Raw
    asks: Raw
    checksum: Crc
    timestamp: str | None = None


class TradeData(Struct, gc=False):
    """A trade; `side` is the taker's, `trade_id` counts the trades of the pair."""

    symbol: str
    side: Literal["buy", "sell"]
    price: float
    qty: float
    trade_id: Id
    timestamp: str


class TickerData(Struct, gc=False):
    """The best bid and offer, besides statistics of the day that are not read."""

    symbol: str
    bid: float | None
    bid_qty: float | None
    ask: float | None
    ask_qty: float | None
    timestamp: str | None = None


class Pair(Struct, gc=False):
    """A pair as the channel `instrument` lists it; the precisions are those of the checksum."""

    symbol: str
    price_precision: Places
    qty_precision: Places


class InstrumentData(Struct, gc=False):
    """What the channel `instrument` lists."""

    pairs: list[Pair] = []


class Book(Struct, gc=False, tag_field="channel", tag="book"):
    """Books: a snapshot after the subscription, then changes."""

    type: Kind
    data: list[BookData]


class Trade(Struct, gc=False, tag_field="channel", tag="trade"):
    """Trades: the last 50 after the subscription, then new ones."""

    type: Kind
    data: list[TradeData]


class Ticker(Struct, gc=False, tag_field="channel", tag="ticker"):
    """Quotes: one after the subscription, then one for each change of the best bid or offer."""

    type: Kind
    data: list[TickerData]


class Instrument(Struct, gc=False, tag_field="channel", tag="instrument"):
    """Pairs: all of them after the subscription, then those that change."""

    type: Kind
    data: InstrumentData


class HeartbeatMessage(Struct, gc=False, tag_field="channel", tag="heartbeat"):
    """About once a second where nothing else was sent."""


class Status(Struct, gc=False, tag_field="channel", tag="status"):
    """The state of the exchange, on connecting and when it changes."""


Message = Book | Trade | Ticker | Instrument | HeartbeatMessage | Status
"""What has a channel."""


class Result(Struct):
    """What an answer is about."""

    channel: str | None = None
    symbol: str | None = None


class Acknowledgement(Struct):
    """The answer to a request: one for each symbol that it named."""

    method: str | None = None
    success: bool | None = None
    error: str | None = None
    shout: str | None = field(default=None, name="Error")
    req_id: int | None = None
    symbol: str | None = None
    result: Result | None = None

    @property
    def complaint(self) -> str | None:
        """What the venue complains of; too many messages are answered by `Error` alone."""
        return self.error or self.shout


class AssetPair(Struct):
    """A pair as REST lists it; `wsname` is the spelling of WebSocket version 1 (`XBT/USD`)."""

    altname: str
    base: str
    quote: str
    pair_decimals: Places
    lot_decimals: Places
    wsname: str | None = None
    tick_size: str | None = None
    status: str = "online"


class AssetPairs(Struct):
    """The answer of `AssetPairs`."""

    error: list[str] = []
    result: dict[str, AssetPair] = {}


PastTrade = tuple[str, str, Decimal, Literal["b", "s"], str, str, Id]
"""Price, size, seconds since the epoch, side, kind of order, nothing, and the number."""


class PastTrades(Struct):
    """The answer of `Trades`: up to 1,000 trades of a pair, and `last`, ns, to go on from."""

    error: list[str] = []
    result: dict[str, list[PastTrade] | str] = {}
