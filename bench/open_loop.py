"""An open-loop load generator for HTTP: each request has its time, in a process of its own.

    python -m bench.open_loop HOST PORT CONNECTIONS < schedule

Standard input is a pickle of a list of (seconds after the start, complete HTTP/1.1 request). A
request whose turn has come takes a free connection; where none is free it waits, and its latency
counts from the time at which it was due. So a server that stalls cannot slow its own load down.
Prints one JSON line: requests, seconds, answers by status, `accepted` summed over the answers, and
the latencies' percentiles.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
from collections import Counter

import uvloop

Schedule = list[tuple[float, bytes]]
Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Load:
    """One run; `latencies` in seconds, in the order of the answers."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []
        self.accepted = 0

    async def ask(self, pipes: asyncio.Queue[Pipe], request: bytes, due: float) -> None:
        pipe = await pipes.get()
        reader, writer = pipe
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        place = lower.index(b"content-length:") + 15
        body = await reader.readexactly(int(lower[place : lower.index(b"\r\n", place)]))
        pipes.put_nowait(pipe)
        self.latencies.append(time.perf_counter() - due)
        self.statuses[int(head[9:12])] += 1
        if body.startswith(b'{"accepted"'):
            self.accepted += json.loads(body)["accepted"]


async def run(host: str, port: int, connections: int, schedule: Schedule) -> dict[str, object]:
    load, pipes = Load(), asyncio.Queue[Pipe]()
    for _ in range(connections):
        pipes.put_nowait(await asyncio.open_connection(host, port))
    begun = time.perf_counter()
    asking = []
    for at, request in schedule:
        await asyncio.sleep(max(begun + at - time.perf_counter(), 0))
        asking.append(asyncio.create_task(load.ask(pipes, request, begun + at)))
    await asyncio.gather(*asking)
    seconds = time.perf_counter() - begun
    latencies = sorted(load.latencies)
    return {
        "requests": len(latencies),
        "seconds": seconds,
        "statuses": load.statuses,
        "accepted": load.accepted,
        "p50_ms": 1e3 * latencies[len(latencies) // 2],
        "p99_ms": 1e3 * latencies[int(len(latencies) * 0.99)],
        "max_ms": 1e3 * latencies[-1],
    }


if __name__ == "__main__":
    address, tcp_port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    work = pickle.load(sys.stdin.buffer)
    print(json.dumps(uvloop.run(run(address, tcp_port, count, work))))
