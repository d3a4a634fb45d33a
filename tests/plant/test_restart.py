"""A plant that accepts while rows of its last run are still brought back from the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from fault_kit import outcome, send
from plant_kit import Clock, amend, open_plant, submit
from tickplant.candles.grid import Grid
from tickplant.candles.interval import parse_interval
from tickplant.compose import OpenPlant, World
from tickplant.config import load
from tickplant.log.contract import LogRecord
from tickplant.log.disk import RealDisk
from tickplant.log.journal import Journal
from tickplant.model.errors import Stopping
from tickplant.plant.plant import Plant

WAIT_S = 10
BATCHES, ROWS = 30, 4
MINUTES = Grid(parse_interval("1m"))


class HeldDisk(RealDisk):
    """Lets nobody but the opening thread read before it is let go, or refuses what waits."""

    def __init__(self) -> None:
        self.opener = threading.get_ident()
        self.go = threading.Event()
        self.waits = threading.Event()
        self.fault: Exception | None = None

    def pread(self, file: int, size: int, offset: int) -> bytes:
        if threading.get_ident() != self.opener:
            self.waits.set()
            assert self.go.wait(WAIT_S)
            if self.fault is not None:
                raise self.fault
        return super().pread(file, size, offset)


def ids_of(batch: int) -> list[str]:
    return [f"S{row}/{batch}" for row in range(ROWS)]


def fill(folder: Path, archived: int) -> Path:
    """Return a folder as a crash leaves it: the first batches archived, an amendment at the end."""
    with open_plant(folder) as plant:
        for batch in range(BATCHES):
            assert outcome(send(plant, ids_of(batch))).accepted == ROWS
            assert outcome(send(plant, ids_of(batch), "quotes")).accepted == ROWS
            if batch + 1 == archived:
                plant.store.checkpoint(plant.catalog.encode())
        amend(plant, "S0", 1, {"price": 2.0})
        plant._archive_all = lambda: None  # type: ignore[method-assign]
        plant._end_coverage = lambda: None  # type: ignore[method-assign]
    return folder


@pytest.fixture
def left(tmp_path: Path) -> Path:
    return fill(tmp_path / "data", BATCHES // 2)


LEFT_ROWS = BATCHES * ROWS
LEFT_LAST = 2 * LEFT_ROWS + 1


@contextmanager
def restarted(folder: Path, disk: HeldDisk) -> Iterator[Plant]:
    flags = {"data": str(folder), "log.segment_mb": 1}
    world = World(log_disk=disk, behind_bytes=0, prepare_ahead=False)
    with OpenPlant(load(flags=flags), clock=Clock(), world=world) as opened:
        try:
            yield opened.plant
        finally:
            disk.go.set()


def in_thread(act: Callable[[], object]) -> Future[object]:
    return ThreadPoolExecutor(1).submit(act)


def ids(plant: Plant) -> list[str]:
    rows = plant.store.scan("trades", columns=["seq", "id", "ref_seq"], amended=False)
    found = sorted(zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True))
    assert len({seq for seq, _, _ in found}) == len(found)
    return [text for _, text, ref in found if not ref]


EVERY_ID = [text for batch in range(BATCHES) for text in ids_of(batch)]


def test_rows_are_taken_at_once_and_readers_wait_for_all(left: Path) -> None:
    disk = HeldDisk()
    with restarted(left, disk) as plant:
        assert disk.waits.wait(WAIT_S)
        assert plant.readiness() == (True, "accepting")
        assert plant.seq_last == LEFT_LAST
        receipt = submit(plant, symbol=["S0", "NEW"], price=[1.0, 1.0])
        assert (receipt.seq_first, receipt.seq_last) == (LEFT_LAST + 1, LEFT_LAST + 2)
        number = plant.registry.resolve("S0").number
        reads = [
            in_thread(lambda: plant.store.scan("trades", number).num_rows),
            in_thread(lambda: plant.store.span("trades")),
            in_thread(lambda: plant.store.scan_seq("trades", 0, 10**9, limit=10**6).num_rows),
            in_thread(lambda: plant.store.find_trade(LEFT_LAST).num_rows),
            in_thread(lambda: len(plant.store.amendment_seqs(number, None, None)[1])),
            in_thread(lambda: plant.store.seen("trades", np.ones((1, 2), np.uint64)).sum()),
        ]
        again = send(plant, [*ids_of(BATCHES - 1), "S0/new"])
        assert not any(read.done() for read in [*reads, again])
        disk.go.set()
        receipt = outcome(again)
        assert (receipt.accepted, receipt.duplicates) == (1, ROWS)
        answers = [read.result(WAIT_S) for read in reads]
        assert answers[0] in (BATCHES + 1, BATCHES + 2)  # the last row may have come in before
        assert answers[2] in (LEFT_ROWS + 3, LEFT_ROWS + 4)
        assert answers[3:] == [1, 1, 0]
        assert ids(plant) == [*EVERY_ID, None, None, "S0/new"]
        prices = plant.store.scan("trades", number, columns=["price"])["price"].to_pylist()
        assert prices.count(2.0) == 1  # the amendment counts
    with open_plant(left) as plant:
        assert ids(plant) == [*EVERY_ID, None, None, "S0/new"]
        assert plant.registry.resolve("NEW").number == ROWS + 1


def test_live_bars_wait_with_the_rest(left: Path) -> None:
    disk = HeldDisk()
    with restarted(left, disk) as plant:
        watched = in_thread(lambda: plant.watch_candles(MINUTES, "trade"))
        flying = send(plant, ["S1/new"])
        disk.go.set()
        watched.result(WAIT_S)
        assert outcome(flying).accepted == 1
        assert ids(plant) == [*EVERY_ID, "S1/new"]


def test_a_plant_that_is_stopped_meanwhile_loses_nothing(left: Path) -> None:
    disk = HeldDisk()
    with restarted(left, disk) as plant:
        flying = send(plant, ["S1/new", *ids_of(0)])
        stopping = in_thread(plant.stop)
        disk.go.set()
        stopping.result(WAIT_S)
        assert outcome(flying).accepted == 1
        assert plant.store.seq_archived == plant.seq_last > LEFT_LAST
    with open_plant(left) as plant:
        assert ids(plant) == [*EVERY_ID, "S1/new"]


def test_rows_that_cannot_be_brought_back_stop_the_plant_and_show_nothing(left: Path) -> None:
    disk = HeldDisk()
    with restarted(left, disk) as plant:
        assert submit(plant, symbol=["S0"], price=[1.0]).accepted == 1
        disk.fault = MemoryError("none left")
        disk.go.set()
        with pytest.raises(Stopping, match=r"could not be restored.*none left"):
            plant.store.scan("trades")
        for thread in plant._threads[2:]:
            thread.join(WAIT_S)
        ready, reason = plant.readiness()
        assert not ready
        assert "could not be restored" in reason
    with open_plant(left) as plant:
        assert ids(plant) == [*EVERY_ID, None]


def test_after_damage_every_number_has_a_name_before_anything_is_accepted(tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", 0)
    (segment,) = (folder / "journal").glob("*.seg")
    data = bytearray(segment.read_bytes())
    at = -1
    while (at := data.find(b'"symbol":"S', at + 1)) >= 0:
        data[at] ^= 0x40
    segment.write_bytes(data)
    disk = HeldDisk()
    with restarted(folder, disk) as plant:
        assert not disk.waits.is_set()  # nothing is left to be brought back
        assert ids(plant) == EVERY_ID
        lost = [item for item in plant.registry if item.venue == "DAMAGED"]
        assert [item.number for item in lost] == list(range(1, ROWS + 1))
        submit(plant, symbol=["NEW"], price=[1.0])
        assert plant.registry.resolve("NEW").number == ROWS + 1


def test_a_record_of_a_later_version_is_refused_before_the_start(left: Path) -> None:
    journal = Journal(left / "journal", prepare_ahead=False)
    journal.append([LogRecord(99, journal.seq_next, 1, b"?")])
    journal.close()
    with pytest.raises(ValueError, match="kind 99 is not known"), restarted(left, HeldDisk()):
        pass
