"""What a log must do, whichever engine keeps it.

A record is opaque to the log: a kind, the sequence numbers it covers and a payload. A record with
`count == 0` covers none (the catalog is written so) and keeps its place between its neighbours.
Numbers run without a hole: the first number of a record is the one after the last of the record
before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Payload = bytes | bytearray | memoryview
DurableCallback = Callable[[BaseException | None], None]


class LogRecord(NamedTuple):
    """One record. Covers `seq_first .. seq_first + count - 1`; `kind` is the writer's, 0..65535."""

    kind: int
    seq_first: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody needs
    payload: Payload

    @property
    def seq_next(self) -> int:
        """The number after the last one that this record covers."""
        return self.seq_first + self.count


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that a checksum or the order of numbers showed to be wrong, and what was done.

    `seq_from .. seq_to` (inclusive) are the numbers that are lost, where any are; `saved_as` is
    the file in which the damaged bytes were kept.
    """

    path: str
    offset: int
    what: str
    action: str
    seq_from: int | None = None
    seq_to: int | None = None
    saved_as: str | None = None


@dataclass(frozen=True, slots=True)
class LogStatus:
    """What an operator wants to know of the log."""

    state: str  # "ok", or "unavailable" while the disk refuses or does not answer
    reason: str | None
    seq_durable: int  # the last number that is on disk; 0 for an empty log
    seq_appended: int  # the last number that was handed in
    segments: int
    bytes: int
    pending_bytes: int
    fsyncs: int
    fsync_s_max: float
    damage: tuple[Damage, ...]


class Log(Protocol):
    """Append-only, checksummed, ordered. One thread appends; any thread reads."""

    @property
    def seq_next(self) -> int:
        """The number that the next record must begin with."""
        ...

    def append(
        self, records: Sequence[LogRecord], on_durable: DurableCallback | None = None
    ) -> None:
        """Hand records in; returns at once, in the order of the calls.

        `on_durable(None)` is called, on a thread of the log's, once these records and all before
        them are on disk; with an exception where they could not be made durable in time (their
        fate is then unknown until the next start). An empty sequence asks only for that call.
        Blocks while more than the bound of bytes wait; raises `LogUnavailable` at once while the
        disk refuses, and `ValueError` for records out of order.
        """
        ...

    def read(self, from_seq: int = 1, to_seq: int | None = None) -> Iterator[LogRecord]:
        """Yield the durable records that touch `from_seq <= seq <= to_seq`, in order.

        Records without numbers are yielded too, in their places. Safe while the log is appended to:
        ends at the last record that was durable when it got there.
        """
        ...

    def trim(self, upto_seq: int) -> int:
        """Drop what is no longer needed: whole segments whose numbers are all <= `upto_seq`."""
        ...

    def status(self) -> LogStatus:
        """Return the present state, at no cost worth mentioning."""
        ...

    def close(self) -> None:
        """Make everything durable, release the files. Idempotent."""
        ...
