"""A disk that takes a call and does not come back: told, bounded, and survived when it does."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from journal_cases import WAIT_S, Clock, flush, make_records, open_journal, plain

from journal_disk import FakeDisk
from tickplant.log.journal import Journal
from tickplant.model.errors import LogUnavailable


@contextmanager
def held_journal(clock: Clock) -> Iterator[tuple[Journal, threading.Event, FakeDisk]]:
    """Yield a journal with one durable record whose next sync is held until the event is set."""
    disk, go, held = FakeDisk(), threading.Event(), threading.Event()
    journal = open_journal(disk, clock=clock)
    journal.append(make_records([(1, 1, b"first")]))
    assert flush(journal) is None

    def hold(operation: str) -> None:
        if operation == "datasync" and not go.is_set():
            held.set()
            assert go.wait(WAIT_S)

    disk.before = hold
    journal.append(make_records([(1, 1, b"second")], seq=2))
    assert held.wait(WAIT_S)
    try:
        yield journal, go, disk
    finally:
        go.set()
        journal.close()


def test_a_sync_that_hangs_is_told_to_those_who_wait_and_to_those_who_ask() -> None:
    clock, faults = Clock(), []
    with held_journal(clock) as (journal, go, _):
        journal.append([], faults.append)
        journal._writer.look()
        assert journal.status().state == "ok"
        assert faults == []
        clock.now_s += 10
        journal._writer.look()
        assert journal.status().state == "unavailable"
        assert journal.status().reason == "the disk has not answered for 10 s"
        assert [type(fault) for fault in faults] == [LogUnavailable]
        with pytest.raises(LogUnavailable, match="has not answered"):
            journal.append(make_records([(1, 1, b"third")], seq=3))
        go.set()
        while journal.status().state != "ok" or journal.status().seq_durable < 2:
            pass
        assert faults[1:] == []
        journal.append(make_records([(1, 1, b"third")], seq=3))
        assert flush(journal) is None
        kept = [bytes(record.payload) for record in plain(journal.read())]
        assert kept == [b"first", b"second", b"third"]


def test_closing_does_not_wait_for_ever_and_the_held_thread_writes_no_more() -> None:
    clock, faults = Clock(), []
    with held_journal(clock) as (journal, go, disk):
        journal.append(make_records([(1, 1, b"third")], seq=3), faults.append)
        clock.now_s += 10
        journal.close()
        assert [type(fault) for fault in faults] == [LogUnavailable]
        before = disk.log.count("pwritev")
        go.set()
        journal._writer._thread.join(WAIT_S)
        assert not journal._writer._thread.is_alive()
        assert disk.log.count("pwritev") == before
