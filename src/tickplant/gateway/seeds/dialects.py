"""The words of other systems' sockets, both ways, as translations of the stream's messages.

A dialect has no I/O: `hear` turns what a client says into messages of `/v1/stream`, `say` turns
what the stream says into what the client expects, one frame each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

Message = dict[str, Any]

SYMBOLS_MAX = 1_000


class Dialect(Protocol):
    """A translation for one connection."""

    def begin(self) -> tuple[list[Message], list[Message]]:
        """Return what to say to the stream first, and what to the client."""
        ...

    def hear(self, text: str | bytes) -> list[Message]:
        """Return what a frame of the client means to the stream; may be nothing."""
        ...

    def say(self, message: Message) -> list[Message]:
        """Return what a message of the stream means to the client; may be nothing."""
        ...


class Feed:
    """A socket that sends without being asked: `/ws/ticks`, `/ws/ohlc/…`.

    What a client sends is answered only where it is a ping; it chooses by the URL.
    """

    def __init__(self, channel: str, symbols: Sequence[str], **query: Any) -> None:
        self._wish = {"op": "subscribe", "id": 1, "channel": channel, **query}
        self._wish["symbols"] = list(symbols) or ["*"]

    def begin(self) -> tuple[list[Message], list[Message]]:
        """Ask for what the URL says."""
        return [self._wish], []

    def hear(self, text: str | bytes) -> list[Message]:
        """Take a ping; nothing else is understood."""
        message = _read(text)
        kind = message.get("action") or message.get("op") or message.get("type")
        if kind == "ping" or text in ("ping", b"ping"):
            return [{"op": "ping"}]
        return [{"op": str(kind)}]  # which the stream refuses, naming what it takes

    def say(self, message: Message) -> list[Message]:
        """Say ticks or bars, one a frame."""
        if message["op"] == "data":
            shape = _bar if message["channel"] == "candles" else _tick
            return [shape(event) for event in message["events"]]
        if message["op"] == "pong":
            return [{"type": "pong"}]
        if message["op"] in ("error", "slow"):
            return [{"type": "error", **_fault(message)}]
        return []


class Ticker:
    """Actions of a ticker: `{"action": "subscribe", "symbols": [...]}`; `tokens` mean the same.

    One channel of trades; each symbol is a subscription of its own, so that one can be ended.
    """

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._next = 0

    def begin(self) -> tuple[list[Message], list[Message]]:
        """Greet the client."""
        return [], [{"type": "connected", "message": "send subscribe, unsubscribe or ping"}]

    def hear(self, text: str | bytes) -> list[Message]:
        """Take an action."""
        message = _read(text)
        action = message.get("action")
        if action == "ping":
            return [{"op": "ping"}]
        if action not in ("subscribe", "unsubscribe"):
            return [{"op": str(action)}]
        symbols = _listed(message)
        if symbols is None:
            return [{"op": "subscribe", "channel": "trades", "symbols": []}]
        return self._begin(symbols) if action == "subscribe" else self._end(symbols)

    def _begin(self, symbols: Iterable[str]) -> list[Message]:
        asked = []
        for symbol in dict.fromkeys(symbols):
            if symbol in self._open:
                continue
            self._next += 1
            self._open[symbol] = self._next
            self._names[self._next] = symbol
            wish = {"op": "subscribe", "id": self._next, "channel": "trades", "symbols": [symbol]}
            asked.append(wish)
        return asked or [{"op": "ping", "id": "subscribed"}]

    def _end(self, symbols: Iterable[str]) -> list[Message]:
        known = [symbol for symbol in dict.fromkeys(symbols) if symbol in self._open]
        ended = [{"op": "unsubscribe", "id": self._open.pop(symbol)} for symbol in known]
        return ended or [{"op": "ping", "id": "unsubscribed"}]

    def say(self, message: Message) -> list[Message]:
        """Say what became of an action, and ticks, one a frame."""
        op: str = message["op"]
        id: Any = message.get("id")
        if op == "data":
            return [{"type": "tick", "data": _tick(event)} for event in message["events"]]
        if op == "pong" and id in ("subscribed", "unsubscribed"):  # there was nothing to do
            return [{"type": id, "symbols": sorted(self._open)}]
        if op == "pong":
            return [{"type": "pong"}]
        if op in ("subscribed", "unsubscribed"):
            name = self._names.pop(id, "") if op == "unsubscribed" else self._names.get(id, "")
            return [{"type": op, "symbols": [name]}]
        if op in ("error", "slow"):
            self._forget(id)
            return [{"type": "error", **_fault(message)}]
        return []

    def _forget(self, id: Any) -> None:
        symbol = self._names.pop(id, None)
        if symbol is not None:
            self._open.pop(symbol, None)


def _read(text: str | bytes) -> Mapping[str, Any]:
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _listed(message: Mapping[str, Any]) -> list[str] | None:
    """Return the symbols of an action, None where there is no good list of them."""
    given = message.get("symbols", message.get("tokens"))
    if isinstance(given, str | int) and not isinstance(given, bool):
        given = [given]
    if not isinstance(given, list) or not 0 < len(given) <= SYMBOLS_MAX:
        return None
    if not all(isinstance(one, str | int) and not isinstance(one, bool) for one in given):
        return None
    return [str(one).strip().upper() for one in given]


def _tick(event: Message) -> Message:
    return {
        "symbol": event["symbol"],
        "exchange": event["venue"],
        "time": event["ts_event"],
        "price": event["price"],
        "size": event["size"],
        "seq": event["seq"],
        "synthetic": "synthetic" in event["flags"],
        **({"corrects": event["corrects"]} if "corrects" in event else {}),
    }


def _bar(event: Message) -> Message:
    names = ("open", "high", "low", "close", "volume")
    return {
        "bucket": event["start"],
        "symbol": event["symbol"],
        **{name: event[name] for name in names},
        "tick_count": event["count"],
        "state": event["state"],
        "revision": event["revision"],
    }


def _fault(message: Message) -> Message:
    return {
        "code": message.get("code", message["op"]),
        "message": message.get("message") or f"{message.get('dropped')} events were left out",
    }
