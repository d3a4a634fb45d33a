"""Instruments, and the registry that turns names into small integers and back."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

import msgspec

from tickplant.model.errors import AmbiguousSymbol, UnknownSymbol

SYMBOL_MAX = 64
_SYMBOL = re.compile(r"[^\s:,*?/\\\x00-\x1f\x7f]{1,64}\Z")
_VENUE = re.compile(r"[A-Z0-9_.\-]{1,32}\Z")

SYMBOL_ALLOWED = "1 to 64 characters without blanks, ':', ',', '*', '?', '/' or control characters"
VENUE_ALLOWED = "1 to 32 letters, digits, '_', '.' or '-'"

_CODES = (
    "AUD BRL CAD CHF CNH CNY CZK DKK EUR GBP HKD HUF ILS INR JPY KRW MXN NOK NZD PLN RUB SEK SGD "
    "THB TRY TWD USD ZAR XAU XAG"
)
_CURRENCIES = frozenset(_CODES.split())


class Instrument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """What is traded. `number` is the small integer that events hold; it never changes.

    `symbol` is canonical upper case. `expiry` is RFC 3339, `right` is `call` or `put`.
    """

    number: int
    symbol: str
    venue: str
    kind: str | None = None
    base: str | None = None
    quote: str | None = None
    tick_size: float | None = None
    lot_size: float | None = None
    underlying: str | None = None
    expiry: str | None = None
    strike: float | None = None
    right: str | None = None
    timezone: str | None = None
    calendar: str | None = None
    status: str = "active"
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`VENUE:SYMBOL`, which names one instrument and no other."""
        return f"{self.venue}:{self.symbol}"


def is_symbol(text: str) -> bool:
    """Say whether `text` may be a symbol; case does not matter."""
    return _SYMBOL.match(text) is not None


def is_venue(text: str) -> bool:
    """Say whether `text` may be a venue; case does not matter."""
    return _VENUE.match(text.upper()) is not None


def split_name(symbol: str, venue: str) -> tuple[str, str]:
    """Return symbol and venue: the symbol `VENUE:SYMBOL` names its venue itself."""
    prefix, _, rest = symbol.partition(":")
    return (rest, prefix) if prefix and rest else (symbol, venue)


def describe_symbol(symbol: str) -> dict[str, str]:
    """Return what a bare symbol says by itself: `kind`, `base`, `quote` where they are evident."""
    base, dash, quote = symbol.partition("-")
    if dash and base and len(quote) >= 3 and "-" not in quote:  # BRK-B is a class of shares
        return {"kind": "spot", "base": base, "quote": quote}
    if len(symbol) == 6 and symbol[:3] in _CURRENCIES and symbol[3:] in _CURRENCIES:
        return {"kind": "fx", "base": symbol[:3], "quote": symbol[3:]}
    return {}


def _spellings(instrument: Instrument) -> tuple[str, ...]:
    return tuple(dict.fromkeys((instrument.symbol, *(a.upper() for a in instrument.aliases))))


class Registry:
    """All known instruments. One thread adds; any thread looks up.

    Numbers run from 1 without holes; 0 means no instrument. Look-ups never see a half-added
    instrument, because an instrument is complete before the maps name it. `renames` grows when a
    name that named an instrument comes to name another one or none, `changes` with each `put`.
    """

    def __init__(self, instruments: Iterable[Instrument] = ()) -> None:
        self._by_number: dict[int, Instrument] = {}
        self._by_name: dict[tuple[str, str], Instrument] = {}
        self._by_symbol: dict[str, tuple[Instrument, ...]] = {}
        self.renames = 0
        self.changes = 0
        for instrument in instruments:
            self.put(instrument)

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[Instrument]:
        return iter(list(self._by_number.values()))

    def put(self, instrument: Instrument) -> None:
        """Add an instrument or replace the one of the same number; doing it twice changes nothing.

        A symbol goes before an alias: where an alias is another instrument's symbol on the same
        venue, the pair of venue and symbol still names that other one.
        """
        old = self._by_number.get(instrument.number)
        self._by_number[instrument.number] = instrument
        spellings = _spellings(instrument)
        for spelling in dict.fromkeys((*spellings, *(_spellings(old) if old else ()))):
            others = [i for i in self._by_symbol.get(spelling, ()) if i.number != instrument.number]
            mine = [instrument] if spelling in spellings else []
            self._by_symbol[spelling] = (*others, *mine)
            self._name(spelling, {instrument.venue, old.venue if old else instrument.venue})
        self.changes += 1

    def _name(self, spelling: str, venues: set[str]) -> None:
        """Let `(venue, spelling)` name the first instrument of that symbol, else of that alias."""
        for venue in venues:
            found = [i for i in self._by_symbol[spelling] if i.venue == venue]
            found.sort(key=lambda i: i.symbol != spelling)
            known = self._by_name.get((venue, spelling))
            if known is not None and (not found or found[0].number != known.number):
                self.renames += 1
            if found:
                self._by_name[venue, spelling] = found[0]
            else:
                self._by_name.pop((venue, spelling), None)

    def add(self, symbol: str, venue: str) -> Instrument:
        """Register `symbol` on `venue` under the next number and return it."""
        symbol, venue = symbol.upper(), venue.upper()
        known = describe_symbol(symbol)
        instrument = Instrument(
            number=len(self._by_number) + 1,
            symbol=symbol,
            venue=venue,
            kind=known.get("kind"),
            base=known.get("base"),
            quote=known.get("quote"),
        )
        self.put(instrument)
        return instrument

    def find(self, symbol: str, venue: str) -> Instrument | None:
        """Return the instrument with this symbol or alias on this venue; both upper case."""
        return self._by_name.get((venue, symbol))

    def number(self, number: int) -> Instrument:
        """Return the instrument of this number; raises `KeyError` where there is none."""
        return self._by_number[number]

    def resolve(self, text: str) -> Instrument:
        """Return the instrument that `SYMBOL` or `VENUE:SYMBOL` names, in any case.

        Raises `UnknownSymbol` (with the nearest known names) or `AmbiguousSymbol`.
        """
        wanted = text.strip().upper()
        venue, colon, symbol = wanted.partition(":")
        if colon:
            found = self._by_name.get((venue, symbol))
            if found is None:
                raise UnknownSymbol(text, self._nearest(symbol))
            return found
        choices = self._by_symbol.get(wanted, ())
        if len(choices) == 1:
            return choices[0]
        if choices:
            raise AmbiguousSymbol(text, sorted(i.name for i in choices))
        raise UnknownSymbol(text, self._nearest(wanted))

    def _nearest(self, symbol: str) -> list[str]:
        known = [s for s, found in list(self._by_symbol.items()) if found]
        near = difflib.get_close_matches(symbol[:SYMBOL_MAX], known[:10_000], n=3, cutoff=0.6)
        return [i.name for s in near for i in self._by_symbol[s]][:3]
