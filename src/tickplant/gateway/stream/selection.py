"""Which instruments a subscription wants: named ones, all, or those that match a pattern."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Hashable, Iterable

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

    `numbers` are those known so far, None for all; `names` is what the client is told. With `venue`
    and `kind` it is narrowed to these; a pattern then also follows what kind an instrument turns
    out to be. `key` is the same for selections of the same.
    """

    _mask: NDArray[np.bool_] | None = None

    def __init__(
        self,
        symbols: list[str] | str | None,
        registry: Registry,
        *,
        venue: str | None = None,
        kind: str | None = None,
    ) -> None:
        """Resolve `SYMBOL`, `VENUE:SYMBOL`, `*`, `VENUE:*` and the like; raises `ProtocolError`.

        Without symbols they are all of the venue or kind.
        """
        narrow = venue is not None or kind is not None
        wanted = [symbols] if isinstance(symbols, str) else symbols or ([ALL] if narrow else [])
        if not wanted:
            raise ProtocolError("bad_symbols", "symbols: allowed is a list of at least one symbol")
        self._registry = registry
        self._venue = None if venue is None else venue.strip().upper()
        self._kind = None if kind is None else kind.strip().lower()
        self._named: set[int] = set()
        self._patterns: list[re.Pattern[str]] = []
        self._seen = self._changes = 0
        self.numbers: set[int] | None = set()
        self.names: list[str] = []
        if ALL in wanted and not narrow:
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
        if self._venue is not None and ":" not in text:
            text = f"{self._venue}:{text}"
        instrument = _resolve(text, self._registry)
        if not self._fits(instrument):
            raise ProtocolError(
                "bad_symbols",
                f"symbols: {instrument.name} is of the kind {instrument.kind}, which venue "
                f"{self._venue} and kind {self._kind} leave out",
                symbol=instrument.name,
            )
        if instrument.number not in self.numbers:
            self.numbers.add(instrument.number)
            self._named.add(instrument.number)
            self.names.append(instrument.name)

    @property
    def key(self) -> Hashable:
        """What is selected."""
        return frozenset(self.names), self._venue, self._kind

    @property
    def grows(self) -> bool:
        """Whether there is a pattern, which takes in instruments that come later."""
        return bool(self._patterns)

    def grow(self) -> bool:
        """Take in what was registered since and matches a pattern; say whether anything was."""
        if not self._patterns or self.numbers is None:
            return False
        known = len(self._registry)
        if self._kind is not None and self._changes != self._registry.changes:
            self._changes = self._registry.changes
            self.numbers, self._seen = set(self._named), 0
        if known == self._seen:
            return False
        for number in range(self._seen + 1, known + 1):
            instrument = self._registry.number(number)
            matches = any(pattern.match(instrument.name) for pattern in self._patterns)
            if matches and self._fits(instrument):
                self.numbers.add(number)
        self._seen = known
        self._mask = None
        return True

    def _fits(self, instrument: Instrument) -> bool:
        venue, kind = self._venue, self._kind
        return (venue is None or instrument.venue == venue) and (
            kind is None or (instrument.kind or "").lower() == kind
        )

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
