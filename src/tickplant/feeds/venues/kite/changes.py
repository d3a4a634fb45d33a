"""What is new in packets that repeat what is known: each is compared with the one before it.

Kite sends the whole of an instrument whenever anything of it has changed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Memory:
    """The last values of instruments, by slot: `width` whole numbers each."""

    def __init__(self, width: int) -> None:
        self._values = np.zeros((0, width), np.int64)
        self._known = np.zeros(0, np.bool_)

    def grow(self, slots: int) -> None:
        """Have room for so many instruments."""
        more = slots - len(self._known)
        if more > 0:
            width = self._values.shape[1]
            self._values = np.concatenate([self._values, np.zeros((more, width), np.int64)])
            self._known = np.concatenate([self._known, np.zeros(more, np.bool_)])

    def forget(self, slots: Ints) -> None:
        """Know nothing of these any more."""
        self._known[slots] = False

    def step(self, slots: Ints, values: Ints) -> tuple[Ints, Bools]:
        """Take values, shape (n, width), in the order of arrival of their instruments, (n,).

        Return what was known of each right before, and whether anything was.
        """
        before, known = np.empty_like(values), np.empty(len(slots), np.bool_)
        if not len(slots):
            return before, known
        order = np.argsort(slots, kind="stable")
        ordered = slots[order]
        first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
        last = np.concatenate([first[1:], [True]])
        before[order[1:]] = values[order[:-1]]
        known[order] = True
        begins = order[first]
        before[begins] = self._values[slots[begins]]
        known[begins] = self._known[slots[begins]]
        ends = order[last]
        self._values[slots[ends]] = values[ends]
        self._known[slots[ends]] = True
        return before, known
