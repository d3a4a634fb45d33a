"""Checking a journal folder byte for byte without changing it; `tickplant doctor` prints this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tickplant.log.chain import Chain, Fault
from tickplant.log.contract import Damage
from tickplant.log.disk import Disk, RealDisk
from tickplant.log.folder import Segment, list_segments, open_segment


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One segment. `seq_last` is below `seq_first` where it holds no numbers."""

    path: str
    seq_first: int
    seq_last: int
    records: int
    bytes: int


@dataclass(frozen=True, slots=True)
class JournalReport:
    """What a journal folder holds and what is wrong with it.

    The `action` of each damage is what to do about it. `seq_first` and `seq_last` are None where
    there is no record with a number.
    """

    folder: str
    segments: tuple[SegmentReport, ...]
    records: int
    seq_first: int | None
    seq_last: int | None
    bytes: int
    damage: tuple[Damage, ...]

    @property
    def ok(self) -> bool:
        """Say whether nothing is wrong."""
        return not self.damage


def verify_journal(
    path: str | Path, *, live: bool = False, disk: Disk | None = None
) -> JournalReport:
    """Read every record of a journal folder and check it.

    With `live` another process is writing to it: the last segment then ends at the first record
    that is not complete. Raises `JournalTrimmed` where that process trims it meanwhile.
    """
    disk = disk or RealDisk()
    folder = str(path)
    segments = [open_segment(disk, *item) for item in list_segments(disk, folder)]
    sizes = {segment.path: segment.end for segment in segments}
    faults: list[Fault] = []
    chain = Chain(disk, segments, faults.append)
    counts = dict.fromkeys(sizes, 0)
    lasts = {segment.path: segment.seq_first - 1 for segment in segments}
    seq_first = seq_last = None
    for item in chain.walk(growing=live):
        assert chain.segment is not None
        name = chain.segment.path
        counts[name] += 1
        lasts[name] = item.seq_first + item.count - 1
        if item.count:
            seq_first = item.seq_first if seq_first is None else seq_first
            seq_last = lasts[name]
    return JournalReport(
        folder=folder,
        segments=tuple(_report(s, counts[s.path], lasts[s.path], sizes[s.path]) for s in segments),
        records=chain.records,
        seq_first=seq_first,
        seq_last=seq_last,
        bytes=sum(sizes.values()),
        damage=tuple(_explain(fault) for fault in faults),
    )


def _report(segment: Segment, records: int, seq_last: int, size: int) -> SegmentReport:
    return SegmentReport(segment.path, segment.seq_first, seq_last, records, size)


def _explain(fault: Fault) -> Damage:
    """Return the fault with what an operator should do about it."""
    if fault.harmless:
        todo = "nothing is lost; the file goes once its rows are archived, look after the disk"
    elif not fault.readable:
        todo = "check the disk and its cables; copy the folder away before anything else"
    elif fault.tail:
        todo = (
            "after a crash this is expected: start the plant, it keeps these bytes apart and cuts "
            "them off; if there was no crash, send the lost rows again"
        )
    elif fault.seq_from is None:
        todo = "nothing is lost: what was here was written again to the next segment"
    else:
        todo = "restore the segment from a backup, or send the lost rows again"
    return Damage(fault.segment.path, fault.offset, fault.what, todo, fault.seq_from, fault.seq_to)
