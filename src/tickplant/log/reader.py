"""Reading a journal folder that belongs to another process; never changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tickplant.log.chain import Chain, Fault, select
from tickplant.log.contract import LogRecord
from tickplant.log.disk import Disk, RealDisk
from tickplant.log.folder import (
    JournalTrimmed,
    Segment,
    list_segments,
    open_segment,
    skip_below,
)

_LISTINGS_MAX = 100


class JournalReader:
    """The journal as it was when this was made; other processes may be writing to it.

    Read the archive's manifest first, then make this: where `seq_first` is beyond the number that
    follows the archive's last, the journal was trimmed in between and the manifest is to be read
    again. `faults` are the damaged places that `read` has met and skipped.
    """

    def __init__(self, folder: str | Path, *, disk: Disk | None = None) -> None:
        self._disk = disk or RealDisk()
        self._segments = self._open_all(str(folder))
        self.faults: list[Fault] = []

    @property
    def seq_first(self) -> int | None:
        """The first number that the journal may hold, None where it has no segment."""
        return self._segments[0].seq_first if self._segments else None

    def read(self, from_seq: int = 1, to_seq: int | None = None) -> Iterator[LogRecord]:
        """Yield the records that touch `from_seq <= seq <= to_seq`, in order.

        Ends at the first record of the last segment that is not complete; the last records may
        not be durable yet. Payloads are views as in `Journal.read`. Raises `JournalTrimmed` where
        a segment has gone meanwhile: read the archive's manifest again and go on from there.
        """
        segments = skip_below(self._segments, from_seq)
        chain = Chain(self._disk, segments, self.faults.append)
        return select(chain.walk(growing=True), from_seq, to_seq)

    def _open_all(self, folder: str) -> list[Segment]:
        for _ in range(_LISTINGS_MAX):
            try:
                return [
                    open_segment(self._disk, *item) for item in list_segments(self._disk, folder)
                ]
            except JournalTrimmed:
                continue  # trimming takes the oldest; what is left is listed anew
        raise JournalTrimmed(f"{folder} is trimmed faster than it can be listed")


def read_folder(
    path: str | Path, from_seq: int | None = None, *, disk: Disk | None = None
) -> Iterator[LogRecord]:
    """Yield the records from `from_seq` on of a folder that another process may be writing to.

    Without `from_seq` it begins where the journal begins. Raises `JournalTrimmed` at once where
    the journal begins behind `from_seq`, and later as `JournalReader.read` does.
    """
    reader = JournalReader(path, disk=disk)
    first = reader.seq_first
    if from_seq is not None and first is not None and first > from_seq:
        raise JournalTrimmed(f"{path} begins at {first}, behind {from_seq}")
    return reader.read(from_seq or 1)
