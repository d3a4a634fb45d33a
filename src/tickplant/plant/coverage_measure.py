"""How much of many bars is covered, when not all of it may be: a few operations for all bars.

Most instruments are served by one feed. A whole feed covers all of its instruments alike, so its
spans are made once, and each bar is cut to its instrument's subscription. Spans by own evidence
are joined to the bars of their instruments. What is served by several feeds, or has gaps of its
own in a whole feed, is looked at one by one.
"""

from __future__ import annotations

import numpy as np

from tickplant.candles.coverage import Flags, Floats, Ints, Spans
from tickplant.candles.grid import Grid
from tickplant.model.times import INT64_MIN
from tickplant.plant.coverage import CoverageBook, covered_part


def look_closer(
    book: CoverageBook, grid: Grid, numbers: Ints, starts: Ints, ends: Ints, so_far: Ints
) -> tuple[Floats, Ints]:
    """Return (covered part of `[start, so_far)`, last row that changed `[start, end)`), shape (n,).

    The same as `InstrumentCoverage` says of each. On the thread that owns the book.
    """
    within = grid.open_spans(int(starts.min()), int(so_far.max()))
    covered, revision = np.zeros(starts.shape, np.int64), np.zeros(starts.shape, np.int64)
    length = np.maximum(so_far, starts) - starts
    if within is not None:
        length = within.covered(starts, so_far)
    left = _served_once(book, numbers)
    for feed, wide in book.wide.items():
        mine = left & (wide.reached(numbers) != INT64_MIN) & ~book.ledger.has_own(feed, numbers)
        mine &= ~wide.was_interrupted(numbers)
        here = np.flatnonzero(mine)
        if len(here):
            known = book.whole(feed)
            known = known if within is None else known.intersect(within)
            since, until = wide.bounds(numbers[here])
            low, high = np.maximum(starts[here], since), np.minimum(so_far[here], until)
            covered[here] = known.covered(low, high)
            touches = book.ledger.touches(feed, 0, whole=True)
            revision[here] = touches.highest(starts[here], ends[here])
            left[here] = False
    for feed, own in book.own.items():
        mine = left & (own.reached(numbers) != INT64_MIN) & ~book.ledger.has_repaired(feed, numbers)
        here = np.flatnonzero(mine)
        if len(here):
            _of_own(book, feed, numbers[here], here, starts, ends, so_far, within, covered,
                    revision)  # fmt: skip
            left[here] = False
    part = np.ones(starts.shape, np.float64)
    np.divide(covered, length, out=part, where=length > 0)
    one_by_one = np.flatnonzero(left | ~_served_once(book, numbers))
    for number in np.unique(numbers[one_by_one]).tolist():
        mine = one_by_one[numbers[one_by_one] == number]
        known, touches = book.known(number)
        part[mine] = covered_part(known, grid, starts[mine], so_far[mine])
        revision[mine] = touches.highest(starts[mine], ends[mine])
    return part, revision


def _served_once(book: CoverageBook, numbers: Ints) -> Flags:
    count = np.zeros(numbers.shape, np.int64)
    for wide in book.wide.values():
        count += wide.reached(numbers) != INT64_MIN
    for own in book.own.values():
        count += own.reached(numbers) != INT64_MIN
    once: Flags = count == 1
    return once


def _of_own(
    book: CoverageBook,
    feed: int,
    numbers: Ints,
    here: Ints,
    starts: Ints,
    ends: Ints,
    so_far: Ints,
    within: Spans | None,
    covered: Ints,
    revision: Ints,
) -> None:
    """Join spans and gaps by own evidence to the bars `here` of their instruments."""
    order = np.argsort(numbers, kind="stable")
    numbers, here = numbers[order], here[order]
    since = int(starts[here].min())
    whose, lows, highs = book.own[feed].spans_since(np.unique(numbers), since)
    bar, span = _joined(here, numbers, whose)
    low, high = np.maximum(starts[bar], lows[span]), np.minimum(so_far[bar], highs[span])
    common = np.maximum(high, low) - low if within is None else within.covered(low, high)
    np.add.at(covered, bar, common)
    whose, lows, highs, seqs = book.ledger.own_touches(feed, np.unique(numbers), since)
    bar, gap = _joined(here, numbers, whose)
    overlap = (starts[bar] < highs[gap]) & (ends[bar] > lows[gap])
    np.maximum.at(revision, bar[overlap], seqs[gap[overlap]])


def _joined(here: Ints, numbers: Ints, whose: Ints) -> tuple[Ints, Ints]:
    """Return every pair of a bar (of `here`, by rising number) and a row of the same instrument."""
    first, last = np.searchsorted(numbers, whose, "left"), np.searchsorted(numbers, whose, "right")
    counts = last - first
    rows = np.repeat(np.arange(len(whose)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return here[first[rows] + within], rows
