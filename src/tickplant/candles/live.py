"""Live candles: the newest of each instrument, kept up with every batch.

For each instrument the states of the newest `keep` candles lie in slots, as columns over all
instruments. With a pool, older ones follow in pages (see `older.py`); else they are let go. What
is not held is either known to be empty or unknown, and unknown candles are named to the caller,
who recomputes them from the store and puts them in:

    held          a state is in a slot or a page           merge the rows into it
    empty         not held, start >= complete_from         the rows are the whole candle
    unknown       not held, start < complete_from,         report it
                  or forgotten (a state with count 0)

`complete_from` of an instrument is the first time from which every candle with events is held. It
begins right behind `horizon`, the latest event that the store had before the first batch: no
candle that starts later can have events that were not seen here. It moves up whenever a candle is
let go for a newer one, and down when older ones are put in without a hole.
"""

from __future__ import annotations

from threading import RLock

import numpy as np
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.candles.older import OlderBars, rank_of
from tickplant.candles.pages import Pool, table_bytes
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
Pairs = list[tuple[int, int]]

_NONE = INT64_MIN
_GROWTH = 4  # room for new instruments grows by one part in this many
_BULK = 5
"""From so many turns an instrument on, rewriting it as a whole is cheaper than adding bars."""


class LiveBars:
    """The newest candles of each instrument on one grid.

    `horizon` is the latest `ts_event` in the store before the first `apply`, None for an empty
    store; a later time than that is safe too, and only costs more recomputing. `bars_max` candles
    an instrument are kept in the pages of `pool`. `height` is that of the states' blocks (see
    `basis.height_of`).

    One thread changes it; any thread may `read` and take `newest`. Who wants to do several things
    as one holds `lock`. Memory: about 200 bytes a candle in a slot, 136 in a page.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        horizon: int | None,
        keep: int = 3,
        height: int = COLUMNS,
        pool: Pool | None = None,
        bars_max: int = 0,
    ) -> None:
        self.grid = grid
        self._keep = keep
        self._complete_at_first = _NONE if horizon is None else horizon + 1
        self._seen = 0
        self._row_of = np.full(64, -1, np.int64)
        self._complete_from = np.empty(0, np.int64)
        self._starts = np.empty((keep, 0), np.int64)
        self._block = np.empty((height, 0), np.int64)
        self._older = None if pool is None else OlderBars(pool, bars_max, self._raise_floor)
        self.lock = RLock() if pool is None else pool.lock

    def apply(
        self,
        instrument: int | NDArray[np.integer],
        ts: Ints,
        seq: Ints,
        price: Floats,
        size: Floats | None,
    ) -> tuple[States, Pairs]:
        """Take rows (as `states.build` does) and return (changed, unknown).

        `changed` are the whole states of the candles that the rows fall into and that are known;
        `unknown` are (instrument, start) of the others, which are left as they were.
        """
        return self.apply_states(build(self.grid, instrument, ts, seq, price, size))

    def apply_states(self, new: States) -> tuple[States, Pairs]:
        """Take states built of rows that were not applied yet; otherwise as `apply`.

        Serves several grids from one build: `states.roll_up` the finest one to the others.
        """
        block = new.block
        if not len(new):
            return new, []
        with self.lock:
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
    ) -> tuple[States, Pairs]:
        fresh = ~found & (block[START] >= self._complete_from[rows])
        if held.any():
            here = np.flatnonzero(held)
            kept = slots[here]
            merged = merge_pairs(self._block.take(kept, axis=1), block.take(here, axis=1))
            self._block[:, kept] = merged
            block[:, here] = merged
        known = held | fresh
        if self._older is not None and fresh.any():
            here = np.flatnonzero(fresh)
            here = here[self._behind(rows[here], block[START, here])]
            if here.size:
                fresh[here] = False
                block[:, here], known[here] = self._older.merge(rows[here], block[:, here])
        if fresh.any():
            here = np.flatnonzero(fresh)
            self._insert(rows[here], block.take(here, axis=1))
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
        with self.lock:
            block = states.block
            rows = self._rows(block[INSTRUMENT])
            slots, found = self._find(rows, block[START])
            self._block[:, slots[found]] = block[:, found]
            behind = ~found & self._behind(rows, block[START])
            if self._older is not None and behind.any():
                complete = block[START, behind] >= self._complete_from[rows[behind]]
                self._older.put(rows[behind], block[:, behind], complete)
            new = ~(found | behind)
            self._insert(rows[new], block[:, new])
            self._reach_down(rows[~behind], block[START, ~behind])

    def _reach_down(self, rows: Ints, starts: Ints) -> None:
        """Let everything be complete from the candles on that `complete_from` lies in."""
        floor = self._complete_from[rows]
        below = np.flatnonzero(starts < floor)
        if below.size:
            around = below[self.grid.ends(starts[below]) >= floor[below]]
            self._complete_from[rows[around]] = starts[around]

    def restore(self, instrument: int, states: States, since: int, named: Ints) -> None:
        """Let these be the candles from `since` to where an instrument is complete from.

        And, wherever they start, those that start at `named`, which may also be without events.
        They must be whole, as for `put`. Other candles that are held are left as they are.
        """
        with self.lock:
            row = int(self._rows(np.array([instrument], np.int64))[0])
            floor = int(self._complete_from[row])
            mine = self._held_block(row)
            mine = mine[:, ~np.isin(mine[START], named)]
            new = states.block
            wanted = (new[START] >= since) & (new[START] < floor)
            wanted &= ~np.isin(new[START], mine[START])
            wanted |= np.isin(new[START], named)
            self._complete_from[row] = min(since, floor)
            self._rewrite(row, np.concatenate([new[:, wanted], mine], axis=1))

    def close(self) -> None:
        """Give the memory back; the bars are of no use then."""
        if self._older is not None:
            self._older.close()

    def forget(self, instrument: int, start: int) -> None:
        """Make a candle unknown, because its events were corrected or cancelled."""
        with self.lock:
            rows = self._rows(np.array([instrument], np.int64))
            starts = np.array([start], np.int64)
            slots, found = self._find(rows, starts)
            nothing = np.zeros((len(self._block), 1), np.int64)
            nothing[INSTRUMENT], nothing[START] = instrument, start
            if found[0]:
                self._block[COUNT, slots] = 0
            elif self._older is not None and self._behind(rows, starts)[0]:
                self._older.put(rows, nothing, start >= self._complete_from[rows])
            elif start >= self._complete_from[rows[0]]:
                self._insert(rows, nothing)

    def holds(self, instrument: int, start: int) -> bool:
        """Say whether a state of this candle is held."""
        with self.lock:
            row = self._row(instrument)
            return row >= 0 and bool((self._held_block(row)[START] == start).any())

    def held(self, instrument: int) -> States:
        """Return the states that are held of one instrument, by start; a copy."""
        states, _ = self.read(instrument)
        return states.take(states.count > 0)

    def read(self, instrument: int, newest: int | None = None) -> tuple[States, int]:
        """Return (states, complete_from) of one instrument, by start; a copy, on any thread.

        A state with count 0 stands for a candle that is unknown at present. With `newest` no more
        of them need be there: it is then from where on they are all.
        """
        with self.lock:
            row = self._row(instrument)
            if row < 0:
                return States(self._block[:, :0].copy()), self._complete_at_first
            since = int(self._complete_from[row])
            block = self._held_block(row, newest)
            if newest is not None and block.shape[1] > newest:
                block = block[:, -newest:]
                since = max(since, int(block[START, 0]))
            return States(block), since

    @property
    def complete_at_first(self) -> int:
        """From when on candles of an instrument are complete that was not seen yet."""
        return self._complete_at_first

    def newest(self) -> tuple[States, Ints]:
        """Return (newest, complete_from) of each instrument that was seen, by number.

        Copies, on any thread. A state with count 0 stands for a candle that is unknown at present;
        one before `complete_from` need not be the newest.
        """
        with self.lock:
            if not self._seen:
                return States(self._block[:, :0].copy()), np.empty(0, np.int64)
            places = self._starts[:, : self._seen].argmax(axis=0)
            block = self._block[:, np.arange(self._seen) * self._keep + places]
            since = self._complete_from[: self._seen].copy()
        order = np.argsort(block[INSTRUMENT])
        order = order[block[START, order] != _NONE]
        return States(block[:, order]), since[order]

    def get(self, instruments: Ints, starts: Ints) -> tuple[States, Pairs]:
        """Return (states, unknown) of one candle of each instrument, both shape (n,), rising.

        `states` leaves out candles that are known to have no events; `unknown` are (instrument,
        start) of those that the caller has to recompute.
        """
        if not starts.size:
            return States(self._block[:, :0].copy()), []
        with self.lock:  # room is made for an instrument that is new here
            rows = self._rows(instruments)
            slots, found = self._find(rows, starts)
            held = found.copy()
            held[found] = self._block[COUNT, slots[found]] > 0
            unknown = ~held & (found | (starts < self._complete_from[rows]))
            if self._older is not None:
                unknown |= ~found & self._behind(rows, starts)
            missing = zip(instruments[unknown].tolist(), starts[unknown].tolist(), strict=True)
            return States(self._block[:, slots[held]]), list(missing)

    def _row(self, instrument: int) -> int:
        return int(self._row_of[instrument]) if 0 <= instrument < self._row_of.size else -1

    def _held_block(self, row: int, newest: int | None = None) -> Ints:
        """Return all states of a row by start, copied; older ones only where they are complete.

        With `newest` as many older ones are enough, besides those in slots.
        """
        first = row * self._keep
        block: Ints = self._block[:, first : first + self._keep]
        block = block[:, block[START] != _NONE]
        if self._older is not None:
            number = int(block[INSTRUMENT, 0]) if block.size else 0
            held, room = block, block.shape[1]
            block = self._older.read(row, number, int(self._complete_from[row]), newest, room)
            block[:, block.shape[1] - room :] = held
        starts = block[START]
        if (starts[1:] > starts[:-1]).all():
            return block
        return block[:, np.argsort(starts)]

    def _find(self, rows: Ints, starts: Ints) -> tuple[Ints, Flags]:
        """Return each candle's slot and whether it is in one; the slot is of no use otherwise."""
        match = self._starts[:, rows] == starts
        return rows * self._keep + match.argmax(axis=0), match.any(axis=0)

    def _behind(self, rows: Ints, starts: Ints) -> Flags:
        """Say which candles are older than every one in a slot, where no slot is empty."""
        behind: Flags = starts < self._starts[:, rows].min(axis=0)
        return behind

    def _insert(self, rows: Ints, block: Ints) -> None:
        """Put candles that are in no slot, by (row, start), into the oldest or an empty one."""
        if not rows.size:
            return
        rank = rank_of(rows)
        turns = int(rank.max()) + 1
        if self._older is None:
            gone = rank >= self._keep
            np.maximum.at(self._complete_from, rows[gone], block[START, gone] + 1)
            turns = min(turns, self._keep)
        elif turns > _BULK * np.count_nonzero(rank == 0):
            for row in rows[rank == 0].tolist():
                mine = np.concatenate([self._held_block(row), block[:, rows == row]], axis=1)
                self._rewrite(row, mine)
            return
        # Candles of one instrument go in one after the other, the newest last.
        for turn in range(turns - 1, -1, -1):
            now = rank == turn
            self._replace_oldest(rows[now], block[:, now])

    def _replace_oldest(self, rows: Ints, block: Ints) -> None:
        """Put one candle an instrument into the slot of the oldest, unless it is older still."""
        held, new = self._starts[:, rows], block[START]
        slot = held.argmin(axis=0)
        oldest = held.min(axis=0)
        newer = new > oldest
        if self._older is None:
            self._raise_floor(rows, np.minimum(oldest, new))  # harmless for an empty slot
        else:
            full = np.flatnonzero(newer & (oldest != _NONE))
            self._older.add(rows[full], self._block[:, rows[full] * self._keep + slot[full]])
        rows, slot = rows[newer], slot[newer]
        self._starts[slot, rows] = new[newer]
        self._block[:, rows * self._keep + slot] = block if newer.all() else block[:, newer]

    def _rewrite(self, row: int, block: Ints) -> None:
        """Let these, in any order, be all candles of a row."""
        block = block[:, np.argsort(block[START])]
        count = block.shape[1]
        first, slots = row * self._keep, min(count, self._keep)
        self._starts[:, row], self._block[START, first : first + self._keep] = _NONE, _NONE
        self._starts[:slots, row] = block[START, count - slots :]
        self._block[:, first : first + slots] = block[:, count - slots :]
        if self._older is not None:
            self._older.rewrite(row, block[:, : count - slots])

    def _raise_floor(self, rows: Ints, starts: Ints) -> None:
        """Let the rows be complete only behind these candles."""
        np.maximum.at(self._complete_from, rows, starts + 1)

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
        more = max(needed, have + have // _GROWTH, 16) - have
        self._complete_from = np.append(
            self._complete_from, np.full(more, self._complete_at_first, np.int64)
        )
        self._starts = np.hstack([self._starts, np.full((self._keep, more), _NONE)])
        block = np.zeros((len(self._block), more * self._keep), np.int64)
        block[START] = _NONE
        self._block = np.concatenate([self._block, block], axis=1)
        if self._older is not None:
            self._older.grow(have + more)


def row_bytes(height: int, keep: int, bars_max: int) -> int:
    """Return how many bytes an instrument takes besides its pages, at most."""
    own = 8 * (keep * (height + 1) + 2) + table_bytes(bars_max)
    return own + own // _GROWTH
