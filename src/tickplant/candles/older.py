"""The older candles of each row of `live.LiveBars`: states, packed into pages of a pool.

They come when a newer candle takes their slot, or late; a state with count 0 stands for a candle
that is unknown. What cannot be kept raises the row's floor, the time from which on candles are
complete, so that nobody takes it for a time without events.
"""

from __future__ import annotations

import numpy as np

from tickplant.candles.pages import Flags, Pool, RaiseFloor, Rings, pack, packable, unpack
from tickplant.candles.runs import COUNT, INSTRUMENT, START, Ints, merge_pairs


class OlderBars:
    """At most about `bars_max` candles a row, in blocks of states. Whoever calls holds the lock.

    `raise_floor` takes rows and the starts of candles that are not held any more, nor older ones.
    """

    def __init__(self, pool: Pool, bars_max: int, raise_floor: RaiseFloor) -> None:
        self._rings = Rings(pool, bars_max, raise_floor)
        self._raise_floor = raise_floor

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        self._rings.grow(rows)

    def close(self) -> None:
        """Give all memory back."""
        self._rings.close()

    def merge(self, rows: Ints, block: Ints) -> tuple[Ints, Flags]:
        """Merge candles into those that are held, or add them; return (merged, known)."""
        places = self._rings.find(rows, block[START])
        there = np.flatnonzero(places >= 0)
        bars = self._rings.at(places[there])
        held = unpack(bars, block[INSTRUMENT, there], block[START, there])
        known = np.ones(rows.size, np.bool_)
        known[there] = held[COUNT] > 0
        there, held = there[known[there]], held[:, known[there]]
        if there.size:
            block[:, there] = merge_pairs(held, block[:, there])
            self._replace(rows[there], places[there], block[:, there])
        self.add(rows[places < 0], block[:, places < 0])
        return block, known

    def put(self, rows: Ints, block: Ints, complete: Flags) -> None:
        """Take whole candles instead of those that are held; add others where rows are `complete`.

        Where they are not, somebody who asks for them reads the store anyway.
        """
        places = self._rings.find(rows, block[START])
        there = places >= 0
        self._replace(rows[there], places[there], block[:, there])
        new = ~there & complete
        self.add(rows[new], block[:, new])

    def add(self, rows: Ints, block: Ints) -> None:
        """Add candles, by (row, start), that are not held."""
        if not rows.size:
            return
        self._let_go(rows, block)
        rank = rank_of(rows)
        for turn in range(int(rank.max()), -1, -1):
            now = rank == turn
            self._rings.append(rows[now], block[START, now], pack(block[:, now]))

    def rewrite(self, row: int, block: Ints) -> None:
        """Let these, rising by start, be all candles of a row; of too many the newest are kept."""
        self._rings.rewrite(row, block[START], pack(block))
        self._let_go(np.full(block.shape[1], row), block)

    def read(
        self, row: int, instrument: int, since: int, newest: int | None = None, room: int = 0
    ) -> Ints:
        """Return a row's states from `since` on, which may come in any order; a copy.

        With `newest` that many of the newest are enough. Behind them is `room` for the caller's.
        """
        starts, bars, ordered = self._rings.read(row, newest)
        if ordered:
            if len(starts) and starts[0] < since:
                first = int(np.searchsorted(starts, since))
                starts, bars = starts[first:], bars[first:]
        else:
            wanted = starts >= since
            starts, bars = starts[wanted], bars[wanted]
        return unpack(bars, instrument, starts, room)

    def _replace(self, rows: Ints, places: Ints, block: Ints) -> None:
        self._rings.replace(places, pack(block))
        self._let_go(rows, block)

    def _let_go(self, rows: Ints, block: Ints) -> None:
        """Take candles that cannot be packed for unknown, and with them all older ones."""
        wide = ~packable(block)
        if wide.any():
            self._raise_floor(rows[wide], block[START, wide])


def rank_of(rows: Ints) -> Ints:
    """Return how many equal rows follow each, in rows of which equal ones lie together."""
    last = np.flatnonzero(np.append(rows[1:] != rows[:-1], True))
    ranks: Ints = last[np.searchsorted(last, np.arange(rows.size))] - np.arange(rows.size)
    return ranks
