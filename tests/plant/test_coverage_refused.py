"""What feeds say while the log refuses is noted once, in order, when it takes rows again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from plant_kit import NOW, WAIT_S, open_plant, submit
from tickplant.model.errors import LogUnavailable
from tickplant.plant import coverage_keeper
from tickplant.plant import plant as plant_module
from tickplant.plant.feed_notes import Alive, Begun, Lost, Note, Repair
from tickplant.plant.plant import Plant

MINUTE = 60 * 10**9
BASE = NOW // MINUTE * MINUTE - 60 * MINUTE


def at(minute: float) -> int:
    return BASE + round(minute * 60) * 10**9


def say(plant: Plant, *notes: Note) -> None:
    for note in notes:
        plant.tell(note).result(WAIT_S)


def tick(plant: Plant, minute: float) -> None:
    submit(plant, symbol=["A"], ts_event=[at(minute)], price=[1.0], feed="venue")


def gaps(plant: Plant) -> list[tuple[Any, ...]]:
    rows = plant.history.gaps().to_pylist()
    return [(row["cause"], row["start"], row["end"]) for row in rows]


@contextmanager
def refusing(plant: Plant, patch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: Any) -> None:
        raise LogUnavailable("the disk is full")

    with patch.context() as patched:
        patched.setattr(plant.log, "append", refuse)
        yield


def test_a_feed_that_fails_again_and_again_meanwhile_makes_one_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5)
        with refusing(plant, monkeypatch):
            say(plant, *[Lost("venue", "disconnect")] * 5, Begun("venue", start=at(3)))
            say(plant, *[Alive("venue", at(3 + n / 10)) for n in range(10)])
        before = plant.seq_last
        tick(plant, 5)
        assert gaps(plant) == [("disconnect", at(0.5), at(3))]
        assert plant.seq_last - before < 10


def test_a_restart_that_cannot_be_written_down_at_once_is_one_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5)
    with open_plant(tmp_path) as plant:
        plant.drain()
        assert plant.coverage.loaded
        with refusing(plant, monkeypatch):
            say(plant, Begun("venue", start=at(3)))
            say(plant, *[Alive("venue", at(3 + n / 10)) for n in range(10)])
            say(plant, Lost("venue", "stall"))
        tick(plant, 2)
        assert gaps(plant) == [("restart", at(0.5), at(3)), ("stall", at(3.9), None)]


def test_a_repair_of_no_gap_holds_up_nothing_that_waits_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5)
        with refusing(plant, monkeypatch):
            say(plant, Alive("venue", at(1)), Repair("venue", 99, "repaired"))
            say(plant, Lost("venue", "overload"))
        tick(plant, 0.7)
        assert gaps(plant) == [("overload", at(1), None)]


def test_what_could_not_be_read_at_the_start_is_read_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(0)))
        tick(plant, 0.5)
    faults = [OSError("the share is gone")]
    read = coverage_keeper.read_book

    def refuse(*given: Any, **options: Any) -> Any:
        if faults:
            raise faults.pop()
        return read(*given, **options)

    monkeypatch.setattr(coverage_keeper, "read_book", refuse)
    monkeypatch.setattr(plant_module, "LOAD_AGAIN", 8)
    with open_plant(tmp_path) as plant:
        say(plant, Begun("venue", start=at(3)))
        for step in range(20):
            tick(plant, 3 + step / 10)
        assert plant.coverage.waiting == 0
        assert gaps(plant) == [("restart", at(0.5), at(3))]
