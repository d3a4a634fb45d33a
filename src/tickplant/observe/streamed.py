"""What the stream sends, counted without locks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter

SEND_SECONDS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)
"""Bounds of the histogram of sending, s; a client that does not read is cut off after 30 s."""


class StreamCounts:
    """Counts of the stream. Only the event loop that sends writes; any thread reads.

    A frame is sent 50,000 times a second and more, so that each count is a plain addition; a lock
    and a look-up of labels would cost a tenth of the loop.
    """

    __slots__ = (
        "disconnects",
        "dropped_events",
        "frames",
        "send_s",
        "sends",
        "sent_events",
        "subscribers",
    )

    def __init__(self) -> None:
        self.subscribers = 0
        self.frames = 0
        self.sends = [0] * (len(SEND_SECONDS) + 1)
        self.send_s = 0.0
        self.sent_events: Counter[str] = Counter()
        self.dropped_events: Counter[tuple[str, str]] = Counter()
        # Counters that are there before they count: a rate sees the first step, too.
        self.disconnects = Counter(dict.fromkeys(("slow", "stalled", "full"), 0))

    def opened(self) -> None:
        """Count a connection that was accepted."""
        self.subscribers += 1

    def closed(self) -> None:
        """Count a connection that has ended."""
        self.subscribers -= 1

    def sent(self, channel: str, events: int, frames: int = 1) -> None:
        """Count frames that go to a receiver with this many events of a channel."""
        self.frames += frames
        self.sent_events[channel] += events

    def took(self, seconds: float, messages: int = 1) -> None:
        """Note how long the socket took to take messages; a client that reads slowly shows."""
        self.sends[bisect_left(SEND_SECONDS, seconds)] += messages
        self.send_s += seconds * messages

    def dropped(self, channel: str, policy: str, events: int) -> None:
        """Count events that a slow subscriber was not sent, and by which policy."""
        self.dropped_events[channel, policy] += events

    def disconnected(self, reason: str) -> None:
        """Count a connection that the plant ended.

        `slow` where the ring moved past it, `stalled` where its client did not read, `full` where
        there were as many as `stream.subscribers_max` allows.
        """
        self.disconnects[reason] += 1
