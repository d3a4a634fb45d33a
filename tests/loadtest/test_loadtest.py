"""Load tests: what is due when, latencies from then, and that nothing counts that is not stored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from websockets.asyncio.server import ServerConnection, serve

from cli_kit import run
from cli_kit import serve as serve_plant
from tickplant.client.problems import Unreachable
from tickplant.loadtest import producer, readback
from tickplant.loadtest.producer import Delivery, deliver
from tickplant.loadtest.report import Report
from tickplant.loadtest.scenarios import SCENARIOS, Limits, choose
from tickplant.loadtest.ticks import Sums, Ticks
from tickplant.loadtest.usage import MIB, Sample, read_sums, usage
from tickplant.model.errors import InvalidParameter, UserError

NOW = 1_800_000_000_000_000_000


# -- what is due when ------------------------------------------------------------------------------


def test_messages_are_due_with_their_last_tick() -> None:
    scenario = choose("baseline", rate=1_000, seconds=0.25, batch=100)
    assert list(scenario.messages()) == [(0.099, 0, 100), (0.199, 100, 100), (0.249, 200, 50)]


def test_bursts_are_due_at_once_a_second_apart() -> None:
    due = [(at, count) for at, _, count in choose("burst", seconds=2, batch=5_000).messages()]
    assert due == [(0.0, 5_000), (0.0, 5_000), (1.0, 5_000), (1.0, 5_000)]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_sends_each_of_its_ticks_once(name: str) -> None:
    scenario = choose(name, seconds=1)
    sent = [n for _, first, count in scenario.messages() for n in range(first, first + count)]
    assert sent == list(range(scenario.ticks))
    assert scenario.ticks == (10_000 if name == "burst" else 100_000)


def test_what_cannot_be_loaded_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match="prices no options"):
        choose("greeks")
    with pytest.raises(InvalidParameter, match="nope is not allowed; allowed is baseline"):
        choose("nope")
    with pytest.raises(InvalidParameter, match="--rate: 5 is not allowed"):
        choose("burst", rate=5)
    with pytest.raises(InvalidParameter, match=r"--batch.*from 1 to 20,000"):
        choose("scale", batch=20_001)
    with pytest.raises(InvalidParameter, match="200,000,000 ticks in all"):
        choose("scale", rate=10_000_000, seconds=60)


# -- the ticks -------------------------------------------------------------------------------------


def test_ticks_are_the_same_however_often_they_are_made_and_add_up() -> None:
    times = NOW + 10 * pa.array(range(500)).to_numpy()
    rows, sums = Ticks(7, base=NOW).make(40, times)
    again, _ = Ticks(7, base=NOW).make(40, times)
    assert rows.equals(again)
    listed = rows.to_pylist()
    assert [int(row["id"]) - NOW for row in listed] == list(range(40, 540))
    assert sums == Sums(
        500,
        sum(int(row["size"]) for row in listed),
        sum(int(str(row["price"]).replace(".", "").ljust(5, "0")) for row in listed),
    )
    assert {row["symbol"] for row in listed} == {f"LOAD{n:05d}" for n in range(7)}
    assert {row["venue"] for row in listed} == {"LOAD"}


# -- the producer ----------------------------------------------------------------------------------


def ack(number: int, rows: int) -> str:
    return json.dumps(
        {"op": "ack", "seq": number, "accepted": rows, "duplicates": 0, "rejected": [],
         "seq_first": 1, "seq_last": rows}
    )  # fmt: skip


@asynccontextmanager
async def fake_plant(answer: Any) -> AsyncIterator[str]:
    """Serve an ingest socket; `answer(connection, numbers)` gets each message's number."""

    async def talk(connection: ServerConnection) -> None:
        hello = {"op": "hello", "window": 64, "frame_bytes_max": 1 << 20}
        await connection.send(json.dumps(hello))
        numbers: list[int] = []
        async for frame in connection:
            if isinstance(frame, str):
                await connection.send('{"op":"ready"}')
            else:
                with pa.ipc.open_stream(frame) as reader:
                    numbers.append(int(reader.schema.metadata[b"seq"]))
                await answer(connection, numbers)

    async with serve(talk, "127.0.0.1", 0) as server:
        host, port = next(iter(server.sockets)).getsockname()
        yield f"ws://{host}:{port}"


def messages(count: int, every_s: float) -> Iterator[producer.Message]:
    ticks = Ticks(3, base=NOW)
    for number in range(count):
        times = pa.array([NOW] * 5).to_numpy()
        yield number * every_s, partial(ticks.make, 5 * number, times)


async def test_latency_counts_from_when_a_message_was_due() -> None:
    """A plant that answers all of them at the end: who was due first has waited longest."""
    count, every_s = 11, 0.02

    async def late(connection: ServerConnection, numbers: list[int]) -> None:
        if len(numbers) == count:
            for number in numbers:
                await connection.send(ack(number, 5))

    async with fake_plant(late) as url:
        found = await deliver(url, messages(count, every_s), headers={})
    assert found.acknowledged == 5 * count
    assert found.sums.rows == 5 * count
    waited = found.latencies_s[0] - found.latencies_s[-1]
    assert waited > (count - 1) * every_s / 2
    assert found.seconds >= (count - 1) * every_s


async def test_a_message_is_sent_again_where_the_plant_asks_for_it() -> None:
    async def refuse_once(connection: ServerConnection, numbers: list[int]) -> None:
        if numbers == [1]:
            said = {"op": "error", "seq": 1, "code": "try_again", "retry_after_s": 0.01}
            await connection.send(json.dumps(said))
        else:
            await connection.send(ack(numbers[-1], 5))

    async with fake_plant(refuse_once) as url:
        found = await deliver(url, messages(2, 0.0), headers={})
    assert (found.refusals, found.acknowledged, len(found.latencies_s)) == (1, 10, 2)


async def test_a_plant_that_hangs_up_or_says_nothing_ends_the_run() -> None:
    async def hang_up(connection: ServerConnection, numbers: list[int]) -> None:
        if len(numbers) == 2:
            await connection.close(1012)
        else:
            await connection.send(ack(numbers[0], 5))

    async def silence(connection: ServerConnection, numbers: list[int]) -> None:
        del connection, numbers

    async with fake_plant(hang_up) as url:
        with pytest.raises(Unreachable, match="hung up: 5 ticks were acknowledged before"):
            await deliver(url, messages(3, 0.01), headers={})
    async with fake_plant(silence) as url:
        with pytest.raises(Unreachable, match=r"nothing was heard for 0.05 s; 0 ticks"):
            await deliver(url, messages(1, 0.0), headers={}, stall_s=0.05)
    with pytest.raises(Unreachable, match="does not answer"):
        await deliver("ws://127.0.0.1:1", messages(1, 0.0), headers={})


async def test_a_plant_that_does_not_keep_up_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "BEHIND_TICKS_MAX", 20)

    async def silence(connection: ServerConnection, numbers: list[int]) -> None:
        del connection, numbers
        await asyncio.sleep(0)

    async with fake_plant(silence) as url:
        with pytest.raises(Unreachable, match="does not keep up: 25 ticks wait"):
            await deliver(url, messages(50, 0.0), headers={})


# -- what was stored, and what a run came to -------------------------------------------------------


def stored(*ids: str | None) -> pa.Table:
    count = len(ids)
    return pa.table(
        {"id": pa.array(ids, pa.string()), "price": [1.5] * count, "size": [2.0] * count}
    )


def test_only_ticks_of_the_run_count_and_each_once() -> None:
    ids = [str(NOW + n) for n in (0, 1, 1, 3, 4)]
    found = readback._found([stored(*ids, "t7", None), stored(str(NOW - 1))], NOW, 4)
    assert found == readback.Found(Sums(4, 8, 600), doubled=1, missing=1)


def report(**changes: Any) -> Report:
    sums = Sums(1_010, 5, 7)
    whole = Report(
        scenario=choose("baseline", instruments=10, rate=1_000, seconds=1),
        url="http://x", own=True, warm_up=10,
        delivery=Delivery([0.001] * 100, [0.0] * 100, acknowledged=1_000, sums=sums, seconds=2.0),
        found=readback.Found(sums, 0, 0), counted=1_010, used=usage([]), sender_cores=0.1,
    )  # fmt: skip
    return replace(whole, **changes)


def failed(found: Report) -> list[str]:
    return [check.name for check in found.checks() if not check.ok]


def test_a_loss_a_double_and_a_wrong_price_fail_a_run() -> None:
    good = report()
    assert good.ok
    assert failed(good) == []
    assert good.rate == 500
    sums = good.found.sums
    assert failed(report(found=readback.Found(replace(sums, cents=8), 0, 0))) == [
        "prices and sizes as sent"
    ]
    assert failed(report(found=readback.Found(sums, 1, 1))) == ["all read back, once"]
    assert failed(report(counted=1_009)) == ["counted by the plant's metrics"]
    assert failed(report(delivery=replace(good.delivery, acknowledged=999))) == ["all acknowledged"]


def test_limits_of_latency_and_drift_are_kept_or_not() -> None:
    slow = Delivery([0.2] * 100, acknowledged=1_000, sums=Sums(1_010, 5, 7), seconds=2.0)
    assert failed(report(delivery=slow)) == ["p99 of acknowledgements"]
    limits = SCENARIOS["sustained"].limits
    scenario = replace(report().scenario, limits=limits)
    drifting = replace(slow, latencies_s=[0.01] * 50 + [0.09] * 50)
    assert failed(report(scenario=scenario, delivery=drifting)) == ["no drift of latency"]
    small = replace(slow, latencies_s=[0.001] * 50 + [0.009] * 50)
    assert failed(report(scenario=scenario, delivery=small)) == []


def test_memory_has_a_slope_over_the_second_half_only() -> None:
    def sample(at: int, mib: float) -> Sample:
        values = {"process_cpu_seconds_total": at / 4, "process_resident_memory_bytes": mib * MIB}
        return Sample(float(at), values)

    flat = usage([sample(at, 100 if at < 5 else 200) for at in range(11)])
    assert flat.cores == pytest.approx(0.25)
    assert flat.slope_mib_min == pytest.approx(0.0, abs=1e-6)
    rising = usage([sample(at, 100 + at) for at in range(11)])
    assert rising.slope_mib_min == pytest.approx(60.0)
    assert rising.growth == pytest.approx(5 / 107.5)
    for limit, said in ((0.05, []), (0.04, ["memory is flat"])):
        scenario = replace(report().scenario, limits=Limits(growth=limit))
        assert failed(report(scenario=scenario, used=rising)) == said


def test_a_scrape_is_added_up_over_series_and_by_table() -> None:
    text = 'a_total{table="trades",feed="x"} 2\na_total{table="quotes",feed="x"} 3\nb 4.5\n# c 1\n'
    assert read_sums(text) == {"a_total": 5, "a_total{trades}": 2, "a_total{quotes}": 3, "b": 4.5}


# -- the command -----------------------------------------------------------------------------------


def counts(found: dict[str, Any]) -> list[Any]:
    names = ("sent", "acknowledged", "read_back", "duplicates", "rejected")
    return [found[name] for name in names]


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_the_command_starts_a_plant_loads_it_and_reads_everything_back(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    load = ("bench", "load", "--rate", "4000", "--seconds", "0.5", "--instruments", "20", "--json")
    ran = run(capfdbinary, *load)
    found = ran.json()
    assert counts(found) == [2_000, 2_000, 2_000, 0, 0]
    assert found["counted_by_plant"] == 2_020
    assert found["own_plant"]
    assert found["plant_cores"] > 0
    lost = [c for c in found["checks"] if not c["ok"] and c["name"] != "p99 of acknowledgements"]
    assert lost == []
    assert ran.code == (0 if found["ok"] else 1)


@pytest.mark.slow
@pytest.mark.timeout(90)
def test_a_running_plant_is_loaded_and_keeps_the_ticks(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with serve_plant("serve", "--feed", "none", "--data", tmp_path) as plant:
        load = (
            "bench",
            "load",
            "burst",
            "--seconds",
            "1",
            "--instruments",
            "3",
            "--url",
            plant.url,
        )
        done = [run(capfdbinary, *load, "--json"), run(capfdbinary, *load)]
    found = done[0].json()
    assert counts(found) == [10_000, 10_000, 10_000, 0, 0]
    assert found["counted_by_plant"] is None
    assert found["ok"]
    assert done[0].code == done[1].code == 0
    assert "read back     10,000\n" in done[1].out


def test_what_cannot_be_is_said_in_a_sentence(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "something").touch()
    full = run(capfdbinary, "bench", "load", "--data", tmp_path)
    assert (full.code, "is not empty" in full.err) == (2, True)
    gone = run(capfdbinary, "bench", "load", "--url", "http://127.0.0.1:1")
    assert (gone.code, "does not answer" in gone.err) == (1, True)
    suite = run(capfdbinary, "bench", "--rate", "5")
    assert (suite.code, "except with `bench load`" in suite.err) == (2, True)
    both = run(capfdbinary, "bench", "load", "--url", "http://x", "--data", "y")
    assert (both.code, "not both" in both.err) == (2, True)
