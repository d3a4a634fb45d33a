"""What was made of an instrument, for as long as nothing about the instrument changes.

Whoever makes something takes the instrument's mark first (`History.mark`): equal marks mean that
making it again would give the same. A mark that is taken too early only makes it be made again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Any

BYTES_MAX = 16 << 20

_FIXED_BYTES = 1_000  # what is taken besides the bytes that the caller counts


class Kept:
    """Values by name, those asked for last, in so many bytes. Any thread may call."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._values: OrderedDict[Hashable, tuple[Hashable, Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def bytes_used(self) -> int:
        """Bytes that the values take now."""
        return self._bytes

    def get(self, name: Hashable, mark: Hashable) -> Any | None:
        """Return the value of this name that was made at this mark, None where there is none."""
        with self._lock:
            found = self._values.get(name)
            if found is None or found[0] != mark:
                return None
            self._values.move_to_end(name)
            return found[1]

    def put(self, name: Hashable, mark: Hashable, value: Any, size: int) -> None:
        """Keep a value of so many bytes, made after the mark was taken."""
        size += _FIXED_BYTES
        with self._lock:
            before = self._values.pop(name, None)
            self._bytes += size - (before[2] if before is not None else 0)
            self._values[name] = mark, value, size
            while self._bytes > self._bytes_max:
                self._bytes -= self._values.popitem(last=False)[1][2]
