"""What a plant uses and counts while it is under load, read from its own metrics."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import numpy as np

from tickplant.client.problems import error_of, no_answer

CPU = "process_cpu_seconds_total"
MEMORY = "process_resident_memory_bytes"
ACCEPTED = "tickplant_events_accepted_total"
EVERY_S = 1.0
MIB = 1 << 20

_LINE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.M)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: the time it was taken (s, of a monotonic clock) and the sums of each metric."""

    at: float
    values: Mapping[str, float]


async def look(http: httpx.AsyncClient) -> Sample:
    """Scrape the plant once. Raises `Unreachable`, or what the plant answers instead."""
    try:
        answer = await http.get("/metrics")
    except httpx.TransportError as fault:
        raise no_answer(http.base_url, fault) from fault
    if answer.status_code != 200:
        raise error_of(answer.status_code, answer.content, answer.headers)
    return Sample(time.perf_counter(), read_sums(answer.text))


def read_sums(text: str) -> dict[str, float]:
    """Return each metric of a scrape, added up over its series.

    Series of a table stand there by themselves, too, as `name{table}`.
    """
    found: dict[str, float] = {}
    for name, labels, value in _LINE.findall(text):
        found[name] = found.get(name, 0.0) + float(value)
        table = re.search(r'table="(\w+)"', labels)
        if table:
            key = f"{name}{{{table[1]}}}"
            found[key] = found.get(key, 0.0) + float(value)
    return found


async def look_on(http: httpx.AsyncClient, samples: list[Sample]) -> None:
    """Add a sample every second, until cancelled."""
    while True:
        samples.append(await look(http))
        await asyncio.sleep(EVERY_S)


@dataclass(frozen=True, slots=True)
class Usage:
    """What the plant used over a run; None where its machine does not tell.

    `cores` is processor time over time. Memory in MiB: at the start, the most, and its slope over
    the second half of the run (MiB a minute, least squares); `growth` is what that slope comes to
    over that half, as a share of what was used in its middle.
    """

    cores: float | None
    memory_mib_first: float | None
    memory_mib_max: float | None
    slope_mib_min: float | None
    growth: float | None


def usage(samples: list[Sample]) -> Usage:
    """Return what samples come to; slopes need four samples in the second half."""
    if len(samples) < 2 or CPU not in samples[0].values:
        return Usage(None, None, None, None, None)
    first, last = samples[0], samples[-1]
    cores = (last.values[CPU] - first.values[CPU]) / (last.at - first.at)
    memory = [sample.values[MEMORY] / MIB for sample in samples]
    late = [s for s in samples if s.at >= (first.at + last.at) / 2]
    slope, growth = _slope(late) if len(late) >= 4 else (None, None)
    return Usage(cores, memory[0], max(memory), slope, growth)


def _slope(samples: list[Sample]) -> tuple[float, float]:
    at = np.array([sample.at for sample in samples])
    memory = np.array([sample.values[MEMORY] / MIB for sample in samples])
    mib_s = float(np.polyfit(at - at[0], memory, 1)[0])
    return mib_s * 60, mib_s * float(at[-1] - at[0]) / float(memory.mean())
