"""What the stream sends, counted without locks."""

from __future__ import annotations

from collections import Counter


class StreamCounts:
    """Counts of the stream. Only the event loop that sends writes; any thread reads.

    A frame is sent 50,000 times a second and more, so that each count is a plain addition; a lock
    and a look-up of labels would cost a tenth of the loop.
    """

    __slots__ = ("dropped_events", "frames", "sent_events", "subscribers")

    def __init__(self) -> None:
        self.subscribers = 0
        self.frames = 0
        self.sent_events: Counter[str] = Counter()
        self.dropped_events: Counter[tuple[str, str]] = Counter()

    def opened(self) -> None:
        """Count a connection that was accepted."""
        self.subscribers += 1

    def closed(self) -> None:
        """Count a connection that has ended."""
        self.subscribers -= 1

    def sent(self, channel: str, events: int) -> None:
        """Count a frame with this many events of a channel."""
        self.frames += 1
        self.sent_events[channel] += events

    def dropped(self, channel: str, policy: str, events: int) -> None:
        """Count events that a slow subscriber was not sent, and by which policy."""
        self.dropped_events[channel, policy] += events
