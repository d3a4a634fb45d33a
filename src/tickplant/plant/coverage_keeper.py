"""The plant's side of coverage: what feeds say and deliver becomes rows, and rows become the book.

    note of a feed ─┐
                    ├─► rows of `coverage` ─► log, store ─► book ─► bars, notices
    stored events ──┘

Owned by the plant's thread. A row counts only once it is logged: so the book never knows what a
restart would not find again. Rows that the log refuses for now go with the next ones; until then
what comes waits in order, because what it means depends on them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tickplant.candles.coverage import Ints, span
from tickplant.model.errors import NotFound, PassingError
from tickplant.model.events import COVERAGE, SCHEMAS
from tickplant.model.times import INT64_MIN
from tickplant.plant.catalog import Catalog
from tickplant.plant.coverage import CoverageBook
from tickplant.plant.coverage_own import Grown, OwnCoverage, Widened
from tickplant.plant.coverage_reader import MARKER_FEED, read_book
from tickplant.plant.feed_notes import (
    Alive,
    Begun,
    Complete,
    Finished,
    Hole,
    Judged,
    Known,
    Lost,
    Note,
    Repair,
    Subscribed,
)
from tickplant.plant.ledger import Gap
from tickplant.store.contract import Store

_LOG = logging.getLogger(__name__)

WRITE_ROWS = 200_000
"""After so many events it is written down how far every feed has come."""

ROWS_A_SPAN = 200
"""Where many instruments have moved: events to each row that says how far one has."""

Row = dict[str, Any]
Symbols = Sequence[tuple[str, str]]


class _Waiting(NamedTuple):
    """What a feed said, or delivered (no note), that could not be dealt with when it came."""

    feed: int
    note: Note | None
    act: Callable[[], object]


class CoverageKeeper:
    """Turns notes and events into rows of `coverage`; `book` is what all rows so far say.

    `log` stamps rows, makes them durable and stored, and returns them; it raises `PassingError`
    where it refuses. `seq` is the last number before this run of the plant. `alive_ns` is how far
    a heartbeat has to bring a feed on before it is worth a row.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        log: Callable[[list[Row]], pa.RecordBatch],
        seq: int,
        *,
        lateness_ns: int = 0,
        alive_ns: int = 0,
    ) -> None:
        self.book = CoverageBook(lateness_ns)
        self.loaded = False
        self._store = store
        self._catalog = catalog
        self._log = log
        self._seq = seq
        self._lateness_ns = lateness_ns
        self._alive_ns = alive_ns
        self._refused: list[Row] = []
        self._written: list[pa.RecordBatch] = []
        self._begun: dict[int, Begun] = {}
        self._naming: set[int] = set()  # feeds that say by name what they serve
        self._named: set[int] = set()  # feeds that say what they are subscribed to, and when
        self._restarts: dict[tuple[int, int], int] = {}  # the gap before an instrument's session
        self._waiting: deque[_Waiting] = deque()

    def take_written(self) -> list[pa.RecordBatch]:
        """Return the rows that were written since the last call: they are yet to be published."""
        written, self._written = self._written, []
        return written

    # -- runs of the plant ---------------------------------------------------------------------

    def load(self) -> None:
        """Read what the runs before have left and close what the last one left open.

        Then do what was asked for meanwhile. Waits until the store can be read.
        """
        if self.loaded:
            return
        self.book.become(read_book(self._store, self._seq, lateness_ns=self._lateness_ns))
        self.loaded = True
        self._close(self._seq)
        self._held_up()

    def close(self, seq: int) -> None:
        """Write down how far every feed has come up to `seq`, and that its session is over."""
        if not self._held_up():
            self._close(seq)

    def _close(self, seq: int) -> None:
        rows = self._reaches()
        rows += [_row(feed, "end") for feed, own in self.book.own.items() if own.open]
        for feed, wide in self.book.wide.items():
            if wide.began is not None:
                rows.append(_row(feed, "end", end=wide.reach))
        self._write_down(rows, seq)

    def _reaches(self) -> list[Row]:
        rows: list[Row] = []
        for feed, own in self.book.own.items():
            for number, start, end in zip(*(c.tolist() for c in own.unwritten()), strict=True):
                rows.append(_row(feed, "reach", number, start=start, end=end))
        for feed, wide in self.book.wide.items():
            if wide.began is not None:
                rows.append(_row(feed, "reach", start=wide.began, end=wide.reach))
        return rows

    def _write_down(self, rows: list[Row], seq: int) -> None:
        if rows:
            self._write([*rows, _row(MARKER_FEED, "reach", ref_seq=seq)])
        self.book.rows_behind = 0

    def _write(self, rows: list[Row]) -> bool:
        """Log rows and let the book take them; False where the log refuses for now."""
        self._refused += rows
        if not self._refused:
            return True
        try:
            stamped = self._log(self._refused)
        except PassingError:
            return False
        self._refused = []
        self.book.take(stamped)
        self._written.append(stamped)
        return True

    # -- what has to wait ----------------------------------------------------------------------

    def _held_up(self) -> bool:
        """Say whether what comes has to wait, after having done what waited if that can be done.

        It waits for what the runs before have left, and for the log to take refused rows: a feed
        that fails again and again meanwhile is lost once.
        """
        while self.loaded and self._write([]) and self._waiting:
            waiting = self._waiting.popleft()
            try:
                waiting.act()
            except NotFound as fault:
                _LOG.warning("what a feed said was not taken: %s", fault)
        return not self.loaded or bool(self._refused)

    @property
    def waiting(self) -> int:
        """How many notes and batches wait."""
        return len(self._waiting)

    def _wait(self, feed: int, note: Note | None, act: Callable[[], object]) -> None:
        """Let something wait; of heartbeats in a row the first and the last."""
        if isinstance(note, Alive):
            mine = [n for n, waiting in enumerate(self._waiting) if waiting.feed == feed][-2:]
            if len(mine) == 2 and all(isinstance(self._waiting[n].note, Alive) for n in mine):
                del self._waiting[mine[1]]
        self._waiting.append(_Waiting(feed, note, act))

    # -- events --------------------------------------------------------------------------------

    def take_events(
        self, feed: int, instrument: Ints, ts: Ints, seq: int, *, brought: bool = False
    ) -> None:
        """Take stored events of one feed, up to number `seq`, not none; no amendments.

        What was `brought` in later, to repair a gap, says nothing of what a whole feed delivers.
        """
        if self._held_up():
            self._wait(feed, None, lambda: self._take_events(feed, instrument, ts, seq, brought))
        else:
            self._take_events(feed, instrument, ts, seq, brought)

    def _take_events(self, feed: int, instrument: Ints, ts: Ints, seq: int, brought: bool) -> None:
        wide = self.book.wide.get(feed)
        brought = brought and wide is not None
        if not brought:
            self._come(feed, ts, seq - len(ts) + 1)
            wide = self.book.wide.get(feed)
        named = brought or feed in self._naming
        if wide is not None and wide.began is not None and not named:
            new = np.unique(instrument[~wide.serves(instrument)]).tolist()
            self._write([_row(feed, "begin", number, start=wide.began) for number in new])
        widened = self.book.note(feed, instrument, ts)
        if len(widened.numbers):
            self._note_restart(feed, widened)
        dirty = sum(own.dirty for own in self.book.own.values())
        if self.book.rows_behind >= max(WRITE_ROWS, ROWS_A_SPAN * dirty):
            self._write_down(self._reaches(), seq)

    def _come(self, feed: int, ts: Ints, seq: int = 0) -> None:
        """Note that a feed which had not begun, or was lost, has delivered up to these times.

        `seq` is the number of the first event among them, 0 where it is none.

        It is back from the first of them that lies behind where it had come; what lies before is
        late, and proves nothing. A feed that knows from when on it delivers everything has said so;
        of one that names what it is subscribed to, rows prove nothing before it says so again.
        """
        wide, begun = self.book.wide.get(feed), self._begun.get(feed)
        open_session = wide is not None and wide.began is not None
        gap = self.book.ledger.lasting(feed)
        if begun is None and (gap is None or feed in self._named):
            return
        if open_session and gap is None:
            return
        reach = INT64_MIN if wide is None else wide.reach
        if begun is not None and begun.start is not None:
            start = begun.start
        elif (ts > reach).any():
            start = int(ts[ts > reach].min())
        else:
            return
        rows = [] if open_session else [_row(feed, "begin", start=start, ref_seq=seq)]
        if gap is not None:
            rows.append(_ended(gap, start))
        elif reach != INT64_MIN and start > reach:
            rows.append(_gap(feed, 0, reach, start, "restart"))
        if begun is not None and begun.symbols is not None:
            self._naming.add(feed)
            cause = "restart" if gap is None else gap.cause
            rows += self._begin_named(feed, begun, start, reach, cause)
        elif begun is not None:
            self._naming.discard(feed)
        self._write(rows)
        self._begun.pop(feed, None)

    def _begin_named(
        self, feed: int, begun: Begun, start: int, reach: int, cause: str
    ) -> list[Row]:
        """Return the rows of the subscriptions with which a feed begins at `start`.

        What it served before and does not name ends where it had come. What is still to come back
        is missed for the same `cause` as the whole feed was.
        """
        named = [self._number(*symbol) for symbol in begun.symbols or ()]
        waiting = [self._number(*symbol) for symbol in begun.waiting]
        rows = self._delivered(feed, named, start)
        wide = self.book.wide.get(feed)
        if wide is None:
            return rows
        late = np.array(waiting, np.int64)
        lasting = self.book.ledger.lasting_of(feed)
        rows += [
            _gap(feed, number, start, None, cause)
            for number in late[wide.serves(late)].tolist()
            if number not in lasting
        ]
        served = wide.served
        gone = np.setdiff1d(served[wide.serves(served)], named + waiting)
        return rows + self._no_more(feed, gone.tolist(), reach)

    def _note_restart(self, feed: int, widened: Widened) -> None:
        """Note where a session of own evidence began behind what was known before."""
        new, rows = [], []
        for number, end, first in zip(*(c.tolist() for c in widened), strict=True):
            id = self._restarts.get((feed, number))
            if id is None:
                new.append(_gap(feed, number, end, first, "restart"))
            else:
                rows.append(_change(feed, number, id, end=first))
        first_id = self._open(*rows, *new)
        if first_id is not None:
            for place, row in enumerate(new, first_id + len(rows)):
                self._restarts[feed, row["instrument"]] = place

    def _delivered(self, feed: int, numbers: list[int], start: int) -> list[Row]:
        """Return the rows which say that instruments are delivered, maybe again, from `start` on.

        The gap of one that was lost alone ends there.
        """
        wide, lasting = self.book.wide.get(feed), self.book.ledger.lasting_of(feed)
        asked = np.array(numbers, np.int64)
        serves = np.zeros(asked.shape, np.bool_) if wide is None else wide.serves(asked)
        begins = asked[~serves].tolist()
        rows = [_row(feed, "begin", number, start=start) for number in begins]
        return rows + [_ended(lasting[n], start) for n in numbers if n in lasting]

    def _no_more(self, feed: int, numbers: list[int], end: int) -> list[Row]:
        """Return the rows which say that instruments are delivered no more from `end` on."""
        lasting = self.book.ledger.lasting_of(feed)
        rows = [_row(feed, "end", number, end=end) for number in numbers]
        return rows + [_ended(lasting[n], end) for n in numbers if n in lasting]

    def _number(self, symbol: str, venue: str) -> int:
        found = self._catalog.registry.find(symbol, venue)
        return (found or self._catalog.add_instrument(symbol, venue)).number

    # -- notes ---------------------------------------------------------------------------------

    def take_note(self, note: Note) -> int | None:
        """Take what a feed says; returns the id of the gap that it made, if any.

        Raises `NotFound` for a gap that is not this feed's. What is said before the runs before
        are known, or while the log refuses, is done later, and makes no id.
        """
        feed = self._catalog.feed_number(note.feed)
        if self._held_up():
            self._wait(feed, note, lambda: self._take(feed, note))
            return None
        return self._take(feed, note)

    def _take(self, feed: int, note: Note) -> int | None:
        match note:
            case Begun():
                self._begin(feed, note)
            case Alive():
                self._take_alive(feed, note.ts)
            case Subscribed():
                self._subscribe(feed, note)
            case Lost():
                return self._lose(feed, note)
            case Hole():
                return self._note_hole(feed, note)
            case Repair():
                self._repair(feed, note)
            case Complete():
                self._declare(feed, note)
            case Finished():
                self._finish(feed)
            case Judged() | Known():
                pass  # the plant's
        return None

    def _begin(self, feed: int, note: Begun) -> None:
        wide = self.book.wide.get(feed)
        if note.resume and wide is not None and wide.reach != INT64_MIN:
            note = replace(note, start=wide.reach)
        self._begun[feed] = note
        if note.symbols is not None:
            self._named.add(feed)
        if note.start is not None:
            self._come(feed, np.array([note.start], np.int64))

    def _take_alive(self, feed: int, ts: int) -> None:
        self._come(feed, np.array([ts], np.int64))
        wide = self.book.wide.get(feed)
        if wide is None or wide.began is None:
            return
        if ts > wide.reach and ts >= wide.reach + self._alive_ns:
            self._write([_row(feed, "reach", start=wide.began, end=ts)])

    def _subscribe(self, feed: int, note: Subscribed) -> None:
        if feed not in self.book.wide:
            return  # a feed that has not begun delivers nothing
        numbers = [self._number(symbol, venue) for symbol, venue in note.symbols]
        if note.ends:
            self._write(self._no_more(feed, numbers, note.ts))
        else:
            self._write(self._delivered(feed, numbers, note.ts))

    def _lose(self, feed: int, note: Lost) -> int | None:
        wide = self.book.wide.get(feed)
        if wide is None or wide.began is None or self.book.ledger.lasting(feed) is not None:
            return None
        start = wide.reach if note.start is None else note.start
        if note.symbols is None:
            return self._open(_gap(feed, 0, start, None, note.cause, note.detail))
        lasting = self.book.ledger.lasting_of(feed)
        numbers = [self._number(symbol, venue) for symbol, venue in note.symbols]
        rows = [
            _gap(feed, number, start, None, note.cause, note.detail)
            for number in numbers
            if number not in lasting
        ]
        return self._open(*rows) if rows else None

    def _note_hole(self, feed: int, note: Hole) -> int | None:
        numbers = [0] if note.symbols is None else [self._number(*s) for s in note.symbols]
        rows = [
            _gap(feed, number, note.start, note.end, note.cause, note.detail) for number in numbers
        ]
        return self._open(*rows)

    def _open(self, *rows: Row) -> int | None:
        if not self._write(list(rows)):
            return None
        seq: int = self._written[-1].column("seq")[-len(rows)].as_py()
        return seq

    def _repair(self, feed: int, note: Repair) -> None:
        gap = self.book.ledger.find(note.id)
        if gap is None or gap.feed != feed:
            raise NotFound(f"id: {note.id} names no gap of the feed {note.feed}")
        change = _change(feed, gap.instrument, gap.id)
        change |= {"status": note.status, "events": note.events, "detail": note.detail}
        self._write([change])

    def _declare(self, feed: int, note: Complete) -> None:
        """Write down what is declared and not yet declared, or known of feeds, anyway."""
        rows: list[Row] = []
        grown: list[tuple[int, int, int]] = []
        found = (self._catalog.registry.find(*symbol) for symbol in note.symbols)
        for number in sorted({one.number for one in found if one is not None}):
            left = span(note.start, note.end)
            if len(left.subtract(self.book.declared.spans_of(number))):
                rows.append(_row(feed, "cover", number, start=note.start, end=note.end))
                left = left.subtract(self.book.known(number)[0])
                grown += [(number, *piece) for piece in zip(left.starts, left.ends, strict=True)]
        if rows and self._write(rows) and grown:
            numbers, lows, highs = np.array(grown, np.int64).T
            own = self.book.own.setdefault(feed, OwnCoverage())
            own.grown.append(Grown(numbers, lows, highs, np.ones(len(grown), np.bool_)))

    def _finish(self, feed: int) -> None:
        self._begun.pop(feed, None)
        wide = self.book.wide.get(feed)
        if wide is not None and wide.began is not None:
            reach = _row(feed, "reach", start=wide.began, end=wide.reach)
            self._write([reach, _row(feed, "end", end=wide.reach)])


def stamp(rows: list[Row], seq: int, now: int) -> pa.RecordBatch:
    """Return rows of `coverage` as a batch, numbered from `seq` on and noticed `now`."""
    schema = SCHEMAS[COVERAGE]
    given = {"ts_event": now, "ts_recv": now, "flags": 0, "ref_seq": 0}
    named = frozenset[str]().union(*rows)

    def column(name: str) -> Sequence[Any]:
        if name == "seq":
            return range(seq, seq + len(rows))
        constant = given.get(name)
        return (
            [row.get(name, constant) for row in rows] if name in named else [constant] * len(rows)
        )

    arrays = [pa.array(column(field.name), field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _row(feed: int, kind: str, instrument: int = 0, **values: Any) -> Row:
    return {"feed": feed, "kind": kind, "instrument": instrument, **values}


def _gap(
    feed: int, instrument: int, start: int, end: int | None, cause: str, detail: str | None = None
) -> Row:
    return _row(
        feed, "gap", instrument, start=start, end=end, cause=cause, status="open", detail=detail
    )


def _change(feed: int, instrument: int, id: int, **values: Any) -> Row:
    return _row(feed, "change", instrument, ref_seq=id, **values)


def _ended(gap: Gap, start: int) -> Row:
    """Return the row that ends a gap at `start`; one of which nothing is left is repaired."""
    end = max(start, gap.start)
    change = _change(gap.feed, gap.instrument, gap.id, end=end)
    return change if end > gap.start else {**change, "status": "repaired", "events": 0}
