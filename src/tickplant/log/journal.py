"""The journal: a log in a folder of segment files (see `segment` for their format).

    append ──► queue ──► writer: everything that waits ──► pwritev ──► fdatasync ──► callbacks
                           │ OSError
                           ▼
              unavailable: the file is given up; what is not durable stays queued and is written to
              a new segment, again and again with growing pauses; only then is it acknowledged

One thread appends, any thread reads; the writer's thread alone touches the files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tickplant.config import LogSettings
from tickplant.log.chain import Chain, Fault, OnRecords, select
from tickplant.log.contract import Damage, DurableCallback, LogRecord, LogStatus
from tickplant.log.disk import Disk, RealDisk
from tickplant.log.folder import JournalTrimmed, skip_below
from tickplant.log.reader import JournalReader, read_folder
from tickplant.log.recovery import recover
from tickplant.log.segment import PAYLOAD_BYTES_MAX
from tickplant.log.writer import Writer

__all__ = ["Journal", "JournalReader", "JournalTrimmed", "read_folder"]

MIB = 1 << 20


class Journal:
    """A `Log` in a folder.

    Opening checks and mends the folder; it never fails for damage, only for a folder that cannot
    be made or listed (`OSError`). `seq_floor` is the last number that the archive has: numbering
    goes on behind it, and segments below it are not checked. `clock` gives ns UTC, `monotonic`
    seconds; `pause` waits between attempts to write to a disk that refuses; `observe_sync` is told
    the duration of each sync, seconds; `on_unnumbered` is handed, before this returns, those
    records of the checked segments that cover no sequence number, in order. Payloads that are
    handed in must not change before they are durable. `kinds` are those of the records that were
    checked; `torn_only` says that at most a tail was damaged: no record is lost that others follow.
    """

    def __init__(
        self,
        folder: str | Path,
        settings: LogSettings | None = None,
        *,
        seq_floor: int = 0,
        prepare_ahead: bool = True,
        disk: Disk | None = None,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], object] | None = None,
        observe_sync: Callable[[float], object] = lambda seconds: None,
        on_unnumbered: OnRecords | None = None,
    ) -> None:
        settings = settings or LogSettings()
        self._disk = disk or RealDisk()
        self._folder = str(folder)
        recovered = recover(self._disk, self._folder, seq_floor, on_unnumbered)
        self._writer = Writer(
            self._disk,
            self._folder,
            recovered,
            segment_bytes=int(settings.segment_mb * MIB),
            sync=settings.sync != "none",
            pending_bytes_max=int(settings.pending_mb_max * MIB),
            ack_timeout_s=settings.ack_timeout_s,
            prepare_ahead=prepare_ahead,
            clock=clock,
            monotonic=monotonic,
            pause=pause,
            observe_sync=observe_sync,
        )
        self._found = self._writer.files.snapshot()
        self.kinds = recovered.kinds
        self.torn_only = recovered.torn_only
        self._read_faults: dict[tuple[str, int], Damage] = {}
        self._known = {(d.path, d.offset) for d in recovered.damage}

    @property
    def seq_next(self) -> int:
        """The number that the next record must begin with."""
        return self._writer.seq_next

    def append(
        self, records: Sequence[LogRecord], on_durable: DurableCallback | None = None
    ) -> None:
        """Hand records in; see `Log.append`.

        The callback runs on the writer's thread and holds up what comes after it: keep it short.
        """
        self._writer.append([_check_record(record) for record in records], on_durable)

    def read(self, from_seq: int = 1, to_seq: int | None = None) -> Iterator[LogRecord]:
        """Yield the durable records that touch `from_seq <= seq <= to_seq`, in order.

        Payloads are read-only views of windows of a few MiB, which live as long as a view of them
        does: copy what is kept for long. What was durable at the first step is yielded. Raises
        `JournalTrimmed` where a segment is trimmed before the reader gets to it. Damage that comes
        to light is skipped and shows in `status`.
        """
        segments = skip_below(self._writer.files.snapshot(), from_seq)
        chain = Chain(self._disk, segments, self._note_fault)
        yield from select(chain.walk(from_seq), from_seq, to_seq)

    def replay(self, from_seq: int, on_records: OnRecords) -> None:
        """Hand over the records from `from_seq` on, or a little before, that opening found.

        In order, some at a time, several times faster than `read`; what was appended since is left
        out. Once only; payloads, damage and `JournalTrimmed` as in `read`.
        """
        segments, self._found = skip_below(self._found, from_seq), []
        Chain(self._disk, segments, self._note_fault).check(from_seq, on_records=on_records)

    def bytes_to_replay(self, from_seq: int) -> int:
        """Return how many bytes `replay` would read, or a little less."""
        return sum(segment.end for segment in skip_below(self._found, from_seq))

    def trim(self, upto_seq: int) -> int:
        """Drop whole segments whose numbers are all <= `upto_seq`; return how many.

        The active segment goes too where it is wholly below; the next record then begins a new
        one. A record without numbers goes with the numbers behind it. Whoever is reading a dropped
        segment reads it to its end.
        """
        return self._writer.trim(upto_seq)

    def status(self) -> LogStatus:
        """Return the present state, at no cost worth mentioning."""
        return self._writer.status(tuple(self._read_faults.values()))

    def close(self) -> None:
        """Make everything durable, release the files. Idempotent.

        What the disk refuses even now is answered with `LogUnavailable`.
        """
        self._writer.close()

    def _note_fault(self, fault: Fault) -> None:
        key = (fault.segment.path, fault.offset)
        if key not in self._known:
            self._read_faults[key] = Damage(
                *key, fault.what, "skipped while reading", fault.seq_from, fault.seq_to
            )


def _check_record(record: LogRecord) -> LogRecord:
    """Return the record with a payload whose length is its number of bytes."""
    if not 0 <= record.kind <= 0xFFFF:
        raise ValueError(f"kind: {record.kind} is not allowed; allowed is 0 to 65535")
    if not 0 <= record.count <= 0xFFFF_FFFF:
        raise ValueError(f"count: {record.count} is not allowed; allowed is 0 to 4294967295")
    payload = record.payload
    if isinstance(payload, memoryview) and (payload.nbytes != len(payload) or payload.ndim != 1):
        record = record._replace(payload=payload.cast("B"))
    size = len(record.payload)
    if size > PAYLOAD_BYTES_MAX:
        raise ValueError(f"payload: {size} bytes are not allowed; allowed are {PAYLOAD_BYTES_MAX}")
    return record
