"""What the journal's tests share: journals on a fake disk, records, waiting without sleeping."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from journal_disk import FakeDisk
from tickplant.config import LogSettings
from tickplant.log.contract import LogRecord
from tickplant.log.journal import Journal
from tickplant.model.errors import LogUnavailable

FOLDER = "j"
WAIT_S = 20.0

Shape = tuple[int, int, bytes | memoryview]
"""Kind, count and payload."""


@dataclass
class Clock:
    """A monotonic clock that only `pause` moves."""

    now_s: float = 0.0
    pauses: list = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds


def open_journal(
    disk: FakeDisk,
    folder: str = FOLDER,
    *,
    segment_bytes: int = 1024,
    pending_mb: int = 1,
    seq_floor: int = 0,
    clock: Clock | None = None,
) -> Journal:
    clock = clock or Clock()
    settings = LogSettings(segment_mb=segment_bytes / (1 << 20), pending_mb_max=pending_mb)
    return Journal(
        folder,
        settings,
        seq_floor=seq_floor,
        prepare_ahead=False,
        disk=disk,
        clock=lambda: 1_700_000_000_000_000_000,
        monotonic=clock.monotonic,
        pause=clock.pause,
    )


def plain(records: Iterable[LogRecord]) -> list[LogRecord]:
    """Return records with their payloads as bytes, so that they compare by value."""
    return [record._replace(payload=bytes(record.payload)) for record in records]


def make_records(shapes: list[Shape], seq: int = 1) -> list[LogRecord]:
    """Return records from (kind, count, payload), numbered from `seq` on."""
    records = []
    for kind, count, payload in shapes:
        records.append(LogRecord(kind, seq, count, payload))
        seq += count
    return records


def append_each(
    journal: Journal, records: list[LogRecord], acked: list[LogRecord]
) -> list[LogRecord]:
    """Append one by one; what is acknowledged goes to `acked`. Returns what was taken."""
    taken = []
    for record in records:
        numbered = record._replace(seq_first=journal.seq_next)
        try:
            journal.append([numbered], lambda fault, r=numbered: fault or acked.append(r))
        except LogUnavailable:
            continue
        taken.append(numbered)
    return taken


def flush(journal: Journal) -> BaseException | None:
    """Wait until everything that was appended is durable; return the fault, if any."""
    done, faults = threading.Event(), []

    def answer(fault: BaseException | None) -> None:
        faults.append(fault)
        done.set()

    journal.append([], answer)
    assert done.wait(WAIT_S)
    return faults[0]


def is_subsequence(part: list[LogRecord], whole: list[LogRecord]) -> bool:
    rest = iter(whole)
    return all(any(item == other for other in rest) for item in part)
