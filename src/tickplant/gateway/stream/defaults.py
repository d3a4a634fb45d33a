"""The basis of each instrument where a subscription names none: trades where there are, else mid.

The store is asked in threads only. On the event loop what they found is extended by the trades that
come by in the ring; what the ring loses, the reader of the lost span finds.
"""

from __future__ import annotations

from collections.abc import Iterable

from tickplant.plant.history import History
from tickplant.store.contract import AsOf


class DefaultBases:
    """Which instruments have trades. Looked up in threads, asked and extended on the loop."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._traded: set[int] = set()

    def look_up(self, numbers: Iterable[int], as_of: AsOf) -> None:
        """Find out which of these instruments had trades; blocks."""
        for number in numbers:
            known = number in self._traded
            if not known and self._history.default_basis(number, as_of) == "trade":
                self._traded.add(number)

    def note_trades(self, numbers: Iterable[int]) -> None:
        """Take in that these have trades."""
        self._traded.update(numbers)

    def of(self, number: int) -> str:
        """Return the basis of an instrument; one that was never looked up has no trades yet."""
        return "trade" if number in self._traded else "mid"
