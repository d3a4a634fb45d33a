"""A hash table of 128-bit keys that takes and answers whole arrays.

Open addressing with linear probing. All keys of a call take a step at once: those that find a free
slot (or their own key) are done, the others go on to the next slot. At a load of at most a half
that is a handful of steps, each on fewer keys than the last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickplant.store.contract import Keys

SLOTS_MIN = 1 << 14
SLOTS_PER_KEY = 8
Places = NDArray[np.int64]


class KeyTable:
    """Keys of shape (n, 2), in the order of adding. Not for several threads at once."""

    def __init__(self) -> None:
        self._slots = np.zeros(SLOTS_MIN, dtype=np.int32)  # place in `_keys` + 1; 0 is free
        self._keys = np.empty((SLOTS_MIN // SLOTS_PER_KEY, 2), dtype=np.uint64)
        self.count = 0

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return int(self._slots.nbytes + self._keys.nbytes)

    def add(self, keys: Keys) -> None:
        """Add keys; one that is there already is there twice then, which changes no answer."""
        total = self.count + len(keys)
        if total > len(self._keys):
            self._grow(total)
        self._keys[self.count : total] = keys
        self._insert(self.count, total)
        self.count = total

    def reserve(self, more: int) -> None:
        """Make room for so many keys more, so that adding them in parts moves nothing."""
        if self.count + more > len(self._keys):
            self._grow(self.count + more)

    def seen(self, keys: Keys) -> NDArray[np.bool_]:
        """Say for each key whether it was added."""
        found = np.zeros(len(keys), dtype=np.bool_)
        at = self._home(keys)
        left = np.arange(len(keys))
        while left.size:
            held = self._slots[at]
            used = held != 0
            left, at, held = left[used], at[used], held[used]
            same = (self._keys[held - 1] == keys[left]).all(axis=1)
            found[left[same]] = True
            left, at = left[~same], (at[~same] + 1) & (len(self._slots) - 1)
        return found

    def _home(self, keys: Keys) -> Places:
        bits = len(self._slots).bit_length() - 1
        return (keys[:, 0] >> np.uint64(64 - bits)).astype(np.int64)

    def _insert(self, first: int, last: int) -> None:
        at = self._home(self._keys[first:last])
        mine = np.arange(first + 1, last + 1, dtype=np.int32)
        while mine.size:
            free = self._slots[at] == 0
            self._slots[at[free]] = mine[free]  # of several for one slot the last one has it
            lost = self._slots[at] != mine
            mine, at = mine[lost], (at[lost] + 1) & (len(self._slots) - 1)

    def _grow(self, total: int) -> None:
        size = len(self._slots)
        while size < SLOTS_PER_KEY * total:
            size *= 2
        keys = np.empty((size // SLOTS_PER_KEY, 2), dtype=np.uint64)
        keys[: self.count] = self._keys[: self.count]
        self._keys, self._slots = keys, np.zeros(size, dtype=np.int32)
        self._insert(0, self.count)

    def keys(self) -> Keys:
        """Return the keys, a view."""
        return self._keys[: self.count]
