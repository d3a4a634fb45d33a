"""What waits for the plant's thread: bounded in rows, closed once, and never forgetful.

Whatever is put in is either taken by the plant's thread or handed to `rest`; nothing can come in
behind the end. So every future that a producer holds ends, whatever becomes of the thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from tickplant.model.errors import Overloaded, Stopping
from tickplant.observe.context import Bound, bound
from tickplant.observe.tracing import Trace
from tickplant.plant.submission import Receipt, Submission

_Result = TypeVar("_Result")

BELONGING_MAX = 10
"""Most requests that a log line about several names."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """Rows that were handed in `at` a time, ns UTC, and for whom; `trace` is that of it, if any."""

    submission: Submission
    future: Future[Receipt]
    rows: int
    at: int
    of: Bound
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class Called:
    """Something else that must run on the plant's thread."""

    act: Callable[[], object]
    future: Future[Any]


class Stop:
    """The last thing in the inbox."""


Item = Submitted | Called | Stop


LINGER_S = 0.004
"""So long small submissions wait for each other where many are under way, s."""

UNDER_WAY = 4
"""So many that are not answered yet, the last ones, are many."""

SMALL_ROWS = 512
"""Fewer rows than these that wait cost the plant's thread as much as one row."""


class Inbox:
    """Any thread puts in, one thread takes. `rows_max` bounds the rows that wait.

    Who waits for each answer before he sends the next never waits for others: he has one under way.
    """

    def __init__(self, rows_max: int, *, sleep: Callable[[float], object] = time.sleep) -> None:
        self._rows_max = rows_max
        self._sleep = sleep
        self._newest: deque[Future[Receipt]] = deque(maxlen=UNDER_WAY)
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._rows = 0
        self._closed: str | None = None

    @property
    def rows(self) -> int:
        """Rows that wait or are being accepted."""
        return self._rows

    @property
    def closed(self) -> bool:
        """Whether nothing is taken in any more."""
        return self._closed is not None

    def submit(
        self, submission: Submission, at: int, trace: Trace | None = None
    ) -> Future[Receipt]:
        """Put rows in. Raises `Overloaded` at the bound and `Stopping` once closed."""
        rows = max(len(submission.rows), 1)
        item = Submitted(submission, new_future(), rows, at, bound(), trace)
        with self._lock:
            self._check_open()
            if self._rows and self._rows + rows > self._rows_max:
                raise Overloaded(
                    f"{self._rows} rows wait to be accepted; at most {self._rows_max} may"
                )
            self._rows += rows
            self._newest.append(item.future)
            self._items.put(item)
        return item.future

    def call(self, act: Callable[[], object], future: Future[Any]) -> None:
        """Put a call in. Raises `Stopping` once closed."""
        with self._lock:
            self._check_open()
            self._items.put(Called(act, future))

    def _check_open(self) -> None:
        if self._closed is not None:
            raise Stopping(self._closed)

    def close(self, why: str) -> None:
        """Take nothing in any more; the thread meets a `Stop` behind what is there. Idempotent."""
        with self._lock:
            if self._closed is None:
                self._items.put(Stop())
            self._closed = why

    def take(self, rows_max: int) -> list[Item]:
        """Return what waits, at least one item, at most about `rows_max` rows; waits for it."""
        items = [self._items.get()]
        if self._rows < SMALL_ROWS and self._are_many_under_way():
            self._sleep(LINGER_S)
        rows = getattr(items[0], "rows", 0)
        while rows < rows_max:
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                break
            items.append(item)
            rows += getattr(item, "rows", 0)
        return items

    def _are_many_under_way(self) -> bool:
        with self._lock:
            newest = tuple(self._newest)
        return len(newest) == UNDER_WAY and not any(future.done() for future in newest)

    def release(self, items: list[Submitted]) -> None:
        """Note that these are dealt with and their rows wait no more."""
        with self._lock:
            self._rows -= sum(item.rows for item in items)

    def rest(self) -> Iterator[Submitted | Called]:
        """Yield what nobody will take; only after `close`."""
        while True:
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                return
            if not isinstance(item, Stop):
                yield item


def belonging(items: Sequence[Item]) -> dict[str, Any]:
    """Return what work on these items belongs to, as a log line tells it."""
    found: dict[str, list[str | int]] = {}
    for item in items:
        if isinstance(item, Submitted):
            for name, value in item.of.items():
                if value not in found.setdefault(name, []):
                    found[name].append(value)
    return {
        name: values[0] if len(values) == 1 else values[:BELONGING_MAX]
        for name, values in found.items()
    }


def new_future() -> Future[Any]:
    """Return a future that nobody can cancel, because what it stands for happens all the same."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def settle(future: Future[_Result], result: _Result) -> None:
    """End a future well, unless it has ended."""
    with suppress(InvalidStateError):
        future.set_result(result)


def refuse(future: Future[Any], fault: BaseException) -> None:
    """End a future in a fault, unless it has ended."""
    with suppress(InvalidStateError):
        future.set_exception(fault)
