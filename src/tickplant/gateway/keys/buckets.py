"""The counts of callers for the library `limits`: bounded, and on a clock that is handed in.

The library's own memory is neither: it keeps every caller until its window ends, and a thread
looks through all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from limits.storage import Storage


class Buckets(Storage):
    """Counts in fixed windows, each of which begins with the first request after the one before.

    `clock` gives seconds that never go back. At most `callers_max` counts are kept; the one that
    was asked for longest ago goes first, which can only let a caller do more.
    """

    STORAGE_SCHEME = None

    def __init__(self, clock: Callable[[], float], callers_max: int) -> None:
        super().__init__()
        self._clock = clock
        self._most = callers_max
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def base_exceptions(self) -> type[Exception]:
        """What may go wrong: nothing that is to be wrapped."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count `amount` more within a window of `expiry` seconds; return the count."""
        now = self._clock()
        count, ends = self._counts.get(key, (0, 0.0))
        if ends <= now:
            count, ends = 0, now + expiry
        self._counts[key] = count + amount, ends
        self._counts.move_to_end(key)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        return count + amount

    def get(self, key: str) -> int:
        """Return the count of the window that lasts."""
        count, ends = self._counts.get(key, (0, 0.0))
        return count if ends > self._clock() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends, on the clock."""
        return self._counts.get(key, (0, self._clock()))[1]

    def check(self) -> bool:
        """Say that it works."""
        return True

    def reset(self) -> int:
        """Forget everybody; return how many."""
        forgotten = len(self._counts)
        self._counts.clear()
        return forgotten

    def clear(self, key: str) -> None:
        """Forget one count."""
        self._counts.pop(key, None)
