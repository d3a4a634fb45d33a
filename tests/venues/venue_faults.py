"""What a fake venue does wrong when it is told to: dropped, doubled, swapped, held, damaged frames.

frames of one stream of one link ─► Delivery.pass_on ─► the frames to write now
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from venues.dialect import Link, Wire

KINDS = ("skip", "duplicate", "reorder", "corrupt_checksum")


@dataclass
class Fault:
    """Strikes the next `left` messages that fit; None fits every symbol, channel, link."""

    kind: str
    left: int
    symbol: str | None = None
    channel: str | None = None
    link: int | None = None

    def fits(self, link: Link, stream: tuple[str, str]) -> bool:
        wanted = (self.symbol, self.channel, self.link)
        found = (*stream, link.number)
        return self.left > 0 and all(w in (None, f) for w, f in zip(wanted, found, strict=True))


@dataclass
class Delivery:
    """Decides what becomes of messages. `sent` names the events that went out."""

    faults: list[Fault] = field(default_factory=list)
    stalled: dict[int, bool] = field(default_factory=dict)
    """Links that are sent nothing; the value says whether it is kept for them."""
    kept: dict[int, list[Wire]] = field(default_factory=dict)
    swapped: dict[tuple[int, tuple[str, str]], list[Wire]] = field(default_factory=dict)
    sent: dict[tuple[int, tuple[str, str]], list[Any]] = field(default_factory=dict)

    def add(self, kind: str, spoken: Mapping[str, Any]) -> None:
        """Take a fault as a test speaks it."""
        fields = {name: spoken.get(name) for name in ("symbol", "channel", "link")}
        self.faults.append(Fault(kind, int(spoken.get("n", 1)), **fields))

    def strike(self, link: Link, stream: tuple[str, str]) -> str | None:
        """The kind of the fault that strikes this message, if any."""
        fault = next((fault for fault in self.faults if fault.fits(link, stream)), None)
        if fault is None:
            return None
        fault.left -= 1
        return fault.kind

    def pass_on(
        self,
        link: Link,
        stream: tuple[str, str],
        frames: list[Wire],
        kind: str | None,
        marks: list[Any],
    ) -> list[Wire]:
        """Return what is to be written now in place of `frames`; `marks` name what is in them."""
        if kind == "skip" or self.stalled.get(link.number) is False:
            return []
        place = link.number, stream
        self.sent.setdefault(place, []).extend(marks)
        if kind == "reorder":  # it goes out after the next message of its stream
            self.swapped.setdefault(place, []).extend(frames)
            return []
        out = frames + (frames if kind == "duplicate" else []) + self.swapped.pop(place, [])
        return self.hold(link, out)

    def hold(self, link: Link, frames: list[Wire]) -> list[Wire]:
        """Return the frames, or keep or lose them where the link is stalled."""
        keeps = self.stalled.get(link.number)
        if keeps is None:
            return frames
        if keeps:
            self.kept.setdefault(link.number, []).extend(frames)
        return []

    def resume(self, link: Link) -> list[Wire]:
        """Return what was kept for a link that was stalled."""
        self.stalled.pop(link.number, None)
        return self.kept.pop(link.number, [])
