"""Statistics: checked, stored, kept over a restart and in files, read by name, watched."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import ClientConnection, connect

from cli_kit import run
from plant_kit import NOW, open_plant, submit
from stream_fakes import Served
from tickplant import Client, InvalidParameter
from tickplant.checks.batch import Bounds, check_batch
from tickplant.checks.stats import parse_stat_names
from tickplant.config import CheckSettings, StoreSettings, load
from tickplant.formats.parsed import incoming_batch
from tickplant.gateway.app import create_app
from tickplant.library import open_data
from tickplant.model.errors import ConfigError
from tickplant.model.events import SCHEMAS
from tickplant.model.times import format_time
from tickplant.plant import stats
from tickplant.plant.latest import MINUTE
from tickplant.plant.plant import Plant
from tickplant.store.contract import NOW as PRESENT
from tickplant.store.contract import AsOf, Cursor
from tickplant.store.retention import days_kept

SECOND = 1_000_000_000
Told = tuple[str, str, float]
"""Symbol, name and value; the n-th is of second n."""

TOLD: list[Told] = [
    ("A", "open_interest", 10.0),
    ("A", "volume", 5.0),
    ("B", "volume", 7.0),
    ("A", "open_interest", 11.0),
    ("A", "funding_rate", -0.0001),
    ("A", "volume", 6.0),
]


def tell(plant: Plant, told: list[Told], first: int = 0) -> None:
    symbols, names, values = zip(*told, strict=True)
    times = [NOW - 3600 * SECOND + (first + at) * SECOND for at in range(len(told))]
    receipt = submit(plant, "stats", symbol=symbols, name=names, value=values, ts_event=times)
    assert (receipt.accepted, receipt.rejected) == (len(told), ())


def shown(table: pa.Table) -> list[tuple[str, float]]:
    return list(zip(table["name"].to_pylist(), table["value"].to_pylist(), strict=True))


def of(told: list[Told], symbol: str, *names: str) -> list[tuple[str, float]]:
    return [(n, v) for s, n, v in told if s == symbol and (not names or n in names)]


def last(told: list[Told], *symbols: str) -> list[tuple[str, float]]:
    return [pair for symbol in symbols for pair in sorted(dict(of(told, symbol)).items())]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (None, 1.0, "name_missing"),
        ("", 1.0, "name_invalid"),
        ("Open interest", 1.0, "name_invalid"),
        ("x" * 65, 1.0, "name_invalid"),
        ("ünits", 1.0, "name_invalid"),
        ("volume\n", 1.0, "name_invalid"),
        ("volume", None, "value_missing"),
        ("rate", math.nan, "value_not_finite"),
        ("rate", -math.inf, "value_not_finite"),
        ("open_interest", -1.0, "value_negative"),
        ("open_interest", 100.5, "value_too_large"),
        ("open_interest_high", 101.0, "value_too_large"),
        ("volume", -1.0, "value_negative"),
    ],
)
def test_bad_statistics_are_refused_with_the_reason(
    name: str | None, value: float | None, reason: str
) -> None:
    batch = incoming_batch(
        "stats",
        symbol=["A", "A", "A"],
        name=["open_interest", name, "x" * 64],
        value=[100.0, value, -1e300],
    )
    bounds = Bounds(open_interest_max=100.0)
    checked = check_batch("stats", batch, venue="V", bounds=bounds, now_ns=NOW)
    assert {place: one.reason for place, one in checked.refused(batch).items()} == {1: reason}
    assert checked.refused(batch)[1].detail.startswith(reason.partition("_")[0])


def test_open_interest_is_bounded_by_venue() -> None:
    batch = incoming_batch(
        "stats",
        symbol=["A"] * 6,
        venue=[None, "deribit", "OTHER", "DERIBIT", None, "DERIBIT"],
        name=["open_interest"] * 5 + ["volume"],
        value=[2e8, 2e9, 2e8, 2e12, 1e8, 2e15],
    )
    bounds = Bounds.of(CheckSettings())  # as it is by default
    refused = check_batch("stats", batch, venue="NFO", bounds=bounds, now_ns=NOW).refused(batch)
    assert {place: one.detail.partition("number ")[2] for place, one in refused.items()} == {
        0: "from 0 to 1e+08 for open_interest",
        2: "from 0 to 1e+08 for open_interest",
        3: "from 0 to 1e+12 for open_interest",
        5: "from 0 to 1e+15 for volume",
    }
    refused = check_batch("stats", batch, venue="DERIBIT", bounds=bounds, now_ns=NOW).refused(batch)
    assert sorted(refused) == [2, 3, 5]


@pytest.mark.parametrize("text", ["DERIBIT", "DERIBIT=many", "A=-1", "A=inf", "=5", "A=1,B"])
def test_limits_by_venue_must_be_numbers(text: str) -> None:
    with pytest.raises(ConfigError, match=r"open_interest_venues.*VENUE=NUMBER"):
        load(environ={"TICKPLANT_CHECKS_OPEN_INTEREST_VENUES": text})


def test_a_plant_that_is_started_again_has_them(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        tell(plant, TOLD[:3])
        plant.store.checkpoint(plant.catalog.encode())
        tell(plant, TOLD[3:], 3)
        plant._archive_all = lambda: None  # type: ignore[method-assign]
    with open_plant(tmp_path) as plant:
        a, b = (plant.registry.resolve(symbol) for symbol in "AB")
        history = plant.history
        assert shown(history.stats(a)) == of(TOLD, "A")
        assert shown(history.stats(a, names={"volume"}, descending=True, limit=1)) == [
            ("volume", 6.0)
        ]
        assert shown(history.last_stats([b, a])) == last(TOLD, "B", "A")
        assert plant.store.span("trades") is None
        assert plant.history.candles(a, MINUTE).table.num_rows == 0
        plant.store.checkpoint(plant.catalog.encode())
        assert plant.store.status().tables["stats"].rows_archived == len(TOLD)


def test_the_same_key_is_stored_once(tmp_path: Path) -> None:
    with open_plant(tmp_path) as plant:
        row = {"symbol": ["A"], "name": ["volume"], "value": [1.0], "key": [b"k"]}
        assert submit(plant, "stats", **row).accepted == 1
        assert submit(plant, "stats", **row).duplicates == 1


class Rows:
    """Statistics of one instrument as a list of (name, value), the n-th of time and number n."""

    def __init__(self, told: list[tuple[str, int]]) -> None:
        self.told = told

    def scan(
        self,
        table: str,
        instrument: int,
        *,
        limit: int | None,
        after: Cursor | None,
        descending: bool = False,
        as_of: AsOf = PRESENT,
    ) -> pa.Table:
        places = list(range(len(self.told)))
        places = places[::-1] if descending else places
        places = places if after is None else places[places.index(after.seq) + 1 :]
        rows = [
            {f.name: at if f.name in ("ts_event", "seq") else 0 for f in SCHEMAS["stats"]}
            | {"name": self.told[at][0], "value": float(self.told[at][1])}
            for at in places[:limit]
        ]
        return pa.Table.from_pylist(rows, schema=SCHEMAS["stats"])


@settings(deadline=None)
@given(
    told=st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 9)), max_size=40),
    wanted=st.none() | st.sets(st.sampled_from("wxyz"), min_size=1),
    limit=st.none() | st.integers(1, 9),
    chunk=st.integers(1, 9),
)
def test_reading_by_name_is_filtering(
    told: list[tuple[str, int]], wanted: set[str] | None, limit: int | None, chunk: int
) -> None:
    store: Any = Rows(told)
    kept = [(n, v) for n, v in told if wanted is None or n in wanted]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stats, "CHUNK_ROWS", chunk)
        assert shown(stats.read_stats(store, 1, wanted, limit=limit)) == kept[:limit]
        assert shown(stats.last_stats(store, [1], wanted, PRESENT)) == sorted(dict(kept).items())
        patch.setattr(stats, "LOOK_BACK_ROWS", 10)
        near = [(n, v) for n, v in told[-10:] if (n, v) in kept]
        assert shown(stats.last_stats(store, [1], wanted, PRESENT)) == sorted(dict(near).items())


def test_names_are_read_from_a_text_or_one_by_one() -> None:
    assert parse_stat_names(None) is None
    assert parse_stat_names("a, b_1") == parse_stat_names(["a", "b_1"]) == ("a", "b_1")
    for bad in ("", "a,,b", "A", ["a b"], []):
        with pytest.raises(InvalidParameter, match="name"):
            parse_stat_names(bad)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with open_plant(tmp_path_factory.mktemp("stats")) as plant:
        tell(plant, TOLD)
        with Served(create_app(plant)) as running, Client(running.url) as client:
            yield plant, running, client


def test_the_routes_give_every_format_and_pages(served: Any) -> None:
    _, _, client = served
    http = client._http
    first = http.get("/v1/stats/ORIGIN:a", params={"limit": 3}).json()
    assert {k: first[k] for k in ("symbol", "venue")} == {"symbol": "A", "venue": "ORIGIN"}
    asked = {"limit": 3, "page_token": first["next_page_token"]}
    rest = http.get("/v1/stats/A", params=asked).json()
    rows = first["stats"] + rest["stats"]
    assert [(r["name"], r["value"]) for r in rows] == of(TOLD, "A")
    assert rest["next_page_token"] is None
    assert rows[0] == {
        "ts_event": format_time(NOW - 3600 * SECOND), "ts_recv": format_time(NOW), "seq": 1,
        "name": "open_interest", "value": 10.0, "flags": [],
    }  # fmt: skip
    csv = http.get("/v1/stats/A?name=volume&format=csv").text.splitlines()
    assert csv[0] == "symbol,venue,ts_event,ts_recv,seq,name,value,flags"
    assert [line.split(",")[6] for line in csv[1:]] == ["5", "6"]
    arrow = pa.ipc.open_stream(http.get("/v1/stats/A?format=arrow").content).read_all()
    parquet = pq.read_table(io.BytesIO(http.get("/v1/stats/A?format=parquet").content))
    assert shown(arrow) == shown(parquet) == of(TOLD, "A")
    newest = http.get("/v1/stats?symbols=b,A").json()["stats"]
    assert [(r["symbol"], r["name"], r["value"]) for r in newest] == [
        ("B", "volume", 7.0), ("A", "funding_rate", -0.0001), ("A", "open_interest", 11.0),
        ("A", "volume", 6.0),
    ]  # fmt: skip
    for path in ("/v1/stats", "/v1/stats/A?name=A", "/v1/stats?symbols=A&name=,", "/v1/stats?n=1"):
        assert http.get(path).status_code == 400
    assert http.get("/v1/stats/NOPE").status_code == 404


@pytest.mark.parametrize(
    ("media", "body"),
    [
        ("application/json", '[{"symbol":"J","name":"volume","value":"1.5"}, {"symbol":"J"}]'),
        ("application/json", '{"stats":[{"symbol":"J","name":"volume","value":1.5},{}]}'),
        ("application/x-ndjson", '{"symbol":"J","name":"volume","value":1.5}\n{"value":1}\n'),
        ("text/csv", "symbol,name,value\nJ,volume,1.5\nJ,,2\n"),
    ],
)
def test_rows_are_posted_in_every_form(served: Any, media: str, body: str) -> None:
    plant, _, client = served
    answer = client._http.post("/v1/stats", content=body, headers={"content-type": media})
    assert answer.status_code == 201
    found = answer.json()
    assert (found["accepted"], [one["index"] for one in found["rejected"]]) == (1, [1])
    rows = plant.history.stats(plant.registry.resolve("J"))
    assert rows["seq"][-1].as_py() == found["seq_first"]
    assert shown(rows)[-1] == ("volume", 1.5)


def test_arrow_and_many_alike_rows_are_posted(served: Any) -> None:
    plant, _, client = served
    values = [float(value) for value in range(100)]
    rows = [{"symbol": "K", "name": "funding_rate", "value": value} for value in values]
    assert (
        client.post_stats(rows).accepted == client.post_stats(pa.Table.from_pylist(rows)).accepted
    )
    found = plant.history.stats(plant.registry.resolve("K"))
    assert found["value"].to_pylist() == 2 * values
    assert client.quarantine(table="stats", limit=1).about == {}


def hear(socket: ClientConnection, op: str) -> list[dict[str, Any]]:
    """Return the events that come before a message of this kind."""
    events: list[dict[str, Any]] = []
    while (message := json.loads(socket.recv(10)))["op"] != op:
        events += message.get("events", [])
    return events


def test_the_stream_replays_and_goes_on(served: Any) -> None:
    plant, running, _ = served
    with connect(running.ws) as socket:
        ask = {"op": "subscribe", "channel": "stats", "symbols": ["A"]}
        second = format_time(NOW - 3599 * SECOND)
        socket.send(json.dumps({**ask, "id": 1, "from": second}))
        past = hear(socket, "live")
        assert [(e["name"], e["value"]) for e in past] == of(TOLD, "A")[1:]
        socket.send(json.dumps({"op": "unsubscribe", "id": 1}))
        socket.send(json.dumps({**ask, "id": 2, "snapshot": True}))
        hear(socket, "subscribed")
        submit(plant, "stats", symbol=["B", "A"], name=["volume"] * 2, value=[1.0, 9.0])
        events: list[dict[str, Any]] = []
        while len(events) < 4:
            events += json.loads(socket.recv(10)).get("events", [])
    newest = dict(of(TOLD, "A"))
    assert {e["name"]: e["value"] for e in events[:3]} == newest
    assert [e["flags"] for e in events] == [["snapshot"]] * 3 + [[]]
    assert (events[3]["symbol"], events[3]["value"]) == ("A", 9.0)


def test_files_commands_and_sql(tmp_path: Path, capfdbinary: Any) -> None:
    file, data = tmp_path / "told.csv", tmp_path / "data"
    file.write_text(
        "time,ticker,stat,value\n" + "".join(
            f"{format_time(NOW - 3600 * SECOND + at * SECOND)},{s},{n},{v!r}\n"
            for at, (s, n, v) in enumerate(TOLD)
        )
    )  # fmt: skip
    for accepted in (len(TOLD), 0):
        ran = run(capfdbinary, "import", file, "--table", "stats", "--data", data, "--json")
        assert (ran.code, ran.json()["accepted"]) == (0, accepted), ran.err
    newest = run(capfdbinary, "stats", "A", "--data", data, "--json").json()["stats"]
    assert [(r["name"], r["value"]) for r in newest] == last(TOLD, "A")
    ran = run(capfdbinary, "stats", "A", "--all", "--name", "volume", "--data", data, "--json")
    assert [r["value"] for r in ran.json()["stats"]] == [5.0, 6.0]
    assert run(capfdbinary, "stats", "A", "--limit", "1", "--data", data).code != 0
    ran = run(capfdbinary, "export", "stats", "*", "--format", "ndjson", "--data", data)
    assert [(r["symbol"], r["name"], r["value"]) for r in ran.lines()] == sorted(
        TOLD, key=lambda told: told[0]
    )
    with open_data(data) as folder:
        found = folder.sql("SELECT name, max(value) AS v FROM stats WHERE symbol = 'A' GROUP BY 1")
        assert {row["name"]: row["v"] for row in found} == {
            "open_interest": 11.0, "volume": 6.0, "funding_rate": -0.0001,
        }  # fmt: skip


def test_days_of_statistics_are_dropped_by_their_own_setting() -> None:
    kept = days_kept(StoreSettings(stats_retention_days=3))
    assert (kept["stats"], kept["trades"]) == (3, 0)
