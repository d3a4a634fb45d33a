"""The threads in which queries run, so that the event loop never waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from tickplant.model.errors import Overloaded

T = TypeVar("T")

THREADS = 8
WAITING_MAX = 2_000
"""Queries that may wait or run at once; beyond, the answer is 503. Bounds memory under a flood."""


class Readers:
    """A bounded thread pool. Belongs to one event loop; `run` is called from it only."""

    def __init__(self, threads: int = THREADS, waiting_max: int = WAITING_MAX) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._waiting_max = waiting_max
        self._waiting = 0

    async def run(self, act: Callable[[], T]) -> T:
        """Return what `act()` returns, run in a thread. Raises `Overloaded` when too many wait."""
        if self._waiting >= self._waiting_max:
            raise Overloaded(f"{self._waiting} queries wait; at most {self._waiting_max} may")
        self._waiting += 1
        try:
            # In the context of its request, so that what it logs or traces is told as such.
            inside = copy_context().run
            return await asyncio.get_running_loop().run_in_executor(self._pool, inside, act)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let running queries end and start no others."""
        self._pool.shutdown(wait=False, cancel_futures=True)
