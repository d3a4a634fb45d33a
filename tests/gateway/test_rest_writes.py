"""Rows in: receipts, every body format, corrections and cancels."""

from __future__ import annotations

import httpx
import pyarrow as pa
import pytest
from plant_fakes import START, FakePlant

Client = httpx.AsyncClient
CSV = b"symbol,price,size,id\nEURUSD,1.5,10,a\nEURUSD,1.25,,b\n"
NDJSON = (
    b'{"symbol": "EURUSD", "price": 1.5, "size": 10, "id": "a"}\n'
    b'{"symbol": "EURUSD", "price": 1.25, "id": "b"}\n'
)


def arrow_body() -> bytes:
    table = pa.table(
        {
            "symbol": ["EURUSD", "EURUSD"],
            "price": [1.5, 1.25],
            "size": [10.0, None],
            "id": ["a", "b"],
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(("media_type", "body"), [
    ("application/json", b'{"trades": [' + b",".join(NDJSON.splitlines()) + b"]}"),
    ("application/json", b"[" + b",".join(NDJSON.splitlines()) + b"]"),
    ("application/x-ndjson", NDJSON),
    ("text/csv", CSV),
    ("application/vnd.apache.arrow.stream", arrow_body()),
])  # fmt: skip
async def test_every_body_format_stores_the_same_rows(
    client: Client, media_type: str, body: bytes
) -> None:
    answer = await client.post("/v1/trades", content=body, headers={"Content-Type": media_type})
    assert answer.status_code == 201
    assert answer.json() == {
        "accepted": 2,
        "duplicates": 0,
        "rejected": [],
        "seq_first": 1,
        "seq_last": 2,
    }
    rows = (await client.get("/v1/trades/EURUSD")).json()["trades"]
    assert [(row["price"], row["size"], row["id"]) for row in rows] == [
        (1.5, 10.0, "a"),
        (1.25, None, "b"),
    ]


async def test_a_mixed_body_is_taken_in_part(client: Client) -> None:
    rows = [
        {"symbol": "A", "price": 1, "id": "x"},
        {"symbol": "A", "price": 0},
        {"symbol": "A", "price": 1, "id": "x"},
        {"symbol": "A", "price": "no"},
    ]
    body = (await client.post("/v1/trades", json=rows)).json()
    assert (body["accepted"], body["duplicates"]) == (1, 1)
    assert sorted(one["index"] for one in body["rejected"]) == [1, 3]
    assert all(set(one) == {"index", "reason", "detail"} for one in body["rejected"])


async def test_nothing_new_is_201_without_numbers(client: Client) -> None:
    row = {"symbol": "A", "price": 1, "id": "x"}
    await client.post("/v1/trades", json=row)
    answer = await client.post("/v1/trades", json=row)
    assert answer.status_code == 201
    assert answer.json() == {
        "accepted": 0,
        "duplicates": 1,
        "rejected": [],
        "seq_first": None,
        "seq_last": None,
    }


async def test_a_large_body_is_parsed_in_a_thread(client: Client) -> None:
    rows = [{"symbol": "A", "price": 1 + i, "ts_event": START + i} for i in range(3000)]
    assert (await client.post("/v1/trades", json=rows)).json()["accepted"] == 3000


async def test_a_correction_is_answered_as_the_trade_now_stands(client: Client) -> None:
    row = {"symbol": "A", "price": 1, "size": 5, "side": "buy", "ts_event": START}
    await client.post("/v1/trades", json=row)
    first = await client.put("/v1/trades/a/1", json={"price": 2, "conditions": ["X", "Y"]})
    assert first.status_code == 200
    body = first.json()
    assert (body["seq"], body["corrects"], body["symbol"]) == (2, 1, "A")
    assert (body["price"], body["size"], body["side"]) == (2.0, 5.0, "buy")
    assert (body["conditions"], body["flags"]) == ("X,Y", ["correction"])
    # A correction of a correction names the original.
    again = (await client.put("/v1/trades/A/2", json={"size": None, "side": "sell"})).json()
    assert (again["seq"], again["corrects"], again["size"], again["side"]) == (3, 1, None, "sell")
    (now,) = (await client.get("/v1/trades/A")).json()["trades"]
    assert (now["price"], now["size"], now["seq"], now["corrects"]) == (2.0, None, 3, 1)
    (then,) = (await client.get("/v1/trades/A?as_of=1")).json()["trades"]
    assert (then["price"], then["size"], then["seq"]) == (1.0, 5.0, 1)
    assert "corrects" not in then


async def test_a_cancel_names_the_original(client: Client, plant: FakePlant) -> None:
    await client.post("/v1/trades", json={"symbol": "A", "price": 1})
    await client.put("/v1/trades/A/1", json={"price": 2})
    answer = await client.delete("/v1/trades/A/2")
    assert (answer.status_code, answer.json()) == (200, {"seq": 3, "cancels": 1})
    assert (await client.get("/v1/trades/A")).json()["trades"] == []
    assert (await client.delete("/v1/trades/A/1")).status_code == 404
