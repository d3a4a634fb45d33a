"""The real plant and the one of plain lists give the same answers to the same requests."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path

import httpx
import pytest
from plant_fakes import START, FakePlant

from tickplant.compose import OpenPlant
from tickplant.config import load
from tickplant.gateway.app import create_app
from tickplant.gateway.waiting import outcome

Client = httpx.AsyncClient
MINUTE = 60 * 10**9
QUERIES = [
    "/v1/trades/AAA", "/v1/trades/aaa?order=desc&limit=7", "/v1/trades/AAA?as_of=20&limit=5",
    f"/v1/trades/BBB?start={START + 5 * MINUTE}&end={START + 15 * MINUTE}",
    "/v1/trades/BBB?limit=3", "/v1/quotes/AAA?limit=4", "/v1/quotes/AAA?order=desc&as_of=15",
    "/v1/candles/AAA", "/v1/candles/AAA?interval=5m&limit=2", "/v1/candles/BBB?interval=1h",
    f"/v1/candles/BBB?start={START + 3 * MINUTE}&limit=4", "/v1/candles/AAA?interval=2m&as_of=25",
    "/v1/latest/AAA", "/v1/latest?symbols=*", "/v1/instruments?limit=1", "/v1/instruments/BBB",
    "/v1/trades/AAA?format=csv", "/v1/quotes/AAA?format=csv", "/v1/candles/AAA?format=csv",
]  # fmt: skip


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[tuple[Client, Client]]:
    flags = {"data": str(tmp_path), "log.segment_mb": 1}
    with OpenPlant(load(flags=flags), clock=lambda: START) as opened:
        apps = create_app(FakePlant()), create_app(opened.plant)  # type: ignore[arg-type]
        clients = [
            Client(transport=httpx.ASGITransport(app=app), base_url="http://plant") for app in apps
        ]
        yield clients[0], clients[1]
        for client in clients:
            await client.aclose()


async def same(both: tuple[Client, Client], method: str, path: str, **more: object) -> dict:
    """Send one request to both; return the answer that both gave."""
    fake, real = [await client.request(method, path, **more) for client in both]  # type: ignore[arg-type]
    assert (real.status_code, real.headers["content-type"]) == (
        fake.status_code, fake.headers["content-type"]
    ), (method, path, real.text)  # fmt: skip
    if real.status_code >= 400 or "json" not in real.headers["content-type"]:
        if real.status_code < 400:
            assert real.text == fake.text, path
        return {}
    assert real.json() == fake.json(), (method, path)
    return real.json()


@pytest.mark.parametrize("seed", range(6))
async def test_both_plants_answer_alike(both: tuple[Client, Client], seed: int) -> None:
    dice = random.Random(seed)
    sent = 0
    for _ in range(dice.randint(3, 6)):
        rows = [_trade(dice) for _ in range(dice.randint(1, 12))]
        receipt = await same(both, "POST", "/v1/trades", json=rows)
        quotes = [_quote(dice) for _ in range(dice.randint(1, 5))]
        await same(both, "POST", "/v1/quotes", json=quotes)
        sent = receipt["seq_last"] or sent
        for _ in range(dice.randint(0, 3)):
            path = f"/v1/trades/{dice.choice(['AAA', 'BBB'])}/{dice.randint(1, sent + 2)}"
            if dice.random() < 0.6:
                await same(both, "PUT", path, json=_change(dice))
            else:
                await same(both, "DELETE", path)
    for query in QUERIES:
        await _all_pages(both, query)


async def _all_pages(both: tuple[Client, Client], path: str) -> None:
    for _ in range(100):
        body = await same(both, "GET", path)
        token = body.get("next_page_token")
        if token is None:
            return
        path = str(httpx.URL(path).copy_set_param("page_token", token))
    raise AssertionError("the pages do not end")


def _trade(dice: random.Random) -> dict:
    return {
        "symbol": dice.choice(["AAA", "bbb"]), "price": dice.randint(1, 99) / 8,
        "size": dice.choice([None, 1, 2.5, 1e-3]), "side": dice.choice(["buy", "sell", None]),
        "id": dice.choice([None, str(dice.randint(1, 30))]),
        "ts_event": START - 20 * MINUTE + dice.randint(0, 40) * MINUTE // 2,
    }  # fmt: skip


def _quote(dice: random.Random) -> dict:
    return {
        "symbol": "AAA", "bid_price": 1 + dice.random(), "ask_price": 3.0,
        "ts_event": START - dice.randint(0, 9) * MINUTE,
    }  # fmt: skip


def _change(dice: random.Random) -> dict:
    changes = {
        "price": dice.randint(1, 99) / 8, "size": dice.choice([None, 7]), "side": "sell",
        "conditions": ["X", "Y"], "ts_event": START - dice.randint(0, 20) * MINUTE,
    }  # fmt: skip
    return {name: changes[name] for name in dice.sample(sorted(changes), dice.randint(1, 3))}


async def test_a_wait_that_is_cancelled_leaves_the_future_alone() -> None:
    future: Future[int] = Future()
    task = asyncio.create_task(outcome(future))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not future.cancelled()
    future.set_result(5)  # nobody waits any more, and nothing complains
    await asyncio.sleep(0)
    assert await outcome(future) == 5
