"""Watches for streams that fall silent alone, on a connection that lives, and finds out why.

    once a beat: board ─► habits ─► streams that are silent as they never were
       the venue has a history of trades ─► asked: some since ─► dead; none ─► quiet
       it has none ──────────────────────► dead, unless others fell silent, too

A connection's signs of life say nothing of a subscription that the venue has lost. What is quiet by
nature must leave no trace in the ledger: so the venue is asked first where it can be. Where many on
a connection fall silent together, the market has closed; then one of them is asked for now and
then, and if there is nothing to ask, nothing is said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tickplant.feeds.contract import Clock, Sleep
from tickplant.feeds.supervisor import missed
from tickplant.feeds.supervisor.board import Board, StreamEntry
from tickplant.feeds.supervisor.habits import Bools, Habits
from tickplant.feeds.supervisor.line import Line
from tickplant.feeds.supervisor.link import Link
from tickplant.feeds.supervisor.pulse import Offset
from tickplant.feeds.supervisor.rhythm import BEAT_NS
from tickplant.feeds.venues.contract import Http, Stream, Venue
from tickplant.model.times import NS_PER_S

TOGETHER = 5
"""A symbol is silent alone where not more than every so many of the others are, too."""

REST_NS = 60 * NS_PER_S
"""How long it takes until a silence of many is asked for again that was found to be quiet."""

Dead = Callable[[Link, Sequence[Stream], int, str], Awaitable[None]]
"""Is told of streams that are dead, since when (the venue's time), and why."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """The streams of one symbol on one line that are silent as they never were."""

    line: int
    symbol: str
    places: tuple[int, ...]
    alone: bool


class Vigil:
    """Lives as long as its feed, so that habits outlast connections. One event loop."""

    def __init__(
        self, venue: Venue, board: Board, offset: Offset, *, clock: Clock, sleep: Sleep
    ) -> None:
        self._missed = missed.Missed(venue, offset, clock=clock)
        self._board = board
        self._offset = offset
        self._clock = clock
        self._sleep = sleep
        self.habits = Habits()
        self._changes = -1
        self._places: dict[Stream, int] = {}
        self._streams: list[Stream | None] = []
        self._entries: list[StreamEntry] = []
        self._symbols = np.zeros(0, np.int64)
        self._last = np.zeros(0, np.int64)
        self._news = asyncio.Event()
        self._rests: dict[int, int] = {}

    # -- beats -------------------------------------------------------------------------------------

    async def beats(self, lines: Mapping[int, Line]) -> None:
        """Count a beat every so often, until cancelled."""
        while True:
            await self._sleep(BEAT_NS / NS_PER_S)
            self.beat(self._clock(), {n for n, line in lines.items() if not _is_awake(line)})

    def beat(self, now: int, busy: set[int]) -> None:
        """Count a beat; `busy` are the lines that may have something left to hand over."""
        if self._changes != self._board.changes:
            self._arrange()
        size, entries = self.habits.size, self._entries
        last = np.fromiter((entry.last_event or 0 for entry in entries), np.int64, size)
        up = np.fromiter((entry.state == "live" for entry in entries), np.bool_, size)
        heard = (last != self._last) & up
        self._last = last
        silent = up & ~heard
        if busy:
            silent &= ~np.isin(self._lines(), list(busy))
        self.habits.beat(now, heard, silent, ~up)
        if self.habits.odd().any():
            self._news.set()

    def _lines(self) -> NDArray[np.int64]:
        found = (-1 if entry.line is None else entry.line for entry in self._entries)
        return np.fromiter(found, np.int64, self.habits.size)

    def _arrange(self) -> None:
        """Give each stream of the board its place."""
        self._changes = self._board.changes
        wanted = self._board.streams
        for stream in [stream for stream in self._places if stream not in wanted]:
            place = self._places.pop(stream)
            self._streams[place], self._entries[place] = None, StreamEntry()
            self.habits.forget(place)
        free = [place for place, stream in enumerate(self._streams) if stream is None]
        new = [stream for stream in wanted if stream not in self._places]
        self.habits.grow(len(self._places) + len(new))
        for place in range(len(self._streams), self.habits.size):
            self._streams.append(None)
            self._entries.append(StreamEntry())
            free.append(place)
        for stream, place in zip(new, free, strict=False):
            self._places[stream], self._streams[place] = place, stream
        for stream, place in self._places.items():
            self._entries[place] = wanted[stream]
        self._last = np.fromiter(
            (entry.last_event or 0 for entry in self._entries), np.int64, self.habits.size
        )
        numbers: dict[str, int] = {}
        self._symbols = np.fromiter(
            (numbers.setdefault(s.symbol, len(numbers)) if s else -1 for s in self._streams),
            np.int64, self.habits.size,
        )  # fmt: skip

    # -- what is odd -------------------------------------------------------------------------------

    async def checks(self, lines: Mapping[int, Line], http: Http | None, dead: Dead) -> None:
        """Look into odd silences, one after the other, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            for suspect in self.suspects():
                line = lines.get(suspect.line)
                if line is not None and len(line.links) == 1:
                    await self._check(suspect, line.links[0], http, dead)

    def suspects(self) -> list[Suspect]:
        """Return what is to be looked into: all of those that are alone, one of those that are not.

        The one is that whose silence is the oddest.
        """
        odd, lines, now = self.habits.odd(), self._lines(), self._clock()
        found: list[Suspect] = []
        hushed = self.habits.hushed()
        usual = self.habits.lively() | hushed
        for line in np.unique(lines[odd]).tolist():
            if self._rests.get(line, 0) > now:
                continue
            mine = lines == line
            together = len(np.unique(self._symbols[hushed & mine])) - 1
            others = len(np.unique(self._symbols[usual & mine])) - 1
            alone = together * TOGETHER <= others
            silent = np.unique(self._symbols[odd & mine])
            if not alone:
                least = np.argmin(np.where(odd & mine, self.habits.odds, 0.0))
                silent = self._symbols[least : least + 1]
            found += [
                self._suspect(line, odd & mine & (self._symbols == s), alone=alone) for s in silent
            ]
        return found

    def _suspect(self, line: int, members: Bools, *, alone: bool) -> Suspect:
        places = tuple(np.flatnonzero(members).tolist())
        stream = self._streams[places[0]]
        assert stream is not None
        return Suspect(line, stream.symbol, places, alone)

    async def _check(self, suspect: Suspect, link: Link, http: Http | None, dead: Dead) -> None:
        streams = self._still_odd(suspect)
        if not streams:
            return
        since = {place: self._entries[place].since for place in streams}
        start = min(self._start(place) for place in streams)
        heard = self._asked_from(streams, since)
        answer = None if http is None else await self._missed.since(suspect.symbol, heard, http)
        if answer == "failed" or (answer != "missed" and not suspect.alone):
            self._rests[suspect.line] = self._clock() + REST_NS
        # What has come meanwhile is no news of ours, and what was changed is another subscription.
        still = [
            place for place, stream in streams.items()
            if stream is self._streams[place] and stream in link.confirmed
            and self._entries[place].since == since[place]
        ]  # fmt: skip
        # Where nothing can be asked, a new subscription that brings nothing is an answer, too.
        known = answer is None and any(self.habits.looked_into(place) for place in still)
        if answer == "quiet" or known:
            for place in still:
                self.habits.excuse(place)
        elif still and (answer == "missed" or (answer is None and suspect.alone)):
            why = self._reason(still, answer)
            for place in still:
                self.habits.renew(place)
            await dead(link, [streams[place] for place in still], start, why)

    def _asked_from(self, streams: Mapping[int, Stream], since: Mapping[int, int]) -> int:
        """Return from when on trades would show that streams are dead.

        Silent trades are by any trade since. Of other streams trades only show that the instrument
        is not quiet: those of the later half of the silence do.
        """
        trades = [since[place] for place, stream in streams.items() if stream.channel == "trades"]
        return trades[0] if trades else (min(since.values()) + self._clock()) // 2

    def _still_odd(self, suspect: Suspect) -> dict[int, Stream]:
        """Return the streams of a suspect by their places; some time may have passed."""
        odd, found = self.habits.odd(), {}
        for place in suspect.places:
            stream = self._streams[place]
            if odd[place] and stream is not None and stream.symbol == suspect.symbol:
                found[place] = stream
        return found

    def _start(self, place: int) -> int:
        """Return up to when everything of a stream is surely there, the venue's time."""
        entry, venue_time = self._entries[place], self._offset.venue_time
        heard, confirmed = venue_time(entry.last_event or 0), venue_time(entry.confirmed_at or 0)
        return max(heard - missed.MARGIN_NS, confirmed)

    def _reason(self, places: Sequence[int], answer: missed.Answer | None) -> str:
        place = max(places, key=lambda place: int(self.habits.silent[place]))
        silent_s = int(self.habits.silent[place]) * BEAT_NS // NS_PER_S
        longest_s = self.habits.longest(place) * BEAT_NS // NS_PER_S
        known = "others went on" if answer is None else "the venue's history has trades since"
        return f"silent for {silent_s} s, at most {longest_s} s at this hour before; {known}"


def _is_awake(line: Line) -> bool:
    """Say whether a line has nothing left to hand over, and a connection."""
    return len(line.links) == 1 and line.links[0].is_open and line.links[0].is_idle
