"""The scenarios of a load test: how many instruments, how many ticks, when, and what must hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tickplant.model.errors import InvalidParameter, UserError

MESSAGES_S = 100
"""Messages a second, where the size of a batch is not given: a tick waits 10 ms for its batch."""

BATCH_ROWS_MAX = 20_000
"""Most ticks in one message; well below what the plant takes in one frame."""

INSTRUMENTS_MAX = 100_000
RATE_MAX = 10_000_000
SECONDS_MAX = 3_600.0
TICKS_MAX = 200_000_000
"""Most ticks of one run: each is read back, and eight bytes of it are held for that."""

GREEKS = "greeks"
_NO_GREEKS = (
    "bench load greeks: this release prices no options, so there is nothing in ingest that the "
    "scenario could load; it comes with implied volatility and Greeks"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run must keep, None where a scenario asks nothing of the kind.

    `p99_ms` of the acknowledgements; `last_ack_s`, the slowest of them; `drift`, the p99 of the
    last third over that of the first, asked only where the former is above `p99_ms` / 4, because
    small latencies differ by much; `growth`, of the plant's memory over the second half of the run,
    as a share of what it had.
    """

    p99_ms: float | None = None
    last_ack_s: float | None = None
    drift: float | None = None
    growth: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One load. `rate` in ticks/s; with `burst` so many ticks are due at once, every second."""

    name: str
    about: str
    instruments: int
    rate: int
    seconds: float
    batch: int
    limits: Limits
    burst: int = 0

    @property
    def ticks(self) -> int:
        """Ticks of the run, without those that make the instruments known before it."""
        if self.burst:
            return self.burst * max(round(self.seconds), 1)
        return max(round(self.rate * self.seconds), 1)

    def messages(self) -> Iterator[tuple[float, int, int]]:
        """Yield of each message when it is due (s after the start), its first tick and how many.

        A message is due when its last tick is: what a tick waits for its batch is the producer's
        affair, not the plant's.
        """
        for first in range(0, self.ticks, self.batch):
            count = min(self.batch, self.ticks - first)
            yield self.due_s(first + count - 1), first, count

    def due_s(self, tick: int) -> float:
        """Return when a tick is due, s after the start."""
        return float(tick // self.burst) if self.burst else tick / self.rate


_RATE, _SECONDS = 100_000, 10.0
_QUICK = Limits(p99_ms=100.0)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("baseline", "1,000 instruments", 1_000, _RATE, _SECONDS, 0, _QUICK),
        Scenario("scale", "5,000 instruments", 5_000, _RATE, _SECONDS, 0, _QUICK),
        Scenario(
            "burst", "10,000 ticks due at once, five times, a second apart",
            1_000, 0, 5.0, 1_000, Limits(last_ack_s=5.0), burst=10_000,
        ),
        Scenario(
            "sustained", "1,000 instruments for 60 s", 1_000, _RATE, 60.0, 0,
            Limits(p99_ms=100.0, drift=2.0, growth=0.1),
        ),
    )
}  # fmt: skip
NAMES = (*SCENARIOS, GREEKS)


def choose(
    name: str,
    *,
    instruments: int | None = None,
    rate: int | None = None,
    seconds: float | None = None,
    batch: int | None = None,
) -> Scenario:
    """Return a scenario with what was changed of it.

    Raises `InvalidParameter` that says what is allowed, `UserError` for the one that cannot run.
    """
    word = name.strip().lower()
    if word == GREEKS:
        raise UserError(_NO_GREEKS)
    if word not in SCENARIOS:
        raise InvalidParameter("SCENARIO", name, ", ".join(NAMES), where="argument")
    found = SCENARIOS[word]
    if rate is not None and found.burst:
        allowed = "nothing: the ticks of a burst are due at once"
        raise InvalidParameter("--rate", rate, allowed, where="option")
    _check("--instruments", instruments, 1, INSTRUMENTS_MAX)
    _check("--rate", rate, 1, RATE_MAX)
    _check("--seconds", seconds, 0.1, SECONDS_MAX)
    _check("--batch", batch, 1, BATCH_ROWS_MAX)
    found = replace(
        found,
        instruments=instruments or found.instruments,
        rate=rate or found.rate,
        seconds=seconds or found.seconds,
        batch=batch or found.batch,
    )
    if not found.batch:
        found = replace(found, batch=min(max(found.rate // MESSAGES_S, 1), BATCH_ROWS_MAX))
    if found.ticks > TICKS_MAX:
        raise InvalidParameter(
            "--seconds", found.seconds, f"at most {TICKS_MAX:,} ticks in all", where="option"
        )
    return found


def _check(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        allowed = f"a number from {low:g} to {high:,.0f}"
        raise InvalidParameter(name, value, allowed, where="option")
