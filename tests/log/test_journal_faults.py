"""A disk that refuses, tears, forgets and loses power: nothing acknowledged is lost or doubled."""

import errno
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_cases import (
    WAIT_S,
    Clock,
    Shape,
    append_each,
    flush,
    is_subsequence,
    make_records,
    open_journal,
    plain,
)

from journal_disk import FakeDisk, Faults, Files
from tickplant.log.contract import LogRecord
from tickplant.log.journal import Journal
from tickplant.model.errors import LogUnavailable

OPERATIONS = ["create", "allocate", "sync", "rename", "sync_folder", "pwritev", "datasync"]
OPERATIONS += ["truncate", "unlink"]
KINDS = [errno.EIO, errno.ENOSPC, "short"]


def numbered_payloads(sizes: list[int]) -> list[Shape]:
    """Return shapes whose payloads are all different, so that a doubled record shows."""
    return [(1 + i % 3, i % 4, f"{i:06d}".encode() + bytes(size)) for i, size in enumerate(sizes)]


def check_after(files: Files, taken: list[LogRecord], acked: list[LogRecord]) -> None:
    """Open what is left: all that was acknowledged, nothing twice, nothing that was not taken."""
    journal = open_journal(FakeDisk(files))
    found = plain(journal.read())
    assert is_subsequence(found, taken)
    assert is_subsequence(acked, found)
    assert journal.seq_next == max([r.seq_next for r in found], default=1)
    more = LogRecord(1, journal.seq_next, 1, b"more")
    journal.append([more])
    assert flush(journal) is None
    assert plain(journal.read()) == [*found, more]
    journal.close()


@given(
    sizes=st.lists(st.integers(0, 600), min_size=1, max_size=25),
    faults=st.dictionaries(
        st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 12)),
        st.sampled_from(KINDS),
        max_size=6,
    ),
    crash_at=st.integers(0, 120),
    seed=st.integers(0, 1 << 16),
)
@settings(max_examples=150, deadline=None)
def test_nothing_acknowledged_is_lost_whatever_fails(
    sizes: list[int], faults: Faults, crash_at: int, seed: int
) -> None:
    faults = {key: kind for key, kind in faults.items() if kind != "short" or key[0] == "pwritev"}
    disk, acked, crashes = FakeDisk(faults=faults, seed=seed), [], []

    def crash(_: str) -> None:
        if len(disk.log) == crash_at:
            crashes.append((disk.crash(), list(acked)))

    disk.before = crash
    journal = open_journal(disk)
    taken = append_each(journal, make_records(numbered_payloads(sizes)), acked)
    journal.close()
    for files, acked_then in crashes:
        check_after(files, taken, acked_then)
    check_after(disk.crash(), taken, acked)
    check_after(disk.image(), taken, acked)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [(o, k) for o in OPERATIONS for k in KINDS if k != "short" or o == "pwritev"],
)
def test_every_single_operation_may_fail(operation: str, kind: int | str) -> None:
    records = make_records(numbered_payloads([200] * 12))
    for count in range(14):
        disk, acked = FakeDisk(faults={(operation, count): kind}, seed=count), []
        journal = open_journal(disk)
        taken = append_each(journal, records, acked)
        journal.close()
        assert plain(acked) == taken
        check_after(disk.crash(), taken, acked)


@given(seed=st.integers(0, 1 << 16), failing=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_a_failed_sync_that_cannot_even_be_cut_off_doubles_nothing(seed: int, failing: int) -> None:
    refused = {("truncate", n): errno.EIO for n in range(20)}
    refused |= {("unlink", n): errno.EIO for n in range(20)}
    disk = FakeDisk(faults={("datasync", failing): errno.EIO, **refused}, seed=seed)
    acked = []
    journal = open_journal(disk)
    taken = append_each(journal, make_records(numbered_payloads([100] * 15)), acked)
    journal.close()
    assert acked == taken
    check_after(disk.image(), taken, acked)
    check_after(disk.crash(), taken, acked)


def refusing_journal(
    operation: str, kind: int | str, *, hold: int
) -> tuple[Journal, FakeDisk, Clock, threading.Event, threading.Event]:
    """Return a journal whose second `operation` and all later ones fail until `disk.faults` go."""
    disk = FakeDisk(faults={(operation, n): kind for n in range(1, 1000)})
    clock = Clock()
    refused, go = threading.Event(), threading.Event()

    def pause(seconds: float) -> None:
        Clock.pause(clock, seconds)
        if len(clock.pauses) >= hold:
            refused.set()
            assert go.wait(WAIT_S)

    clock.pause = pause
    return open_journal(disk, clock=clock, segment_bytes=4096), disk, clock, refused, go


def test_while_the_disk_refuses_appending_is_refused_at_once_and_then_taken_up_again() -> None:
    journal, disk, clock, refused, go = refusing_journal("datasync", errno.EIO, hold=5)
    append_each(journal, make_records([(1, 1, b"one")]), [])
    assert flush(journal) is None
    answers, answered = [], threading.Event()
    journal.append([LogRecord(1, 2, 1, b"two")], lambda f: (answers.append(f), answered.set()))
    assert refused.wait(WAIT_S)
    status = journal.status()
    assert status.state == "unavailable"
    assert "Input/output error" in status.reason
    assert (status.seq_durable, status.seq_appended) == (1, 2)
    assert [bytes(r.payload) for r in journal.read()] == [b"one"]
    with pytest.raises(LogUnavailable, match="Input/output error"):
        journal.append([LogRecord(1, 3, 1, b"three")])
    assert journal.seq_next == 3
    assert clock.pauses == sorted(clock.pauses)
    assert max(clock.pauses) <= 5.0
    disk.faults.clear()
    go.set()
    assert answered.wait(WAIT_S)
    assert answers == [None]
    assert journal.status().state == "ok"
    assert [bytes(r.payload) for r in journal.read()] == [b"one", b"two"]
    (damage,) = journal.status().damage
    assert "refused" in damage.what
    assert journal.status().segments == 2
    journal.close()


def test_callbacks_do_not_wait_for_ever_and_their_records_keep_their_numbers() -> None:
    journal, disk, clock, refused, go = refusing_journal("pwritev", errno.ENOSPC, hold=12)
    append_each(journal, make_records([(1, 1, b"one")]), [])
    flush(journal)
    answers = []
    journal.append([LogRecord(1, 2, 1, b"two")], answers.append)
    assert refused.wait(WAIT_S)
    assert clock.now_s >= 10.0
    (fault,) = answers
    assert isinstance(fault, LogUnavailable)
    assert "No space left" in str(fault)
    disk.faults.clear()
    go.set()
    journal.close()
    assert len(answers) == 1
    again = open_journal(FakeDisk(disk.crash()))
    assert [bytes(r.payload) for r in again.read()] == [b"one", b"two"]
    again.close()


def test_closing_while_the_disk_refuses_answers_everybody() -> None:
    journal, disk, _, refused, go = refusing_journal("datasync", errno.EIO, hold=1)
    append_each(journal, make_records([(1, 1, b"one")]), [])
    flush(journal)
    answers = []
    journal.append([LogRecord(1, 2, 1, b"two")], answers.append)
    assert refused.wait(WAIT_S)
    closing = threading.Thread(target=journal.close)
    closing.start()
    go.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert [type(fault) for fault in answers] == [LogUnavailable]
    assert disk.handles == {}


def test_a_producer_that_is_held_back_is_told_when_the_disk_refuses() -> None:
    entered, go = threading.Event(), threading.Event()
    disk = FakeDisk(faults={("datasync", n): errno.EIO for n in range(1000)})

    def hold(operation: str) -> None:
        if operation == "datasync":
            entered.set()
            assert go.wait(WAIT_S)

    disk.before = hold
    journal = open_journal(disk, segment_bytes=4 << 20, pending_mb=1)
    journal.append([LogRecord(1, 1, 1, bytes(1 << 20))])
    assert entered.wait(WAIT_S)
    faults = []

    def produce() -> None:
        try:
            journal.append([LogRecord(1, 2, 1, b"x")])
        except LogUnavailable as fault:
            faults.append(fault)

    producer = threading.Thread(target=produce)
    producer.start()
    go.set()
    producer.join(WAIT_S)
    assert len(faults) == 1
    disk.faults.clear()
    journal.close()
