"""What the stream asks of the plant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tickplant.candles.grid import Grid
from tickplant.config import Settings
from tickplant.model.instruments import Registry
from tickplant.observe.metrics import Metrics
from tickplant.plant.history import History
from tickplant.plant.hub import Hub


class StreamPlant(Protocol):
    """The part of `Plant` that the stream uses; every method may be called from any thread."""

    hub: Hub
    history: History
    registry: Registry
    settings: Settings
    clock: Callable[[], int]
    metrics: Metrics

    @property
    def run(self) -> int:
        """The number of this run of the plant; it grows with each start."""
        ...

    @property
    def state(self) -> str:
        """Return starting, running, stopping or stopped."""
        ...

    @property
    def load_level(self) -> str:
        """Return healthy, warning, critical or overload."""
        ...

    def readiness(self) -> tuple[bool, str]:
        """Say whether rows are accepted now, and why not."""
        ...

    def run_base(self, run: int) -> int | None:
        """Return the last number that existed when a run began, None for no such run."""
        ...

    def watch_candles(self, grid: Grid, basis: str) -> None:
        """Begin to publish candle updates of this kind; blocks until they are."""
        ...

    def unwatch_candles(self, grid: Grid, basis: str) -> None:
        """Undo one `watch_candles`."""
        ...
