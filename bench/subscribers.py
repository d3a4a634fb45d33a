"""Subscribers of the stream that count, in a process of their own.

    python -m bench.subscribers URL < groups        groups: JSON, a list of symbols for each of them

Each subscribes to the trades of its symbols (MessagePack, as the clients of the package do) and
checks that their numbers rise. Prints `ready` once all are subscribed. A line on standard input
says how many events all of them must have in the end; then one JSON line: `events`, the sum of
their numbers `seq_sum`, `out_of_order`, `frames`, other messages by `op`, and how old events were
on arrival. Ends when all are there, or when nothing came for ten seconds.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import suppress

import msgspec
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from tickplant.client.follow import stream_url
from tickplant.model.times import parse_time

SILENCE_S = 10.0
LOOK_EVERY = 50


class Event(msgspec.Struct):
    seq: int
    ts_event: str


class Frame(msgspec.Struct):
    op: str
    events: list[Event] = []


DECODER = msgspec.msgpack.Decoder(Frame)


class Count:
    """What all subscribers of this process have."""

    def __init__(self) -> None:
        self.events = self.seq_sum = self.out_of_order = self.frames = 0
        self.others: Counter[str] = Counter()
        self.ages_s: list[float] = []
        self.heard = time.monotonic()
        self._more = asyncio.Event()

    async def take(self, socket: ClientConnection) -> None:
        """Count the events of one connection until it is closed."""
        last = 0
        async for message in socket:
            frame = DECODER.decode(message)
            if frame.op != "data":
                self.others[frame.op] += 1
                continue
            seqs = [event.seq for event in frame.events]
            # Numbers of one subscriber rise without a step back, or something came twice.
            self.out_of_order += seqs[0] <= last or seqs != sorted(set(seqs))
            last = seqs[-1]
            self.frames += 1
            self.events += len(seqs)
            self.seq_sum += sum(seqs)
            self.heard = time.monotonic()
            self._more.set()
            if self.frames % LOOK_EVERY == 0:
                self.ages_s.append(time.time() - parse_time(frame.events[-1].ts_event) / 1e9)

    async def until(self, wanted: int) -> None:
        """Wait for so many events, for as long as any come."""
        while self.events < wanted and time.monotonic() - self.heard < SILENCE_S:
            self._more.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), SILENCE_S)


async def follow(url: str, groups: list[list[str]]) -> Count:
    count = Count()
    sockets = [
        await connect(
            stream_url(url), subprotocols=["msgpack"], compression=None, max_size=1 << 24,
            ping_interval=None,
        )
        for _ in groups
    ]  # fmt: skip
    for socket, symbols in zip(sockets, groups, strict=True):
        wish = {"op": "subscribe", "id": 1, "channel": "trades", "symbols": symbols}
        await socket.send(msgspec.msgpack.encode(wish))
        while (answer := msgspec.msgpack.decode(await socket.recv()))["op"] != "subscribed":
            if answer["op"] == "error":
                raise RuntimeError(answer["message"])
    tasks = [asyncio.create_task(count.take(socket)) for socket in sockets]
    print("ready", flush=True)
    wanted = int(await asyncio.to_thread(sys.stdin.readline))
    count.heard = time.monotonic()
    await count.until(wanted)
    for socket in sockets:
        await socket.close()
    await asyncio.gather(*tasks)
    return count


if __name__ == "__main__":
    found = uvloop.run(follow(sys.argv[1], json.loads(sys.stdin.readline())))
    ages = sorted(found.ages_s) or [0.0]
    print(
        json.dumps(
            {
                "events": found.events,
                "seq_sum": found.seq_sum,
                "out_of_order": found.out_of_order,
                "frames": found.frames,
                "others": found.others,
                "age_p50_ms": 1e3 * ages[len(ages) // 2],
                "age_p99_ms": 1e3 * ages[int(len(ages) * 0.99)],
                "cpu_s": time.process_time(),
            }
        )
    )
