"""What passes between our side and the library's, as frames: JSON, one object each.

    > {"op":"watch","channel":"trades","symbol":"BTC/USD"}          > {"op":"unwatch",…}
    < {"op":"watching",…}   < {"op":"unwatched",…}   < {"op":"refused",…,"reason":"…"}
    < {"op":"trades","symbol":"BTC/USD","data":[…]}   < {"op":"quote",…}   < {"op":"book",…}

ccxt owns its sockets, so these are not the exchange's frames but what the library made of them. As
frames they are captured, replayed and put aside when bad like those of any venue. Symbols are the
library's (`BTC/USD`, `BTC/USDT:USDT`), times milliseconds.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Channel = Literal["trades", "quotes", "book"]


class Ask(Struct):
    """What we ask for."""

    op: Literal["watch", "unwatch"]
    channel: Channel
    symbol: str


class Watching(Struct, tag_field="op", tag="watching"):
    """A stream is in force."""

    channel: Channel
    symbol: str


class Unwatched(Struct, tag_field="op", tag="unwatched"):
    """A stream has ended because we asked for it."""

    channel: Channel
    symbol: str


class Refusal(Struct, tag_field="op", tag="refused"):
    """A stream cannot be had; `passing` ones may be asked for again."""

    channel: Channel
    symbol: str
    reason: str
    passing: bool = False


class Overrun(Struct, tag_field="op", tag="overrun"):
    """The library has kept as many trades as it keeps: older ones may be lost."""

    symbol: str


class Trade(Struct, gc=False):
    """A trade as the library knows it."""

    price: float
    amount: float | None = None
    timestamp: int | None = None
    side: str | None = None
    id: str | None = None


class Trades(Struct, tag_field="op", tag="trades"):
    """New trades of a symbol, oldest first."""

    symbol: str
    data: list[Trade]


class Quote(Struct, tag_field="op", tag="quote"):
    """The best bid and offer."""

    symbol: str
    bid: float | None = None
    bid_size: float | None = None
    ask: float | None = None
    ask_size: float | None = None
    timestamp: int | None = None


class Book(Struct, tag_field="op", tag="book"):
    """The whole book, as deep as it is kept: price and size of each level, the best first."""

    symbol: str
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    timestamp: int | None = None


Said = Watching | Unwatched | Refusal | Overrun | Trades | Quote | Book
