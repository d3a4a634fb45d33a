"""Coverage that was declared: spans of which somebody says that everything is there.

It is kept apart from what feeds show by their sessions and events: it neither divides nor widens
those, and what it covers may overlap them and other declarations.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tickplant.candles.coverage import Ints, Spans, spans
from tickplant.model.times import INT64_MIN
from tickplant.plant.arrays import grown
from tickplant.plant.ledger_chains import Chains

_FEED = 0
_NONE = np.empty(0, np.int64)


class DeclaredCoverage:
    """Declared spans by instrument. One thread changes it, under its owner's lock."""

    def __init__(self) -> None:
        self._chains = Chains()
        self._numbers, self._starts, self._ends = _NONE, _NONE, _NONE
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def add(self, numbers: Ints, starts: Ints, ends: Ints) -> None:
        """Take declared spans, shape (n,); any order, an instrument may come again."""
        size = self._used + numbers.size
        kept = (self._numbers, self._starts, self._ends)
        self._numbers, self._starts, self._ends = (grown(column, size, 0) for column in kept)
        new = slice(self._used, size)
        self._numbers[new], self._starts[new], self._ends[new] = numbers, starts, ends
        self._chains.add(self._used, np.zeros_like(numbers), numbers, ends)
        self._used = size

    def numbers_from(self, first: int) -> Ints:
        """Return of which instruments the declarations from the `first` on are."""
        return self._numbers[first : self._used]

    def reached(self, numbers: Ints) -> Ints:
        """Return up to where each instrument is declared, very early where it is not."""
        if not self._used:
            return np.full(numbers.shape, INT64_MIN, np.int64)
        return self._chains.reach(_FEED, numbers)

    def spans_of(self, instrument: int) -> Spans:
        """Return what is declared of an instrument."""
        places = self._chains.of(_FEED, instrument)
        return spans(self._starts[places], self._ends[places])

    def pieces(self, numbers: Ints, since: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield (place in `numbers`, start, end) of spans that end later than their `since`; a
        place once in each part."""
        for which, places in self._chains.walk(_FEED, numbers, since):
            yield which, self._starts[places], self._ends[places]
