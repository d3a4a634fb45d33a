"""The segment files of a folder: which there are, what their headers say, where records stand."""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from tickplant.log.disk import Disk
from tickplant.log.scan import Scanner
from tickplant.log.segment import SEGMENT_HEADER_BYTES, parse_name, parse_segment_header
from tickplant.model.errors import PassingError

INDEX_STEP_BYTES = 1 << 20


class JournalTrimmed(PassingError):
    """A segment was trimmed before it was read: its numbers are in the archive by now.

    Read the archive's manifest again, then the journal from there on.
    """

    title = "Journal trimmed"


@dataclass(slots=True)
class Segment:
    """One segment file. Reading stops at `end`; `seq_touch` bounds the numbers of its records.

    `data_end` is behind its last whole record, as far as it was walked or written.

    `ordinal` is that of its first record and `allocated` its first size, None where the header is
    damaged (`header_fault` says how, `header_read` whether it could be read, `blank` that it is all
    zeros). `places` are (first seq,
    ordinal, offset) of a record in every MiB or so, in order.
    """

    path: str
    number: int
    seq_first: int
    end: int
    seq_touch: int
    data_end: int = SEGMENT_HEADER_BYTES
    ordinal: int | None = None
    allocated: int | None = None
    header_fault: str | None = None
    header_read: bool = True
    blank: bool = False
    places: list[tuple[int, int, int]] = field(default_factory=list)

    def note(self, seq_first: int, count: int, ordinal: int, offset: int, end: int) -> None:
        """Remember that a record stands at `offset .. end`."""
        self.note_run(seq_first, ordinal, offset, end, seq_first + max(count, 1) - 1)

    def note_run(self, seq_first: int, ordinal: int, offset: int, end: int, seq_touch: int) -> None:
        """Remember that records stand at `offset .. end`, the first with these numbers."""
        self.data_end = end
        self.seq_touch = max(self.seq_touch, seq_touch)
        if not self.places or offset - self.places[-1][2] >= INDEX_STEP_BYTES:
            self.places.append((seq_first, ordinal, offset))

    def place_before(self, seq: int) -> tuple[int, int | None, int]:
        """Return (seq, ordinal, offset) of a record before the first one that touches `seq`."""
        best: tuple[int, int | None, int] = (self.seq_first, self.ordinal, SEGMENT_HEADER_BYTES)
        for place in self.places:
            if place[0] >= seq:
                break
            best = place
        return best


def list_segments(disk: Disk, folder: str) -> list[tuple[str, int, int]]:
    """Return (path, number, first seq) of each segment of the folder, in order of numbers."""
    names = ((name, parse_name(name)) for name in disk.list_folder(folder))
    return sorted(
        ((f"{folder}/{name}", *parsed) for name, parsed in names if parsed),
        key=lambda item: item[1:],
    )


def open_segment(disk: Disk, path: str, number: int, seq_first: int) -> Segment:
    """Return a segment as its file and header show it.

    Raises `JournalTrimmed` where it is gone.
    """
    segment = Segment(path, number, seq_first, end=0, seq_touch=seq_first)
    data = b""
    try:
        file = disk.open(path)
        try:
            segment.end = disk.size(file)
            data = disk.pread(file, SEGMENT_HEADER_BYTES, 0)
        finally:
            disk.close(file)
    except FileNotFoundError as error:
        raise JournalTrimmed(f"{path} was trimmed") from error
    except OSError as error:
        segment.header_fault = f"the segment's header cannot be read ({error.strerror or error})"
        segment.header_read = False
        return segment
    header = parse_segment_header(data)
    if header is not None and header.number == number:
        segment.ordinal, segment.allocated = header.ordinal, header.allocated
    else:
        segment.blank = len(data) == SEGMENT_HEADER_BYTES and not any(data)
        segment.header_fault = "the segment's header does not hold"
        segment.ordinal = _first_ordinal(disk, segment)
    return segment


def _first_ordinal(disk: Disk, segment: Segment) -> int | None:
    """Return what the lost header said of the first record, if that one is whole."""
    with contextlib.suppress(OSError):
        file = disk.open(segment.path)
        try:
            scanner = Scanner(
                lambda size, at: disk.pread(file, size, at), segment.number, segment.end
            )
            first = next(scanner.scan_whole(SEGMENT_HEADER_BYTES), None)
            return first.ordinal if first else None
        finally:
            disk.close(file)
    return None


def skip_below(segments: Sequence[Segment], from_seq: int) -> Sequence[Segment]:
    """Return the segments without those at the start that hold nothing from `from_seq` on.

    A record without numbers may stand at the end of the segment before its number's.
    """
    start = bisect.bisect_left(segments, from_seq, key=lambda segment: segment.seq_first)
    return segments[max(start - 1, 0) :]
