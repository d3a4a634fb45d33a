"""A feed that plays stored events back, in the order and at the pace of their event times.

    History ─► chunks of each table ─────► what is due ─► merged ─► sink
               read in a thread, bounded   `speed` seconds of events a second

Events keep `ts_event`, ids, prices, names and flags; `seq` and `ts_recv` are new, because the plant
that takes them is another one. Trades are played as they stand: a correction is played as the trade
that it made of the first one, without the flag, and what was cancelled is not played. Books are
played step by step from a whole one on: where the range begins amid a book, that is sent first, as
a snapshot of this moment. The rows of all tables come in the order of their times and numbers; in
parts, where much is sent at once (see `replay_tables.merged`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.feeds.contract import Clock, Sink, Sleep
from tickplant.feeds.replay_tables import CHUNK_ROWS, BookReader, TableReader, merged
from tickplant.model.events import BOOK, INCOMING, QUOTES, STATS, TRADES, Flag
from tickplant.model.instruments import Instrument, Registry
from tickplant.model.times import INT64_MAX, NS_PER_MS, NS_PER_S
from tickplant.plant.feed_notes import Alive, Begun
from tickplant.plant.history import History
from tickplant.plant.submission import Submission

PERIOD_NS = 50 * NS_PER_MS
ALIVE_NS = NS_PER_S  # a heartbeat at least this often, lest a quiet night be taken for a stall
REPLAYED_TABLES = (BOOK, STATS, QUOTES, TRADES)
"""What can be played, in the order of what happened at the same moment."""

_SNAPSHOT = int(Flag.SNAPSHOT)
_NOT_PLAYED = int(Flag.CORRECTION | Flag.CANCEL) | _SNAPSHOT  # a row's own, or applied already


class ReplayFeed:
    """A `Feed` that ends by itself, or never where `loop` is set; `done` is set when it has ended.

    `speed` is seconds of events a second, None as fast as they are taken. `numbers` are those of
    the instruments to play, None all. `wait` is awaited before the first event.
    """

    kind = "replay"

    def __init__(
        self,
        history: History,
        *,
        clock: Clock,
        sleep: Sleep,
        speed: float | None = 1.0,
        numbers: Sequence[int] | None = None,
        tables: Sequence[str] = REPLAYED_TABLES,
        start: int | None = None,
        end: int | None = None,
        loop: bool = False,
        wait: Callable[[], Awaitable[None]] | None = None,
        chunk_rows: int = CHUNK_ROWS,
        name: str = "replay",
    ) -> None:
        self.name = name
        self.venue = "REPLAY"
        self.done = asyncio.Event()
        self.rows = 0
        self.passes = 0
        self._history = history
        self._names = _Names(history.registry)
        self._numbers = numbers
        self._tables = [table for table in REPLAYED_TABLES if table in tables]
        self._range = start, end
        self._clock, self._sleep = clock, sleep
        self._speed = speed
        self._loop = loop
        self._wait = wait
        self._chunk_rows = chunk_rows
        self._readers: list[TableReader] | None = None  # of a pass that is under way
        self._first: pa.RecordBatch | None = None  # books of before it
        self._pending: deque[Submission] = deque()

    @property
    def instruments(self) -> int:
        """How many instruments are played."""
        return len(self._history.registry) if self._numbers is None else len(self._numbers)

    async def run(self, sink: Sink) -> None:
        """Play the range, once or again and again; called again, it carries on where it was."""
        if self._wait is not None:
            await self._wait()
        while True:
            before = self.rows
            await self._play(sink)
            self.passes += 1
            if not self._loop or self.rows == before:
                break
        self.done.set()

    async def _play(self, sink: Sink) -> None:
        begun = self._readers is not None
        if self._readers is None:
            self._readers = [self._reader(table) for table in self._tables]
            self._first = await asyncio.to_thread(_books_of, self._readers)
        readers = self._readers
        await self._fill(readers)
        event_origin = min(reader.next_ts() for reader in readers)
        if self._pending:  # what was taken before it was cut
            event_origin = min(event_origin, int(self._pending[0].rows["ts_event"][0].as_py()))
        if (begun or not self.passes) and event_origin != INT64_MAX:
            await sink.say(Begun(self.name, start=event_origin))
        if event_origin != INT64_MAX:
            self._add_first()
        await self._send_pending(sink)
        wall_origin = self._clock()
        while any(not reader.empty for reader in readers):
            upto = min(reader.last_ts() for reader in readers)
            if self._speed is None:
                upto = min(upto, *(reader.step_ts() for reader in readers))
            else:
                due = event_origin + int((self._clock() - wall_origin) * self._speed)
                upto = min(upto, due)
                next_ts = min(reader.next_ts() for reader in readers)
                if next_ts > upto:
                    await sink.say(Alive(self.name, min(due, next_ts)))
                    ahead_ns = (next_ts - due) / self._speed
                    await self._sleep(min(max(ahead_ns, PERIOD_NS), ALIVE_NS) / NS_PER_S)
                    continue
            await self._send(sink, readers, upto)
            await self._fill(readers)
        self._readers = None

    def _reader(self, table: str) -> TableReader:
        if table == BOOK:
            return BookReader(self._history, self._numbers, *self._range, self._chunk_rows)
        return TableReader(self._history, table, self._numbers, *self._range, self._chunk_rows)

    def _add_first(self) -> None:
        """Have the books sent first as they are when the range begins."""
        first, self._first = self._first, None
        if first is None:
            return
        names = self._names.columns(pc.cast(first["symbol"], pa.int32()))
        for place, name in enumerate(first.schema.names):
            if name in names:
                first = first.set_column(place, first.schema.field(place), names[name])
        self._pending.append(Submission(BOOK, first, self.name, self.venue))

    async def _fill(self, readers: list[TableReader]) -> None:
        if any(reader.empty for reader in readers):
            await asyncio.to_thread(_fill_all, readers)

    async def _send(self, sink: Sink, readers: list[TableReader], upto: int) -> None:
        taken = [(one.table, rows) for one in readers if (rows := one.take(upto)) is not None]
        for table, rows in merged(taken):
            self._pending.extend(self._submissions(table, rows))
        await self._send_pending(sink)

    async def _send_pending(self, sink: Sink) -> None:
        while self._pending:
            submission = self._pending.popleft()
            self.rows += submission.rows.num_rows
            await sink.submit(submission)

    def _submissions(self, table: str, rows: pa.Table) -> Iterator[Submission]:
        """Yield submissions, each of rows with the same flags, each instrument's in order."""
        flags = rows["flags"].to_numpy() & ~_NOT_PLAYED
        incoming = self._incoming(table, rows)
        for places in _same_flags(flags, rows["instrument"].to_numpy()):
            whole = len(places) == len(flags)
            part = incoming if whole else incoming.take(pa.array(places))
            yield Submission(table, part, self.name, self.venue, int(flags[places[0]]))

    def _incoming(self, table: str, rows: pa.Table) -> pa.RecordBatch:
        made = self._names.columns(rows["instrument"])
        if table == BOOK:
            made["flags"] = pc.bit_wise_and(rows["flags"], pa.scalar(_SNAPSHOT, pa.int32()))
        if table == TRADES and self.passes:  # an id names one trade; each pass makes new ones
            tail = pa.scalar(f"~{self.passes + 1}")
            made["id"] = pc.binary_join_element_wise(rows["id"], tail, "")
        schema = INCOMING[table]
        arrays = [
            made[field.name] if field.name in made
            else pa.nulls(rows.num_rows, field.type) if field.name == "key"
            else rows[field.name]
            for field in schema
        ]  # fmt: skip
        joined = [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays]
        return pa.RecordBatch.from_arrays(joined, schema=schema)


def _same_flags(flags: NDArray[np.int32], instrument: NDArray[np.int32]) -> list[NDArray[np.int64]]:
    """Return the places of rows that may go together: same flags, no instrument out of order.

    An instrument nearly always comes from one feed with one set of flags, so that there is one
    group for each set; else each run of neighbours is a group.
    """
    values = np.unique(flags)
    if len(values) == 1:
        return [np.arange(len(flags))]
    pairs = np.unique(np.stack([instrument, flags]), axis=1)
    if pairs.shape[1] == len(np.unique(instrument)):
        return [np.flatnonzero(flags == value) for value in values]
    return np.split(np.arange(len(flags)), np.flatnonzero(np.diff(flags)) + 1)


def _books_of(readers: list[TableReader]) -> pa.RecordBatch | None:
    found = [reader.begun() for reader in readers if isinstance(reader, BookReader)]
    return found[0] if found else None


def _fill_all(readers: list[TableReader]) -> None:
    for reader in readers:
        reader.fill()


class _Names:
    """Symbols and venues by an instrument's number."""

    def __init__(self, registry: Registry) -> None:
        known: dict[int, Instrument] = {i.number: i for i in registry}
        listed = [known.get(number) for number in range(max(known, default=0) + 1)]
        self._symbols = pa.array([i.symbol if i else None for i in listed], pa.string())
        self._venues = pa.array([i.venue if i else None for i in listed], pa.string())

    def columns(self, numbers: pa.Array | pa.ChunkedArray) -> dict[str, Any]:
        """Return the columns `symbol` and `venue` for a column of numbers."""
        return {"symbol": self._symbols.take(numbers), "venue": self._venues.take(numbers)}
