"""Walking the segments of a folder as the one log that they are.

Every record has an ordinal; the walk yields each ordinal once, in order, and names what is
missing. A stretch that is damaged is reported together with the sequence numbers that turn out
to be lost by it, which the next whole record tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tickplant.log.contract import LogRecord
from tickplant.log.disk import Disk
from tickplant.log.folder import JournalTrimmed, Segment
from tickplant.log.scan import Broken, Scanner, Whole
from tickplant.log.segment import SEGMENT_HEADER_BYTES

OnRecords = Callable[[Sequence[LogRecord]], object]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at `offset .. end` of a segment, and which numbers are lost by it.

    `seq_from .. seq_to` are None where none is; `seq_to` alone is None where nobody can say how
    many. `tail`: no whole record follows, in this segment or a later one. `readable`: the disk
    could read all of it, so it will not be whole at another try. `harmless`: no record is affected.
    """

    segment: Segment
    offset: int
    end: int
    what: str
    seq_from: int | None = None
    seq_to: int | None = None
    tail: bool = False
    readable: bool = True
    harmless: bool = False


class Chain:
    """Walks segments once, in order. `seq_next` and `ordinal_next` are those after the walk."""

    def __init__(
        self, disk: Disk, segments: Sequence[Segment], on_fault: Callable[[Fault], None]
    ) -> None:
        self._disk = disk
        self._segments = segments
        self._on_fault = on_fault
        self._pending: list[Fault] = []
        self.seq_next: int | None = None
        self.ordinal_next: int | None = None
        self.records = 0
        self.segment: Segment | None = None
        self.kinds: set[int] = set()  # of the records that `check` met
        self._on_records: OnRecords | None = None
        self._all_records = False

    def check(
        self,
        from_seq: int | None = None,
        *,
        on_records: OnRecords | None = None,
        on_unnumbered: OnRecords | None = None,
    ) -> None:
        """Walk everything from `from_seq` or a little before it, note what the segments hold.

        Several times faster than `walk` where records are small and nothing is wrong.
        `on_records` is handed every record once, in order, some at a time; `on_unnumbered`, in its
        place, those that cover no sequence number. Payloads as in `walk`.
        """
        tell = self._on_records = on_records or on_unnumbered
        self._all_records = on_records is not None
        for item in self._walk(from_seq, False, checking=True):
            assert self.segment is not None
            self.segment.note(item.seq_first, item.count, item.ordinal, item.offset, item.end)
            self.kinds.add(item.kind)
            if tell is not None and (self._all_records or not item.count):
                tell([LogRecord(item.kind, item.seq_first, item.count, item.payload)])

    def walk(self, from_seq: int | None = None, *, growing: bool = False) -> Iterator[Whole]:
        """Yield every record once, from `from_seq` or a little before it.

        With `growing` the last segment is being written to by someone: the walk ends without a
        word at its first record that is not whole. Raises `JournalTrimmed`.
        """
        return self._walk(from_seq, growing, checking=False)

    def _walk(self, from_seq: int | None, growing: bool, *, checking: bool) -> Iterator[Whole]:
        limits = self._ordinal_limits()
        for index, segment in enumerate(self._segments):
            last = index == len(self._segments) - 1
            offset = SEGMENT_HEADER_BYTES
            if index == 0:
                seq, ordinal, offset = segment.place_before(from_seq if from_seq else 0)
                self.seq_next, self.ordinal_next = seq, ordinal
            yield from self._walk_segment(
                segment, offset, limits[index], last, last and growing, checking
            )
        for fault in self._pending:
            self._report(fault, self.seq_next, None, tail=True)

    def _ordinal_limits(self) -> list[int | None]:
        """Return for each segment the ordinal from which on later segments supersede it."""
        limits: list[int | None] = []
        limit: int | None = None
        for segment in reversed(self._segments):
            limits.append(limit)
            if segment.ordinal is not None:
                limit = segment.ordinal if limit is None else min(limit, segment.ordinal)
        return limits[::-1]

    def _walk_segment(
        self,
        segment: Segment,
        offset: int,
        limit: int | None,
        last: bool,
        growing: bool,
        checking: bool,
    ) -> Iterator[Whole]:
        try:
            file = self._disk.open(segment.path)
        except FileNotFoundError as error:
            raise JournalTrimmed(f"{segment.path} was trimmed") from error
        except OSError as error:
            what = f"the segment cannot be opened ({error.strerror or error})"
            self._pending.append(Fault(segment, 0, segment.end, what, readable=False))
            return
        found = self.records
        self.segment = segment
        try:
            disk = self._disk
            scanner = Scanner(
                lambda size, at: disk.pread(file, size, at), segment.number, segment.end
            )
            if checking:
                offset = self._check_run(segment, scanner, offset, limit)
            items = scanner.scan_whole(offset) if growing else scanner.scan(offset)
            for item in items:
                if isinstance(item, Broken):
                    self._take_broken(segment, item, scanner)
                elif limit is not None and item.ordinal >= limit:
                    break
                elif self._take(segment, item):
                    yield item
        finally:
            self._disk.close(file)
        if not growing:
            self._check_ends(segment, last, scanner.closed, found < self.records)

    def _check_run(self, segment: Segment, scanner: Scanner, offset: int, limit: int | None) -> int:
        """Take the records from `offset` on that leave nothing to say; return where they end."""
        while not self._pending and self.ordinal_next is not None and self.seq_next is not None:
            ordinal, seq = self.ordinal_next, self.seq_next
            found: list[LogRecord] = []
            run = scanner.run(offset, ordinal, seq, found, all_records=self._all_records)
            if not run.records or (limit is not None and run.ordinal_next > limit):
                break
            if self._on_records is not None and found:
                self._on_records(found)
            segment.note_run(seq, ordinal, offset, run.end, run.seq_touch)
            self.seq_next, self.ordinal_next = run.seq_next, run.ordinal_next
            self.records += run.records
            offset = run.end
        self.kinds |= scanner.kinds
        return offset

    def _take_broken(self, segment: Segment, item: Broken, scanner: Scanner) -> None:
        fault = Fault(
            segment,
            item.offset,
            item.end,
            item.what,
            readable=not scanner.unreadable,
            harmless=item.intact,
        )
        if item.intact:
            self._on_fault(fault)
        else:
            self._pending.append(fault)

    def _take(self, segment: Segment, item: Whole) -> bool:
        """Check the numbers of a whole record; say whether it is the next one."""
        seq, ordinal = self.seq_next, self.ordinal_next
        if ordinal is not None and item.ordinal < ordinal:
            return False
        missing = ordinal is not None and item.ordinal > ordinal
        if ordinal is None and seq is not None:
            missing = item.seq_first > seq
        if missing and not self._pending:
            at_start = item.offset == SEGMENT_HEADER_BYTES
            what = "segments are missing before this one" if at_start else "records are missing"
            self._pending.append(Fault(segment, item.offset, item.offset, what))
        for fault in self._pending:
            self._report(fault, seq if missing else None, item.seq_first - 1)
            missing = False
        self._pending.clear()
        self.seq_next = item.seq_first + item.count
        self.ordinal_next = item.ordinal + 1
        self.records += 1
        return True

    def _report(
        self, fault: Fault, seq_from: int | None, seq_to: int | None, *, tail: bool = False
    ) -> None:
        if seq_from is None or (seq_to is not None and seq_to < seq_from):
            seq_from = seq_to = None
        self._on_fault(replace(fault, seq_from=seq_from, seq_to=seq_to, tail=tail))

    def _check_ends(self, segment: Segment, last: bool, closed: bool, records: bool) -> None:
        if segment.header_fault and records:
            fault = Fault(segment, 0, SEGMENT_HEADER_BYTES, segment.header_fault, harmless=True)
            self._on_fault(fault)
        elif segment.header_fault and not segment.blank:
            end = min(segment.end, SEGMENT_HEADER_BYTES)
            fault = Fault(segment, 0, end, segment.header_fault, readable=segment.header_read)
            self._pending.insert(0, fault)
        cut = segment.allocated is not None and segment.end < segment.allocated
        if last and cut and not closed and not self._pending:
            what = "the file is shorter than allocated and has no end mark: it was cut"
            self._pending.append(Fault(segment, segment.end, segment.end, what))


def select(items: Iterable[Whole], from_seq: int, to_seq: int | None) -> Iterator[LogRecord]:
    """Yield the records that touch `from_seq <= seq <= to_seq`."""
    for item in items:
        if to_seq is not None and item.seq_first > to_seq:
            return
        if item.seq_first + max(item.count, 1) > from_seq:
            yield LogRecord(item.kind, item.seq_first, item.count, item.payload)
