"""Where runs of events add up to a threshold: the cuts between bars by activity.

Sums begin anew at each cut, so one cut follows from the one before it. That is done in three
moves: float sums of everything say where a bar that began at any row would end at the earliest,
for all rows at once; a walk goes from cut to cut along these places; and where the float sums are
rounded and too close to the threshold to be sure, the exact sum decides. The exact sum is that of
`exact.py`, an integer in units of 2^-96, and the threshold is the least integer that is published
as a number no lower than it, so that a bar is closed exactly when its published sum has reached
the threshold.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from tickplant.candles import exact
from tickplant.candles.runs import Floats, Ints


def cut_counts(segments: Ints, rows: int, held: Ints, threshold: int) -> Ints:
    """Return where pieces of `threshold` rows begin; the parameters are those of `cut_sums`."""
    lengths = np.diff(segments, append=rows)
    closed = (held + lengths) // threshold
    which = np.repeat(np.arange(segments.size), closed)
    turn = np.arange(which.size) - np.repeat(np.cumsum(closed) - closed, closed)
    ends = (segments - held)[which] + (turn + 1) * threshold
    return _begins(segments, ends, rows)


def cut_sums(values: Floats, segments: Ints, held: Ints, threshold: float) -> Ints:
    """Return where pieces begin, rising: at every segment, and behind every row that closes a bar.

    `values` has shape (n,), n > 0, without NaN; `segments`, shape (m,), rises strictly from 0;
    `held`, shape (6, m), are the exact sums, below the threshold, that the segments begin with.
    """
    rows = values.size
    if values.min() < 0:
        return _cut_signed(values, segments, held, threshold)
    values = np.minimum(values, exact.LARGEST)
    sums = np.append(0.0, np.cumsum(values))
    slack = 0.0
    if not _are_whole(values, sums, held, threshold):
        # Each of n additions is off by at most half a unit in the last place of the total.
        slack = (rows + 8) * 2.0**-52 * (float(sums[-1]) + threshold) + rows / exact.UNITS
    ends = np.append(segments[1:], rows)
    missing = sums[segments] + (threshold - exact.publish(held))
    first = np.maximum(np.searchsorted(sums, missing - slack), segments + 1)
    closing = np.flatnonzero(first <= ends)
    if not closing.size:
        return segments
    near = np.searchsorted(sums, sums[:-1] + (threshold - slack))
    walk = _Walk(values, sums, near, threshold, slack)
    found: list[int] = []
    totals = exact.whole(held[:, closing])
    for j, total in zip(closing.tolist(), totals, strict=True):
        walk.collect(found, int(segments[j]), int(ends[j]), int(first[j]), total)
    return _begins(segments, np.array(found, np.int64), rows)


def _are_whole(values: Floats, sums: Floats, held: Ints, threshold: float) -> bool:
    """Say whether all are whole numbers that float64 adds without rounding, as shares are."""
    if not threshold.is_integer() or float(sums[-1]) + 2 * threshold >= 2.0**53:
        return False
    return not held[: exact.ONES].any() and bool((values == np.rint(values)).all())


class _Walk:
    """Goes from cut to cut. `near[i]` is how far a bar that begins at row i reaches at least."""

    def __init__(
        self, values: Floats, sums: Floats, near: Ints, threshold: float, slack: float
    ) -> None:
        self._values, self._sums, self._near = values, sums, near
        self._threshold, self._slack = threshold, slack
        self._least = _least_units(threshold)

    def collect(self, found: list[int], at: int, end: int, place: int, total: int) -> None:
        """Append the cuts within [at, end); the first bar holds `total` and closes from `place`."""
        begun = total / exact.UNITS
        while place <= end:
            if self._sums.item(place) - self._sums.item(at) + begun < self._threshold + self._slack:
                place = self._decide(at, place, end, total)
                if place > end:
                    return
            found.append(place)
            if place == end:
                return
            at, begun, total = place, 0.0, 0
            place = max(self._near.item(at), at + 1)

    def _decide(self, at: int, place: int, end: int, total: int) -> int:
        """Return behind which row the exact sum has reached the threshold, else `end + 1`."""
        total += exact.whole(exact.sum_groups(self._values[at:place], np.zeros(1, np.int64)))[0]
        while total < self._least:
            if place == end:
                return end + 1
            total += int(self._values.item(place) * exact.UNITS)
            place += 1
        return place


def _cut_signed(values: Floats, segments: Ints, held: Ints, threshold: float) -> Ints:
    """Do what `cut_sums` does row by row: a value is negative where a price is, which is rare."""
    least = _least_units(threshold)
    found: list[int] = []
    units = (np.clip(values, -exact.LARGEST, exact.LARGEST) * exact.UNITS).tolist()
    ends = [*segments[1:].tolist(), values.size]
    for begun, at, end in zip(exact.whole(held), segments.tolist(), ends, strict=True):
        total = begun
        for place in range(at, end):
            total += int(units[place])
            if total >= least:
                found.append(place + 1)
                total = 0
    return _begins(segments, np.array(found, np.int64), values.size)


def _least_units(threshold: float) -> int:
    """Return the least integer of 2^-96 that is published as `threshold` or more."""
    below = np.nextafter(threshold, 0.0).item()
    least = int((Fraction(below) + Fraction(threshold)) / 2 * int(exact.UNITS))
    while least / exact.UNITS < threshold:
        least += 1
    return least


def _begins(segments: Ints, ends: Ints, rows: int) -> Ints:
    """Return the beginnings of pieces, given those of segments and the ends of closed bars."""
    return np.unique(np.concatenate([segments, ends[ends < rows]]))
