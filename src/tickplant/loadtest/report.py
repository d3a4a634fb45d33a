"""What a run came to: for people, for machines, and whether it kept the limits of its scenario."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tickplant.loadtest.producer import Delivery
from tickplant.loadtest.readback import Found
from tickplant.loadtest.scenarios import Scenario
from tickplant.loadtest.usage import Usage

PERCENTS = (50.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and whether it did; `said` has the figures."""

    name: str
    ok: bool
    said: str


@dataclass(frozen=True, slots=True)
class Report:
    """A run that came to its end.

    `warm_up` are the ticks, one an instrument, that were sent before the clock began; they are in
    `found`, and in no figure besides. `counted` is what the plant's own metrics count over the run,
    None where others may write to it too. `sender_cores` is what the generator itself used.
    """

    scenario: Scenario
    url: str
    own: bool
    warm_up: int
    delivery: Delivery
    found: Found
    counted: int | None
    used: Usage
    sender_cores: float

    @property
    def rate(self) -> float:
        """Ticks acknowledged a second, from the start to the last acknowledgement."""
        return self.delivery.acknowledged / max(self.delivery.seconds, 1e-9)

    @property
    def ok(self) -> bool:
        """Whether nothing was lost and every limit was kept."""
        return all(check.ok for check in self.checks())

    def latency_ms(self) -> dict[str, float]:
        """Return percentiles of the acknowledgements, from when they were due, and the slowest."""
        return percentiles_ms(self.delivery.latencies_s)

    def drift(self) -> float:
        """Return the p99 of the last third of the messages over that of the first third."""
        found = self.delivery.latencies_s
        third = max(len(found) // 3, 1)
        first, last = (float(np.percentile(part, 99)) for part in (found[:third], found[-third:]))
        return last / max(first, 1e-9)

    def checks(self) -> list[Check]:
        """Return what must hold of every run, then what this scenario asks for."""
        done, sums = self.delivery, self.found.sums
        wanted = self.scenario.ticks + self.warm_up
        found = [
            Check(
                "all acknowledged",
                done.acknowledged == self.scenario.ticks,
                f"{done.acknowledged:,} of {self.scenario.ticks:,}",
            ),
            Check(
                "all read back, once",
                sums.rows == wanted and not self.found.doubled and not self.found.missing,
                f"{sums.rows:,} of {wanted:,}, {self.found.missing:,} missing, "
                f"{self.found.doubled:,} twice",
            ),
            Check(
                "prices and sizes as sent",
                sums == done.sums,
                f"sizes {sums.sizes:,} of {done.sums.sizes:,}, "
                f"cents {sums.cents:,} of {done.sums.cents:,}",
            ),
        ]
        if self.counted is not None:
            said = f"{self.counted:,} of {wanted:,}"
            found.append(Check("counted by the plant's metrics", self.counted == wanted, said))
        return found + self._limits()

    def _limits(self) -> list[Check]:
        limits, latency, found = self.scenario.limits, self.latency_ms(), []
        if limits.p99_ms is not None:
            said = f"{latency['p99']:.1f} ms, at most {limits.p99_ms:g}"
            found.append(Check("p99 of acknowledgements", latency["p99"] <= limits.p99_ms, said))
        if limits.last_ack_s is not None:
            slowest = latency["max"] / 1e3
            said = f"{slowest:.2f} s, at most {limits.last_ack_s:g}"
            found.append(Check("slowest acknowledgement", slowest <= limits.last_ack_s, said))
        if limits.drift is not None and limits.p99_ms is not None:
            drift, small = self.drift(), latency["p99"] <= limits.p99_ms / 4
            said = f"p99 of the last third {drift:.2f} times the first, at most {limits.drift:g}"
            found.append(Check("no drift of latency", small or drift <= limits.drift, said))
        if limits.growth is not None and self.used.growth is not None:
            said = f"{self.used.growth:+.1%} in the second half, at most {limits.growth:+.0%}"
            found.append(Check("memory is flat", self.used.growth <= limits.growth, said))
        return found

    def as_json(self) -> dict[str, Any]:
        """Return all of it as one JSON object."""
        done, scenario = self.delivery, self.scenario
        return {
            "scenario": scenario.name,
            "url": self.url,
            "own_plant": self.own,
            "instruments": scenario.instruments,
            "rate_offered": None if scenario.burst else scenario.rate,
            "burst": scenario.burst or None,
            "batch": scenario.batch,
            "sent": scenario.ticks,
            "acknowledged": done.acknowledged,
            "duplicates": done.duplicates,
            "rejected": done.rejected,
            "first_rejected": done.first_rejected or None,
            "read_back": self.found.sums.rows - self.warm_up,
            "warm_up": self.warm_up,
            "counted_by_plant": self.counted,
            "seconds": done.seconds,
            "ticks_per_s": self.rate,
            "ack_ms": self.latency_ms(),
            "ack_drift": self.drift(),
            "sender_late_ms": percentiles_ms(done.lateness_s),
            "sender_cores": self.sender_cores,
            "try_again": done.refusals,
            "plant_cores": self.used.cores,
            "memory_mib_first": self.used.memory_mib_first,
            "memory_mib_max": self.used.memory_mib_max,
            "memory_slope_mib_per_min": self.used.slope_mib_min,
            "memory_growth_second_half": self.used.growth,
            "checks": [{"name": c.name, "ok": c.ok, "said": c.said} for c in self.checks()],
            "ok": self.ok,
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        done, scenario, used = self.delivery, self.scenario, self.used
        load = f"{scenario.burst:,} at once" if scenario.burst else f"{scenario.rate:,} ticks/s"
        rejected = f" ({done.first_rejected})" if done.first_rejected else ""
        found = [
            f"{scenario.name}: {scenario.instruments:,} instruments, {load}, "
            f"{scenario.seconds:g} s, batches of {scenario.batch:,}, into "
            f"{'a plant of its own' if self.own else self.url}",
            f"  sent          {scenario.ticks:,}",
            f"  acknowledged  {done.acknowledged:,}, {done.duplicates:,} duplicates, "
            f"{done.rejected:,} rejected{rejected}",
            f"  read back     {self.found.sums.rows - self.warm_up:,}",
            f"  rate          {self.rate:,.0f} ticks/s, to the last acknowledgement",
            f"  ack latency   {_shown(self.latency_ms())}, from when they were due",
            f"  generator     {_shown(percentiles_ms(done.lateness_s))} behind, "
            f"{self.sender_cores:.2f} cores",
        ]
        if used.cores is not None:
            slope = (
                "" if used.slope_mib_min is None else f", {used.slope_mib_min:+,.0f} MiB a minute"
            )
            found.append(
                f"  plant         {used.cores:.2f} cores, memory {used.memory_mib_first:,.0f} to "
                f"{used.memory_mib_max:,.0f} MiB{slope}"
            )
        if done.refusals:
            found.append(f"  try again     the plant said so {done.refusals:,} times")
        marks = ((check, "ok    " if check.ok else "FAILED") for check in self.checks())
        return found + [f"  {mark}  {check.name}: {check.said}" for check, mark in marks]


def percentiles_ms(seconds: list[float]) -> dict[str, float]:
    """Return p50, p95, p99, p99.9 and the greatest, ms; zeros for none."""
    if not seconds:
        return {**{f"p{part:g}": 0.0 for part in PERCENTS}, "max": 0.0}
    found = np.percentile(seconds, PERCENTS) * 1e3
    values = dict(zip((f"p{part:g}" for part in PERCENTS), found.tolist(), strict=True))
    return {**values, "max": max(seconds) * 1e3}


def _shown(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in found.items()) + " ms"
