"""Which rows changed what is covered, and when: that is what raises the revision of bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tickplant.candles.coverage import Ints


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
        if not starts.size or not self.seqs.size:
            return np.zeros(starts.shape, np.int64)
        near = np.flatnonzero((self.ends > starts.min()) & (self.starts < ends.max()))
        if not near.size:
            return np.zeros(starts.shape, np.int64)
        near = near[np.argsort(self.starts[near], kind="stable")]
        lows, highs, seqs = self.starts[near], self.ends[near], self.seqs[near]
        found = np.zeros(starts.shape, np.int64)
        for layer in _layers(highs):
            _raise(found, starts, ends, lows[layer], highs[layer], seqs[layer])
        return found


UNTOUCHED = Touches(*(np.empty(0, np.int64),) * 3)
"""Of what nothing has changed."""


def _layers(highs: Ints) -> list[Ints]:
    """Divide gaps, rising by start, into parts in which they rise by end as well.

    Gaps of one feed hardly ever lie within each other, so there is nearly always one part.
    """
    left, layers = np.arange(highs.size), []
    while left.size:
        furthest = np.maximum.accumulate(highs[left])
        rising = highs[left] >= furthest
        layers.append(left[rising])
        left = left[~rising]
    return layers


def _raise(found: Ints, starts: Ints, ends: Ints, lows: Ints, highs: Ints, seqs: Ints) -> None:
    """Raise `found` to the highest number of the gaps that touch each bar.

    Of gaps that rise by start and by end those are one run without a break.
    """
    first = np.searchsorted(highs, starts, "right")
    last = np.searchsorted(lows, ends, "left")
    here = np.flatnonzero(first < last)
    if here.size:
        edges = np.column_stack([first[here], last[here]]).ravel()
        runs = np.maximum.reduceat(np.append(seqs, 0), edges)[::2]
        found[here] = np.maximum(found[here], runs)
