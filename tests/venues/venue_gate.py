"""Who is let in at a fake venue, and what HTTP is answered: refusals, limits, dead paths."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from venues.dialect import Answer, Dialect, Request

HOLD_S_MAX = 20.0
"""How long a held request waits at most to be let go."""


@dataclass
class HttpFault:
    """Strikes the next `left` requests whose path holds `path` (None: until it is cleared)."""

    path: str
    left: int | None
    status: int | None = None
    body: Any = None
    retry_after_s: int | None = None
    delay_s: float = 0.0
    hold: asyncio.Event | None = None


@dataclass
class Gate:
    """Refusals to come, counted down. A `House` for the dialect."""

    connects: list[int] = field(default_factory=list)
    """HTTP statuses for the next attempts to connect."""
    streams: list[dict[str, Any]] = field(default_factory=list)
    messages: int = 0
    """How many of the next messages of clients are one too many."""
    faults: list[HttpFault] = field(default_factory=list)

    def refusal(self, symbol: str, channel: str) -> str | None:
        for fault in self.streams:
            fits = fault["symbol"] in (None, symbol) and fault["channel"] in (None, channel)
            if fits and fault["left"] > 0:
                fault["left"] -= 1
                return str(fault["reason"])
        return None

    def connect_refused(self) -> int | None:
        return self.connects.pop(0) if self.connects else None

    def message_limited(self) -> bool:
        """Whether the message that a client just sent is one too many."""
        limited = self.messages > 0
        self.messages -= limited
        return limited

    async def answer(self, request: Request, dialect: Dialect) -> Answer:
        """The dialect's answer, unless a fault has another or makes it wait."""
        fault = next((f for f in self.faults if f.path in request.path and f.left != 0), None)
        if fault is None:
            return dialect.http(request)
        if fault.left is not None:
            fault.left -= 1
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.hold is not None:
            await asyncio.wait_for(fault.hold.wait(), HOLD_S_MAX)
        if fault.retry_after_s is not None:
            return dialect.too_many(request, fault.retry_after_s)
        if fault.status is not None:
            return Answer(fault.body or {"error": "told to fail"}, fault.status)
        return dialect.http(request)

    def clear_http(self, path: str | None = None) -> None:
        """End the faults of a path, or all, and let go what they hold."""
        for fault in [f for f in self.faults if path in (None, f.path)]:
            self.faults.remove(fault)
            if fault.hold is not None:
                fault.hold.set()
