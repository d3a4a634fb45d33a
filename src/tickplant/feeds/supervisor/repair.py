"""Repair: what a gap of the ledger misses is fetched from the venue's history and brought in.

    ledger ─► open gaps of this feed that are over, oldest first ─► repairing
       for each symbol: history.trades(start, end) ─► submit, flagged backfilled ─► counted
    ─► repaired (with the events that were new) | unrepairable (why) | open again (tried later)

The ledger is asked and nothing else is remembered: so what a disconnect, a skip, a stall, an
overload or a restart of the plant has left is repaired in the same way. A trade that is there
already is known by its id and not stored twice; so a little more than the gap is asked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tickplant.feeds.contract import Clock, Sink, Sleep
from tickplant.feeds.supervisor.backoff import Backoff, Jitter
from tickplant.feeds.supervisor.names import joined_name
from tickplant.feeds.venues.contract import NUMBER, Http, OutOfReach, VenueFault, VenueHistory
from tickplant.model.events import INCOMING, TRADES, Flag
from tickplant.model.times import NS_PER_S, format_time
from tickplant.plant.feed_notes import Repair
from tickplant.plant.gaps import OpenGap
from tickplant.plant.submission import Submission

_LOG = logging.getLogger(__name__)

PAD_NS = NS_PER_S
"""How much before and after a gap is asked for as well: what was under way when the connection was
cut, and what no number tells of because it came first on the next one."""

SETTLE_S = 2.0
"""How long after a gap its history is asked for: what a venue has just sent it may list late."""

LOOK_EVERY_S = 30.0

RETRY_S, RETRY_S_MAX = 5.0, 900.0

REACHES_MAX = 8
"""How often in a row a history may fall short of a gap, over some minutes, until that is final."""


FindGaps = Callable[[], Awaitable[Sequence[OpenGap]]]
"""Returns the open gaps of the feed that are over, in any order."""


Brought = Callable[[str, int, int, NDArray[np.int64], NDArray[np.int64]], Awaitable[None]]
"""Is told of the symbol of a repaired gap, the gap's start and end, and the numbers and times of
what was found."""


async def _tell_nobody(*found: object) -> None:
    """Nobody wants to know what was found."""


@dataclass(slots=True)
class _Later:
    """A gap that was put off until `due`; `short` counts answers in a row that fell short of it."""

    pauses: Backoff
    due: int = 0
    short: int = 0


class Repairer:
    """Repairs the gaps of one feed, one after the other. One event loop.

    `has_trades` says of a symbol whether its trades are subscribed to: nothing else is repaired.
    """

    def __init__(
        self,
        feed: str,
        venue: str,
        sink: Sink,
        find: FindGaps,
        history: VenueHistory | None,
        http: Http | None,
        *,
        has_trades: Callable[[str], bool],
        clock: Clock,
        sleep: Sleep,
        jitter: Jitter,
        brought: Brought = _tell_nobody,
    ) -> None:
        self.repaired = self.events = self.given_up = self.failed = 0
        self._feed = feed
        self._venue = venue
        self._sink = sink
        self._find = find
        self._history = history
        self._http = http
        self._has_trades = has_trades
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._brought = brought
        self._news = asyncio.Event()
        self._later: dict[int, _Later] = {}

    def look(self) -> None:
        """Look for gaps soon: there may be a new one."""
        self._news.set()

    async def run(self) -> None:
        """Repair until cancelled."""
        while True:
            await self._wait()
            self._news.clear()
            await self._sleep(SETTLE_S)
            gaps = sorted(await self._find(), key=lambda gap: (gap.start, gap.id))
            for gap in gaps:
                if self._is_due(gap):
                    await self._repair(gap)
            known = {gap.id for gap in gaps}
            self._later = {id: later for id, later in self._later.items() if id in known}

    async def _wait(self) -> None:
        now = self._clock()
        due_s = [max(later.due - now, 0) / 1e9 for later in self._later.values()]
        pause = asyncio.ensure_future(self._sleep(min([LOOK_EVERY_S, *due_s])))
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({pause, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            news.cancel()

    def _is_due(self, gap: OpenGap) -> bool:
        later = self._later.get(gap.id)
        return later is None or later.due <= self._clock()

    async def _repair(self, gap: OpenGap) -> None:
        hopeless = self._hopeless(gap)
        if hopeless is not None:
            self.given_up += 1
            await self._say(gap, "unrepairable", detail=hopeless)
            return
        await self._say(gap, "repairing")
        events = 0
        try:
            for symbol in self._symbols(gap):
                events += await self._bring(symbol, gap.start, gap.end)
        except VenueFault as fault:
            await self._fail(gap, events, fault)
        else:
            self.repaired += 1
            self.events += events
            await self._say(gap, "repaired", events=events, detail="trades, from its history")

    def _hopeless(self, gap: OpenGap) -> str | None:
        """Return why a gap cannot be repaired, None where it may."""
        if self._history is None or self._http is None:
            return "the venue has no history"
        if not self._symbols(gap):
            return "the venue has a history of trades only, and none are subscribed to"
        since = self._history.trades_since(self._clock())
        if since is not None and since > gap.start:
            return f"the venue's history reaches back to {format_time(since)} only"
        return None

    def _symbols(self, gap: OpenGap) -> list[str]:
        """Return the symbols of a gap that can be repaired."""
        names = [joined_name(symbol, venue, self._venue) for symbol, venue in gap.symbols]
        return [name for name in names if self._has_trades(name)]

    async def _bring(self, symbol: str, start: int, end: int) -> int:
        """Submit the trades of a symbol in a span; return how many were new."""
        assert self._history is not None
        assert self._http is not None
        new, found = 0, _Numbers()
        first, until = start - PAD_NS, end + PAD_NS
        async for page in self._history.trades(self._http, symbol, first, until):
            rows = found.take(_within(page, first, until))
            if rows.num_rows:
                flags = int(Flag.BACKFILLED)
                receipt = await self._sink.deliver(
                    Submission(TRADES, rows, feed=self._feed, venue=self._venue, flags=flags)
                )
                new += receipt.accepted
        if found.known:
            await self._brought(symbol, start, end, *found.columns())
        return new

    async def _fail(self, gap: OpenGap, events: int, fault: VenueFault) -> None:
        """Put a gap off, or give it up where the history has fallen short of it often enough."""
        self.failed += 1
        later = self._later.get(gap.id)
        if later is None:
            later = self._later[gap.id] = _Later(Backoff(RETRY_S, RETRY_S_MAX, jitter=self._jitter))
        later.short = later.short + 1 if isinstance(fault, OutOfReach) else 0
        pause_s = later.pauses.next_s()
        tries = later.pauses.failures
        tried = f"{fault}; tried {tries} times" if tries > 1 else f"{fault}; tried once"
        if later.short >= REACHES_MAX:
            self.given_up += 1
            await self._say(gap, "unrepairable", events=events, detail=tried)
            return
        later.due = self._clock() + round(pause_s * 1e9)
        _LOG.warning("%s: gap %d is not repaired yet: %s", self._feed, gap.id, fault)
        await self._say(gap, "open", events=events, detail=f"{tried}, again later")

    async def _say(
        self, gap: OpenGap, status: str, *, events: int | None = None, detail: str | None = None
    ) -> None:
        await self._sink.say(Repair(self._feed, gap.id, status, events, detail))


class _Numbers:
    """The numbers and times of trades of the past, page by page."""

    def __init__(self) -> None:
        self.known = True
        self._pages: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []

    def take(self, page: pa.RecordBatch) -> pa.RecordBatch:
        """Note what a page has; return it as rows that can be submitted."""
        try:
            numbers = pc.cast(page.column(NUMBER if NUMBER in page.schema.names else "id"), "int64")
        except pa.ArrowInvalid:  # ids that are no numbers
            self.known = False
        else:
            values = numbers.fill_null(-1).to_numpy(), page.column("ts_event").to_numpy()
            self._pages.append(values)
        return page.select(INCOMING[TRADES].names)

    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all numbers, and the time of each."""
        empty = np.empty(0, np.int64)
        columns = zip(*self._pages, strict=True) if self._pages else ((empty,), (empty,))
        numbers, ts = (np.concatenate(column) for column in columns)
        return numbers, ts


def _within(rows: pa.RecordBatch, start: int, end: int) -> pa.RecordBatch:
    ts = rows.column("ts_event")
    if pc.min(ts).as_py() is None or (pc.min(ts).as_py() >= start and pc.max(ts).as_py() < end):
        return rows
    values = ts.to_numpy(zero_copy_only=False)
    return rows.filter(pa.array(np.asarray((values >= start) & (values < end))))
