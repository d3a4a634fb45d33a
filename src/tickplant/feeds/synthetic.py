"""The synthetic feed: made-up markets at the rate that is asked for, always flagged synthetic.

Market.make_chunk ──► slice what is due ──► quotes, then trades ──► sink
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tickplant.config import SyntheticSettings
from tickplant.feeds.contract import Clock, Sink, Sleep
from tickplant.feeds.market import Chunk, Market
from tickplant.model.events import QUOTES, TRADES, Flag
from tickplant.model.times import NS_PER_MS, NS_PER_S
from tickplant.plant.feed_notes import Alive, Begun, Hole
from tickplant.plant.submission import Submission

PERIOD_NS = 50 * NS_PER_MS
"""How often events are sent, unless they come more seldom than that."""

ALIVE_NS = NS_PER_S
"""How often it says that it is alive, at least."""

LATE_NS_MAX = NS_PER_S
"""Later than this the feed does not catch up: the missed span stays empty."""


class SyntheticFeed:
    """A `Feed` of made-up events at the rate that the settings ask for.

    Sends what is due every 50 ms, or when the next event is due where that is later, and a
    heartbeat at least once a second. When it comes more than a second late (a busy machine, a sink
    that holds back), the events of the missed span are moved on instead of sent in a burst, which
    it says; `skipped_ns` is the sum of those spans.
    Trade ids hold the time of the first start, so that they are new after every restart.
    """

    kind = "synthetic"
    sheds = True

    def __init__(
        self, settings: SyntheticSettings, *, clock: Clock, sleep: Sleep, name: str = "synthetic"
    ) -> None:
        self.name = name
        self.venue = settings.venue.upper()
        self.instruments = settings.instruments
        self.skipped_ns = 0
        self._market = Market(settings)
        self._clock = clock
        self._sleep = sleep
        self._id_prefix = ""
        self._origin = 0
        self._sent = 0  # number of the next event
        self._chunk: Chunk | None = None

    async def run(self, sink: Sink) -> None:
        """Submit events until cancelled; called again, it carries on with the next event."""
        now = self._clock()
        self._id_prefix = self._id_prefix or f"{now:x}-"
        self._origin = now - self._market.at(self._sent)
        await sink.say(Begun(self.name, start=now))
        while True:
            now = self._clock()
            missed = self._keep_schedule(now)
            if missed:
                await sink.say(Hole(self.name, now - missed, now, "overload"))
            await self._send_due(sink, now)
            await sink.say(Alive(self.name, now))
            wake = max(now + PERIOD_NS, min(self._next_at(), now + ALIVE_NS))
            await self._sleep(max(wake - self._clock(), 0) / NS_PER_S)

    def _next_at(self) -> int:
        return self._origin + self._market.at(self._sent)

    def _keep_schedule(self, now: int) -> int:
        """Move the origin when the clock has run away from the schedule, either way.

        Returns how much time was left out, ns.
        """
        late = now - self._next_at()
        spacing = self._market.at(self._sent + 1) - self._market.at(self._sent)
        if late > LATE_NS_MAX:
            self._origin += late
            self.skipped_ns += late
            return late
        if late < -(spacing + LATE_NS_MAX):  # the clock was set back
            self._origin += late
        return 0

    async def _send_due(self, sink: Sink, now: int) -> None:
        while self._next_at() <= now:
            if self._chunk is None or self._sent >= self._chunk.first + self._chunk.count:
                self._chunk = self._market.make_chunk(self._id_prefix)
            chunk = self._chunk
            start = self._sent - chunk.first
            stop = int(np.searchsorted(chunk.at, now - self._origin, side="right"))
            stop = max(stop, start + 1)
            self._sent = chunk.first + stop
            for table in (QUOTES, TRADES):  # a trade comes after the quote that it was made at
                rows = chunk.rows(table, start, stop, self._origin)
                if rows.num_rows:
                    await sink.submit(self._submission(table, rows))

    def _submission(self, table: str, rows: pa.RecordBatch) -> Submission:
        return Submission(table, rows, feed=self.name, venue=self.venue, flags=Flag.SYNTHETIC)
