"""What goes in comes out, for arbitrary records, reopened any number of times."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_cases import FOLDER, WAIT_S, Shape, flush, make_records, open_journal, plain

from journal_disk import FakeDisk
from tickplant.config import LogSettings
from tickplant.log.contract import DurableCallback, LogRecord
from tickplant.log.journal import Journal, JournalReader, read_folder
from tickplant.log.verify import verify_journal
from tickplant.model.errors import Stopping

shapes = st.lists(
    st.tuples(
        st.integers(0, 65535),
        st.integers(0, 3),
        st.binary(max_size=120) | st.integers(0, 2500).map(bytes),
    ),
    max_size=25,
)


@given(runs=st.lists(shapes, max_size=4), from_seq=st.integers(0, 40), width=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_reading_equals_a_plain_list(runs: list[list[Shape]], from_seq: int, width: int) -> None:
    disk, oracle, seq = FakeDisk(), [], 1
    for run in runs:
        records = make_records(run, seq)
        seq += sum(record.count for record in records)
        oracle += records
        journal = open_journal(disk)
        journal.append(records)
        assert flush(journal) is None
        assert journal.seq_next == seq
        assert journal.status().damage == ()
        assert plain(journal.read()) == oracle
        to_seq = from_seq + width
        expected = [
            r for r in oracle if r.seq_first <= to_seq and r.seq_first + max(r.count, 1) > from_seq
        ]
        assert plain(journal.read(from_seq, to_seq)) == expected
        assert plain(JournalReader(FOLDER, disk=disk).read(from_seq, to_seq)) == expected
        journal.close()
    report = verify_journal(FOLDER, disk=disk)
    assert report.ok
    assert report.records == len(oracle)
    assert plain(read_folder(FOLDER, disk=disk)) == oracle


@given(run=shapes, upto=st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_trimming_drops_only_what_is_below(run: list[Shape], upto: int) -> None:
    disk = FakeDisk()
    journal = open_journal(disk)
    records = make_records(run)
    journal.append(records)
    flush(journal)
    journal.trim(upto)
    left = plain(journal.read())
    assert left == records[len(records) - len(left) :]
    assert [r for r in records if r.seq_first + max(r.count, 1) - 1 > upto] == [
        r for r in left if r.seq_first + max(r.count, 1) - 1 > upto
    ]
    seq = journal.seq_next
    more = LogRecord(7, seq, 1, b"more")
    journal.append([more])
    flush(journal)
    journal.close()
    floor = min(upto, seq - 1)
    again = open_journal(disk, seq_floor=floor)
    assert again.seq_next == seq + 1
    assert again.status().damage == ()
    assert plain(again.read()) == [*left, more]
    again.close()


def test_an_emptied_journal_goes_on_behind_the_archive() -> None:
    disk = FakeDisk()
    journal = open_journal(disk)
    journal.append(make_records([(1, 5, b"x" * 100)] * 20))
    flush(journal)
    assert journal.trim(100) > 1
    assert list(journal.read()) == []
    assert [name for name in disk.list_folder(FOLDER) if name.endswith(".seg")] == []
    journal.close()
    again = open_journal(disk, seq_floor=100)
    assert again.seq_next == 101
    assert again.status().damage == ()
    again.close()


def test_an_archive_that_is_ahead_sets_the_numbering() -> None:
    disk = FakeDisk()
    journal = open_journal(disk)
    journal.append(make_records([(1, 5, b"a")]))
    journal.close()
    journal = open_journal(disk, seq_floor=50)
    journal.append([LogRecord(1, 51, 1, b"b")])
    flush(journal)
    journal.close()
    again = open_journal(disk, seq_floor=50)
    assert again.seq_next == 52
    assert again.status().damage == ()
    assert [r.seq_first for r in again.read(51)] == [51]
    again.close()
    assert verify_journal(FOLDER, disk=disk).ok


def test_records_out_of_order_are_refused() -> None:
    journal = open_journal(FakeDisk())
    with pytest.raises(ValueError, match="seq_first: 2 is not allowed; next is 1"):
        journal.append([LogRecord(1, 2, 1, b"")])
    with pytest.raises(ValueError, match="kind: 65536"):
        journal.append([LogRecord(65536, 1, 1, b"")])
    assert journal.seq_next == 1
    journal.close()
    journal.close()
    with pytest.raises(Stopping):
        journal.append([])


def test_callbacks_come_in_order_and_a_failing_one_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal = open_journal(FakeDisk(), segment_bytes=4096)
    order = []

    def note(number: int) -> DurableCallback:
        def answer(fault: BaseException | None) -> None:
            order.append(number)
            if number % 7 == 0:
                raise RuntimeError("a bug of the caller's")

        return answer

    for number in range(100):
        journal.append([LogRecord(1, number + 1, 1, b"x")], note(number))
    assert flush(journal) is None
    assert order == list(range(100))
    assert "a callback has failed" in caplog.text
    journal.close()


def test_readers_run_beside_the_writer_on_a_real_disk(tmp_path: Path) -> None:
    total, payload = 4000, b"0123456789abcdef" * 20
    journal = Journal(tmp_path, LogSettings(segment_mb=1))
    faults, stop = [], threading.Event()

    def check(records: Iterator[LogRecord]) -> int:
        last = 0
        for record in records:
            assert record.seq_first == last + 1
            assert bytes(record.payload) == payload
            last = record.seq_first
        return last

    def read_on(make: Callable[[], Iterator[LogRecord]]) -> None:
        seen = 0
        try:
            while not stop.is_set():
                last = check(make())
                assert last >= seen
                seen = last
        except BaseException as fault:
            faults.append(fault)

    makers = (journal.read, lambda: read_folder(tmp_path))
    readers = [threading.Thread(target=read_on, args=(make,)) for make in makers]
    for reader in readers:
        reader.start()
    done = threading.Event()
    for seq in range(1, total + 1):
        journal.append(
            [LogRecord(1, seq, 1, payload)], (lambda _: done.set()) if seq == total else None
        )
    assert done.wait(WAIT_S)
    stop.set()
    for reader in readers:
        reader.join(WAIT_S)
    assert faults == []
    assert check(journal.read()) == check(read_folder(tmp_path)) == total
    journal.close()
    assert verify_journal(tmp_path).ok


def test_a_reader_keeps_a_segment_that_is_trimmed_under_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, LogSettings(segment_mb=1))
    journal.append(make_records([(1, 1, bytes([i]) * 1000) for i in range(200)]))
    flush(journal)
    reading = journal.read()
    first = next(reading)
    assert journal.trim(200) == 1
    assert [bytes(r.payload)[:1] for r in [first, *reading]] == [bytes([i]) for i in range(200)]
    journal.close()


def test_a_record_larger_than_a_segment_gets_one_of_its_own() -> None:
    disk = FakeDisk()
    journal = open_journal(disk, segment_bytes=1024)
    records = make_records([(1, 1, b"a"), (2, 1, b"b" * 10_000), (3, 1, memoryview(b"c" * 33))])
    journal.append(records)
    flush(journal)
    assert plain(journal.read()) == plain(records)
    assert journal.status().segments == 3
    journal.close()


def test_producers_are_held_back_while_too_much_waits() -> None:
    disk, entered, go = FakeDisk(), threading.Event(), threading.Event()

    def hold(operation: str) -> None:
        if operation == "datasync":
            entered.set()
            assert go.wait(WAIT_S)

    disk.before = hold
    journal = open_journal(disk, segment_bytes=4 << 20, pending_mb=1)
    journal.append([LogRecord(1, 1, 1, bytes(1 << 20))])
    assert entered.wait(WAIT_S)
    producer = threading.Thread(target=journal.append, args=([LogRecord(1, 2, 1, b"x")],))
    producer.start()
    assert journal.seq_next == 2
    assert journal.status().pending_bytes > 1 << 20
    go.set()
    producer.join(WAIT_S)
    assert flush(journal) is None
    assert journal.status().pending_bytes == 0
    assert journal.status().seq_durable == 2
    journal.close()
