"""A connection that is an instance of the library: it owns the sockets, we its news.

    send(watch) ─► a task a stream: the library's watch method, again and again ─► frames, bounded
    a fault of the network ─► everything that came is handed over, then `ConnectionLost`
    a fault of one stream ─► that one is refused

The library says nothing of a subscription that was taken. A stream is taken as in force with its
first news, or when it has not failed for `SETTLE_S` over an open socket: a quiet one has no news.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from typing import Any

import msgspec

from tickplant.feeds.contract import Clock, Sleep
from tickplant.feeds.venues.ccxt_pro import words
from tickplant.feeds.venues.ccxt_pro.library import Library, close
from tickplant.feeds.venues.ccxt_pro.watchers import method_of, watcher
from tickplant.feeds.venues.contract import Dial, Frame, Outgoing
from tickplant.feeds.venues.transport import ConnectionLost

_LOG = logging.getLogger(__name__)

SETTLE_S = 5.0
"""How long a stream may go without news or failure before it is taken as in force."""

CONNECT_S_MAX = 60.0
"""How long an exchange may take to tell its markets."""

FRAMES_MAX = 1_000
"""Frames that may wait to be fetched; then the streams' tasks wait, and the library keeps trades
for them (`library.TRADES_KEPT`)."""

Key = tuple[words.Channel, str]
_ADDRESS = re.compile(r"\w+://[^\s'\"]*")


class CcxtConnector:
    """Opens instances of one exchange; see `transport.Connector`."""

    def __init__(self, library: Library, *, depth: int | None, clock: Clock, sleep: Sleep) -> None:
        self._library = library
        self._depth = depth
        self._clock = clock
        self._sleep = sleep

    async def connect(self, dial: Dial) -> CcxtConnection:
        """Return an instance that knows its markets; sockets open with the first subscription."""
        exchange = self._library.make()
        try:
            async with asyncio.timeout(CONNECT_S_MAX):
                await self._library.load(exchange)
        except (self._library.errors.BaseError, TimeoutError, OSError) as fault:
            await close(exchange)
            raise self._lost(fault) from None
        except BaseException:
            await close(exchange)
            raise
        return CcxtConnection(exchange, self._library.errors, self._depth, self._clock, self._sleep)

    def _lost(self, fault: Exception) -> ConnectionLost:
        return ConnectionLost(_told(fault))


class CcxtConnection:
    """See `transport.Connection`. One task receives."""

    answered: int | None = None

    def __init__(
        self, exchange: Any, errors: Any, depth: int | None, clock: Clock, sleep: Sleep
    ) -> None:
        self._exchange = exchange
        self._errors = errors
        self._depth = depth
        self._clock = clock
        self._sleep = sleep
        self._frames: deque[Frame] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._force: set[Key] = set()
        self._lost: ConnectionLost | None = None

    # -- transport.Connection ----------------------------------------------------------------------

    async def receive(self) -> list[Frame]:
        """Return what has come since the last call."""
        while not self._frames:
            if self._lost is not None:
                raise self._lost
            self._arrived.clear()
            await self._arrived.wait()
        frames = list(self._frames)
        self._frames.clear()
        self._room.set()
        return frames

    async def send(self, frame: Outgoing) -> None:
        """Begin or end a stream."""
        if self._lost is not None:
            raise self._lost
        ask = msgspec.json.decode(frame.data, type=words.Ask)
        key = ask.channel, ask.symbol
        running = self._tasks.pop(key, None)
        if running is not None:
            self._end(running)
        work = self._watch(key) if ask.op == "watch" else self._unwatch(key)
        task = asyncio.create_task(work, name=f"{self._exchange.id} {ask.op} {ask.symbol}")
        if ask.op == "watch":
            self._tasks[key] = task
        else:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def ping(self) -> None:
        """The library pings by itself, and fails its methods when nothing answers."""

    async def close(self) -> None:
        """End every stream and the sockets."""
        self._lost = self._lost or ConnectionLost("it was closed")
        tasks = [*self._tasks.values(), *self._ending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await close(self._exchange)
        self._arrived.set()

    # -- streams -----------------------------------------------------------------------------------

    def _end(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _watch(self, key: Key) -> None:
        channel, symbol = key
        settling = asyncio.create_task(self._settle(key))
        try:
            watch = watcher(self._exchange, channel, self._depth)
            while True:
                news = await watch(symbol)
                await self._confirm(key)
                for one in news:
                    await self._put(one)
        except asyncio.CancelledError:
            # The library cancels what waits for a socket that it closes; that is no cancel of ours.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._fail(ConnectionLost("the library has closed the socket"))
        except Exception as fault:
            await self._see(key, fault)
        finally:
            settling.cancel()
            self._force.discard(key)

    async def _see(self, key: Key, fault: Exception) -> None:
        """Tell what a fault ends: the connection, or one stream."""
        errors = self._errors
        if isinstance(fault, errors.NetworkError) and not isinstance(fault, errors.InvalidNonce):
            self._fail(ConnectionLost(_told(fault)))
            return
        if not isinstance(fault, errors.BaseError):  # a bug of the library, or a surprise to it
            _LOG.warning("%s failed for %s of %s", self._exchange.id, *key, exc_info=fault)
        passing = not isinstance(fault, errors.ExchangeError) or type(fault) is errors.ExchangeError
        await self._put(words.Refusal(*key, _told(fault), passing))

    async def _unwatch(self, key: Key) -> None:
        channel, symbol = key
        found = method_of(self._exchange.has, channel)
        method = getattr(self._exchange, found[1], None) if found else None
        if found and method is not None:
            try:
                async with asyncio.timeout(SETTLE_S):
                    await method([symbol] if found[2] else symbol)
            except asyncio.CancelledError:
                raise
            except Exception as fault:  # many exchanges cannot; then its news are not fetched
                _LOG.debug("%s: %s", self._exchange.id, _told(fault))
        await self._put(words.Unwatched(*key))

    async def _settle(self, key: Key) -> None:
        """Take a quiet stream as in force after a while, once a socket is open."""
        while True:
            await self._sleep(SETTLE_S)
            clients = (self._exchange.clients or {}).values()
            if any(client.isConnected and not client.closed() for client in clients):
                await self._confirm(key)
                return

    async def _confirm(self, key: Key) -> None:
        if key not in self._force:
            self._force.add(key)
            await self._put(words.Watching(*key))

    # -- frames ------------------------------------------------------------------------------------

    async def _put(self, said: words.Said) -> None:
        while len(self._frames) >= FRAMES_MAX:
            self._room.clear()
            await self._room.wait()
        self._frames.append(Frame(self._clock(), msgspec.json.encode(said)))
        self._arrived.set()

    def _fail(self, lost: ConnectionLost) -> None:
        self._lost = self._lost or lost
        self._arrived.set()


def _told(fault: BaseException) -> str:
    """Return a fault as text, without the addresses that the library puts into some of them."""
    return f"{type(fault).__name__}: {_ADDRESS.sub('…', str(fault))[:200]}".removesuffix(": ")
