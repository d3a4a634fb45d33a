"""Encoded events in one piece of memory, so that choosing and joining them costs no Python each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Places = NDArray[np.intp]


class Packed:
    """Encoded events, one behind the other, each with the wire format's separator. Immutable.

    `array` is a binary array without nulls.
    """

    __slots__ = ("array",)

    def __init__(self, array: pa.Array) -> None:
        self.array = array

    @classmethod
    def of(cls, events: Sequence[bytes], separator: bytes) -> Packed:
        """Put events together."""
        return cls(pa.array([event + separator for event in events], pa.binary()))

    def __len__(self) -> int:
        return len(self.array)

    def take(self, places: Places) -> Packed:
        """Return those at these places, in this order."""
        return Packed(self.array.take(pa.array(places)))

    @staticmethod
    def concat(parts: Sequence[Packed]) -> Packed:
        """Return the events of some, one after the other; at least one."""
        if len(parts) == 1:
            return parts[0]
        return Packed(pa.concat_arrays([part.array for part in parts]))

    def pieces(self, bytes_max: int) -> Iterator[tuple[int, memoryview]]:
        """Yield how many events and their bytes, in order, so many bytes at most or one event."""
        _, edges, data = self.array.buffers()
        first = self.array.offset
        ends = np.frombuffer(edges, np.int32)[first : first + len(self.array) + 1]
        view = memoryview(data) if data is not None else memoryview(b"")
        low, count = 0, len(self.array)
        while low < count:
            high = int(np.searchsorted(ends, ends[low] + bytes_max, "right")) - 1
            high = max(high, low + 1)
            yield high - low, view[ends[low] : ends[high]]
            low = high
