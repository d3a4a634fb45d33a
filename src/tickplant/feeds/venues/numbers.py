"""The numbers of trades that come over one connection: what is missing shows by them.

    follow(trades) ─► holes between one trade of a symbol and the next
    take_over(lasts of the connection before) ─► the hole in front of the first trade of a symbol

For venues that number the trades of a symbol one by one, whatever connection they come over. What
is older than the last came late or twice, and is no news. The first number says by itself nothing:
only what another connection had last tells whether something is missing in front of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tickplant.feeds.venues.contract import Mark, Skipped, Stream


class TradeNumbers:
    """The `Numbers` of the trades of one connection. Marks are (number, event time in ns)."""

    def __init__(self) -> None:
        self._first: dict[str, Mark] = {}
        self._last: dict[str, Mark] = {}

    def follow(
        self, symbols: Iterable[str], numbers: Iterable[int], ts: Iterable[int]
    ) -> list[Skipped]:
        """Take trades in their order; return the holes between them."""
        holes: list[Skipped] = []
        last = self._last
        for symbol, number, at in zip(symbols, numbers, ts, strict=True):
            before = last.get(symbol)
            if before is None:
                self._first[symbol] = last[symbol] = number, at
            elif number > before[0]:
                if number > before[0] + 1:
                    holes.append(hole(symbol, before, (number, at)))
                last[symbol] = number, at
        return holes

    def reach(self, symbol: str, last: Mark) -> list[Skipped]:
        """Take what the venue says its last trade is; return what has not come of that."""
        before = self._last.get(symbol)
        if before is None:
            self._first[symbol] = last[0] + 1, last[1]
        elif last[0] <= before[0]:
            return []
        self._last[symbol] = last
        return [] if before is None else [hole(symbol, before, (last[0] + 1, last[1]))]

    def last(self, symbol: str) -> Mark | None:
        """Return the last trade of a symbol, None before there was one."""
        return self._last.get(symbol)

    def forget(self, symbol: str) -> None:
        """Begin anew with a symbol: its subscription has ended."""
        self._first.pop(symbol, None)
        self._last.pop(symbol, None)

    def lasts(self) -> dict[Stream, Mark]:
        """See `Numbers.lasts`."""
        return {Stream(symbol, "trades"): mark for symbol, mark in self._last.items()}

    def take_over(self, lasts: Mapping[Stream, Mark]) -> list[Skipped]:
        """See `Numbers.take_over`."""
        holes = []
        for stream, before in lasts.items():
            symbol = stream.symbol
            first = self._first.get(symbol)
            if first is None:
                self._first[symbol] = self._last[symbol] = before
            elif first[0] > before[0] + 1:
                holes.append(hole(symbol, before, first))
        return holes


def hole(symbol: str, before: Mark, after: Mark) -> Skipped:
    """Return the hole between two trades.

    What is missing may have happened at the very times of its neighbours, as those of one order
    do; so they lie inside. That they are fetched again does no harm.
    """
    first, last = before[0] + 1, after[0] - 1
    start, end = sorted((before[1], after[1]))
    detail = f"trades {first} to {last} were not delivered"
    return Skipped((Stream(symbol, "trades"),), start - 1, end + 1, detail, first, last)
