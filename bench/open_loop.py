"""An open-loop load generator for HTTP: each request has its time, in a process of its own.

    python -m bench.open_loop HOST PORT CONNECTIONS < schedule

Standard input is a pickle of a list of (seconds after the start, complete HTTP/1.1 request). A
request whose turn has come takes a free connection; where none is free it waits, and its latency
counts from the time at which it was due. So a server that stalls cannot slow its own load down.

Who measures must not be what is measured: the process takes real-time priority where it may
(sched(7)), and says so, and its loop waits by `select`, whose times are exact to the microsecond
where those of others are whole milliseconds. How late it was itself, and what the server says that
an answer took it (`X-Response-Time-Ms`), is told beside the latencies.

Prints one JSON line: requests, seconds, answers by status, `accepted` summed over the answers, the
latencies' percentiles, the generator's own delay and the server's own time at the 99th, ms, its
processor time and priority.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import selectors
import sys
import time
from collections import Counter
from collections.abc import Sequence

Schedule = list[tuple[float, bytes]]
Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]

BUFFER_BYTES = 1 << 20
"""An answer is read in as few pieces as the kernel gives."""

_TOOK = b"x-response-time-ms:"
_LENGTH = b"content-length:"


class Load:
    """One run; `latencies` in seconds, in the order of the answers."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.late: list[float] = []
        self.own_ms: list[float] = []
        self.accepted = 0

    async def ask(self, pipes: asyncio.Queue[Pipe], request: bytes, due: float) -> None:
        pipe = await pipes.get()
        reader, writer = pipe
        self.late.append(time.perf_counter() - due)
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = await reader.readexactly(int(_value(head, _LENGTH)))
        self.latencies.append(time.perf_counter() - due)
        pipes.put_nowait(pipe)
        self.statuses[int(head[9:12])] += 1
        if _TOOK in head:
            self.own_ms.append(float(_value(head, _TOOK)))
        if body.startswith(b'{"accepted"'):
            self.accepted += json.loads(body)["accepted"]


def _value(head: bytes, name: bytes) -> bytes:
    place = head.index(name) + len(name)
    return head[place : head.index(b"\r\n", place)]


async def run(host: str, port: int, connections: int, schedule: Schedule) -> dict[str, object]:
    load, pipes = Load(), asyncio.Queue[Pipe]()
    for _ in range(connections):
        pipes.put_nowait(await asyncio.open_connection(host, port, limit=BUFFER_BYTES))
    gc.freeze()
    gc.disable()
    used, begun = time.process_time(), time.perf_counter()
    asking = []
    for at, request in schedule:
        await asyncio.sleep(max(begun + at - time.perf_counter(), 0))
        asking.append(asyncio.create_task(load.ask(pipes, request, begun + at)))
    await asyncio.gather(*asking)
    seconds = time.perf_counter() - begun
    latencies = [1e3 * latency for latency in load.latencies]
    return {
        "requests": len(latencies),
        "seconds": seconds,
        "statuses": load.statuses,
        "accepted": load.accepted,
        "p50_ms": part(latencies, 0.5),
        "p90_ms": part(latencies, 0.9),
        "p99_ms": part(latencies, 0.99),
        "max_ms": max(latencies),
        "late_p99_ms": part([1e3 * late for late in load.late], 0.99),
        "own_p50_ms": part(load.own_ms, 0.5),
        "own_p99_ms": part(load.own_ms, 0.99),
        "cores": (time.process_time() - used) / seconds,
    }


def part(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share of them is below; 0 where there are none."""
    return sorted(values)[int(len(values) * share)] if values else 0.0


def go_first() -> bool:
    """Take real-time priority, above that of the others, where that is allowed; say whether."""
    try:
        above = os.sched_getparam(0).sched_priority + 1
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(above))
    except (AttributeError, OSError):
        return False
    return True


def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    address, tcp_port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    work = pickle.load(sys.stdin.buffer)
    first = go_first()
    with asyncio.Runner(loop_factory=_loop) as runner:
        found = runner.run(run(address, tcp_port, count, work))
    print(json.dumps({**found, "real_time": first}))
