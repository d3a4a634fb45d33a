"""Which instruments a subscription wants: named ones, all, or those that match a pattern."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from tickplant.gateway.stream.protocol import ProtocolError
from tickplant.model.errors import AmbiguousSymbol, UnknownSymbol, shorten
from tickplant.model.instruments import Instrument, Registry
from tickplant.plant.published import Published

ALL = "*"
PATTERN_MAX = 100

FEW = 8
"""Below this many instruments their rows are looked up one by one."""


class Selection:
    """The instruments of a subscription. A pattern also takes in those that are registered later.

    `numbers` are those known so far, None for all; `names` is what the client is told.
    """

    _mask: NDArray[np.bool_] | None = None

    def __init__(self, symbols: list[str] | str | None, registry: Registry) -> None:
        """Resolve `SYMBOL`, `VENUE:SYMBOL`, `*`, `VENUE:*` and the like; raises `ProtocolError`."""
        wanted = [symbols] if isinstance(symbols, str) else symbols or []
        if not wanted:
            raise ProtocolError("bad_symbols", "symbols: allowed is a list of at least one symbol")
        self._registry = registry
        self._patterns: list[re.Pattern[str]] = []
        self._seen = 0
        self.numbers: set[int] | None = set()
        self.names: list[str] = []
        if ALL in wanted:
            self.numbers, self.names = None, [ALL]
            return
        for text in dict.fromkeys(symbol.strip().upper() for symbol in wanted):
            self._add(text)
        self.grow()

    def _add(self, text: str) -> None:
        assert self.numbers is not None
        if "*" in text or "?" in text:
            if len(text) > PATTERN_MAX:
                raise ProtocolError("bad_symbols", f"symbols: {shorten(text)} is too long")
            self._patterns.append(_compile(text))
            self.names.append(text)
            return
        instrument = _resolve(text, self._registry)
        if instrument.number not in self.numbers:
            self.numbers.add(instrument.number)
            self.names.append(instrument.name)

    def grow(self) -> None:
        """Take in what was registered since, where it matches a pattern."""
        known = len(self._registry)
        if not self._patterns or self.numbers is None or known == self._seen:
            return
        for number in range(self._seen + 1, known + 1):
            name = self._registry.number(number).name
            if any(pattern.match(name) for pattern in self._patterns):
                self.numbers.add(number)
        self._seen = known
        self._mask = None

    def rows_of(self, entry: Published) -> NDArray[np.intp] | None:
        """Return the numbers of the rows of an entry that are wanted, None for all."""
        numbers = self.numbers
        if numbers is None:
            return None
        if len(numbers) < FEW:
            return entry.rows_of(numbers)
        if self._mask is None:
            self._mask = np.zeros(max(numbers) + 2, dtype=np.bool_)
            self._mask[list(numbers)] = True
        return entry.rows_where(self._mask)

    def instruments(self) -> list[Instrument]:
        """Return the instruments that are known now, by number."""
        self.grow()
        numbers: Iterable[int] = (
            range(1, len(self._registry) + 1) if self.numbers is None else sorted(self.numbers)
        )
        return [self._registry.number(number) for number in numbers]


def _resolve(text: str, registry: Registry) -> Instrument:
    try:
        return registry.resolve(text)
    except AmbiguousSymbol as fault:
        raise ProtocolError("ambiguous_symbol", fault.detail, choices=list(fault.choices)) from None
    except UnknownSymbol as fault:
        raise ProtocolError("unknown_symbol", fault.detail, symbol=shorten(text)) from None


def _compile(text: str) -> re.Pattern[str]:
    """Return a pattern for `VENUE:SYMBOL`.

    `fnmatch.translate` never backtracks over more than one `*`, so no pattern is slow to match.
    """
    name = text if ":" in text else f"*:{text}"
    return re.compile(fnmatch.translate(name.replace("[", "[[]")))
