"""Spreads of quote bars, in every answer that has bars, and in none of trades."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import tickplant
from cli_kit import run
from stream_fakes import Served
from tickplant.client import Client
from tickplant.compose import OpenPlant
from tickplant.config import load
from tickplant.gateway.app import create_app

BASE = 1_715_040_000_000_000_000
SECOND = 10**9
NAMES = ("spread_min", "spread_max", "spread_mean", "spread_bps")
QUOTES = [
    {"symbol": "Q", "ts_event": BASE, "bid_price": 9.0, "ask_price": 11.0},
    {"symbol": "Q", "ts_event": BASE + SECOND, "bid_price": 9.5, "ask_price": 10.5},
    {"symbol": "Q", "ts_event": BASE + 2 * SECOND, "bid_price": 12.0},
    {"symbol": "Q", "ts_event": BASE + 120 * SECOND, "bid_price": 12.0},
]
WANTED = [dict(zip(NAMES, values, strict=True)) for values in (
    (1.0, 2.0, 1.5, 1_500.0), (None, None, None, None), (None, None, None, None),
)]  # fmt: skip
QUERY = {"interval": "1m", "basis": "bid", "fill": "null", "start": BASE}


@contextmanager
def filled(folder: Path) -> Iterator[Client]:
    settings = load(flags={"data": str(folder)})
    with (
        OpenPlant(settings) as opened,
        Served(create_app(opened.plant)) as server,
        Client(server.url) as client,
    ):
        client.post_quotes(QUOTES)
        client.post_trades([{"symbol": "T", "ts_event": BASE, "price": 1.0, "size": 1.0}])
        yield client


def spreads(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: row[name] for name in NAMES} for row in rows]


def test_spreads_are_on_every_door(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with filled(tmp_path) as client:
        url = f"{client.url}/v1/candles/Q"
        assert spreads(httpx.get(url, params=QUERY).json()["candles"]) == WANTED
        body = httpx.get(url, params=QUERY | {"format": "csv"}).content
        assert spreads(pa.csv.read_csv(io.BytesIO(body)).to_pylist()) == WANTED
        body = httpx.get(url, params=QUERY | {"format": "arrow"}).content
        assert spreads(pa.ipc.open_stream(body).read_all().to_pylist()) == WANTED
        body = httpx.get(url, params=QUERY | {"format": "parquet"}).content
        assert spreads(pq.read_table(io.BytesIO(body)).to_pylist()) == WANTED
        assert spreads(client.candles("Q", **QUERY).arrow().to_pylist()) == WANTED
        assert spreads([client.latest("Q")["candle"]]) == WANTED[:1]  # of middles
        with client.stream("candles", "Q", interval="1m", basis="bid", from_=0) as stream:
            heard = [next(stream), next(stream)]
        assert spreads(heard) == [WANTED[0], WANTED[2]]
    with tickplant.open(tmp_path) as folder:
        assert spreads(folder.candles("Q", **QUERY).arrow().to_pylist()) == WANTED
        found = folder.sql("SELECT * FROM candles_1m WHERE symbol = 'Q' ORDER BY start").arrow()
        assert found["spread_max"].to_pylist() == [2.0]
    ran = run(capfdbinary, "candles", "Q", "--basis", "bid", "--data", tmp_path, "--json")
    assert spreads(ran.json()["candles"]) == [WANTED[0], WANTED[2]]


def test_bars_of_trades_have_none(tmp_path: Path) -> None:
    with filled(tmp_path) as client:
        url = f"{client.url}/v1/candles/T"
        bar = httpx.get(url).json()["candles"][0]
        assert not set(NAMES) & set(bar)
        for form in ("csv", "arrow", "parquet"):
            assert b"spread" not in httpx.get(url, params={"format": form}).content
        assert not set(NAMES) & set(client.candles("T").arrow().column_names)
        with client.stream("candles", "T", interval="1m", from_=0) as stream:
            assert not set(NAMES) & set(next(stream))


def test_one_file_of_trades_and_quotes_has_columns_for_both(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with filled(tmp_path / "data"):
        pass
    target = tmp_path / "bars.parquet"
    where = ("--data", tmp_path / "data", "--out", target)
    assert run(capfdbinary, "export", "candles", "T", "Q", *where).code == 0
    rows = [(row["symbol"], row["spread_max"]) for row in pq.read_table(target).to_pylist()]
    assert rows == [("T", None), ("Q", 2.0)]
    assert run(capfdbinary, "export", "candles", "T", *where).code == 0
    assert not set(NAMES) & set(pq.read_schema(target).names)
