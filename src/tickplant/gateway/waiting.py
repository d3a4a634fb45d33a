"""Waiting on the event loop for what another thread will finish."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")


class _Bell:
    """Wakes an event loop once for all that was finished since it last looked.

    A group commit answers many producers at the same time; each wake-up of its own would cost the
    log's thread a system call and the loop a round.
    """

    def __init__(self) -> None:
        self._finished: deque[asyncio.Future[None]] = deque()
        self._rung = False

    def ring(self, loop: asyncio.AbstractEventLoop, waiting: asyncio.Future[None]) -> None:
        """Note that a wait on the loop has ended; called from any thread."""
        self._finished.append(waiting)
        if not self._rung:
            self._rung = True
            with suppress(RuntimeError):  # the loop was closed meanwhile; nobody waits any more
                loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._rung = False  # before looking: what comes in behind the look rings again
        while self._finished:
            waiting = self._finished.popleft()
            if not waiting.done():
                waiting.set_result(None)


_BELLS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()


async def outcome(future: Future[T]) -> T:
    """Return the result of a future of another thread; raises what it raised.

    Unlike `asyncio.wrap_future` a cancelled wait leaves the future alone, because a producer that
    goes away must not cancel what the plant is working on; and it costs a third.
    """
    loop = asyncio.get_running_loop()
    bell = _BELLS.get(loop)
    if bell is None:
        bell = _BELLS[loop] = _Bell()
    waiting: asyncio.Future[None] = loop.create_future()

    future.add_done_callback(lambda _: bell.ring(loop, waiting))
    await waiting
    return future.result()
