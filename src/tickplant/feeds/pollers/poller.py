"""A polled provider as a feed: asks at its interval, and says what was missed while it was down.

    due ─► breaker ─► provider.fetch ─► prices that are new ─► sink
                            └─ fails ─► the run ends: the runner says Lost, pauses, begins anew

A price whose time the provider tells gets a key of its content, so that what was already stored
is not stored twice, however often it is asked for. A symbol that the provider does not answer for
is not covered from its last answer on, while the others are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from tickplant.feeds.breaker import Breaker
from tickplant.feeds.contract import Clock, Sink, Sleep
from tickplant.feeds.pollers.provider import Answer, Price, Provider, ProviderFault
from tickplant.formats.parsed import incoming_batch
from tickplant.model.events import QUOTES, TRADES
from tickplant.model.times import NS_PER_S
from tickplant.plant.feed_notes import Alive, Begun, Hole, Subscribed
from tickplant.plant.submission import Submission

KIND = "poller"


class ProviderDown(Exception):
    """A provider failed, or its breaker is open: the run of its poller is over."""


@dataclass(slots=True)
class PollCount:
    """What became of the polls of one job. Times are ns UTC."""

    polls: int = 0
    failures: int = 0
    last_poll: int | None = None
    last_success: int | None = None
    faults: dict[str, str] = field(default_factory=dict)
    error: str | None = None


class PollFeed:
    """A `Feed` of one job: `symbols` of `provider`, every `interval_s`.

    The breaker belongs to the provider and is shared by its jobs. `stretch` says how many
    intervals to wait now: more than one while the plant is hard pressed.
    """

    kind = KIND
    self_watched = True  # the time between two polls is no silence, and every wait has a limit

    def __init__(
        self,
        name: str,
        provider: Provider,
        symbols: Sequence[str],
        interval_s: float,
        *,
        breaker: Breaker,
        clock: Clock,
        sleep: Sleep,
        stretch: Callable[[], int] = lambda: 1,
    ) -> None:
        self.name = name
        self.venue = provider.venue
        self.symbols = tuple(symbols)
        self.instruments = len(self.symbols)
        self.count = PollCount()
        self._provider = provider
        self._interval_ns = round(interval_s * NS_PER_S)
        self._breaker = breaker
        self._clock = clock
        self._sleep = sleep
        self._stretch = stretch
        self._missing: dict[str, int] = {}  # symbols without an answer, and since when

    def shown(self, now: int) -> dict[str, Any]:
        """Return what `/v1/feeds` shows besides what it shows of every feed."""
        return {"breaker": self._breaker.state}

    async def run(self, sink: Sink) -> None:
        """Poll until cancelled. Raises `ProviderDown` when the provider fails."""
        begun = False
        self._missing.clear()
        while True:
            asked = self._clock()
            answer = await self._ask(asked)
            if not begun:
                await sink.say(Begun(self.name, asked, self._names(self.symbols)))
                begun = True
            await self._note_missing(sink, answer, asked)
            await self._submit(sink, answer.prices)
            await sink.say(Alive(self.name, asked))
            await self._pause(asked)

    async def _ask(self, asked: int) -> Answer:
        wait_s = self._breaker.wait_s()
        if wait_s:
            raise ProviderDown(
                f"{self._provider.name} is not asked for {wait_s:.0f} s: "
                f"{self._breaker.failures} failures in a row"
            )
        self.count.polls += 1
        self.count.last_poll = asked
        try:
            answer = await self._provider.fetch(self.symbols)
        except ProviderFault as fault:
            self._breaker.failed(fault.retry_after_s)
            self.count.failures += 1
            self.count.error = str(fault)
            raise ProviderDown(str(fault)) from None
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        self.count.last_success, self.count.error = asked, None
        self.count.faults = dict(answer.faults)
        return answer

    async def _note_missing(self, sink: Sink, answer: Answer, asked: int) -> None:
        """Say which symbols are no longer answered for, and which are again."""
        gone = [s for s in answer.faults if s not in self._missing]
        back = {s: since for s, since in self._missing.items() if s not in answer.faults}
        if gone:
            self._missing.update(dict.fromkeys(gone, asked))
            await sink.say(Subscribed(self.name, self._names(gone), asked, ends=True))
        for symbol, since in back.items():
            del self._missing[symbol]
            await sink.say(Subscribed(self.name, self._names([symbol]), asked))
            if since < asked:
                names = self._names([symbol])
                detail = f"{self._provider.name} did not answer for it"
                await sink.say(Hole(self.name, since, asked, "disconnect", names, detail))

    def _names(self, symbols: Sequence[str]) -> list[tuple[str, str]]:
        return [(symbol, self.venue) for symbol in symbols]

    async def _submit(self, sink: Sink, prices: Sequence[Price]) -> None:
        trades = [price for price in prices if price.is_trade]
        quotes = [price for price in prices if price.is_quote]
        for table, found, columns in ((QUOTES, quotes, _QUOTE), (TRADES, trades, _TRADE)):
            if found:
                rows = _batch(table, found, columns)
                await sink.submit(Submission(table, rows, feed=self.name, venue=self.venue))

    async def _pause(self, asked: int) -> None:
        """Sleep until the next poll is due; polls that were missed are not made up for."""
        interval_ns = self._interval_ns * self._stretch()
        late = (self._clock() - asked) % interval_ns
        await self._sleep((interval_ns - late) / NS_PER_S)


_TRADE = ("price", "size", "id")
_QUOTE = ("bid_price", "bid_size", "ask_price", "ask_size")


def _batch(table: str, prices: Sequence[Price], columns: tuple[str, ...]) -> pa.RecordBatch:
    """Return prices as rows of `INCOMING[table]`."""
    return incoming_batch(
        table,
        symbol=[price.symbol for price in prices],
        ts_event=[price.ts_event for price in prices],
        key=[_key(price, columns) for price in prices],
        **{name: [getattr(price, name) for price in prices] for name in columns},
    )


def _key(price: Price, columns: tuple[str, ...]) -> bytes | None:
    """Return what names this state of a symbol; None where its time is not told."""
    if price.ts_event is None:
        return None
    told = [repr(getattr(price, name)) for name in columns]
    return blake2b("|".join((str(price.ts_event), *told)).encode(), digest_size=16).digest()
