"""Everything that changes files goes through a `Disk`, so that a test can make any call fail."""

from __future__ import annotations

import io
import os
import zlib
from pathlib import Path
from typing import Any

BUFFER_BYTES = 1 << 20


class Sink(io.RawIOBase):
    """A file being written; knows the checksum of what went in. Not safe for several threads.

    Small writes are collected, because Parquet makes many of them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.crc32 = 0
        self.bytes_written = 0
        self._waiting = bytearray()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any) -> int:
        """Take all of `data`."""
        view = memoryview(data).cast("B")
        self.crc32 = zlib.crc32(view, self.crc32)
        self.bytes_written += len(view)
        self._waiting += view
        if len(self._waiting) >= BUFFER_BYTES:
            self.flush()
        return len(view)

    def flush(self) -> None:
        """Hand what was collected to the system."""
        if self._waiting:
            waiting, self._waiting = self._waiting, bytearray()
            self.put(memoryview(waiting))

    def put(self, view: memoryview) -> None:
        """Write all of `view`; a short write of the system is continued."""
        while view:
            view = view[os.write(self._fd, view) :]

    def tell(self) -> int:
        """Return how many bytes were written."""
        return self.bytes_written

    def sync(self) -> None:
        """Make what was written durable."""
        self.flush()
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; what was not synced may be lost. Idempotent."""
        if not self.closed:
            self._waiting.clear()
            os.close(self._fd)
        super().close()


class Disk:
    """The real disk. Raises `OSError` as the system does."""

    def create(self, path: Path) -> Sink:
        """Open a new file for writing; its folder must exist."""
        return Sink(path)

    def sync(self, sink: Sink) -> None:
        """Make a file durable."""
        sink.sync()

    def write_file(self, path: Path, data: bytes | memoryview) -> int:
        """Write a whole file durably and return its CRC-32."""
        with self.create(path) as sink:
            sink.write(data)
            self.sync(sink)
            return sink.crc32

    def replace(self, source: Path, target: Path) -> None:
        """Rename within one file system; the target is the old file or the new one, never a mix."""
        os.replace(source, target)

    def make_folder(self, path: Path) -> None:
        """Create a folder and those above it; make the entries durable."""
        if path.is_dir():
            return
        self.make_folder(path.parent)
        path.mkdir(exist_ok=True)
        self.sync_folder(path.parent)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is no fault."""
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        """Remove a folder if it is empty."""
        try:
            path.rmdir()
        except OSError:
            return
