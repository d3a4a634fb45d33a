"""Messages of Binance as they are sent, and their decoders.

Facts of developers.binance.com: "WebSocket Streams" of spot and "Websocket Market Streams" of USD-M
futures. Numbers come as text and are read as floats at once; times are milliseconds; fields that
are not used are left out, and more may come. Ladders of books stay JSON (`venues.ladders`).
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType


class AggTrade(Struct, gc=False):
    """Trades of one taker's order at one price. `m`: the buyer was the maker, so the taker sold."""

    a: int
    s: str
    p: float
    q: float
    T: int
    m: bool


class BookTicker(Struct, gc=False):
    """The best prices and sizes. Spot tells no time."""

    s: str
    b: float
    B: float
    a: float
    A: float
    T: int = 0


class DepthUpdate(Struct, gc=False):
    """Changed levels, with the numbers of the first and last change; futures also `pu`, `T`."""

    E: int
    s: str
    U: int
    u: int
    b: Raw
    a: Raw
    T: int = 0
    pu: int = -1


class MarkPrice(Struct, gc=False):
    """Prices and the funding rate of a future; empty where there are none."""

    E: int
    s: str
    p: str = ""
    i: str = ""
    P: str = ""
    r: str = ""


class AggTradeFrame(Struct, gc=False):
    """An `AggTrade` of a combined stream."""

    data: AggTrade


class BookTickerFrame(Struct, gc=False):
    """A `BookTicker` of a combined stream."""

    data: BookTicker


class DepthFrame(Struct, gc=False):
    """A `DepthUpdate` of a combined stream."""

    data: DepthUpdate


class MarkPriceFrame(Struct, gc=False):
    """A `MarkPrice` of a combined stream."""

    data: MarkPrice


class Fault(Struct):
    """What is wrong with a request."""

    msg: str = ""
    code: int = 0


class Any(Struct):
    """Any frame: an event has `stream` and `data`, an answer `id`, a result or an error."""

    stream: str = ""
    data: Raw | UnsetType = UNSET
    id: int | str | UnsetType | None = UNSET
    error: Fault | None = None
    code: int | None = None
    msg: str = ""


class PastTrade(Struct, gc=False):
    """A trade of `aggTrades` over REST: the same numbers as in the stream."""

    a: int
    p: float
    q: float
    T: int
    m: bool


class Depth(Struct):
    """A book over REST."""

    lastUpdateId: int  # noqa: N815
    bids: Raw
    asks: Raw
    T: int = 0


class Filter(Struct):
    """A rule of an instrument: the steps of its prices and sizes are in two of them."""

    filterType: str  # noqa: N815
    tickSize: str = ""  # noqa: N815
    stepSize: str = ""  # noqa: N815


class Symbol(Struct):
    """An instrument of `exchangeInfo`; `contractType` and `deliveryDate` (ms) of futures."""

    symbol: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    status: str = "TRADING"
    filters: list[Filter] = []
    contractType: str = ""  # noqa: N815
    deliveryDate: int = 0  # noqa: N815

    @property
    def native_expiry(self) -> str:
        """The YYMMDD behind the symbol of what expires; empty for the others."""
        return self.symbol.partition("_")[2]


class ExchangeInfo(Struct):
    """What is listed."""

    symbols: list[Symbol]


decode_trade = msgspec.json.Decoder(AggTradeFrame, strict=False).decode
decode_quote = msgspec.json.Decoder(BookTickerFrame, strict=False).decode
decode_depth = msgspec.json.Decoder(DepthFrame).decode
decode_mark = msgspec.json.Decoder(MarkPriceFrame).decode
decode_any = msgspec.json.Decoder(Any).decode
decode_past_trades = msgspec.json.Decoder(list[PastTrade], strict=False).decode
decode_snapshot = msgspec.json.Decoder(Depth).decode
decode_exchange = msgspec.json.Decoder(ExchangeInfo).decode
