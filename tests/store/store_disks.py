"""A disk that fails at a chosen call, and a clock that is set by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tickplant.store.disk import Disk, Sink


class Clock:
    def __init__(self, now: int = 10**9) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class FailingSink(Sink):
    def __init__(self, path: Path, disk: FailingDisk) -> None:
        super().__init__(path)
        self._disk = disk

    def write(self, data: Any) -> int:
        if self._disk.fails():
            super().write(memoryview(data).cast("B")[: len(data) // 2])
            raise OSError(28, "No space left on device")
        return super().write(data)


class FailingDisk(Disk):
    """Fails the calls whose numbers, from 0, are in `failing`; `after` changes on disk or before.

    A call that fails late has done its work and then reports a fault, as a failed sync may.
    """

    def __init__(self, failing: range = range(0), *, late: bool = False) -> None:
        self.failing = failing
        self.calls = 0
        self._late = late

    def fails(self) -> bool:
        self.calls += 1
        return self.calls - 1 in self.failing

    def _call(self, name: str, *args: Any) -> Any:
        failing = self.fails()
        if failing and not self._late:
            raise OSError(5, f"Input/output error in {name}")
        result = getattr(Disk, name)(self, *args)
        if failing:
            raise OSError(5, f"Input/output error after {name}")
        return result

    def create(self, path: Path) -> Sink:
        if self.fails():
            raise OSError(28, "No space left on device")
        return FailingSink(path, self)

    def sync(self, sink: Sink) -> None:
        self._call("sync", sink)

    def replace(self, source: Path, target: Path) -> None:
        self._call("replace", source, target)

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder", path)

    def remove(self, path: Path) -> None:
        self._call("remove", path)
