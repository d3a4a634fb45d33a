"""Which entries of the ring keep what was encoded of them: those that were asked for last."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickplant.plant.published import Published


class Warm:
    """Entries of at most so many rows together, one at least. Any thread may use it.

    Subscribers who fall behind mostly stand near each other, so that what one of them has had
    encoded is there for the next, wherever in the ring that is.
    """

    def __init__(self, rows_max: int) -> None:
        self._rows_max = rows_max
        self._rows = 0
        self._entries: OrderedDict[int, Published] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def use(self, entry: Published) -> None:
        """Note that an entry was asked for; those of longest ago let go of what they have."""
        with self._lock:
            if entry.position in self._entries:
                self._entries.move_to_end(entry.position)
                return
            self._entries[entry.position] = entry
            self._rows += entry.weight
            while self._rows > self._rows_max and len(self._entries) > 1:
                self._let_go(next(iter(self._entries)))

    def drop(self, entry: Published) -> None:
        """Forget an entry that has left the ring."""
        with self._lock:
            if entry.position in self._entries:
                self._let_go(entry.position)

    def _let_go(self, position: int) -> None:
        old = self._entries.pop(position)
        self._rows -= old.weight
        old.encoded = {}
