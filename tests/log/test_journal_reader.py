"""Reading a folder that belongs to somebody else, while it grows, is trimmed or is torn."""

import threading
from pathlib import Path

import pytest
from journal_cases import FOLDER, WAIT_S, flush, make_records, open_journal, plain

from journal_disk import FakeDisk
from tickplant.config import LogSettings
from tickplant.log.contract import LogRecord
from tickplant.log.journal import Journal, JournalReader, JournalTrimmed, read_folder
from tickplant.log.verify import verify_journal


def filled(count: int, *, segment_bytes: int = 512) -> tuple[FakeDisk, Journal, list[LogRecord]]:
    disk = FakeDisk()
    journal = open_journal(disk, segment_bytes=segment_bytes)
    records = make_records([(1, 1, bytes([i]) * 100) for i in range(count)])
    journal.append(records)
    flush(journal)
    return disk, journal, records


def test_a_folder_that_is_not_there_is_an_empty_journal(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "nothing")
    assert reader.seq_first is None
    assert list(reader.read()) == []
    assert verify_journal(tmp_path / "nothing").records == 0
    assert list(tmp_path.iterdir()) == []


def test_a_reader_changes_nothing_and_stops_before_what_is_not_complete() -> None:
    disk, journal, records = filled(7)
    journal.append([LogRecord(1, 8, 1, b"torn" * 20)])
    flush(journal)
    last = max(disk.image())
    files = {
        **disk.image(),
        last: disk.image()[last].replace(b"torn" * 20, b"torn" * 10 + b"\0" * 40),
    }
    torn = FakeDisk(files)
    reader = JournalReader(FOLDER, disk=torn)
    assert plain(reader.read()) == records
    assert reader.faults == []
    assert verify_journal(FOLDER, live=True, disk=torn).ok
    assert not verify_journal(FOLDER, disk=torn).ok
    assert torn.image() == files
    journal.close()


def test_a_reader_that_is_overtaken_by_trimming_is_told() -> None:
    disk, journal, records = filled(12)
    reader = JournalReader(FOLDER, disk=disk)
    reading = reader.read()
    assert plain([next(reading)]) == records[:1]
    journal.trim(8)
    with pytest.raises(JournalTrimmed, match="was trimmed"):
        list(reading)
    with pytest.raises(JournalTrimmed, match="begins at"):
        read_folder(FOLDER, 1, disk=disk)
    again = JournalReader(FOLDER, disk=disk)
    assert again.seq_first is not None
    assert 1 < again.seq_first <= 9
    assert plain(read_folder(FOLDER, 9, disk=disk)) == records[8:]
    journal.close()


def test_the_journals_own_reader_is_told_too() -> None:
    _, journal, records = filled(12)
    reading = journal.read()
    assert plain([next(reading)]) == records[:1]
    journal.trim(12)
    with pytest.raises(JournalTrimmed):
        list(reading)
    assert list(journal.read()) == []
    journal.close()


def test_damage_in_the_middle_is_skipped_and_told() -> None:
    disk, journal, records = filled(12)
    path = sorted(disk.image())[2]
    data = disk.image()[path]
    at = data.index(b"\4" * 100)
    broken = FakeDisk({**disk.image(), path: data[:at] + b"?" + data[at + 1 :]})
    reader = JournalReader(FOLDER, disk=broken)
    assert plain(reader.read()) == [r for r in records if r.seq_first != 5]
    (fault,) = reader.faults
    assert (fault.seq_from, fault.seq_to) == (5, 5)
    report = verify_journal(FOLDER, disk=broken)
    (damage,) = report.damage
    assert (damage.path, damage.seq_from, damage.seq_to) == (path, 5, 5)
    assert "backup" in damage.action
    assert (report.records, report.seq_first, report.seq_last) == (11, 1, 12)
    assert sum(segment.records for segment in report.segments) == 11
    journal.close()


def test_trimming_beside_readers_gives_whole_answers_or_a_refusal(tmp_path: Path) -> None:
    settings = LogSettings(segment_mb=1)
    journal = Journal(tmp_path, settings)
    faults, stop, trimmed = [], threading.Event(), []

    def read_on() -> None:
        try:
            while not stop.is_set():
                try:
                    seqs = [record.seq_first for record in read_folder(tmp_path)]
                except JournalTrimmed:
                    trimmed.append(1)
                else:
                    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True
        except BaseException as fault:
            faults.append(fault)

    reader = threading.Thread(target=read_on)
    reader.start()
    for seq in range(1, 1201):
        journal.append([LogRecord(1, seq, 1, bytes(20_000))])
        if seq % 100 == 0:
            flush(journal)
            journal.trim(seq - 60)
    stop.set()
    reader.join(WAIT_S)
    assert faults == []
    journal.close()
