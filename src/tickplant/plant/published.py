"""What the plant tells its subscribers: batches of rows, bars that changed, notices.

One entry is shared by every subscriber. It is immutable for them; what it computes for the first
one who asks (the rows of each instrument, the encoded form of a row) it keeps for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tickplant.candles.grid import Grid
from tickplant.model.events import POSTED_TABLES
from tickplant.plant.encoded import EncodedRows
from tickplant.plant.warm import Warm

CANDLES = "candles"
INDICATORS = "indicators"
STATUS = "status"
BOOKS = "books"
CHANNELS = (*POSTED_TABLES, BOOKS, CANDLES, INDICATORS, STATUS)

ENTRY_ROWS = 20
"""What an entry costs in memory besides its rows, in rows: many entries of one row stay bounded."""


class CandleKey(NamedTuple):
    """Which candles, in canonical spelling; `session` is None where there is no calendar."""

    interval: str
    basis: str
    timezone: str = "UTC"
    day_start: str = "00:00"
    calendar: str | None = None
    session: str | None = None

    @classmethod
    def of(cls, grid: Grid, basis: str) -> CandleKey:
        """Return the key of the candles of a grid and a basis."""
        session = grid.session if grid.calendar else None
        interval = str(grid.interval)
        return cls(interval, basis, grid.timezone, grid.day_start, grid.calendar, session)


class Published:
    """One entry of the hub's ring. Made by `of_rows`, `of_candles` or `of_status`.

    `seq_first .. seq_last` are the sequence numbers of its rows (for candles and notices both are
    the number that caused it). `encoded` is the subscribers' cache: which rows are encoded, by wire
    format; who adds to it takes it from `kept`. `mark`, `position`, `rows_before` and `warm` are
    the hub's.
    """

    __slots__ = (
        "_by_instrument",
        "_instruments",
        "channel",
        "count",
        "encoded",
        "key",
        "mark",
        "message",
        "position",
        "rows",
        "rows_before",
        "seq_first",
        "seq_last",
        "warm",
    )

    def __init__(
        self,
        channel: str,
        rows: pa.RecordBatch | None,
        seq_first: int,
        seq_last: int,
        *,
        key: CandleKey | None = None,
        message: Mapping[str, Any] | None = None,
    ) -> None:
        self.channel = channel
        self.rows = rows
        self.seq_first = seq_first
        self.seq_last = seq_last
        self.key = key
        self.message = message
        self.count = 1 if rows is None else rows.num_rows
        self.encoded: dict[str, EncodedRows] = {}
        self.warm: Warm | None = None
        self.mark = self.position = self.rows_before = 0
        self._by_instrument: dict[int, NDArray[np.intp]] | None = None
        self._instruments: NDArray[np.int32] | None = None

    @classmethod
    def of_rows(cls, table: str, rows: pa.RecordBatch) -> Published:
        """Make an entry of stamped rows, which are in sequence order and not empty."""
        seq = rows.column("seq")
        return cls(table, rows, seq[0].as_py(), seq[rows.num_rows - 1].as_py())

    @classmethod
    def of_candles(cls, key: CandleKey, rows: pa.RecordBatch, seq: int) -> Published:
        """Make an entry of changed bars in `UPDATE_SCHEMA`; `seq` is the number that caused it."""
        return cls(CANDLES, rows, seq, seq, key=key)

    @classmethod
    def of_status(cls, message: Mapping[str, Any], seq: int) -> Published:
        """Make an entry of one notice: values that JSON knows, by name."""
        return cls(STATUS, None, seq, seq, message=message)

    @classmethod
    def merged(cls, entries: Sequence[Published]) -> Published:
        """Make one of entries of one topic, with what was encoded of them; `split` undoes it.

        Many entries of a row or two cost each reader as much as one of a hundred.
        """
        first, last = entries[0], entries[-1]
        rows = pa.concat_batches([entry.rows for entry in entries])
        made = cls(first.channel, rows, first.seq_first, last.seq_last, key=first.key)
        for codec in {codec for entry in entries for codec in entry.encoded}:
            made.encoded[codec] = EncodedRows.together(
                [(entry.encoded.get(codec), entry.count) for entry in entries]
            )
        return made

    def split(self, entries: Sequence[Published]) -> None:
        """Give the entries that this was merged of what was encoded since."""
        for codec, encoded in self.encoded.items():
            low = 0
            for entry in entries:
                entry.kept()[codec] = encoded.part(low, low + entry.count)
                low += entry.count

    def kept(self) -> dict[str, EncodedRows]:
        """Return `encoded`, to be added to; in a ring it is kept for as long as it is asked for."""
        if self.warm is not None:
            self.warm.use(self)
        return self.encoded

    @property
    def topic(self) -> str | CandleKey:
        """What a subscriber chooses by: the channel, or the key of the candles."""
        return self.channel if self.key is None else self.key

    @property
    def weight(self) -> int:
        """What it counts for in the ring, in rows."""
        return self.count + ENTRY_ROWS

    @property
    def by_instrument(self) -> dict[int, NDArray[np.intp]]:
        """The row numbers of each instrument, ascending; computed once, empty for a notice."""
        if self._by_instrument is None:
            self._by_instrument = _group(self.rows)
        return self._by_instrument

    @property
    def instruments(self) -> NDArray[np.int32]:
        """The instrument of each row, shape (rows,); not of a notice."""
        assert self.rows is not None
        if self._instruments is None:
            self._instruments = self.rows.column("instrument").to_numpy()
        return self._instruments

    def rows_of(self, instruments: Set[int]) -> NDArray[np.intp]:
        """Return the numbers of the rows of these instruments, ascending."""
        groups = self.by_instrument
        if len(groups) < len(instruments):
            parts = [rows for number, rows in groups.items() if number in instruments]
        else:
            parts = [groups[number] for number in instruments if number in groups]
        if len(parts) < 2:
            return parts[0] if parts else _NO_ROWS
        return np.sort(np.concatenate(parts))

    def rows_where(self, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the numbers of the rows whose instrument is wanted, ascending.

        `wanted` is by instrument; its last place stands for all instruments beyond it.
        """
        return np.flatnonzero(wanted.take(self.instruments, mode="clip"))


_NO_ROWS = np.empty(0, dtype=np.intp)
_ROW_ZERO = np.zeros(1, dtype=np.intp)


def _group(rows: pa.RecordBatch | None) -> dict[int, NDArray[np.intp]]:
    if rows is None:
        return {}
    numbers = rows.column("instrument").to_numpy()
    if len(numbers) == 1:
        return {int(numbers[0]): _ROW_ZERO}
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    edges = [0, *cuts.tolist(), len(order)]
    firsts = ordered[edges[:-1]].tolist()
    return {
        number: order[low:high]
        for number, low, high in zip(firsts, edges[:-1], edges[1:], strict=True)
    }
