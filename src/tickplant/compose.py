"""The only place that names concrete parts: settings in, a running plant or an open folder out."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tickplant.config import Settings
from tickplant.log.journal import Journal, read_folder
from tickplant.observe.metrics import Metrics
from tickplant.plant.catalog import Catalog
from tickplant.plant.folder import JOURNAL, FolderLock
from tickplant.plant.history import History
from tickplant.plant.hub import Hub
from tickplant.plant.plant import Plant
from tickplant.plant.recovery import load_catalog, replay
from tickplant.store.tiered import TieredStore

Clock = Callable[[], int]


class OpenPlant:
    """A plant and the lock on its folder; leaving the context stops it."""

    def __init__(self, settings: Settings, *, clock: Clock = time.time_ns) -> None:
        self.folder = Path(settings.data)
        self.lock = FolderLock(self.folder)
        try:
            self.plant = build_plant(settings, clock)
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
        self.lock.release()


def build_plant(settings: Settings, clock: Clock = time.time_ns) -> Plant:
    """Return a recovered plant that does not run yet; the caller holds the folder's lock."""
    folder = Path(settings.data)
    metrics = Metrics()
    store = TieredStore.open(folder, settings.store, clock=clock)
    catalog = Catalog(settings.checks.instruments_max)
    load_catalog(store, catalog)
    log = Journal(folder / JOURNAL, settings.log, clock=clock, seq_floor=store.seq_archived)
    replay(log.read(store.seq_archived + 1), store, catalog)
    catalog.begin_run(log.seq_next - 1)
    hub = Hub(settings.stream.ring_rows, seq=log.seq_next - 1)
    return Plant(
        settings=settings, clock=clock, log=log, store=store, catalog=catalog, hub=hub,
        metrics=metrics,
    )


def open_history(path: Path, settings: Settings | None = None) -> History:
    """Return a reader of a data folder as it is now, whether a plant runs on it or not.

    Nothing is changed. It sees what was durable when it was opened.
    """
    chosen = settings or Settings()
    store = TieredStore.open_read_only(path, chosen.store)
    catalog = Catalog()
    load_catalog(store, catalog)
    recovered = replay(read_folder(path / JOURNAL, store.seq_archived + 1), store, catalog)
    return History(store, catalog.registry, lambda: recovered.seq_last)
