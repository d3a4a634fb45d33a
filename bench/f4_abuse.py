"""F4, abuse: one caller asks a hundred times as often as it may; what do the others notice?

A plant with keys and a limit. Callers who stay within it ask for the last of instruments at fixed
times (open loop); what counts is the 99th percentile of their time to an answer, with the abuser
and without, in turn on the same plant. It is counted that each of them is answered with 200 every
time, and the abuser exactly as often as the limit says, and with 429 else. What a refusal costs the
plant stands beside it. The abuser's generator needs a processor, too: on two cores, and with other
work on them, run it as `chrt -r 1 python -m bench f4`.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from bench.b10_http import HOT, fill
from bench.harness import Comparison, Done, Outcome, Side, compare
from bench.served import TIMEOUT_S, cpu_s, load, pid_of, serving
from bench.ticks import symbols
from tickplant.gateway.keys.file import KeyFile

LIMIT = 600
TIMES = 100
CALLERS, EACH_S = 30, 5.0
"""Callers who keep to the limit, and how often each asks in a second: half of what it may."""

ABUSERS_CONNECTIONS = 16
HEAD_START_S = 1.0
TARGET = "p99 of the others with the abuser <= 1.1x of without; each answer 200 or 429 as it must"


@dataclass(frozen=True)
class Guarded:
    """A plant that asks for keys, with a limit, and the keys of those who keep to it."""

    port: int
    pid: int
    folder: Path
    callers: list[str]

    def keys(self, count: int) -> list[str]:
        """Return new keys that read, once they count; the last one has asked once."""
        file = KeyFile(self.folder)
        made = [file.create(["read"], now=time.time_ns())[0] for _ in range(count)]
        url, deadline = f"http://127.0.0.1:{self.port}/v1/nowhere", time.monotonic() + TIMEOUT_S
        while httpx.get(url, headers=bearer(made[-1])).status_code != 404:
            if time.monotonic() > deadline:
                raise RuntimeError("a new key does not count")
            time.sleep(0.1)
        return made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def request(turn: int, key: str) -> bytes:
    names = symbols(16)
    path = HOT[0].path(names[turn % len(names)])
    return f"GET {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\n\r\n".encode()


@contextmanager
def guarded(callers: int = CALLERS) -> Iterator[Guarded]:
    """Yield a plant with data, and the keys of callers."""
    limit = f"limits.read={LIMIT}/minute"
    with serving("--set", "auth.required=true", "--set", limit) as (url, port, folder):
        key, _ = KeyFile(folder).create(["write"], now=time.time_ns())
        pid = pid_of(folder)
        plant = Guarded(port, pid, folder, [])
        plant.callers.extend(plant.keys(callers))
        fill(url, bearer(key))
        yield plant


def measure(plant: Guarded, seconds: float, *, abused: bool) -> Done:
    """Let the callers ask for so long; the rate of what is returned is their 99th percentile, ms.

    The abuser begins before them and ends after them.
    """
    callers = plant.callers
    asked = [
        request(n, callers[n % len(callers)]) for n in range(int(len(callers) * seconds * EACH_S))
    ]
    abuse = _Abuse(plant, seconds) if abused else None
    if abuse is not None:
        abuse.start()
        time.sleep(HEAD_START_S)
    used = cpu_s(plant.pid)
    found = load(plant.port, asked, len(callers), len(callers) * EACH_S)
    used = cpu_s(plant.pid) - used
    if abuse is not None:
        abuse.check()
    if found["statuses"] != {"200": len(asked)}:
        raise AssertionError(f"who keeps to the limit is not always answered: {found['statuses']}")
    extra = {
        "p50 ms": found["p50_ms"],
        "answers": float(len(asked)),
        "server CPU s": used,
        "refused": 0.0 if abuse is None else float(abuse.refused),
    }
    return Done(round(1e6 * found["p99_ms"]), 1e6, extra)


class _Abuse(threading.Thread):
    """The abuser: with a key of its own, a hundred times as often as it may."""

    def __init__(self, plant: Guarded, seconds: float) -> None:
        super().__init__()
        self._plant = plant
        [self._key] = plant.keys(1)
        self._rate = TIMES * LIMIT / 60
        self._asked = int(self._rate * (HEAD_START_S + seconds + 1.0))
        self._statuses: dict[str, int] = {}
        self.refused = 0

    def run(self) -> None:
        requests = [request(n, self._key) for n in range(self._asked)]
        found = load(self._plant.port, requests, ABUSERS_CONNECTIONS, self._rate)
        self._statuses = found["statuses"]

    def check(self) -> None:
        """Wait for its end; it must have been answered up to its limit, and refused from then on.

        One request of the minute was made to see that its key counts.
        """
        self.join()
        allowed = LIMIT - 1
        self.refused = self._asked - allowed
        if self._statuses != {"200": allowed, "429": self.refused}:
            raise AssertionError(f"{self._asked} requests at a limit of {LIMIT}: {self._statuses}")


def run(*, seconds: float = 8.0, rounds: int = 5) -> list[Comparison]:
    """Run F4; each round asks for so long with the abuser and for so long without."""
    with guarded() as plant:
        sides = [
            Side("with the abuser", partial(measure, plant, seconds, abused=True)),
            Side("without", partial(measure, plant, seconds, abused=False)),
        ]
        compared = compare(
            f"F4 p99 of {CALLERS} callers within {LIMIT}/minute beside one at {TIMES} times of it",
            sides,
            rounds=rounds,
            unit="ms",
            target=TARGET,
        )
    compared.better = "lower"
    having, lacking = compared.outcomes
    ratios = [a / b for a, b in zip(having.rates, lacking.rates, strict=True)]
    having.extra["p99 with / without, median of rounds"] = statistics.median(ratios)
    having.extra["least"], having.extra["greatest"] = min(ratios), max(ratios)
    more_s = having.extra["server CPU s"] - lacking.extra["server CPU s"]
    having.extra["ms of a core a request of the abuser"] = (
        1e3 * more_s / (TIMES * LIMIT / 60 * seconds)
    )
    return [compared]


def smoke() -> list[Comparison]:
    """Run F4 once with little load."""
    with guarded(callers=4) as plant:
        done = measure(plant, 0.5, abused=True)
    return [
        Comparison("F4 p99 of the others", "ms", [Outcome("others", "", [done.rate], done.extra)])
    ]
