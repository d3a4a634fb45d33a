"""What other systems' sockets say and hear, for the AsyncAPI document."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class Action(msgspec.Struct):
    """A wish of a ticker's client; `tokens` mean the same as `symbols`."""

    action: Literal["subscribe", "unsubscribe", "ping"]
    symbols: list[str] | UnsetType = UNSET
    tokens: list[int | str] | UnsetType = UNSET


class Tick(msgspec.Struct, forbid_unknown_fields=True):
    """A trade."""

    symbol: str
    exchange: str
    time: str
    price: float
    size: float | None
    seq: int
    synthetic: bool
    corrects: int | UnsetType = UNSET


class Bar(msgspec.Struct, forbid_unknown_fields=True):
    """A bar that has changed."""

    bucket: str
    symbol: str
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None
    tick_count: int
    state: str
    revision: int | None


class Connected(msgspec.Struct, forbid_unknown_fields=True):
    """Said first of all."""

    type: Literal["connected"]
    message: str


class Changed(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to an action."""

    type: Literal["subscribed", "unsubscribed"]
    symbols: list[str]


class Ticked(msgspec.Struct, forbid_unknown_fields=True):
    """A tick of a symbol that was subscribed to."""

    type: Literal["tick"]
    data: Tick


class Ponged(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to a ping."""

    type: Literal["pong"]


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """What was not taken, or was left out."""

    type: Literal["error"]
    code: str
    message: str


TICKER: tuple[type[msgspec.Struct], ...] = (Connected, Changed, Ticked, Ponged, Fault)
TICKS: tuple[type[msgspec.Struct], ...] = (Tick, Ponged, Fault)
BARS: tuple[type[msgspec.Struct], ...] = (Bar, Ponged, Fault)
