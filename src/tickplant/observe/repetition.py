"""The same message over and over: the first few are written, the rest counted and summed up.

A disk that refuses, or a venue that cuts every connection, says the same thing a thousand times a
minute. What is the same is decided by logger, level and the message before its values are filled
in, so that a thousand different numbers are still one message.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass

BURST = 10
"""Messages of one kind that are written in a window."""

WINDOW_S = 30.0
KINDS_MAX = 500
"""Most kinds that are told apart at one time; beyond, what is new shares one count."""

OTHER = "other messages"


@dataclass(slots=True)
class _Window:
    ends: float
    written: int = 0
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class HeldBack:
    """How many messages of a kind were not written in a window that is over."""

    kind: Hashable
    count: int
    window_s: float


class Repetition:
    """Decides which messages are written. Any thread may call any method.

    `monotonic` gives seconds. Nothing here runs by itself: `take_over` returns what is to be summed
    up, whoever asks.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        burst: int = BURST,
        window_s: float = WINDOW_S,
        kinds_max: int = KINDS_MAX,
    ) -> None:
        self._monotonic = monotonic
        self.window_s = window_s
        self._burst = burst
        self._kinds_max = kinds_max
        self._windows: dict[Hashable, _Window] = {}
        self._over: list[HeldBack] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def holds_back(self) -> bool:
        """Whether something was held back that is not summed up yet."""
        return any(window.held_back for window in self._windows.values())

    def admit(self, kind: Hashable) -> bool:
        """Say whether a message of this kind is written now; one that is not is counted."""
        now = self._monotonic()
        with self._lock:
            window = self._windows.get(kind)
            if window is None or window.ends <= now:
                window = self._begin(kind, now)
            if window.written < self._burst:
                window.written += 1
                return True
            window.held_back += 1
            return False

    def _begin(self, kind: Hashable, now: float) -> _Window:
        if kind not in self._windows and len(self._windows) >= self._kinds_max:
            self._end_old(now)
            if len(self._windows) >= self._kinds_max:
                kind = OTHER
                if OTHER in self._windows and self._windows[OTHER].ends > now:
                    return self._windows[OTHER]
        self._end(kind)
        window = self._windows[kind] = _Window(now + self.window_s)
        return window

    def _end_old(self, now: float) -> None:
        for kind in [kind for kind, window in self._windows.items() if window.ends <= now]:
            self._end(kind)

    def _end(self, kind: Hashable) -> None:
        window = self._windows.pop(kind, None)
        if window is not None and window.held_back:
            self._over.append(HeldBack(kind, window.held_back, self.window_s))

    def take_over(self, *, all_of_them: bool = False) -> list[HeldBack]:
        """Return, once, what was held back in windows that are over, or in all of them."""
        with self._lock:
            self._end_old(float("inf") if all_of_them else self._monotonic())
            over, self._over = self._over, []
            return over
