"""Every byte flipped, every length cut: always detected, at most the damaged record lost."""

import errno
import itertools
from collections.abc import Sequence
from functools import cache

import pytest
from journal_cases import FOLDER, flush, is_subsequence, make_records, open_journal, plain

from journal_disk import FakeDisk, Files
from tickplant.log.contract import Damage, LogRecord
from tickplant.log.segment import segment_name
from tickplant.log.verify import verify_journal

SHAPES = [(1, 2, b"first"), (9, 0, b"catalog"), (1, 1, b"x" * 61), (2, 3, b""), (1, 1, b"y" * 150)]
SHAPES = [*SHAPES, (3, 1, b"z" * 40), (9, 0, b"again"), (4, 2, b"the last one")]


@cache
def small_log(closed: bool = True) -> tuple[list[LogRecord], Files]:
    """Return the records and the files of a log of two segments, closed or as a crash leaves it."""
    disk = FakeDisk()
    journal = open_journal(disk, segment_bytes=512)
    records = make_records(SHAPES)
    for record in records:
        journal.append([record])
        flush(journal)
    files = disk.image()
    journal.close()
    files = disk.image() if closed else files
    assert len(files) == 2
    return records, files


def check_opening(files: Files, records: list[LogRecord], lost_max: int) -> list[LogRecord]:
    """Open damaged files, append, open again; return the records that were lost."""
    disk = FakeDisk(files)
    report = verify_journal(FOLDER, disk=disk)
    assert disk.image() == files
    assert report.damage, "verify has not seen it"
    journal = open_journal(disk, segment_bytes=512)
    damage = journal.status().damage
    assert damage, "opening has not seen it"
    found = plain(journal.read())
    assert is_subsequence(found, records)
    lost = [record for record in records if record not in found]
    assert len(lost) <= lost_max
    seq = max((r.seq_next for r in found), default=journal.seq_next)
    assert journal.seq_next == seq
    more = LogRecord(5, seq, 2, b"after the damage")
    journal.append([more])
    flush(journal)
    assert plain(journal.read()) == [*found, more]
    journal.close()
    again = open_journal(disk, segment_bytes=512)
    assert plain(again.read()) == [*found, more]
    assert again.seq_next == seq + 2
    again.close()
    check_ranges(damage, lost, found)
    return lost


def check_ranges(damage: Sequence[Damage], lost: list[LogRecord], found: list[LogRecord]) -> None:
    """Lost numbers are within the reported ranges, kept ones are not."""
    ranges = [(d.seq_from, d.seq_to) for d in damage if d.seq_from is not None]

    def reported(seq: int) -> bool:
        return any(low <= seq and (high is None or seq <= high) for low, high in ranges)

    for record in lost:
        assert all(reported(s) for s in range(record.seq_first, record.seq_next))
    for record in found:
        assert not any(reported(s) for s in range(record.seq_first, record.seq_next))


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("mask", [0x01, 0xFF])
def test_every_flipped_byte_costs_at_most_its_record(closed: bool, which: int, mask: int) -> None:
    records, files = small_log(closed)
    path = sorted(files)[which]
    for offset in range(len(files[path])):
        damaged = bytearray(files[path])
        damaged[offset] ^= mask
        check_opening({**files, path: bytes(damaged)}, records, lost_max=1)


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("which", [0, 1])
def test_every_cut_keeps_what_is_whole(closed: bool, which: int) -> None:
    records, files = small_log(closed)
    path = sorted(files)[which]
    data = files[path]
    unbroken = verify_journal(FOLDER, disk=FakeDisk(files))
    count = unbroken.segments[which].records
    for length in range(len(data)):
        cut = {**files, path: data[:length]}
        if which == 0 and not data[length:].strip(b"\0TPJE") and closed:
            continue
        disk = FakeDisk(cut)
        alone = verify_journal(FOLDER, disk=disk).segments[which].records
        if which == 0 and alone == count:
            # Nothing is lost, and the next segment proves it: that is no damage.
            journal = open_journal(disk, segment_bytes=512)
            assert plain(journal.read()) == records
            journal.close()
            continue
        lost = check_opening(cut, records, lost_max=count - alone)
        assert len(lost) == count - alone


def test_a_missing_segment_is_reported_with_its_numbers() -> None:
    disk = FakeDisk()
    journal = open_journal(disk, segment_bytes=256)
    records = make_records([(1, 2, bytes([i]) * 100) for i in range(6)])
    journal.append(records)
    journal.close()
    files = disk.image()
    paths = sorted(files)
    for gone in range(len(paths) - 1):
        left = {path: files[path] for path in paths if path != paths[gone]}
        again = open_journal(FakeDisk(left), segment_bytes=256)
        found = plain(again.read())
        lost = [r for r in records if r not in found]
        (damage,) = again.status().damage
        assert (damage.seq_from, damage.seq_to) == (lost[0].seq_first, lost[-1].seq_next - 1)
        assert "missing" in damage.what
        assert again.seq_next == records[-1].seq_next
        again.close()


def test_damaged_bytes_are_kept_apart_and_only_once() -> None:
    records, files = small_log()
    path = sorted(files)[0]
    at = files[path].index(b"x" * 61)
    disk = FakeDisk({**files, path: files[path].replace(b"xxx", b"xyx", 1)})
    for _ in range(2):
        journal = open_journal(disk, segment_bytes=512)
        (damage,) = journal.status().damage
        journal.close()
        saved = [name for name in disk.names if "/damaged/" in name]
        assert saved == [damage.saved_as]
        start = damage.offset
        assert start < at
        assert disk.image()[saved[0]] == disk.image()[path][start : start + 112].rstrip(b"\0")
    assert (damage.seq_from, damage.seq_to) == (records[2].seq_first, records[2].seq_first)


def test_a_record_within_a_payload_is_not_taken_for_one() -> None:
    _, files = small_log()
    inner = b"".join(files[path] for path in sorted(files))
    disk = FakeDisk()
    journal = open_journal(disk, segment_bytes=8192)
    records = make_records([(1, 1, b"a"), (1, 1, inner), (1, 1, b"b")])
    journal.append(records)
    journal.close()
    path = f"{FOLDER}/{segment_name(1, 1)}"
    data = bytearray(disk.image()[path])
    data[64 + 56 + 5] ^= 1
    again = open_journal(FakeDisk({path: bytes(data)}), segment_bytes=8192)
    assert plain(again.read()) == [records[0], records[2]]
    again.close()


def test_a_disk_that_cannot_read_does_not_stop_the_start() -> None:
    records, files = small_log()
    for count, length in itertools.product(range(8), range(1, 8)):
        disk = FakeDisk(files, faults={("pread", count + n): errno.EIO for n in range(length)})
        journal = open_journal(disk, segment_bytes=512)
        disk.faults.clear()
        seq = journal.seq_next
        journal.append([LogRecord(1, seq, 1, b"new")])
        flush(journal)
        *old, new = plain(journal.read())
        assert is_subsequence(old, records)
        assert old == records or journal.status().damage
        assert new.payload == b"new"
        journal.close()
        assert all(disk.image()[path] for path in files if path in disk.names)


def test_segments_below_the_archive_are_not_read_at_the_start() -> None:
    records, files = small_log()
    floor = records[-1].seq_first - 1
    disk = FakeDisk(files)
    journal = open_journal(disk, segment_bytes=512, seq_floor=floor)
    reads_few = disk.calls["pread"]
    journal.close()
    disk = FakeDisk(files)
    open_journal(disk, segment_bytes=512).close()
    assert reads_few < disk.calls["pread"]
    path = sorted(files)[0]
    broken = FakeDisk({**files, path: files[path][:100] + b"?" * 400})
    journal = open_journal(broken, segment_bytes=512, seq_floor=floor)
    assert journal.status().damage == ()
    assert journal.seq_next == records[-1].seq_next
    journal.close()


def rewritten_log() -> tuple[list[LogRecord], Files]:
    """Return a log whose second batch stands in two segments, as the first could not be cut."""
    refused = {("truncate", n): errno.EIO for n in range(9)}
    disk = FakeDisk(faults={("datasync", 1): errno.EIO, ("pwritev", 2): errno.EIO, **refused})
    records = make_records(SHAPES)
    journal = open_journal(disk, segment_bytes=4096)
    journal.append(records[:2])
    flush(journal)
    journal.append(records[2:])
    flush(journal)
    journal.close()
    files = disk.image()
    first, second = sorted(files)
    payload = records[-1].payload
    assert bytes(payload) in files[first]
    assert bytes(payload) in files[second]
    return records, files


def test_a_batch_that_was_rewritten_is_read_once_whatever_byte_is_flipped() -> None:
    records, files = rewritten_log()
    for path in files:
        for offset in range(len(files[path].rstrip(b"\0"))):
            damaged = bytearray(files[path])
            damaged[offset] ^= 0x10
            journal = open_journal(FakeDisk({**files, path: bytes(damaged)}), segment_bytes=4096)
            found = plain(journal.read())
            assert is_subsequence(found, records)
            assert len(found) >= len(records) - 1
            journal.close()


def test_a_batch_that_was_rewritten_is_read_once_without_header_and_first_record() -> None:
    records, files = rewritten_log()
    second = sorted(files)[1]
    damaged = bytearray(files[second])
    damaged[20] ^= 1
    damaged[64 + 20] ^= 1
    journal = open_journal(FakeDisk({**files, second: bytes(damaged)}), segment_bytes=4096)
    # The old copy of the first record was overwritten by an end mark, so both copies are gone.
    assert plain(journal.read()) == records[:2] + records[3:]
    journal.close()
