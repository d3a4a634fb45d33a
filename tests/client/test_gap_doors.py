"""A restart and what a feed missed, the same in every answer that tells of gaps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import tickplant
from cli_kit import run
from plant_kit import WAIT_S, Clock, open_plant, submit
from stream_fakes import Served
from tickplant.client import Client
from tickplant.feeds.contract import FeedState
from tickplant.gateway.app import create_app
from tickplant.gateway.rest.models import FeedModel
from tickplant.model.errors import InvalidParameter
from tickplant.model.times import format_time
from tickplant.plant.feed_notes import Alive, Begun, Finished, Hole, Note, Repair
from tickplant.plant.plant import Plant

BASE = 1_715_040_000_000_000_000
SECOND = 10**9
NAMES = ("feed", "symbol", "venue", "start", "end", "duration_s", "cause", "status", "events",
         "detail")  # fmt: skip


def at(seconds: float) -> str:
    return format_time(BASE + round(seconds * SECOND))


WANTED = [dict(zip(NAMES, values, strict=True)) for values in (
    ("venue", None, None, at(20), at(20.5), 0.5, "stall", "repaired", 7, "no heartbeat"),
    ("venue", "A", "X", at(30), at(31), 1.0, "sequence", "open", None, None),
    ("push", "A", "ORIGIN", at(5), at(60), 55.0, "restart", "open", None, None),
)]  # fmt: skip


def push(plant: Plant, *seconds: float) -> None:
    times = [BASE + round(s * SECOND) for s in seconds]
    submit(plant, symbol=["A"] * len(times), ts_event=times, price=[1.0] * len(times))


def say(plant: Plant, note: Note) -> int | None:
    return plant.tell(note).result(WAIT_S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder on which a plant ran twice; push sent rows in both runs."""
    path = tmp_path_factory.mktemp("gaps")
    clock = Clock(BASE + 90 * SECOND)
    with open_plant(path, clock) as plant:
        push(plant, 0, 5)
        say(plant, Begun("venue", BASE, [("A", "X")]))
        say(plant, Alive("venue", BASE + 40 * SECOND))
        half = BASE + 20 * SECOND + SECOND // 2
        stall = say(plant, Hole("venue", BASE + 20 * SECOND, half, "stall", None, "no heartbeat"))
        second = BASE + 30 * SECOND
        say(plant, Hole("venue", second, second + SECOND, "sequence", [("A", "X")]))
        assert stall is not None
        say(plant, Repair("venue", stall, "repaired", events=7))
        say(plant, Finished("venue"))
    with open_plant(path, clock) as plant:
        push(plant, 60, 65)
    return path


@pytest.fixture(scope="module")
def client(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with (
        open_plant(folder, Clock(BASE + 90 * SECOND)) as plant,
        Served(create_app(plant)) as served,
        Client(served.url) as made,
    ):
        yield made


def shown(gaps: Any) -> list[dict[str, Any]]:
    rows = [dict(gap) for gap in gaps]
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
    assert all(row["changed"] >= row["id"] and row["noticed"] == at(90) for row in rows)
    return [{name: row[name] for name in NAMES} for row in rows]


def test_gaps_are_in_a_folder(folder: Path) -> None:
    with tickplant.open(folder) as opened:
        assert shown(opened.gaps()) == WANTED
        whole, own, restart = opened.gaps()
        assert shown(opened.gaps(symbol="X:A")) == WANTED[:2]
        assert shown(opened.gaps(symbol="ORIGIN:A")) == WANTED[2:]
        assert shown(opened.gaps(as_of=own["id"])) == [
            WANTED[0] | {"status": "open", "events": None}, WANTED[1],
        ]  # fmt: skip
        assert shown(opened.gaps(as_of=whole["changed"])) == WANTED[:2]
        assert restart["id"] > whole["changed"]


def test_the_latest_gaps_come_first_where_that_is_asked_for(
    folder: Path, client: Client, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with tickplant.open(folder) as opened:
        rising = [dict(gap) for gap in opened.gaps()]
        falling = rising[::-1]
        assert [dict(gap) for gap in opened.gaps(order="desc")] == falling
        assert [dict(gap) for gap in opened.gaps(order="desc", limit=1)] == falling[:1]
        with pytest.raises(InvalidParameter, match="asc, desc"):
            opened.gaps(order="down")
    assert [dict(gap) for gap in client.gaps(order="desc")] == falling
    command = run(capfdbinary, "gaps", "--url", client.url, "--order", "desc", "--json").json()
    assert command["gaps"] == falling
    for order, wanted in (("asc", rising), ("desc", falling)):
        asked = {"order": order, "limit": 1}
        paged = []
        while True:
            page = httpx.get(f"{client.url}/v1/gaps", params=asked).json()
            paged += page["gaps"]
            if page["next_page_token"] is None:
                break
            asked["page_token"] = page["next_page_token"]
        assert paged == wanted


def test_gaps_are_a_table_of_sql(folder: Path) -> None:
    with tickplant.open(folder) as opened:
        assert shown(opened.sql("FROM gaps ORDER BY id")) == WANTED
        assert opened.sql("FROM gaps").arrow().schema == opened.gaps().arrow().schema
        text = "SELECT cause, sum(duration_s) AS s FROM gaps WHERE status <> 'repaired' GROUP BY 1"
        assert sorted(map(tuple, map(dict.values, opened.sql(text)))) == [
            ("restart", 55.0), ("sequence", 1.0),
        ]  # fmt: skip
        text = (
            "SELECT id FROM gaps WHERE symbol IS NULL AND start < TIMESTAMP '2024-05-07 00:01:00'"
        )
        assert len(opened.sql(text)) == 1


def test_gaps_are_a_route(client: Client) -> None:
    assert shown(client.gaps()) == WANTED
    assert shown(client.gaps(feed="venue", status="open")) == WANTED[1:2]


def test_gaps_are_a_command(
    folder: Path, client: Client, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for source in (("--data", folder), ("--url", client.url)):
        assert shown(run(capfdbinary, "gaps", *source, "--json").json()["gaps"]) == WANTED
    source = ("--data", folder, "--feed", "push")
    printed = run(capfdbinary, "gaps", *source).out.splitlines()
    assert printed[0].split()[:4] == ["id", "feed", "symbol", "venue"]
    assert printed[1].split()[1:] == [
        "push", "A", "ORIGIN", at(5), at(60), "55", "restart", "open",
    ]  # fmt: skip
    assert len(printed) == 2
    text = run(capfdbinary, "gaps", *source, "--format", "csv").out
    assert [row["duration_s"] for row in csv.DictReader(io.StringIO(text))] == ["55"]
    wrong = run(capfdbinary, "gaps", "--data", folder, "--feed", "pull", "--json")
    assert (wrong.code, wrong.out) == (2, "")
    assert "known are push, venue" in wrong.problem()["detail"]


def test_gaps_are_told_of_on_the_stream(client: Client, folder: Path) -> None:
    # The plant behind `client` is the third run: its first row is a gap after the second.
    with client.stream("status") as stream:
        assert next(stream)["state"] == "running"
        row = {"symbol": "A", "price": 1.0, "ts_event": BASE + 80 * SECOND}
        client.post_trades(row)
        told = next(stream)
        wanted = {"feed": "push", "symbols": ["ORIGIN:A"], "start": at(65), "end": at(80)}
        assert {name: told[name] for name in wanted} == wanted
        assert (told["op"], told["cause"], told["status"]) == ("gap", "restart", "open")
        assert told["events"] is None
    [kept] = client.gaps(start=BASE + 65 * SECOND)
    assert (kept["id"], kept["noticed"]) == (told["id"], told["noticed"])


def test_what_feeds_show_of_their_coverage_is_documented(tmp_path: Path) -> None:
    feed = FeedState("venue", "X", "fake")
    with open_plant(tmp_path, Clock(BASE)) as plant:
        shown = feed.shown(BASE) | plant.feed_facts("venue")
        facts = FeedModel.model_validate(shown)
        assert (facts.watermark, facts.covered_since, facts.gaps_open) == (None, None, 0)
        say(plant, Begun("venue", BASE, [("A", "X")]))
        say(plant, Alive("venue", BASE + 40 * SECOND))
        say(plant, Hole("venue", BASE, BASE + SECOND, "stall"))
        facts = FeedModel.model_validate(feed.shown(BASE) | plant.feed_facts("venue"))
        assert (facts.watermark, facts.covered_since, facts.gaps_open) == (at(40), at(0), 1)
