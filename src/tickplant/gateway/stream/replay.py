"""Reading what the ring no longer holds: history in chunks, in a thread, already encoded.

A reader is asked for one chunk at a time (`next`), blocks, and is never asked twice at once. Each
chunk says up to which number the subscription is then complete.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.gateway.stream.encode import encode_rows
from tickplant.gateway.stream.protocol import Codec
from tickplant.model.events import QUOTES, STATS, Flag
from tickplant.model.instruments import Instrument
from tickplant.plant.encoded import NO_EVENTS, Events
from tickplant.plant.history import History
from tickplant.plant.newest import last_rows
from tickplant.plant.published import CandleKey
from tickplant.store.contract import AsOf

CHUNK_ROWS = 20_000


class Chunk(NamedTuple):
    """Encoded events, complete up to `seq`. `missed` counts events that are not among them."""

    events: Events
    seq: int
    done: bool
    missed: int = 0


class Reader(Protocol):
    """What a subscription reads from when the ring does not have it."""

    def next(self) -> Chunk:
        """Return the next chunk; the last one says `done`."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """Where a reader reads and how it encodes. `numbers` is None for all instruments."""

    history: History
    codec: Codec
    numbers: tuple[int, ...] | None = None

    def encode_table(self, channel: str, rows: pa.Table, key: CandleKey | None = None) -> Events:
        """Return rows of a table as encoded events; `key` is for candles."""
        if not rows.num_rows:
            return NO_EVENTS
        (batch,) = rows.combine_chunks().to_batches()
        encoded = encode_rows(channel, batch, self.codec, self.history.registry, key)
        return Events.of_array(encoded)


class RowReader:
    """Rows as they were logged, `after < seq <= upto`, of at least `start` in event time."""

    def __init__(
        self, source: Source, table: str, after: int, upto: int, start: int | None
    ) -> None:
        self._source = source
        self._table = table
        self._after = after
        self._upto = upto
        self._start = start

    def next(self) -> Chunk:
        """Return at most `CHUNK_ROWS` rows in sequence order."""
        rows = _scan(self._source, self._table, self._after, self._upto, self._start)
        done = rows.num_rows < CHUNK_ROWS
        self._after = self._upto if done else rows["seq"][-1].as_py()
        return Chunk(self._source.encode_table(self._table, rows), self._after, done)


def first_seq(source: Source, table: str, start: int, upto: int) -> int:
    """Return the number before the first row with `ts_event >= start`; `upto` if there is none."""
    rows = source.history.store.scan_seq(
        table, 0, upto, instruments=source.numbers, start=start, limit=1
    )
    return rows["seq"][0].as_py() - 1 if rows.num_rows else upto


class LatestReader:
    """The last quote of each instrument among those with `after < seq <= upto`: conflation."""

    def __init__(self, source: Source, after: int, upto: int, start: int | None) -> None:
        self._source = source
        self._after = after
        self._upto = upto
        self._start = start

    def next(self) -> Chunk:
        """Return them all in one chunk, in sequence order; `missed` are those left out."""
        last: dict[int, pa.Table] = {}
        seen = 0
        for rows in stored_chunks(self._source, QUOTES, self._after, self._upto, self._start):
            seen += rows.num_rows
            numbers = rows["instrument"].to_numpy()
            found, places = np.unique(numbers[::-1], return_index=True)
            newest = rows.take(pa.array(len(numbers) - 1 - places))
            last.update(
                (number, newest.slice(place, 1)) for place, number in enumerate(found.tolist())
            )
        if not last:
            return Chunk(NO_EVENTS, self._upto, done=True)
        kept = pa.concat_tables(last.values()).sort_by("seq")
        return Chunk(self._source.encode_table(QUOTES, kept), self._upto, True, seen - len(last))


class SnapshotReader:
    """The last trade or quote of each instrument as of a number, flagged `snapshot`.

    Of statistics it is the last of each name.
    """

    def __init__(
        self, source: Source, table: str, instruments: list[Instrument], upto: int
    ) -> None:
        self._source = source
        self._table = table
        self._instruments = instruments
        self._upto = upto

    def next(self) -> Chunk:
        """Return them all in one chunk, in sequence order."""
        rows = self._rows(AsOf(seq_max=self._upto)).sort_by("seq")
        flags = pc.bit_wise_or(rows["flags"], pa.scalar(int(Flag.SNAPSHOT), pa.int32()))
        place = rows.schema.get_field_index("flags")
        rows = rows.set_column(place, rows.schema.field(place), flags)
        return Chunk(self._source.encode_table(self._table, rows), self._upto, done=True)

    def _rows(self, as_of: AsOf) -> pa.Table:
        history = self._source.history
        if self._table == STATS:
            return history.last_stats(self._instruments, as_of=as_of)
        numbers = np.array([one.number for one in self._instruments], dtype=np.int64)
        return last_rows(history.store, self._table, numbers, as_of)


def _scan(source: Source, table: str, after: int, upto: int, start: int | None) -> pa.Table:
    return source.history.store.scan_seq(
        table, after, upto, instruments=source.numbers, start=start, limit=CHUNK_ROWS
    )


def stored_chunks(
    source: Source, table: str, after: int, upto: int, start: int | None
) -> Iterator[pa.Table]:
    """Yield the rows with `after < seq <= upto` as logged, in tables of at most `CHUNK_ROWS`."""
    while True:
        rows = _scan(source, table, after, upto, start)
        if rows.num_rows:
            yield rows
            after = rows["seq"][-1].as_py()
        if rows.num_rows < CHUNK_ROWS:
            return
