"""A hash table of 128-bit keys that takes and answers whole arrays.

Open addressing with linear probing. All keys of a call take a step at once: those that find a free
slot (or their own key) are done, the others go on to the next slot. At a load of at most a half
that is a handful of steps, each on fewer keys than the last. Growing costs more than all steps: who
knows how many keys will come should say so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickplant.store.contract import Keys

SLOTS_MIN = 1 << 14
SLOTS_PER_KEY = 8
Places = NDArray[np.int64]


class KeyTable:
    """Keys of shape (n, 2), in the order of adding. Not for several threads at once.

    `room` is how many keys will come if any do: a table takes no memory before its first key.
    """

    def __init__(self, room: int = 0) -> None:
        self._slots_min = _slots_for(room)
        self._slots = np.zeros(0, dtype=np.int32)  # place in `_keys` + 1; 0 is free
        self._keys = np.empty((0, 2), dtype=np.uint64)
        self.count = 0

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return int(self._slots.nbytes + self._keys.nbytes)

    def add(self, keys: Keys) -> None:
        """Add keys; one that is there already is there twice then, which changes no answer."""
        total = self.count + len(keys)
        if total == self.count:
            return
        if total > len(self._keys):
            self._grow(total)
        self._keys[self.count : total] = keys
        self._insert(np.arange(self.count, total, dtype=np.int32), keys[:, 0])
        self.count = total

    def reserve(self, more: int) -> None:
        """Make room for so many keys more, so that adding them in parts moves nothing."""
        if self.count + more > len(self._keys):
            self._grow(self.count + more)

    def seen(self, keys: Keys) -> NDArray[np.bool_]:
        """Say for each key whether it was added."""
        found = np.zeros(len(keys), dtype=np.bool_)
        if self.count == 0:
            return found
        at = self._home(keys[:, 0])
        held = self._slots.take(at)
        left = np.flatnonzero(held)
        at, held = at[left], held[left]
        while left.size:
            same = self._equal(held - 1, keys[left])
            found[left[same]] = True
            left, at = left[~same], (at[~same] + 1) & (len(self._slots) - 1)
            held = self._slots.take(at)
            used = held != 0
            left, at, held = left[used], at[used], held[used]
        return found

    def _equal(self, places: NDArray[np.int32], keys: Keys) -> NDArray[np.bool_]:
        held = self._keys[places]
        return np.asarray((held[:, 0] == keys[:, 0]) & (held[:, 1] == keys[:, 1]))

    def _home(self, firsts: NDArray[np.uint64]) -> Places:
        bits = len(self._slots).bit_length() - 1
        return (firsts >> np.uint64(64 - bits)).view(np.int64)

    def _insert(self, places: NDArray[np.int32], firsts: NDArray[np.uint64]) -> None:
        """Find slots for the keys at these places of `_keys`; `firsts` are their first halves."""
        at = self._home(firsts)
        mine = places + np.int32(1)
        while mine.size:
            free = self._slots.take(at) == 0
            self._slots[at[free]] = mine[free]  # of several for one slot the last one has it
            lost = self._slots.take(at) != mine
            mine, at = mine[lost], (at[lost] + 1) & (len(self._slots) - 1)

    def _grow(self, total: int) -> None:
        size = max(_slots_for(total), self._slots_min, len(self._slots))
        keys = np.empty((size // SLOTS_PER_KEY, 2), dtype=np.uint64)
        keys[: self.count] = self._keys[: self.count]
        old, self._keys = self._slots, keys
        self._slots = np.zeros(size, dtype=np.int32)
        # In the order of their slots, which is that of the new ones too: memory is met in turn.
        places = old[old != 0] - np.int32(1)
        self._insert(places, keys[places, 0])

    def keys(self) -> Keys:
        """Return the keys, a view."""
        return self._keys[: self.count]


def _slots_for(keys: int) -> int:
    size = SLOTS_MIN
    while size < SLOTS_PER_KEY * keys:
        size *= 2
    return size
