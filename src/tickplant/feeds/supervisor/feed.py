"""A venue as a `Feed`: what it is subscribed to, what is shown of it, what may be changed.

VenueFeed ── streams wanted, board, http, listings      for as long as the plant runs
   └─ run(sink) ─► Run: lines, links, cover, delivery, repair      until it fails
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tickplant.config import BookSettings
from tickplant.feeds.book_desk import BookDesk, Broken
from tickplant.feeds.contract import Clock, Sink, Sleep
from tickplant.feeds.supervisor.backoff import Jitter
from tickplant.feeds.supervisor.board import Board
from tickplant.feeds.supervisor.http import LimitedHttp, open_client
from tickplant.feeds.supervisor.limits import SharedLimits
from tickplant.feeds.supervisor.link import Wiring
from tickplant.feeds.supervisor.names import is_name, split_name
from tickplant.feeds.supervisor.repair import FindGaps, Repairer
from tickplant.feeds.supervisor.run import Parts, Run
from tickplant.feeds.supervisor.tap import Tap
from tickplant.feeds.supervisor.vigil import Vigil
from tickplant.feeds.supervisor.websocket import WebSocketConnector
from tickplant.feeds.venues.contract import Channel, Listing, Stream, Venue, VenueFault
from tickplant.feeds.venues.transport import Connector
from tickplant.model.errors import InvalidParameter
from tickplant.model.instruments import SYMBOL_ALLOWED
from tickplant.observe.tracing import Tracer
from tickplant.plant.feed_notes import Known

_LOG = logging.getLogger(__name__)

LISTINGS_S_MAX = 15.0
"""How long connections wait for the listings, which say how symbols are spelt."""

LISTINGS_AGAIN_S = 300.0


@dataclass(frozen=True, slots=True)
class World:
    """What a feed reaches outside of itself, so that a test can stand in for any of it."""

    clock: Clock
    sleep: Sleep = asyncio.sleep
    jitter: Jitter = random.random
    connector: Connector | None = None
    open_client: Callable[[str], httpx.AsyncClient] = open_client
    limits: SharedLimits = field(default_factory=SharedLimits)
    find_gaps: FindGaps | None = None
    books: BookSettings = field(default_factory=BookSettings)
    book_broken: Callable[[str, str], object] | None = None
    tap: Tap | None = None
    keep: Callable[[Sequence[Stream]], Awaitable[None]] | None = None
    tracer: Tracer | None = None
    prepare: Callable[[], None] | None = None
    """What takes long and makes the feed faster, done in a thread once it runs."""


class VenueFeed:
    """A `Feed` of one venue. One event loop; what is shown may be read by any thread.

    `streams` are what it is subscribed to when it first runs, `channels` what a symbol is
    subscribed to that is added without any.
    """

    kind = "venue"
    supervised = True
    sheds = True

    def __init__(
        self,
        name: str,
        venue: Venue,
        streams: Sequence[Stream],
        world: World,
        channels: Sequence[Channel] = ("trades", "quotes"),
    ) -> None:
        self.name = name
        self.channels = tuple(channels)
        self.venue = venue.name
        self.board = Board()
        self.board.add(streams)
        self._venue = venue
        self._world = world
        self._run: Run | None = None
        self._repairer: Repairer | None = None
        self._listings: dict[str, Listing] = {}
        self._http: LimitedHttp | None = None
        self._client: httpx.AsyncClient | None = None
        own: Connector | None = getattr(venue, "connector", None)
        self._wiring = Wiring(
            venue,
            world.connector or own or WebSocketConnector(clock=world.clock),
            world.limits.of(venue.name, venue.limits),
            world.clock,
            world.sleep,
            world.tap,
        )
        self.vigil = Vigil(
            venue, self.board, self._wiring.offset, clock=world.clock, sleep=world.sleep
        )

    @property
    def instruments(self) -> int:
        """How many symbols it is subscribed to."""
        return len({stream.symbol for stream in list(self.board.streams)})

    @property
    def streams(self) -> list[Stream]:
        """What it is subscribed to."""
        return sorted(self.board.streams)

    # -- life --------------------------------------------------------------------------------------

    async def run(self, sink: Sink) -> None:
        """Keep the feed up until cancelled; see `Feed.run`."""
        world = self._world
        try:
            self._open_http()
            parts = Parts(
                self.name, self._wiring, self.board, self._http,
                lambda: BookDesk.of_venue(self._venue, world.books, self._note_book), world.jitter,
                self._look_for_gaps, world.tracer,
            )  # fmt: skip
            run = Run(parts, sink)
            await self._list(sink)
            self._run = run
            run.add(self.streams)
            await run.until_failed(
                self._prepare(),
                self._list_again(sink),
                self._repair(run, sink),
                self.vigil.beats(run.lines),
                self.vigil.checks(run.lines, self._http, run.silent),
            )
        finally:
            self._run = self._repairer = None
            await self._close_http()
            self.board.set(list(self.board.streams), "down", "the feed is not running")
            self.board.lines.clear()

    async def _prepare(self) -> None:
        if self._world.prepare is not None:
            await asyncio.to_thread(self._world.prepare)

    def _note_book(self, broken: Broken) -> None:
        if self._world.book_broken is not None:
            self._world.book_broken(self.name, broken.reason)

    def _open_http(self) -> None:
        url, world = self._venue.http_url, self._world
        if url is None:
            return
        self._client = world.open_client(url)
        self._http = LimitedHttp(
            self._client, url, self._wiring.limits.weight, clock=world.clock, sleep=world.sleep,
            breaker=self._wiring.limits.breaker, tap=world.tap,
        )  # fmt: skip

    async def _close_http(self) -> None:
        client, self._client, self._http = self._client, None, None
        if client is not None:
            await client.aclose()

    def _look_for_gaps(self) -> None:
        if self._repairer is not None:
            self._repairer.look()

    async def _repair(self, run: Run, sink: Sink) -> None:
        """Repair gaps, once the feed has begun: before that nobody knows which there are."""
        await run.cover.begun.wait()
        world = self._world
        if world.find_gaps is None:
            return
        self._repairer = Repairer(
            self.name, self.venue, sink, world.find_gaps, self._venue.history, self._http,
            has_trades=self._has_trades, clock=world.clock, sleep=world.sleep, jitter=world.jitter,
            brought=run.brought,
        )  # fmt: skip
        self._repairer.look()
        await self._repairer.run()

    def _has_trades(self, symbol: str) -> bool:
        return Stream(symbol, "trades") in self.board.streams

    # -- listings ----------------------------------------------------------------------------------

    async def _list(self, sink: Sink) -> bool:
        """Learn how the venue spells its symbols; without that, the venue's rule has to do."""
        if self._http is None or self._listings:
            return True
        try:
            async with asyncio.timeout(LISTINGS_S_MAX):
                listings = await self._venue.listings(self._http)
        except (VenueFault, TimeoutError) as fault:
            why = str(fault) or f"no answer within {LISTINGS_S_MAX:g} s"
            _LOG.warning("%s: its instruments are not listed: %s", self.name, why)
            return False
        self._venue.learn(listings)
        self._listings = {listing.symbol: listing for listing in listings}
        await self._say_known(sink, {stream.symbol for stream in self.streams})
        return True

    async def _list_again(self, sink: Sink) -> None:
        while not await self._list(sink):
            await self._world.sleep(LISTINGS_AGAIN_S)

    async def _say_known(self, sink: Sink, symbols: set[str]) -> None:
        found = [self._listing(symbol) for symbol in sorted(symbols)]
        facts = [_facts(listing, self.venue) for listing in found if listing is not None]
        if facts:
            await sink.say(Known(self.name, facts))

    def _listing(self, symbol: str) -> Listing | None:
        """Return how the venue lists a symbol, which may name its exchange there."""
        return self._listings.get(symbol) or self._listings.get(f"{self.venue}:{symbol}")

    # -- changes -----------------------------------------------------------------------------------

    def check(self, symbols: Sequence[str], channels: Sequence[str]) -> list[Stream]:
        """Return the streams of symbols and channels. Raises `InvalidParameter`.

        Symbols in any case; those that the venue does not list are refused with the nearest.
        """
        for channel in channels:
            if channel not in self._venue.channels:
                raise InvalidParameter(
                    "channels", channel, f"of {', '.join(self._venue.channels)}", where="body"
                )
        found = [self._check_symbol(symbol) for symbol in symbols]
        return [Stream(symbol, _channel(channel)) for symbol in found for channel in channels]

    def _check_symbol(self, symbol: str) -> str:
        wanted = symbol.strip().upper()
        if not is_name(wanted):
            raise InvalidParameter("symbols", symbol, SYMBOL_ALLOWED, where="body")
        if self._listings and self._listing(wanted) is None:
            near = difflib.get_close_matches(wanted, self._listings, n=3, cutoff=0.0)
            allowed = f"a symbol that {self.venue} lists; the nearest are {', '.join(near)}"
            raise InvalidParameter("symbols", symbol, allowed, where="body")
        return wanted

    async def add(self, streams: Sequence[Stream]) -> list[Stream]:
        """Subscribe to more streams, others untouched; return those that are new."""
        new = [stream for stream in dict.fromkeys(streams) if stream not in self.board.streams]
        await self._keep([*self.streams, *new])
        self.board.add(new)
        if self._run is not None and new:
            await self._say_known(self._run.sink, {stream.symbol for stream in new})
            self._run.add(new)
        return new

    async def remove(self, streams: Sequence[Stream]) -> list[Stream]:
        """Unsubscribe from streams, others untouched; return those that there were."""
        gone = [stream for stream in dict.fromkeys(streams) if stream in self.board.streams]
        await self._keep([stream for stream in self.streams if stream not in gone])
        self.board.remove(gone)
        if self._run is not None and gone:
            await self._run.remove(gone)
        return gone

    async def _keep(self, streams: Sequence[Stream]) -> None:
        """Keep what will be subscribed to, before it is: so what was answered holds."""
        if self._world.keep is not None:
            await self._world.keep(streams)

    # -- what is shown -----------------------------------------------------------------------------

    def shown(self, now: int) -> dict[str, Any]:
        """Return what `/v1/feeds` shows besides what it shows of every feed."""
        lines = self.board.shown_lines(now)
        found: dict[str, Any] = {
            "instruments": self.instruments,
            "connections": lines,
            "streams": self.board.counts(now),
            "breaker": self._wiring.limits.breaker.state,
        }
        repairer = self._repairer
        if repairer is not None:
            found["repairs"] = {
                "repaired": repairer.repaired,
                "events": repairer.events,
                "unrepairable": repairer.given_up,
                "failed": repairer.failed,
            }
        if self._run is not None:
            live = any(line["state"] == "live" for line in lines)
            down = lines and all(line["state"] in ("down", "stalled") for line in lines)
            found["state"] = "connected" if live else "waiting" if down else "starting"
            found["error"] = next((line["reason"] for line in lines if line["reason"]), None)
        return found

    def shown_streams(self, now: int) -> list[dict[str, Any]]:
        """Return each stream as `/v1/feeds/{id}` shows it."""
        return self.board.shown_streams(now)


def _channel(name: str) -> Channel:
    return name  # type: ignore[return-value]


def _facts(listing: Listing, venue: str) -> Mapping[str, Any]:
    names = (
        "kind", "base", "quote", "tick_size", "lot_size", "underlying", "expiry", "strike",
        "right", "status",
    )  # fmt: skip
    facts = {name: getattr(listing, name) for name in names}
    symbol, venue = split_name(listing.symbol, venue)
    aliases = () if listing.native in ("", symbol) else (listing.native,)
    return {"symbol": symbol, "venue": venue, "aliases": aliases, **facts}
