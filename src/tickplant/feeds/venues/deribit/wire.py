"""The messages of Deribit's JSON-RPC over WebSocket, as far as they are read.

A notification has a `channel` such as `book.BTC-PERPETUAL.100ms` and `data` of its kind: one object
for books and tickers, a list for trades. Times are in milliseconds. Protocol: docs.deribit.com.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class Change(msgspec.Struct, array_like=True, gc=False):
    """A price level; `delete` removes it."""

    action: Literal["new", "change", "delete"]
    price: float
    amount: float


class Greeks(msgspec.Struct, gc=False):
    """Of an option."""

    delta: float | None = None
    gamma: float | None = None
    theta: float | None = None
    vega: float | None = None
    rho: float | None = None


class Data(msgspec.Struct, gc=False):
    """What a book or a ticker tells of an instrument; the rest of either is missing."""

    instrument_name: str
    timestamp: int
    type: Literal["snapshot", "change"] = "snapshot"
    change_id: int | None = None
    prev_change_id: int | None = None
    bids: list[Change] = []
    asks: list[Change] = []
    best_bid_price: float | None = None
    best_bid_amount: float | None = None
    best_ask_price: float | None = None
    best_ask_amount: float | None = None
    open_interest: float | None = None
    mark_price: float | None = None
    mark_iv: float | None = None
    bid_iv: float | None = None
    ask_iv: float | None = None
    index_price: float | None = None
    underlying_price: float | None = None
    settlement_price: float | None = None
    current_funding: float | None = None
    funding_8h: float | None = None
    greeks: Greeks | None = None


class Trade(msgspec.Struct, gc=False):
    """A trade; `direction` is the taker's, `trade_seq` counts those of the instrument."""

    instrument_name: str
    trade_id: str
    trade_seq: int
    timestamp: int
    price: float
    amount: float
    direction: Literal["buy", "sell"]
    liquidation: str | None = None
    block_trade_id: str | None = None


class Params(msgspec.Struct, gc=False):
    """Of a notification, or of a heartbeat: then `type` asks for an answer or does not."""

    channel: str = ""
    data: Data | list[Trade] | None = None
    type: str | None = None


class Fault(msgspec.Struct, gc=False):
    """Why a request failed."""

    code: int = 0
    message: str = ""


class Message(msgspec.Struct, gc=False):
    """A notification (`method`, `params`), or the answer to a request (`id`)."""

    method: str | None = None
    params: Params | None = None
    id: int | None = None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: Fault | None = None
    usOut: int | None = None  # noqa: N815 - the venue's own name


CHANNELS = ("book", "trades", "ticker")

_decode = msgspec.json.Decoder(Message).decode
decode_names = msgspec.json.Decoder(list[str]).decode


class Other(msgspec.Struct, gc=False):
    """A notification of a channel that is not read."""

    class Params(msgspec.Struct, gc=False):
        """Its channel."""

        channel: str

    method: Literal["subscription"]
    params: Params


_decode_other = msgspec.json.Decoder(Other).decode


def decode(data: bytes) -> Message:
    """Return a message. Raises `msgspec.MsgspecError` for what is none."""
    try:
        message: Message = _decode(data)
    except msgspec.ValidationError:
        if _decode_other(data).params.channel.partition(".")[0] in CHANNELS:
            raise
        return Message()
    if message.method is None and message.id is None and message.error is None:
        raise msgspec.ValidationError("neither a notification nor an answer")
    return message


class Instrument(msgspec.Struct):
    """An instrument as REST lists it."""

    instrument_name: str
    kind: str = ""
    base_currency: str = ""
    quote_currency: str = ""
    tick_size: float | None = None
    min_trade_amount: float | None = None
    expiration_timestamp: int | None = None
    settlement_period: str | None = None
    strike: float | None = None
    option_type: str | None = None
    is_active: bool = True


class Instruments(msgspec.Struct):
    """The answer to the request of all instruments."""

    result: list[Instrument]


class Page(msgspec.Struct):
    """Past trades, and whether there are more in the span."""

    trades: list[Trade]
    has_more: bool = False


class PastTrades(msgspec.Struct):
    """The answer to the request of past trades."""

    result: Page


class PastBook(msgspec.Struct):
    """A book as REST gives it: pairs of price and amount."""

    instrument_name: str
    timestamp: int
    change_id: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class Book(msgspec.Struct):
    """The answer to the request of a book."""

    result: PastBook


decode_instruments = msgspec.json.Decoder(Instruments).decode
decode_past_trades = msgspec.json.Decoder(PastTrades).decode
decode_book = msgspec.json.Decoder(Book).decode
