"""What a store must do, whichever engine keeps it.

A store holds the tables of `model.events`. It is asked in two orders: event order
(`ts_event`, then `seq`) for queries, and sequence order for replay. Amendments (rows whose
`ref_seq` is not 0) are applied by `scan`: a trade that was corrected or cancelled is not
returned, its last correction is. `as_of` goes back to what was known then.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
"""128-bit idempotency keys, shape (n, 2); (0, 0) means that the row has none."""


@dataclass(frozen=True, slots=True)
class AsOf:
    """What was known: rows with `seq <= seq_max` and `ts_recv <= ts_recv_max`."""

    seq_max: int | None = None
    ts_recv_max: int | None = None


NOW = AsOf()


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in event order: the row after it is the next one."""

    ts_event: int
    seq: int


@dataclass(frozen=True, slots=True)
class TableStatus:
    """Rows and bytes of one table. `ts_min` and `ts_max` are None while it is empty.

    `blocks` are the pieces that its rows in memory lie in.
    """

    rows_archived: int
    rows_in_memory: int
    files: int
    bytes: int
    ts_min: int | None
    ts_max: int | None
    blocks: int = 0


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What an operator wants to know of the store. What was done counts since it was opened."""

    tables: dict[str, TableStatus]
    seq_archived: int
    bytes_in_memory: int
    damage: tuple[str, ...]
    last_error: str | None
    archive_runs: int = 0
    files_compacted: int = 0
    files_expired: int = 0


class Store(Protocol):
    """One thread appends; any thread scans. A scan sees whole batches only."""

    @property
    def seq_archived(self) -> int:
        """Every event with `seq <= seq_archived` is in the archive."""
        ...

    @property
    def catalog(self) -> bytes | None:
        """The catalog as of the last archived batch, or None in an empty store."""
        ...

    def append(self, table: str, rows: pa.RecordBatch, keys: Keys | None = None) -> None:
        """Take stamped rows of one table; visible to scans on return.

        Calls are in sequence order over all tables, so that one number divides what is archived
        from what is not. Rows that are archived already are left out; others that come out of
        order raise `ValueError`.

        O(rows), and waits for nobody: sorting and writing happen on the store's own thread. Whoever
        appends keeps to the bound on memory by `wait_for_room`.
        """
        ...

    def restore(self, parts: Sequence[tuple[str, pa.RecordBatch, Keys | None]]) -> None:
        """Take (table, rows, keys) of several appends at once, as a replay of the log has them.

        The rows of a part are in sequence order; those of different tables may alternate.
        """
        ...

    def expect_restore(self) -> None:
        """Hold whoever reads until `restoring` has ended; what is appended meanwhile waits."""
        ...

    def restoring(self) -> AbstractContextManager[None]:
        """Return the context in which one thread calls `restore`, any number of times.

        Its end lets the readers in; where it ends by an exception they are told so.
        """
        ...

    def index_keys(self) -> None:
        """Prepare the look-up of the keys that `restore` took; any thread, once."""
        ...

    def wait_for_room(self, timeout_s: float) -> bool:
        """Say whether memory is below its bound; wait that long for it to be, s."""
        ...

    def seen(self, table: str, keys: Keys) -> NDArray[np.bool_]:
        """Say for each key, shape (n,), whether a stored row of the table has it."""
        ...

    def scan(
        self,
        table: str,
        instrument: int | None = None,
        *,
        start: int | None = None,
        end: int | None = None,
        columns: Sequence[str] | None = None,
        as_of: AsOf = NOW,
        after: Cursor | None = None,
        descending: bool = False,
        limit: int | None = None,
        amended: bool = True,
    ) -> pa.Table:
        """Return rows with `start <= ts_event < end`, by (ts_event, seq), of one instrument or all.

        With `amended=False` every row is returned as it was logged. `columns` are returned in the
        order asked for.
        """
        ...

    def scan_seq(
        self,
        table: str,
        after_seq: int,
        upto_seq: int,
        *,
        instruments: Sequence[int] | None = None,
        start: int | None = None,
        limit: int,
    ) -> pa.Table:
        """Return at most `limit` rows as logged, `after_seq < seq <= upto_seq`, by seq."""
        ...

    def amendment_seqs(
        self, instrument: int, start: int | None, end: int | None, as_of: AsOf = NOW
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return (`ts_event`, `seq`) of what touched amended trades in the span, both shape (n,).

        One entry for each correction or cancel and each `ts_event` that it touched: that of the row
        it replaces (the original, or the amendment before it) and, for a correction, its own. A
        candle's revision is the highest seq in its bucket.
        """
        ...

    def find_trade(self, seq: int) -> pa.Table:
        """Return the trade that `seq` names (an original's or a correction's) as it now stands.

        One row, or none where there is no such trade or it was cancelled.
        """
        ...

    def generation(self, table: str) -> object:
        """Return another object after rows of a table went into the archive or out of it."""
        ...

    def span(self, table: str, instrument: int | None = None) -> tuple[int, int] | None:
        """Return the first and last `ts_event`, or None where there are no rows."""
        ...

    def run_maintenance(
        self,
        catalog: Callable[[], bytes],
        stop: Callable[[], bool],
        archived: Callable[[int], object] = ...,
    ) -> None:
        """Seal, archive, compact and drop what is due, until `stop()`; the caller owns the thread.

        `archived` is told `seq_archived` whenever it has grown.
        """
        ...

    def checkpoint(self, catalog: bytes) -> int:
        """Archive everything that is in memory and return `seq_archived`."""
        ...

    def compact(self) -> int:
        """Merge the files of each table and day that has several; return how many were merged."""
        ...

    def retain(self, now: int) -> int:
        """Drop the days that are older than their table's retention; return how many files."""
        ...

    def status(self) -> StoreStatus:
        """Return the present state, at no cost worth mentioning."""
        ...

    def close(self) -> None:
        """Release files and threads; does not archive. Idempotent."""
        ...
