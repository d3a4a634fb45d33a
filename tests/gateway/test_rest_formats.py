"""The four formats hold the same rows, read back by tools that know nothing of us."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plant_fakes import START, FakePlant

Client = httpx.AsyncClient
NS = pa.timestamp("ns", tz="UTC")
ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"

PATHS = [
    ("/v1/trades/AB", "trades"), ("/v1/quotes/AB", "quotes"), ("/v1/candles/AB", "candles"),
    ("/v1/quarantine", "quarantine"), ("/v1/instruments", "instruments"), ("/v1/gaps", "gaps"),
    ("/v1/latest?symbols=AB", "latest"),
]  # fmt: skip


@pytest.fixture(autouse=True)
async def some_data(client: Client, plant: FakePlant) -> None:
    rows = [
        {"symbol": "AB", "price": 0.1 + 0.2, "size": 3, "ts_event": START + 1, "id": 'quo"te,d',
         "side": "buy", "conditions": "X"},
        {"symbol": "AB", "price": 1e-7, "ts_event": START + 2 * 10**11},
        {"symbol": "AB", "price": -1},
    ]  # fmt: skip
    await client.post("/v1/trades", json=rows)
    await client.post("/v1/quotes", json={"symbol": "AB", "ask_price": 2.5, "ts_event": START})
    await client.put("/v1/trades/AB/2", json={"size": 4})
    plant.miss(instrument=1, end=START + 10**9 // 4, events=3, detail='he said "no", twice')
    plant.miss()


def read_back(answer: httpx.Response) -> list[dict]:
    kind = answer.headers["content-type"]
    if kind == ARROW:
        return pa.ipc.open_stream(answer.content).read_all().to_pylist()
    if kind == PARQUET:
        return pq.read_table(io.BytesIO(answer.content)).to_pylist()
    assert kind == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize(("path", "key"), PATHS)
@pytest.mark.parametrize("form", ["csv", "arrow", "parquet"])
async def test_each_format_has_the_rows_of_the_json(
    client: Client, path: str, key: str, form: str
) -> None:
    as_json = (await client.get(path)).json()[key]
    answer = await client.get(path, params={**dict(httpx.URL(path).params), "format": form})
    rows = read_back(answer)
    assert len(rows) == len(as_json) > 0
    shared = set(rows[0]) & set(as_json[0]) - {"row", "age_s"}
    assert len(shared) >= 4
    for row, wanted in zip(rows, as_json, strict=True):
        for name in shared:
            assert same(row[name], wanted.get(name)), (name, row[name], wanted.get(name))


def same(value: object, wanted: object) -> bool:
    """Compare a value with JSON's, in the ways in which formats may differ."""
    if isinstance(value, datetime):
        return isinstance(wanted, str) and value == instant(wanted)
    if isinstance(value, str) and not isinstance(wanted, str):
        if isinstance(wanted, list):
            return value == "|".join(wanted)
        return value == "" if wanted is None else float(value) == wanted
    return value == wanted


def instant(text: str) -> object:
    # pyarrow gives pandas' nanosecond type where it is installed, which compares with datetime.
    import pandas as pd

    return pd.Timestamp(text)


async def test_times_are_nanoseconds_utc(client: Client) -> None:
    answer = await client.get("/v1/trades/AB", headers={"Accept": PARQUET})
    table = pq.read_table(io.BytesIO(answer.content))
    assert table.schema.field("ts_event").type == NS
    assert table["ts_event"].cast(pa.int64()).to_pylist() == [START + 1, START + 2 * 10**11]
    assert table["corrects"].to_pylist() == [None, 2]
    assert table["flags"].to_pylist() == [[], ["correction"]]
    assert table["symbol"].to_pylist() == ["AB", "AB"]


async def test_csv_is_plain(client: Client) -> None:
    lines = (await client.get("/v1/quotes/AB?format=csv")).text.splitlines()
    assert lines == [
        "symbol,venue,ts_event,ts_recv,seq,bid_price,bid_size,ask_price,ask_size,exchange,flags",
        "AB,ORIGIN,2014-05-13T16:53:20Z,2014-05-13T16:53:20Z,4,,,2.5,,,",
    ]


async def test_an_empty_page_still_has_its_columns(client: Client) -> None:
    for form in ("csv", "arrow", "parquet"):
        answer = await client.get(f"/v1/trades/AB?format={form}&end=5")
        assert answer.status_code == 200
        assert read_back(answer) == []


@pytest.mark.parametrize(("accept", "kind"), [
    ("", "application/json"), ("*/*", "application/json"), ("text/csv", "text/csv; charset=utf-8"),
    ("text/html, application/json;q=0.9, */*;q=0.1", "application/json"),
    ("application/json;q=0.5, text/csv;q=0.8", "text/csv; charset=utf-8"),
    (f"{ARROW}, application/json", ARROW), (PARQUET.upper(), PARQUET),
    ("application/*", "application/json"),
])  # fmt: skip
async def test_accept_chooses(client: Client, accept: str, kind: str) -> None:
    answer = await client.get("/v1/trades/AB", headers={"Accept": accept})
    assert answer.headers["content-type"] == kind
    assert "accept" in answer.headers["vary"].lower()


async def test_format_goes_before_accept(client: Client) -> None:
    answer = await client.get("/v1/trades/AB?format=csv", headers={"Accept": "application/json"})
    assert answer.headers["content-type"].startswith("text/csv")


async def test_the_next_page_is_named_in_headers(client: Client) -> None:
    url = "/v1/trades/AB?format=csv&limit=1&start=2014-05-13T00:00:00%2B00:00"
    first = await client.get(url)
    assert first.headers["x-next-page-token"]
    link = first.headers["link"]
    assert link.endswith('>; rel="next"')
    second = await client.get(link[1 : link.index(">")])
    (row,) = read_back(second)
    assert float(row["price"]) == 1e-7
    assert "link" not in second.headers


async def test_a_day_of_time_is_a_day(client: Client) -> None:
    text = (await client.get("/v1/trades/AB")).json()["trades"][1]["ts_event"]
    assert text == datetime.fromtimestamp(START / 1e9 + 200, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
