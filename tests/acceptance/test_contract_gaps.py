"""What the contract says of gaps, over a real server: two restarts, seen from outside."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from contract_kit import NOW_TEXT, Site, problem, site

DAY = "2024-05-07T"
RUNS = (("09:00:15", "09:01:45"), ("09:04:30", "09:05:30"), ("09:10:00", "09:10:30"))
GAPS = [("ACME", "09:01:45", "09:04:30", 165.0), ("OTHER", "09:01:45", "09:04:30", 165.0),
        ("ACME", "09:05:30", "09:10:00", 270.0)]  # fmt: skip


def ticks(times: tuple[str, ...], *symbols: str) -> list[dict[str, Any]]:
    return [
        {"symbol": symbol, "ts_event": f"{DAY}{time}Z", "price": 10.0}
        for symbol in symbols
        for time in times
    ]


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The third run of a plant; ACME was pushed in all of them, OTHER not in this one."""
    folder = tmp_path_factory.mktemp("gaps")
    for times in RUNS[:2]:
        with site(folder) as made:
            made.post("/v1/trades", ticks(times, "ACME", "OTHER"))
    with site(folder) as made:
        with made.stream() as talk:
            talk.ask("subscribe", id=1, channel="status")
            talk.hear()
            made.post("/v1/trades", ticks(RUNS[2], "ACME"))
            made.told = talk.hear()  # type: ignore[attr-defined]
        yield made


def test_each_restart_left_a_gap_of_what_was_pushed_again(plant: Site) -> None:
    gaps = plant.rows("/v1/gaps")
    assert [(g["symbol"], g["start"], g["end"], g["duration_s"]) for g in gaps] == [
        (symbol, f"{DAY}{start}Z", f"{DAY}{end}Z", seconds) for symbol, start, end, seconds in GAPS
    ]
    same = {"feed": "push", "venue": "ORIGIN", "cause": "restart", "status": "open",
            "noticed": NOW_TEXT, "events": None, "detail": None}  # fmt: skip
    for gap in gaps:
        assert {name: gap[name] for name in same} == same
        assert gap["changed"] >= gap["id"]


def test_bars_say_what_was_missed(plant: Site) -> None:
    query = {"interval": "1m", "fill": "null", "end": f"{DAY}09:06:00Z"}
    start = {"start": f"{DAY}09:00:00Z"}
    bars = plant.rows("/v1/candles/ACME", **query, **start)
    assert [(bar["count"], bar["state"], bar["coverage"]) for bar in bars] == [
        (1, "partial", 0.75), (1, "partial", 0.75), (0, "gap", 0.0), (0, "gap", 0.0),
        (1, "partial", 0.5), (1, "partial", 0.5),
    ]  # fmt: skip
    [gap, *_] = plant.rows("/v1/gaps", symbol="ACME")
    assert bars[1]["revision"] == gap["changed"]


def test_the_stream_told_of_it(plant: Site) -> None:
    *_, kept = plant.rows("/v1/gaps")
    told = plant.told  # type: ignore[attr-defined]
    assert (told["op"], told["symbols"]) == ("gap", ["ORIGIN:ACME"])
    shared = ("id", "feed", "start", "end", "cause", "noticed", "status", "events")
    assert {name: told[name] for name in shared} == {name: kept[name] for name in shared}


@pytest.mark.parametrize(("query", "wanted"), [
    ({"symbol": "other"}, [1]), ({"symbol": "ORIGIN:ACME"}, [0, 2]), ({"feed": "push"}, [0, 1, 2]),
    ({"status": "open"}, [0, 1, 2]), ({"status": "repaired"}, []),
    ({"start": f"{DAY}09:04:30Z"}, [2]), ({"start": f"{DAY}09:04:29.999999999Z"}, [0, 1, 2]),
    ({"end": f"{DAY}09:05:30Z"}, [0, 1]), ({"end": f"{DAY}09:05:30.000000001Z"}, [0, 1, 2]),
    ({"start": f"{DAY}09:02:00Z", "end": f"{DAY}09:02:00Z"}, [0, 1]),
])  # fmt: skip
def test_gaps_can_be_chosen(plant: Site, query: dict[str, str], wanted: list[int]) -> None:
    known = plant.rows("/v1/gaps")
    assert plant.rows("/v1/gaps", **query) == [known[place] for place in wanted]


def test_the_ledger_as_it_was_known(plant: Site) -> None:
    first, second, third = plant.rows("/v1/gaps")
    assert plant.rows("/v1/gaps", as_of=third["id"] - 1) == [first, second]
    assert plant.rows("/v1/gaps", as_of=first["id"] - 1) == []
    assert len(plant.rows("/v1/gaps", as_of=NOW_TEXT)) == 3


def test_pages_and_formats(plant: Site) -> None:
    whole = plant.rows("/v1/gaps")
    first = plant.get("/v1/gaps", limit=2)
    rest = plant.get("/v1/gaps", limit=2, page_token=first["next_page_token"])
    assert (first["gaps"] + rest["gaps"], rest["next_page_token"]) == (whole, None)
    ids = [gap["id"] for gap in whole]
    arrow = pa.ipc.open_stream(plant.http.get("/v1/gaps?format=arrow").content).read_all()
    assert arrow["id"].to_pylist() == ids
    assert arrow.schema.field("start").type == pa.timestamp("ns", "UTC")
    parquet = plant.http.get("/v1/gaps?format=parquet").content
    assert pa.parquet.read_table(io.BytesIO(parquet)).equals(arrow)
    rows = list(csv.DictReader(io.StringIO(plant.http.get("/v1/gaps?format=csv").text)))
    assert [(row["id"], row["start"]) for row in rows] == [
        (str(g["id"]), g["start"]) for g in whole
    ]


@pytest.mark.parametrize(("query", "status", "named"), [
    ("feed=pull", 404, "known are push"), ("symbol=ACMEE", 404, "ORIGIN:ACME"),
    ("status=shut", 400, "open, repairing, repaired, unrepairable"), ("start=today", 400, "zone"),
    (f"start={DAY}09:00:00Z&end={DAY}08:00:00Z", 400, "not before start"),
    ("limit=0", 400, "1 to 10000"), ("venue=X", 400, "no such parameter"),
    ("page_token=abc", 400, "next_page_token"), ("as_of=x", 400, "sequence number"),
    ("as_of=-5", 400, "sequence number"),
])  # fmt: skip
def test_what_is_refused_is_named(plant: Site, query: str, status: int, named: str) -> None:
    body = problem(plant.http.get(f"/v1/gaps?{query}"), status)
    assert named in body["detail"]
