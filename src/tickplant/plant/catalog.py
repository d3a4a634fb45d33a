"""The catalog: instruments, feeds and runs, and how they are written down.

The plant's thread owns it. What is new since the last record goes into the log as one record with
no sequence numbers, ahead of the first events that need it, and once more with the record after
it, so that one damaged record loses no name; the archive's manifest keeps the whole, twice. Taking
in the same entry twice changes nothing, so a replay may begin anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tickplant.model.errors import CorruptData, Overloaded, UnknownFeed
from tickplant.model.instruments import Instrument, Registry

LOST_VENUE = "DAMAGED"


class Entries(msgspec.Struct, omit_defaults=True):
    """Catalog entries as JSON: all of them in a manifest, the new ones in a log record."""

    instruments: list[Instrument] = msgspec.field(default_factory=list)
    feeds: dict[str, int] = msgspec.field(default_factory=dict)
    runs: dict[int, int] = msgspec.field(default_factory=dict)


class Catalog:
    """Names and their numbers. One thread changes it, any thread looks up."""

    def __init__(self, instruments_max: int = 1_000_000) -> None:
        self.registry = Registry()
        self.feeds: dict[str, int] = {}
        self.runs: dict[int, int] = {}
        self._instruments_max = instruments_max
        self._new = Entries()
        self._again = Entries()

    @property
    def run(self) -> int:
        """The number of the present run; it grows by one with each start."""
        return max(self.runs, default=0)

    def begin_run(self, seq_last: int) -> int:
        """Note that a run begins after `seq_last` and return its number."""
        number = self.run + 1
        self.runs[number] = self._new.runs[number] = seq_last
        return number

    def run_base(self, run: int) -> int | None:
        """Return the least number after which a run from `run` on began, None for no such run."""
        if run not in self.runs:
            return None
        return min(base for number, base in self.runs.items() if number >= run)

    def feed_number(self, name: str) -> int:
        """Return the number of a feed, a new one where it is not known."""
        number = self.feeds.get(name)
        if number is None:
            number = max(self.feeds.values(), default=0) + 1
            self.feeds[name] = self._new.feeds[name] = number
        return number

    def find_feed(self, name: str) -> int:
        """Return the number of a feed; raises `UnknownFeed` where there is none of this name."""
        number = self.feeds.get(name)
        if number is None:
            raise UnknownFeed(name, sorted(self.feeds))
        return number

    def feed_name(self, number: int) -> str:
        """Return the name of the feed of this number, or an empty text where there is none."""
        return next((name for name, known in self.feeds.items() if known == number), "")

    def add_instrument(self, symbol: str, venue: str) -> Instrument:
        """Register an instrument. Raises `Overloaded` where there are too many."""
        if len(self.registry) >= self._instruments_max:
            raise Overloaded(
                f"checks.instruments_max: {self._instruments_max} instruments are registered and "
                f"{venue}:{symbol} would be one more"
            )
        instrument = self.registry.add(symbol, venue)
        self._new.instruments.append(instrument)
        return instrument

    def describe(self, listings: Iterable[Mapping[str, Any]]) -> int:
        """Take over what venues list; return how many instruments are new or were changed.

        Each listing has `symbol` and `venue` in upper case and fields of `Instrument`; a None says
        nothing, and aliases are added to those that are known. Raises `Overloaded`.
        """
        changed = 0
        for listing in listings:
            known = self.registry.find(listing["symbol"], listing["venue"])
            if known is None or known.symbol != listing["symbol"]:
                known = self.add_instrument(listing["symbol"], listing["venue"])
                self._new.instruments.pop()  # it is noted below, as it is then
                is_new = True
            else:
                is_new = False
            described = _described(known, listing)
            if is_new or described != known:
                self.registry.put(described)
                self._new.instruments.append(described)
                changed += 1
        return changed

    def take_new(self) -> bytes | None:
        """Return what is new since the last call, and what was new then, as a log payload.

        None where there is neither.
        """
        new, again = self._new, self._again
        if new == Entries() and again == Entries():
            return None
        self._new, self._again = Entries(), new
        return msgspec.json.encode(_joined(again, new))

    def give_back(self, payload: bytes) -> None:
        """Undo `take_new` for a payload that the log did not take."""
        taken = msgspec.json.decode(payload, type=Entries)
        self._new, self._again = _joined(taken, self._new), Entries()

    def fill_holes(self, number_max: int) -> int:
        """Give a name to each number up to `number_max` that has none; return to how many.

        Only damage takes names away. A number without a name must not be given to another symbol,
        whose events would then be mixed with those that have the number already.
        """
        known = {instrument.number for instrument in self.registry}
        last = max(known | {number_max})
        missing = sorted(set(range(1, last + 1)) - known) if len(known) < last else []
        for number in missing:
            lost = Instrument(number=number, symbol=f"LOST-{number}", venue=LOST_VENUE)
            self.registry.put(lost)
            self._new.instruments.append(lost)
        return len(missing)

    def encode(self) -> bytes:
        """Return the whole catalog as JSON; safe from any thread."""
        return msgspec.json.encode(
            Entries(instruments=list(self.registry), feeds=dict(self.feeds), runs=dict(self.runs))
        )

    def absorb(self, payload: bytes | bytearray | memoryview) -> None:
        """Take in entries from a manifest or a log record. Raises `CorruptData`."""
        try:
            entries = msgspec.json.decode(payload, type=Entries)
        except msgspec.MsgspecError as fault:
            raise CorruptData("catalog", 0, str(fault)) from fault
        for instrument in entries.instruments:
            self.registry.put(instrument)
        self.feeds.update(entries.feeds)
        self.runs.update(entries.runs)


def _described(known: Instrument, listing: Mapping[str, Any]) -> Instrument:
    facts = {name: value for name, value in listing.items() if value is not None}
    names = dict.fromkeys((*known.aliases, *facts.pop("aliases", ())))
    names.pop(known.symbol, None)
    return msgspec.structs.replace(known, **facts, aliases=tuple(names))


def _joined(first: Entries, second: Entries) -> Entries:
    return Entries(
        instruments=[*first.instruments, *second.instruments],
        feeds=first.feeds | second.feeds,
        runs=first.runs | second.runs,
    )
