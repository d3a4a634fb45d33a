"""A whole plant in a temporary folder, with a clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tickplant.compose import OpenPlant
from tickplant.config import load
from tickplant.formats.parsed import incoming_batch
from tickplant.gateway.stream.protocol import JSON
from tickplant.gateway.stream.replay import Reader
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Receipt, Submission

NOW = 1_700_000_000_000_000_000
WAIT_S = 60  # of a starved machine; what hangs for good meets the limit of its test


class Clock:
    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


@contextmanager
def open_plant(folder: Path, clock: Clock | None = None, **settings: Any) -> Iterator[Plant]:
    flags = {"data": str(folder), "log.segment_mb": 1}
    flags |= {key.replace("__", "."): value for key, value in settings.items()}
    with OpenPlant(load(flags=flags), clock=clock or Clock()) as opened:
        yield opened.plant


def submit(plant: Plant, table: str = "trades", **columns: Any) -> Receipt:
    """Submit columns; `strict`, `feed` and `flags` go to the submission."""
    options = {name: columns.pop(name) for name in ("strict", "feed", "flags") if name in columns}
    rows = incoming_batch(table, **columns)
    return plant.submit(Submission(table, rows, **options)).result(WAIT_S)


def amend(plant: Plant, symbol: str, seq: int, changes: Mapping[str, Any] | None) -> int:
    number = plant.registry.resolve(symbol).number
    return plant.amend(number, seq, changes).result(WAIT_S)


def trades(plant: Plant, symbol: str, **query: Any) -> list[dict[str, Any]]:
    return plant.history.trades(plant.registry.resolve(symbol), **query).to_pylist()


def read_out(reader: Reader, channel: str = "candles") -> list[dict[str, Any]]:
    """Return all events of a stream's reader, as a client gets them."""
    chunks = [reader.next()]
    while not chunks[-1].done:
        chunks.append(reader.next())
    frames = [frame for chunk in chunks for frame in JSON.data(1, channel, chunk.events)]
    return [event for frame in frames for event in JSON.decode(frame.payload)["events"]]


def gap_touches(plant: Plant, symbol: str) -> list[tuple[int, int, int]]:
    """Return (start, end, seq) of what gaps of push changed in an instrument's coverage."""
    number = plant.registry.resolve(symbol).number
    touches: dict[int, tuple[int, int, int]] = {}
    for row in plant.store.scan("coverage", number, amended=False).sort_by("seq").to_pylist():
        if row["kind"] == "gap":
            touches[row["seq"]] = row["start"], row["end"], row["seq"]
        elif row["kind"] == "change":
            start, end, _ = touches[row["ref_seq"]]
            touches[row["ref_seq"]] = start, max(end, row["end"]), row["seq"]
    return list(touches.values())
