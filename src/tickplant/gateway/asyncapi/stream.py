"""What `/v1/stream` says, for the AsyncAPI document; what it hears is in `stream.protocol`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from tickplant.gateway.stream.protocol import (
    BookEvent,
    CandleEvent,
    Id,
    QuoteEvent,
    StatEvent,
    TradeEvent,
)


class Subscribed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The answer to `subscribe`: the names that were found, and after which number events follow.

    Bars have `interval`, and `basis` where one was asked for; indicators their names.
    """

    op: Literal["subscribed"]
    id: Id
    run: int
    channel: str
    symbols: list[str]
    seq: int
    interval: str | UnsetType = UNSET
    basis: str | UnsetType | None = UNSET
    name: list[str] | UnsetType = UNSET


class Unsubscribed(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to `unsubscribe`."""

    op: Literal["unsubscribed"]
    id: Id


class Live(msgspec.Struct, forbid_unknown_fields=True):
    """The past has been sent; what follows is live."""

    op: Literal["live"]
    id: Id
    seq: int


class Heartbeat(msgspec.Struct, forbid_unknown_fields=True):
    """After `stream.heartbeat_s` of silence: every subscription is complete up to `seq`."""

    op: Literal["heartbeat"]
    seq: int
    run: int
    ts: str


class Pong(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The answer to `ping`, with what a heartbeat says."""

    op: Literal["pong"]
    id: Id | UnsetType = UNSET
    seq: int
    run: int
    ts: str


class Slow(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """So many events were left out, because the client is behind."""

    op: Literal["slow"]
    id: Id
    channel: str
    dropped: int
    policy: Literal["conflate"]


class Gap(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Of `status`: a span was missed, or something became of it. `id` is that of the gap."""

    op: Literal["gap"]
    id: int
    feed: str
    symbols: list[str] | None
    start: str
    end: str | None
    cause: str
    noticed: str
    status: str
    events: int | None


class Feed(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Of `status`: how a feed of a venue judges its connections and streams."""

    op: Literal["feed"]
    feed: str
    ts: str
    line: int | None = None
    state: str | None = None
    reason: str | None = None
    refused: list[Any] | UnsetType = UNSET
    streams: dict[str, int] | UnsetType = UNSET


class Error(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A message was not taken, or a subscription has ended, which may be resumed from `seq`."""

    op: Literal["error"]
    id: Id | UnsetType = UNSET
    code: str
    message: str
    seq: int | UnsetType = UNSET
    symbol: str | UnsetType = UNSET
    choices: list[str] | UnsetType = UNSET


class StatusEvent(msgspec.Struct, forbid_unknown_fields=True):
    """The state of the plant."""

    ts: str
    state: Literal["starting", "running", "stopping", "stopped"]
    ready: bool
    reason: str
    backpressure: Literal["healthy", "warning", "critical", "overload"]
    run: int


class IndicatorEvent(msgspec.Struct):
    """A bar's times and state, then the source and the values by the names of the columns."""

    symbol: str
    venue: str
    interval: str
    basis: str
    start: str
    end: str
    state: str
    revision: int | None


class _Data(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    op: Literal["data"]
    id: Id
    seq: int | UnsetType = UNSET


class Trades(_Data, kw_only=True):
    """Trades; in the last frame of those that left together `seq` is how far they are complete."""

    channel: Literal["trades"]
    events: list[TradeEvent]


class Quotes(_Data, kw_only=True):
    """Quotes."""

    channel: Literal["quotes"]
    events: list[QuoteEvent]


class Stats(_Data, kw_only=True):
    """Statistics."""

    channel: Literal["stats"]
    events: list[StatEvent]


class Candles(_Data, kw_only=True):
    """Bars that have changed."""

    channel: Literal["candles"]
    events: list[CandleEvent]


class Indicators(_Data, kw_only=True):
    """Indicators of bars that have changed."""

    channel: Literal["indicators"]
    events: list[IndicatorEvent]


class Books(_Data, kw_only=True):
    """Steps of order books."""

    channel: Literal["books"]
    events: list[BookEvent]


class Status(_Data, kw_only=True):
    """The state of the plant, whenever it changes."""

    channel: Literal["status"]
    events: list[StatusEvent]


DATA = (Trades, Quotes, Stats, Books, Candles, Indicators, Status)
NOTICES = (Subscribed, Unsubscribed, Live, Heartbeat, Pong, Slow, Gap, Feed, Error)
SAID: tuple[type[msgspec.Struct], ...] = (*DATA, *NOTICES)
"""Every message of the server."""
