"""What a feed of many connections says of its coverage: from streams and links to notes.

    stream confirmed on a link ─┐
    link ended, stream refused ─┴─► symbols that are delivered now ─► Begun, Subscribed, Lost
    proof of every line ─────────► Alive(the least of them)

A symbol is delivered while each of its streams that bars are made of (trades and quotes, or where
it has neither all of them) is in force on a link that lives. It is lost from where the last such
link was proven. A symbol that is lost alone gets a gap of its own; when all that a feed carries is
lost at once, the feed is. A link that goes on in place of another leaves a hole where it began
later than the other was proven.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from tickplant.feeds.contract import Sink
from tickplant.feeds.supervisor.link import Link
from tickplant.feeds.supervisor.names import split_name
from tickplant.feeds.venues.contract import Stream
from tickplant.plant.feed_notes import Alive, Begun, Hole, Lost, Subscribed

BASIS = frozenset({"trades", "quotes"})


class Cover:
    """What is delivered now, said as it changes. One event loop; the calls do not overlap."""

    def __init__(self, feed: str, venue: str, sink: Sink) -> None:
        self.begun = asyncio.Event()
        self._feed = feed
        self._venue = venue
        self._sink = sink
        self._on: dict[Stream, dict[Link, int]] = {}  # since when
        self._wanted: dict[str, set[Stream]] = {}
        self._refused: set[Stream] = set()
        self._delivered: set[str] = set()
        self._waiting: set[str] = set()  # not delivered, since the feed has begun
        self._apart: set[str] = set()  # lost alone: their gaps are their own
        self._links: set[Link] = set()
        self._lost_whole = True
        self._lock = asyncio.Lock()

    def want(self, streams: Iterable[Stream]) -> None:
        """Take streams that are to be delivered."""
        for stream in streams:
            self._wanted.setdefault(stream.symbol, set()).add(stream)

    # -- what happens ------------------------------------------------------------------------------

    async def confirmed(self, link: Link, streams: Iterable[Stream], ts: int) -> None:
        """Note that streams are in force on a link from `ts` on, the venue's time."""
        async with self._lock:
            self._links.add(link)
            for stream in streams:
                self._on.setdefault(stream, {}).setdefault(link, ts)
                self._refused.discard(stream)
            await self._gain(self._now_delivered(_symbols(streams)), ts)

    async def refused(self, link: Link, streams: Sequence[Stream], reason: str, ts: int) -> None:
        """Note that a venue does not give streams; with what is left, symbols may be complete."""
        async with self._lock:
            for stream in streams:
                self._on.get(stream, {}).pop(link, None)
                self._refused.add(stream)
            symbols = _symbols(streams)
            gone = [s for s in symbols & self._delivered if not self._is_delivered(s)]
            await self._lose(gone, _proven(link, ts), "disconnect", reason)
            await self._gain(self._now_delivered(symbols), ts)

    async def silent(self, link: Link, streams: Sequence[Stream], since: int, reason: str) -> None:
        """Note that streams have not come over a link since then, though it lives."""
        async with self._lock:
            for stream in streams:
                self._on.get(stream, {}).pop(link, None)
            gone = _symbols(streams) & self._delivered
            await self._lose([s for s in gone if not self._is_delivered(s)], since, "stall", reason)

    async def ended(self, link: Link, cause: str, reason: str, ts: int) -> None:
        """Note that a link is over; `ts` is now, the venue's time.

        Where another one delivers what it did, nothing is lost but what came before that began.
        """
        async with self._lock:
            self._links.discard(link)
            proven = _proven(link, ts)
            touched = set()
            for stream, links in self._on.items():
                if links.pop(link, None) is not None:
                    touched.add(stream.symbol)
            touched &= self._delivered
            gone = [symbol for symbol in touched if not self._is_delivered(symbol)]
            await self._miss(touched - set(gone), proven, cause, reason)
            await self._lose(gone, proven, cause, reason)

    async def dropped(self, streams: Sequence[Stream], ts: int) -> None:
        """Note that streams are not wanted any more, from `ts` on, the venue's time."""
        async with self._lock:
            for stream in streams:
                self._on.pop(stream, None)
                self._refused.discard(stream)
                self._wanted.get(stream.symbol, set()).discard(stream)
            over = {s for s in _symbols(streams) if not self._wanted.get(s)}
            for symbol in over:
                self._wanted.pop(symbol, None)
            known = sorted(over & (self._delivered | self._waiting))
            self._delivered -= over
            self._waiting -= over
            self._apart -= over
            if known and self.begun.is_set():
                await self._sink.say(Subscribed(self._feed, self._names(known), ts, ends=True))

    async def progressed(self) -> None:
        """Say how far everything is proven that is delivered now."""
        if not self._delivered:
            return
        ts = self._proven_by_all()
        if ts is not None:
            await self._sink.say(Alive(self._feed, ts))

    # -- what is said ------------------------------------------------------------------------------

    async def _gain(self, symbols: Iterable[str], ts: int) -> None:
        new = sorted(set(symbols) - self._delivered)
        if not new:
            return
        self._delivered.update(new)
        if self._lost_whole:
            self._lost_whole = False
            self._apart.clear()
            self._waiting = set(self._wanted) - self._delivered
            waiting = self._names(sorted(self._waiting))
            await self._sink.say(Begun(self._feed, ts, self._names(new), waiting))
            self.begun.set()
        else:
            self._waiting.difference_update(new)
            self._apart.difference_update(new)
            await self._sink.say(Subscribed(self._feed, self._names(new), ts))

    async def _lose(self, symbols: Sequence[str], ts: int, cause: str, reason: str) -> None:
        if not symbols:
            return
        self._delivered.difference_update(symbols)
        self._waiting.update(symbols)
        if not self._delivered and not self._apart:
            self._lost_whole = True
            await self._sink.say(Lost(self._feed, cause, reason, start=ts))
        else:
            self._apart.update(symbols)
            names = self._names(sorted(symbols))
            await self._sink.say(Lost(self._feed, cause, reason, names, ts))

    async def _miss(self, symbols: Iterable[str], proven: int, cause: str, reason: str) -> None:
        """Say what lies between a proof and the time at which what delivers now began."""
        since: dict[int, list[str]] = {}
        for symbol in sorted(symbols):
            began = max(min(self._on[stream].values()) for stream in self.basis(symbol))
            since.setdefault(began, []).append(symbol)
        for began, missed in since.items():
            if began > proven:
                names = self._names(missed)
                await self._sink.say(Hole(self._feed, proven, began, cause, names, reason))

    def _names(self, symbols: Sequence[str]) -> tuple[tuple[str, str], ...]:
        return tuple(split_name(symbol, self._venue) for symbol in symbols)

    def carried(self, link: Link) -> dict[Stream, int]:
        """Return the streams that are in force on a link, and since when, the venue's time."""
        return {stream: links[link] for stream, links in self._on.items() if link in links}

    # -- what is delivered -------------------------------------------------------------------------

    def basis(self, symbol: str) -> set[Stream]:
        """Return the streams of a symbol that must be in force for it to be delivered."""
        wanted = self._wanted.get(symbol, set()) - self._refused
        return {stream for stream in wanted if stream.channel in BASIS} or wanted

    def _is_delivered(self, symbol: str) -> bool:
        basis = self.basis(symbol)
        return bool(basis) and all(self._on.get(stream) for stream in basis)

    def _now_delivered(self, symbols: Iterable[str]) -> list[str]:
        return [symbol for symbol in symbols if self._is_delivered(symbol)]

    def _proven_by_all(self) -> int | None:
        """Return up to where every line that carries something has proven to deliver."""
        lines: dict[int, int] = {}
        for link in self._links:
            proven = link.pulse.proven
            if proven is not None:
                lines[link.line] = max(lines.get(link.line, proven), proven)
        return min(lines.values(), default=None)


def _symbols(streams: Iterable[Stream]) -> set[str]:
    return {stream.symbol for stream in streams}


def _proven(link: Link, ts: int) -> int:
    return ts if link.pulse.proven is None else min(link.pulse.proven, ts)
