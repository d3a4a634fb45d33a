"""The feeds of a running plant, for its doors: shown, and their symbols changed.

A `plant.venue_feeds.VenueFeeds`. Used on the event loop of the feeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from tickplant.feeds.contract import Clock, Feed
from tickplant.feeds.runner import FeedRunner
from tickplant.feeds.venues.contract import Stream
from tickplant.model.errors import Conflict, InvalidParameter, NotFound, shorten

SYMBOLS_MAX = 5_000
"""Most symbols of one request."""


@runtime_checkable
class Subscribed(Feed, Protocol):
    """A feed whose symbols are chosen: what is asked of a `VenueFeed`.

    Not by its class, which brings the libraries of HTTP and WebSockets: most plants have none.
    """

    @property
    def channels(self) -> Sequence[str]:
        """The channels that it was configured with."""

    @property
    def streams(self) -> Sequence[Stream]:
        """What it is subscribed to."""

    def check(self, symbols: Sequence[str], channels: Sequence[str]) -> Sequence[Stream]:
        """Return the streams of these symbols. Raises `InvalidParameter`."""

    async def add(self, streams: Sequence[Stream]) -> object:
        """Subscribe to more."""

    async def remove(self, streams: Sequence[Stream]) -> object:
        """Unsubscribe from some."""

    def shown_streams(self, now: int) -> list[dict[str, Any]]:
        """Return its streams as `/v1/feeds/{id}` shows them."""


class FeedDesk:
    """Knows feeds by their names, those of venues and the others."""

    def __init__(
        self, runner: FeedRunner, clock: Clock, list_feeds: Callable[[], list[dict[str, Any]]]
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._list = list_feeds
        self._turn = asyncio.Lock()

    def show(self, name: str) -> dict[str, Any]:
        """See `VenueFeeds.show`."""
        known = {feed["id"]: feed for feed in self._list()}
        if name not in known:
            raise NotFound(
                f"feed: {shorten(name)} is not known; known are {', '.join(known) or 'none'}"
            )
        feed = self._runner.find(name)
        own = feed.shown_streams(self._clock()) if isinstance(feed, Subscribed) else None
        return {**known[name], "subscriptions": own}

    async def subscribe(
        self, name: str, symbols: Sequence[str], channels: Sequence[str] | None
    ) -> dict[str, Any]:
        """See `VenueFeeds.subscribe`."""
        feed = self._venue_feed(name)
        streams = feed.check(_checked(symbols), channels or feed.channels)
        async with self._turn:
            await feed.add(streams)
        return self.show(name)

    async def unsubscribe(
        self, name: str, symbols: Sequence[str], channels: Sequence[str] | None
    ) -> dict[str, Any]:
        """See `VenueFeeds.unsubscribe`."""
        feed = self._venue_feed(name)
        wanted = {symbol.strip().upper() for symbol in _checked(symbols)}
        known = {stream.symbol for stream in feed.streams}
        if wanted - known:
            missing = ", ".join(sorted(wanted - known)[:5])
            raise NotFound(f"symbols: {shorten(missing)}: the feed is not subscribed to that")
        chosen = [s for s in feed.streams if s.symbol in wanted]
        if channels is not None:
            feed.check([], channels)
            chosen = [stream for stream in chosen if stream.channel in channels]
        async with self._turn:
            await feed.remove(chosen)
        return self.show(name)

    def _venue_feed(self, name: str) -> Subscribed:
        self.show(name)
        feed = self._runner.find(name)
        if not isinstance(feed, Subscribed):
            raise Conflict(f"feed: {name} is no feed of a venue; its symbols are not chosen here")
        return feed


def _checked(symbols: Sequence[str]) -> Sequence[str]:
    if not 0 < len(symbols) <= SYMBOLS_MAX:
        allowed = f"a list of 1 to {SYMBOLS_MAX}"
        raise InvalidParameter("symbols", f"{len(symbols)} symbols", allowed, where="body")
    return symbols
