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


class QuickSink(Sink):
    def sync(self) -> None:
        self.flush()


class QuickDisk(Disk):
    """The real disk without waiting for it: these tests kill no power."""

    def create(self, path: Path) -> Sink:
        return QuickSink(path)

    def sync_folder(self, path: Path) -> None:
        pass


class FailingSink(QuickSink):
    def __init__(self, path: Path, disk: FailingDisk) -> None:
        super().__init__(path)
        self._disk = disk

    def put(self, view: memoryview) -> None:
        if self._disk.fails():
            super().put(view[: len(view) // 2])
            raise OSError(28, "No space left on device")
        super().put(view)


class FailingDisk(QuickDisk):
    """Fails the calls whose numbers, from 0, are in `failing`, before their work or after it.

    A call that fails late has done its work and then reports a fault, as a failed sync may.
    """

    def __init__(self, failing: range = range(0), *, late: bool = False) -> None:
        self.failing = failing
        self.calls = 0
        self._late = late

    def fails(self) -> bool:
        self.calls += 1
        return self.calls - 1 in self.failing

    def _call(self, name: str, *args: Any) -> None:
        failing = self.fails()
        if failing and not self._late:
            raise OSError(5, f"Input/output error in {name}")
        getattr(super(), name)(*args)
        if failing:
            raise OSError(5, f"Input/output error after {name}")

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
