"""What each trade of a batch updates, by the rules of its instrument's venue.

The rules are text in, bits out (`model/conditions.py`); here they are evaluated once for each
distinct text of a batch, and spread over its rows by the codes of a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.runs import Bits
from tickplant.model.conditions import EVERYTHING, RuleSet, TradeRules

_UNKNOWN, _NO_RULES = -1, 0


class InstrumentRules:
    """The rules of each instrument, which are those of its venue. Safe from any thread.

    `venue_of` names the venue of an instrument's number, which never changes.
    """

    def __init__(self, rules: TradeRules, venue_of: Callable[[int], str]) -> None:
        self._rules = rules
        self._venue_of = venue_of
        restricting = [one for one in rules.sets.values() if one.restricts]
        self._sets: list[RuleSet | None] = [None, *restricting]
        self._place = {one.name: place for place, one in enumerate(restricting, 1)}
        # Threads may write the same numbers at the same time: what they write is the same.
        self._set_of = np.full(64, _UNKNOWN, np.int16)

    def concern(self, instrument: int | NDArray[np.integer]) -> bool:
        """Say whether any of the instruments has trades that do not update everything."""
        return bool(self._places(np.atleast_1d(instrument)).any())

    def updates(
        self, instrument: NDArray[np.integer], conditions: pa.Array | pa.ChunkedArray
    ) -> Bits | None:
        """Return the bits of `Update` of trades, shape (n,); None where no rule takes any away."""
        places = self._places(instrument)
        if not places.any():
            return None
        values, codes = _encode(conditions)
        used = np.flatnonzero(np.bincount(places))
        bits = np.full((int(used[-1]) + 1, len(values) + 1), EVERYTHING, np.uint8)
        for place in used.tolist():
            rules = self._sets[place]
            if rules is not None:
                bits[place, :-1] = [rules.updates(value) for value in values]
        if (bits == EVERYTHING).all():
            return None
        return bits[places, codes] if len(used) > 1 else bits[used[0]][codes]

    def _places(self, numbers: NDArray[np.integer]) -> NDArray[np.int16]:
        """Return where the set of each instrument stands in `_sets`, 0 for no rules."""
        set_of = self._set_of
        top = int(numbers.max(initial=0))
        if top >= set_of.size:
            more = np.full(max(top + 1, 2 * set_of.size) - set_of.size, _UNKNOWN, np.int16)
            set_of = self._set_of = np.append(set_of, more)
        places: NDArray[np.int16] = set_of[numbers]
        unknown = places == _UNKNOWN
        if unknown.any():
            for number in np.unique(numbers[unknown]).tolist():
                name = self._rules.of(self._venue_of(number)).name
                set_of[number] = self._place.get(name, _NO_RULES)
            places = set_of[numbers]
        return places


def _encode(conditions: pa.Array | pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the distinct texts and the code of each row; null has the code after the last."""
    if isinstance(conditions, pa.ChunkedArray):
        conditions = conditions.combine_chunks()
    if not pa.types.is_dictionary(conditions.type):
        conditions = conditions.dictionary_encode()
    values: list[str] = conditions.dictionary.to_pylist()
    codes = conditions.indices.fill_null(len(values))
    return values, codes.to_numpy(zero_copy_only=False)


EVERY_TRADE = InstrumentRules(TradeRules({"*": "all"}), str)
"""No rules: every trade updates everything."""
