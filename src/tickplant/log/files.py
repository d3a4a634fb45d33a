"""The writer's segment files: the list of them, the active one, rolling and dropping."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from tickplant.log.active import ActiveSegment, Spare, prepare
from tickplant.log.contract import LogRecord
from tickplant.log.disk import Disk
from tickplant.log.folder import Segment
from tickplant.log.recovery import SPARE_SUFFIX, Recovered
from tickplant.log.segment import SEGMENT_HEADER_BYTES, segment_name

_logger = logging.getLogger(__name__)


class SegmentFiles:
    """The segments of a folder, the last of which may be active.

    `roll`, `retire` and `stop` belong to the writer's thread; the rest is any thread's. `lock` is
    the writer's, and reentrant.
    """

    def __init__(
        self,
        disk: Disk,
        folder: str,
        recovered: Recovered,
        lock: threading.Condition,
        *,
        segment_bytes: int,
        sync: bool,
        prepare_ahead: bool,
        clock: Callable[[], int],
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._lock = lock
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._clock = clock
        self._segments = list(recovered.segments)
        self._number_next = recovered.number_next
        self._ordinal_next = recovered.ordinal_next
        self.active: ActiveSegment | None = None
        self._spare = Spare(disk, folder, segment_bytes, SPARE_SUFFIX) if prepare_ahead else None
        if self._spare:
            self._spare.want()

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def bytes(self) -> int:
        """Bytes of all segments, as far as they hold records."""
        return sum(segment.end for segment in self._segments)

    def snapshot(self) -> list[Segment]:
        """Return the segments as they are now, with the ends up to which they are durable."""
        with self._lock:
            return [
                replace(segment, allocated=None)
                for segment in self._segments
                if segment.end > SEGMENT_HEADER_BYTES
            ]

    def drop_closed(self, upto_seq: int) -> int:
        """Remove the segments before the active one whose numbers are all <= `upto_seq`."""
        dropped = 0
        with self._lock:
            while self._segments:
                first = self._segments[0]
                active = self.active is not None and first is self.active.segment
                if active or first.seq_touch > upto_seq:
                    break
                try:
                    self._disk.unlink(first.path)
                except FileNotFoundError:
                    pass
                except OSError as error:
                    _logger.warning("journal: %s could not be removed: %s", first.path, error)
                    break
                del self._segments[0]
                dropped += 1
        return dropped

    def roll(self, first: LogRecord, size: int) -> ActiveSegment:
        """Begin a new segment with `first`; raises `OSError`."""
        self.retire()
        disk, number = self._disk, self._number_next
        self._number_next += 1
        path = f"{self._folder}/{segment_name(number, first.seq_first)}"
        allocated = max(self._segment_bytes, SEGMENT_HEADER_BYTES + size)
        spare = self._spare.take() if self._spare and allocated == self._segment_bytes else None
        if spare is None:
            made = f"{self._folder}/new-{number:08d}{SPARE_SUFFIX}"
            spare = made, prepare(disk, made, allocated, fill=False)
        try:
            disk.rename(spare[0], path)
            disk.sync_folder(self._folder)
        except OSError:
            for name in (spare[0], path):
                with contextlib.suppress(OSError):
                    disk.unlink(name)
            with contextlib.suppress(OSError):
                disk.close(spare[1])
            raise
        segment = Segment(
            path,
            number,
            first.seq_first,
            end=SEGMENT_HEADER_BYTES,
            seq_touch=first.seq_first,
            ordinal=self._ordinal_next,
        )
        active = ActiveSegment(disk, spare[1], segment, size=allocated, created_ns=self._clock())
        with self._lock:
            self._segments.append(segment)
            self.active = active
        if self._spare:
            self._spare.want()
        return active

    def retire(self) -> None:
        """Close the active segment, whatever the disk says to it."""
        active = self.active
        if active is None:
            return
        with self._lock:
            self.active = None
            self._ordinal_next = active.ordinal_next
            if active.segment.end <= SEGMENT_HEADER_BYTES:
                self._segments.remove(active.segment)
        active.close(sync=self._sync)

    def active_is_below(self, upto_seq: int) -> bool:
        """Say whether there is an active segment whose numbers are all <= `upto_seq`."""
        with self._lock:
            return self.active is not None and self.active.segment.seq_touch <= upto_seq

    def stop(self) -> None:
        """Release every file."""
        self.retire()
        if self._spare:
            self._spare.stop()
