from __future__ import annotations

import numpy as np
from candle_cases import BASE, GRIDS, built, columns, grid_of, row_lists
from candle_oracle import NS, Row
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.candles.live import LiveBars
from tickplant.candles.states import States, merge

MINUTE = 60 * NS


class Keeper:
    """A store, and the bars that a subscriber has: the last that was sent of each."""

    def __init__(self, grid, rows=(), keep=3):
        self.grid, self.rows = grid, list(rows)
        self.bars = LiveBars(
            grid, keep=keep, horizon=max((row.ts for row in self.rows), default=None)
        )
        self.sent = {}
        self.recomputed = 0

    def take(self, batch):
        self.rows += batch
        changed, unknown = self.bars.apply(*columns(batch))
        self.publish(changed)
        for number, start in unknown:
            self.recompute(number, start)

    def recompute(self, number, start):
        self.recomputed += 1
        end = self.grid.next(start)
        found = [r for r in self.rows if r.instrument == number and start <= r.ts < end]
        states = built(self.grid, found)
        self.bars.put(states)
        self.publish(states)
        if not len(states):
            self.sent.pop((number, start), None)

    def amend(self, old, new):
        self.rows.remove(old)
        self.rows += [new] if new else []
        for row in (old, new):
            if row:
                start = self.grid.floor(row.ts)
                self.bars.forget(row.instrument, start)
                self.recompute(row.instrument, start)

    def publish(self, states: States):
        numbers, starts = states.instrument.tolist(), states.start.tolist()
        assert sorted(zip(numbers, starts, strict=True)) == list(zip(numbers, starts, strict=True))
        for i, key in enumerate(zip(numbers, starts, strict=True)):
            self.sent[key] = states.block[:, i].tolist()

    def check(self):
        whole = built(self.grid, self.rows)
        numbers, starts = whole.instrument.tolist(), whole.start.tolist()
        keys = list(zip(numbers, starts, strict=True))
        wanted = {key: whole.block[:, i].tolist() for i, key in enumerate(keys)}
        assert self.sent == {key: wanted[key] for key in self.sent}
        return wanted


def in_batches(rows, shuffle):
    rest = list(rows)
    while rest:
        size = shuffle.randrange(1, 9)
        yield rest[:size]
        rest = rest[size:]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(GRIDS),
    row_lists(max_size=60),
    st.integers(0, 20),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_live_bars_are_those_built_of_all_rows(names, rows, stored, keep, shuffle):
    keeper = Keeper(grid_of(*names), rows[:stored], keep)
    for batch in in_batches(rows[stored:], shuffle):
        keeper.take(batch)
        keeper.check()
    wanted = keeper.check()
    last = built(keeper.grid, rows[stored:])
    touched = set(zip(last.instrument.tolist(), last.start.tolist(), strict=True))
    assert touched <= set(keeper.sent) <= set(wanted)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(GRIDS), row_lists(max_size=40), st.randoms(use_true_random=False))
def test_corrections_and_cancels_are_recomputed(names, rows, shuffle):
    keeper = Keeper(grid_of(*names))
    for batch in in_batches(rows, shuffle):
        keeper.take(batch)
        old = shuffle.choice(keeper.rows)
        seq = 1_000 + len(keeper.rows) + old.seq
        moved = old.ts + shuffle.choice([0, 0, 1, 120 * NS, -3_600 * NS])
        new = Row(old.instrument, moved, seq, 17.5, 3.0)
        if new.seq not in {row.seq for row in keeper.rows}:
            keeper.amend(old, shuffle.choice([None, new]))
        keeper.check()


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(GRIDS),
    row_lists(max_size=40),
    st.integers(0, 10),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_a_candle_that_is_asked_for_is_whole_or_unknown_or_empty(
    names, rows, stored, keep, shuffle
):
    keeper = Keeper(grid_of(*names), rows[:stored], keep)
    for batch in in_batches(rows[stored:], shuffle):
        keeper.take(batch)
        if keeper.rows and shuffle.random() < 0.2:
            keeper.amend(shuffle.choice(keeper.rows), None)
        wanted = keeper.check()
        numbers = np.unique([row.instrument for row in rows])
        starts = keeper.grid.starts(np.array([shuffle.choice(rows).ts for _ in numbers]))
        states, unknown = keeper.bars.get(numbers, starts)
        asked = list(zip(numbers.tolist(), starts.tolist(), strict=True))
        told = zip(states.instrument.tolist(), states.start.tolist(), strict=True)
        held = {key: states.block[:, i].tolist() for i, key in enumerate(told)}
        assert held == {key: wanted[key] for key in held}
        assert set(unknown).isdisjoint(held)
        assert {key for key in asked if key in wanted} <= held.keys() | set(unknown)
        assert held.keys() | set(unknown) <= set(asked)


def minutes(*pairs):
    return [Row(1, BASE // MINUTE * MINUTE + minute * MINUTE, seq, float(seq), 1.0)
            for seq, minute in pairs]  # fmt: skip


def test_an_empty_store_has_no_unknown_candles_as_long_as_they_are_kept():
    keeper = Keeper(grid_of("1m", "UTC", "00:00"), keep=2)
    for row in minutes((1, 0), (2, 1), (3, 0), (4, 3), (5, 2), (6, 3)):
        keeper.take([row])
    # The candle of minute 2 came to be when those of 1 and 3 were kept, and took the place of 1.
    assert keeper.recomputed == 0
    keeper.take(minutes((7, 1)))
    assert keeper.recomputed == 1
    keeper.check()


def test_candles_that_the_store_may_have_rows_of_are_unknown_until_put():
    stored = minutes((1, 0), (2, 5))
    keeper = Keeper(grid_of("1m", "UTC", "00:00"), stored)
    late, forming, new = minutes((3, 0)), minutes((4, 5)), minutes((5, 6))
    start = keeper.grid.floor(forming[0].ts)
    assert keeper.bars.apply(*columns(forming))[1] == [(1, start)]
    keeper.rows += forming
    keeper.recompute(1, start)
    keeper.take(new)
    assert keeper.recomputed == 1
    keeper.take(late)
    assert keeper.recomputed == 2
    assert len(keeper.check()) == 3


def test_candles_behind_what_is_kept_are_unknown_and_later_ones_empty():
    keeper = Keeper(grid_of("1m", "UTC", "00:00"), keep=1)
    rows = minutes((1, 0), (2, 5))
    for row in rows:
        keeper.take([row])
    first, last = (keeper.grid.floor(row.ts) for row in rows)

    def get(start):
        return keeper.bars.get(np.array([1]), np.array([start]))

    assert (len(get(first)[0]), get(first)[1]) == (0, [(1, first)])
    assert (get(last)[0].close.tolist(), get(last)[1]) == ([2.0], [])
    assert (len(get(last + MINUTE)[0]), get(last + MINUTE)[1]) == (0, [])


def test_no_more_than_the_newest_are_held():
    keeper = Keeper(grid_of("1m", "UTC", "00:00"), keep=2)
    keeper.take(minutes((1, 0), (2, 1), (3, 2), (4, 9), (5, 4)))
    held = keeper.bars.held(1)
    assert ((held.start - BASE // MINUTE * MINUTE) // MINUTE).tolist() == [4, 9]
    assert len(keeper.bars.held(2)) == 0
    assert merge([held]).block.tolist() == held.block.tolist()


def test_a_forgotten_candle_is_unknown_and_not_held():
    keeper = Keeper(grid_of("1m", "UTC", "00:00"))
    keeper.take(minutes((1, 0), (2, 1)))
    start = keeper.grid.floor(keeper.rows[1].ts)
    keeper.bars.forget(1, start)
    assert keeper.bars.held(1).start.tolist() == [start - MINUTE]
    changed, unknown = keeper.bars.apply(*columns(minutes((3, 1))))
    assert (len(changed), unknown) == (0, [(1, start)])
    keeper.bars.forget(9, 5)
    assert len(keeper.bars.held(9)) == 0


def test_no_rows_change_nothing():
    bars = LiveBars(grid_of("1m", "UTC", "00:00"), horizon=None)
    none = np.empty(0)
    changed, unknown = bars.apply(1, none.astype(np.int64), none.astype(np.int64), none, none)
    assert (len(changed), unknown) == (0, [])
