"""Which alerts fired when, against which should have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Phase:
    """A fault, from when to when (s of the day), and the alerts that it must bring about.

    `also` are alerts that belong to the fault and may come or not; `lasting` those that must come
    and stay until the plant is started again.
    """

    name: str
    begin_s: float
    end_s: float
    wanted: frozenset[str]
    also: frozenset[str] = frozenset()
    lasting: frozenset[str] = frozenset()


@dataclass
class Firing:
    """One time that an alert fired: since when, and until when; None where it never resolved."""

    alert: str
    begin_s: float
    end_s: float | None = None


@dataclass
class Log:
    """What was firing, look by look."""

    firings: list[Firing] = field(default_factory=list)

    def look(self, at_s: float, names: set[str]) -> None:
        """Note which alerts fire at a time."""
        open_ones = {firing.alert: firing for firing in self.firings if firing.end_s is None}
        for name in names - set(open_ones):
            self.firings.append(Firing(name, at_s))
        for name in set(open_ones) - names:
            open_ones[name].end_s = at_s


@dataclass(frozen=True)
class Row:
    """What became of one alert that a fault must bring about: seconds after it began and ended."""

    fault: str
    alert: str
    fired_s: float | None
    resolved_s: float | None
    lasting: bool = False

    @property
    def ok(self) -> bool:
        return self.fired_s is not None and (self.resolved_s is None) == self.lasting


def judge(phases: Sequence[Phase], log: Log) -> tuple[list[Row], list[Firing]]:
    """Return a row for each alert that was wanted, and the firings that nothing explains.

    A firing belongs to the fault in whose time, or after whose end but before the next fault, it
    began.
    """
    rows: list[Row] = []
    stray: list[Firing] = []
    explained: dict[tuple[str, str], list[Firing]] = {}
    for firing in log.firings:
        phase = _phase_at(phases, firing.begin_s)
        if phase is None or firing.alert not in phase.wanted | phase.also | phase.lasting:
            stray.append(firing)
        else:
            explained.setdefault((phase.name, firing.alert), []).append(firing)
    for phase in phases:
        rows += [
            _row(phase, alert, explained.get((phase.name, alert), ()))
            for alert in (*sorted(phase.wanted), *sorted(phase.lasting))
        ]
        came = [alert for alert in sorted(phase.also) if (phase.name, alert) in explained]
        rows += [_row(phase, alert, explained[phase.name, alert]) for alert in came]
    return rows, stray


def _row(phase: Phase, alert: str, firings: Sequence[Firing]) -> Row:
    if not firings:
        return Row(phase.name, alert, None, None, alert in phase.lasting)
    ended = firings[-1].end_s
    return Row(
        phase.name,
        alert,
        firings[0].begin_s - phase.begin_s,
        None if ended is None else ended - phase.end_s,
        alert in phase.lasting,
    )


def _phase_at(phases: Sequence[Phase], at_s: float) -> Phase | None:
    begun = [phase for phase in phases if phase.begin_s <= at_s]
    return begun[-1] if begun else None
