"""Asks a venue's history whether a silent symbol is quiet: were there trades meanwhile?"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal, cast

import pyarrow as pa

from tickplant.feeds.contract import Clock
from tickplant.feeds.supervisor.pulse import Offset
from tickplant.feeds.venues.contract import Http, OutOfReach, Venue, VenueFault, VenueHistory
from tickplant.model.times import NS_PER_S

_LOG = logging.getLogger(__name__)

MARGIN_NS = 2 * NS_PER_S
"""How much later than the last event another one must be that has not come: clocks are known only
so well, and frames are under way for different times."""

LISTED_NS = 5 * NS_PER_S
"""How late a venue may list what it has sent, and how late it may send what it lists."""

Answer = Literal["missed", "quiet", "failed"]


class Missed:
    """Asks one venue; its clock is told from ours by the offset."""

    def __init__(self, venue: Venue, offset: Offset, *, clock: Clock) -> None:
        self._venue = venue
        self._offset = offset
        self._clock = clock

    async def since(self, symbol: str, heard: int, http: Http) -> Answer | None:
        """Return what the history says of the time since something was heard, our time.

        None where there is no history, or none that reaches back so far.
        """
        history = self._venue.history
        if history is None:
            return None
        start = self._offset.venue_time(heard) + MARGIN_NS
        end = self._offset.venue_time(self._clock()) - LISTED_NS
        reach = history.trades_since(self._clock())
        if reach is not None and reach > start:
            return None
        try:
            found = await _has_trades(history, http, symbol, start, end)
        except OutOfReach:
            return None
        except VenueFault as fault:
            name = self._venue.name
            _LOG.warning("%s: why %s is silent is not known: %s", name, symbol, fault)
            return "failed"
        return "missed" if found else "quiet"


async def _has_trades(history: VenueHistory, http: Http, symbol: str, start: int, end: int) -> bool:
    found = cast("AsyncGenerator[pa.RecordBatch]", history.trades(http, symbol, start, end))
    async with aclosing(found) as pages:
        async for page in pages:
            ts = page.column("ts_event").to_numpy()
            if ((ts >= start) & (ts < end)).any():
                return True
    return False
