"""Which rows of an entry somebody has encoded, for the others who want them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


class EncodedRows:
    """The encoded form of some rows of an entry; `additions` is how often some were added."""

    __slots__ = ("_events", "_known", "additions")

    def __init__(self, events: NDArray[np.object_], known: NDArray[np.bool_]) -> None:
        self._events = events
        self._known = known
        self.additions = 0

    @classmethod
    def none(cls, count: int) -> EncodedRows:
        """Return that none of so many rows is encoded."""
        return cls(np.empty(count, np.object_), np.zeros(count, np.bool_))

    def missing(self, rows: Rows) -> Rows:
        """Return those of the rows that are not encoded."""
        known = self._known[rows]
        missing: Rows = _NO_ROWS if known.all() else rows[~known]
        return missing

    def add(self, rows: Rows, events: Sequence[bytes]) -> None:
        """Take in the events of rows that were missing."""
        self.additions += 1
        self._events[rows] = events
        self._known[rows] = True

    def take(self, rows: Rows) -> list[bytes]:
        """Return the events of rows that are all encoded."""
        found: list[bytes] = self._events[rows].tolist()
        return found

    def part(self, low: int, high: int) -> EncodedRows:
        """Return what is encoded of the rows from `low` to before `high`."""
        return EncodedRows(self._events[low:high].copy(), self._known[low:high].copy())

    @classmethod
    def together(cls, parts: Sequence[tuple[EncodedRows | None, int]]) -> EncodedRows:
        """Return what is encoded of the rows of some entries; each comes with its rows' number."""
        some = [cls.none(count) if one is None else one for one, count in parts]
        events = np.concatenate([one._events for one in some])
        return cls(events, np.concatenate([one._known for one in some]))


_NO_ROWS = np.empty(0, dtype=np.intp)
