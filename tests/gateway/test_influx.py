"""The doors of InfluxDB over a whole plant: what is stored, and how collectors are answered."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from plant_kit import NOW, Clock, open_plant, trades
from stream_fakes import Served
from tickplant.gateway.app import create_app
from tickplant.plant.plant import Plant

LINE = 'trades,symbol={},exchange=x side="buy",price={},amount=2i,id="{}" {}'


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("influx")
    with open_plant(
        folder, Clock(NOW), influx__time_field="when", influx__names="price=px"
    ) as made:
        yield made


@pytest.fixture(scope="module")
def client(plant: Plant) -> Iterator[httpx.Client]:
    with Served(create_app(plant)) as served, httpx.Client(base_url=served.url) as made:
        yield made


def write(client: httpx.Client, *lines: str, path: str = "/write", **query: Any) -> httpx.Response:
    return client.post(path, params=query, content="\n".join(lines).encode())


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/write", {"db": "telegraf", "u": "me", "p": "secret", "rp": "", "consistency": "any"}),
        ("/api/v2/write", {"org": "o", "bucket": "b"}),
    ],
)
@pytest.mark.parametrize(
    ("unit", "factor"), [("ns", 1), ("us", 1_000), ("ms", 10**6), ("s", 10**9)]
)
def test_lines_are_stored_and_answered_with_no_content(
    client: httpx.Client, plant: Plant, path: str, query: dict[str, str], unit: str, factor: int
) -> None:
    symbol = f"OK{unit}{len(path)}"
    lines = [LINE.format(symbol, 1.5 + n, n, NOW // factor - n) for n in range(3)]
    for _ in range(2):  # the second time adds nothing
        answer = write(client, *lines, path=path, precision=unit, **query)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["x-influxdb-version"].startswith("1.8")
    (one, two, three) = trades(plant, f"X:{symbol}")
    assert [row["price"] for row in (one, two, three)] == [3.5, 2.5, 1.5]
    assert (three["ts_event"], three["id"], three["side"], three["size"]) == (
        NOW // factor * factor, "0", 1, 2.0,
    )  # fmt: skip


def test_the_lines_of_collectors_are_understood(client: httpx.Client, plant: Plant) -> None:
    at = NOW // 1_000
    lines = [
        f'trades-COINBASE,symbol=BTC-USD side="sell",price=9.5,amount=1,id="None",type="None",'
        f"when={at / 1e6!r},receipt_timestamp=1 {at}",
        f"ticker-COINBASE,symbol=BTC-USD bid=9.0,ask=10.0 {at}",
        "trades,host=h,ticker=PX,venue=Y,exchange=Q px=7i",
    ]
    packed = gzip.compress("\n".join(lines).encode())
    headers = {"content-encoding": "gzip", "authorization": "Token secret"}
    answer = client.post("/api/v2/write?precision=us", content=packed, headers=headers)
    assert answer.status_code == 204
    (trade,) = trades(plant, "COINBASE:BTC-USD")
    assert (trade["ts_event"], trade["id"], trade["side"]) == (at * 1_000, None, 2)
    (quote,) = plant.history.quotes(plant.registry.resolve("COINBASE:BTC-USD")).to_pylist()
    assert (quote["bid_price"], quote["ask_price"]) == (9.0, 10.0)
    (priced,) = trades(plant, "Y:PX")
    assert (priced["price"], priced["exchange"], priced["ts_event"]) == (7.0, "Q", NOW)


def test_a_body_sent_again_adds_nothing_and_equal_lines_are_two_events(
    client: httpx.Client, plant: Plant
) -> None:
    twice = [f"trades,symbol=TWICE price=1 {NOW // 10**6}"] * 2
    for _ in range(3):
        assert write(client, *twice, precision="ms").status_code == 204
    assert len(trades(plant, "TWICE")) == 2
    other = [f"trades,symbol=TWICE price=1 {NOW // 10**6 + 1}"]
    assert write(client, *other, precision="ms").status_code == 204
    untimed = ["trades,symbol=UNTIMED price=1"]
    for _ in range(2):
        assert write(client, *untimed).status_code == 204
    assert (len(trades(plant, "TWICE")), len(trades(plant, "UNTIMED"))) == (3, 2)


@pytest.mark.parametrize(("path", "field"), [("/write", "error"), ("/api/v2/write", "message")])
def test_good_lines_of_a_mixed_body_are_stored_and_the_answer_ends_the_matter(
    client: httpx.Client, plant: Plant, path: str, field: str
) -> None:
    symbol = f"MIXED{len(path)}"
    lines = [
        "# a comment",
        f"trades,symbol={symbol} price=1 1700000000000000000",
        "cpu,host=a usage=5 1700000000000000000",
        f"trades,symbol={symbol} price=-1 1700000000000000000",
        f"trades,symbol={symbol} price 1700000000000000000",
        f"quotes,symbol={symbol} bid=1,ask=2 1700000000000000000",
    ]
    answer = write(client, *lines, path=path)
    assert answer.status_code == 400
    said = answer.json()
    assert said[field].startswith("partial write: line 3: measurement: cpu is not allowed")
    assert said[field].endswith("dropped=3")
    assert said.get("code") == (None if path == "/write" else "invalid")
    assert [row["price"] for row in trades(plant, symbol)] == [1.0]
    refused = client.get("/v1/quarantine", params={"limit": 3, "order": "desc"}).json()
    reasons = {one["reason"] for one in refused["quarantine"]}
    assert reasons == {"measurement_unknown", "row_unreadable", "price_not_positive"}


def test_what_cannot_be_taken_at_all_is_said_in_their_words(client: httpx.Client) -> None:
    answer = write(client, "trades,symbol=A price=1 1", precision="weeks")
    assert (answer.status_code, "precision: weeks" in answer.json()["error"]) == (400, True)
    answer = client.post("/api/v2/write", content=b"\xff")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    bad = {"content-encoding": "br"}
    answer = client.post("/write", content=b"x", headers=bad)
    assert (answer.status_code, "br" in answer.json()["error"]) == (415, True)
    assert write(client, "").status_code == 204


def test_bodies_that_are_too_large_and_a_plant_that_cannot_store(tmp_path: Path) -> None:
    with (
        open_plant(tmp_path, server__body_mb_max=1) as plant,
        Served(create_app(plant)) as served,
        httpx.Client(base_url=served.url) as client,
    ):
        answer = client.post("/api/v2/write", content=b"#" * (2 << 20))
        assert (answer.status_code, answer.json()["code"]) == (413, "request too large")
        plant.stop()
        answer = write(client, "trades,symbol=A price=1")
        assert (answer.status_code, list(answer.json())) == (503, ["error"])
        assert answer.headers["retry-after"] == "1"
        answer = write(client, "trades,symbol=A price=1", path="/api/v2/write")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


def test_large_bodies_are_parsed_beside_the_event_loop(client: httpx.Client, plant: Plant) -> None:
    lines = [LINE.format("LARGE", n + 1, n, NOW + n) for n in range(3_000)]
    assert write(client, *lines).status_code == 204
    assert len(trades(plant, "X:LARGE")) == 3_000


def test_a_strict_plant_takes_a_whole_body_or_nothing(tmp_path: Path) -> None:
    with (
        open_plant(tmp_path, checks__strict=True) as plant,
        Served(create_app(plant)) as served,
        httpx.Client(base_url=served.url) as client,
    ):
        answer = write(client, "trades,symbol=A price=1 1700000000000000000", "cpu x=1")
        assert (answer.status_code, "strict" in answer.json()["error"]) == (400, True)
        assert plant.seq_last == 0


def test_what_collectors_ask_before_they_write(client: httpx.Client) -> None:
    assert client.get("/ping").status_code == 204
    assert client.head("/ping").status_code == 204
    assert client.get("/ping?verbose=true").json()["version"].startswith("1.8")
    created = client.post("/query", data={"q": 'CREATE DATABASE "telegraf"'})
    assert (created.status_code, created.json()) == (200, {"results": [{"statement_id": 0}]})
    shown = client.get("/query", params={"q": "SHOW DATABASES", "db": ""}).json()
    assert shown["results"][0]["series"][0]["values"] == [["tickplant"]]
    for q in ("SELECT * FROM trades", "DROP DATABASE x", "", "a\r\nb\x00\x7fé"):
        answer = client.post("/query", params={"q": q})
        assert (answer.status_code, "/v1" in answer.json()["error"]) == (400, True)
    answer = client.post("/query", content=b"q=" + b"x" * 70_000)
    assert (answer.status_code, "allowed" in answer.json()["error"]) == (413, True)
