"""A plant behind the server that `tickplant serve` starts, with its settings, in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from tickplant.cli import server
from tickplant.compose import OpenPlant
from tickplant.config import load
from tickplant.gateway.app import create_app
from tickplant.plant.plant import Plant

WAIT_S = 20


class _Server(server.PlantServer):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


class Behind:
    """A plant and its server; `stop` ends the server as a signal does, with all of its bounds."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        bound = server.open_socket("127.0.0.1", 0)
        self.url = server.url_of(bound, tls=bool(plant.settings.server.tls_cert))
        self._server = _Server(server.config_of(create_app(plant), plant.settings))
        self._thread = threading.Thread(target=self._run, args=(bound,), daemon=True)
        self._thread.start()
        assert self._server.listens.wait(WAIT_S)

    def _run(self, bound: Any) -> None:
        asyncio.run(self._server.serve([bound]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


@contextmanager
def behind(folder: Path, **settings: Any) -> Iterator[Behind]:
    """Serve a plant in a folder; settings are named `room__key`."""
    flags = {"data": str(folder), "log.segment_mb": 1}
    flags |= {name.replace("__", "."): value for name, value in settings.items()}
    with OpenPlant(load(flags=flags)) as opened:
        made = Behind(opened.plant)
        try:
            yield made
        finally:
            made.stop()
