"""The gap ledger: every span that was not covered, and what became of it.

A fold over the rows `gap` and `change` of the table `coverage`, in sequence order. A gap's id is
the `seq` of its first row. `touched` is the last row that changed what is covered, and `hull` how
far the gap ever reached: the bars between `start` and `hull` have at least that revision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.candles.coverage import Flags, Ints, Spans, spans
from tickplant.model.events import CAUSES, STATUSES
from tickplant.model.times import INT64_MAX, INT64_MIN

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


_TOUCH = ("instrument", "start", "hull", "touched")


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


@dataclass(frozen=True, slots=True)
class Touch:
    """Where a gap changed what is covered, and the number of the row that did so last."""

    feed: int
    instrument: int
    start: int
    end: int
    seq: int


@dataclass(frozen=True, slots=True, eq=False)
class Touches:
    """Which rows changed what is covered: from, to, and the number of the row, all shape (n,)."""

    starts: Ints
    ends: Ints
    seqs: Ints

    def highest(self, starts: Ints, ends: Ints) -> Ints:
        """Return the highest number that touched each `[start, end)`, 0 where none did."""
        found = np.zeros(starts.shape, np.int64)
        for low, high, seq in zip(
            self.starts.tolist(), self.ends.tolist(), self.seqs.tolist(), strict=True
        ):
            here = (starts < high) & (ends > low)
            found[here] = np.maximum(found[here], seq)
        return found


class Ledger:
    """All gaps as columns, by id. One thread changes it, under the lock of its owner."""

    def __init__(self) -> None:
        self._rows: NDArray[np.void] = np.empty(0, _ENTRY)
        self._used = 0
        self._details: dict[int, str] = {}
        self._ends_all: dict[int, int] = {}
        self._ends_of: dict[int, Ints] = {}

    def __len__(self) -> int:
        return self._used

    @property
    def rows(self) -> NDArray[np.void]:
        """The entries, a view."""
        return self._rows[: self._used]

    def take(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take rows of `coverage`, in sequence order; those of other kinds are left out."""
        self._add(rows.filter(pc.equal(rows.column("kind"), "gap")))
        changes = rows.filter(pc.equal(rows.column("kind"), "change"))
        for change in changes.to_pylist():
            self._change(change)

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
        made["cause"] = _codes(rows.column("cause"), CAUSES)
        made["status"] = _codes(rows.column("status"), STATUSES)
        over = made["end"] != OPEN_END
        made["touched"] = np.where(over, made["id"], 0)
        made["hull"] = np.where(over, made["end"], made["start"])
        self._used += count
        details = rows.column("detail")
        if details.null_count < count:
            pairs = zip(made["id"].tolist(), details.to_pylist(), strict=True)
            self._details.update((id, text) for id, text in pairs if text is not None)
        self._note_ends(made)

    def _change(self, row: dict[str, object]) -> None:
        place = self._place(int(row["ref_seq"]))  # type: ignore[call-overload]
        if place is None:
            return
        entry = self._rows[place]
        seq = int(row["seq"])  # type: ignore[call-overload]
        was_repaired = entry["status"] == REPAIRED
        entry["changed"] = seq
        if row["status"] is not None:
            entry["status"] = STATUSES.index(str(row["status"]))
        if row["events"] is not None:
            entry["events"] = row["events"]
        if row["detail"] is not None:
            self._details[int(entry["id"])] = str(row["detail"])
        moved = row["end"] is not None and row["end"] != entry["end"]
        if row["end"] is not None:
            entry["end"] = row["end"]
            entry["hull"] = max(entry["hull"], entry["end"])
        if moved or was_repaired != (entry["status"] == REPAIRED):
            entry["touched"] = seq
        self._note_ends(self._rows[place : place + 1])

    def _place(self, id: int) -> int | None:
        place = int(np.searchsorted(self.rows["id"], id))
        return place if place < self._used and self.rows["id"][place] == id else None

    def _note_ends(self, entries: NDArray[np.void]) -> None:
        """Keep how far the gaps of each feed and of each instrument of it reach."""
        for feed in np.unique(entries["feed"]).tolist():
            mine = entries[entries["feed"] == feed]
            whole = mine["instrument"] == 0
            if whole.any():
                furthest = int(mine["hull"][whole].max())
                self._ends_all[feed] = max(furthest, self._ends_all.get(feed, INT64_MIN))
            if not whole.all():
                numbers, hulls = mine["instrument"][~whole], mine["hull"][~whole]
                ends = self._ends_of.get(feed, np.empty(0, np.int64))
                ends = grown(ends, int(numbers.max()) + 1, INT64_MIN)
                np.maximum.at(ends, numbers, hulls)
                self._ends_of[feed] = ends

    def last_ends(self, feed: int, numbers: Ints, *, whole: bool) -> Ints:
        """Return up to where the gaps of a feed reach for each instrument; very early for none.

        With `whole` those of the whole feed count, too.
        """
        all_ends = self._ends_all.get(feed, INT64_MIN) if whole else INT64_MIN
        found = np.full(numbers.shape, all_ends, np.int64)
        ends = self._ends_of.get(feed)
        if ends is not None:
            known = numbers < ends.size
            found[known] = np.maximum(found[known], ends[numbers[known]])
        return found

    def _of(self, feed: int, instrument: int, *, whole: bool = True) -> NDArray[np.void]:
        rows = self.rows
        same = rows["instrument"] == instrument
        if whole:
            same |= rows["instrument"] == 0
        same &= rows["feed"] == feed
        found: NDArray[np.void] = rows[same]
        return found

    def missing(self, feed: int, instrument: int) -> Spans:
        """Return the spans of the gaps of a feed that are not repaired."""
        mine = self._of(feed, instrument)
        mine = mine[mine["status"] != REPAIRED]
        return spans(mine["start"].astype(np.int64), mine["end"].astype(np.int64))

    def repaired(self, feed: int, instrument: int, *, whole: bool) -> Spans:
        """Return the spans of the gaps of a feed that were repaired."""
        mine = self._of(feed, instrument, whole=whole)
        mine = mine[mine["status"] == REPAIRED]
        return spans(mine["start"].astype(np.int64), mine["end"].astype(np.int64))

    def touches(self, feed: int, instrument: int, *, whole: bool) -> Touches:
        """Return what changed the coverage of an instrument by a feed."""
        mine = self._of(feed, instrument, whole=whole)
        mine = mine[mine["touched"] > 0]
        return Touches(
            mine["start"].astype(np.int64),
            mine["hull"].astype(np.int64),
            mine["touched"].astype(np.int64),
        )

    def own_touches(self, feed: int, since: int) -> tuple[Ints, Ints, Ints, Ints]:
        """Return (instrument, start, end, number) of what changed the coverage of instruments of a
        feed for themselves, and ends later than `since`."""
        rows = self.rows
        rows = rows[
            (rows["feed"] == feed)
            & (rows["instrument"] != 0)
            & (rows["touched"] > 0)
            & (rows["hull"] > since)
        ]
        return tuple(rows[name].astype(np.int64) for name in _TOUCH)

    def has_own(self, feed: int, numbers: Ints) -> Flags:
        """Say which instruments have gaps of their own in a feed."""
        ends = self._ends_of.get(feed)
        found = np.zeros(numbers.shape, np.bool_)
        if ends is not None:
            known = numbers < ends.size
            found[known] = ends[numbers[known]] != INT64_MIN
        return found

    def has_repaired(self, feed: int, numbers: Ints) -> Flags:
        """Say which instruments have gaps of their own in a feed that were repaired."""
        rows = self.rows
        repaired = (rows["feed"] == feed) & (rows["status"] == REPAIRED)
        if not repaired.any():
            return np.zeros(numbers.shape, np.bool_)
        found: Flags = np.isin(numbers, rows["instrument"][repaired])
        return found

    def lasting(self, feed: int) -> Gap | None:
        """Return the gap of a whole feed that lasts, if any."""
        rows = self.rows
        found = np.flatnonzero(
            (rows["feed"] == feed) & (rows["instrument"] == 0) & (rows["end"] == OPEN_END)
        )
        return self._gap(int(found[-1])) if found.size else None

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

    def unrepaired(self, feed: int) -> list[Gap]:
        """Return the gaps of a feed that are open or being repaired, by id."""
        rows = self.rows
        here = (rows["feed"] == feed) & (rows["status"] <= REPAIRING)
        return [self._gap(place) for place in np.flatnonzero(here).tolist()]

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


def grown(values: Ints, size: int, filler: int) -> Ints:
    """Return `values` with room for `size`, the new ones being `filler`; the same where it fits."""
    if size <= values.size:
        return values
    return np.append(values, np.full(max(size, 2 * values.size) - values.size, filler, np.int64))


def _filled(column: pa.Array | pa.ChunkedArray, filler: int) -> Ints:
    values: Ints = pc.fill_null(column, filler).to_numpy()
    return values


def _codes(column: pa.Array | pa.ChunkedArray, names: tuple[str, ...]) -> NDArray[np.int8]:
    codes = pc.fill_null(pc.index_in(column, pa.array(names)), 0)
    return np.asarray(codes.to_numpy(), dtype=np.int8)
