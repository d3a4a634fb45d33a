"""The journal's writer: the queue, the group commit, and what happens when the disk refuses.

    ok ──OSError of a write, a sync or a new file──► unavailable ──a whole batch is durable──► ok
                                                         │  ▲
                                                         └──┘ pause, expire callbacks, try again

The queue keeps every record until it is durable, so numbering never has a hole. A file on which
anything failed is never written to again: after a failed sync nobody knows what it holds.

A disk may also not answer at all. The writer's thread is then held, so another one watches it:
after `ack_timeout_s` the log is unavailable, and who waits is told to retry. Closing waits no
longer than that either; a thread that is still held may then write nothing any more.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tickplant.log.active import ActiveSegment
from tickplant.log.contract import Damage, DurableCallback, LogRecord, LogStatus
from tickplant.log.disk import Disk
from tickplant.log.files import SegmentFiles
from tickplant.log.recovery import Recovered
from tickplant.log.segment import record_size
from tickplant.model.errors import LogUnavailable, Stopping

PAUSE_FIRST_S = 0.05
PAUSE_MAX_S = 5.0
CLOSING_ATTEMPTS = 3
WATCH_EVERY_S = 0.25

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Item:
    """A record that waits for the disk, or a mere place in the queue (`record` None).

    `callback` is answered when everything up to and including the item is durable.
    """

    record: LogRecord | None
    size: int
    callback: DurableCallback | None
    deadline: float


class Writer:
    """Owns the segments of a folder and the thread that writes them."""

    def __init__(
        self,
        disk: Disk,
        folder: str,
        recovered: Recovered,
        *,
        segment_bytes: int,
        sync: bool,
        pending_bytes_max: int,
        ack_timeout_s: float,
        prepare_ahead: bool,
        clock: Callable[[], int],
        monotonic: Callable[[], float],
        pause: Callable[[float], object] | None,
        observe_sync: Callable[[float], object],
    ) -> None:
        self._sync = sync
        self._pending_bytes_max = pending_bytes_max
        self._ack_timeout_s = ack_timeout_s
        self._monotonic = monotonic
        self._closing = threading.Event()
        self._pause = pause or self._closing.wait
        self._observe_sync = observe_sync
        self._damage = list(recovered.damage)
        self.seq_next = recovered.seq_next
        self._seq_durable = recovered.seq_next - 1
        self._queue: deque[_Item] = deque()
        self._pending_bytes = 0
        self._reason: str | None = None
        self._busy_since: float | None = None
        self._abandoned = False
        self._given_up: tuple[str, int] | None = None
        self._fsyncs = 0
        self._fsync_s_max = 0.0
        self._changed = threading.Condition()
        self._folder = folder
        self.files = SegmentFiles(
            disk,
            folder,
            recovered,
            self._changed,
            segment_bytes=segment_bytes,
            sync=sync,
            prepare_ahead=prepare_ahead,
            clock=clock,
        )
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()
        self._watcher = threading.Thread(target=self._watch, name="journal-watch", daemon=True)
        self._watcher.start()

    # ---- called by any thread

    def append(self, records: Sequence[LogRecord], on_durable: DurableCallback | None) -> None:
        """Queue the records; see `Log.append`."""
        deadline = self._monotonic() + self._ack_timeout_s
        items = [_Item(r, record_size(len(r.payload)), None, deadline) for r in records]
        if not items:
            items.append(_Item(None, 0, None, deadline))
        items[-1].callback = on_durable
        with self._changed:
            self._check_open()
            while self._pending_bytes >= self._pending_bytes_max:
                self._changed.wait()
                self._check_open()
            seq = self.seq_next
            for record in records:
                if record.seq_first != seq:
                    raise ValueError(f"seq_first: {record.seq_first} is not allowed; next is {seq}")
                seq += record.count
            self.seq_next = seq
            self._pending_bytes += sum(item.size for item in items)
            idle = not self._queue
            self._queue.extend(items)
            if idle:
                self._changed.notify_all()

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise Stopping("the journal is closed")
        reason = self._why_not()
        if reason is not None:
            raise LogUnavailable(f"the disk refuses: {reason}")

    def _why_not(self) -> str | None:
        """Return why the log is unavailable, None where it is not."""
        busy_since = self._busy_since
        if self._reason is None and busy_since is not None:
            held_s = self._monotonic() - busy_since
            if held_s >= self._ack_timeout_s:
                return f"the disk has not answered for {held_s:.0f} s"
        return self._reason

    def trim(self, upto_seq: int) -> int:
        """Drop whole segments; see `Journal.trim`."""
        files = self.files
        dropped = files.drop_closed(upto_seq)
        if threading.current_thread() is self._thread or not files.active_is_below(upto_seq):
            return dropped
        done = threading.Event()

        def retire(fault: BaseException | None) -> None:
            # Runs on the writer's thread, which owns the active segment.
            if fault is None and files.active_is_below(upto_seq):
                files.retire()
            done.set()

        with contextlib.suppress(LogUnavailable, Stopping):
            self.append([], retire)
            done.wait()
        return dropped + files.drop_closed(upto_seq)

    def status(self, more_damage: tuple[Damage, ...]) -> LogStatus:
        """Return the present state."""
        with self._changed:
            reason = self._why_not()
            return LogStatus(
                state="ok" if reason is None else "unavailable",
                reason=reason,
                seq_durable=self._seq_durable,
                seq_appended=self.seq_next - 1,
                segments=len(self.files),
                bytes=self.files.bytes,
                pending_bytes=self._pending_bytes,
                fsyncs=self._fsyncs,
                fsync_s_max=self._fsync_s_max,
                damage=(*self._damage, *more_damage),
            )

    def close(self) -> None:
        """Write what waits, then end the threads. Idempotent."""
        with self._changed:
            self._closing.set()
            self._changed.notify_all()
        if threading.current_thread() is self._thread:
            return
        while self._thread.is_alive():
            self._thread.join(WATCH_EVERY_S)
            if self._why_not() is not None and self._reason is None:
                with self._changed:
                    self._abandoned = True
                _logger.error("journal: closed while %s", self._why_not())
                self._expire(None)
                return

    # ---- the watcher's thread

    def _watch(self) -> None:
        while not self._closing.wait(WATCH_EVERY_S):
            self.look()

    def look(self) -> None:
        """Tell those who have waited too long for a disk that does not answer."""
        if self._reason is None and self._why_not() is not None:
            self._expire(self._monotonic())
            with self._changed:
                self._changed.notify_all()

    # ---- the writer's thread

    def _run(self) -> None:
        try:
            while self._wait_for_work() and not self._abandoned:
                if not self._write_until_taken():
                    break
        except BaseException as error:
            # A bug must not leave producers waiting for ever, nor pass unseen.
            _logger.exception("journal: the writer has failed")
            with self._changed:
                self._reason = f"the writer has failed: {error!r}"
                self._changed.notify_all()
            self._expire(None)
        finally:
            if not self._abandoned:
                self.files.stop()

    def _wait_for_work(self) -> bool:
        with self._changed:
            while not self._queue and not self._closing.is_set():
                self._changed.wait()
            return bool(self._queue)

    def _write_until_taken(self) -> bool:
        """Make the head of the queue durable, however often it takes; False to give up."""
        pause_s, attempts_left = PAUSE_FIRST_S, CLOSING_ATTEMPTS
        while True:
            attempts_left -= self._closing.is_set()
            try:
                with self._changed:
                    self._busy_since = self._monotonic()
                self._write_batch()
                return True
            except OSError as error:
                self._refuse(error)
            finally:
                with self._changed:
                    self._busy_since = None
            if not attempts_left or self._abandoned:
                self._expire(None)
                return False
            self._pause(self._until_deadline(pause_s))
            self._expire(self._monotonic())
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _write_batch(self) -> None:
        """Write as much of the queue as fits in one segment, sync once, answer."""
        first = self._queue[0]
        if first.record is not None:
            active = self.files.active
            if active is None or active.room < first.size:
                active = self.files.roll(first.record, first.size)
            batch = self._fitting(active.room)
            active.write([item.record for item in batch if item.record is not None])
            if self._sync:
                self._sync_timed(active)
            self._acknowledge(batch, active)
        else:
            self._acknowledge(self._fitting(0), None)

    def _fitting(self, room: int) -> list[_Item]:
        batch = []
        with self._changed:
            for item in self._queue:
                room -= item.size
                if room < 0:
                    break
                batch.append(item)
        return batch

    def _sync_timed(self, active: ActiveSegment) -> None:
        began = self._monotonic()
        active.sync()
        took = self._monotonic() - began
        self._fsync_s_max = max(self._fsync_s_max, took)
        self._observe_sync(took)
        self._fsyncs += 1

    def _acknowledge(self, batch: list[_Item], active: ActiveSegment | None) -> None:
        with self._changed:
            if active is not None:
                active.commit()
                last = next(item.record for item in reversed(batch) if item.record is not None)
                self._seq_durable = last.seq_next - 1
                self._accept(active)
            for item in batch:
                self._queue.popleft()
                self._pending_bytes -= item.size
            self._changed.notify_all()
        for item in batch:
            self._answer(item, None)

    def _answer(self, item: _Item, fault: BaseException | None) -> None:
        if item.callback is None:
            return
        with self._changed:
            callback, item.callback = item.callback, None
        if callback is not None:
            self._call(callback, fault)

    def _call(self, callback: DurableCallback, fault: BaseException | None) -> None:
        try:
            callback(fault)
        except Exception:
            _logger.exception("journal: a callback has failed")

    # ---- when the disk refuses

    def _refuse(self, error: OSError) -> None:
        reason = f"{error.strerror or error} ({type(error).__name__} {error.errno})"
        with self._changed:
            if reason != self._reason:
                _logger.error("journal: the disk refuses: %s", reason)
            if self._reason is None:
                active = self.files.active
                self._given_up = (
                    active.segment.path if active else self._folder,
                    active.segment.data_end if active else 0,
                )
            self._reason = reason
            self._changed.notify_all()
        self.files.retire()

    def _accept(self, active: ActiveSegment) -> None:
        """Return to `ok` and note what happened; the caller holds the lock."""
        if self._reason is None or self._given_up is None:
            return
        path, offset = self._given_up
        action = f"what was not durable was written to {active.segment.path}, then acknowledged"
        self._damage.append(Damage(path, offset, f"the disk refused: {self._reason}", action))
        self._reason = self._given_up = None
        _logger.warning("journal: the disk takes again")

    def _until_deadline(self, pause_s: float) -> float:
        waiting = next((item.deadline for item in self._queue if item.callback), None)
        if waiting is None:
            return pause_s
        return min(pause_s, max(waiting - self._monotonic(), 0.001))

    def _expire(self, now: float | None) -> None:
        """Answer the callbacks whose time is over, or all of them; the records stay queued."""
        with self._changed:
            reason = self._why_not()
            due = [
                (item, item.callback)
                for item in self._queue
                if item.callback and (now is None or item.deadline <= now)
            ]
            for item, _ in due:
                item.callback = None  # the watcher and the writer may both be here
        for _, callback in due:
            self._call(
                callback,
                LogUnavailable(
                    f"not durable after {self._ack_timeout_s} s: {reason}; "
                    "whether it will be is not known"
                ),
            )
