"""The judgement: what is known of each connection and each stream, for whoever looks.

    stream       waiting ─► live ◄─► quiet        refused: the venue does not give it
                    ▲          └─► stalled ─► down ─► waiting

A quiet stream has sent nothing for a while on a connection that is proven to live. A stalled one is
on a connection that is not, and is being replaced; or it has fallen silent alone as it never does,
and is subscribed to again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from tickplant.feeds.venues.contract import Stream
from tickplant.model.times import NS_PER_S, format_time

Judgement = Literal["waiting", "live", "quiet", "stalled", "down", "refused"]
JUDGEMENTS: tuple[Judgement, ...] = ("waiting", "live", "quiet", "stalled", "down", "refused")

QUIET_NS = 60 * NS_PER_S
"""After so long without an event a stream is shown as quiet."""


@dataclass(slots=True)
class StreamEntry:
    """One stream. Times are ours, ns; `reason` is why it is not live."""

    line: int | None = None
    state: Judgement = "waiting"
    reason: str | None = None
    confirmed_at: int | None = None
    last_event: int | None = None

    @property
    def since(self) -> int:
        """When it was last heard of, or began; 0 before it did."""
        return max(self.last_event or 0, self.confirmed_at or 0)

    def judged(self, now: int) -> Judgement:
        """Return the state as it is `now`: a live stream may have fallen quiet."""
        if self.state != "live":
            return self.state
        return "quiet" if now - self.since > QUIET_NS else "live"


@dataclass(slots=True)
class LineEntry:
    """One connection, by the number of its line."""

    state: Judgement = "waiting"
    reason: str | None = None
    since: int | None = None
    connection: int | None = None
    opened: int = 0
    failed: int = 0


class Board:
    """Written by the feed's event loop only; any thread reads what is shown of it."""

    def __init__(self) -> None:
        self.streams: dict[Stream, StreamEntry] = {}
        self.lines: dict[int, LineEntry] = {}
        self.changes = 0
        """Raised whenever there are other streams than before."""

    def add(self, streams: Iterable[Stream]) -> None:
        """Take streams that are wanted from now on."""
        for stream in streams:
            self.streams.setdefault(stream, StreamEntry())
        self.changes += 1

    def remove(self, streams: Iterable[Stream]) -> None:
        """Forget streams."""
        for stream in streams:
            self.streams.pop(stream, None)
        self.changes += 1

    def set(
        self, streams: Iterable[Stream], state: Judgement, reason: str | None = None, now: int = 0
    ) -> None:
        """Judge streams; those that are not wanted any more are left alone."""
        for stream in streams:
            entry = self.streams.get(stream)
            if entry is not None:
                entry.state, entry.reason = state, reason
                if state == "live":
                    entry.confirmed_at = now

    def heard(self, symbols: Iterable[str], channel: str, now: int) -> None:
        """Note events of a channel."""
        for symbol in symbols:
            entry = self.streams.get(Stream(symbol, channel))  # type: ignore[arg-type]
            if entry is not None:
                entry.last_event = now

    def counts(self, now: int) -> dict[str, int]:
        """Return how many streams are in each state."""
        found = Counter(entry.judged(now) for entry in list(self.streams.values()))
        return {state: found[state] for state in JUDGEMENTS}

    def shown_lines(self, now: int) -> list[dict[str, Any]]:
        """Return the connections as `/v1/feeds` shows them."""
        carried = Counter(entry.line for entry in list(self.streams.values()))
        return [
            {
                "line": number,
                "state": entry.state,
                "reason": entry.reason,
                "since": None if entry.since is None else format_time(entry.since),
                "streams": carried[number],
                "opened": entry.opened,
                "failed": entry.failed,
            }
            for number, entry in sorted(self.lines.items())
        ]

    def shown_streams(self, now: int) -> list[dict[str, Any]]:
        """Return the streams as `/v1/feeds/{id}` shows them."""
        return [
            {
                "symbol": stream.symbol,
                "channel": stream.channel,
                "state": entry.judged(now),
                "reason": entry.reason,
                "line": entry.line,
                "last_event": None if entry.last_event is None else format_time(entry.last_event),
            }
            for stream, entry in sorted(self.streams.items())
        ]
