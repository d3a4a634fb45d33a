"""Waiting on the event loop for what another thread will finish."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def outcome(future: Future[T]) -> T:
    """Return the result of a future of another thread; raises what it raised.

    Unlike `asyncio.wrap_future` a cancelled wait leaves the future alone, because a producer that
    goes away must not cancel what the plant is working on; and it costs a third.
    """
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] = loop.create_future()

    def on_done(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile; nobody waits any more
            loop.call_soon_threadsafe(_wake, waiting)

    future.add_done_callback(on_done)
    await waiting
    return future.result()


def _wake(waiting: asyncio.Future[Any]) -> None:
    if not waiting.done():
        waiting.set_result(None)
