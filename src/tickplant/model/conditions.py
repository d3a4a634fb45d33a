"""Which trades count: what a sale condition lets a trade update, as named sets of rules by venue.

A trade updates everything unless a condition of it says otherwise; where it has several, it
updates what all of them allow. A code that a set does not name takes nothing away.

The built-in sets for the US consolidated tapes follow the tables "consolidated processing" in the
CTS Output Multicast Interface Specification of the CTA Plan and in the UTDF Direct Subscriber
Interface Specification of the UTP Plan, as the vendors Massive (formerly Polygon.io) and dxFeed
tabulate them. The two plans use the code B for different things, which is why there are two sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag


class Update(IntFlag):
    """What a trade may update; the names in lower case are those of the settings."""

    OPEN = 1
    HIGH_LOW = 2
    LAST = 4
    VOLUME = 8


EVERYTHING = int(Update.OPEN | Update.HIGH_LOW | Update.LAST | Update.VOLUME)
LETTERS, BITS = "letters", "bits"
FORMS = (LETTERS, BITS)
ALL = "all"
OTHERS = "*"
"""In the table of venues: every venue that is not named."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What the codes of a venue let a trade update; `codes` to bits of `Update`.

    In the form `letters` a text is codes with commas, semicolons, bars or blanks between them; a
    part that is no code itself is taken letter by letter, except a number of several digits, which
    is another vendor's code. In the form `bits` it is a hexadecimal number, and a code is the mask
    of a bit, hexadecimal too.
    """

    name: str
    codes: Mapping[str, int] = field(default_factory=dict)
    form: str = LETTERS

    @property
    def restricts(self) -> bool:
        """Whether any code takes anything away."""
        return any(bits != EVERYTHING for bits in self.codes.values())

    def updates(self, conditions: str | None) -> int:
        """Return the bits of `Update` that a trade with these conditions has."""
        bits = EVERYTHING
        if conditions:
            for code in self._bits(conditions) if self.form == BITS else self._letters(conditions):
                bits &= self.codes[code]
        return bits

    def _letters(self, conditions: str) -> list[str]:
        found: list[str] = []
        for part in conditions.translate(_SEPARATORS).split():
            if part in self.codes:
                found.append(part)
            elif not part.isdigit():
                found += [letter for letter in part if letter in self.codes]
        return found

    def _bits(self, conditions: str) -> list[str]:
        try:
            value = int(conditions, 16)
        except ValueError:
            return []
        return [code for code in self.codes if value & int(code, 16)]


_SEPARATORS = str.maketrans(",;|", "   ")

_VOLUME = int(Update.VOLUME)
_NOT_LAST = int(Update.HIGH_LOW | Update.VOLUME)

_EXTENDED_HOURS = {"T": _VOLUME, "U": _VOLUME}
_BOTH_TAPES = {
    "C": _VOLUME,  # cash, settled the same day
    "H": _VOLUME,  # price variation
    "I": _VOLUME,  # odd lot
    "N": _VOLUME,  # settled the next day
    "R": _VOLUME,  # seller's option
    "V": _VOLUME,  # contingent
    "W": _VOLUME,  # average price
    "7": _VOLUME,  # qualified contingent
    "G": _NOT_LAST,  # bunched, sold out of sequence
    "P": _NOT_LAST,  # prior reference price
    "Z": _NOT_LAST,  # sold out of sequence
    "3": _NOT_LAST,  # stopped stock, sold out of sequence
    "4": _NOT_LAST,  # derivatively priced
    "9": int(Update.HIGH_LOW | Update.LAST),  # corrected consolidated close
    "M": 0,  # a market centre's official close: a message about trades that were reported before
    "Q": 0,  # a market centre's official open
}
_CTA = {**_BOTH_TAPES, "B": _VOLUME}  # average price; on the UTP tapes B is bunched, and regular

BUILT_IN: dict[str, RuleSet] = {
    one.name: one
    for one in (
        RuleSet(ALL),
        RuleSet("cta", {**_CTA, **_EXTENDED_HOURS}),
        RuleSet("utp", {**_BOTH_TAPES, **_EXTENDED_HOURS}),
        RuleSet("cta-extended", _CTA),
        RuleSet("utp-extended", _BOTH_TAPES),
    )
}
"""`all`: every trade updates everything. `cta`, `utp`: the consolidated tapes of the United States.
The sets that end in `-extended` let trades outside of regular hours (T, U) update prices too."""

_CTA_VENUES = (
    "XNYS NYSE ARCX ARCA NYSEARCA XASE AMEX NYSEAMERICAN XCHI CHX NYSECHICAGO XCIS NSX BATS BATY "
    "BZX BYX EDGA EDGX IEXG IEX LTSE MEMX EPRL PEARL XBOS XPHL PSX FINR TRF US USA SIP CTA CTS"
)
_UTP_VENUES = "XNAS XNGS XNMS XNCM NASDAQ NSDQ NASDAQGS NASDAQGM NASDAQCM UTP UTDF"

VENUES: dict[str, str] = {
    OTHERS: ALL,
    **dict.fromkeys(_CTA_VENUES.split(), "cta-extended"),
    **dict.fromkeys(_UTP_VENUES.split(), "utp-extended"),
}
"""The set of each venue, by MIC or short name; `*` is every other one.

Bars before the open and after the close have prices, as those of most vendors; what belongs to the
regular session alone is asked for by `session=regular`, not by leaving prices out.
"""


@dataclass(frozen=True, slots=True)
class TradeRules:
    """Which set of rules each venue uses. `venues` has `OTHERS`; every set that it names exists."""

    venues: Mapping[str, str] = field(default_factory=lambda: dict(VENUES))
    sets: Mapping[str, RuleSet] = field(default_factory=lambda: dict(BUILT_IN))

    def of(self, venue: str) -> RuleSet:
        """Return the set of a venue, in canonical upper case."""
        return self.sets[self.venues.get(venue, self.venues[OTHERS])]
