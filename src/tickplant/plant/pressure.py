"""How hard pressed the plant is: four levels, from what is measured, that do not flap.

    measures ─► the largest share of a bound ─► level
    healthy ──► warning ──► critical ──► overload     up: the share has stood so high for `rise_s`
            ◄──         ◄──          ◄──              down: lower than that by a part, for `fall_s`

A measure is a value and its bound, so that all of them are compared as shares of 1. Going up skips
levels where the share does; coming down does, too. What each level does stands in `backpressure`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, NamedTuple

from tickplant.config import BackpressureSettings
from tickplant.model.errors import ConfigError


class Level(IntEnum):
    """How hard pressed; the number is what the metric shows."""

    HEALTHY = 0
    WARNING = 1
    CRITICAL = 2
    OVERLOAD = 3

    @property
    def word(self) -> str:
        """The level as people and status read it."""
        return self.name.lower()


class Measure(NamedTuple):
    """One thing that is measured, and where it may not go; both in the same `unit`."""

    value: float
    bound: float
    unit: str

    @property
    def share(self) -> float:
        """The part of its bound that is used; 1 is all of it, and there may be more."""
        return self.value / self.bound if self.bound > 0 else float(self.value > 0)


Measures = Mapping[str, Measure]


class Change(NamedTuple):
    """A level that was left for another, and the measure that decided."""

    old: Level
    new: Level
    cause: str
    measure: Measure

    def __str__(self) -> str:
        seen, unit = self.measure, self.measure.unit
        return f"{self.cause}: {seen.value:,.6g} of {seen.bound:,.6g} {unit} ({seen.share:.0%})"


NOTHING = Measure(0.0, 1.0, "")


class Pressure:
    """The level. `look` may be called by any thread; the rest is read by any.

    `monotonic` gives seconds. Raises `ConfigError` for thresholds that are not in order.
    """

    def __init__(self, settings: BackpressureSettings, monotonic: Callable[[], float]) -> None:
        _check(settings)
        self.level = Level.HEALTHY
        self.share = 0.0
        self.cause = ""
        self.measures: Measures = {}
        self.changes: Counter[str] = Counter({level.word: 0 for level in Level})
        self._settings = settings
        self._thresholds = (0.0, settings.warning, settings.critical, settings.overload)
        self._monotonic = monotonic
        self._since = monotonic()
        self._high_since: dict[Level, float] = {}
        self._low_since: float | None = None
        self._lock = threading.Lock()

    @property
    def refuses(self) -> bool:
        """Whether new rows are refused: overloaded, and not yet relieved."""
        return self.level is Level.OVERLOAD and self.share >= self._left(Level.OVERLOAD)

    @property
    def since_s(self) -> float:
        """How long the level has lasted, s."""
        return self._monotonic() - self._since

    def look(self, measures: Measures) -> Change | None:
        """Take what was measured now; return the change of level that it makes, if any."""
        with self._lock:
            cause, worst = max(
                measures.items(), key=lambda item: item[1].share, default=("", NOTHING)
            )
            self.measures, self.share, self.cause = measures, worst.share, cause
            now = self._monotonic()
            new = self._risen(now)
            if new <= self.level:
                new = self._fallen(now)
            if new is self.level:
                return None
            change = Change(self.level, new, cause, worst)
            self.level, self._since, self._low_since = new, now, None
            self.changes[new.word] += 1
            return change

    def _risen(self, now: float) -> Level:
        """Return the highest level at which the share has stood for long enough."""
        risen = Level.HEALTHY
        for level in (Level.WARNING, Level.CRITICAL, Level.OVERLOAD):
            if self.share < self._thresholds[level]:
                self._high_since.pop(level, None)
            elif now - self._high_since.setdefault(level, now) >= self._settings.rise_s:
                risen = level
        return risen

    def _fallen(self, now: float) -> Level:
        """Return the level to come down to, once the share has been low for long enough."""
        if self.level is Level.HEALTHY or self.share >= self._left(self.level):
            self._low_since = None
            return self.level
        if self._low_since is None:
            self._low_since = now
        if now - self._low_since < self._settings.fall_s:
            return self.level
        lower = [level for level in Level if level < self.level]
        return max(
            (level for level in lower if self.share >= self._left(level)), default=Level.HEALTHY
        )

    def _left(self, level: Level) -> float:
        """Return the share below which a level is left."""
        return self._settings.recover * self._thresholds[level]

    def shown(self) -> dict[str, Any]:
        """Return what status shows: plain values."""
        return {
            "level": self.level.word,
            "since_s": round(self.since_s, 3),
            "refuses": self.refuses,
            "cause": self.cause if self.share >= self._thresholds[Level.WARNING] else None,
            "measures": {
                name: {**measure._asdict(), "share": round(measure.share, 4)}
                for name, measure in self.measures.items()
            },
        }


def _check(settings: BackpressureSettings) -> None:
    if not settings.warning < settings.critical < settings.overload:
        raise ConfigError(
            f"backpressure: warning {settings.warning:g}, critical {settings.critical:g} and "
            f"overload {settings.overload:g} are not allowed; allowed are shares that grow"
        )
