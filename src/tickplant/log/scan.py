"""Reading one segment: every record that is whole, and every stretch that is not.

The file is read in windows. Where a record does not hold, the length it claims is not trusted:
the next record is searched for at every multiple of 8 bytes, and taken only when its checksum,
its own offset and its segment's number hold. So a damaged length costs one record and no more.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tickplant.log.contract import LogRecord
from tickplant.log.segment import (
    ALIGN,
    END_BYTES,
    RECORD_HEADER,
    RECORD_HEADER_BYTES,
    RECORD_MAGIC,
    RECORD_MAGIC_BYTES,
    encode_end,
)

WINDOW_BYTES = 4 << 20
_PAGE_BYTES = 4096
_ZEROS = memoryview(bytes(WINDOW_BYTES))

ReadAt = Callable[[int, int], bytes]
"""Returns up to `size` bytes from `offset`, fewer only at the end: `read_at(size, offset)`."""

UNREADABLE = "the disk cannot read it"


class Whole(NamedTuple):
    """A record whose checksum holds, at `offset .. end` of its segment.

    `payload` is a view of the window it was read in; the window lives as long as the view does.
    """

    offset: int
    end: int
    kind: int
    seq_first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    ordinal: int
    batch: int
    payload: memoryview


class Broken(NamedTuple):
    """A stretch `offset .. end` of a segment that holds no whole record, and why.

    `tail` says that no whole record follows in the segment; `intact` that no record is affected,
    which is so for bytes behind a payload that should be zero.
    """

    offset: int
    end: int
    what: str
    tail: bool = False
    intact: bool = False


class Run(NamedTuple):
    """Whole records in a row: where they end, the numbers that follow, the last that is touched."""

    end: int
    ordinal_next: int
    seq_next: int
    seq_touch: int
    records: int


class Scanner:
    """Scans one segment of `size` bytes; one use, one thread."""

    def __init__(self, read_at: ReadAt, segment: int, size: int) -> None:
        self._read_at = read_at
        self._segment = segment & 0xFFFF_FFFF
        self._size = size
        self._base = 0  # where the window begins; it ends at a multiple of ALIGN or the file's end
        self._bytes = b""
        self._window = memoryview(b"")
        self.closed = False  # an end mark was met
        self.unreadable = False  # the disk refused somewhere, so what follows may be whole
        self.kinds: set[int] = set()  # of the records that `run` met

    def scan(self, offset: int) -> Iterator[Whole | Broken]:
        """Yield what is found from `offset` on, in order of offsets, without gaps.

        Ends without a word at zeros that reach to the end of the file, and at an end mark.
        """
        while True:
            what = None
            for item in self._scan_whole(offset):
                if isinstance(item, str):
                    what = item
                    break
                yield item
                offset = item.end
            if what is None or self._is_clean_end(offset):
                return
            following = self._find_whole(offset + ALIGN)
            if following is None:
                yield Broken(offset, self._size, what, tail=True)
                return
            yield Broken(offset, following, what)
            offset = following

    def run(
        self, offset: int, ordinal: int, seq: int, found: list[LogRecord], *, all_records: bool
    ) -> Run:
        """Return how far whole records follow one another from `offset` on, within one window.

        The first has to have these numbers. Does what `scan` does for the case that nothing is
        wrong, without an object for each record, except for those that are added to `found`: all,
        or those that cover no sequence number.
        """
        first, count, begin = ordinal, 1, offset
        self._bytes = b""  # the last window ended within a record
        if offset >= self._size or not self._load(offset, RECORD_HEADER_BYTES):
            return Run(offset, ordinal, seq, seq, 0)
        segment, unpack, crc32 = self._segment, RECORD_HEADER.unpack_from, zlib.crc32
        window, base, add_kind = self._window, self._base, self.kinds.add
        size = len(window)
        at, last = offset - base, size - RECORD_HEADER_BYTES
        while at <= last:
            magic, crc, length, covers, number, order, place, _, owner, kind, zero = unpack(
                window, at
            )
            stop = at + RECORD_HEADER_BYTES + length
            if stop > size or magic != RECORD_MAGIC or crc != crc32(window[at + 8 : stop]):
                break
            if order != ordinal or number != seq or owner != segment or zero:
                break
            end = stop + ALIGN - 1 & -ALIGN
            if place * ALIGN != base + at or (end > stop and any(self._bytes[stop:end])):
                break
            if end > size:
                break
            add_kind(kind)
            if all_records or not covers:
                payload = window[at + RECORD_HEADER_BYTES : stop]
                found.append(LogRecord(kind, number, covers, payload))
            at, ordinal, seq, count = end, ordinal + 1, seq + covers, covers
        touch = max(seq - 1, seq if count == 0 else 0)
        return Run(base + at if ordinal > first else begin, ordinal, seq, touch, ordinal - first)

    def scan_whole(self, offset: int) -> Iterator[Whole]:
        """Yield whole records from `offset` on; end without a word at the first that is not."""
        for item in self._scan_whole(offset):
            if isinstance(item, str):
                return
            if isinstance(item, Whole):
                yield item

    def _scan_whole(self, offset: int) -> Iterator[Whole | Broken | str]:
        """Yield records up to the first that is not whole, then say why it is not."""
        segment, unpack, crc32 = self._segment, RECORD_HEADER.unpack_from, zlib.crc32
        need = RECORD_HEADER_BYTES
        while offset < self._size:
            if not self._load(offset, need):
                yield "the file ends within a record" if self._window else UNREADABLE
                return
            window, base = self._window, self._base
            limit = base + len(window) - RECORD_HEADER_BYTES
            need = RECORD_HEADER_BYTES
            while offset <= limit:
                at = offset - base
                magic, crc, length, count, seq, ordinal, place, batch, number, kind, zero = unpack(
                    window, at
                )
                start = at + RECORD_HEADER_BYTES
                stop = start + length
                end = base + (stop + ALIGN - 1 & -ALIGN)
                if magic != RECORD_MAGIC:
                    yield "no record begins here"
                    return
                if base + stop > self._size:
                    yield "the record reaches beyond the end of the file"
                    return
                if stop > len(window):
                    need = end - offset
                    break
                if crc != crc32(window[at + 8 : stop]):
                    yield "the record's checksum does not hold"
                    return
                if place * ALIGN != offset or number != segment or zero:
                    yield "the record belongs to another place"
                    return
                yield Whole(
                    offset, end, kind, seq, count, ordinal, batch * ALIGN, window[start:stop]
                )
                if length % ALIGN and window[stop : end - base] != _ZEROS[: end - base - stop]:
                    yield Broken(base + stop, end, "padding is not 0 or cut off", intact=True)
                offset = end

    def _load(self, offset: int, need: int) -> bool:
        """Make the window hold `need` bytes from `offset`, or as many as the segment has.

        Says whether there is a header's worth; leaves an empty window where the disk refused.
        """
        want = min(need, self._size - offset)
        have = self._base + len(self._bytes) - offset
        if offset < self._base or have < want:
            self._bytes = self._read(offset, want)
            self._window = memoryview(self._bytes)
            self._base = offset
            have = len(self._bytes)
        return have >= want and have >= RECORD_HEADER_BYTES

    def _read(self, offset: int, want: int) -> bytes:
        size = min(max(want + -want % ALIGN, WINDOW_BYTES), self._size - offset)
        try:
            return self._read_at(size, offset)
        except OSError:
            self.unreadable = True
        try:  # one bad sector must not take the good ones of its window with it
            return self._read_at(max(want, _PAGE_BYTES - offset % _PAGE_BYTES), offset)
        except OSError:
            return b""

    def _find_whole(self, offset: int) -> int | None:
        """Return where the next whole record begins, from `offset` on."""
        while offset + RECORD_HEADER_BYTES <= self._size:
            if not self._load(offset, RECORD_HEADER_BYTES):
                if self._bytes:
                    return None
                offset += _PAGE_BYTES - offset % _PAGE_BYTES
                continue
            end = self._base + len(self._bytes)
            found = self._bytes.find(RECORD_MAGIC_BYTES, offset - self._base)
            if found < 0:
                offset = end + -end % ALIGN
                continue
            offset = self._base + found
            if offset % ALIGN == 0 and isinstance(next(self._scan_whole(offset), None), Whole):
                return offset
            offset += ALIGN - offset % ALIGN
        return None

    def _is_clean_end(self, offset: int) -> bool:
        """Say whether an end mark stands at `offset`, or zeros from there to the end."""
        if not self._load(offset, RECORD_HEADER_BYTES) and not self._bytes:
            return offset == self._size
        at = offset - self._base
        if self._bytes[at : at + END_BYTES] == encode_end(self._segment, offset):
            self.closed = True
            return True
        while offset < self._size:
            self._load(offset, 1)
            rest = self._window[offset - self._base :]
            if not rest or rest != _zeros(len(rest)):
                return False
            offset += len(rest)
        return True


def _zeros(size: int) -> memoryview:
    return _ZEROS[:size] if size <= WINDOW_BYTES else memoryview(bytes(size))
