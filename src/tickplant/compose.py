"""The only place that names concrete parts: settings in, a running plant or an open folder out."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tickplant.config import BookSettings, Settings, SyntheticSettings
from tickplant.feeds.breaker import Breaker
from tickplant.feeds.contract import Feed
from tickplant.feeds.pollers.configured import read_providers
from tickplant.feeds.pollers.jobs import PollJobs
from tickplant.feeds.pollers.transport import HttpGet
from tickplant.feeds.runner import FeedRunner
from tickplant.feeds.synthetic import SyntheticFeed
from tickplant.feeds.venues.catalogue import make_venue
from tickplant.formats.compiled.loading import FRAMES
from tickplant.log.disk import Disk as LogDisk
from tickplant.log.folder import JournalTrimmed
from tickplant.log.journal import Journal, read_folder
from tickplant.log.tail import JournalTail
from tickplant.model.collection import without_collection
from tickplant.model.conditions import TradeRules
from tickplant.model.errors import ConfigError
from tickplant.observe.metrics import Metrics
from tickplant.observe.tracing import Tracer, open_tracer
from tickplant.plant.catalog import Catalog
from tickplant.plant.folder import JOURNAL, FolderLock
from tickplant.plant.follower import Follower
from tickplant.plant.history import History
from tickplant.plant.hub import Hub
from tickplant.plant.plant import Plant
from tickplant.plant.records import check_kinds
from tickplant.plant.recovery import fill_holes, load_catalog, replay, restore, take_names
from tickplant.store.disk import Disk as StoreDisk
from tickplant.store.manifest import ARCHIVE
from tickplant.store.manifest import load as load_manifest
from tickplant.store.tiered import TieredStore

if TYPE_CHECKING:
    from tickplant.feeds.capture.replay import CaptureFeed
    from tickplant.feeds.capture.writer import CaptureWriter
    from tickplant.feeds.supervisor.configured import FeedPlan
    from tickplant.feeds.supervisor.kept import KeptStreams
    from tickplant.feeds.supervisor.limits import SharedLimits
    from tickplant.feeds.venues.contract import Stream
    from tickplant.plant.gaps import OpenGap

Clock = Callable[[], int]
OPEN_ATTEMPTS = 5
CAPTURES = "captures"
BEHIND_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class World:
    """What a plant reaches outside of itself, so that a test can make any of it fail.

    `log_disk` and `store_disk` None is the real disk. `monotonic` gives seconds; `pause` waits
    between attempts to write to a disk that refuses, None for real time. With more than
    `behind_bytes` in the journal, the plant accepts before all of it is in memory again.
    `pressure_s` gives the seconds that backpressure goes by. `tracer` None is what the settings
    ask for.
    """

    log_disk: LogDisk | None = None
    store_disk: StoreDisk | None = None
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], object] | None = None
    prepare_ahead: bool = True
    behind_bytes: int = BEHIND_BYTES
    pressure_s: Callable[[], float] = time.monotonic
    tracer: Tracer | None = None


class OpenPlant:
    """A plant and the lock on its folder; leaving the context stops it.

    `world` is where the plant meets what can fail: its disks and its pauses.
    """

    def __init__(
        self, settings: Settings, *, clock: Clock = time.time_ns, world: World | None = None
    ) -> None:
        self.folder = Path(settings.data)
        self.captures: list[CaptureWriter] = []
        self.lock = FolderLock(self.folder)
        try:
            self.plant = build_plant(settings, clock, world or World())
        except BaseException:
            self.lock.release()
            raise
        self.plant.start()

    def __enter__(self) -> OpenPlant:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the plant and give the folder up. Idempotent."""
        self.plant.stop()
        for capture in self.captures:
            capture.close()
        if self.plant.tracer is not None:
            self.plant.tracer.close()
        self.lock.release()


def build_plant(
    settings: Settings, clock: Clock = time.time_ns, world: World | None = None
) -> Plant:
    """Return a recovered plant that does not run yet; the caller holds the folder's lock."""
    with without_collection():
        return _build_plant(settings, clock, world or World())


def _build_plant(settings: Settings, clock: Clock, world: World) -> Plant:
    began = clock()
    folder = Path(settings.data)
    metrics = Metrics()
    tracer = world.tracer or open_tracer(settings.tracing, Breaker(clock))
    store = TieredStore.open(folder, settings.store, clock=clock, disk=world.store_disk)
    catalog = Catalog(settings.checks.instruments_max)
    load_catalog(store, catalog)
    log = Journal(
        folder / JOURNAL,
        settings.log,
        disk=world.log_disk,
        clock=clock,
        monotonic=world.monotonic,
        pause=world.pause,
        prepare_ahead=world.prepare_ahead,
        seq_floor=store.seq_archived,
        observe_sync=metrics.fsync_observer(),
        on_unnumbered=take_names(catalog),
    )
    check_kinds(log.kinds)
    store.expect_restore()
    bring_back: Callable[[], object] | None = partial(restore, store, log.replay)
    if log.bytes_to_replay(store.seq_archived + 1) <= world.behind_bytes or not _named(log, store):
        fill_holes(store, catalog, restore(store, log.replay).number_max)
        bring_back = None
    catalog.begin_run(log.seq_next - 1)
    hub = Hub(settings.stream.ring_rows, seq=log.seq_next - 1)
    return Plant(
        settings=settings,
        clock=clock,
        log=log,
        store=store,
        catalog=catalog,
        hub=hub,
        metrics=metrics,
        bring_back=bring_back,
        began=began,
        monotonic=world.pressure_s,
        tracer=tracer,
    )


def _named(log: Journal, store: TieredStore) -> bool:
    """Say whether no damage can have taken the name of an instrument that has rows."""
    return log.torn_only and (store.catalog is not None or not store.seq_archived)


def open_follower(settings: Settings, clock: Clock = time.time_ns) -> Follower:
    """Return a started follower of the plant on a data folder; the caller stops it."""
    for attempt in range(OPEN_ATTEMPTS):
        follower = _build_follower(settings, clock)
        try:
            with without_collection():
                follower.start()
            if follower.seq_last <= follower.store.seq_archived:
                _check_newest(Path(settings.data), follower.store.seq_archived)
        except JournalTrimmed:  # rows were archived, and trimmed from the journal, in between
            follower.stop()
            if attempt == OPEN_ATTEMPTS - 1:
                raise
        except BaseException:
            follower.stop()
            raise
        else:
            break
    return follower


def _build_follower(settings: Settings, clock: Clock) -> Follower:
    folder = Path(settings.data)
    store = TieredStore.open_read_only(folder, settings.store, clock=clock)
    catalog = Catalog(settings.checks.instruments_max)
    load_catalog(store, catalog)
    return Follower(
        settings=settings,
        clock=clock,
        store=store,
        catalog=catalog,
        tail=JournalTail(folder / JOURNAL, store.seq_archived + 1),
        metrics=Metrics(),
    )


@dataclass(frozen=True, slots=True)
class OpenFolder:
    """A data folder that is read as it was at one moment; nothing in it is changed."""

    history: History
    catalog: Catalog


def open_folder(path: Path, trade_rules: TradeRules | None = None) -> OpenFolder:
    """Return a reader of a data folder, whether a plant runs on it or not.

    It sees what was durable when it was opened. `trade_rules` None are the built-in ones.
    """
    for _ in range(OPEN_ATTEMPTS):
        try:
            return _read_folder(path, trade_rules, whole=True)
        except JournalTrimmed:
            continue  # the plant archived rows, and trimmed them from its journal, in between
    return _read_folder(path, trade_rules, whole=False)


def _read_folder(path: Path, trade_rules: TradeRules | None, *, whole: bool) -> OpenFolder:
    """Read manifest and journal; with `whole` raise `JournalTrimmed` where they do not meet."""
    store = TieredStore.open_read_only(path)
    catalog = Catalog()
    load_catalog(store, catalog)
    records = read_folder(path / JOURNAL, store.seq_archived + 1 if whole else None)
    recovered = replay(records, store, catalog)
    if whole and recovered.seq_last <= store.seq_archived:
        _check_newest(path, store.seq_archived)
    history = History(store, catalog.registry, lambda: recovered.seq_last, trade_rules=trade_rules)
    return OpenFolder(history, catalog)


def _check_newest(path: Path, seq_archived: int) -> None:
    """Raise `JournalTrimmed` where the archive has come further than the manifest that was read.

    A plant may have archived all rows since the manifest was read, and trimmed its journal wholly:
    then no segment is left whose number would say so.
    """
    newest, _ = load_manifest(path / ARCHIVE)
    if newest is not None and newest.seq_archived > seq_archived:
        raise JournalTrimmed(f"{path / JOURNAL} was trimmed up to {newest.seq_archived}")


def open_history(path: Path) -> History:
    """Return the reader of `open_folder` alone."""
    return open_folder(path).history


def build_synthetic(name: str, settings: SyntheticSettings, *, clock: Clock = time.time_ns) -> Feed:
    """Return a synthetic feed on the running event loop's clock of sleep."""
    return SyntheticFeed(settings, clock=clock, sleep=asyncio.sleep, name=name)


def build_feeds(
    opened: OpenPlant, plans: Sequence[FeedPlan], *, clock: Clock = time.time_ns
) -> list[Feed]:
    """Return the feeds of venues on an open plant, with what was changed of them before.

    Raises `ConfigError` for what a venue does not take, `NotInstalled` where it needs a package.
    """
    from tickplant.feeds.supervisor.kept import KeptStreams  # noqa: PLC0415 - most need none
    from tickplant.feeds.supervisor.limits import SharedLimits  # noqa: PLC0415

    kept, limits = KeptStreams(opened.folder), SharedLimits(clock=clock)
    return [_build_feed(opened, plan, kept, limits, clock) for plan in plans]


def _open_capture(opened: OpenPlant, plan: FeedPlan, clock: Clock) -> CaptureWriter | None:
    """Return what keeps a feed's frames, where that is wanted; it is closed with the plant."""
    from tickplant.feeds.capture.alone import header_of  # noqa: PLC0415 - most need none
    from tickplant.feeds.capture.writer import CaptureWriter  # noqa: PLC0415

    if plan.capture is None:
        return None
    folder = Path(plan.capture) if plan.capture else opened.folder / CAPTURES / plan.name
    header = header_of(plan.name, plan.venue.name, plan.streams, plan.options)
    opened.captures.append(CaptureWriter(folder, header, clock=clock))
    return opened.captures[-1]


def build_capture(
    paths: Sequence[Path],
    *,
    clock: Clock = time.time_ns,
    speed: float | None = 1.0,
    name: str | None = None,
    books: BookSettings | None = None,
) -> CaptureFeed:
    """Return a feed that plays capture files. Raises `UserError` for files that are none."""
    from tickplant.feeds.capture.replay import CaptureFeed  # noqa: PLC0415 - HTTP, WebSockets

    return CaptureFeed(
        paths, make_venue, clock=clock, sleep=asyncio.sleep, speed=speed, name=name, books=books
    )


def _build_feed(
    opened: OpenPlant, plan: FeedPlan, kept: KeptStreams, limits: SharedLimits, clock: Clock
) -> Feed:
    from tickplant.feeds.supervisor.feed import VenueFeed  # noqa: PLC0415 - HTTP, WebSockets
    from tickplant.feeds.supervisor.feed import World as FeedWorld  # noqa: PLC0415

    plant = opened.plant
    venue = make_venue(plan.venue.name, plan.options)
    for channel in plan.channels:
        if channel not in venue.channels:
            raise ConfigError(
                f"feed {plan.name}: channels: {channel} is not allowed; {plan.venue.name} has "
                f"{', '.join(venue.channels)}"
            )

    async def find_gaps() -> Sequence[OpenGap]:
        return await asyncio.to_thread(plant.open_gaps, plan.name)

    async def keep(streams: Sequence[Stream]) -> None:
        await asyncio.to_thread(kept.keep, plan.name, plan.streams, streams)

    world = FeedWorld(
        clock=clock,
        limits=limits,
        find_gaps=find_gaps,
        books=plant.settings.books,
        book_broken=plant.metrics.book_broken,
        keep=keep,
        tap=_open_capture(opened, plan, clock),
        tracer=plant.tracer,
        prepare=FRAMES.prepare if plant.settings.plant.compiled else None,
    )
    return VenueFeed(plan.name, venue, kept.apply(plan.name, plan.streams), world, plan.channels)


def open_feed_desk(plant: Plant, runner: FeedRunner) -> None:
    """Let the plant's doors show and change the feeds of this runner."""
    from tickplant.feeds.supervisor.desk import FeedDesk  # noqa: PLC0415 - most need none

    plant.venue_feeds = FeedDesk(runner, plant.clock, plant.feeds)


@asynccontextmanager
async def polling(opened: OpenPlant, runner: FeedRunner) -> AsyncIterator[None]:
    """Let the plant's polling jobs run on this runner for as long as the context lasts.

    Raises `ConfigError` for a provider that is configured wrongly.
    """
    plant, get = opened.plant, HttpGet()
    providers = read_providers(plant.settings.providers, get, os.environ)
    load = plant.backpressure
    jobs = PollJobs(
        opened.folder, providers, runner, clock=plant.clock, stretch=lambda: load.poll_stretch
    )
    jobs.resume()
    plant.polling = jobs
    try:
        yield
    finally:
        plant.polling = None
        await get.aclose()
