"""One load test from beginning to end.

plant (own or running) ─► every instrument once ─► messages on time, a look each second ─► read back
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import httpx
import numpy as np
import pyarrow as pa

from tickplant.client.credentials import key_headers
from tickplant.client.follow import stream_url
from tickplant.client.outbox import PATH
from tickplant.loadtest import readback
from tickplant.loadtest.own import OwnPlant
from tickplant.loadtest.producer import Delivery, Message, deliver
from tickplant.loadtest.report import Report
from tickplant.loadtest.scenarios import Scenario
from tickplant.loadtest.ticks import Sums, Ticks
from tickplant.loadtest.usage import ACCEPTED, Sample, look, look_on, usage
from tickplant.model.errors import TickplantError
from tickplant.model.times import NS_PER_S

TIMEOUT_S = 30.0
TRADES_ACCEPTED = f"{ACCEPTED}{{trades}}"


class LoadTest:
    """A scenario against the plant at `url`; `own` where it was started for this."""

    def __init__(
        self, scenario: Scenario, url: str, *, key: str | None = None, own: OwnPlant | None = None
    ) -> None:
        self.scenario = scenario
        self.url = url.rstrip("/")
        self._own = own
        self._key = key
        self._socket = stream_url(self.url, PATH)
        self._headers = key_headers(key)
        # Numbers of ticks are ids: those of two runs must differ, and nanoseconds do.
        self._base = time.time_ns()
        self._ticks = Ticks(scenario.instruments, base=self._base)
        self._samples: list[Sample] = []

    def run(self) -> Report:
        """Run it. Raises what keeps it from coming to an end; a loss is in the report."""
        import uvloop  # noqa: PLC0415 - not on Windows

        used, began = time.process_time(), time.perf_counter()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            delivery = runner.run(self._load())
        cores = (time.process_time() - used) / (time.perf_counter() - began)
        ended = time.time_ns()
        found = self._read_back(ended)
        return Report(
            scenario=self.scenario,
            url=self.url,
            own=self._own is not None,
            warm_up=self.scenario.instruments,
            delivery=delivery,
            found=found,
            counted=None if self._own is None else self._counted(),
            used=usage(self._samples[1:]),  # the first is from before the warm-up
            sender_cores=cores,
        )

    async def _load(self) -> Delivery:
        async with httpx.AsyncClient(
            base_url=self.url, headers=self._headers, timeout=TIMEOUT_S
        ) as http:
            self._samples.append(await look(http))
            early = await deliver(self._socket, self._warm_up(), headers=self._headers)
            self._check_warm_up(early)
            looking = asyncio.create_task(look_on(http, self._samples), name="load-usage")
            try:
                delivery = await deliver(self._socket, self._messages(), headers=self._headers)
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
            self._samples.append(await look(http))
        delivery.sums += early.sums
        return delivery

    def _warm_up(self) -> Iterator[Message]:
        yield 0.0, lambda: self._ticks.every(self._base)

    def _check_warm_up(self, early: Delivery) -> None:
        if early.acknowledged != self.scenario.instruments:
            raise TickplantError(
                f"{self.url} took {early.acknowledged:,} of {self.scenario.instruments:,} ticks "
                f"before the load; {early.first_rejected or 'the others count as duplicates'}"
            )

    def _messages(self) -> Iterator[Message]:
        """Yield the messages; the event time of a tick is when it is due."""
        begun = time.time_ns()
        for due_s, first, count in self.scenario.messages():
            yield due_s, partial(self._make, begun, first, count)

    def _make(self, begun: int, first: int, count: int) -> tuple[pa.RecordBatch, Sums]:
        ends = [begun + int(self.scenario.due_s(first + n) * NS_PER_S) for n in (0, count - 1)]
        times = ends[0] + np.arange(count, dtype=np.int64) * (ends[1] - ends[0]) // max(
            count - 1, 1
        )
        return self._ticks.make(self.scenario.instruments + first, times)

    def _counted(self) -> int:
        counts = [sample.values.get(TRADES_ACCEPTED, 0.0) for sample in self._samples]
        return round(counts[-1] - counts[0])

    def _read_back(self, ended: int) -> readback.Found:
        count = self.scenario.ticks + self.scenario.instruments
        if self._own is not None:
            self._own.stop()
            return readback.from_folder(self._own.folder, base=self._base, count=count)
        return readback.from_plant(
            self.url,
            self._key,
            instruments=self.scenario.instruments,
            base=self._base,
            count=count,
            span=(self._base, ended + NS_PER_S),
        )
