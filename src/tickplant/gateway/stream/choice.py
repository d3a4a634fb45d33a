"""Which rows of an entry each of some wishes is for: for all wishes in one go.

instrument ──► the wishes that name it     made once, for as long as the wishes stay the same
rows ──► their instruments ──► (wish, row) for each that wants it ──► ordered by wish
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Rows of some wishes: of wish `n` those from `edges[n]` to before `edges[n + 1]`, ascending.

    `rows` has shape (chosen,), a row as often as it is wanted; `edges` has shape (wishes + 1,).
    """

    rows: Rows
    edges: NDArray[np.intp]

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Chosen:
        """Return the rows of wishes that were chosen one after the other."""
        edges = np.zeros(len(parts) + 1, np.intp)
        np.cumsum([len(part) for part in parts], out=edges[1:])
        return cls(np.concatenate(parts), edges)


class ByInstrument:
    """Wishes that name the instruments they are for, each some. Immutable."""

    def __init__(self, wishes: Sequence[Collection[int]]) -> None:
        """Take the numbers of the instruments of each wish."""
        sizes = [len(numbers) for numbers in wishes]
        numbers = np.fromiter((one for some in wishes for one in some), np.intp, sum(sizes))
        kind = np.uint16 if len(wishes) <= 1 << 16 else np.intp  # which NumPy sorts by digits
        named_by = np.repeat(np.arange(len(wishes), dtype=kind), sizes)
        # Behind the last instrument is one that stands for all beyond, and that nobody has named.
        self._beyond = int(numbers.max(initial=0)) + 1
        self._counts = np.bincount(numbers, minlength=self._beyond + 1)
        self._firsts = np.cumsum(self._counts) - self._counts
        self._named_by = named_by[np.argsort(numbers, kind="stable")]
        self._wishes = len(wishes)

    def choose(self, instruments: NDArray[np.int32]) -> Chosen:
        """Return the rows that each wish is for, given the instrument of every row."""
        known = np.minimum(instruments, self._beyond)
        counts = self._counts[known]
        ends = np.cumsum(counts)
        # The wishes of a row follow each other: from its first one on, as many as there are.
        shifts = np.repeat(self._firsts[known] - (ends - counts), counts)
        wishes = self._named_by[shifts + np.arange(len(shifts))]
        rows = np.repeat(np.arange(len(instruments)), counts)
        edges = np.zeros(self._wishes + 1, np.intp)
        np.cumsum(np.bincount(wishes, minlength=self._wishes), out=edges[1:])
        return Chosen(rows[np.argsort(wishes, kind="stable")], edges)
