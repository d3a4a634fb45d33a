"""A feed that plays stored events back, in the order and at the pace of their event times.

    History ─► chunks of trades and of quotes ─► what is due ─► sink
               read in a thread, bounded          `speed` seconds of events a second

Events keep `ts_event`, ids, prices, names and flags; `seq` and `ts_recv` are new, because the plant
that takes them is another one. Trades are played as they stand: a correction is played as the trade
that it made of the first one, without the flag, and what was cancelled is not played. What is sent
together (at most 50 ms apart) comes as quotes, then trades.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.feeds.contract import Clock, Sink, Sleep
from tickplant.model.events import INCOMING, MARKET_TABLES, QUOTES, TRADES, Flag
from tickplant.model.instruments import Instrument, Registry
from tickplant.model.times import INT64_MAX, NS_PER_MS, NS_PER_S
from tickplant.plant.feed_notes import Alive, Begun
from tickplant.plant.history import History
from tickplant.plant.submission import Submission
from tickplant.store.contract import Cursor

PERIOD_NS = 50 * NS_PER_MS
ALIVE_NS = NS_PER_S  # a heartbeat at least this often, lest a quiet night be taken for a stall
CHUNK_ROWS = 250_000
STEP_ROWS = 20_000
"""Rows of a table that are sent at once when there is no pace to keep."""

_AMENDING = int(Flag.CORRECTION | Flag.CANCEL)


class TableReader:
    """Reads one table in event order, a chunk at a time. One thread at a time."""

    def __init__(
        self,
        history: History,
        table: str,
        numbers: Sequence[int] | None,
        start: int | None,
        end: int | None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        self.table = table
        self._scan = history.store.scan
        self._numbers = None if numbers is None else pa.array(sorted(numbers), pa.int32())
        self._one = numbers[0] if numbers is not None and len(numbers) == 1 else None
        self._start, self._end = start, end
        self._chunk_rows = chunk_rows
        self._after: Cursor | None = None
        self._ended = False
        self._rows: pa.Table | None = None
        self._ts: NDArray[np.int64] = np.empty(0, np.int64)

    def fill(self) -> None:
        """Read the next chunk where nothing is left of the last one."""
        while not len(self._ts) and not self._ended:
            rows = self._scan(
                self.table,
                self._one,
                start=self._start,
                end=self._end,
                after=self._after,
                limit=self._chunk_rows,
            )
            self._ended = rows.num_rows < self._chunk_rows
            if rows.num_rows:
                self._after = Cursor(rows["ts_event"][-1].as_py(), rows["seq"][-1].as_py())
                if self._numbers is not None:
                    rows = rows.filter(pc.is_in(rows["instrument"], self._numbers))
            self._rows = rows.combine_chunks()
            self._ts = self._rows["ts_event"].to_numpy()

    @property
    def empty(self) -> bool:
        """Whether nothing is left of the chunk."""
        return not len(self._ts)

    def next_ts(self) -> int:
        """Return the time of the next row, a very late one where there is none."""
        return int(self._ts[0]) if len(self._ts) else INT64_MAX

    def step_ts(self) -> int:
        """Return the time up to which about `STEP_ROWS` rows of the chunk reach."""
        return int(self._ts[min(STEP_ROWS, len(self._ts)) - 1]) if len(self._ts) else INT64_MAX

    def last_ts(self) -> int:
        """Return the time up to which the chunk is all there is: later rows need the next one."""
        return INT64_MAX if self._ended or not len(self._ts) else int(self._ts[-1])

    def take(self, upto: int) -> pa.Table | None:
        """Take the rows of the chunk with `ts_event <= upto`, or None."""
        count = int(np.searchsorted(self._ts, upto, side="right"))
        if not count or self._rows is None:
            return None
        taken = self._rows.slice(0, count)
        self._rows, self._ts = self._rows.slice(count), self._ts[count:]
        return taken


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
        tables: Sequence[str] = MARKET_TABLES,
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
        self._tables = [table for table in (QUOTES, TRADES) if table in tables]
        self._range = start, end
        self._clock, self._sleep = clock, sleep
        self._speed = speed
        self._loop = loop
        self._wait = wait
        self._chunk_rows = chunk_rows
        self._readers: list[TableReader] | None = None  # of a pass that is under way

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
            self._readers = [
                TableReader(self._history, table, self._numbers, *self._range, self._chunk_rows)
                for table in self._tables
            ]
        readers = self._readers
        await self._fill(readers)
        event_origin = min(reader.next_ts() for reader in readers)
        if (begun or not self.passes) and event_origin != INT64_MAX:
            await sink.say(Begun(self.name, start=event_origin))
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

    async def _fill(self, readers: list[TableReader]) -> None:
        if any(reader.empty for reader in readers):
            await asyncio.to_thread(_fill_all, readers)

    async def _send(self, sink: Sink, readers: list[TableReader], upto: int) -> None:
        for reader in readers:
            rows = reader.take(upto)
            if rows is None:
                continue
            self.rows += rows.num_rows
            for submission in self._submissions(reader.table, rows):
                await sink.submit(submission)

    def _submissions(self, table: str, rows: pa.Table) -> Iterator[Submission]:
        """Yield submissions, each of rows with the same flags, each instrument's in order."""
        flags = rows["flags"].to_numpy() & ~_AMENDING
        incoming = self._incoming(table, rows)
        for places in _same_flags(flags, rows["instrument"].to_numpy()):
            whole = len(places) == len(flags)
            part = incoming if whole else incoming.take(pa.array(places))
            yield Submission(table, part, self.name, self.venue, int(flags[places[0]]))

    def _incoming(self, table: str, rows: pa.Table) -> pa.RecordBatch:
        made = self._names.columns(rows["instrument"])
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

    def columns(self, numbers: pa.ChunkedArray) -> dict[str, pa.ChunkedArray]:
        """Return the columns `symbol` and `venue` for a column of numbers."""
        return {"symbol": self._symbols.take(numbers), "venue": self._venues.take(numbers)}
