"""The disk, passed in: a thin contract over the calls that the journal makes, and the real one.

Every call may raise `OSError`. Files are read with `pread`, not mapped: a page of a mapped file
that the disk cannot read, or that was cut off meanwhile, kills the process, where `pread` raises.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview

_ZEROS = bytes(1 << 20)


class Disk(Protocol):
    """What the journal asks of a disk. Paths are text, files are small integers."""

    def make_folder(self, path: str) -> None:
        """Create the folder and its parents; it may be there already."""
        ...

    def list_folder(self, path: str) -> list[str]:
        """Return the names in the folder, sorted; none where there is no such folder."""
        ...

    def create(self, path: str) -> int:
        """Create a file that must not be there yet and open it for reading and writing."""
        ...

    def open(self, path: str, *, write: bool = False) -> int:
        """Open a file that is there, for reading or for both."""
        ...

    def close(self, file: int) -> None:
        """Close a file."""
        ...

    def size(self, file: int) -> int:
        """Return the length of an open file, bytes."""
        ...

    def allocate(self, file: int, size: int) -> None:
        """Reserve space for `size` bytes, which read as zero."""
        ...

    def fill_zeros(self, file: int, size: int) -> None:
        """Write zeros over a reserved file, so that later writes change no metadata."""
        ...

    def pread(self, file: int, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset`; fewer only at the end of the file."""
        ...

    def pwritev(self, file: int, buffers: Sequence[Buffer], offset: int) -> int:
        """Write the buffers one after the other at `offset`; return how many bytes were taken."""
        ...

    def datasync(self, file: int) -> None:
        """Make the contents durable (`fdatasync`)."""
        ...

    def sync(self, file: int) -> None:
        """Make the contents and the metadata durable (`fsync`)."""
        ...

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        ...

    def truncate(self, file: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of whatever had that name."""
        ...

    def unlink(self, path: str) -> None:
        """Remove a name; open files live on."""
        ...


class RealDisk:
    """The operating system's disk."""

    def make_folder(self, path: str) -> None:
        """Create the folder and its parents; it may be there already."""
        os.makedirs(path, exist_ok=True)

    def list_folder(self, path: str) -> list[str]:
        """Return the names in the folder, sorted; none where there is no such folder."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []

    def create(self, path: str) -> int:
        """Create a file that must not be there yet and open it for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def open(self, path: str, *, write: bool = False) -> int:
        """Open a file that is there, for reading or for both."""
        return os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)

    def close(self, file: int) -> None:
        """Close a file."""
        os.close(file)

    def size(self, file: int) -> int:
        """Return the length of an open file, bytes."""
        return os.fstat(file).st_size

    def allocate(self, file: int, size: int) -> None:
        """Reserve space for `size` bytes, which read as zero."""
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
        else:
            os.ftruncate(file, size)

    def fill_zeros(self, file: int, size: int) -> None:
        """Write zeros over a reserved file, so that later writes change no metadata."""
        offset = 0
        while offset < size:
            offset += os.pwrite(file, _ZEROS[: size - offset], offset)

    def pread(self, file: int, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset`; fewer only at the end of the file."""
        data = os.pread(file, size, offset)
        while len(data) < size:
            more = os.pread(file, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def pwritev(self, file: int, buffers: Sequence[Buffer], offset: int) -> int:
        """Write the buffers one after the other at `offset`; return how many bytes were taken."""
        return os.pwritev(file, buffers, offset)

    def datasync(self, file: int) -> None:
        """Make the contents durable (`fdatasync`)."""
        getattr(os, "fdatasync", os.fsync)(file)

    def sync(self, file: int) -> None:
        """Make the contents and the metadata durable (`fsync`)."""
        os.fsync(file)

    def sync_folder(self, path: str) -> None:
        """Make the names in a folder durable."""
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def truncate(self, file: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        os.ftruncate(file, size)

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of whatever had that name."""
        os.replace(old, new)

    def unlink(self, path: str) -> None:
        """Remove a name; open files live on."""
        os.unlink(path)
