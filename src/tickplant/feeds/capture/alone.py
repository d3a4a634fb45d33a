"""Capturing a feed without a plant: the same supervision, and nobody who takes its events."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from tickplant.feeds.capture.records import Header
from tickplant.feeds.supervisor.feed import VenueFeed
from tickplant.feeds.venues.contract import Stream
from tickplant.feeds.venues.options import VenueOptions
from tickplant.plant.feed_notes import Note
from tickplant.plant.submission import Receipt, Submission
from tickplant.version import VERSION


class Nobody:
    """A `Sink` that counts rows and keeps none."""

    def __init__(self) -> None:
        self.rows = 0

    async def submit(self, submission: Submission) -> None:
        """Count rows."""
        self.rows += submission.rows.num_rows

    async def deliver(self, submission: Submission) -> Receipt:
        """Count rows, which are nowhere durable."""
        await self.submit(submission)
        return Receipt(0, 0, (), None, None)

    async def say(self, note: Note) -> int | None:
        """Take what a feed says, and do nothing with it."""
        del note
        return None


def header_of(name: str, venue: str, streams: Sequence[Stream], options: VenueOptions) -> Header:
    """Return the header of a feed's captures. Accounts and addresses stay out of it."""
    return Header(
        tickplant=VERSION,
        feed=name,
        venue=venue,
        streams=[(stream.symbol, stream.channel) for stream in streams],
        options=dict(options.extra),
        accounts=len(options.accounts),
    )


async def run_for(feed: VenueFeed, sink: Nobody, seconds: float | None) -> None:
    """Run a feed for so long, None until cancelled."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await feed.run(sink)
