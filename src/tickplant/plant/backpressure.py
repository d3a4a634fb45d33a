"""What a plant does about its load, level by level; one thread looks at the measures.

    level      besides what the levels below it do
    warning    batches of twice as many rows, polls half as often
    critical   four times as many rows, polls a quarter as often; of live feeds' quotes only the
               newest of each instrument (`conflate`)
    overload   new rows are refused (503, `Retry-After`) until the worst is over; live feeds' quotes
               are left out (`drop`), their other rows wait

What was acknowledged is never touched. Every change is logged, counted and told to who watches the
channel `status`; what is left out is in the gap ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tickplant.model.errors import Overloaded, Stopping
from tickplant.plant.measures import PlantMeasures, Unanswered
from tickplant.plant.pressure import Change, Level, Measures, Pressure
from tickplant.plant.shedding import CONFLATE, DROP, Shedding
from tickplant.plant.submission import Submission

if TYPE_CHECKING:
    from tickplant.plant.plant import Plant

_LOG = logging.getLogger(__name__)

TELL_EVERY_S = 5.0
"""How often what is being left out is written into the ledger, s."""

JOIN_S_MAX = 10.0

_WIDER = {Level.HEALTHY: 1, Level.WARNING: 2, Level.CRITICAL: 4, Level.OVERLOAD: 4}
_RARER = {Level.HEALTHY: 1, Level.WARNING: 2, Level.CRITICAL: 4, Level.OVERLOAD: 8}
_POLICY = {Level.CRITICAL: CONFLATE, Level.OVERLOAD: DROP}

RETRY_S = {"disk": 30.0, "process": 10.0, "memory": 5.0}
"""When to try again by what is short, s: a disk does not grow in a second."""


class Backpressure:
    """The load of one plant and what is done about it. Any thread may ask anything.

    `monotonic` gives seconds; `measure` None reads the plant.
    """

    def __init__(
        self,
        plant: Plant,
        monotonic: Callable[[], float] = time.monotonic,
        measure: Callable[[], Measures] | None = None,
    ) -> None:
        self.pressure = Pressure(plant.settings.backpressure, monotonic)
        self.unanswered = Unanswered(monotonic)
        self.shedding = Shedding(plant.clock, plant.metrics.shed)
        self._plant = plant
        self._settings = plant.settings.backpressure
        self._monotonic = monotonic
        self._measure = measure or PlantMeasures(plant, self.unanswered, monotonic)
        self._told = monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pressure", daemon=True)

    # -- what it does ------------------------------------------------------------------------------

    @property
    def level(self) -> Level:
        """The present level."""
        return self.pressure.level

    def admit(self) -> None:
        """Raise `Overloaded` where new rows are refused now."""
        pressure = self.pressure
        if pressure.refuses:
            measure = pressure.measures[pressure.cause]
            raise Overloaded(
                f"the plant is overloaded: {pressure.cause} is at {measure.share:.0%} of its bound",
                retry_after_s=RETRY_S.get(pressure.cause, 1.0),
            )

    @property
    def batch_rows_max(self) -> int:
        """Most rows that are accepted in one go now."""
        return self._plant.settings.plant.batch_rows_max * _WIDER[self.level]

    @property
    def poll_stretch(self) -> int:
        """How many times its interval a poll waits now."""
        return _RARER[self.level]

    def shed(self, submission: Submission) -> Submission | None:
        """Return what of a live feed's rows is to be submitted now; None where that is nothing."""
        policy = _POLICY.get(self.level)
        if policy is None or not self._settings.shed_quotes:
            return submission
        return self.shedding.apply(submission, policy)

    def shown(self) -> dict[str, Any]:
        """Return what status shows."""
        return {**self.pressure.shown(), "shed": dict(self.shedding.shed)}

    # -- the thread --------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what was left out is told as far as the plant still takes it."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S_MAX)
        self._tell()

    def look(self) -> Change | None:
        """Measure now and do what follows."""
        change = self.pressure.look(self._measure())
        if change is not None:
            level = logging.INFO if change.new < change.old else logging.WARNING
            _LOG.log(level, "backpressure is %s now: %s", change.new.word, change)
        calm = self.level < Level.CRITICAL
        if calm or self._monotonic() - self._told >= TELL_EVERY_S:
            self._told = self._monotonic()
            self._tell()
        return change

    def _tell(self) -> None:
        for hole in self.shedding.take_holes():
            try:
                self._plant.tell(hole)
            except Stopping:
                _LOG.warning("%s of %s is not in the ledger", hole.detail, hole.feed)

    def _run(self) -> None:
        while not self._stopping.wait(self._settings.look_s):
            try:
                self.look()
            except Exception:
                _LOG.exception("the load could not be measured")
