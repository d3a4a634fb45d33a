"""What is known of Kraken's pairs: how many decimals they have, and what REST calls them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tickplant.feeds.venues.contract import Listing
from tickplant.feeds.venues.kraken import names, wire


@dataclass(frozen=True, slots=True)
class KrakenListing(Listing):
    """A listing with what only Kraken knows: REST's name, and the decimals of the checksum."""

    rest_name: str = ""
    price_decimals: int = 0
    size_decimals: int = 0


class Pairs:
    """The pairs that were heard of. Grows with the venue's list, not with what is sent."""

    def __init__(self) -> None:
        self._decimals: dict[str, tuple[int, int]] = {}
        self._rest: dict[str, str] = {}

    def decimals(self, symbol: str) -> tuple[int, int] | None:
        """Return the decimals of the prices and sizes of a pair, None where it was not listed."""
        return self._decimals.get(symbol)

    def rest_name(self, symbol: str) -> str:
        """Return REST's name of a pair, by rule where it was not listed."""
        return self._rest.get(symbol) or names.rest_name(symbol)

    def learn(self, listings: Sequence[Listing]) -> None:
        """Take listings of REST."""
        for one in listings:
            if isinstance(one, KrakenListing):
                self._decimals[one.symbol] = one.price_decimals, one.size_decimals
                self._rest[one.symbol] = one.rest_name

    def note(self, pairs: Iterable[wire.Pair]) -> None:
        """Take pairs of the channel `instrument`."""
        for pair in pairs:
            decimals = pair.price_precision, pair.qty_precision
            self._decimals[names.canonical(pair.symbol)] = decimals
