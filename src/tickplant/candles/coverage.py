"""Spans of time as sorted arrays, and how much of each bar they cover.

A `Spans` is a set of disjoint half-open spans `[start, end)`. Every operation is a few array
operations over the edges; how much of many bars is covered is two binary searches for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tickplant.model.times import INT64_MIN

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

STATES = ("forming", "complete", "quiet", "partial", "gap")
"""What a bar can be; the codes of `state_codes` are places in here."""
FORMING, COMPLETE, QUIET, PARTIAL, GAP = range(len(STATES))


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Disjoint spans, rising, none empty, none touching the next; immutable by convention.

    `starts` and `ends` have shape (n,), ns UTC. Made by `spans`, which takes any.
    """

    starts: Ints
    ends: Ints

    def __len__(self) -> int:
        return int(self.starts.size)

    def union(self, other: Spans) -> Spans:
        """Return what either covers."""
        if not len(self) or not len(other):
            return self if len(self) else other
        return spans(
            np.concatenate([self.starts, other.starts]), np.concatenate([self.ends, other.ends])
        )

    def intersect(self, other: Spans) -> Spans:
        """Return what both cover."""
        return self._where_both(other, inside=True)

    def subtract(self, other: Spans) -> Spans:
        """Return what this one covers and the other does not."""
        return self if not len(other) else self._where_both(other, inside=False)

    def contains(self, ts: Ints) -> Flags:
        """Say of each time, shape (n,), whether a span covers it."""
        place = np.searchsorted(self.starts, ts, "right")
        ends = np.append(INT64_MIN, self.ends)
        inside: Flags = ends[place] > ts
        return inside

    def covered(self, lows: Ints, highs: Ints) -> Ints:
        """Return how many ns of each `[low, high)`, shape (n,), are covered; 0 where it is empty.

        `lows` and `highs` may be in any order.
        """
        if not len(self):
            return np.zeros(lows.shape, np.int64)
        if len(self) == 1:  # as with nearly every feed that was never cut off
            low, high = np.maximum(lows, self.starts), np.minimum(highs, self.ends)
            return np.maximum(high, low) - low
        before = np.append(0, np.cumsum(self.ends - self.starts))
        length: Ints = self._measure(before, np.maximum(highs, lows)) - self._measure(before, lows)
        return length

    def _measure(self, before: Ints, ts: Ints) -> Ints:
        """Return how many ns before each time are covered; `before` the same for each start."""
        place = np.searchsorted(self.starts, ts, "right")
        last = np.maximum(place - 1, 0)
        within = np.clip(ts, self.starts[last], self.ends[last]) - self.starts[last]
        measured: Ints = before[last] + np.where(place > 0, within, 0)
        return measured

    def _where_both(self, other: Spans, *, inside: bool) -> Spans:
        edges = np.unique(np.concatenate([self.starts, self.ends, other.starts, other.ends]))
        lows = edges[:-1]
        here = self.contains(lows) & (other.contains(lows) == inside)
        return spans(lows[here], edges[1:][here])


def spans(starts: Ints, ends: Ints) -> Spans:
    """Return spans that may come in any order, overlap, touch or be empty, as `Spans`."""
    some = ends > starts
    starts, ends = starts[some], ends[some]
    if not starts.size:
        return NOTHING
    if starts.size == 1:
        return Spans(starts, ends)
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    first = np.flatnonzero(np.append(True, starts[1:] > ends[:-1]))
    return Spans(starts[first], np.append(ends[first[1:] - 1], ends[-1]))


def span(start: int, end: int) -> Spans:
    """Return one span; none where it is empty."""
    return spans(np.array([start], np.int64), np.array([end], np.int64))


NOTHING = Spans(np.empty(0, np.int64), np.empty(0, np.int64))


def fractions(known: Spans, lows: Ints, highs: Ints, within: Spans | None = None) -> Floats:
    """Return which part of each `[low, high)`, shape (n,), is covered: 0 to 1.

    With `within` (the sessions of a calendar) only time inside it counts. Of a part without any
    time nothing is missing: it counts as covered.
    """
    if within is None:
        length = np.maximum(highs, lows) - lows
    else:
        length = within.covered(lows, highs)
        known = known.intersect(within)
    covered = known.covered(lows, highs)
    whole: Floats = np.ones(lows.shape, np.float64)
    np.divide(covered, length, out=whole, where=length > 0)
    return whole


def state_codes(forming: Flags, count: Ints, fraction: Floats) -> NDArray[np.int8]:
    """Return the code of each bar's state, shape (n,), see `STATES`.

    A bar with events is complete where all of it is covered, else partial; one without is quiet,
    partial, or a gap where nothing of it is covered.
    """
    whole, none = fraction >= 1.0, fraction <= 0.0
    empty = np.where(whole, QUIET, np.where(none, GAP, PARTIAL))
    filled = np.where(whole, COMPLETE, PARTIAL)
    over = np.where(count > 0, filled, empty)
    codes: NDArray[np.int8] = np.where(forming, FORMING, over).astype(np.int8)
    return codes
