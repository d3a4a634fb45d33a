"""A feed that plays a capture: the same frames through the same parser and the same books.

    records ─► Session.receive (frames that were handled together, again together) ─► rows ─► sink
                    └─► Updates ─► BookDesk ─► rows of `book`
    answers over HTTP ─► whoever waits for one: listings, snapshots of books

Time is the capture's own: what a record says is when it happened, whatever the speed. So the same
capture gives the same events however often it is played. What was fetched to repair a gap is not
played; a connection that ends is a gap until the next one speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tickplant.books.updates import Updates
from tickplant.config import BookSettings
from tickplant.feeds.book_desk import BookDesk, Delivered
from tickplant.feeds.capture.records import (
    MORE,
    Header,
    Record,
    read_header,
    read_records,
)
from tickplant.feeds.contract import Clock, Sink, Sleep
from tickplant.feeds.venues.contract import (
    BadFrame,
    Channel,
    Confirmed,
    Frame,
    Received,
    Session,
    Skipped,
    Stream,
    Venue,
    VenueFault,
)
from tickplant.feeds.venues.options import Account, VenueOptions
from tickplant.model.events import BOOK, INCOMING
from tickplant.model.rejects import Reject, row_text
from tickplant.model.times import NS_PER_S
from tickplant.plant.feed_notes import Begun, Hole, Lost
from tickplant.plant.submission import Submission

PAUSE_S_MAX = 1.0

TURNS = 5
"""Turns of the event loop in which a request gets to where it waits for its answer."""

MakeVenue = Callable[[str, VenueOptions], Venue]


class CapturedHttp:
    """An `Http` that answers with what was answered, when the replay comes to it."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, dict[str, str], asyncio.Future[bytes]]] = []

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, weight: int = 1
    ) -> bytes:
        """Wait for the recorded answer; see `Http.get`."""
        del weight
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((path, dict(params or {}), future))
        return await future

    def answer(self, data: Mapping[str, Any]) -> bool:
        """Give an answer to the first that waits for it; say whether anybody did."""
        for place, (path, params, future) in enumerate(self._waiting):
            kept = {name: params.get(name) for name in data["params"]}
            if path == data["path"] and kept == data["params"] and not future.done():
                del self._waiting[place]
                if 200 <= data["status"] < 300:
                    future.set_result(data["body"])
                else:
                    future.set_exception(VenueFault(f"{path}: HTTP status {data['status']}"))
                return True
        return False


class CaptureFeed:
    """A `Feed` that plays capture files and then ends; `done` is set when it has.

    `speed` is seconds of the capture a second, None as fast as it is taken. `make` makes the venue
    that the header names.
    """

    kind = "capture"

    def __init__(
        self,
        paths: Sequence[Path],
        make: MakeVenue,
        *,
        clock: Clock,
        sleep: Sleep,
        speed: float | None = 1.0,
        name: str | None = None,
        books: BookSettings | None = None,
    ) -> None:
        self.header: Header = read_header(paths[0])
        # Whose accounts they were is not known; a replay never connects to a venue.
        accounts = (Account(*["capture"] * 4),) * self.header.accounts
        options = VenueOptions(accounts=accounts, extra=self.header.options)
        self._venue = make(self.header.venue, options)
        self.name = name or self.header.feed
        self.venue = self._venue.name
        self.done = asyncio.Event()
        self.rows = 0
        self.passes = 0
        self.streams = [Stream(symbol, _channel(name)) for symbol, name in self.header.streams]
        self._paths = tuple(paths)
        self._clock, self._sleep, self._speed = clock, sleep, speed
        self._books = books

    @property
    def instruments(self) -> int:
        """How many instruments it was subscribed to."""
        return len({stream.symbol for stream in self.streams})

    async def run(self, sink: Sink) -> None:
        """Play the files once, from their beginning."""
        player = _Player(self, self._venue, sink, self._books)
        pace = _Pace(self._clock, self._sleep, self._speed)
        try:
            for together in _together(read_records(self._paths)):
                await pace.wait(together[0].ts)
                await player.take(together)
        finally:
            await player.end()
        self.passes += 1
        self.done.set()


class _Pace:
    """Holds the time of the capture against the clock."""

    def __init__(self, clock: Clock, sleep: Sleep, speed: float | None) -> None:
        self._clock, self._sleep, self._speed = clock, sleep, speed
        self._origin: tuple[int, int] | None = None

    async def wait(self, ts: int) -> None:
        if self._speed is None:
            return
        if self._origin is None:
            self._origin = ts, self._clock()
        first, began = self._origin
        while True:
            ahead_ns = int((ts - first) / self._speed) - (self._clock() - began)
            if ahead_ns <= 0:
                return
            await self._sleep(min(ahead_ns / NS_PER_S, PAUSE_S_MAX))


def _together(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield lists of records that were handled together: several frames, or one of anything."""
    held: list[Record] = []
    for record in records:
        if held and not (record.kind == MORE and record.connection == held[0].connection):
            yield held
            held = []
        held.append(record)
    if held:
        yield held


class _Player:
    """Takes records in order and hands over what they come to."""

    def __init__(
        self, feed: CaptureFeed, venue: Venue, sink: Sink, books: BookSettings | None
    ) -> None:
        self._feed = feed
        self._venue = venue
        self._sink = sink
        self._http = CapturedHttp()
        self._books = books
        self._sessions: dict[int, Session] = {}
        self._desks: dict[int, BookDesk] = {}
        self._asking: dict[asyncio.Task[Any], tuple[int, str] | None] = {}
        self._begun = False
        if venue.http_url is not None:
            self._asking[asyncio.ensure_future(venue.listings(self._http))] = None

    async def end(self) -> None:
        """Give up what was asked for and never answered."""
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def take(self, records: Sequence[Record]) -> None:
        """Take records that were handled together."""
        first = records[0]
        await self._tell_due(first.ts)
        match first.kind:
            case "opened":
                await self._open(first)
            case "received" | "more":
                session = self._sessions.get(first.connection)
                if session is None:  # the file begins in the midst of a connection
                    session = await self._open(first)
                frames = [Frame(record.ts, record.data) for record in records]
                await self._deliver(first.connection, session.receive(frames), records[-1].ts)
            case "answered":
                await self._answer(first)
            case "closed":
                await self._close(first)

    async def _open(self, record: Record) -> Session:
        session = self._venue.session(tuple(self._feed.streams))
        session.opening()
        session.subscribe(self._feed.streams)
        self._sessions[record.connection] = session
        if not self._begun:
            self._begun = True
            symbols = sorted({stream.symbol for stream in self._feed.streams})
            await self._sink.say(
                Begun(self._feed.name, symbols=[(one, self._feed.venue) for one in symbols] or None)
            )
        return session

    async def _close(self, record: Record) -> None:
        self._sessions.pop(record.connection, None)
        desk = self._desks.pop(record.connection, None)
        if desk is not None:
            symbols = sorted(s.symbol for s in self._feed.streams if s.channel == BOOK)
            await self._submit(BOOK, desk.lose(symbols, record.ts).rows, record.ts)
        if not self._sessions:
            await self._sink.say(Lost(self._feed.name, "disconnect", str(record.data)))

    # -- what a session received -------------------------------------------------------------------

    async def _deliver(self, connection: int, received: Received, at: int) -> None:
        for said in received.said:
            if isinstance(said, Skipped) and said.start < said.end:
                symbols = sorted({(one.symbol, self._feed.venue) for one in said.streams})
                await self._sink.say(
                    Hole(self._feed.name, said.start, said.end, "sequence", symbols, said.detail)
                )
            elif isinstance(said, Confirmed) and not said.ends:
                books = [one.symbol for one in said.streams if one.channel == BOOK]
                if books:
                    await self._tell(connection, self._desk(connection).begin(books, at), at)
        bad: dict[str, list[BadFrame]] = {}
        for one in received.bad:
            bad.setdefault(one.table, []).append(one)
        for table, rows in received.rows.items():
            await self._submit(table, rows, at, bad.pop(table, ()))
        for table, frames in bad.items():
            await self._submit(table, pa.RecordBatch.from_pylist([], INCOMING[table]), at, frames)
        if received.books is not None and len(received.books):
            await self._tell(connection, self._desk(connection).take(received.books, at), at)

    def _desk(self, connection: int) -> BookDesk:
        if connection not in self._desks:
            self._desks[connection] = BookDesk.of_venue(self._venue, self._books)
        return self._desks[connection]

    async def _tell(self, connection: int, delivered: Delivered, at: int) -> None:
        await self._submit(BOOK, delivered.rows, at)
        if self._venue.book_source != "http":
            return  # the snapshot is among the frames
        for symbol in delivered.wanted:
            asking = self._venue.book_snapshot(self._http, symbol)
            self._asking[asyncio.ensure_future(asking)] = (connection, symbol)
        if delivered.wanted:
            await self._turn()

    async def _tell_due(self, now: int) -> None:
        """Hand over what was due of books that are told at a rate."""
        for desk in self._desks.values():
            due_at = desk.due_at
            if due_at is not None and due_at <= now:
                await self._submit(BOOK, desk.due(due_at).rows, due_at)

    async def _submit(
        self, table: str, rows: pa.RecordBatch, at: int, bad: Sequence[BadFrame] = ()
    ) -> None:
        if not rows.num_rows and not bad:
            return
        place = rows.schema.get_field_index("ts_event")
        if rows.column(place).null_count:  # the time of receipt was that of the capture
            times = pc.fill_null(rows.column(place), at)
            rows = rows.set_column(place, rows.schema.field(place), times)
        rejects = [
            Reject(n, one.reason, one.detail, row_text({"frame": one.frame}))
            for n, one in enumerate(bad, rows.num_rows)
        ]
        self._feed.rows += rows.num_rows
        await self._sink.submit(
            Submission(table, rows, self._feed.name, self._feed.venue, unreadable=rejects)
        )

    # -- answers over HTTP -------------------------------------------------------------------------

    async def _answer(self, record: Record) -> None:
        await self._turn()
        if self._http.answer(record.data):
            await self._turn()
        for task in [task for task in self._asking if task.done()]:
            asked = self._asking.pop(task)
            fault = task.exception()
            if isinstance(fault, VenueFault):
                if asked is not None:  # the feed had asked once more
                    again = self._venue.book_snapshot(self._http, asked[1])
                    self._asking[asyncio.ensure_future(again)] = asked
            elif fault is not None:
                raise fault
            elif asked is None:
                self._venue.learn(task.result())
            elif asked[0] in self._desks:
                # A snapshot that the venue does not date was dated by the clock, which is ours now.
                found: Updates = task.result()
                found = replace(found, ts_event=np.minimum(found.ts_event, record.ts))
                delivered = self._desks[asked[0]].take(found, record.ts)
                await self._tell(asked[0], delivered, record.ts)

    async def _turn(self) -> None:
        """Let what was asked for get to where it waits; nothing of it waits for anything else."""
        for _ in range(TURNS):
            await asyncio.sleep(0)


def _channel(name: str) -> Channel:
    return name  # type: ignore[return-value]
