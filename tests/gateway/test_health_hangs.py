"""A disk that hangs: `/health` says so in time, and costs one thread however often it is asked."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tickplant.gateway.rest import health


class Hanging:
    """A plant of which the log's status does not come back until it is let go."""

    def __init__(self) -> None:
        self.asked = 0
        self.go = threading.Event()
        self.log = SimpleNamespace(status=self._status)

    def _status(self) -> Any:
        self.asked += 1
        assert self.go.wait(20)
        raise OSError("the disk was away")


async def test_a_probe_that_hangs_has_failed_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "PROBE_S_MAX", 0.01)
    plant: Any = Hanging()
    probes = health._Probes()
    for _ in range(3):
        found = await probes.ask(plant)
        assert found == {"probes": (False, "no answer within 0.01 s: a disk hangs")}
    assert plant.asked == 1
    monkeypatch.setattr(health, "PROBE_S_MAX", 20.0)
    plant.go.set()
    assert (await probes.ask(plant))["probes"] == (False, "OSError: the disk was away")
