"""The application of a reader answers what the plant's own does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from plant_kit import NOW, Clock, open_plant, submit
from tickplant.compose import open_follower
from tickplant.config import load
from tickplant.gateway.app import create_app
from tickplant.gateway.reader import DOORS, create_reader_app

SECOND = 10**9
ASKED = (
    "/v1/candles/EURUSD?interval=1m",
    "/v1/candles/EURUSD?interval=1s&limit=2&fill=previous",
    "/v1/candles/EURUSD?interval=1m&start=0&limit=1",
    "/v1/candles/EURUSD?interval=2m&format=csv",
    "/v1/candles/NOBODY",
    "/v1/candles/EURUSD?interval=soon",
    "/v1/latest/EURUSD",
    "/v1/latest?symbols=*",
    "/v1/trades/EURUSD?limit=3",
    "/v1/quotes/EURUSD",
    "/v1/instruments",
    "/v1/instruments/EURUSD",
    "/v1/indicators/EURUSD?name=sma:3",
    "/v1/gaps",
    "/v1/quarantine",
)


def client_of(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://here")


async def test_a_reader_answers_as_the_plant_does(tmp_path: Path) -> None:
    settings = load(flags={"data": str(tmp_path)})
    with open_plant(tmp_path, log__sync="none") as plant:
        follower = open_follower(settings, Clock())
        try:
            for turn in range(3):
                ts = [NOW - 400 * SECOND + (7 * n + turn) * SECOND for n in range(40)]
                submit(plant, symbol=["EURUSD"] * 40, ts_event=ts, price=[1.0 + turn] * 40)
                submit(plant, symbol=["EURUSD"], price=[-1.0])
                async with (
                    client_of(create_app(plant)) as whole,
                    client_of(create_reader_app(follower)) as reader,
                ):
                    for path in ASKED:
                        mine, theirs = await reader.get(path), await whole.get(path)
                        assert mine.status_code == theirs.status_code, path
                        assert mine.content == theirs.content, path
                        assert mine.headers["content-type"] == theirs.headers["content-type"]
        finally:
            follower.stop()


async def test_a_reader_only_reads(tmp_path: Path) -> None:
    with open_plant(tmp_path, log__sync="none") as plant:
        submit(plant, symbol=["EURUSD"], price=[1.0])
        follower = open_follower(load(flags={"data": str(tmp_path)}), Clock())
        try:
            async with client_of(create_reader_app(follower)) as reader:
                assert (await reader.get("/ready")).json() == {"ready": True, "reason": "following"}
                assert (await reader.get("/v1/status")).json()["role"] == "reader"
                assert [one["name"] for one in (await reader.get("/v1/feeds")).json()["feeds"]]
                assert "tickplant_" in (await reader.get("/metrics")).text
                assert (await reader.post("/v1/trades", json=[])).status_code in (404, 405)
                assert (await reader.head("/v1/latest/EURUSD")).content == b""
                follower.stop()
                assert (await reader.get("/ready")).status_code == 503
        finally:
            follower.stop()


def test_every_door_of_a_reader_reads_and_is_asked_here() -> None:
    asked = [path.partition("?")[0] for path in (*ASKED, "/v1/status", "/v1/feeds")]
    for door in DOORS:
        assert door.method == "GET"
        shape = re.compile(re.sub(r"\{\w+\}", "[^/]+", door.path) + r"\Z")
        assert any(map(shape.match, asked)), door.path
