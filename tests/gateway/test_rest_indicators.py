"""`GET /v1/indicators`: the document, pages, formats and refusals."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from plant_fakes import START, FakePlant

from tickplant.gateway.rest.models import IndicatorsPage

Client = httpx.AsyncClient
MINUTE = 60 * 10**9
PRICES = (10.0, 11.0, 13.0, 16.0, 20.0)


async def seed(client: Client) -> None:
    rows = [
        {"symbol": "ACME", "price": price, "size": 2, "ts_event": START + place * MINUTE}
        for place, price in enumerate(PRICES)
    ]
    answer = await client.post("/v1/trades", json=rows)
    assert answer.status_code == 201, answer.text


async def get(client: Client, query: str, **headers: str) -> httpx.Response:
    answer = await client.get(f"/v1/indicators/acme?{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


async def test_the_document_has_the_bars_and_the_values(client: Client) -> None:
    await seed(client)
    body = (await get(client, "name=sma:2,vwap:2&limit=2")).json()
    assert body == {
        "symbol": "ACME",
        "venue": "ORIGIN",
        "interval": "1m",
        "basis": "trade",
        "timezone": "UTC",
        "day_start": "00:00",
        "indicators": [
            {"name": "sma", "period": 2, "source": "close", "window": 2, "columns": ["sma"]},
            {"name": "vwap", "period": 2, "window": 2, "columns": ["vwap"]},
        ],
        "values": body["values"],
        "next_page_token": None,
    }
    first, last = body["values"]
    assert {name: first[name] for name in ("start", "end", "revision", "close", "volume")} == {
        "start": "2014-05-13T16:56:00Z",
        "end": "2014-05-13T16:57:00Z",
        "revision": 4,
        "close": 16.0,
        "volume": 2.0,
    }
    assert (first["sma"], first["vwap"]) == (14.5, 14.5)
    assert last["state"] == "forming"
    IndicatorsPage.model_validate(body)


async def test_too_few_bars_are_null(client: Client) -> None:
    await seed(client)
    body = (await get(client, "name=bbands&period=4&deviations=1")).json()
    assert [row["middle"] for row in body["values"]] == [None, None, None, 12.5, 15.0]
    assert body["values"][0]["lower"] is None
    assert body["values"][3]["upper"] == pytest.approx(12.5 + 5.25**0.5)


@pytest.mark.parametrize("over", ["bars", "events"])
async def test_pages_join_without_a_seam(client: Client, plant: FakePlant, over: str) -> None:
    await seed(client)
    query = f"name=sma:3&start={START - MINUTE}&over={over}"
    whole = (await get(client, query)).json()["values"]
    assert [row["sma"] for row in whole] == [None, None, 34 / 3, 40 / 3, 49 / 3]
    joined: list[Any] = []
    token = ""
    while token is not None:
        page = (await get(client, f"{query}&limit=2{token and '&page_token='}{token}")).json()
        joined += page["values"]
        token = page["next_page_token"]
        # A trade that arrives between the pages is in none of them.
        rows = [{"symbol": "ACME", "price": 99, "size": 1, "ts_event": START + 1}]
        await client.post("/v1/trades", json=rows)
    assert [row["sma"] for row in joined] == [row["sma"] for row in whole]


async def test_events_have_a_price_each(client: Client) -> None:
    await seed(client)
    body = (await get(client, "name=sma:5&over=events&limit=1")).json()
    assert body == {
        "symbol": "ACME",
        "venue": "ORIGIN",
        "basis": "trade",
        "indicators": [
            {"name": "sma", "period": 5, "source": "close", "window": 5, "columns": ["sma"]}
        ],
        "values": [{"ts_event": "2014-05-13T16:57:20Z", "seq": 5, "price": 20.0, "sma": 14.0}],
        "next_page_token": None,
    }
    IndicatorsPage.model_validate(body)


@pytest.mark.parametrize("over", ["bars", "events"])
async def test_all_formats_have_the_same_values(client: Client, over: str) -> None:
    await seed(client)
    query = f"name=macd:2:3:2,sma:2,sma:4&over={over}"
    rows = (await get(client, query)).json()["values"]
    names = ["macd", "signal", "histogram", "sma_2", "sma_4"]
    arrow = pa.ipc.open_stream((await get(client, query + "&format=arrow")).content).read_all()
    parquet = pq.read_table(io.BytesIO((await get(client, query + "&format=parquet")).content))
    csv = (await get(client, query, accept="text/csv")).text.splitlines()
    assert arrow.column_names[-5:] == names
    for name in names:
        assert arrow[name].to_pylist() == [row[name] for row in rows] == parquet[name].to_pylist()
    assert csv[0].endswith(",".join(names))
    for line, row in zip(csv[1:], rows, strict=True):
        cells = line.split(",")[-5:]
        assert [float(cell) if cell else None for cell in cells] == [row[name] for name in names]


REFUSED = [
    ("", "name", "an empty value is not allowed; allowed is sma, ema, wma, vwap, rsi"),
    ("name=foo", "name", "name: foo is not allowed; allowed is sma"),
    ("name=sma&fast=3", "fast", "allowed is only period, source with sma"),
    ("name=sma&period=0", "period", "a whole number from 2 to 1000"),
    ("name=sma&period=1e2", "period", "a whole number"),
    ("name=bbands&deviations=inf", "deviations", "a number above 0"),
    ("name=sma&over=ticks", "over", "bars, events"),
    ("name=sma&over=events&interval=5m", "interval", "only with over=bars"),
    ("name=sma&over=events&fill=null", "fill", "only with over=bars"),
    ("name=sma&over=events&calendar=XNYS", "calendar", "only with over=bars"),
    ("name=atr&over=events", "name", "sma, ema, wma, rsi, macd, bbands over events"),
    ("name=vwap&basis=mid", "name", "with basis mid"),
    ("name=sma&interval=7q", "interval", "7q"),
    ("name=sma&name=ema", "name", "given twice"),
    ("name=sma&page_token=x", "page_token", "page_token"),
    ("name=sma&colour=red", "colour", "no such parameter"),
    (f"name={'sma,' * 127}ema", "name", "name"),
]


@pytest.mark.parametrize(("query", "named", "said"), REFUSED)
async def test_bad_input_is_a_400_that_names_the_parameter(
    client: Client, query: str, named: str, said: str
) -> None:
    await seed(client)
    answer = await client.get(f"/v1/indicators/ACME?{query}")
    assert answer.status_code == 400, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in problem["detail"]
    assert problem["errors"][0]["loc"] == ["query", named]


async def test_a_token_is_of_the_indicators_that_it_came_from(client: Client) -> None:
    await seed(client)
    page = (await get(client, f"name=sma:2&start={START}&limit=2")).json()
    token = page["next_page_token"]
    other = await client.get(f"/v1/indicators/ACME?name=sma:3&start={START}&page_token={token}")
    assert other.status_code == 400
    assert (await client.get("/v1/indicators/NOPE?name=sma")).status_code == 404
