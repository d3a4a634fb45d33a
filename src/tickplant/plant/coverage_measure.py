"""How much of many bars is covered, of thousands of instruments with a few operations for all.

Nearly every bar lies behind what is settled of its instrument: earlier sessions, gaps, feeds that
do not go on. An `Outline` says of each instrument how far that is, and the one span behind it, so
the covered part is arithmetic. Only bars before that look at spans (`look_closer`): a whole feed
covers all its instruments alike, so its spans are cut to all bars at once; those by own evidence
are walked back along the chain of each instrument, a step for all bars at a time; where several
feeds cover a bar, their pieces are joined. What was interrupted for one instrument of a whole feed
is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tickplant.candles.coverage import Flags, Floats, Ints, Spans
from tickplant.candles.grid import Grid
from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.plant.arrays import distinct, highest_so_far
from tickplant.plant.coverage import CoverageBook, Measured, covered_part
from tickplant.plant.coverage_own import OwnCoverage
from tickplant.plant.coverage_wide import WideCoverage


class Outline(NamedTuple):
    """What is known of instruments near to now, all of shape (n,).

    Bars that start from `clear` on are covered up to the watermark. Of those that start from
    `settled` on the span `[low, high)` is covered and nothing else; no gap touches either.
    """

    clear: Ints
    settled: Ints
    low: Ints
    high: Ints


Piece = tuple[Ints, Ints, Ints]
"""Places of bars, and from when to when each is covered; shape (n,)."""


def outlined(book: CoverageBook, numbers: Ints, watermarks: Ints) -> Outline:
    """Return the outline of instruments with these watermarks; any order, shape (n,)."""
    size = numbers.size
    clear, low = np.full((2, size), INT64_MAX, np.int64)
    touched, settled, high, further = np.full((4, size), INT64_MIN, np.int64)
    for feed, part in book.parts():
        reached = part.reached(numbers)
        serving = reached != INT64_MIN
        if not serving.any():
            continue
        is_wide = isinstance(part, WideCoverage)
        since, ends = part.since(numbers), book.ledger.last_ends(feed, numbers, whole=is_wide)
        lasting = book.ledger.lasting(feed) if is_wide else None
        if lasting is not None:
            reached = np.where(serving, np.minimum(reached, lasting.start), reached)
        apart = book.ledger.lasting_starts(feed, numbers) if is_wide else None
        if apart is not None:
            reached = np.minimum(reached, apart)
        np.minimum(clear, since, out=clear, where=reached >= watermarks)
        np.maximum(touched, ends, out=touched, where=serving)
        np.maximum(settled, part.closed(numbers), out=settled, where=serving)
        # Of several feeds the one that has come furthest goes on; the others end where they are.
        ahead = reached > high
        further = np.maximum(further, np.where(ahead, high, reached))
        low, high = np.where(ahead, since, low), np.where(ahead, reached, high)
    settled = np.maximum(np.maximum(settled, touched), further)
    np.maximum(settled, book.declared.reached(numbers), out=settled)
    return Outline(np.maximum(clear, touched), settled, low, high)


def measured(
    book: CoverageBook,
    outline: Outline,
    places: Ints,
    watermark: Ints,
    grid: Grid,
    numbers: Ints,
    starts: Ints,
    ends: Ints,
) -> Measured:
    """Return what a book knows of bars, all of shape (n,).

    The outline of a bar's instrument, whose number is in `numbers`, is at its place of `outline`.
    """
    fraction, revision = np.ones(starts.shape, np.float64), np.zeros(starts.shape, np.int64)
    here = np.flatnonzero(starts < outline.clear[places])
    if not here.size:
        return Measured(watermark, fraction, revision)
    start, at = starts[here], places[here]
    so_far = np.minimum(ends, watermark)[here]
    behind = start >= outline.settled[at]
    plain, rest = np.flatnonzero(behind), np.flatnonzero(~behind)
    if plain.size:
        where = at[plain]
        low = np.maximum(start[plain], outline.low[where])
        high = np.minimum(so_far[plain], outline.high[where])
        fraction[here[plain]] = _parts(grid, start[plain], so_far[plain], low, high)
    if rest.size:
        bars = here[rest]
        fraction[bars], revision[bars] = look_closer(
            book, grid, numbers[bars], starts[bars], ends[bars], so_far[rest]
        )
    return Measured(watermark, fraction, revision)


def _parts(grid: Grid, starts: Ints, so_far: Ints, low: Ints, high: Ints) -> Floats:
    """Return which part of each `[start, so_far)` is in `[low, high)`, which lies within it."""
    within = grid.open_spans(int(starts.min()), int(so_far.max()))
    return _divided(_lengths(within, low, high), _lengths(within, starts, so_far))


def _lengths(within: Spans | None, low: Ints, high: Ints) -> Ints:
    if within is not None:
        return within.covered(low, high)
    return np.maximum(high, low) - low


def _divided(covered: Ints, length: Ints) -> Floats:
    part = np.ones(covered.shape, np.float64)
    np.divide(covered, length, out=part, where=length > 0)
    return part


def look_closer(
    book: CoverageBook, grid: Grid, numbers: Ints, starts: Ints, ends: Ints, so_far: Ints
) -> tuple[Floats, Ints]:
    """Return (covered part of `[start, so_far)`, last row that changed `[start, end)`), shape (n,).

    The same as `InstrumentCoverage` says of each. On the thread that owns the book.
    """
    within = grid.open_spans(int(starts.min()), int(so_far.max()))
    closer = _Closer(book, numbers, starts, ends, so_far)
    for feed, wide in book.wide.items():
        closer.add_wide(feed, wide)
    for feed, own in book.own.items():
        closer.add_own(feed, own)
    closer.add_declared()
    part = _divided(closer.covered(within), _lengths(within, starts, so_far))
    revision = closer.revision
    one_by_one = np.flatnonzero(closer.alone)
    for number in distinct(numbers[one_by_one]).tolist():
        mine = one_by_one[numbers[one_by_one] == number]
        known, touches = book.known(number)
        part[mine] = covered_part(known, grid, starts[mine], so_far[mine])
        revision[mine] = touches.highest(starts[mine], ends[mine])
    return part, revision


class _Closer:
    """Collects what each feed covers of some bars, as pieces: one of a bar in each part.

    Those of a whole feed are kept as bounds, to be cut by its spans.
    """

    def __init__(
        self, book: CoverageBook, numbers: Ints, starts: Ints, ends: Ints, so_far: Ints
    ) -> None:
        self._book = book
        self._numbers, self._starts, self._ends, self._so_far = numbers, starts, ends, so_far
        self._pieces: list[Piece] = []
        self._wide: list[tuple[Spans, Piece]] = []
        self._feeds = np.zeros(starts.shape, np.int64)
        self.revision = np.zeros(starts.shape, np.int64)
        self.alone: Flags = np.zeros(starts.shape, np.bool_)

    def add_wide(self, feed: int, wide: WideCoverage) -> None:
        """Add what a whole feed covers, and which of its gaps touch that."""
        reached = wide.reached(self._numbers)
        here = np.flatnonzero(reached != INT64_MIN)
        if not here.size:
            return
        numbers, starts, ends = self._numbers[here], self._starts[here], self._ends[here]
        whole = self._book.whole(feed)
        since, until = wide.bounds(numbers)
        apart = self._book.ledger.last_ends(feed, numbers, whole=False) > starts
        apart |= wide.was_interrupted(numbers)
        lasting = self._book.ledger.lasting_starts(feed, numbers)
        if lasting is not None:
            apart |= lasting < ends
        if len(whole.repaired):  # counts outside of a subscription, too
            low, high = whole.repaired.starts[0], whole.repaired.ends[-1]
            apart |= (starts < high) & ((since > low) | (until < high))
        self.alone[here] |= apart
        touched = _each_once(whole.touches.highest, starts, ends)
        self.revision[here] = np.maximum(self.revision[here], touched)
        if whole.endless:
            until = np.minimum(until, wide.reach)
        low, high = np.maximum(starts, since), np.minimum(self._so_far[here], until)
        some = np.flatnonzero(low < high)
        here = here[some]
        self._feeds[here] += 1
        self._wide.append((whole.known, (here, low[some], high[some])))

    def add_own(self, feed: int, own: OwnCoverage) -> None:
        """Add what a feed covers by own evidence, and which gaps touch that."""
        here = np.flatnonzero(own.reached(self._numbers) != INT64_MIN)
        if not here.size:
            return
        numbers, starts, ends = self._numbers[here], self._starts[here], self._ends[here]
        ledger, found = self._book.ledger, list(own.pieces(numbers, starts))
        if found:
            self._feeds[here] += 1
        repaired = ledger.has_repaired(feed, numbers)
        if repaired.any():
            found += ledger.own_repaired(feed, numbers, starts)
            self._feeds[here[repaired]] += 1
        self._add_pieces(here, found)
        for which, lows, highs, rows in ledger.own_touches(feed, numbers, starts):
            hit = np.flatnonzero((lows < ends[which]) & (highs > starts[which]))
            bars = here[which[hit]]
            self.revision[bars] = np.maximum(self.revision[bars], rows[hit])

    def add_declared(self) -> None:
        """Add what was declared, which may overlap what was declared as well."""
        found = list(self._book.declared.pieces(self._numbers, self._starts))
        for which, _, _ in found[:1]:
            self._feeds[which] += 2
        self._add_pieces(np.arange(self._starts.size), found)

    def _add_pieces(self, here: Ints, found: list[Piece]) -> None:
        for which, lows, highs in found:
            bars = here[which]
            low, high = np.maximum(lows, self._starts[bars]), np.minimum(highs, self._so_far[bars])
            self._pieces.append((bars, low, high))

    def covered(self, within: Spans | None) -> Ints:
        """Return how much of each bar is covered, in ns."""
        covered = np.zeros(self._starts.shape, np.int64)
        several = self._feeds > 1
        any_several, joint = bool(several.any()), list[Piece]()
        for known, piece in self._wide:
            if any_several:
                bars, low, high = _some(piece, several[piece[0]])
                which, low, high = _cut(known, low, high)
                joint.append((bars[which], low, high))
            bars, low, high = _some(piece, ~several[piece[0]]) if any_several else piece
            open_known = known if within is None else known.intersect(within)
            covered[bars] += _each_once(open_known.covered, low, high)
        for piece in self._pieces:
            if any_several:
                joint.append(_some(piece, several[piece[0]]))
            bars, low, high = _some(piece, ~several[piece[0]]) if any_several else piece
            covered[bars] += _lengths(within, low, high)
        if joint:
            bars, low, high = _disjoint(joint)
            np.add.at(covered, bars, _lengths(within, low, high))
        return covered


def _each_once(of: Callable[[Ints, Ints], Ints], low: Ints, high: Ints) -> Ints:
    """Return what a function says of each pair, which in a batch is nearly always the same one."""
    if low.size and (low == low[0]).all() and (high == high[0]).all():
        return np.full(low.shape, of(low[:1], high[:1])[0], np.int64)
    return of(low, high)


def _some(piece: Piece, where: Flags) -> Piece:
    bars, low, high = (column[where] for column in piece)
    return bars, low, high


def _disjoint(pieces: list[Piece]) -> Piece:
    """Return pieces of bars that may overlap, each without what one before it covers."""
    bars, low, high = (np.concatenate(column) for column in zip(*pieces, strict=True))
    order = np.lexsort((low, bars))
    bars, low, high = bars[order], low[order], high[order]
    top = highest_so_far(bars, high)
    again = np.flatnonzero(bars[1:] == bars[:-1]) + 1
    low[again] = np.maximum(low[again], top[again - 1])
    return bars, low, np.maximum(low, high)


def _cut(known: Spans, low: Ints, high: Ints) -> Piece:
    """Return the pieces of spans in each `[low, high)`, with the places of those."""
    if not len(known):
        none = np.empty(0, np.int64)
        return none, none, none
    first = np.searchsorted(known.ends, low, "right")
    counts = np.maximum(np.searchsorted(known.starts, high, "left") - first, 0)
    which = np.repeat(np.arange(low.size), counts)
    at = np.arange(which.size) - np.repeat(np.cumsum(counts) - counts, counts) + first[which]
    return which, np.maximum(low[which], known.starts[at]), np.minimum(high[which], known.ends[at])
