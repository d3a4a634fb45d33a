"""A whole plant on disks that refuse when they are told to, and what must hold after a crash."""

from __future__ import annotations

import errno
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from journal_disk import FakeDisk, Files
from plant_kit import Clock
from store_disks import QuickDisk
from tickplant.compose import OpenPlant, World
from tickplant.config import load
from tickplant.formats.parsed import incoming_batch
from tickplant.model.errors import PassingError
from tickplant.model.events import TABLES
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Receipt, Submission
from tickplant.store.disk import Sink

WAIT_S = 20.0
WRITES = ("create", "allocate", "pwritev", "datasync", "sync", "rename", "sync_folder")


class LogDisk(FakeDisk):
    """Refuses an operation as long as it stands in `refusing`, with its errno."""

    def __init__(self, files: Files | None = None, seed: int = 0) -> None:
        super().__init__(files, seed=seed)
        self.refusing: dict[str, int] = {}

    def _enter(self, operation: str) -> int | str | None:
        fault = super()._enter(operation)
        error = self.refusing.get(operation)
        if error is None:
            return fault
        if operation not in ("pwritev", "datasync", "sync"):
            raise OSError(error, f"refused: {operation}")
        return error

    def refuse(self, *operations: str, error: int = errno.EIO) -> None:
        self.refusing = dict.fromkeys(operations, error)


class StoreDisk(QuickDisk):
    """Refuses everything that changes files while `refusing`."""

    def __init__(self) -> None:
        self.refusing = False
        self.refused = 0

    def _check(self) -> None:
        if self.refusing:
            self.refused += 1
            raise OSError(errno.ENOSPC, "No space left on device")

    def create(self, path: Path) -> Sink:
        self._check()
        return super().create(path)

    def replace(self, source: Path, target: Path) -> None:
        self._check()
        super().replace(source, target)

    def sync_folder(self, path: Path) -> None:
        self._check()
        super().sync_folder(path)


@dataclass
class JournalClock:
    """Seconds that pass only while the journal pauses, a thousand times as fast as real ones."""

    now_s: float = 0.0
    waiting: threading.Event = field(default_factory=threading.Event)

    def monotonic(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.waiting.wait(seconds / 1_000)
        self.now_s += seconds


class Rig:
    """A plant on faulty disks in `folder`, and what its producers know."""

    def __init__(
        self,
        folder: Path,
        files: Files | None = None,
        *,
        seed: int = 0,
        refusing: tuple[str, ...] = (),
        pressure_s: Callable[[], float] = time.monotonic,
        **settings: Any,
    ) -> None:
        # Nobody looks at the load by himself: what a plant does at its bounds is seen without it.
        flags = {"data": str(folder), "log.segment_mb": 1, "backpressure.look_s": 3_600}
        flags |= {key.replace("__", "."): value for key, value in settings.items()}
        self.settings = settings
        self.folder = folder
        self.log = LogDisk(files, seed)
        self.log.refuse(*refusing)
        self.store = StoreDisk()
        self.clock = Clock()
        self.journal_clock = JournalClock()
        world = World(
            log_disk=self.log,
            store_disk=self.store,
            monotonic=self.journal_clock.monotonic,
            pause=self.journal_clock.pause,
            prepare_ahead=False,
            pressure_s=pressure_s,
        )
        self.opened = OpenPlant(load(flags=flags), clock=self.clock, world=world)
        self.plant: Plant = self.opened.plant

    def crash(self, folder: Path) -> Rig:
        """Return a plant that was started on what a power cut would leave now."""
        with self.plant.store.archive.lock:  # type: ignore[attr-defined]
            files = self.log.crash()
            shutil.copytree(self.folder / "archive", folder / "archive")
        name = str(self.folder / "journal")
        moved = {str(folder / "journal") + p[len(name) :]: data for p, data in files.items()}
        return Rig(folder, moved, seed=self.log.random.randrange(10**6), **self.settings)

    def close(self) -> None:
        self.opened.close()


def send(plant: Plant, ids: list[str], table: str = "trades") -> Future[Receipt]:
    """Submit a row for each id, which names its symbol: `SYM/anything`."""
    columns: dict[str, Any] = {"symbol": [text.partition("/")[0] for text in ids]}
    if table == "trades":
        columns |= {"price": [1.0] * len(ids), "id": ids}
    else:
        columns |= {"bid_price": [1.0] * len(ids), "key": [text.encode() for text in ids]}
    return plant.submit(Submission(table, incoming_batch(table, **columns)))


def outcome(future: Future[Receipt]) -> Receipt | PassingError:
    """Return what a producer is told; a future that does not end fails the test."""
    fault = future.exception(WAIT_S)
    if fault is None:
        return future.result()
    assert isinstance(fault, PassingError), fault
    return fault


def until(what: Callable[[], object]) -> None:
    """Wait until something is so, and fail where it does not come to be."""
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0)  # another thread's turn


def stored_ids(plant: Plant) -> list[str]:
    return plant.store.scan("trades", columns=["id"])["id"].to_pylist()


def check(plant: Plant, acknowledged: set[str], sent: set[str], quotes: int = 0) -> None:
    """See that nothing acknowledged is lost, doubled, or under another symbol's name."""
    plant.drain()
    stored = plant.store.scan("trades", columns=["id", "instrument"])
    ids = stored["id"].to_pylist()
    doubled = [text for text, count in Counter(ids).items() if count > 1]
    assert not doubled, f"stored twice: {doubled[:5]}"
    assert acknowledged <= set(ids), f"lost: {sorted(acknowledged - set(ids))[:5]}"
    assert set(ids) <= sent
    for text, number in zip(ids, stored["instrument"].to_pylist(), strict=True):
        assert plant.registry.number(number).symbol == text.partition("/")[0]
    seqs = np.sort(np.concatenate([_seqs(plant, table) for table in TABLES]))
    assert seqs.tolist() == list(range(1, plant.seq_last + 1)), "the numbers have a hole"
    assert plant.log.seq_next == plant.seq_last + 1
    assert plant.store.scan("quotes", columns=["seq"]).num_rows >= quotes


def _seqs(plant: Plant, table: str) -> Any:
    return plant.store.scan(table, columns=["seq"], amended=False)["seq"].to_numpy()
