"""Bars that are kept in pages: as those built of all rows, in bounded memory."""

from __future__ import annotations

import threading

import numpy as np
from candle_cases import BASE, GRIDS, built, columns, grid_of, row_lists
from candle_oracle import NS, Row
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.candles.live import LiveBars
from tickplant.candles.pages import PAGE, Pool, pack, packable, unpack
from tickplant.candles.runs import COLUMNS, COUNT, START, VOLUME
from tickplant.candles.states import States
from tickplant.model.times import INT64_MIN

SECOND = grid_of("1s", "UTC", "00:00")
ROOMY = 1 << 22
NOTHING = np.empty(0, np.int64)


def paged(grid, *, bytes_max=ROOMY, bars_max=500, horizon=None, keep=2):
    pool = Pool(bytes_max)
    return LiveBars(grid, horizon=horizon, keep=keep, pool=pool, bars_max=bars_max), pool


def blocks(states: States) -> dict[int, list[int]]:
    return {start: states.block[:, i].tolist() for i, start in enumerate(states.start.tolist())}


def check(bars, rows, numbers):
    """What is held is right, and from `complete_from` on it is everything."""
    for number in numbers:
        states, since = bars.read(number)
        assert states.start.tolist() == sorted(states.start.tolist())
        true = blocks(built(bars.grid, [row for row in rows if row.instrument == number]))
        held = blocks(states)
        assert {start: true[start] for start in held} == held
        assert {start for start in true if start >= since} <= set(held)
        for newest in (1, 4):
            part, floor = bars.read(number, newest)
            assert part.block.tolist() == states.block[:, -newest:].tolist()
            assert floor >= since
            assert {start for start in true if start >= floor} <= set(part.start.tolist())


def ticks(instrument: int, seconds, seq: int = 1) -> list[Row]:
    return [
        Row(instrument, BASE + at * NS, seq + place, 10.0 + place % 7 / 8, 1.5)
        for place, at in enumerate(seconds)
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(GRIDS),
    row_lists(max_size=60),
    st.sampled_from([ROOMY, 20_000, 3_000]),
    st.sampled_from([20, 500]),
    st.integers(1, 3),
    st.randoms(use_true_random=False),
)
def test_bars_in_pages_are_those_built_of_all_rows(names, rows, bytes_max, most, keep, shuffle):
    bars, pool = paged(grid_of(*names), bytes_max=bytes_max, bars_max=most, keep=keep)
    shuffle.shuffle(rows)
    taken, numbers = [], sorted({row.instrument for row in rows})
    while len(taken) < len(rows):
        batch = rows[len(taken) : len(taken) + shuffle.randrange(1, 12)]
        changed, _ = bars.apply(*columns(batch))
        taken += batch
        true = built(bars.grid, taken)
        named = {(i, s): true.block[:, n].tolist() for n, (i, s) in enumerate(keys(true))}
        for n, key in enumerate(keys(changed)):
            assert changed.block[:, n].tolist() == named[key]
        check(bars, taken, numbers)
        assert pool.bytes_used <= pool.bytes_max


def keys(states: States) -> list[tuple[int, int]]:
    return list(zip(states.instrument.tolist(), states.start.tolist(), strict=True))


def test_with_room_everything_is_kept_up_to_the_number_asked_for():
    bars, _ = paged(SECOND, bars_max=100)
    rows = ticks(1, range(1_000))
    for first in range(0, 1_000, 50):
        bars.apply(*columns(rows[first : first + 50]))
    states, since = bars.read(1)
    assert 102 <= len(states) <= 102 + 2 * PAGE
    assert states.start[0] == since + NS - 1
    check(bars, rows, [1])


def test_a_long_batch_of_one_instrument_is_the_same_as_many_short_ones():
    rows = ticks(1, range(700)) + ticks(2, [0, 3], seq=1_000)
    whole, _ = paged(SECOND, bars_max=100)
    whole.apply(*columns(rows))
    parts, _ = paged(SECOND, bars_max=100)
    for row in rows:
        parts.apply(*columns([row]))
    for bars in (whole, parts):
        check(bars, rows, [1, 2])
    newest = [bars.read(1)[0].block[:, -100:].tolist() for bars in (whole, parts)]
    assert newest[0] == newest[1]


def test_a_late_row_changes_the_bar_in_its_page():
    bars, _ = paged(SECOND)
    rows = ticks(1, range(200))
    bars.apply(*columns(rows))
    late = ticks(1, [3, 150, 199], seq=1_000)
    changed, unknown = bars.apply(*columns(late))
    assert unknown == []
    assert changed.count.tolist() == [2, 2, 2]
    check(bars, rows + late, [1])


def test_a_late_row_where_no_bar_was_makes_one():
    bars, _ = paged(SECOND)
    rows = ticks(1, range(0, 200, 2))
    bars.apply(*columns(rows))
    late = ticks(1, [51, 53], seq=1_000)
    _, unknown = bars.apply(*columns(late))
    assert unknown == []
    check(bars, rows + late, [1])
    assert len(bars.read(1)[0]) == 102


def test_short_memory_shortens_all_instruments_alike():
    bars, pool = paged(SECOND, bytes_max=100 * PAGE * 17 * 8, bars_max=500)
    rows = [row for number in range(1, 9) for row in ticks(number, range(300), seq=1_000 * number)]
    rows.sort(key=lambda row: row.ts)
    for first in range(0, len(rows), 64):
        bars.apply(*columns(rows[first : first + 64]))
    held = [len(bars.read(number)[0]) for number in range(1, 9)]
    assert max(held) - min(held) <= PAGE
    assert min(held) >= 6 * PAGE // 2
    assert pool.bytes_used <= pool.bytes_max == 100 * pool.page_bytes
    check(bars, rows, range(1, 9))


def test_who_comes_when_not_even_a_page_is_left_has_slots_only():
    bars, pool = paged(SECOND, bytes_max=2 * PAGE * 17 * 8)
    rows = [row for number in range(1, 5) for row in ticks(number, range(40), seq=1_000 * number)]
    for row in rows:
        bars.apply(*columns([row]))
    check(bars, rows, range(1, 5))
    assert len(bars.read(4)[0]) == 2
    assert pool.bytes_used == pool.bytes_max


def test_a_forgotten_bar_in_a_page_is_unknown_until_it_is_put_in_again():
    bars, _ = paged(SECOND)
    rows = ticks(1, range(100))
    bars.apply(*columns(rows))
    start = BASE + 10 * NS
    bars.forget(1, start)
    states, _ = bars.read(1)
    assert states.count[states.start == start].tolist() == [0]
    late = ticks(1, [10], seq=1_000)
    changed, unknown = bars.apply(*columns(late))
    assert (len(changed), unknown) == (0, [(1, start)])
    bars.put(built(SECOND, [rows[10], *late]))
    check(bars, rows + late, [1])
    assert (bars.read(1)[0].count > 0).all()


def test_older_bars_are_put_in_front_without_a_hole():
    rows = ticks(1, range(300))
    bars, _ = paged(SECOND, horizon=rows[199].ts)
    bars.apply(*columns(rows[200:]))
    assert bars.read(1)[1] == rows[199].ts + 1
    bars.restore(1, built(SECOND, rows[50:200]), rows[50].ts, NOTHING)
    states, since = bars.read(1)
    assert (len(states), since) == (250, rows[50].ts)
    bars.restore(1, built(SECOND, rows[:50]), INT64_MIN, NOTHING)
    assert bars.read(1)[1] == INT64_MIN
    check(bars, rows, [1])
    assert len(bars.read(1)[0]) == 300


def test_the_bar_that_was_forming_when_the_plant_began_makes_the_next_ones_complete():
    minute = grid_of("1m", "UTC", "00:00")
    rows = ticks(1, [0, 10, 20])
    bars, _ = paged(minute, horizon=rows[1].ts)
    _, unknown = bars.apply(*columns(rows[2:]))
    assert unknown == [(1, minute.floor(BASE))]
    bars.put(built(minute, rows))
    states, since = bars.read(1)
    assert (len(states), since) == (1, minute.floor(BASE))


def test_the_newest_bar_of_each_instrument_is_read_at_once():
    bars, _ = paged(SECOND)
    rows = ticks(7, range(50)) + ticks(3, [5, 4], seq=100)
    bars.apply(*columns(rows))
    newest, since = bars.newest()
    assert since.tolist() == [INT64_MIN] * 2
    assert keys(newest) == [(3, BASE + 5 * NS), (7, BASE + 49 * NS)]


@given(st.lists(st.integers(-(2**95), 2**95 - 1), min_size=2, max_size=2), st.integers(0, 3))
def test_packing_loses_nothing(sums, more):
    block = np.arange((COLUMNS + more) * 1, dtype=np.int64).reshape(-1, 1)
    for place, total in enumerate(sums):
        for digit in range(5):
            block[VOLUME + 6 * place + digit] = (total << 90 >> 32 * digit) & 0xFFFFFFFF
        block[VOLUME + 6 * place + 5] = total << 90 >> 160
    small = all(-(2**31) <= int(block[VOLUME + 6 * n + 5, 0]) < 2**31 for n in range(2))
    assert packable(block).tolist() == [small]
    if small:
        again = unpack(pack(block), block[0], block[START])
        assert again.tolist() == block.tolist()


def test_sums_too_large_to_pack_are_unknown_instead_of_wrong():
    bars, _ = paged(SECOND)
    rows = [Row(1, BASE + at * NS, at + 1, 1.0, 2.0**96 if at == 5 else 1.0) for at in range(40)]
    for row in rows:
        bars.apply(*columns([row]))
    states, since = bars.read(1)
    assert since == BASE + 5 * NS + 1
    assert states.start[0] == BASE + 6 * NS
    check(bars, rows, [1])


def test_readers_see_whole_bars_while_the_owner_writes():
    """Every price of a bar is its number in the batch: a bar half written would show two."""
    bars, _ = paged(SECOND, bars_max=100)
    turns, faults, stop = 300, [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            states, since = bars.read(1)
            if (states.open != states.close).any() or (states.high != states.low).any():
                faults.append("a bar is half written")
            steps = np.diff(states.start[states.start >= since])
            if (steps != NS).any():
                faults.append("a bar is missing")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(turns):
        price = float(turn + 1)
        batch = [Row(n, BASE + turn * NS, 100 * turn + n, price, 1.0) for n in range(1, 40)]
        bars.apply(*columns(batch))
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert bars.read(1)[0].block[COUNT].min() == 1
