"""Opening a journal folder: find what is whole, keep what is damaged apart, cut a torn tail.

A damaged stretch in the middle is left where it is (readers skip it) and copied to `damaged/`;
a tail behind which nothing is whole is copied there too and then cut off. Nothing here stops the
plant from starting: where the disk refuses even this, the damage says so, and the segment that is
written next supersedes what could not be cut.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from tickplant.log.active import finish, write_all
from tickplant.log.chain import Chain, Fault, OnRecords
from tickplant.log.contract import Damage
from tickplant.log.disk import Disk
from tickplant.log.folder import Segment, list_segments, open_segment
from tickplant.log.segment import SEGMENT_HEADER_BYTES

SPARE_SUFFIX = ".tmp"
DAMAGED_FOLDER = "damaged"


@dataclass(slots=True)
class Recovered:
    """What a folder holds. The next record has `seq_next` and `ordinal_next`.

    `kinds` are those of the records that were checked. `torn_only` says that nothing was damaged
    but, at most, a tail: no record is lost that others follow.
    """

    segments: list[Segment]
    damage: list[Damage]
    number_next: int
    seq_next: int
    ordinal_next: int
    kinds: frozenset[int]
    torn_only: bool


def recover(
    disk: Disk, folder: str, seq_floor: int, on_unnumbered: OnRecords | None = None
) -> Recovered:
    """Check every segment that holds numbers above `seq_floor`, mend the tail, say what was wrong.

    `on_unnumbered` is handed those of their records that cover no sequence number.
    Raises `OSError` only where the folder itself cannot be made or listed.
    """
    disk.make_folder(folder)
    _remove_leftovers(disk, folder)
    listed = list_segments(disk, folder)
    segments = [open_segment(disk, *item) for item in listed]
    chain, faults, walked = _walk_needed(disk, segments, seq_floor, on_unnumbered)
    missing = _missing_head(segments, seq_floor)
    damage = list(missing)
    mender = _Mender(disk, folder)
    damage.extend(mender.mend(fault) for fault in faults)
    for segment in walked:
        segment.end = segment.data_end
        if not segment.places and segment.path not in mender.untouchable:
            mender.try_unlink(segment)
    return Recovered(
        segments=[segment for segment in segments if segment.path not in mender.gone],
        damage=damage,
        number_next=max((number for _, number, _ in listed), default=0) + 1,
        seq_next=max(seq_floor + 1, chain.seq_next or 1),
        ordinal_next=chain.ordinal_next or 1,
        kinds=frozenset(chain.kinds),
        torn_only=not missing and all(fault.tail or fault.harmless for fault in faults),
    )


def _remove_leftovers(disk: Disk, folder: str) -> None:
    for name in disk.list_folder(folder):
        if name.endswith(SPARE_SUFFIX):
            with contextlib.suppress(OSError):
                disk.unlink(f"{folder}/{name}")


def _walk_needed(
    disk: Disk, segments: list[Segment], seq_floor: int, on_unnumbered: OnRecords | None
) -> tuple[Chain, list[Fault], list[Segment]]:
    """Walk the segments above the floor; further back where those hold no record at all."""
    start = 0
    while start + 1 < len(segments) and segments[start + 1].seq_first <= seq_floor:
        segments[start].seq_touch = segments[start + 1].seq_first
        start += 1
    while True:
        faults: list[Fault] = []
        walked = segments[start:]
        chain = Chain(disk, walked, faults.append)
        chain.check(on_unnumbered=on_unnumbered)
        if chain.records or start == 0:
            return chain, faults, walked
        start -= 1


def _missing_head(segments: list[Segment], seq_floor: int) -> list[Damage]:
    if not segments or segments[0].seq_first <= seq_floor + 1:
        return []
    first = segments[0]
    what = "the archive ends before the first segment begins: segments are missing at the start"
    return [Damage(first.path, 0, what, "reported", seq_floor + 1, first.seq_first - 1)]


class _Mender:
    """Turns faults into damage: saves the bytes, cuts what is a tail."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self.untouchable: set[str] = set()  # paths of segments whose bytes are not saved elsewhere
        self.gone: set[str] = set()

    def mend(self, fault: Fault) -> Damage:
        """Do what can be done about a fault and say what that was."""
        saved, path = None, fault.segment.path
        if fault.harmless:
            action = "nothing is lost; left as it is"
        elif not fault.readable:
            action = "left as it is; what cannot be read is skipped"
            self.untouchable.add(path)
        elif fault.offset == fault.end:
            action = self._cut(fault) if fault.tail else "reported"
        else:
            saved, action = self._save(fault)
            if saved is None:
                self.untouchable.add(path)
            else:
                action += self._cut(fault) if fault.tail else "skipped"
        return Damage(path, fault.offset, fault.what, action, fault.seq_from, fault.seq_to, saved)

    def _save(self, fault: Fault) -> tuple[str | None, str]:
        """Copy the damaged bytes to the folder for them, once."""
        folder = f"{self._folder}/{DAMAGED_FOLDER}"
        name = f"{os.path.basename(fault.segment.path)}-{fault.offset:010d}.bin"
        try:
            if name not in self._disk.list_folder(folder):
                self._copy(fault, folder, name)
        except OSError as error:
            return None, f"left as it is; could not be copied ({error.strerror or error})"
        return f"{folder}/{name}", f"copied to {DAMAGED_FOLDER}/{name}, "

    def _copy(self, fault: Fault, folder: str, name: str) -> None:
        disk = self._disk
        disk.make_folder(folder)
        source = disk.open(fault.segment.path)
        try:
            data = disk.pread(source, fault.end - fault.offset, fault.offset).rstrip(b"\0")
        finally:
            disk.close(source)
        partial = f"{folder}/{name}{SPARE_SUFFIX}"
        with contextlib.suppress(FileNotFoundError):
            disk.unlink(partial)
        target = disk.create(partial)
        try:
            write_all(disk, target, [data], 0)
            disk.sync(target)
        finally:
            disk.close(target)
        disk.rename(partial, f"{folder}/{name}")
        disk.sync_folder(folder)

    def _cut(self, fault: Fault) -> str:
        """Cut the segment at the fault and put an end mark there."""
        if fault.offset < SEGMENT_HEADER_BYTES:
            return "the file is removed, as it holds no whole record"
        try:
            file = self._disk.open(fault.segment.path, write=True)
            try:
                finish(self._disk, file, fault.segment.number, fault.offset)
                self._disk.sync(file)
            finally:
                self._disk.close(file)
        except OSError as error:
            return f"ignored; the file could not be cut ({error.strerror or error})"
        return "cut off at the last whole record"

    def try_unlink(self, segment: Segment) -> None:
        """Remove a segment that holds no record."""
        with contextlib.suppress(OSError):
            self._disk.unlink(segment.path)
            self.gone.add(segment.path)
