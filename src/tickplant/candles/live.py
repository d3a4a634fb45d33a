"""Live candles: the newest few of each instrument, kept up with every batch.

For each instrument the states of at most `keep` candles are held. What is not held is either
known to be empty or unknown, and unknown candles are named to the caller, who recomputes them
from the store and puts them in:

    held          a state is in a slot                     merge the rows into it
    empty         not held, start >= complete_from         the rows are the whole candle
    unknown       not held, start < complete_from,         report it
                  or forgotten (a slot with count 0)

`complete_from` of an instrument is the first time from which every candle with events is held. It
begins right behind `horizon`, the latest event that the store had before the first batch: no
candle that starts later can have events that were not seen here. It moves up whenever a candle
leaves its slot for a newer one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.candles.runs import (
    COLUMNS,
    COUNT,
    INSTRUMENT,
    START,
    Floats,
    Ints,
    merge_pairs,
)
from tickplant.candles.states import States, build
from tickplant.model.times import INT64_MIN

Flags = NDArray[np.bool_]

_NONE = INT64_MIN


class LiveBars:
    """The newest `keep` candles of each instrument on one grid.

    `horizon` is the latest `ts_event` in the store before the first `apply`, None for an empty
    store; a later time than that is safe too, and only costs more recomputing. One thread owns
    it. `height` is that of the blocks of states, which is another one for quotes (see
    `basis.height_of`). Memory: about 200 bytes a candle, `keep` candles an instrument that was
    seen.
    """

    def __init__(
        self, grid: Grid, *, horizon: int | None, keep: int = 3, height: int = COLUMNS
    ) -> None:
        self.grid = grid
        self._keep = keep
        self._complete_at_first = _NONE if horizon is None else horizon + 1
        self._seen = 0
        self._row_of = np.full(64, -1, np.int64)
        self._complete_from = np.empty(0, np.int64)
        self._starts = np.empty((0, keep), np.int64)
        self._block = np.empty((height, 0), np.int64)

    def apply(
        self,
        instrument: int | NDArray[np.integer],
        ts: Ints,
        seq: Ints,
        price: Floats,
        size: Floats | None,
    ) -> tuple[States, list[tuple[int, int]]]:
        """Take rows (as `states.build` does) and return (changed, unknown).

        `changed` are the whole states of the candles that the rows fall into and that are known;
        `unknown` are (instrument, start) of the others, which are left as they were.
        """
        return self.apply_states(build(self.grid, instrument, ts, seq, price, size))

    def apply_states(self, new: States) -> tuple[States, list[tuple[int, int]]]:
        """Take states built of rows that were not applied yet; otherwise as `apply`.

        Serves several grids from one build: `states.roll_up` the finest one to the others.
        """
        block = new.block
        if not len(new):
            return new, []
        rows = self._rows(block[INSTRUMENT])
        slots, found = self._find(rows, block[START])
        held = found & (self._block[COUNT, slots] > 0)
        if held.all():
            merged = merge_pairs(self._block.take(slots, axis=1), block)
            self._block[:, slots] = merged
            return States(merged), []
        return self._apply_mixed(block.copy(), rows, slots, found, held)

    def _apply_mixed(
        self, block: Ints, rows: Ints, slots: Ints, found: Flags, held: Flags
    ) -> tuple[States, list[tuple[int, int]]]:
        fresh = ~found & (block[START] >= self._complete_from[rows])
        if held.any():
            here = np.flatnonzero(held)
            kept = slots[here]
            merged = merge_pairs(self._block.take(kept, axis=1), block.take(here, axis=1))
            self._block[:, kept] = merged
            block[:, here] = merged
        if fresh.any():
            here = np.flatnonzero(fresh)
            self._insert(rows[here], block.take(here, axis=1))
        known = held | fresh
        if known.all():
            return States(block), []
        missing = block[: START + 1, ~known].T.tolist()
        changed = States(block.take(np.flatnonzero(known), axis=1))
        return changed, [(number, start) for number, start in missing]

    def put(self, states: States) -> None:
        """Take whole states, recomputed from the store; older ones than are kept are ignored.

        They must hold every row that was applied or reported as unknown, and none that is yet to
        be applied.
        """
        if not len(states):
            return
        block = states.block
        rows = self._rows(block[INSTRUMENT])
        slots, found = self._find(rows, block[START])
        self._block[:, slots[found]] = block[:, found]
        self._insert(rows[~found], block[:, ~found])

    def forget(self, instrument: int, start: int) -> None:
        """Make a candle unknown, because its events were corrected or cancelled."""
        rows = self._rows(np.array([instrument], np.int64))
        slots, found = self._find(rows, np.array([start], np.int64))
        if found[0]:
            self._block[COUNT, slots] = 0
        elif start >= self._complete_from[rows[0]]:
            block = np.zeros((len(self._block), 1), np.int64)
            block[INSTRUMENT], block[START] = instrument, start
            self._insert(rows, block)

    def held(self, instrument: int) -> States:
        """Return the states that are held of one instrument, by start; a copy."""
        row = int(self._row_of[instrument]) if 0 <= instrument < self._row_of.size else -1
        if row < 0:
            return States(self._block[:, :0].copy())
        first = row * self._keep
        slots = first + np.argsort(self._starts[row])
        known = (self._block[START, slots] != _NONE) & (self._block[COUNT, slots] > 0)
        return States(self._block[:, slots[known]])

    def get(self, instruments: Ints, starts: Ints) -> tuple[States, list[tuple[int, int]]]:
        """Return (states, unknown) of one candle of each instrument, both shape (n,), rising.

        `states` leaves out candles that are known to have no events; `unknown` are (instrument,
        start) of those that the caller has to recompute.
        """
        if not starts.size:
            return States(self._block[:, :0].copy()), []
        rows = self._rows(instruments)
        slots, found = self._find(rows, starts)
        held = found.copy()
        held[found] = self._block[COUNT, slots[found]] > 0
        unknown = ~held & (found | (starts < self._complete_from[rows]))
        missing = zip(instruments[unknown].tolist(), starts[unknown].tolist(), strict=True)
        return States(self._block[:, slots[held]]), list(missing)

    def _find(self, rows: Ints, starts: Ints) -> tuple[Ints, Flags]:
        """Return each candle's slot and whether it is in one; the slot is of no use otherwise."""
        match = self._starts[rows] == starts[:, None]
        return rows * self._keep + match.argmax(axis=1), match.any(axis=1)

    def _insert(self, rows: Ints, block: Ints) -> None:
        """Put candles that are in no slot, by (row, start), into the oldest or an empty one."""
        if not rows.size:
            return
        again = rows[1:] == rows[:-1]
        if not again.any():
            self._replace_oldest(rows, block)
            return
        # Candles of one instrument go in one after the other, the newest last.
        last = np.flatnonzero(np.append(~again, True))
        rank = last[np.searchsorted(last, np.arange(rows.size))] - np.arange(rows.size)
        gone = rank >= self._keep
        np.maximum.at(self._complete_from, rows[gone], block[START, gone] + 1)
        for turn in range(min(int(rank.max()), self._keep - 1), -1, -1):
            now = rank == turn
            self._replace_oldest(rows[now], block[:, now])

    def _replace_oldest(self, rows: Ints, block: Ints) -> None:
        """Put one candle an instrument into the slot of the oldest, unless it is older still."""
        held, new = self._starts[rows], block[START]
        slot = held.argmin(axis=1)
        oldest = held.min(axis=1)
        left = np.minimum(oldest, new) + 1  # harmless for an empty slot
        self._complete_from[rows] = np.maximum(self._complete_from[rows], left)
        newer = new > oldest
        rows, slot = rows[newer], slot[newer]
        self._starts[rows, slot] = new[newer]
        self._block[:, rows * self._keep + slot] = block if newer.all() else block[:, newer]

    def _rows(self, instruments: Ints) -> Ints:
        """Return the row of each instrument, with rows for those that are new."""
        top = int(instruments.max())
        if top >= self._row_of.size:
            more = np.full(max(top + 1, 2 * self._row_of.size) - self._row_of.size, -1, np.int64)
            self._row_of = np.append(self._row_of, more)
        rows = self._row_of[instruments]
        if rows.min() < 0:
            unseen = np.unique(instruments[rows < 0])
            self._grow(self._seen + unseen.size)
            self._row_of[unseen] = np.arange(self._seen, self._seen + unseen.size)
            self._seen += unseen.size
            rows = self._row_of[instruments]
        return rows

    def _grow(self, needed: int) -> None:
        have = self._complete_from.size
        if needed <= have:
            return
        more = max(needed, 2 * have, 16) - have
        self._complete_from = np.append(
            self._complete_from, np.full(more, self._complete_at_first, np.int64)
        )
        self._starts = np.vstack([self._starts, np.full((more, self._keep), _NONE)])
        block = np.zeros((len(self._block), more * self._keep), np.int64)
        block[START] = _NONE
        self._block = np.concatenate([self._block, block], axis=1)
