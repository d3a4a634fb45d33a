"""From what a session received to what the plant takes: rows, books, frames that cannot be read.

Received.rows ─► (overlap) ─────────────► sink.submit
Received.books ─► the link's BookDesk ──► sink.submit, and snapshots that are wanted
Received.bad ───► quarantine, with the frame
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.books.updates import Updates
from tickplant.feeds.book_desk import BookDesk, Delivered
from tickplant.feeds.contract import Clock, Sink
from tickplant.feeds.supervisor.board import Board
from tickplant.feeds.supervisor.link import Link
from tickplant.feeds.supervisor.overlap import Overlap
from tickplant.feeds.venues.contract import BadFrame, Received
from tickplant.model.events import BOOK, INCOMING
from tickplant.model.rejects import Reject, row_text
from tickplant.observe.tracing import Tracer
from tickplant.plant.submission import Submission

_SYMBOLS_FEW = 32


class Delivery:
    """Hands over what links receive. One event loop.

    `wanted(link, symbols)` is called for books that need a snapshot.
    """

    def __init__(
        self,
        feed: str,
        venue: str,
        sink: Sink,
        board: Board,
        *,
        clock: Clock,
        new_desk: Callable[[], BookDesk],
        wanted: Callable[[Link, Sequence[str]], None],
        tracer: Tracer | None = None,
    ) -> None:
        self.unreadable = 0
        self._feed = feed
        self._venue = venue
        self._sink = sink
        self._board = board
        self._clock = clock
        self._new_desk = new_desk
        self._wanted = wanted
        self._tracer = tracer
        self._desks: dict[Link, BookDesk] = {}
        self._books: dict[Link, set[str]] = {}
        self._overlaps: dict[int, Overlap] = {}

    # -- the life of links -------------------------------------------------------------------------

    def open(self, link: Link, old: Link | None) -> None:
        """Take a new link, which overlaps with an old one of its line if there is one."""
        self._overlaps.pop(link.line, None)
        if old is not None:
            self._overlaps[link.line] = Overlap(old.number, link.number)

    async def close(self, link: Link) -> None:
        """Let a link go: the books that nobody else tells are lost."""
        overlap = self._overlaps.pop(link.line, None)
        handed: set[str] = set()
        if overlap is not None and overlap.old == link.number:
            handed, overlap.until = overlap.handed, link.pulse.proven
            if overlap.until is not None:
                self._overlaps[link.line] = overlap
        desk = self._desks.pop(link, None)
        if desk is None:
            return
        symbols = sorted(self._books.pop(link, set()) - handed)
        await self._submit_books(link, desk, desk.lose(symbols, self._clock()), tell=False)

    # -- what comes --------------------------------------------------------------------------------

    async def take(self, link: Link, received: Received, at: int) -> None:
        """Hand over rows, books and bad frames that came `at` a time of ours."""
        trace = None if self._tracer is None else self._tracer.begin(f"feed {self._feed}", at)
        if trace is None:
            await self._take(link, received, at)
            return
        trace.note("parse", at, self._clock())
        token = trace.enter()
        try:
            await self._take(link, received, at)
        finally:
            trace.leave(token)

    async def _take(self, link: Link, received: Received, at: int) -> None:
        overlap = self._overlaps.get(link.line)
        bad = _by_table(received.bad)
        for table, rows in received.rows.items():
            if not rows.num_rows:
                continue
            self._board.heard(_symbols(rows), table, at)
            new = rows if overlap is None else overlap.filtered(link.number, table, rows)
            await self._submit(table, new, bad.pop(table, ()))
            self._prove(link, rows.column("ts_event").drop_null().to_numpy(), at)
        for table, frames in bad.items():
            await self._submit(table, pa.RecordBatch.from_pylist([], INCOMING[table]), frames)
        if received.books is not None and len(received.books):
            updates = received.books
            self._board.heard(updates.symbols, BOOK, at)
            await self.take_books(link, updates)
            self._prove(link, updates.ts_event, at)
        if overlap is not None and overlap.until is not None:
            self._end_overlap(link, overlap.until)

    def _end_overlap(self, link: Link, until: int) -> None:
        """Forget what came twice, once the link is past all that the older one delivered."""
        if link.pulse.proven is not None and link.pulse.proven > until:
            self._overlaps.pop(link.line, None)

    def _prove(self, link: Link, ts: NDArray[np.int64], at: int) -> None:
        """Note how far events prove a link to deliver, now that they are handed over.

        A time of receipt proves nothing.
        """
        if len(ts) and int(ts.max()) in link.receipts:
            ts = ts[~np.isin(ts, list(link.receipts))]
        if len(ts):
            link.pulse.event(int(ts.max()), at)

    async def _submit(self, table: str, rows: pa.RecordBatch, bad: Sequence[BadFrame] = ()) -> None:
        if not rows.num_rows and not bad:
            return
        self.unreadable += len(bad)
        rejects = [_reject(place, frame) for place, frame in enumerate(bad, rows.num_rows)]
        await self._sink.submit(
            Submission(table, rows, feed=self._feed, venue=self._venue, unreadable=rejects)
        )

    # -- books -------------------------------------------------------------------------------------

    def desk(self, link: Link, symbols: Iterable[str] = ()) -> BookDesk:
        """Return the desk of a link's books, which has those of some symbols from now on."""
        if link not in self._desks:
            self._desks[link], self._books[link] = self._new_desk(), set()
        self._books[link].update(symbols)
        return self._desks[link]

    async def take_books(self, link: Link, updates: Updates) -> None:
        """Take messages about books: what a link received, and snapshots that were asked for."""
        desk = self.desk(link, updates.symbols)
        await self._submit_books(link, desk, desk.take(updates, self._clock()))

    async def begin_books(self, link: Link, symbols: Sequence[str]) -> None:
        """Note that the subscriptions of these books are in force."""
        desk = self.desk(link, symbols)
        await self._submit_books(link, desk, desk.begin(symbols, self._clock()))

    async def lose_books(self, link: Link, symbols: Iterable[str], why: str) -> None:
        """Note that messages of these books are missing."""
        desk = self.desk(link)
        await self._submit_books(link, desk, desk.lose(symbols, self._clock(), why))

    async def drop_books(self, link: Link, symbols: Iterable[str]) -> None:
        """Forget books that are not wanted any more."""
        desk = self.desk(link)
        await self._submit_books(link, desk, desk.drop(symbols, self._clock()))

    async def due_books(self) -> None:
        """Hand over what is due of books that are told at a rate."""
        now = self._clock()
        for link, desk in list(self._desks.items()):
            due_at = desk.due_at
            if due_at is not None and due_at <= now:
                await self._submit_books(link, desk, desk.due(now))

    async def _submit_books(
        self, link: Link, desk: BookDesk, delivered: Delivered, *, tell: bool = True
    ) -> None:
        rows, overlap = delivered.rows, self._overlaps.get(link.line)
        if overlap is not None:
            rows = overlap.books(link.number, rows)
        await self._submit(BOOK, rows)
        if not tell:
            return
        if delivered.wanted:
            self._wanted(link, delivered.wanted)
        if overlap is not None and overlap.new == link.number:
            link.settling = bool(desk.wanting())
            link.changed.set()


def _by_table(bad: Sequence[BadFrame]) -> dict[str, list[BadFrame]]:
    found: dict[str, list[BadFrame]] = {}
    for frame in bad:
        found.setdefault(frame.table, []).append(frame)
    return found


def _reject(place: int, bad: BadFrame) -> Reject:
    return Reject(place, bad.reason, bad.detail, row_text(_shown(bad.frame)))


def _shown(frame: bytes) -> dict[str, str]:
    """Return a frame as text, or where it is binary in base64."""
    try:
        text = frame.decode()
    except UnicodeDecodeError:
        text = "\0"
    if any(sign < " " and sign not in "\t\r\n" for sign in text):
        return {"frame_base64": b64encode(frame).decode()}
    return {"frame": text}


def _symbols(rows: pa.RecordBatch) -> Iterable[str]:
    column = rows.column("symbol")
    if rows.num_rows <= _SYMBOLS_FEW:
        return set(column.to_pylist())
    found: list[str] = pc.unique(column).to_pylist()
    return found
