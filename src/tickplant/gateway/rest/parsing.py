"""Parsing of larger bodies beside the event loop: what waits is parsed together.

As the journal commits in groups, so bodies that came while others were parsed are parsed in one go:
under load the fixed costs of columns are paid once for many bodies, and the event loop is woken
once. One body alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tickplant.formats.parse import parse_body, parse_together
from tickplant.formats.parsed import Parsed

TOGETHER_BYTES_MAX = 2 << 20
"""Most bytes that are parsed in one go; a larger body has a thread for itself."""

THREADS = 2

PREPARE_AFTER_BYTES = 32 << 20
"""Bytes of JSON behind which a second of processor time pays that makes reading it cheaper."""


@dataclass(frozen=True, slots=True)
class _Job:
    table: str
    media_type: str
    body: bytes
    future: asyncio.Future[Parsed]


class BodyParser:
    """Parses bodies in threads. Belongs to one event loop; `parse` is called from it only.

    `prepare` is called once, in a thread, after so many bytes of JSON that it is worth its while.
    """

    def __init__(self, prepare: Callable[[], object] | None = None) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="parser")
        self._prepare = prepare
        self._before_prepare = PREPARE_AFTER_BYTES
        self._waiting: list[_Job] = []
        self._busy = False

    async def parse(self, table: str, media_type: str, body: bytes) -> Parsed:
        """Return what `parse_body` returns; raises what it raises."""
        loop = asyncio.get_running_loop()
        if self._prepare is not None and "json" in media_type:
            self._count(len(body), self._prepare)
        if len(body) > TOGETHER_BYTES_MAX:
            return await loop.run_in_executor(self._pool, parse_body, table, media_type, body)
        job = _Job(table, media_type, body, loop.create_future())
        self._waiting.append(job)
        if not self._busy:
            self._next(loop)
        return await job.future

    def close(self) -> None:
        """Let what is parsed end and parse nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _count(self, size: int, prepare: Callable[[], object]) -> None:
        """Count bytes of JSON; once they are many, have what reads them sooner prepared."""
        self._before_prepare -= size
        if self._before_prepare <= 0:
            self._prepare = None
            self._pool.submit(prepare)

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with what waits and is of one kind, up to the bound."""
        self._busy = bool(self._waiting)
        if not self._busy:
            return
        first = self._waiting[0]
        taken, size = 0, 0
        for job in self._waiting:
            size += len(job.body)
            alike = (job.table, job.media_type) == (first.table, first.media_type)
            if taken and (not alike or size > TOGETHER_BYTES_MAX):
                break
            taken += 1
        jobs, self._waiting = self._waiting[:taken], self._waiting[taken:]
        running = loop.run_in_executor(self._pool, _parse_all, jobs)
        running.add_done_callback(lambda done: self._finish(loop, jobs, done))

    def _finish(
        self,
        loop: asyncio.AbstractEventLoop,
        jobs: list[_Job],
        done: asyncio.Future[list[Parsed | Exception]],
    ) -> None:
        self._next(loop)
        for place, job in enumerate(jobs):
            if job.future.done():  # whoever sent it went away
                continue
            if done.cancelled():
                job.future.cancel()
            elif isinstance(outcome := done.result()[place], Exception):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)


def _parse_all(jobs: list[_Job]) -> list[Parsed | Exception]:
    if len(jobs) > 1:
        first = jobs[0]
        try:
            together = parse_together(first.table, first.media_type, [job.body for job in jobs])
        except Exception:
            together = []  # which of them it was is found out below
        if together:
            return list(together)
    return [_parse_one(job) for job in jobs]


def _parse_one(job: _Job) -> Parsed | Exception:
    try:
        return parse_body(job.table, job.media_type, job.body)
    except Exception as fault:
        return fault
