"""Flipped bytes and cut files in a real folder: it opens, says so, and loses no more than that."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fault_kit import outcome, send
from plant_kit import amend, open_plant
from tickplant.cli.checkup import WARNING, WRONG, check_folder
from tickplant.plant.plant import Plant

ARCHIVED, JOURNALED = 6, 6  # batches
SYMBOLS = 4


def ids_of(batch: int) -> list[str]:
    return [f"S{row % SYMBOLS}/{batch}-{row}" for row in range(40)]


def fill(plant: Plant, batches: range) -> None:
    for batch in batches:
        assert outcome(send(plant, ids_of(batch))).accepted == 40
        assert outcome(send(plant, ids_of(batch), "quotes")).accepted == 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows in two archive files a table, an amendment in each half, and a journal."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    with open_plant(folder) as plant:
        fill(plant, range(ARCHIVED // 2))
        plant.store.checkpoint(plant.catalog.encode())
        fill(plant, range(ARCHIVED // 2, ARCHIVED))
        amend(plant, "S1", 2, {"price": 2.0})
        plant.store.checkpoint(plant.catalog.encode())
        plant.log.trim(plant.store.seq_archived)
        fill(plant, range(ARCHIVED, ARCHIVED + JOURNALED))
        amend(plant, "S0", 1, None)
        plant._archive_all = lambda: None  # as after a crash
    return folder


def check_opens(folder: Path, *, lost_max: int, damaged: bool, passed_max: int = 0) -> None:
    """Open, compare, write, open again; `lost_max` is how many of the 12 batches may be gone."""
    before = [finding for finding in check_folder(folder, quick=False) if finding.state == WRONG]
    with open_plant(folder) as plant:
        status = plant.status()
        told = [*status["log"]["damage"], *status["store"]["damage"]]
        lost = read(plant)
        told += plant.status()["store"]["damage"]
        batches = {text.partition("/")[2].partition("-")[0] for text in lost}
        assert len(batches) <= lost_max, f"lost batches {sorted(batches)}"
        fresh = [f"S{n}/new-{n}" for n in range(SYMBOLS + 1)]
        assert outcome(send(plant, fresh)).accepted == len(fresh)
        assert outcome(send(plant, fresh)).duplicates == len(fresh)
        again = [(batch, table) for batch in range(3) for table in ("trades", "quotes")]
        doubled = sum(outcome(send(plant, ids_of(b), table)).accepted for b, table in again)
        if not lost:
            assert doubled <= passed_max
        told += plant.status()["store"]["damage"]
        if lost or damaged:
            assert told, "damage that nobody is told of"
        plant.store.checkpoint(plant.catalog.encode())
    after = [f for f in check_folder(folder, quick=False) if f.state in (WRONG, WARNING)]
    if told:
        assert before or after, "doctor finds nothing"
    with open_plant(folder) as plant:
        assert read(plant) <= lost
        held = plant.store.scan("trades", columns=["id"])["id"].to_pylist()
        assert set(fresh) <= set(held)


def read(plant: Plant) -> set[str]:
    """Return the ids of trades that are missing; see that the others are under their names."""
    rows = plant.store.scan("trades", columns=["id", "instrument"], amended=False).to_pylist()
    for row in rows:
        instrument = plant.registry.number(row["instrument"])
        lost_name = instrument.venue == "DAMAGED"
        assert lost_name or instrument.symbol == row["id"].partition("/")[0]
    every = {text for batch in range(ARCHIVED + JOURNALED) for text in ids_of(batch)}
    plant.store.scan("quotes", columns=["seq"])
    return every - {row["id"] for row in rows}


def live_files(folder: Path, pattern: str) -> list[Path]:
    """Return the files that the manifest names, where it is one of those that it names."""
    manifest = (folder / "archive/MANIFEST.json").read_text("utf-8").partition('"garbage"')[0]
    named = [path for path in sorted(folder.glob(pattern)) if path.name in manifest]
    return named or sorted(folder.glob(pattern))


def flip(data: bytearray, at: int) -> None:
    data[at] ^= 0x40


def cut(data: bytearray, at: int) -> None:
    del data[at:]


KINDS = {
    # what: (files, batches that may be lost by it, whether it is sure to be noticed)
    "journal": ("journal/*.seg", 1, False),
    "trades": ("archive/trades/*/*.parquet", ARCHIVED // 2, False),
    "quotes": ("archive/quotes/*/*.parquet", 0, False),
    "manifest": ("archive/MANIFEST.json", 0, True),
    "backup": ("archive/MANIFEST.backup.json", 0, False),
    "keys": ("archive/keys/*/*.npy", 0, True),
    "catalog": ("archive/catalog-*.json", 0, False),
    "amendments": ("archive/amendments-*.npy", 0, True),
}


@pytest.mark.parametrize("harm", [flip, cut])
@pytest.mark.parametrize("kind", KINDS)
def test_a_harmed_file(
    whole: Path, tmp_path: Path, kind: str, harm: Callable[[bytearray, int], None]
) -> None:
    pattern, lost_max, damaged = KINDS[kind]
    files = live_files(whole, pattern)
    assert files, f"no {pattern} in {sorted(p.name for p in whole.rglob('*'))}"
    chance = random.Random(f"{kind} {harm.__name__}")
    for number in range(6):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        path = folder / chance.choice(files).relative_to(whole)
        data = bytearray(path.read_bytes())
        at = chance.randrange(len(data))
        harm(data, at)
        path.write_bytes(data)
        # A cut takes every record behind it along.
        most = JOURNALED if (kind, harm) == ("journal", cut) else lost_max
        try:
            passed = {flip: 1, cut: 120}[harm] if kind == "keys" else 0
            check_opens(folder, lost_max=most, damaged=damaged, passed_max=passed)
        except AssertionError as fault:
            raise AssertionError(f"{path.name}: {harm.__name__} at {at} of {len(data)}") from fault


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "journal"])
def test_a_file_that_is_gone(whole: Path, tmp_path: Path, kind: str) -> None:
    pattern, lost_max, _ = KINDS[kind]
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    live_files(folder, pattern)[0].unlink()
    passed = 120 if kind == "keys" else 0
    check_opens(folder, lost_max=lost_max, damaged=kind != "backup", passed_max=passed)


def test_both_manifests_gone(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    for path in folder.glob("archive/MANIFEST*"):
        path.unlink()
    check_opens(folder, lost_max=0, damaged=True)


def test_both_catalogs_gone(whole: Path, tmp_path: Path) -> None:
    """The names are lost then, but the rows are not, and no other symbol gets their numbers."""
    folder = tmp_path / "data"
    shutil.copytree(whole, folder)
    for path in folder.glob("archive/catalog-*"):
        path.unlink()
    # What is sent again is under a new number, so it is not known to be there.
    check_opens(folder, lost_max=0, damaged=True, passed_max=240)
    with open_plant(folder) as plant:
        assert plant.registry.number(1).name == "DAMAGED:LOST-1"
        assert plant.registry.resolve("S0").number > SYMBOLS
