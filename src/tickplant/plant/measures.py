"""What is measured of a plant under load: each a value and the bound that it may not reach.

    inbox    rows that wait to be accepted            plant.inbox_rows_max
    ack      age of the oldest rows without receipt   backpressure.ack_s_max
    log      bytes that wait for the disk             log.pending_mb_max
    memory   events in memory                         store.memory_mb
    disk     what the log needs, of what is free      what is free
    process  resident memory above half its bound     the other half of backpressure.process_mb_max,
                                                      or of what the container allows

A process keeps memory that it once had, so half of its bound is no load at all.
The disk may hang: it is asked on a thread of its own, and one that does not answer counts as full.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tickplant.plant.health import disk_room
from tickplant.plant.pressure import Measure

if TYPE_CHECKING:
    from tickplant.plant.plant import Plant

DISK_EVERY_S = 1.0
DISK_S_MAX = 5.0
"""How long the disk may take to say how much of it is free, s."""

_CGROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_NO_LIMIT = 1 << 60
_STATM = "/proc/self/statm"


class Unanswered:
    """Batches that were begun and whose producers have no receipt yet. Any thread."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._since: dict[int, float] = {}
        self._number = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._since)

    def begin(self) -> int:
        """Note a batch and return its number."""
        with self._lock:
            self._number += 1
            self._since[self._number] = self._monotonic()
            return self._number

    def end(self, number: int) -> None:
        """Note that its producers have an answer. Idempotent."""
        with self._lock:
            self._since.pop(number, None)

    def oldest_s(self) -> float:
        """Return how long the oldest has waited, s; 0 where none waits."""
        with self._lock:  # numbers are given in order, so the first is the oldest
            since = next(iter(self._since.values()), None)
        return 0.0 if since is None else self._monotonic() - since


class DiskWatch:
    """Asks for the room on a disk that may hang: on a thread, one at a time."""

    def __init__(
        self, ask: Callable[[], tuple[int, int, int]], monotonic: Callable[[], float]
    ) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._asked: float | None = None
        self._thread: threading.Thread | None = None
        self._found: Measure | None = None

    def look(self) -> Measure:
        """Return what was last found; ask again where that is old."""
        now = self._monotonic()
        if self._thread is not None and self._thread.is_alive():
            waited = now - (self._asked or now)
            if waited >= DISK_S_MAX:
                return Measure(waited, DISK_S_MAX, "s without an answer")
        elif self._asked is None or now - self._asked >= DISK_EVERY_S:
            self._asked = now
            self._thread = threading.Thread(target=self._run, name="disk-room", daemon=True)
            self._thread.start()
            if self._found is None:
                self._thread.join(DISK_S_MAX)
        return self._found or Measure(0.0, 1.0, "bytes")

    def _run(self) -> None:
        try:
            free, needed, _ = self._ask()
        except OSError:
            return  # `/health` says why; nothing is known of the room
        self._found = Measure(needed, max(free, 1), "bytes")


class PlantMeasures:
    """Reads all measures of one plant. One thread at a time."""

    def __init__(
        self, plant: Plant, unanswered: Unanswered, monotonic: Callable[[], float]
    ) -> None:
        self._plant = plant
        self._unanswered = unanswered
        self._disk = DiskWatch(lambda: disk_room(plant), monotonic)
        self._process_max = process_bytes_max(plant.settings.backpressure.process_mb_max)

    def __call__(self) -> dict[str, Measure]:
        """Return the measures by name."""
        plant, settings = self._plant, self._plant.settings
        found = {
            "inbox": Measure(plant.waiting_rows, settings.plant.inbox_rows_max, "rows"),
            "ack": Measure(
                round(self._unanswered.oldest_s(), 6), settings.backpressure.ack_s_max, "s"
            ),
            "log": Measure(
                plant.log.status().pending_bytes, settings.log.pending_mb_max << 20, "bytes"
            ),
            "memory": Measure(
                plant.store.status().bytes_in_memory, settings.store.memory_mb << 20, "bytes"
            ),
            "disk": self._disk.look(),
        }
        if self._process_max and (resident := resident_bytes()):
            half = self._process_max / 2
            found["process"] = Measure(max(resident - half, 0.0), half, "bytes")
        return found


def process_bytes_max(megabytes: int) -> int:
    """Return the bound of the process: the setting, else that of its container; 0 for none."""
    if megabytes:
        return megabytes << 20
    for place in _CGROUPS:
        try:
            text = Path(place).read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _NO_LIMIT:
            return int(text)
    return 0


def resident_bytes() -> int:
    """Return the resident memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path(_STATM).read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
