"""Following a journal that another process writes to: each record once, as soon as it is written.

    segment … segment, active segment: records, then zeros     ◄── the next record will begin here
                                       └── polled: what is whole by now is handed over

What is read was written, but need not be durable yet; whatever was acknowledged is there. Nothing
in the folder is changed.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tickplant.log.contract import LogRecord
from tickplant.log.disk import Disk, RealDisk
from tickplant.log.folder import JournalTrimmed, Segment, list_segments, open_segment
from tickplant.log.scan import Scanner
from tickplant.log.segment import RECORD_MAGIC_BYTES, SEGMENT_HEADER_BYTES

POLL_BYTES = 1 << 18
"""Bytes that are looked at in one go; a longer record has them grow."""

BYTES_MAX = 16 << 20
"""Bytes of the journal that are gone through at once."""

LIST_EVERY = 20
"""Empty polls after which the folder is looked at, in case a segment was left without an end."""

_NOTHING = bytes(len(RECORD_MAGIC_BYTES))


class JournalTail:
    """Hands over the records that touch `from_seq` or a later number, in order. One thread.

    `waiting` may be asked by any thread.
    """

    def __init__(self, folder: str | Path, from_seq: int = 1, *, disk: Disk | None = None) -> None:
        self._folder = str(folder)
        self._disk = disk or RealDisk()
        self._from_seq = from_seq
        self._segment: Segment | None = None
        self._file = -1
        self._offset = SEGMENT_HEADER_BYTES
        self._ordinal: int | None = None
        self._empty = 0

    def waiting(self) -> bool:
        """Say whether `poll` would have something to do; costs one small read."""
        if self._file < 0:
            return True
        try:
            ahead = self._disk.pread(self._file, len(_NOTHING), self._offset)
            if len(ahead) < len(_NOTHING):  # the segment is full: what follows is in a later one
                return self._later() is not None
            return ahead != _NOTHING
        except OSError:
            return True

    def poll(self) -> list[LogRecord]:
        """Return everything that follows what was returned before and is there by now.

        At most some `BYTES_MAX` at once. Payloads are views that keep what was read in memory.
        Raises `JournalTrimmed` where what follows is not there any more, and `OSError`.
        """
        records: list[LogRecord] = []
        left = BYTES_MAX
        while left > 0:
            later = self._later() if self._is_at_end() else None
            before = self._offset
            if self._file >= 0:
                records += self._read()
            left -= self._offset - before
            self._empty = 0 if self._offset > before else self._empty + 1
            if self._offset == before and (later is None or not self._go_on(later)):
                break
        return records

    def close(self) -> None:
        """Release the file. Idempotent."""
        file, self._file = self._file, -1
        if file >= 0:
            with contextlib.suppress(OSError):
                self._disk.close(file)

    def _is_at_end(self) -> bool:
        """Say whether the next record may stand in a later segment."""
        if self._file < 0 or self._empty % LIST_EVERY == LIST_EVERY - 1:
            return True
        ahead = self._disk.pread(self._file, len(_NOTHING), self._offset)
        return ahead not in (_NOTHING, RECORD_MAGIC_BYTES)

    def _later(self) -> tuple[str, int, int] | None:
        """Return (path, number, first seq) of the segment to go on with, None where there is none.

        Asked before the present one is read for the last time: what is written to it by then is
        not missed.
        """
        known = list_segments(self._disk, self._folder)
        if self._segment is not None:
            number = self._segment.number
            return next((item for item in known if item[1] > number), None)
        if known and known[0][2] > self._from_seq:
            raise JournalTrimmed(f"{self._folder} begins at {known[0][2]}, not {self._from_seq}")
        # A record without numbers may stand at the end of the segment before its number's.
        before = [item for item in known if item[2] < self._from_seq]
        return before[-1] if before else next(iter(known), None)

    def _go_on(self, later: tuple[str, int, int]) -> bool:
        """Open a segment; False where its header is still to be written."""
        segment = open_segment(self._disk, *later)
        if segment.ordinal is None or segment.header_fault:
            return False
        if self._ordinal is not None and segment.ordinal > self._ordinal:
            raise JournalTrimmed(f"records before {segment.path} are missing")
        self.close()
        self._segment, self._offset = segment, SEGMENT_HEADER_BYTES
        self._file = self._disk.open(segment.path)
        return True

    def _read(self) -> list[LogRecord]:
        assert self._segment is not None
        size, found = self._disk.size(self._file), list[LogRecord]()
        first, window = self._offset, POLL_BYTES
        while self._offset == first:
            until = min(size, first + window)
            scanner = Scanner(self._pread, self._segment.number, until)
            for item in scanner.scan_whole(first):
                self._offset = item.end
                if self._ordinal is not None and item.ordinal < self._ordinal:
                    continue  # it was written once more, behind a sync that failed
                self._ordinal = item.ordinal + 1
                if item.seq_first + max(item.count, 1) > self._from_seq:
                    record = LogRecord(item.kind, item.seq_first, item.count, item.payload)
                    found.append(record)
            if until == size or window > 1 << 32 or not self.waiting():
                break
            window *= 8
        return found

    def _pread(self, size: int, offset: int) -> bytes:
        return self._disk.pread(self._file, size, offset)
