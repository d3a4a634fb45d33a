"""A tap that writes files: on a thread of its own, so that no feed ever waits for the disk.

    opened, sent, received, answered, closed ─► queue (bounded) ─► lines ─► gzip ─► files, rotated

Once a second what is there is pushed through to the file, so that a crash costs a second. Where the
disk is too slow, records are left out and counted in the capture itself.
"""

from __future__ import annotations

import logging
import queue
import re
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tickplant.feeds.capture.records import (
    ANSWERED,
    CLOSED,
    LOST,
    MORE,
    OPENED,
    RECEIVED,
    SENT,
    SUFFIX,
    Header,
    Record,
    answer_data,
    encode_record,
)
from tickplant.feeds.venues.contract import Frame

_LOG = logging.getLogger(__name__)

_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 3  # text of JSON to a sixth, at more than 100 MB/s
_STOP = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How large files become, how old, and how much of one feed is kept; the oldest go first."""

    file_mb_max: float = 64.0
    file_s_max: float = 3_600.0
    total_mb_max: float = 4_096.0
    queue_mb_max: float = 64.0
    flush_s: float = 1.0


class CaptureWriter:
    """A `Tap` of one feed into a folder. `close` waits until everything is written."""

    def __init__(
        self,
        folder: Path,
        header: Header,
        *,
        clock: Callable[[], int],
        limits: Limits | None = None,
    ) -> None:
        self.records = 0
        self.dropped = 0
        self.failed: str | None = None
        self.paths: list[Path] = []
        self._folder = folder
        self._header = header
        self._clock = clock
        self._limits = limits or Limits()
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._bytes = 0
        self._lost = 0
        self._lock = threading.Lock()
        self._file: _File | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    # -- the tap -----------------------------------------------------------------------------------

    def opened(self, connection: int, at: int, url: str) -> None:
        """Note that a connection was opened."""
        self._put(Record(at, connection, OPENED, url))

    def sent(self, connection: int, at: int, data: str | bytes | None) -> None:
        """Note a frame that was sent."""
        kept = data.encode() if isinstance(data, str) else data
        self._put(Record(at, connection, SENT, kept))

    def received(self, connection: int, frames: Sequence[Frame]) -> None:
        """Note frames that came together."""
        kind = RECEIVED
        for frame in frames:
            self._put(Record(frame.ts_recv, connection, kind, bytes(frame.data)))
            kind = MORE

    def answered(
        self, at: int, path: str, params: Mapping[str, str], status: int, body: bytes
    ) -> None:
        """Note an answer over HTTP."""
        self._put(Record(at, 0, ANSWERED, answer_data(path, params, status, body)))

    def closed(self, connection: int, at: int, reason: str) -> None:
        """Note that a connection has ended."""
        self._put(Record(at, connection, CLOSED, reason))

    def close(self) -> None:
        """Write what waits and close the file. Idempotent."""
        self._queue.put(_STOP)
        self._thread.join()

    def _put(self, record: Record) -> None:
        size = _size(record)
        with self._lock:
            if self.failed is not None:
                return
            if self._bytes and self._bytes + size > self._limits.queue_mb_max * 2**20:
                self._lost += 1
                self.dropped += 1
                return
            lost, self._lost = self._lost, 0
            self._bytes += size
        if lost:
            self._queue.put(Record(record.ts, 0, LOST, lost))
        self._queue.put(record)

    # -- its thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._write(self._take()):
                pass
        except OSError as fault:
            with self._lock:
                self.failed = f"{type(fault).__name__}: {fault.strerror}"
            _LOG.exception("the capture of %s ends: its files cannot be written", self._header.feed)
        finally:
            if self._file is not None:
                self._file.close()

    def _take(self) -> Record | bool | None:
        """Return the next record, None for the end, True where nothing came for a while."""
        try:
            return self._queue.get(timeout=self._limits.flush_s)
        except queue.Empty:
            return True

    def _write(self, record: Record | bool | None) -> bool:
        if record is None:
            return False
        now = self._clock()
        if isinstance(record, Record):
            file = self._open_file(now)
            file.write(encode_record(record))
            self.records += 1
            with self._lock:
                self._bytes -= _size(record)
        if self._file is not None and self._file.is_due(now, self._limits):
            self._file.flush(now)
        return True

    def _open_file(self, now: int) -> _File:
        limits = self._limits
        file = self._file
        if file is not None and (
            file.size > limits.file_mb_max * 2**20 or now - file.began > limits.file_s_max * 1e9
        ):
            file.close()
            file = None
        if file is None:
            header = msgspec.structs.replace(self._header, began=now, part=len(self.paths) + 1)
            self._drop_oldest()
            path = self._folder / f"{header.feed}-{_stamp(now)}-{header.part:04d}{SUFFIX}"
            file = self._file = _File(path, msgspec.json.encode(header) + b"\n", now)
            self.paths.append(path)
        return file

    def _drop_oldest(self) -> None:
        mine = re.compile(
            re.escape(self._header.feed) + r"-\d{8}T\d{6}\.\d+Z-\d+" + re.escape(SUFFIX)
        )
        kept = sorted(path for path in self._folder.iterdir() if mine.fullmatch(path.name))
        sizes = [path.stat().st_size for path in kept]
        room = (self._limits.total_mb_max - self._limits.file_mb_max) * 2**20
        while kept and sum(sizes) > max(room, 0):
            kept.pop(0).unlink(missing_ok=True)
            sizes.pop(0)


class _File:
    """One file that is written to."""

    def __init__(self, path: Path, head: bytes, now: int) -> None:
        self.began = self._flushed = now
        self.size = 0
        self._file = path.open("xb")
        self._packer = zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._pending = False
        self.write(head)
        self.flush(now)

    def write(self, line: bytes) -> None:
        self.size += self._file.write(self._packer.compress(line))
        self._pending = True

    def is_due(self, now: int, limits: Limits) -> bool:
        return self._pending and abs(now - self._flushed) >= limits.flush_s * 1e9

    def flush(self, now: int) -> None:
        """Push everything through to the operating system."""
        self.size += self._file.write(self._packer.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()
        self._flushed, self._pending = now, False

    def close(self) -> None:
        self._file.write(self._packer.flush())
        self._file.close()


def _size(record: Record) -> int:
    data = record.data
    found = data["body"] if isinstance(data, dict) else data
    return 64 + (len(found) if isinstance(found, bytes | str) else 0)


def _stamp(now: int) -> str:
    return datetime.fromtimestamp(now / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%fZ")
