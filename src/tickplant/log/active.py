"""The segment that is written to, and the spare one that is prepared ahead of it."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Sequence

from tickplant.log.contract import LogRecord
from tickplant.log.disk import Buffer, Disk
from tickplant.log.folder import Segment
from tickplant.log.segment import (
    SEGMENT_HEADER_BYTES,
    encode_end,
    encode_record_header,
    encode_segment_header,
    padding,
    record_size,
)

_BUFFERS_MAX = 512  # of one call; systems allow 1024
_JOIN_BYTES = 8192  # buffers that are smaller than this on average are joined before the call


def write_all(disk: Disk, file: int, buffers: Sequence[Buffer], offset: int) -> int:
    """Write all buffers at `offset`, in as few calls as possible; return the offset behind them.

    Raises `OSError` where the disk takes no more.
    """
    for start in range(0, len(buffers), _BUFFERS_MAX):
        group = list(buffers[start : start + _BUFFERS_MAX])
        size = sum(map(len, group))
        if size < _JOIN_BYTES * len(group):
            group = [b"".join(group)]
        while size:
            taken = disk.pwritev(file, group, offset)
            if taken <= 0:
                raise OSError(errno.EIO, "the disk took no bytes")
            offset += taken
            size -= taken
            if size:
                group = _behind(group, taken)
    return offset


def _behind(buffers: list[Buffer], taken: int) -> list[Buffer]:
    """Return what is left of the buffers after `taken` bytes."""
    for index, buffer in enumerate(buffers):
        if taken < len(buffer):
            return [memoryview(buffer)[taken:], *buffers[index + 1 :]]
        taken -= len(buffer)
    return []


def finish(disk: Disk, file: int, number: int, end: int) -> None:
    """Put an end mark at `end` of a segment and cut the file behind it; does not sync."""
    mark = encode_end(number, end)
    write_all(disk, file, [mark], end)
    disk.truncate(file, end + len(mark))


def prepare(disk: Disk, path: str, size: int, *, fill: bool) -> int:
    """Create a file of `size` zeros that is durable, and open it.

    With `fill` the zeros are written, not only reserved: a sync of data that is written over
    them then has no metadata to write, which halves its time.
    """
    file = disk.create(path)
    try:
        disk.allocate(file, size)
        if fill:
            disk.fill_zeros(file, size)
        disk.sync(file)
    except BaseException:
        disk.close(file)
        with contextlib.suppress(OSError):
            disk.unlink(path)
        raise
    return file


class ActiveSegment:
    """A segment that is written to. Owned by the writer's thread."""

    def __init__(
        self, disk: Disk, file: int, segment: Segment, *, size: int, created_ns: int
    ) -> None:
        self._disk = disk
        self._file = file
        self.ordinal_next = segment.ordinal or 1
        self._head = encode_segment_header(
            segment.number, segment.seq_first, self.ordinal_next, created_ns, size
        )
        self._notes: list[tuple[int, int, int, int, int]] = []
        self._size = size
        self.segment = segment

    @property
    def room(self) -> int:
        """Bytes that are left for records."""
        return self._size - self.segment.data_end

    def write(self, records: Sequence[LogRecord]) -> None:
        """Write the records, which must fit, behind the last one.

        Raises `OSError`. Until `commit`, nothing of it counts as written.
        """
        batch = offset = self.segment.data_end
        start = 0 if self._head else offset
        buffers: list[Buffer] = [self._head] if self._head else []
        self._notes = []
        for ordinal, record in enumerate(records, self.ordinal_next):
            payload = record.payload
            head = encode_record_header(
                kind=record.kind,
                seq_first=record.seq_first,
                count=record.count,
                payload=payload,
                ordinal=ordinal,
                segment=self.segment.number,
                offset=offset,
                batch=batch,
            )
            end = offset + record_size(len(payload))
            self._notes.append((record.seq_first, record.count, ordinal, offset, end))
            buffers += (head, payload, padding(len(payload)))
            offset = end
        write_all(self._disk, self._file, buffers, start)

    def sync(self) -> None:
        """Make durable what was written; raises `OSError`."""
        self._disk.datasync(self._file)

    def commit(self) -> None:
        """Count what was written last as part of the segment; readers see it from now on."""
        self._head = b""
        self.ordinal_next += len(self._notes)
        for note in self._notes:
            self.segment.note(*note)
        self.segment.end = self.segment.data_end

    def close(self, *, sync: bool) -> None:
        """Cut the file behind its last record and release it, as far as the disk allows.

        Every record that counts is durable already. A segment without one is removed.
        """
        disk, segment = self._disk, self.segment
        with contextlib.suppress(OSError):
            if segment.data_end > SEGMENT_HEADER_BYTES:
                finish(disk, self._file, segment.number, segment.data_end)
                if sync:
                    disk.sync(self._file)
            else:
                disk.unlink(segment.path)
        with contextlib.suppress(OSError):
            disk.close(self._file)


class Spare:
    """Keeps one prepared segment file ready, made by a thread of its own.

    `take` hands it over or, where there is none, returns None. A failure is not reported: the
    writer then makes its own file and meets the same disk.
    """

    def __init__(self, disk: Disk, folder: str, size: int, suffix: str) -> None:
        self._disk = disk
        self._folder = folder
        self._size = size
        self._suffix = suffix
        self._made = 0
        self._ready: tuple[str, int] | None = None
        self._wanted = threading.Event()
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="journal-spare", daemon=True)
        self._thread.start()

    def want(self) -> None:
        """Ask for a spare to be prepared, unless one is ready."""
        self._wanted.set()

    def take(self) -> tuple[str, int] | None:
        """Return (path, file) of the spare, which is the caller's now, or None."""
        with self._lock:
            ready, self._ready = self._ready, None
        return ready

    def stop(self) -> None:
        """End the thread and remove the spare."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()
        ready = self.take()
        if ready:
            with contextlib.suppress(OSError):
                self._disk.close(ready[1])
            with contextlib.suppress(OSError):
                self._disk.unlink(ready[0])

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._stopping:
                return
            if self._ready is not None:
                continue
            self._made += 1
            path = f"{self._folder}/spare-{self._made:08d}{self._suffix}"
            with contextlib.suppress(OSError):
                file = prepare(self._disk, path, self._size, fill=True)
                with self._lock:
                    self._ready = (path, file)
