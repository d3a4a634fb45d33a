"""Encoded events in one piece of memory, and which rows of an entry somebody has encoded.

A frame of events is a part of such a piece as it stands, so that neither events nor rows become
objects on their way to a subscriber.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Edges = Sequence[int] | NDArray[np.int32]


class Events:
    """Encoded events one behind the other, each with its wire format's separator behind it.

    Event `n` stands from `edges[n]` to before `edges[n + 1]` in `text`, shape (events + 1,).
    Immutable.
    """

    __slots__ = ("_edges", "_text")

    def __init__(self, text: bytes | memoryview, edges: Edges) -> None:
        self._text = text
        self._edges = edges

    @classmethod
    def of(cls, events: Sequence[bytes], separator: bytes) -> Events:
        """Return events that were encoded one by one."""
        ends = accumulate((len(event) + len(separator) for event in events), initial=0)
        return cls(b"".join([part for event in events for part in (event, separator)]), [*ends])

    @classmethod
    def of_array(cls, events: pa.Array) -> Events:
        """Return events of a binary array, each of which has its separator."""
        _, edges, text = events.buffers()
        if not len(events) or text is None:
            return NO_EVENTS
        first = events.offset
        found = np.frombuffer(edges, np.int32)[first : first + len(events) + 1]
        return cls(memoryview(text), found)

    @classmethod
    def together(cls, parts: Sequence[Events]) -> Events:
        """Return the events of some parts, in their order."""
        some = [part for part in parts if len(part)]
        if len(some) < 2:
            return some[0] if some else NO_EVENTS
        sizes = np.concatenate([np.diff(part._edges) for part in some])
        edges = [0, *np.cumsum(sizes, dtype=np.int64).tolist()]
        return cls(b"".join(part.text for part in some), edges)

    def __len__(self) -> int:
        return len(self._edges) - 1

    def __iter__(self) -> Iterator[bytes]:
        """Go through the events, each with its separator."""
        return (bytes(self.part(place, place + 1).text) for place in range(len(self)))

    @property
    def text(self) -> bytes | memoryview:
        """All events, the last separator included."""
        return self._text[int(self._edges[0]) : int(self._edges[-1])]

    def part(self, low: int, high: int) -> Events:
        """Return the events from `low` to before `high`, without a copy."""
        return Events(self._text, self._edges[low : high + 1])

    def halves(self) -> tuple[Events, Events]:
        """Return two parts of about the same size; of two events or more neither is empty."""
        middle = (int(self._edges[0]) + int(self._edges[-1])) // 2
        cut = min(max(bisect_right(self._edges, middle) - 1, 1), len(self) - 1)
        return self.part(0, cut), self.part(cut, len(self))


NO_EVENTS = Events(b"", [0])


class EncodedRows:
    """The encoded form of some rows of an entry; `additions` is how often some were added.

    `events` are encoded, in any order; `places` says which of them a row is, -1 for none.
    """

    __slots__ = ("_events", "_places", "additions")

    def __init__(self, events: pa.Array, places: NDArray[np.int64]) -> None:
        self._events = events
        self._places = places
        self.additions = 0

    @classmethod
    def none(cls, count: int) -> EncodedRows:
        """Return that none of so many rows is encoded."""
        return cls(_NONE, np.full(count, -1))

    def missing(self, rows: Rows) -> Rows:
        """Return those of the rows that are not encoded."""
        if not len(self._events):
            return rows
        missing: Rows = rows[self._places[rows] < 0]
        return missing

    def add(self, rows: Rows, events: pa.Array) -> None:
        """Take in the events of rows that were missing, a binary array."""
        self.additions += 1
        had = len(self._events)
        self._places[rows] = np.arange(had, had + len(events))
        self._events = pa.concat_arrays([self._events, events]) if had else events

    def take(self, rows: Rows) -> pa.Array:
        """Return the events of rows that are all encoded, a binary array."""
        return _taken(self._events, self._places[rows])

    def part(self, low: int, high: int) -> EncodedRows:
        """Return what is encoded of the rows from `low` to before `high`."""
        places = np.full(high - low, -1)
        known = self._places[low:high] >= 0
        events = _taken(self._events, self._places[low:high][known])
        places[known] = np.arange(len(events))
        return EncodedRows(events, places)

    @classmethod
    def together(cls, parts: Sequence[tuple[EncodedRows | None, int]]) -> EncodedRows:
        """Return what is encoded of the rows of some entries; each comes with its rows' number."""
        some = [cls.none(count) if one is None else one for one, count in parts]
        firsts = accumulate((len(one._events) for one in some), initial=0)
        places = [
            np.where(one._places < 0, -1, one._places + first)
            for one, first in zip(some, firsts, strict=False)
        ]
        events = pa.concat_arrays([one._events for one in some])
        return cls(events, np.concatenate(places))


_NONE = pa.array([], pa.binary())


def _taken(events: pa.Array, places: NDArray[np.int64]) -> pa.Array:
    """Return events by their places; those that follow each other are not copied."""
    count = len(places)
    if not count:
        return _NONE
    first = int(places[0])
    if int(places[-1]) - first == count - 1 and (places[1:] > places[:-1]).all():
        return events if count == len(events) else events.slice(first, count)
    return events.take(pa.array(places))
