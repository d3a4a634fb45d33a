"""Following a subscription across connections, without any input or output.

`Follower` says what to send on a new connection, turns frames into events, and remembers how far it
has come: the last sequence number, and the run of the plant in which that number was given. After a
reconnect it resumes there and lets nothing through twice.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from websockets.exceptions import ConnectionClosed

from tickplant.client.problems import stream_error
from tickplant.model.errors import InvalidParameter, TickplantError
from tickplant.model.times import parse_time

FRAME_BYTES_MAX = 16 * 1024 * 1024
SUBPROTOCOL = "msgpack"
PATH = "/v1/stream"
ID = 1
STATUS = "status"  # begins with the present state, so it is never resumed
BOOKS = "books"
CONFLATED = ("depth", "rate_ms")  # with either, books begin with their present state, too
BARS_KEPT = 100_000
"""Bars whose last form is remembered, to tell a bar that is told again from one that changed."""

SEQ_MAX = 10**15
"""An integer `from` up to here is a sequence number, above it nanoseconds."""

_RETRIED = frozenset({"slow", "unavailable", "internal"})
_REFUSED = frozenset({1002, 1003, 1007, 1008, 1009})

Event = dict[str, Any]
Notice = Callable[[dict[str, Any]], object]


class ConnectionEnded(Exception):
    """The connection must be made anew."""


class Backoff:
    """How long to wait before the next attempt: doubled each time, capped, with full jitter."""

    def __init__(self, first_s: float, cap_s: float) -> None:
        self._first_s = first_s
        self._cap_s = cap_s
        self._attempts = 0

    def next_s(self) -> float:
        """Return the next wait in seconds."""
        most = min(self._cap_s, self._first_s * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return random.uniform(0, most)

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._attempts = 0


class Follower:
    """The state of one subscription. `start` is a sequence number, a time, or None for now."""

    def __init__(
        self,
        channel: str,
        symbols: str | Iterable[str],
        start: Any = None,
        *,
        on_notice: Notice | None = None,
        **options: Any,
    ) -> None:
        self._wish = {
            "op": "subscribe",
            "id": ID,
            "channel": channel,
            "symbols": [symbols] if isinstance(symbols, str) else list(symbols),
            **{name: value for name, value in options.items() if value is not None},
        }
        self._from = start.isoformat() if hasattr(start, "isoformat") else start
        self._start_ns = self._find_start()
        self._on_notice = on_notice
        self._bars: OrderedDict[tuple[Any, ...], tuple[Any, ...]] = OrderedDict()
        self._resumed = False
        self._whole = channel != BOOKS  # whether every book has had the snapshot it begins with
        self.seq: int | None = None
        self.run: int | None = None

    def _find_start(self) -> int | None:
        value = self._from
        if value is None or (isinstance(value, int) and value <= SEQ_MAX):
            return None
        return parse_time(value, "from_")

    def hello(self) -> bytes:
        """Return the first message on a new connection."""
        wish = dict(self._wish)
        self._resumed = self.seq is not None and self._whole and not self._is_present()
        if self._resumed:
            wish.pop("snapshot", None)
            wish |= {"from": self.seq, "run": self.run}
        elif self._from is not None:
            wish["from"] = self._from
        return msgspec.msgpack.encode(wish)

    def _is_present(self) -> bool:
        """Return whether the subscription begins with the present state, whenever it begins."""
        channel = self._wish["channel"]
        return channel == STATUS or (channel == BOOKS and any(n in self._wish for n in CONFLATED))

    def take(self, frame: bytes | str) -> list[Event]:
        """Return the events in a frame that were not there before.

        Raises `ConnectionEnded` where only a new connection helps, and the error of a message
        that the plant refused.
        """
        message = msgspec.msgpack.decode(frame.encode() if isinstance(frame, str) else frame)
        match message["op"]:
            case "data":
                return self._take_events(message)
            case "gap" | "feed":  # the notices that are events of their channel, `status`
                return [message]
            case "subscribed":
                self._begin(message)
            case "heartbeat" | "live":
                self._reach(message["seq"])
            case "error":
                self._fail(message)
        if self._on_notice is not None and message["op"] != "heartbeat":
            self._on_notice(message)
        return []

    def _begin(self, message: dict[str, Any]) -> None:
        # In a later run of the plant the numbers from here on mean other events than before.
        if self.run != message["run"]:
            self.seq = message["seq"]
        self.run = message["run"]
        self._reach(message["seq"])

    def _reach(self, seq: int) -> None:
        if self.seq is None or seq > self.seq:
            self.seq = seq

    def _take_events(self, message: dict[str, Any]) -> list[Event]:
        events: list[Event] = message["events"]
        if self._wish["channel"] in ("candles", "indicators"):
            events = [event for event in events if self._is_news(event)]
        elif self._wish["channel"] == BOOKS:
            events = self._take_steps(events)
            self._whole = self._whole or "seq" in message
        elif events and "seq" in events[0]:
            if self._resumed:
                events = [event for event in events if self._is_wanted(event)]
            if events and "snapshot" not in events[-1]["flags"]:
                self._reach(events[-1]["seq"])
        if "seq" in message:
            self._reach(message["seq"])
        return events

    def _take_steps(self, events: list[Event]) -> list[Event]:
        if self._resumed:
            events = [one for one in events if self.seq is None or one["seq"] > self.seq]
        if events and "state" not in events[-1]:
            self._reach(events[-1]["seq"])
        return events

    def _is_wanted(self, event: Event) -> bool:
        if self.seq is not None and event["seq"] <= self.seq:
            return False
        return self._start_ns is None or parse_time(event["ts_event"]) >= self._start_ns

    def _is_news(self, bar: Event) -> bool:
        place = (bar["day"], bar["index"]) if "index" in bar else bar["start"]
        key = (bar["venue"], bar["symbol"], bar["basis"], place)
        if self._wish["channel"] == "indicators":
            return self._note(key, tuple(bar.values()))
        form = (bar["revision"], bar.get("state"), bar.get("coverage"), bar["close"], bar["count"])
        return self._note(key, form)

    def _note(self, key: tuple[Any, ...], form: tuple[Any, ...]) -> bool:
        if self._bars.get(key) == form:
            return False
        self._bars[key] = form
        self._bars.move_to_end(key)
        if len(self._bars) > BARS_KEPT:
            self._bars.popitem(last=False)
        return True

    def _fail(self, message: dict[str, Any]) -> None:
        if message["code"] in _RETRIED:
            raise ConnectionEnded(message["message"])
        raise stream_error(message)


def check_close(code: int | None, reason: str, what: str = "stream") -> None:
    """Raise where the plant closed the connection for a reason that a new one does not mend."""
    if code in _REFUSED:
        raise TickplantError(f"the plant closed the {what}: {reason or code} ({code})")


def check_ended(fault: ConnectionClosed, what: str = "stream") -> None:
    """Raise where the plant ended a connection for a reason that a new one does not mend."""
    received = fault.rcvd
    check_close(received.code if received else None, received.reason if received else "", what)


def check_url(url: str) -> str:
    """Return the address of a plant without the slash at its end.

    Raises `InvalidParameter` where it is none.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidParameter("url", url, "http://HOST:PORT or https://HOST:PORT")
    return url.rstrip("/")


def stream_url(url: str, path: str = PATH) -> str:
    """Return the address of a socket of the plant at `url`."""
    scheme, _, rest = check_url(url).partition("://")
    return f"{'wss' if scheme == 'https' else 'ws'}://{rest}{path}"
