"""Following a journal that grows: every record once, in order, whatever the files do meanwhile."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal_cases import FOLDER, flush, make_records, open_journal, plain

from journal_disk import FakeDisk
from tickplant.config import LogSettings
from tickplant.log import tail as tail_module
from tickplant.log.contract import LogRecord
from tickplant.log.folder import JournalTrimmed
from tickplant.log.journal import Journal
from tickplant.log.segment import RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES
from tickplant.log.tail import JournalTail

SHAPE = st.tuples(st.integers(1, 9), st.integers(0, 3), st.binary(max_size=300))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(SHAPE, max_size=6), max_size=8), st.integers(1, 12), st.booleans())
@example([[(1, 0, b""), (1, 0, b""), (1, 0, b"\0")], [(1, 0, b"")] * 5 + [(1, 0, b"\0")]], 1, False)
def test_each_record_comes_once_and_at_once(
    batches: list[list[tuple[int, int, bytes]]], from_seq: int, again: bool
) -> None:
    disk, written, found = FakeDisk(), list[LogRecord](), list[LogRecord]()
    journal = open_journal(disk, segment_bytes=512)
    tail = JournalTail(FOLDER, from_seq, disk=disk)
    for batch in batches:
        records = make_records(batch, journal.seq_next)
        journal.append(records)
        flush(journal)
        written += records
        found += plain(tail.poll())
        wanted = [r for r in written if r.seq_first + max(r.count, 1) > from_seq]
        assert found == wanted
        assert again or not written or not tail.waiting()
        if again:  # the plant stops and starts
            journal.close()
            journal = open_journal(disk, segment_bytes=512)
    journal.close()
    tail.close()


def test_records_of_any_size_come_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "POLL_BYTES", 256)
    settings = LogSettings(segment_mb=1, sync="none")
    journal = Journal(tmp_path, settings, prepare_ahead=False)
    tail = JournalTail(tmp_path)
    assert tail.poll() == []
    sizes = [0, 200, 5_000, 70_000, 10, 900_000, 900_000, 1]
    records = make_records([(1, 1, bytes([n]) * size) for n, size in enumerate(sizes)])
    journal.append(records)
    flush(journal)
    assert plain(tail.poll()) == records
    assert tail.poll() == []
    journal.close()
    tail.close()


def test_a_record_that_is_being_written_is_waited_for() -> None:
    disk = FakeDisk()
    journal = open_journal(disk, segment_bytes=4096)
    records = make_records([(1, 1, b"first" * 9), (1, 1, b"second" * 9)])
    journal.append(records)
    flush(journal)
    (path, whole), *_ = disk.image().items()
    journal.close()
    size = RECORD_HEADER_BYTES + 48
    begin = SEGMENT_HEADER_BYTES + size
    for cut in range(begin, len(whole) if len(whole) < begin + size else begin + 60):
        torn = FakeDisk({path: whole[:cut] + bytes(len(whole) - cut)})
        tail = JournalTail(FOLDER, disk=torn)
        assert plain(tail.poll()) == records[:1], cut
        assert plain(tail.poll()) == [], cut


def test_who_is_overtaken_by_trimming_is_told() -> None:
    disk = FakeDisk()
    journal = open_journal(disk, segment_bytes=512)
    tail = JournalTail(FOLDER, disk=disk)
    records = make_records([(1, 1, bytes([n]) * 100) for n in range(3)])
    journal.append(records)
    flush(journal)
    assert plain(tail.poll()) == records
    for n in range(3, 40):
        journal.append(make_records([(1, 1, bytes([n]) * 100)], n + 1))
        flush(journal)
    journal.trim(30)
    with pytest.raises(JournalTrimmed, match="missing"):
        tail.poll()
    with pytest.raises(JournalTrimmed, match="begins at"):
        JournalTail(FOLDER, 2, disk=disk).poll()
    journal.close()


def test_an_empty_or_missing_folder_has_nothing_yet(tmp_path: Path) -> None:
    assert JournalTail(tmp_path / "none").poll() == []
    with tempfile.TemporaryDirectory() as folder:
        tail = JournalTail(folder)
        assert tail.poll() == []
        journal = Journal(folder, LogSettings(segment_mb=1, sync="none"), prepare_ahead=False)
        journal.append([LogRecord(3, 1, 2, b"later")])
        flush(journal)
        assert plain(tail.poll()) == [LogRecord(3, 1, 2, b"later")]
        journal.close()
        tail.close()
