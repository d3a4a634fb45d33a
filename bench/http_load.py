"""A load generator for HTTP: ready-made requests over a few connections, in a process of its own.

    python -m bench.http_load HOST PORT CONNECTIONS [REQUESTS_A_SECOND] < requests

Standard input is a pickle of a list of complete HTTP/1.1 requests. Each connection takes the next
request when the last one was answered (closed loop). With a rate, requests are due at fixed times
and latencies count from there, whether or not a connection was free (open loop). Prints one JSON
line: requests, seconds, answers by status, `accepted` summed over the answers, how many different
bodies there were and their bytes, and the latencies' percentiles.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator

import uvloop


class Bodies:
    """What is kept of the bodies, which may be large."""

    def __init__(self) -> None:
        self.count = self.bytes = self.accepted = 0
        self.sums: set[tuple[int, int]] = set()

    def add(self, body: bytes) -> None:
        self.count += 1
        self.bytes += len(body)
        self.sums.add((len(body), zlib.crc32(body)))
        if body.startswith(b'{"accepted"'):
            self.accepted += json.loads(body)["accepted"]


async def one_connection(
    host: str,
    port: int,
    requests: Iterator[tuple[float, bytes]],
    statuses: Counter[int],
    bodies: Bodies,
    latencies: list[float],
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    for due, request in requests:
        begun = time.perf_counter()
        if due:
            await asyncio.sleep(max(due - begun, 0))
            begun = due
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lower = head.lower()
        place = lower.index(b"content-length:") + 15
        length = int(lower[place : lower.index(b"\r\n", place)])
        body = await reader.readexactly(length)
        latencies.append(time.perf_counter() - begun)
        statuses[int(head[9:12])] += 1
        bodies.add(body)
    writer.close()


async def run(
    host: str, port: int, connections: int, requests: list[bytes], rate: float
) -> dict[str, object]:
    start = time.perf_counter()
    queue = ((start + n / rate if rate else 0.0, one) for n, one in enumerate(requests))
    statuses: Counter[int] = Counter()
    bodies = Bodies()
    latencies: list[float] = []
    begun = time.perf_counter()
    await asyncio.gather(
        *(
            one_connection(host, port, queue, statuses, bodies, latencies)
            for _ in range(connections)
        )
    )
    seconds = time.perf_counter() - begun
    latencies.sort()
    return {
        "requests": bodies.count,
        "seconds": seconds,
        "statuses": statuses,
        "accepted": bodies.accepted,
        "distinct": len(bodies.sums),
        "bytes": bodies.bytes,
        "p50_ms": 1e3 * latencies[len(latencies) // 2],
        "p99_ms": 1e3 * latencies[int(len(latencies) * 0.99)],
    }


if __name__ == "__main__":
    address, tcp_port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    work = pickle.load(sys.stdin.buffer)
    a_second = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    print(json.dumps(uvloop.run(run(address, tcp_port, count, work, a_second))))
