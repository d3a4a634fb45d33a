"""The gap ledger: every span that was not covered, and what became of it.

A fold over the rows `gap` and `change` of the table `coverage`, in sequence order. A gap's id is
the `seq` of its first row. `touched` is the last row that changed what is covered, and `hull` how
far the gap ever reached: the bars between `start` and `hull` have at least that revision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.candles.coverage import NOTHING, Flags, Ints, Spans, spans
from tickplant.model.events import CAUSES, STATUSES
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.arrays import looked_up
from tickplant.plant.ledger_chains import Chains
from tickplant.plant.touches import UNTOUCHED, Touch, Touches

OPEN_END = INT64_MAX
"""The end of a gap that lasts."""

OPEN, REPAIRING, REPAIRED, UNREPAIRABLE = range(len(STATUSES))
"""The codes of the column `status`."""

_ENTRY = np.dtype(
    [
        ("id", "<i8"),
        ("feed", "<i4"),
        ("instrument", "<i4"),
        ("start", "<i8"),
        ("end", "<i8"),
        ("noticed", "<i8"),
        ("changed", "<i8"),
        ("touched", "<i8"),
        ("hull", "<i8"),
        ("events", "<i8"),
        ("cause", "i1"),
        ("status", "i1"),
    ]
)


_WHOLE = np.zeros(1, np.int64)
"""The number in an entry that is about every instrument of a feed."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One entry: `instrument` 0 is every one of the feed; `end` None while it lasts."""

    id: int
    feed: int
    instrument: int
    start: int
    end: int | None
    cause: str
    noticed: int
    status: str
    events: int | None
    changed: int
    detail: str | None


class Ledger:
    """All gaps as columns, by id. One thread changes it, under the lock of its owner.

    `version` is another one after every change.
    """

    def __init__(self) -> None:
        self._rows: NDArray[np.void] = np.empty(0, _ENTRY)
        self._used = 0
        self.version = 0
        self._details: dict[int, str] = {}
        self._chains = Chains()
        self._lasting: dict[int, list[int]] = {}
        self._lasting_apart: dict[int, dict[int, int]] = {}
        self._repaired: dict[int, Flags] = {}

    def __len__(self) -> int:
        return self._used

    @property
    def rows(self) -> NDArray[np.void]:
        """The entries, a view."""
        return self._rows[: self._used]

    def take(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take rows of `coverage`, in sequence order; those of other kinds are left out."""
        self.version += 1
        self._add(rows.filter(pc.equal(rows.column("kind"), "gap")))
        changes = rows.filter(pc.equal(rows.column("kind"), "change"))
        if changes.num_rows:
            self._take_changes(changes)

    def _add(self, rows: pa.RecordBatch | pa.Table) -> None:
        count = rows.num_rows
        if not count:
            return
        if self._used + count > len(self._rows):
            room = np.empty(max(self._used + count, 2 * len(self._rows), 16), _ENTRY)
            room[: self._used] = self.rows
            self._rows = room
        made = self._rows[self._used : self._used + count]
        made["id"] = made["changed"] = rows.column("seq").to_numpy()
        made["noticed"] = rows.column("ts_recv").to_numpy()
        for name in ("feed", "instrument"):
            made[name] = rows.column(name).to_numpy()
        made["start"] = _filled(rows.column("start"), INT64_MIN)
        made["end"] = _filled(rows.column("end"), OPEN_END)
        made["events"] = _filled(rows.column("events"), -1)
        made["cause"] = np.maximum(_codes(rows.column("cause"), CAUSES), 0)
        made["status"] = np.maximum(_codes(rows.column("status"), STATUSES), 0)
        over = made["end"] != OPEN_END
        made["touched"] = np.where(over, made["id"], 0)
        made["hull"] = np.where(over, made["end"], made["start"])
        self._note_details(made["id"], rows.column("detail"))
        self._chains.add(
            self._used, *(made[name].astype(np.int64) for name in ("feed", "instrument", "hull"))
        )
        lasting = np.flatnonzero(~over & (made["instrument"] == 0))
        for place, feed in zip(lasting.tolist(), made["feed"][lasting].tolist(), strict=True):
            self._lasting.setdefault(feed, []).append(self._used + place)
        apart = np.flatnonzero(~over & (made["instrument"] != 0))
        for place in apart.tolist():
            feed, number = int(made["feed"][place]), int(made["instrument"][place])
            self._lasting_apart.setdefault(feed, {})[number] = self._used + place
        self._used += count
        self._note_repaired(made[_is_repaired(made)])

    def _note_details(self, ids: Ints, details: pa.Array | pa.ChunkedArray) -> None:
        if details.null_count < len(details):
            pairs = zip(ids.tolist(), details.to_pylist(), strict=True)
            self._details.update((id, text) for id, text in pairs if text is not None)

    def _note_repaired(self, entries: NDArray[np.void]) -> None:
        for feed in np.unique(entries["feed"]).tolist():
            numbers = entries["instrument"][entries["feed"] == feed]
            have = self._repaired.get(feed, np.empty(0, np.bool_))
            flags = np.zeros(max(have.size, int(numbers.max()) + 1), np.bool_)
            flags[: have.size] = have
            flags[numbers] = True
            self._repaired[feed] = flags

    def _take_changes(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take rows `change`: those of different gaps at once, those of one gap in turn."""
        ids = rows.column("ref_seq").to_numpy()
        places = np.searchsorted(self.rows["id"], ids)
        known = places < self._used
        known[known] = self.rows["id"][places[known]] == ids[known]
        order = np.flatnonzero(known)
        order = order[np.argsort(places[order], kind="stable")]
        if not order.size:
            return
        rows, places = rows.take(pa.array(order)), places[order]
        first = np.flatnonzero(np.append(True, places[1:] != places[:-1]))
        counts = np.diff(np.append(first, places.size))
        turn = np.arange(places.size) - np.repeat(first, counts)
        by_turn = np.argsort(turn, kind="stable")
        for here in np.split(by_turn, np.cumsum(np.bincount(turn))[:-1]):
            self._change(places[here], rows.take(pa.array(here)))

    def _change(self, places: Ints, rows: pa.RecordBatch | pa.Table) -> None:
        """Take one row for each of these places, which are different ones."""
        entries, seqs = self._rows[places], rows.column("seq").to_numpy()
        was_repaired = _is_repaired(entries)
        status = _codes(rows.column("status"), STATUSES)
        events, ends = rows.column("events"), rows.column("end")
        entries["changed"] = seqs
        entries["status"] = np.where(status >= 0, status, entries["status"])
        has_events, has_end = (np.asarray(column.is_valid()) for column in (events, ends))
        entries["events"] = np.where(has_events, _filled(events, 0), entries["events"])
        moved = has_end & (_filled(ends, 0) != entries["end"])
        entries["end"] = np.where(has_end, _filled(ends, 0), entries["end"])
        further = np.maximum(entries["hull"], entries["end"])
        entries["hull"] = np.where(has_end, further, entries["hull"])
        touched = moved | (was_repaired != _is_repaired(entries))
        entries["touched"] = np.where(touched, seqs, entries["touched"])
        self._rows[places] = entries
        self._note_details(entries["id"], rows.column("detail"))
        feeds, numbers, hulls = (
            entries[name].astype(np.int64) for name in ("feed", "instrument", "hull")
        )
        self._chains.extend(feeds, numbers, places, hulls)
        self._note_repaired(entries[_is_repaired(entries)])

    def _place(self, id: int) -> int | None:
        place = int(np.searchsorted(self.rows["id"], id))
        return place if place < self._used and self.rows["id"][place] == id else None

    def last_ends(self, feed: int, numbers: Ints, *, whole: bool) -> Ints:
        """Return up to where the gaps of a feed reach for each instrument; very early for none.

        With `whole` those of the whole feed count, too.
        """
        found = self._chains.reach(feed, numbers)
        if whole:
            np.maximum(found, self._chains.reach(feed, _WHOLE)[0], out=found)
        return found

    def _of(self, feed: int, instrument: int, *, whole: bool = True) -> NDArray[np.void]:
        places = self._chains.of(feed, instrument)
        if whole and instrument:
            places = np.sort(np.append(self._chains.of(feed, 0), places))
        found: NDArray[np.void] = self._rows[places]
        return found

    def missing(self, feed: int, instrument: int) -> Spans:
        """Return the spans of the gaps of a feed that are not repaired."""
        if not self._used:
            return NOTHING
        mine = self._of(feed, instrument)
        mine = mine[~_is_repaired(mine)]
        return spans(mine["start"].astype(np.int64), mine["end"].astype(np.int64))

    def repaired(self, feed: int, instrument: int, *, whole: bool) -> Spans:
        """Return the spans of the gaps of a feed that were repaired."""
        if not self._used:
            return NOTHING
        mine = self._of(feed, instrument, whole=whole)
        mine = mine[_is_repaired(mine)]
        return spans(mine["start"].astype(np.int64), mine["end"].astype(np.int64))

    def touches(self, feed: int, instrument: int, *, whole: bool) -> Touches:
        """Return what changed the coverage of an instrument by a feed."""
        if not self._used:
            return UNTOUCHED
        mine = self._of(feed, instrument, whole=whole)
        mine = mine[mine["touched"] > 0]
        return Touches(
            mine["start"].astype(np.int64),
            mine["hull"].astype(np.int64),
            mine["touched"].astype(np.int64),
        )

    def own_touches(
        self, feed: int, numbers: Ints, since: Ints
    ) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
        """Yield (place in `numbers`, start, end, row) of what changed the coverage of instruments
        for themselves and ends later than their `since`; a place once in each part."""
        for which, places in self._chains.walk(feed, numbers, since):
            starts, ends, rows = (self._rows[name][places] for name in ("start", "hull", "touched"))
            here = np.flatnonzero((rows > 0) & (ends > since[which]))
            yield which[here], starts[here], ends[here], rows[here]

    def own_repaired(
        self, feed: int, numbers: Ints, since: Ints
    ) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield (place in `numbers`, start, end) of the repaired gaps of instruments alone that end
        later than their `since`."""
        for which, places in self._chains.walk(feed, numbers, since):
            here = np.flatnonzero(_is_repaired(self._rows[places]))
            starts, ends = (self._rows[name][places[here]] for name in ("start", "end"))
            yield which[here], starts, ends

    def has_repaired(self, feed: int, numbers: Ints) -> Flags:
        """Say which instruments have gaps of their own in a feed that ever were repaired."""
        if feed not in self._repaired:
            return np.zeros(numbers.shape, np.bool_)
        return looked_up(self._repaired[feed], numbers, False)

    def lasting(self, feed: int) -> Gap | None:
        """Return the gap of a whole feed that lasts, if any."""
        places = self._lasting.get(feed, [])
        while places and self._rows["end"][places[-1]] != OPEN_END:
            places.pop()
        return self._gap(places[-1]) if places else None

    def lasting_of(self, feed: int) -> dict[int, Gap]:
        """Return the gaps that last of instruments that a feed has lost alone, by instrument."""
        return {number: self._gap(place) for number, place in self._places_apart(feed).items()}

    def lasting_starts(self, feed: int, numbers: Ints) -> Ints | None:
        """Return where the gap of each instrument that was lost alone begins, very late for none.

        None where there is no such gap.
        """
        places = self._places_apart(feed)
        if not places:
            return None
        starts = np.full(max(places) + 1, INT64_MAX, np.int64)
        starts[list(places)] = self._rows["start"][list(places.values())]
        return looked_up(starts, numbers, INT64_MAX)

    def _places_apart(self, feed: int) -> dict[int, int]:
        places = self._lasting_apart.get(feed)
        if not places:
            return {}
        over = [n for n, place in places.items() if self._rows["end"][place] != OPEN_END]
        for number in over:
            del places[number]
        return places

    def touch(self, id: int) -> Touch | None:
        """Return where the gap of this id changed what is covered; None where it did nowhere."""
        place = self._place(id)
        if place is None or not self._rows[place]["touched"]:
            return None
        names = ("feed", "instrument", "start", "hull", "touched")
        return Touch(*(int(self._rows[place][name]) for name in names))

    def find(self, id: int) -> Gap | None:
        """Return the gap of this id."""
        place = self._place(id)
        return None if place is None else self._gap(place)

    def unrepaired(self, feed: int) -> int:
        """Return how many gaps of a feed are open or being repaired."""
        rows = self.rows
        return int(np.count_nonzero((rows["feed"] == feed) & (rows["status"] <= REPAIRING)))

    def _gap(self, place: int) -> Gap:
        row = self._rows[place]
        end, events = int(row["end"]), int(row["events"])
        return Gap(
            int(row["id"]),
            int(row["feed"]),
            int(row["instrument"]),
            int(row["start"]),
            None if end == OPEN_END else end,
            CAUSES[row["cause"]],
            int(row["noticed"]),
            STATUSES[row["status"]],
            None if events < 0 else events,
            int(row["changed"]),
            self._details.get(int(row["id"])),
        )

    def gaps(self, places: Ints) -> list[Gap]:
        """Return the entries at these places of `rows`."""
        return [self._gap(place) for place in places.tolist()]


def _is_repaired(entries: NDArray[np.void]) -> Flags:
    """Say which gaps count as covered: a repair counts once it is known where the gap ends."""
    found: Flags = (entries["status"] == REPAIRED) & (entries["end"] != OPEN_END)
    return found


def _filled(column: pa.Array | pa.ChunkedArray, filler: int) -> Ints:
    values: Ints = pc.fill_null(column, filler).to_numpy()
    return values


def _codes(column: pa.Array | pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.int8]:
    """Return the place of each name, -1 where there is none."""
    codes = pc.fill_null(pc.index_in(column, pa.array(names)), -1)
    return np.asarray(codes.to_numpy(), dtype=np.int8)
