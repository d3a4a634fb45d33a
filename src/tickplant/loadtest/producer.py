"""An open-loop producer on the ingest socket: messages go when they are due.

    schedule ─► outbox ─► socket ─► plant          three tasks, one owner: `deliver`
       └ due      └ as many under way as the plant allows
    acknowledgement ─► latency, counted from when the message was due

A plant that stalls does not slow its own load down: what is due meanwhile waits in the outbox, and
its latency goes on counting. Where more than `BEHIND_TICKS_MAX` wait, the run ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from tickplant.client.follow import check_ended
from tickplant.client.outbox import SUBPROTOCOL, Outbox
from tickplant.client.problems import Unreachable, no_answer
from tickplant.client.rows import Receipt
from tickplant.loadtest.ticks import Sums
from tickplant.model.events import TRADES

SOCKET = "ingest socket"
BEHIND_TICKS_MAX = 5_000_000
"""Ticks that may wait for a plant that does not keep up: some 400 MB of the generator's memory."""

Message = tuple[float, Callable[[], tuple[pa.RecordBatch, Sums]]]
"""When a message is due, s after the start, and what makes its rows; called just before."""


@dataclass(slots=True)
class Delivery:
    """What became of the messages; one entry a message, in their order.

    `latencies_s` from due to acknowledged, `lateness_s` from due to handed in: how far the
    generator itself was behind. `acknowledged` adds up what the plant said is durable, `sums` what
    was in those messages; `refusals` counts how often it asked to try again.
    """

    latencies_s: list[float] = field(default_factory=list)
    lateness_s: list[float] = field(default_factory=list)
    acknowledged: int = 0
    duplicates: int = 0
    rejected: int = 0
    first_rejected: str = ""
    refusals: int = 0
    sums: Sums = field(default_factory=Sums)
    seconds: float = 0.0


class _Run:
    def __init__(self, socket: ClientConnection, outbox: Outbox, stall_s: float) -> None:
        self.delivery = Delivery()
        self._socket = socket
        self._outbox = outbox
        self._stall_s = stall_s
        self._begun = 0.0
        self._wake = asyncio.Event()
        self._waiting: dict[int, tuple[float, Sums]] = {}  # by number: when due, what is in it
        self._behind = 0
        self._scheduled = False

    async def greet(self) -> None:
        """Wait until the plant takes rows."""
        await self._socket.send(self._outbox.connected())
        while not self._outbox.ready:
            self._outbox.take(await self._receive())

    async def send_all(self, messages: Iterable[Message]) -> None:
        """Hand each message in when it is due."""
        self._begun = time.perf_counter()
        for due_s, make in messages:
            rows, sums = make()
            await asyncio.sleep(max(self._begun + due_s - time.perf_counter(), 0))
            due = self._begun + due_s
            self.delivery.lateness_s.append(time.perf_counter() - due)
            self._waiting[self._outbox.add(TRADES, rows)] = due, sums
            self._behind += sums.rows
            if self._behind > BEHIND_TICKS_MAX:
                raise Unreachable(f"the plant does not keep up: {self._behind:,} ticks wait for it")
            self._wake.set()
        self._scheduled = True

    async def push(self) -> None:
        """Send what may be sent, whenever that changes."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            wait_s, self._outbox.retry_after_s = self._outbox.retry_after_s, None
            if wait_s is not None:
                self.delivery.refusals += 1
                await asyncio.sleep(wait_s)
            for frame in self._outbox.unsent():
                await self._socket.send(frame)

    async def listen(self) -> None:
        """Take acknowledgements until all has been sent and answered."""
        while not self._scheduled or self._waiting:
            frame = await self._receive()
            self._outbox.take(frame)
            self._outbox.check()
            answer = msgspec.json.decode(frame)
            if answer["op"] == "ack":
                self._note(answer["seq"], msgspec.convert(answer, Receipt))
            self._wake.set()
        self.delivery.seconds = time.perf_counter() - self._begun

    async def _receive(self) -> str | bytes:
        async with asyncio.timeout(self._stall_s):
            return await self._socket.recv()

    def _note(self, seq: int, receipt: Receipt) -> None:
        found = self.delivery
        found.acknowledged += receipt.accepted
        found.duplicates += receipt.duplicates
        found.rejected += len(receipt.rejected)
        if receipt.rejected and not found.first_rejected:
            first = receipt.rejected[0]
            found.first_rejected = f"{first.reason}: {first.detail}"
        due, sums = self._waiting.pop(seq, (None, None))
        if due is not None and sums is not None:  # None for all but the last of one that was cut
            found.latencies_s.append(time.perf_counter() - due)
            found.sums += sums
            self._behind -= sums.rows


async def deliver(
    url: str,
    messages: Iterable[Message],
    *,
    headers: Mapping[str, str],
    stall_s: float = 30.0,
) -> Delivery:
    """Send messages to the ingest socket at `url`, each when it is due; return what became of them.

    Raises `Unreachable` where nobody answers, where the connection ends, and where nothing is
    heard for `stall_s`; what the plant says of a message that it refuses as a whole is raised.
    """
    try:
        socket = await connect(
            url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            additional_headers=dict(headers),
            open_timeout=stall_s,
            ping_interval=None,  # a plant that is late is what is looked for; `stall_s` ends it
        )
    except (TimeoutError, OSError, InvalidHandshake) as fault:
        raise no_answer(url, fault) from fault
    run = _Run(socket, Outbox(), stall_s)
    try:
        await run.greet()
        await _together(run, messages)
    except ConnectionClosed as fault:
        check_ended(fault, SOCKET)
        raise Unreachable(f"{url} hung up: {_so_far(run.delivery)}") from fault
    except TimeoutError as fault:
        so_far = _so_far(run.delivery)
        raise Unreachable(f"{url}: nothing was heard for {stall_s:g} s; {so_far}") from fault
    finally:
        await socket.close()
    return run.delivery


async def _together(run: _Run, messages: Iterable[Message]) -> None:
    """Run the three tasks until all is answered; raise what the first of them raises."""
    sending = asyncio.create_task(run.send_all(messages), name="load-schedule")
    pushing = asyncio.create_task(run.push(), name="load-push")
    listening = asyncio.create_task(run.listen(), name="load-answers")
    tasks = {sending, pushing, listening}
    try:
        while not listening.done():
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in (sending, pushing, listening):
            task.cancel()
        await asyncio.gather(sending, pushing, listening, return_exceptions=True)


def _so_far(delivery: Delivery) -> str:
    return f"{delivery.acknowledged:,} ticks were acknowledged before"
