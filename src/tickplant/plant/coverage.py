"""What is known of the feeds: when each was connected, subscribed and alive, and when not.

A fold over the rows of the table `coverage` and, behind the last of them, over the events
themselves, in sequence order. The plant keeps one up with every batch; readers of the past fold
one for the moment that they ask for (`coverage_reader`). An instrument is covered at a time where
any feed that serves it covers it then:

    whole feed     sessions ∩ subscriptions, less the gaps that are not repaired
    own evidence   from the first to the last event of each session (`coverage_own`)
    declared       where somebody says that everything is there (`coverage_declared`)
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.candles.coverage import NOTHING, Floats, Ints, Spans, fractions, span, spans
from tickplant.candles.grid import Grid
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.coverage_declared import DeclaredCoverage
from tickplant.plant.coverage_own import NOT_WIDENED, Grown, OwnCoverage, Widened
from tickplant.plant.coverage_wide import WideCoverage
from tickplant.plant.ledger import Ledger
from tickplant.plant.touches import UNTOUCHED, Touch, Touches

Numbers = NDArray[np.integer]


class Measured(NamedTuple):
    """What is known of some bars, each of shape (n,): the watermark of the bar's instrument, the
    covered part of the bar so far (0 to 1), and the last row of `coverage` that changed it, or 0.
    """

    watermark: Ints
    fraction: Floats
    revision: Ints


class Coverage(Protocol):
    """Who knows how much of a bar is covered."""

    def measure(self, grid: Grid, instrument: Numbers, starts: Ints, ends: Ints) -> Measured:
        """Return what is known of bars, `[start, end)` of an instrument, all of shape (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class InstrumentCoverage:
    """One instrument's coverage at one moment; immutable, a `Coverage` of its bars.

    `watermark` is how far its event time has surely come.
    """

    watermark: int
    known: Spans
    touches: Touches

    def measure(self, grid: Grid, instrument: Numbers, starts: Ints, ends: Ints) -> Measured:
        """Return what is known of bars of this instrument; see `Coverage.measure`."""
        so_far = np.minimum(ends, self.watermark)
        return Measured(
            np.full(starts.shape, self.watermark, np.int64),
            covered_part(self.known, grid, starts, so_far),
            self.touches.highest(starts, ends),
        )

    def changed(self, later: InstrumentCoverage, after: int) -> list[tuple[int, int]]:
        """Return the spans in which a later coverage differs, up to the watermark of this one.

        Those that rows with numbers above `after` have touched are among them.
        """
        differs = later.known.subtract(self.known).union(self.known.subtract(later.known))
        passed = spans(np.array([INT64_MIN]), np.array([self.watermark]))
        # A gap touches an instrument, too, once its feed begins to serve it.
        new = (later.touches.seqs > after) | ~np.isin(later.touches.seqs, self.touches.seqs)
        touched = spans(later.touches.starts[new], later.touches.ends[new])
        found = differs.intersect(passed).union(touched)
        return list(zip(found.starts.tolist(), found.ends.tolist(), strict=True))


def covered_part(known: Spans, grid: Grid, starts: Ints, ends: Ints) -> Floats:
    """Return which part of each `[start, end)` is covered, of the time in which events count."""
    if not starts.size:
        return np.empty(0, np.float64)
    first, last = int(starts.min()), int(ends.max())
    if len(known) == 1 and known.starts[0] <= first and last <= known.ends[0]:
        return np.ones(starts.shape, np.float64)
    within = grid.open_spans(first, last)
    return fractions(known, starts, ends, within)


class CoverageBook:
    """The fold. One thread changes it; any thread may read.

    `lateness_ns` is how far behind the highest time of a feed its watermark stays.
    """

    def __init__(self, lateness_ns: int = 0) -> None:
        self.lock = threading.RLock()
        self.ledger = Ledger()
        self.wide: dict[int, WideCoverage] = {}
        self.own: dict[int, OwnCoverage] = {}
        self.declared = DeclaredCoverage()
        self.rows_behind = 0
        self.version = 0
        self._shape = 0
        self._whole: dict[int, Whole] = {}
        self._lateness_ns = lateness_ns

    # -- the fold ------------------------------------------------------------------------------

    def become(self, other: CoverageBook) -> None:
        """Be what another book is, which is not used any more."""
        with self.lock:
            self.ledger, self.wide, self.own = other.ledger, other.wide, other.own
            self.declared, self.rows_behind = other.declared, other.rows_behind
            self.version += 1
            self._shape += 1
            self._whole.clear()

    def mark(self) -> None:
        """Remember how far each feed has come before what is taken next."""
        for wide in self.wide.values():
            wide.before = wide.reach
        for own in self.own.values():
            own.grown.clear()

    def take(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Take rows of `coverage`, in sequence order; many at once cost few operations a feed."""
        if not rows.num_rows:
            return
        with self.lock:
            self.version += 1
            self._shape += 1
            self.ledger.take(rows)
            self._declare(rows.filter(pc.equal(rows.column("kind"), "cover")))
            about = pc.is_in(rows.column("kind"), pa.array(["begin", "reach", "end"]))
            rows = rows.filter(about)
            feeds = rows.column("feed").to_numpy()
            for feed in np.unique(feeds).tolist():
                if feed:
                    self._take_feed(feed, _Extents.of(rows.filter(pa.array(feeds == feed))))

    def _declare(self, rows: pa.RecordBatch | pa.Table) -> None:
        if rows.num_rows:
            columns = (rows.column(name).to_numpy() for name in ("instrument", "start", "end"))
            self.declared.add(*(column.astype(np.int64) for column in columns))

    def _take_feed(self, feed: int, rows: _Extents) -> None:
        if feed not in self.wide and not rows.is_wide:
            self._take_own(self.own.setdefault(feed, OwnCoverage()), rows)
            return
        wide = self.wide.setdefault(feed, WideCoverage())
        for kind, number, start, end, seq in rows.condensed():
            if number:
                if kind == "begin":
                    wide.subscribe(number, start)
                elif kind == "end":
                    wide.unsubscribe(number, end)
            elif kind == "begin":
                wide.take_begin(start, seq)
            elif kind == "reach":
                wide.take_reach(start, end)
            else:
                wide.take_end(seq)
        self._take_own(self.own.setdefault(feed, OwnCoverage()), rows.own())

    def _take_own(self, own: OwnCoverage, rows: _Extents) -> None:
        for part, ended in rows.sessions():
            if len(part.number):
                own.take_reach(part.number, part.start, part.end)
            if ended:
                own.take_end()

    def note(self, feed: int, instrument: Ints, ts: Ints) -> Widened:
        """Take events of one feed that no row `reach` tells of yet, shape (n,), not none.

        What a whole feed sends between its sessions, say of its instruments' past while it is being
        subscribed, proves nothing. Returns what spans by own evidence have gained.
        """
        with self.lock:
            self.version += 1
            self.rows_behind += len(ts)
            wide = self.wide.get(feed)
            if wide is None:
                return self.note_own(feed, instrument.astype(np.int64), ts)
            if wide.began is not None:
                wide.note(int(ts.max()))
            return NOT_WIDENED

    def note_own(self, feed: int, numbers: Ints, ts: Ints) -> Widened:
        """Take events as evidence of what a feed covers of their own instruments alone."""
        return self.own.setdefault(feed, OwnCoverage()).note(numbers, ts)

    # -- reads ---------------------------------------------------------------------------------

    def _serving(self, instrument: int) -> Iterator[tuple[Spans, Touches]]:
        """Yield what each feed that ever served an instrument covers, and what changed that."""
        ledger = self.ledger
        for feed, wide in self.wide.items():
            if wide.knows(instrument):
                known = wide.spans_of(instrument)
                known = known.union(ledger.repaired(feed, instrument, whole=True))
                known = known.subtract(ledger.missing(feed, instrument))
                yield known, ledger.touches(feed, instrument, whole=True)
        for feed, own in self.own.items():
            if own.knows(instrument):
                known = own.spans_of(instrument)
                known = known.union(ledger.repaired(feed, instrument, whole=False))
                yield known, ledger.touches(feed, instrument, whole=False)

        known = self.declared.spans_of(instrument) if len(self.declared) else NOTHING
        if len(known):
            yield known, UNTOUCHED

    def whole(self, feed: int) -> Whole:
        """Return what a whole feed covers, of the instruments that it serves all the time."""
        wide, ledger, known = self.wide[feed], self.ledger, self._whole.get(feed)
        if known is None or not known.holds(wide, ledger):
            repaired, missing = ledger.repaired(feed, 0, whole=True), ledger.missing(feed, 0)
            began = wide.began
            # Nothing but the reach of the open session changes with every batch: it is left to be
            # cut off, unless a gap was repaired that lies behind it.
            endless = began is not None and not (len(repaired) and repaired.ends[-1] > wide.reach)
            sessions = wide.sessions()
            if began is not None and endless:
                sessions = sessions.union(span(began, INT64_MAX))
            covered = sessions.union(repaired).subtract(missing)
            touches = ledger.touches(feed, 0, whole=True)
            known = Whole(covered, repaired, touches, endless, ledger.version, wide.past_sessions,
                          began, wide.reach)  # fmt: skip
            self._whole[feed] = known
        return known

    def known(self, instrument: int) -> tuple[Spans, Touches]:
        """Return what is covered of an instrument, and which rows changed that."""
        with self.lock:
            known, touches = NOTHING, []
            for part, touch in self._serving(instrument):
                known = known.union(part)
                touches.append(touch)
        if len(touches) == 1:
            return known, touches[0]
        if not touches:
            return known, UNTOUCHED
        starts, ends, seqs = zip(*((t.starts, t.ends, t.seqs) for t in touches), strict=True)
        return known, Touches(np.concatenate(starts), np.concatenate(ends), np.concatenate(seqs))

    def stamp(self, instrument: int) -> Hashable:
        """Return what is another value after anything has changed what is known of an instrument.

        Rows of `coverage` may change anything; events only how far feeds and own spans reach.
        """
        with self.lock:
            wide = [feed.reach for feed in self.wide.values() if feed.knows(instrument)]
            own = [feed.session_of(instrument) for feed in self.own.values()]
            return self._shape, tuple(wide), tuple(own)

    def of(self, instrument: int, own_last: int) -> InstrumentCoverage:
        """Return the coverage of one instrument whose own last event time is `own_last`."""
        with self.lock:
            known, touches = self.known(instrument)
            return InstrumentCoverage(max(own_last, self.watermark(instrument)), known, touches)

    def watermark(self, instrument: int) -> int:
        """Return how far the whole feeds that serve an instrument, and declarations, have come."""
        with self.lock:
            if not self.wide and not len(self.declared):
                return INT64_MIN
            return int(self.watermarks(np.array([instrument]))[0])

    def watermarks(self, numbers: Ints, *, before: int | None = None) -> Ints:
        """Return how far the whole feeds that serve each instrument have come, shape (n,), or up
        to where it is declared to be complete.

        `before` names a feed of which only what it had reached before its last batch counts, and
        no declaration.
        """
        found = np.full(numbers.shape, INT64_MIN, np.int64)
        if before is None:
            found = self.declared.reached(numbers)
        for feed, wide in self.wide.items():
            reached = wide.reached(numbers)
            if feed == before:
                reached = np.minimum(reached, wide.before)
            np.maximum(found, self._late(reached), out=found)
        return found

    def grown(self, feed: int, numbers: Ints, watermarks: Ints) -> Iterator[Grown]:
        """Yield what a feed has come to cover of its instruments since `mark`, in closed bars too.

        That is what lies before what it had covered, and what lies before the watermark that an
        instrument, one of `numbers`, rising, had then.
        """
        if feed in self.own:
            yield from self.own[feed].grown
        wide = self.wide.get(feed)
        if wide is not None and wide.before != INT64_MIN:
            ahead = numbers[wide.serves(numbers) & (watermarks > wide.before)]
            if len(ahead):
                lows, highs = np.full((2, len(ahead)), ((wide.before,), (wide.reach,)), np.int64)
                yield Grown(ahead, lows, highs, np.zeros(len(ahead), np.bool_))

    def named_by(self, rows: pa.RecordBatch) -> Iterator[tuple[int, Ints]]:
        """Yield the feeds that declare, or begin to serve, instruments in these rows, and which.

        Their watermarks may have moved with that, though the feed has come no further.
        """
        feeds, numbers = rows.column("feed").to_numpy(), rows.column("instrument").to_numpy()
        about = pc.is_in(rows.column("kind"), pa.array(["cover", "begin"]))
        named = np.asarray(about, np.bool_) & (numbers > 0)
        for feed in np.unique(feeds[named]).tolist():
            yield feed, numbers[named & (feeds == feed)].astype(np.int64)

    def touched_by(self, rows: pa.RecordBatch) -> list[Touched]:
        """Return where these rows of `coverage`, which were taken, changed what is covered."""
        kinds = rows.column("kind").to_pylist()
        ids = zip(
            kinds, rows.column("seq").to_pylist(), rows.column("ref_seq").to_pylist(), strict=True
        )
        found = []
        for kind, seq, ref in ids:
            if kind in ("gap", "change"):
                touch = self.ledger.touch(ref or seq)
                if touch is not None and touch.seq == seq:
                    found.append(self._touched(touch))
        begins = rows.filter(pc.equal(rows.column("kind"), "begin"))
        names = ("feed", "instrument", "start")
        for feed, number, start in zip(*(begins.column(n).to_pylist() for n in names), strict=True):
            reached = self._reached(number, but=feed)
            if number and feed in self.wide and reached != INT64_MIN:
                # The gaps of the feed touch an instrument from the moment that it serves it, and
                # nothing is known of the time up to there from where others had come.
                touches = self.ledger.touches(feed, number, whole=True)
                low = min([start, reached, *touches.starts.tolist()])
                high = max([self.wide[feed].reach, *touches.ends.tolist()])
                found.append(Touched(np.array([number], np.int64), low, high))
        for feed, number, end in self.ended_by(rows):
            found.append(Touched(np.array([number], np.int64), end, self.wide[feed].reach))
        return found

    def _reached(self, number: int, *, but: int) -> int:
        """Return how far another feed, or the own evidence of this one, covers an instrument."""
        one = np.array([number], np.int64)
        others = (
            part for feed, part in self.parts() if feed != but or isinstance(part, OwnCoverage)
        )
        return max((int(part.reached(one)[0]) for part in others), default=INT64_MIN)

    def _touched(self, touch: Touch) -> Touched:
        if touch.instrument:
            numbers = np.array([touch.instrument], np.int64)
        else:
            wide = self.wide.get(touch.feed)
            numbers = wide.served if wide is not None else np.empty(0, np.int64)
        # A gap of which nothing is left has changed the revision of the bar that it lay in.
        return Touched(numbers, touch.start, max(touch.end, touch.start + 1))

    def ended_by(self, rows: pa.RecordBatch) -> list[tuple[int, int, int]]:
        """Return (feed, instrument, end) of the subscriptions that end with these rows.

        What the feed had come to cover of the instrument behind that is not covered any more, and
        its watermark may be lower than it was.
        """
        ends = rows.filter(pc.equal(rows.column("kind"), "end"))
        columns = (ends.column(name).to_pylist() for name in ("feed", "instrument", "end"))
        found = zip(*columns, strict=True)
        return [(feed, one, end) for feed, one, end in found if one and feed in self.wide]

    def moved_by(self, rows: pa.RecordBatch) -> list[int]:
        """Return the whole feeds that these rows of `coverage` have brought on."""
        return [
            feed for feed in np.unique(rows.column("feed").to_numpy()).tolist() if feed in self.wide
        ]

    def watermark_of(self, feed: int) -> int | None:
        """Return the watermark of a whole feed, None where there is none."""
        wide = self.wide.get(feed)
        if wide is None or wide.reach == INT64_MIN:
            return None
        return wide.reach - self._lateness_ns

    def _late(self, reach: Ints) -> Ints:
        return np.where(reach == INT64_MIN, reach, reach - self._lateness_ns)

    def parts(self) -> list[tuple[int, WideCoverage | OwnCoverage]]:
        """Return the feeds by number, each with what it covers in one of the two ways."""
        return [*self.wide.items(), *self.own.items()]


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """What a whole feed covers and which of its gaps touch that, all instruments alike.

    With `endless` `known` goes on behind where the feed has come. The rest is what it was made of.
    """

    known: Spans
    repaired: Spans
    touches: Touches
    endless: bool
    version: int
    past: Spans
    began: int | None
    reach: int

    def holds(self, wide: WideCoverage, ledger: Ledger) -> bool:
        """Say whether it is still what the feed covers."""
        same = self.version == ledger.version and self.past is wide.past_sessions
        same &= self.began == wide.began
        return same and (self.endless or self.began is None or self.reach == wide.reach)


class Touched(NamedTuple):
    """Instruments, rising, of whose time between `start` and `end` it changed what is covered."""

    numbers: Ints
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Extents:
    """Rows of one feed that say what it covers, as columns; shape (n,), in sequence order.

    `seq` is the number from which on, or up to which, a row holds.
    """

    kind: Ints
    number: Ints
    start: Ints
    end: Ints
    seq: Ints

    @classmethod
    def of(cls, rows: pa.RecordBatch | pa.Table) -> _Extents:
        """Return the columns of such rows."""
        kinds = pc.index_in(rows.column("kind"), pa.array(_KINDS))
        refs = rows.column("ref_seq").to_numpy()
        return cls(
            kinds.to_numpy().astype(np.int64),
            rows.column("instrument").to_numpy().astype(np.int64),
            pc.fill_null(rows.column("start"), INT64_MIN).to_numpy(),
            pc.fill_null(rows.column("end"), INT64_MIN).to_numpy(),
            np.where(refs > 0, refs, rows.column("seq").to_numpy()),
        )

    def take(self, where: Ints) -> _Extents:
        """Return some of the rows."""
        columns = (self.kind, self.number, self.start, self.end, self.seq)
        return _Extents(*(column[where] for column in columns))

    @property
    def is_wide(self) -> bool:
        """Whether a whole feed speaks: its rows name no instrument."""
        return bool(((self.number == 0) & (self.kind != _END)).any())

    def condensed(self) -> list[tuple[str, int, int, int, int]]:
        """Return the rows of a whole feed one by one, without those that a later one says again."""
        whole = self.take(np.flatnonzero((self.number == 0) | (self.kind != _REACH)))
        again = (whole.kind == _REACH) & (np.append(whole.kind[1:], -1) == _REACH)
        left = whole.take(np.flatnonzero(~again))
        columns = (left.kind, left.number, left.start, left.end, left.seq)
        found = zip(*(column.tolist() for column in columns), strict=True)
        return [(_KINDS[kind], *rest) for kind, *rest in found]

    def own(self) -> _Extents:
        """Return what a whole feed was seen to cover by its events alone, before it first began."""
        mine = ((self.number != 0) & (self.kind == _REACH)) | (
            (self.number == 0) & (self.kind == _END)
        )
        return self.take(np.flatnonzero(mine))

    def sessions(self) -> Iterator[tuple[_Extents, bool]]:
        """Yield what each session reached, and whether it ended."""
        ends = np.flatnonzero((self.kind == _END) & (self.number == 0))
        first = 0
        for last in [*ends.tolist(), len(self.kind)]:
            rows = np.arange(first, last)
            yield self.take(rows[self.kind[rows] == _REACH]), last < len(self.kind)
            first = last + 1


_KINDS = ("begin", "reach", "end")
_REACH, _END = 1, 2
