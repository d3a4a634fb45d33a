"""A folder that is opened while a plant archives all of it, and trims its whole journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plant_kit import NOW, open_plant, submit
from tickplant import compose
from tickplant.config import load
from tickplant.plant.plant import Plant
from tickplant.store.tiered import TieredStore

ROWS = 5


@pytest.fixture
def plant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a plant with rows that archives them once somebody else has read the manifest."""
    opened = TieredStore.open_read_only
    with open_plant(tmp_path) as plant:
        times = [NOW - n for n in range(ROWS)]
        submit(plant, symbol=["A"] * ROWS, ts_event=times, price=[1.0] * ROWS)

        def open_then_archive(*given: Any, **named: Any) -> TieredStore:
            store = opened(*given, **named)
            plant.store.checkpoint(plant.catalog.encode())
            plant.log.trim(plant.store.seq_archived)
            return store

        monkeypatch.setattr(TieredStore, "open_read_only", open_then_archive)
        yield plant


def test_a_reader_misses_nothing(plant: Plant, tmp_path: Path) -> None:
    history = compose.open_folder(tmp_path).history
    assert history.store.scan("trades").num_rows == ROWS
    assert history.seq_last == plant.seq_last


def test_a_follower_misses_nothing(plant: Plant, tmp_path: Path) -> None:
    follower = compose.open_follower(load(flags={"data": str(tmp_path)}))
    try:
        assert follower.store.scan("trades").num_rows == ROWS
    finally:
        follower.stop()
