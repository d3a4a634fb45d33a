"""First and last event time of each instrument among the rows in memory.

Whoever asks for an instrument's bars asks for this first, and there may be hundreds of runs to look
through. So the runs are folded into two columns by instrument number, once each and only when
somebody asks, has asked lately, or when many rows wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import numpy as np

from tickplant.model.times import INT64_MAX, INT64_MIN
from tickplant.store.blocks import Run
from tickplant.store.columns import Ints

WAITING_ROWS = 65_536
"""Rows that may wait to be folded: a reader who comes then has a fraction of a millisecond to do.

A run counts as at least `RUN_ROWS`, its fixed cost."""

RUN_ROWS = 256

ASKED_LATELY = 64
"""So many runs after somebody asked they are folded as they come, by whoever brings them."""


class Spans:
    """Of one table. Any thread may call; runs that were noted are in every later answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bounds = _Bounds()
        self._waiting: list[Run] = []
        self._becoming = threading.Lock()
        self._newer: list[Run] | None = None
        self._cost = 0
        self._asked = 0

    def note(self, run: Run) -> None:
        """Take rows that were added."""
        with self._lock:
            self._waiting.append(run)
            if self._newer is not None:
                self._newer.append(run)
            self._cost += max(len(run), RUN_ROWS)
            self._asked -= 1
            if self._asked > 0 or self._cost >= WAITING_ROWS:
                self._fold()

    def become(self, runs: Callable[[], Iterable[Run]]) -> None:
        """Take it that the rows that `runs()` returns, and those noted since, are all rows now.

        Looks through all of them; whoever asks meanwhile is told what was known before, which is no
        less.
        """
        with self._becoming:
            with self._lock:
                newer = self._newer = []
            bounds = _Bounds()
            bounds.take_all(runs())
            with self._lock:
                self._bounds, self._waiting = bounds, newer
                self._newer, self._cost = None, 0

    def of(self, instrument: int) -> tuple[int, int] | None:
        """Return the first and last `ts_event` of an instrument, or None where it has no rows."""
        with self._lock:
            self._asked = ASKED_LATELY
            if self._waiting:
                self._fold()
            return self._bounds.of(instrument)

    def _fold(self) -> None:
        self._bounds.take_all(self._waiting)
        self._waiting, self._cost = [], 0


class _Bounds:
    """First and last times by number of an instrument; whoever calls sees to it being alone."""

    def __init__(self) -> None:
        self._low: Ints = np.empty(0, np.int64)
        self._high: Ints = np.empty(0, np.int64)

    def of(self, instrument: int) -> tuple[int, int] | None:
        if not 0 <= instrument < len(self._low) or self._high[instrument] == INT64_MIN:
            return None
        return int(self._low[instrument]), int(self._high[instrument])

    def take_all(self, runs: Iterable[Run]) -> None:
        others: list[Run] = []
        for run in runs:
            if not run.indexed:
                others.append(run)
                continue
            index = run.event_order()
            self._take(
                index.instruments, index.ts[index.starts[:-1]], index.ts[index.starts[1:] - 1]
            )
        if others:
            numbers = np.concatenate([run.instrument for run in others])
            ts = np.concatenate([run.ts for run in others])
            self._take(numbers, ts, ts)

    def _take(self, numbers: np.ndarray, lows: Ints, highs: Ints) -> None:
        top = int(numbers.max())
        if top >= len(self._low):
            more = max(top + 1, 2 * len(self._low)) - len(self._low)
            self._low = np.append(self._low, np.full(more, INT64_MAX))
            self._high = np.append(self._high, np.full(more, INT64_MIN))
        lower = lows < self._low[numbers]
        if lower.any():
            np.minimum.at(self._low, numbers[lower], lows[lower])
        higher = highs > self._high[numbers]
        numbers, highs = numbers[higher], highs[higher]
        if (highs[1:] >= highs[:-1]).all():  # as nearly always: what came late is not among them
            self._high[numbers] = highs  # of equal numbers the last one stays, the highest
        elif numbers.size:
            np.maximum.at(self._high, numbers, highs)
