"""A whole plant whose disks refuse: what producers, readers, operators and a restart then see."""

from __future__ import annotations

import errno
import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from fault_kit import WRITES, Rig, check, outcome, send, stored_ids, until
from plant_kit import amend, submit
from tickplant.gateway.app import create_app
from tickplant.model.errors import LogUnavailable, Overloaded, PassingError, Stopping
from tickplant.plant.plant import Plant
from tickplant.plant.submission import Receipt


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "data")
    yield made
    made.log.refusing.clear()
    made.close()


def published(plant: Plant) -> list[int]:
    """The sequence numbers that a subscriber of everything has been sent in this run."""
    cursor = plant.hub.attach(plant.run_base(plant.run))
    assert cursor is not None
    entries = cursor.take(10**6)
    assert isinstance(entries, list)
    return [s for e in entries if e.rows is not None for s in e.rows["seq"].to_pylist()]


@pytest.mark.parametrize(
    ("operations", "error"),
    [(("datasync",), errno.EIO), (("pwritev",), errno.EIO), (("datasync", "create"), errno.ENOSPC)],
)
def test_a_log_that_refuses_for_a_while(
    rig: Rig, tmp_path: Path, operations: tuple[str, ...], error: int
) -> None:
    plant = rig.plant
    assert outcome(send(plant, ["A/1"])).seq_first == 1
    rig.log.refuse(*operations, error=error)
    flying = send(plant, ["A/2", "B/1"])
    assert isinstance(outcome(flying), LogUnavailable)
    ready, reason = plant.readiness()
    assert not ready
    assert reason.startswith("the log is unavailable: ")
    assert plant.status()["log"]["state"] == "unavailable"
    assert isinstance(outcome(send(plant, ["C/1"])), LogUnavailable)
    crashed = rig.crash(tmp_path / "crashed")
    check(crashed.plant, {"A/1"}, {"A/1", "A/2", "B/1"})
    crashed.close()

    rig.log.refusing.clear()
    until(lambda: plant.readiness()[0])
    again = outcome(send(plant, ["A/1", "A/2", "B/1", "C/1"]))
    assert isinstance(again, Receipt)
    assert (again.accepted, again.duplicates) == (1, 3)
    damage = plant.status()["log"]["damage"]
    assert len(damage) == 1
    assert damage[0]["what"].startswith("the disk refused: ")
    check(plant, {"A/1", "A/2", "B/1", "C/1"}, {"A/1", "A/2", "B/1", "C/1"})
    assert published(plant) == [1, 2, 3, 4]
    crashed = rig.crash(tmp_path / "crashed again")
    check(crashed.plant, {"A/1", "A/2", "B/1", "C/1"}, {"A/1", "A/2", "B/1", "C/1"})
    crashed.close()


async def test_over_http_a_refusing_log_is_503_and_when_to_retry(rig: Rig) -> None:
    rig.log.refuse("datasync")
    transport = httpx.ASGITransport(create_app(rig.plant))
    async with httpx.AsyncClient(transport=transport, base_url="http://plant") as http:
        for _ in range(2):  # the first one waits for the disk, the second is refused at once
            answer = await http.post("/v1/trades", json=[{"symbol": "D", "price": 1, "id": "1"}])
            assert (answer.status_code, answer.json()["title"]) == (503, "Log unavailable")
            assert answer.headers["Retry-After"] == "1"
        ready = await http.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["reason"].startswith("the log is unavailable: ")
        assert "tickplant_ready 0.0" in (await http.get("/metrics")).text
        assert (await http.get("/v1/status")).json()["log"]["state"] == "unavailable"


def test_one_failed_sync_is_no_more_than_a_delay(rig: Rig) -> None:
    rig.log.faults["datasync", rig.log.calls["datasync"]] = errno.EIO
    assert outcome(send(rig.plant, ["A/1"])).accepted == 1
    assert rig.plant.readiness()[0]
    assert rig.plant.status()["log"]["damage"][0]["action"].endswith("then acknowledged")


def test_a_duplicate_is_not_acknowledged_before_its_original_is_durable(
    rig: Rig, tmp_path: Path
) -> None:
    held, go = threading.Event(), threading.Event()

    def hold(operation: str) -> None:
        if operation == "datasync" and not go.is_set():
            held.set()
            assert go.wait(20)

    rig.log.before = hold
    first = send(rig.plant, ["A/1"])
    assert held.wait(20)
    second = send(rig.plant, ["A/1"])
    rig.plant.drain()
    assert stored_ids(rig.plant) == ["A/1"]
    assert not first.done()
    assert not second.done()
    go.set()
    assert (outcome(first).accepted, outcome(second).duplicates) == (1, 1)


def test_names_of_a_refused_batch_come_with_the_next_one(rig: Rig, tmp_path: Path) -> None:
    plant = rig.plant
    rig.log.refuse("datasync")
    assert isinstance(outcome(send(plant, ["A/1"])), LogUnavailable)  # this one is queued
    assert isinstance(outcome(send(plant, ["B/1"])), LogUnavailable)  # this one is not
    rig.log.refusing.clear()
    until(lambda: plant.readiness()[0])
    assert outcome(send(plant, ["C/1", "B/2"])).accepted == 2
    crashed = rig.crash(tmp_path / "crashed")
    check(crashed.plant, {"C/1", "B/2"}, {"A/1", "C/1", "B/2"})
    crashed.close()


def test_what_was_archived_but_never_durable_in_the_log_is_kept(rig: Rig, tmp_path: Path) -> None:
    """The archive may be ahead of the journal when the process ends: then it is what counts."""
    plant = rig.plant
    assert outcome(send(plant, ["A/1"])).accepted == 1
    rig.log.refuse(*WRITES)
    assert isinstance(outcome(send(plant, ["A/2", "B/1"])), LogUnavailable)
    plant.store.checkpoint(plant.catalog.encode())
    assert (plant.store.seq_archived, plant.log.status().seq_durable) == (3, 1)
    crashed = rig.crash(tmp_path / "crashed")
    ids = {"A/1", "A/2", "B/1"}
    check(crashed.plant, ids, ids)
    assert outcome(send(crashed.plant, ["B/1", "C/1"])).duplicates == 1
    check(crashed.plant, ids | {"C/1"}, ids | {"C/1"})
    again = crashed.crash(tmp_path / "crashed again")
    check(again.plant, ids | {"C/1"}, ids | {"C/1"})
    assert again.plant.log.status().damage == ()
    again.close()
    crashed.close()


def test_a_run_that_a_crash_took_back_does_not_lend_its_number(rig: Rig, tmp_path: Path) -> None:
    """What a subscriber saw and a crash lost must not count as seen in the run that follows."""
    plant = rig.plant
    rig.log.refuse(*WRITES)
    assert isinstance(outcome(send(plant, ["A/1", "A/2"])), LogUnavailable)
    assert published(plant) == [1, 2]
    seen_run = plant.run
    crashed = rig.crash(tmp_path / "crashed")
    assert crashed.plant.run > seen_run
    assert crashed.plant.run_base(seen_run + 1) == crashed.plant.seq_last == 0
    crashed.close()


def test_nothing_is_published_before_the_run_is_durable(tmp_path: Path) -> None:
    made = Rig(tmp_path / "data", refusing=("pwritev",))
    assert not made.plant.readiness()[0]
    assert made.plant.state == "starting"
    with pytest.raises(Stopping, match="the log is unavailable"):
        send(made.plant, ["A/1"])
    assert published(made.plant) == []
    made.log.refuse()
    until(lambda: made.plant.readiness()[0])
    assert outcome(send(made.plant, ["A/1"])).accepted == 1
    made.close()


def test_an_archive_that_refuses_holds_producers_back_and_lets_go(tmp_path: Path) -> None:
    made = Rig(tmp_path / "data", store__memory_mb=16, store__block_rows=1_000)
    plant, sent = made.plant, set()
    made.store.refusing = True
    refusals = 0
    for number in range(200):
        ids = [f"A/{number}-{row}" for row in range(2_000)]
        future = send(plant, ids)
        sent |= set(ids)
        if not plant.store.wait_for_room(0) and plant.store.status().last_error:
            made.clock.now += 11 * 10**9  # longer than a producer is asked to wait
        told = outcome(future)
        if isinstance(told, Overloaded):
            assert "memory is full; the archive: OSError" in told.detail
            sent -= set(ids)
            refusals += 1
            break
        assert isinstance(told, Receipt)
    assert refusals
    ready, reason = plant.readiness()
    assert not ready
    assert reason.startswith("memory is full and the archive refuses: OSError")
    assert "No space left" in plant.status()["store"]["last_error"]
    with pytest.raises(Overloaded):
        amend(plant, "A", 1, None)
    crashed = made.crash(tmp_path / "crashed")  # nothing of it was archived
    check(crashed.plant, sent, sent)
    crashed.close()

    made.store.refusing = False
    made.clock.now += 40 * 10**9  # the next attempt of the maintenance is due
    until(lambda: plant.readiness()[0] and plant.store.status().last_error is None)
    assert outcome(send(plant, ["B/1"])).accepted == 1
    until(lambda: plant.store.seq_archived > 0)
    check(plant, sent | {"B/1"}, sent | {"B/1"})
    made.close()


def test_stopping_while_the_log_refuses_ends_every_wait(tmp_path: Path) -> None:
    made = Rig(tmp_path / "data")
    assert outcome(send(made.plant, ["A/1"])).accepted == 1
    made.log.refuse(*WRITES)
    futures = [send(made.plant, [f"A/{n}"]) for n in range(2, 20)]
    made.close()
    told = [outcome(future) for future in futures]
    assert all(isinstance(fault, LogUnavailable | Stopping) for fault in told)
    made.close()
    assert made.plant.state == "stopped"
    again = Rig(tmp_path / "data", made.log.crash())
    check(again.plant, {"A/1"}, {f"A/{n}" for n in range(1, 20)})
    again.close()


def test_stopping_while_archive_and_log_refuse_loses_nothing_acknowledged(tmp_path: Path) -> None:
    made = Rig(tmp_path / "data")
    acknowledged = {f"A/{n}" for n in range(5)}
    assert outcome(send(made.plant, sorted(acknowledged))).accepted == 5
    made.store.refusing = True
    made.log.refuse(*WRITES)
    flying = send(made.plant, ["A/9"])
    made.close()
    assert isinstance(outcome(flying), LogUnavailable)
    again = Rig(tmp_path / "data", made.log.crash())
    check(again.plant, acknowledged, {*acknowledged, "A/9"})
    again.close()


def test_producers_and_stops_at_once_all_end(tmp_path: Path) -> None:
    made = Rig(tmp_path / "data", plant__inbox_rows_max=1_000)
    told: dict[str, Receipt | PassingError] = {}
    started = threading.Barrier(7)

    def produce(name: int) -> None:
        started.wait()
        for number in range(2_000):
            text = f"S{name}/{number}"
            try:
                told[text] = outcome(send(made.plant, [text]))
            except PassingError as fault:
                told[text] = fault
                if isinstance(fault, Stopping):
                    return

    def stop() -> None:
        started.wait()
        until(lambda: len(told) > 200)
        made.plant.stop()
        assert made.plant.state == "stopped"  # the second one waited for the first

    threads = [threading.Thread(target=produce, args=(name,)) for name in range(5)]
    threads += [threading.Thread(target=stop) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)
    assert not any(thread.is_alive() for thread in threads)
    made.close()
    again = Rig(tmp_path / "data", made.log.crash())
    acknowledged = {text for text, told_ in told.items() if isinstance(told_, Receipt)}
    assert len(acknowledged) > 100
    check(again.plant, acknowledged, set(told))
    again.close()


def test_a_plant_whose_thread_died_says_so_and_refuses_everybody(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = rig.plant
    assert outcome(send(plant, ["A/1"])).accepted == 1

    def broken(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(plant.store, "append", broken)
    futures = []
    with suppress(Stopping):
        for number in range(2, 50):
            futures.append(send(plant, [f"A/{number}"]))  # noqa: PERF401 - the last may raise
    assert all(isinstance(outcome(future), Stopping) for future in futures)
    assert "the plant's thread ended" in plant.readiness()[1]
    with pytest.raises(Stopping, match="the plant's thread ended"):
        send(plant, ["A/99"])
    with pytest.raises(Stopping):
        plant.drain()
    crashed = rig.crash(tmp_path / "crashed")
    check(crashed.plant, {"A/1"}, {"A/1", *(f"A/{n}" for n in range(2, 50))})
    crashed.close()


def test_candles_that_cannot_be_built_cost_no_rows(rig: Rig, monkeypatch) -> None:
    plant = rig.plant
    monkeypatch.setattr(plant._candles, "apply", lambda *_: 1 / 0)
    assert submit(plant, symbol=["A"], price=[1.0]).accepted == 1
    monkeypatch.undo()
    assert submit(plant, symbol=["A"], price=[1.0]).accepted == 1
    assert published(plant) == [1, 2]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_refuses_and_whenever_it_is_cut(tmp_path: Path, seed: int) -> None:
    """Random faults of both disks, random crashes: acknowledged is stored, once, by its name."""
    chance = random.Random(seed)
    rig = Rig(tmp_path / "0", seed=seed, store__block_rows=1_000, store__block_age_s=1.0)
    sent: set[str] = set()
    acknowledged: set[str] = set()
    flying = []
    for step in range(1, 60):
        rig.clock.now += chance.choice([0, 10**8, 3 * 10**9])
        what = chance.random()
        if what < 0.62:
            fresh = [f"S{chance.randrange(step)}/{step}-{n}" for n in range(chance.randint(1, 30))]
            old = chance.sample(sorted(sent), min(len(sent), 3))
            ids = fresh + old
            sent |= set(ids)
            try:
                flying.append((ids, send(rig.plant, ids)))
                if chance.random() < 0.2:
                    send(rig.plant, ["", *fresh[:1]], "quotes")  # a row without a symbol is refused
            except PassingError:
                continue
        elif what < 0.72:
            rig.log.refuse(*chance.sample(WRITES, chance.randint(1, 4)))
        elif what < 0.84:
            rig.log.refuse()
        elif what < 0.94:
            rig.store.refusing = not rig.store.refusing
        else:
            settled = [(ids, outcome(future)) for ids, future in flying if future.done()]
            acknowledged |= {i for ids, told in settled if isinstance(told, Receipt) for i in ids}
            old, rig = rig, rig.crash(tmp_path / str(step))
            old.log.refuse()
            old.store.refusing = False
            old.close()
            flying.clear()
            check(rig.plant, acknowledged, sent)
    rig.log.refuse()
    rig.store.refusing = False
    told = [(ids, outcome(future)) for ids, future in flying]
    acknowledged |= {i for ids, each in told if isinstance(each, Receipt) for i in ids}
    until(lambda: rig.plant.readiness()[0])
    check(rig.plant, acknowledged, sent)
    final = rig.crash(tmp_path / "final")
    check(final.plant, acknowledged, sent)
    base = rig.plant.run_base(rig.plant.run)
    assert published(rig.plant) == list(range(base + 1, rig.plant.seq_last + 1))
    rig.close()
    final.close()
