"""Polling jobs: created while the plant runs, listed, cancelled, and kept over a restart.

    create ─► checked ─► file (durable) ─► a feed of its own, `poll-<id>`
    restart ─► file ─► the same jobs run on

One event loop owns the jobs; the file is written on a thread.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tickplant.feeds.breaker import Breaker
from tickplant.feeds.contract import Clock, Feed, Sleep
from tickplant.feeds.pollers.poller import PollFeed
from tickplant.feeds.pollers.provider import Provider
from tickplant.model.errors import (
    Complaint,
    InvalidParameter,
    NotFound,
    Overloaded,
    PassingError,
    TickplantError,
    shorten,
)
from tickplant.model.instruments import SYMBOL_ALLOWED, is_symbol
from tickplant.model.times import format_time
from tickplant.store.disk import Disk

_LOG = logging.getLogger(__name__)

FILE = "poll-jobs.json"
ALIASES = {"yfinance": "yahoo"}
"""Other names of providers: the library is often meant where its source is."""

JOBS_MAX = 100
SYMBOLS_MAX = 500
INTERVAL_S_MIN, INTERVAL_S_MAX = 1.0, 86_400.0


class JobConfig(msgspec.Struct, frozen=True):
    """What a job polls; symbols canonical, sorted, each once."""

    symbols: tuple[str, ...]
    interval: float
    provider: str


class SavedJob(msgspec.Struct, frozen=True):
    """A job as it is kept; `created` is ns UTC."""

    job_id: str
    config: JobConfig
    created: int


class Runs(Protocol):
    """Who runs feeds."""

    def add(self, feed: Feed) -> None:
        """Start a feed."""
        ...

    async def remove(self, name: str) -> None:
        """Stop a feed and forget it."""
        ...


Make = Callable[[], Provider]
"""Makes a provider when it is first needed; raises `NotInstalled` or `ConfigError`."""


@dataclass(slots=True)
class _Job:
    saved: SavedJob
    feed: PollFeed | None
    fault: str | None = None


class PollJobs:
    """The jobs of a plant. `folder` is its data folder, `providers` who can be asked by name.

    `stretch` says how many of its intervals a job waits now.
    """

    def __init__(
        self,
        folder: Path,
        providers: Mapping[str, Make],
        runs: Runs,
        *,
        clock: Clock,
        sleep: Sleep = asyncio.sleep,
        disk: Disk | None = None,
        new_id: Callable[[], str] = lambda: secrets.token_hex(6),
        stretch: Callable[[], int] = lambda: 1,
    ) -> None:
        self._path = folder / FILE
        self._makers = providers
        self._providers: dict[str, Provider] = {}
        self._breakers: dict[str, Breaker] = {}
        self._runs = runs
        self._clock = clock
        self._sleep = sleep
        self._disk = disk or Disk()
        self._new_id = new_id
        self._stretch = stretch
        self._jobs: dict[str, _Job] = {}
        self._change = asyncio.Lock()

    def resume(self) -> None:
        """Start the jobs that were kept. A job that cannot run is listed with the reason.

        A file that cannot be read is put aside, which is logged. Blocks; call it once.
        """
        for saved in self._kept():
            job = self._jobs[saved.job_id] = _Job(saved, None)
            try:
                self._start(job)
            except TickplantError as fault:
                job.fault = str(fault)
                _LOG.warning("polling job %s cannot run: %s", saved.job_id, fault)

    def _kept(self) -> list[SavedJob]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_File).jobs
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as fault:
            aside = self._path.with_suffix(".unreadable")
            _LOG.error("%s cannot be read (%s); it is %s now", self._path, fault, aside.name)
            with suppress(OSError):
                self._disk.replace(self._path, aside)
            return []

    async def create(self, symbols: Any, interval: Any, provider: Any) -> dict[str, Any]:
        """Create a job and return it; one that asks for the same already runs is that one.

        Raises `InvalidParameter`, `NotInstalled`, `Overloaded` where there are too many, or another
        `PassingError` where the disk refuses. When it returns the job is kept.
        """
        config = JobConfig(_symbols(symbols), _interval(interval), self._provider_name(provider))
        async with self._change:
            for job in self._jobs.values():
                if job.saved.config == config:
                    return self._shown(job)
            if len(self._jobs) >= JOBS_MAX:
                raise Overloaded(
                    f"there are {JOBS_MAX} polling jobs already; cancel one first",
                    retry_after_s=60.0,
                )
            job = _Job(SavedJob(self._new_id(), config, self._clock()), None)
            self._provider(config.provider)
            await self._save({**self._jobs, job.saved.job_id: job})
            self._jobs[job.saved.job_id] = job
            self._start(job)
            return self._shown(job)

    async def cancel(self, job_id: str) -> dict[str, Any]:
        """End a job and return it as it was last. Raises `NotFound`."""
        async with self._change:
            job = self._find(job_id)
            await self._save({i: kept for i, kept in self._jobs.items() if i != job_id})
            del self._jobs[job_id]
            if job.feed is not None:
                await self._runs.remove(job.feed.name)
            return {**self._shown(job), "status": "cancelled"}

    def show(self, job_id: str) -> dict[str, Any]:
        """Return a job. Raises `NotFound`."""
        return self._shown(self._find(job_id))

    def list(self) -> list[dict[str, Any]]:
        """Return all jobs in the order of their creation."""
        return [self._shown(job) for job in self._jobs.values()]

    def _find(self, job_id: str) -> _Job:
        if job_id not in self._jobs:
            shown = shorten(job_id)
            complaint = Complaint(("path", "job_id"), "not the id of a job", shown)
            raise NotFound(f"job_id: {shown} is no polling job of this plant", [complaint])
        return self._jobs[job_id]

    def _provider_name(self, name: Any) -> str:
        plain = name.strip().lower() if isinstance(name, str) else ""
        plain = ALIASES.get(plain, plain)
        if plain not in self._makers:
            raise self._unknown(name)
        return plain

    def _unknown(self, name: Any) -> InvalidParameter:
        known = ", ".join(self._makers)
        return InvalidParameter("provider", name, f"one of {known}", where="body")

    def _provider(self, name: str) -> Provider:
        if name not in self._makers:
            raise self._unknown(name)
        if name not in self._providers:
            self._providers[name] = self._makers[name]()
            self._breakers[name] = Breaker(self._clock)
        return self._providers[name]

    def _start(self, job: _Job) -> None:
        config = job.saved.config
        provider = self._provider(config.provider)
        job.feed = PollFeed(
            f"poll-{job.saved.job_id}",
            provider,
            config.symbols,
            config.interval,
            breaker=self._breakers[config.provider],
            clock=self._clock,
            sleep=self._sleep,
            stretch=self._stretch,
        )
        self._runs.add(job.feed)

    def _save(self, jobs: Mapping[str, _Job]) -> Awaitable[None]:
        data = msgspec.json.encode({"version": 1, "jobs": [job.saved for job in jobs.values()]})
        return asyncio.to_thread(self._write, msgspec.json.format(data, indent=2))

    def _write(self, data: bytes) -> None:
        new = self._path.with_suffix(".new")
        try:
            self._disk.write_file(new, data)
            self._disk.replace(new, self._path)
            self._disk.sync_folder(self._path.parent)
        except OSError as fault:
            raise PassingError(f"{self._path} cannot be written ({fault.strerror})") from fault

    def _shown(self, job: _Job) -> dict[str, Any]:
        config, feed = job.saved.config, job.feed
        shown: dict[str, Any] = {
            "job_id": job.saved.job_id,
            "status": "failed" if feed is None else "running",
            "config": {
                "symbols": list(config.symbols),
                "interval": config.interval,
                "provider": config.provider,
            },
            "created": format_time(job.saved.created),
            "feed": None if feed is None else feed.name,
            "error": job.fault,
        }
        if feed is None:
            return shown
        count = feed.count
        breaker = self._breakers[config.provider].state
        return {
            **shown,
            "status": "accepted" if not count.polls else "failing" if count.error else "running",
            "polls": count.polls,
            "failures": count.failures,
            "last_poll": _time(count.last_poll),
            "last_success": _time(count.last_success),
            "breaker": breaker,
            "error": count.error,
            "faults": count.faults,
        }


def _time(ts: int | None) -> str | None:
    return None if ts is None else format_time(ts)


def _symbols(given: Any) -> tuple[str, ...]:
    listed = given if isinstance(given, list | tuple) else None
    if listed is None or not 0 < len(listed) <= SYMBOLS_MAX:
        raise InvalidParameter("symbols", given, f"a list of 1 to {SYMBOLS_MAX}", where="body")
    for symbol in listed:
        if not isinstance(symbol, str) or not is_symbol(symbol.strip()):
            raise InvalidParameter("symbols", symbol, SYMBOL_ALLOWED, where="body")
    return tuple(sorted({symbol.strip().upper() for symbol in listed}))


def _interval(given: Any) -> float:
    allowed = f"seconds from {INTERVAL_S_MIN:g} to {INTERVAL_S_MAX:g}"
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidParameter("interval", given, allowed, where="body")
    if not INTERVAL_S_MIN <= given <= INTERVAL_S_MAX:
        raise InvalidParameter("interval", given, allowed, where="body")
    return float(given)


class _File(msgspec.Struct):
    jobs: list[SavedJob]
    version: int = 1
