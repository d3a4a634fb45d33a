"""A disk in memory that can refuse, tear and forget, for the journal's tests.

Contents become durable by a sync of the file, names by a sync of the folder. A crash keeps what
is durable and a random part of the rest, sector by sector and in any order. A sync that fails
forgets some of what it should have written, and later syncs do not bring it back, as Linux does.
"""

import errno
import os
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

SECTOR = 64  # small, so that small records tear too

Files = Mapping[str, bytes]
Faults = Mapping[tuple[str, int], int | str]
NameChange = Callable[[dict[str, "File"]], object]


class File:
    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = bytearray(data)
        self.dirty = set()

    def touch(self, start: int, stop: int) -> None:
        self.dirty.update(range(start // SECTOR, (stop + SECTOR - 1) // SECTOR))

    def flush(self, sectors: Iterable[int]) -> BaseException | None:
        for sector in sectors:
            at = slice(sector * SECTOR, (sector + 1) * SECTOR)
            self.durable[at] = self.data[at]

    def resize(self, data: bytearray, size: int) -> None:
        del data[size:]
        data.extend(bytes(size - len(data)))


class FakeDisk:
    """`faults` maps (operation, its how manyth call from 0) to an errno, or to "short"."""

    def __init__(
        self, files: Files | None = None, faults: Faults | None = None, seed: int = 0
    ) -> None:
        self.names = {path: File(data) for path, data in (files or {}).items()}
        self.durable_names = dict(self.names)
        self.name_changes = []
        self.handles = {}
        self.next_handle = 1
        self.faults = dict(faults or {})
        self.calls = {}
        self.log = []
        self.random = random.Random(seed)
        self.lock = threading.RLock()
        self.before = lambda operation: None

    # ---- for the tests

    def image(self) -> Files:
        """Return the files as a reader sees them now."""
        with self.lock:
            return {path: bytes(file.data) for path, file in self.names.items()}

    def crash(self) -> Files:
        """Return the files as they may be after a power cut now."""
        with self.lock:
            names = dict(self.durable_names)
            for change in self.name_changes[: self.random.randint(0, len(self.name_changes))]:
                change(names)
            return {path: self._survivor(file) for path, file in names.items()}

    def _survivor(self, file: File) -> bytes:
        copy = File(file.durable)
        copy.data = bytearray(file.data)
        size = self.random.choice([len(file.durable), len(file.data)])
        keep = self.random.choice([0.0, 0.3, 0.8, 1.0])
        copy.resize(copy.durable, max(size, len(file.data)))
        copy.flush(s for s in sorted(file.dirty) if self.random.random() < keep)
        copy.resize(copy.durable, size)
        return bytes(copy.durable)

    def _enter(self, operation: str) -> int | str | None:
        self.before(operation)
        count = self.calls.get(operation, 0)
        self.calls[operation] = count + 1
        self.log.append(operation)
        fault = self.faults.get((operation, count))
        if isinstance(fault, int) and operation not in ("pwritev", "datasync", "sync"):
            raise OSError(fault, os.strerror(fault))
        return fault

    def _change_names(self, change: NameChange) -> None:
        change(self.names)
        self.name_changes.append(change)

    # ---- the contract

    def make_folder(self, path: str) -> None:
        pass

    def list_folder(self, path: str) -> list[str]:
        with self.lock:
            start = path + "/"
            names = (p[len(start) :] for p in self.names if p.startswith(start))
            return sorted(name for name in names if "/" not in name)

    def create(self, path: str) -> int:
        with self.lock:
            self._enter("create")
            if path in self.names:
                raise FileExistsError(errno.EEXIST, path)
            file = File()
            self._change_names(lambda names: names.__setitem__(path, file))
            return self._handle(file)

    def open(self, path: str, *, write: bool = False) -> int:
        with self.lock:
            self._enter("open_write" if write else "open")
            if path not in self.names:
                raise FileNotFoundError(errno.ENOENT, path)
            return self._handle(self.names[path])

    def _handle(self, file: File) -> int:
        self.next_handle += 1
        self.handles[self.next_handle] = file
        return self.next_handle

    def close(self, file: int) -> None:
        with self.lock:
            del self.handles[file]

    def size(self, file: int) -> int:
        with self.lock:
            return len(self.handles[file].data)

    def allocate(self, file: int, size: int) -> None:
        with self.lock:
            self._enter("allocate")
            self.handles[file].resize(self.handles[file].data, size)

    def fill_zeros(self, file: int, size: int) -> None:
        with self.lock:
            self._enter("fill_zeros")

    def pread(self, file: int, size: int, offset: int) -> bytes:
        with self.lock:
            self._enter("pread")
            return bytes(self.handles[file].data[offset : offset + size])

    def pwritev(self, file: int, buffers: Sequence[bytes], offset: int) -> int:
        with self.lock:
            fault = self._enter("pwritev")
            data = b"".join(buffers)
            if fault is not None:
                data = data[: self.random.randint(1, len(data))]
            target = self.handles[file]
            target.resize(target.data, max(len(target.data), offset + len(data)))
            target.data[offset : offset + len(data)] = data
            target.touch(offset, offset + len(data))
            if isinstance(fault, int):
                raise OSError(fault, os.strerror(fault))
            return len(data)

    def datasync(self, file: int) -> None:
        self._sync(file, "datasync")

    def sync(self, file: int) -> None:
        self._sync(file, "sync")

    def _sync(self, file: int, operation: str) -> None:
        with self.lock:
            fault = self._enter(operation)
            target = self.handles[file]
            if fault is not None:
                target.dirty = {s for s in sorted(target.dirty) if self.random.random() < 0.5}
                raise OSError(fault, os.strerror(fault))
            target.resize(target.durable, len(target.data))
            target.flush(target.dirty)
            target.dirty.clear()

    def sync_folder(self, path: str) -> None:
        with self.lock:
            self._enter("sync_folder")
            for change in self.name_changes:
                change(self.durable_names)
            self.name_changes.clear()

    def truncate(self, file: int, size: int) -> None:
        with self.lock:
            self._enter("truncate")
            self.handles[file].resize(self.handles[file].data, size)

    def rename(self, old: str, new: str) -> None:
        with self.lock:
            self._enter("rename")
            self._change_names(lambda names: names.__setitem__(new, names.pop(old)))

    def unlink(self, path: str) -> None:
        with self.lock:
            self._enter("unlink")
            if path not in self.names:
                raise FileNotFoundError(errno.ENOENT, path)
            self._change_names(lambda names: names.pop(path, None))
