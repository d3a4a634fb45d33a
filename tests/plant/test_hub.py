"""The hub: every cursor sees every entry once and in order, or is told exactly what it missed."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickplant.model.events import SCHEMAS, TRADES
from tickplant.plant.encoded import EncodedRows
from tickplant.plant.hub import Hub, Lagged
from tickplant.plant.published import ENTRY_ROWS, CandleKey, Published


def trades(seq_first: int, instruments: list[int]) -> pa.RecordBatch:
    n = len(instruments)
    seq = np.arange(seq_first, seq_first + n)
    columns: dict[str, object] = {
        "instrument": pa.array(instruments, pa.int32()),
        "ts_event": pa.array(seq * 10),
        "seq": pa.array(seq),
        "ts_recv": pa.array(seq * 10),
        "feed": pa.array([0] * n, pa.int16()),
        "flags": pa.array([0] * n, pa.int32()),
        "price": pa.array([1.5] * n),
        "size": pa.array([None] * n, pa.float64()),
        "side": pa.array([0] * n, pa.int8()),
        "ref_seq": pa.array([0] * n, pa.int64()),
    }
    arrays = [
        columns.get(field.name, pa.nulls(n, field.type)) if field.nullable else columns[field.name]
        for field in SCHEMAS[TRADES]
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMAS[TRADES])


def entry(seq_first: int, rows: int = 1) -> Published:
    return Published.of_rows(TRADES, trades(seq_first, [1] * rows))


def seqs(entries: list[Published]) -> list[int]:
    return [seq for e in entries for seq in e.rows.column("seq").to_pylist()]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 60)),
        st.tuples(st.just("take"), st.integers(1, 100)),
        st.tuples(st.just("join"), st.just(0)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps=STEPS, ring_rows=st.integers(1, 400))
def test_cursors_see_each_event_once_or_are_told_what_they_missed(
    steps: list[tuple[str, int]], ring_rows: int
) -> None:
    hub = Hub(ring_rows)
    expected_next = {hub.tail(): 1}
    last = 0
    for step, size in [*steps, *[("take", 1_000)] * 200]:
        if step == "publish":
            hub.publish(entry(last + 1, size))
            last += size
        elif step == "join":
            expected_next[hub.tail()] = last + 1
        else:
            for cursor, expected in expected_next.items():
                taken = cursor.take(size)
                if isinstance(taken, Lagged):
                    assert taken.rows == taken.seq_last - expected + 1 > 0
                    expected_next[cursor] = taken.seq_last + 1
                else:
                    got = seqs(taken)
                    assert got == list(range(expected, expected + len(got)))
                    assert len(taken) == 1 or len(got) <= size
                    expected_next[cursor] = expected + len(got)
    assert set(expected_next.values()) == {last + 1}
    assert all(cursor.seq == last and cursor.behind == 0 for cursor in expected_next)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40), data=st.data())
def test_attach_continues_after_a_number_or_says_that_the_ring_lost_it(
    sizes: list[int], data: st.DataObject
) -> None:
    hub = Hub(300, seq=1_000)
    last = 1_000
    for size in sizes:
        hub.publish(entry(last + 1, size))
        last += size
    after = data.draw(st.integers(990, last))
    cursor = hub.attach(after)
    oldest = hub.status()
    lost_upto = last - oldest.rows
    if cursor is None:
        assert after < lost_upto
    else:
        taken = cursor.take(10_000)
        assert not isinstance(taken, Lagged)
        assert after >= lost_upto
        assert [seq for seq in seqs(taken) if seq > after] == list(range(after + 1, last + 1))


def test_the_ring_is_bounded_in_rows_and_in_entries() -> None:
    hub = Hub(2_100)
    for seq in range(1, 1_001):
        hub.publish(entry(seq))
    assert hub.status().entries == 2_100 // (1 + ENTRY_ROWS)
    hub.publish(entry(1_001, 5_000))
    assert hub.status().entries == 1  # the newest stays, however large
    assert hub.seq == 6_000


def test_attach_after_candles_of_the_same_number_begins_at_the_next_rows() -> None:
    hub = Hub(1_000)
    hub.publish(entry(1, 3))
    hub.publish(Published.of_status({"state": "late candles"}, 3))
    hub.publish(entry(4, 2))
    cursor = hub.attach(3)
    assert cursor is not None
    taken = cursor.take()
    assert not isinstance(taken, Lagged)
    assert seqs(taken) == [4, 5]


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=50), st.sets(st.integers(1, 12)))
def test_rows_of_instruments_are_those_of_a_scan(held: list[int], wanted: set[int]) -> None:
    published = Published.of_rows(TRADES, trades(1, held))
    expected = [row for row, number in enumerate(held) if number in wanted]
    assert published.rows_of(wanted).tolist() == expected


def test_old_entries_let_go_of_their_encoded_rows() -> None:
    hub = Hub(8 * (1 + ENTRY_ROWS) * 10)
    entries = [entry(seq) for seq in range(1, 31)]
    for published in entries:
        hub.publish(published)
        published.kept()["json"] = EncodedRows.none(1)
    assert [bool(published.encoded) for published in entries] == [False] * 20 + [True] * 10
    for published in (entries[20], *entries[:4]):
        published.kept().setdefault("json", EncodedRows.none(1))
    assert [bool(published.encoded) for published in entries] == [
        number < 4 or number == 20 or number > 24 for number in range(30)
    ]


def test_entries_that_leave_the_ring_are_not_kept() -> None:
    hub = Hub((1 + ENTRY_ROWS) * 10)
    entries = [entry(seq) for seq in range(1, 31)]
    for published in entries:
        hub.publish(published)
        published.kept()["json"] = EncodedRows.none(1)
    assert [bool(published.encoded) for published in entries] == [False] * 29 + [True]
    assert len(hub._warm) == 1


def test_topics_tell_candles_of_different_specifications_apart() -> None:
    one, two = CandleKey("1m", "trade"), CandleKey("1m", "mid")
    rows = trades(1, [1])
    assert Published.of_candles(one, rows, 1).topic == CandleKey("1m", "trade")
    assert Published.of_candles(two, rows, 1).topic != one
    assert entry(1).topic == "trades"


async def test_a_publisher_in_another_thread_wakes_the_loop_and_no_ring_is_lost() -> None:
    hub = Hub(1_000_000, pace_s=0.0005)
    waker = hub.waker(asyncio.get_running_loop())
    woken = asyncio.Event()
    waker.add(woken.set)
    cursor = hub.tail()
    calls = 0

    def publish() -> None:
        for seq in range(1, 3_001):
            hub.publish(entry(seq))

    thread = threading.Thread(target=publish)
    thread.start()
    got: list[int] = []
    while len(got) < 3_000:
        await asyncio.wait_for(woken.wait(), 5)
        woken.clear()
        calls += 1
        while taken := cursor.take():
            assert not isinstance(taken, Lagged)
            got += seqs(taken)
    thread.join()
    assert got == list(range(1, 3_001))
    assert calls < 3_000


async def test_a_lone_event_wakes_at_once_and_a_flood_once_a_pace() -> None:
    loop = asyncio.get_running_loop()
    hub = Hub(1_000, pace_s=30.0)
    waker = hub.waker(loop)
    assert hub.waker(loop) is waker
    calls: list[int] = []
    first = asyncio.Event()
    waker.add(lambda: (calls.append(hub.seq), first.set()))
    hub.publish(entry(1))
    await asyncio.wait_for(first.wait(), 5)
    assert calls == [1]
    for seq in range(2, 20):  # within the pace: they wait for the next wake-up
        hub.publish(entry(seq))
        await asyncio.sleep(0)
    assert calls == [1]


async def test_nobody_is_woken_after_they_left() -> None:
    hub = Hub(1_000)
    waker = hub.waker(asyncio.get_running_loop())
    listener = pytest.fail
    waker.add(listener)
    waker.discard(listener)
    hub.publish(entry(1))
    await asyncio.sleep(0)
    assert hub.status().listeners == 0
