"""Frames of Kite to packets: cut one by one, read as arrays, all of one length at once.

frames ─► cut ─► packets by length ─► Packets: a structured array of each kind
            └─► what cannot be read goes to the quarantine, the packets beside it are taken
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tickplant.feeds.venues.contract import BadFrame, Frame
from tickplant.feeds.venues.kite import wire

Ints = NDArray[np.int64]

HEARTBEAT_BYTES_MAX = 1
PACKETS_MAX = 10_000
"""More packets than this are in no frame: a connection carries 3,000 instruments."""

_SHORT = struct.Struct(">H")
_UNREADABLE = "frame_unreadable"


@dataclass(frozen=True, slots=True)
class Packets:
    """Packets of one length: `rows` has its layout; `at` counts all packets of the frames in the
    order of their arrival, `ts_recv` is ns UTC; all have shape (n,)."""

    rows: NDArray[Any]
    at: Ints
    ts_recv: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> Ints:
        """Return a field, 0 where packets of this length have none."""
        if name in (self.rows.dtype.fields or ()):
            return self.rows[name].astype(np.int64)
        return np.zeros(len(self.rows), np.int64)

    @property
    def tokens(self) -> Ints:
        """The instrument of each."""
        return self.column("token")

    def kept(self, keep: NDArray[np.bool_]) -> Packets:
        """Return some of them."""
        return Packets(self.rows[keep], self.at[keep], self.ts_recv[keep])


@dataclass(slots=True)
class Parsed:
    """What frames hold. `packets` by length; `texts` are frames of text; `heard` says whether any
    frame, a heartbeat included, could be read."""

    packets: dict[int, Packets] = field(default_factory=dict)
    texts: list[Frame] = field(default_factory=list)
    bad: list[BadFrame] = field(default_factory=list)
    heard: bool = False


@dataclass(slots=True)
class _Cut:
    """Packets of one length, while they are collected."""

    pieces: list[bytes] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    ts_recv: list[int] = field(default_factory=list)


def parse(frames: Sequence[Frame]) -> Parsed:
    """Return what frames hold. Never raises for what is in them."""
    found, cuts, at = Parsed(), {length: _Cut() for length in wire.PACKETS}, 0
    for frame in frames:
        if frame.data[:1] == b"{":
            found.texts.append(frame)
        elif len(frame.data) <= HEARTBEAT_BYTES_MAX:
            found.heard = True
        else:
            count, fault = _cut(frame, cuts, at)
            at += count
            found.heard |= not fault
            if fault:
                found.bad.append(BadFrame("trades", _UNREADABLE, fault, frame.data))
    for length, cut in cuts.items():
        if cut.pieces:
            rows = np.frombuffer(b"".join(cut.pieces), wire.PACKETS[length])
            found.packets[length] = Packets(
                rows, np.array(cut.at, np.int64), np.array(cut.ts_recv, np.int64)
            )
    return found


def _cut(frame: Frame, cuts: dict[int, _Cut], at: int) -> tuple[int, str]:
    """Collect the packets of a frame; return how many there are and what is wrong, if anything."""
    data, size = frame.data, len(frame.data)
    count = _SHORT.unpack_from(data)[0]
    if count > PACKETS_MAX:
        return 0, f"{count} packets; allowed are {PACKETS_MAX}"
    fault, place = "", 2
    for number in range(count):
        if place + 2 > size:
            return number, f"it ends before packet {number + 1} of {count}"
        length = _SHORT.unpack_from(data, place)[0]
        end = place + 2 + length
        if end > size:
            return number, f"packet {number + 1} of {count} has {length} bytes and is cut off"
        cut = cuts.get(length)
        if cut is None:
            fault = f"packet {number + 1} of {count} has {length} bytes, which no packet has"
        else:
            cut.pieces.append(data[place + 2 : end])
            cut.at.append(at + number)
            cut.ts_recv.append(frame.ts_recv)
        place = end
    if place < size and not fault:
        fault = f"{size - place} bytes are left behind its {count} packets"
    return count, fault
