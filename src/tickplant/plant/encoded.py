"""Which rows of an entry somebody has encoded, for the others who want them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tickplant.formats.packed import Packed

Rows = NDArray[np.intp]


class EncodedRows:
    """The encoded form of some rows of an entry.

    `events` has them in the order in which they were asked for, and maybe more than those;
    `places` says where each row of the entry is among them, -1 where it is not: shape (rows,).
    `additions` is how often some were added.
    """

    __slots__ = ("_events", "_places", "additions")

    def __init__(self, events: Packed | None, places: Rows) -> None:
        self._events = events
        self._places = places
        self.additions = 0

    @classmethod
    def none(cls, count: int) -> EncodedRows:
        """Return that none of so many rows is encoded."""
        return cls(None, np.full(count, -1, np.intp))

    def missing(self, rows: Rows) -> Rows:
        """Return those of the rows that are not encoded."""
        missing: Rows = rows[self._places[rows] < 0]
        return missing

    def add(self, rows: Rows, events: Packed) -> None:
        """Take in the events of rows that were missing."""
        before = self._events
        self.additions += 1
        self._places[rows] = np.arange(len(events)) + (0 if before is None else len(before))
        self._events = events if before is None else Packed.concat([before, events])

    def take(self, rows: Rows) -> Packed:
        """Return the events of rows that are all encoded."""
        if self._events is None:
            return Packed.of([], b"")
        places = self._places[rows]
        if len(places) == len(self._events) and bool((places[1:] > places[:-1]).all()):
            return self._events  # all of them, in their order
        return self._events.take(places)

    def part(self, low: int, high: int) -> EncodedRows:
        """Return what is encoded of the rows from `low` to before `high`."""
        return EncodedRows(self._events, self._places[low:high].copy())

    @classmethod
    def together(cls, parts: Sequence[tuple[EncodedRows | None, int]]) -> EncodedRows:
        """Return what is encoded of the rows of some entries; each comes with its rows' number."""
        events: list[Packed] = []
        places: list[Rows] = []
        base = held = 0
        for one, count in parts:
            if one is None or one._events is None:
                places.append(np.full(count, -1, np.intp))
                continue
            if not events or events[-1] is not one._events:
                base, held = held, held + len(one._events)
                events.append(one._events)
            places.append(np.where(one._places < 0, -1, one._places + base))
        return cls(Packed.concat(events) if events else None, np.concatenate(places))
